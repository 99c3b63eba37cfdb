// SPDX-License-Identifier: Apache-2.0
#include "attune/serving/sqlite_event_store.hpp"

#include <sqlite3.h>
#include <sys/wait.h>
#include <unistd.h>

#include <condition_variable>
#include <limits>
#include <mutex>
#include <thread>

#include "attune/error.hpp"
#include "attune/recommender.hpp"
#include "catch.hpp"
#include "serving/small_model.hpp"
#include "serving/stored_events.hpp"
#include "threads.hpp"

using namespace attune;
using test::events_of;
using test::StoredEvent;
using test::Told;
using test::traces;

namespace {

using Options = SqliteEventStoreOptions;

// A path in a directory that is gone at the end.
struct StorePath : test::TemporaryDirectory {
  operator std::string() const { return (*this / "events.db").string(); }
};

void append(SqliteEventStore& store, std::vector<Interaction> events, Told* told = nullptr) {
  store.append(events, told == nullptr ? std::function<void(bool)>() : told->completion());
}

ErrorCode code_of_opening(const std::string& path, const std::string& says, const Options& options = {}) {
  try {
    SqliteEventStore(path, options);
  } catch (const Error& error) {
    INFO(error.what());
    CHECK(std::string(error.what()).find(says) != std::string::npos);
    return error.code();
  }
  FAIL("the store opens");
  return ErrorCode::cancelled;
}

void change(const std::string& path, const std::string& sql) {
  sqlite3* database = nullptr;
  REQUIRE(sqlite3_open(path.c_str(), &database) == SQLITE_OK);
  CHECK(sqlite3_exec(database, sql.c_str(), nullptr, nullptr, nullptr) == SQLITE_OK);
  sqlite3_close(database);
}

// What a store's writer is held up with: the first completion waits until it is let go.
struct Gate {
  std::mutex mutex;
  std::condition_variable changed;
  bool reached = false, open = false;
  auto completion() {
    return [this](bool) {
      std::unique_lock lock(mutex);
      reached = true;
      changed.notify_all();
      changed.wait(lock, [&] { return open; });
    };
  }
  void wait_until_reached() {
    std::unique_lock lock(mutex);
    changed.wait(lock, [&] { return reached; });
  }
  void let_go() {
    const std::lock_guard lock(mutex);
    open = true;
    changed.notify_all();
  }
};

// Runs in a child; its result becomes the child's.
int in_child(auto body) {
  const pid_t child = fork();
  if (child == 0) _exit(body() ? 0 : 1);
  int status = 0;
  waitpid(child, &status, 0);
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

TEST_CASE("What was appended is replayed in its order, from the same store and from the next", "[serving][store]") {
  const auto durability = GENERATE(Durability::durable, Durability::relaxed);
  const StorePath path;
  const std::string binary("\xff\x01 \n", 4), lengthy(10'000, 'x');
  const std::vector<StoredEvent> expected{
      {"u1", "i1", "", "", 5, 1.0f},
      {"u2", "i1", "buy", "e1", 4, 0.1f},
      {"u1", "7", "", "e1", kNoTime, -2.5f},
      {binary, lengthy, binary, lengthy, std::numeric_limits<Timestamp>::max(), 3.0f},
      {"9223372036854775807", "-1", "buy", "", 0, 0.0f},
      {"u1", "i1", "", "", 5, 1.0f}};
  Told told;
  {
    SqliteEventStore store(path, {.durability = durability});
    append(store, {{.user = "u1", .item = "i1", .timestamp = 5}}, &told);
    append(store,
           {{.user = "u2", .item = "i1", .timestamp = 4, .event = "buy", .value = 0.1f, .event_id = "e1"},
            {.user = "u1", .item = 7, .value = -2.5f, .event_id = "e1"}},
           &told);
    append(store, {{binary, lengthy, std::numeric_limits<Timestamp>::max(), binary, 3.0f, lengthy}}, &told);
    append(store,
           {{.user = std::numeric_limits<std::int64_t>::max(), .item = -1, .timestamp = 0, .event = "buy", .value = 0},
            {.user = "u1", .item = "i1", .timestamp = 5}},
           &told);
    CHECK(events_of(store) == expected);
    CHECK(events_of(store, "u2") == std::vector{expected[1]});
    CHECK(events_of(store, "nobody").empty());
    CHECK(store.error().empty());
  }
  CHECK(told.stored == 4);
  CHECK(told.lost == 0);
  SqliteEventStore store(path);
  CHECK(events_of(store) == expected);
  std::vector<bool> numbers;
  store.replay([&](const Interaction& e) { numbers.push_back(e.user.is_number()); });
  CHECK(numbers == std::vector{false, false, false, false, true, false});
  append(store, {{.user = "u2", .item = "i1", .timestamp = 6, .event = "buy"}});
  CHECK(events_of(store, "u2").size() == 2);
}

TEST_CASE("Every batch of many threads is acknowledged once, and each thread's order is kept", "[serving][store]") {
  const auto durability = GENERATE(Durability::durable, Durability::relaxed);
  constexpr int kThreads = 4, kBatches = 300;
  const StorePath path;
  Told told;
  {
    SqliteEventStore store(path, {.durability = durability, .max_queued_events = 8});
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&store, &told, t] {
        for (int i = 0; i < kBatches; ++i) append(store, {{.user = t, .item = "i", .timestamp = i}}, &told);
      });
    }
    for (std::thread& thread : threads) thread.join();
  }
  CHECK(told.stored == kThreads * kBatches);
  CHECK(told.lost == 0);
  SqliteEventStore store(path);
  for (int t = 0; t < kThreads; ++t) {
    const auto events = events_of(store, t);
    REQUIRE(events.size() == kBatches);
    for (int i = 0; i < kBatches; ++i) REQUIRE(events[static_cast<std::size_t>(i)].timestamp == i);
  }
}

TEST_CASE("A relaxed store acknowledges at once and writes in time", "[serving][store]") {
  const StorePath path;
  Told told;
  SqliteEventStore store(path, {.durability = Durability::relaxed, .relaxed_interval = std::chrono::hours(1)});
  append(store, {{.user = "u", .item = "i"}}, &told);
  CHECK(told.stored == 1);
  store.flush();
  CHECK(events_of(store).size() == 1);
}

TEST_CASE("A queue that is full makes appending wait, or refuses, as it was asked to", "[serving][store]") {
  const auto when_full = GENERATE(FullQueue::wait, FullQueue::refuse);
  const StorePath path;
  Gate gate;
  Told told;
  {
    SqliteEventStore store(path, {.when_full = when_full, .max_queued_events = 2});
    store.append(std::vector<Interaction>{{.user = "u", .item = "i"}}, gate.completion());
    gate.wait_until_reached();  // from now on nothing is written
    append(store, {{.user = "u", .item = "i"}, {.user = "u", .item = "i"}}, &told);
    std::thread waiting;
    if (when_full == FullQueue::wait) {
      waiting = std::thread([&] { append(store, {{.user = "u", .item = "i"}}, &told); });
    } else {
      append(store, {{.user = "u", .item = "i"}}, &told);
      CHECK(told.lost == 1);
    }
    CHECK(told.stored == 0);
    gate.let_go();
    if (waiting.joinable()) waiting.join();
    store.flush();
    append(store, std::vector<Interaction>(5, {.user = "large", .item = "i"}), &told);
  }
  CHECK(told.stored == (when_full == FullQueue::wait ? 3 : 2));
  SqliteEventStore store(path);
  CHECK(events_of(store).size() == (when_full == FullQueue::wait ? 9 : 8));
}

TEST_CASE("A completion may append to a full queue, and throw, but not wait for the store", "[serving][store]") {
  const StorePath path;
  Told told;
  std::atomic<bool> refused = false;
  {
    SqliteEventStore store(path, {.max_queued_events = 1});
    store.append(std::vector<Interaction>{{.user = "u", .item = "i"}}, [&](bool) {
      append(store, {{.user = "u", .item = "i"}}, &told);
      append(store, {{.user = "u", .item = "i"}}, &told);
      try {
        store.flush();
      } catch (const Error&) {
        refused = true;
      }
      throw std::runtime_error("of the host's");
    });
    append(store, {{.user = "u", .item = "i"}}, &told);
  }
  CHECK(refused);
  CHECK(told.stored == 3);
}

TEST_CASE("A completion may be the last that holds the store", "[serving][store]") {
  const StorePath path;
  {
    Gate gate;
    auto store = std::make_shared<SqliteEventStore>(path);
    store->append(std::vector<Interaction>{{.user = "u", .item = "first"}}, gate.completion());
    store->append(std::vector<Interaction>{{.user = "u", .item = "second"}}, [store](bool) {});
    const std::weak_ptr<SqliteEventStore> watched = store;
    store.reset();
    gate.wait_until_reached();
    gate.let_go();
    while (!watched.expired()) std::this_thread::yield();
  }
  while (true) {  // until the thread has closed the file
    try {
      SqliteEventStore store(path);
      CHECK(events_of(store).size() == 2);
      break;
    } catch (const Error&) {
      std::this_thread::yield();
    }
  }
}

TEST_CASE("A batch that no store could give back is refused whole, and an empty one is done", "[serving][store]") {
  const auto durability = GENERATE(Durability::durable, Durability::relaxed);
  const StorePath path;
  Told told;
  {
    SqliteEventStore store(path, {.durability = durability});
    const Interaction good{.user = "u", .item = "i"};
    append(store, {good, {.user = "", .item = "i"}}, &told);
    append(store, {good, {.user = "u", .item = ""}}, &told);
    append(store, {good, {.user = "u", .item = "i", .value = std::numeric_limits<float>::quiet_NaN()}}, &told);
    CHECK(told.lost == 3);
    append(store, {}, &told);
  }
  CHECK(told.lost == 3);
  CHECK(told.stored == 1);
  SqliteEventStore store(path);
  CHECK(events_of(store).empty());
}

TEST_CASE("Bad options and paths are named", "[serving][store]") {
  const StorePath path;
  CHECK(code_of_opening(path, "max_queued_events: expected at least 1, found 0", {.max_queued_events = 0}) ==
        ErrorCode::invalid_argument);
  CHECK(code_of_opening(path, "relaxed_interval", {.relaxed_interval = std::chrono::milliseconds(-1)}) ==
        ErrorCode::invalid_argument);
  CHECK(code_of_opening(path, "retain_for", {.retain_for = std::chrono::milliseconds(-1)}) ==
        ErrorCode::invalid_argument);
  CHECK(code_of_opening("", "expected the path of a file") == ErrorCode::invalid_argument);
  CHECK(code_of_opening((path / "none" / "events.db").string(), "events.db") == ErrorCode::io_error);
  CHECK(code_of_opening(path.path().string(), path.path().string()) == ErrorCode::io_error);
  CHECK(std::filesystem::is_empty(path.path()));
}

TEST_CASE("A file that is no store, a damaged or a newer one is refused by name", "[serving][store]") {
  const StorePath path;
  const std::string file = path;
  SECTION("some other file") {
    test::write_text(file, std::string(5000, 'a'));
    CHECK(code_of_opening(file, file) == ErrorCode::corrupt_file);
    CHECK(test::read_text(file) == std::string(5000, 'a'));
  }
  SECTION("another program's database") {
    change(file, "CREATE TABLE t(x)");
    const std::string before = test::read_text(file);
    CHECK(code_of_opening(file, "found another SQLite database") == ErrorCode::invalid_argument);
    CHECK(test::read_text(file) == before);
  }
  SECTION("a newer format") {
    { SqliteEventStore store(file); }
    change(file, "UPDATE meta SET value = 7 WHERE key = 'format'");
    CHECK(code_of_opening(file, "format version 7, this attune reads up to 2") == ErrorCode::unsupported_version);
  }
  SECTION("no format") {
    { SqliteEventStore store(file); }
    change(file, "DELETE FROM meta");
    CHECK(code_of_opening(file, "format version 0") == ErrorCode::corrupt_file);
  }
  SECTION("an event of nobody") {
    {
      SqliteEventStore store(file);
      append(store, {{.user = "u", .item = "i"}});
    }
    change(file, "UPDATE events SET item = 12");
    SqliteEventStore store(file);
    CHECK_THROWS_AS(events_of(store), Error);
  }
  SECTION("damage, anywhere") {
    {
      SqliteEventStore store(file);
      for (int i = 0; i < 2000; ++i) append(store, {{.user = i % 50, .item = i, .timestamp = i, .event_id = "id"}});
    }
    const std::string whole = test::read_text(file);
    int refused = 0;
    for (std::size_t page = 0; page < whole.size(); page += 4096) {
      std::string damaged = whole;
      damaged.replace(page, 512, std::string(512, '\x5a'));
      test::write_text(file, damaged);
      try {
        SqliteEventStore store(file);
        events_of(store);
      } catch (const Error& error) {
        CHECK((error.code() == ErrorCode::corrupt_file || error.code() == ErrorCode::io_error));
        CHECK(std::string(error.what()).find(file) != std::string::npos);
        ++refused;
      }
    }
    CHECK(refused * 4096 == static_cast<int>(whole.size()));
    test::write_text(file, whole.substr(0, whole.size() / 2));
    CHECK(code_of_opening(file, file) == ErrorCode::corrupt_file);
  }
}

TEST_CASE("One process has the file, and a second store is told so", "[serving][store]") {
  const StorePath path;
  const std::string file = path;
  SqliteEventStore store(file);
  CHECK(code_of_opening(file, "has it open") == ErrorCode::io_error);
  CHECK(in_child([&] {
          try {
            SqliteEventStore second(file);
          } catch (const Error& error) {
            return error.code() == ErrorCode::io_error;
          }
          return false;
        }) == 0);
  append(store, {{.user = "u", .item = "i"}});
  CHECK(events_of(store).size() == 1);
}

TEST_CASE("A child process has no part in its parent's store", "[serving][store]") {
  const auto durability = GENERATE(Durability::durable, Durability::relaxed);
  const StorePath path;
  {
    auto store = std::make_unique<SqliteEventStore>(path, Options{.durability = durability});
    append(*store, {{.user = "u", .item = "parent"}});
    for (int i = 0; i < 20; ++i) {
      CHECK(in_child([&] {
              Told told;
              append(*store, {{.user = "u", .item = "child"}}, &told);
              bool throws = false;
              try {
                store->erase("u");
              } catch (const Error&) {
                throws = true;
              }
              const bool refused = told.lost == 1 && told.stored == 0 && !store->error().empty();
              store.reset();
              return refused && throws;
            }) == 0);
      append(*store, {{.user = "u", .item = "parent"}});
    }
  }
  SqliteEventStore store(path);
  const auto events = events_of(store);
  CHECK(events.size() == 21);
  for (const StoredEvent& event : events) CHECK(event.item == "parent");
}

TEST_CASE("A recommender with a store makes one thread, and serves on in a child process (UR-47)",
          "[serving][store][process][UR-47]") {
  const StorePath path;
  const std::size_t before = test::num_threads_at_rest();
  {
    Recommender recommender =
        Recommender::open(test::make_model(), {.event_store = std::make_shared<SqliteEventStore>(path)});
    recommender.observe({.user = "u1", .item = "i1"});
    CHECK(test::num_threads() == before + 1);
    const auto serves = [&](const char* item) {
      const bool recorded = recommender.observe({.user = "new", .item = item}) == Observed::recorded;
      return recorded && recommender.recommend({.user = "new"}).items.size() == 10;
    };
    const pid_t child = fork();
    REQUIRE(child >= 0);
    if (child == 0) _exit(serves("i2") && recommender.info().unstored_events == 1 ? 0 : 1);
    int status = 0;
    REQUIRE(waitpid(child, &status, 0) == child);
    CHECK((WIFEXITED(status) && WEXITSTATUS(status) == 0));
    CHECK(serves("i3"));
    CHECK(recommender.info().unstored_events == 0);
  }
  CHECK(test::num_threads_becomes(before));
  SqliteEventStore store(path);
  CHECK(events_of(store, "new").size() == 1);
  CHECK(events_of(store, "u1").size() == 1);
}

TEST_CASE("An erased user leaves no byte in any file, and can come again", "[serving][store][erasure]") {
  const auto durability = GENERATE(Durability::durable, Durability::relaxed);
  const StorePath path;
  const std::string secret = "secret-user-name", long_secret = "secret-long-" + std::string(9'000, 'z');
  {
    SqliteEventStore store(path, {.durability = durability});
    for (int i = 0; i < 3000; ++i) {
      const std::string user = test::user_name(static_cast<std::size_t>(i));
      append(store, {{.user = user, .item = "i", .timestamp = i}});
      const std::string event_id = "secret-event-" + std::to_string(i);
      if (i % 7 == 0)
        append(store, {{.user = secret, .item = "i", .timestamp = 77'777'777'777 + i, .event_id = event_id}});
      if (i % 11 == 0) append(store, {{.user = long_secret, .item = "i", .timestamp = i, .event_id = long_secret}});
    }
    store.flush();
    CHECK(traces(path.path(), "secret") > 400);
    CHECK_FALSE(store.has_forgotten(secret));
    append(store, {{.user = secret, .item = "i", .event_id = "secret in the queue"}});
    store.erase(secret);
    store.erase(long_secret);
    CHECK(traces(path.path(), "secret") == 0);
    CHECK(events_of(store).size() == 3000);
    CHECK(events_of(store, secret).empty());
    CHECK(store.has_forgotten(secret));
    CHECK_FALSE(store.has_forgotten("u1"));
    store.erase("nobody has ever heard of him");
    CHECK(store.has_forgotten("nobody has ever heard of him"));

    append(store, {{.user = secret, .item = "again", .timestamp = 1}});
    CHECK(events_of(store, secret) == std::vector<StoredEvent>{{secret, "again", "", "", 1, 1.0f}});
  }
  {
    SqliteEventStore store(path);
    CHECK(store.has_forgotten(secret));
    CHECK(events_of(store, secret).size() == 1);
    CHECK(events_of(store).size() == 3001);
    store.erase(secret);
  }
  CHECK(traces(path.path(), "secret") == 0);
  CHECK(traces(path.path(), "again") == 0);  // an item that nobody else had
}

TEST_CASE("What a user alone had goes with him, whatever numbers it has", "[serving][store][erasure]") {
  const StorePath path;
  {
    SqliteEventStore store(path);
    append(store, {{.user = "u", .item = "his own"}, {.user = "u", .item = "also his"}});
    store.flush();
  }
  change(path, "UPDATE items SET item = item * 1000; UPDATE events SET item = item * 1000");
  SqliteEventStore store(path);
  store.erase("u");
  CHECK(traces(path.path(), "his own") == 0);
  CHECK(traces(path.path(), "also his") == 0);
}

TEST_CASE("Erasures that a process has begun are finished when the file is opened", "[serving][store][erasure]") {
  const StorePath path;
  {
    SqliteEventStore store(path);
    append(store, {{.user = "secret", .item = "i"}, {.user = "u", .item = "i"}});
  }
  change(path, "PRAGMA journal_mode = WAL; INSERT INTO erasures VALUES(1); INSERT INTO forgotten VALUES(17)");
  CHECK(traces(path.path(), "secret") > 0);
  SqliteEventStore store(path);
  CHECK(traces(path.path(), "secret") == 0);
  CHECK(events_of(store).size() == 1);
}

TEST_CASE("The hashes that stay of forgotten users are other ones in every file", "[serving][store][erasure]") {
  const auto hash_in = [](const std::string& path) {
    {
      SqliteEventStore store(path);
      store.erase("u");
    }
    sqlite3* database = nullptr;
    sqlite3_stmt* row = nullptr;
    REQUIRE(sqlite3_open(path.c_str(), &database) == SQLITE_OK);
    REQUIRE(sqlite3_prepare_v2(database, "SELECT hash FROM forgotten", -1, &row, nullptr) == SQLITE_OK);
    REQUIRE(sqlite3_step(row) == SQLITE_ROW);
    const std::int64_t hash = sqlite3_column_int64(row, 0);
    sqlite3_finalize(row);
    sqlite3_close(database);
    return hash;
  };
  const StorePath one, other;
  CHECK(hash_in(one) != hash_in(other));
}

TEST_CASE("Merging gives a user's events to another and forgets him", "[serving][store][erasure]") {
  const StorePath path;
  {
    SqliteEventStore store(path);
    append(store, {{.user = "cookie", .item = "a", .timestamp = 1, .event = "view", .value = 2, .event_id = "1"},
                   {.user = "u", .item = "b", .timestamp = 2},
                   {.user = "cookie", .item = "c", .timestamp = 3}});
    store.merge("cookie", "u", std::vector<Interaction>{{.user = "u", .item = "model's", .timestamp = 0}});
    CHECK(traces(path.path(), "cookie") == 0);
    CHECK(store.has_forgotten("cookie"));
    store.merge("unknown", "u", {});
    CHECK(store.has_forgotten("unknown"));
    store.merge("u", "new", {});
    append(store, {{.user = "cookie", .item = "later", .timestamp = 9}});
    CHECK_THROWS_AS(store.merge("new", "new", {}), Error);
    CHECK_THROWS_AS(store.merge("new", "", {}), Error);
  }
  SqliteEventStore store(path);
  CHECK(events_of(store) == std::vector<StoredEvent>{{"new", "b", "", "", 2, 1},
                                                     {"new", "model's", "", "", 0, 1},
                                                     {"new", "a", "view", "1", 1, 2},
                                                     {"new", "c", "", "", 3, 1},
                                                     {"cookie", "later", "", "", 9, 1}});
}

TEST_CASE("Old events go when the store is opened or told to, and leave nothing", "[serving][store][erasure]") {
  const StorePath path;
  const auto fill = [&](SqliteEventStore& store) {
    for (int i = 0; i < 1000; ++i) {
      const std::string user = "user" + std::to_string(i), id = "event" + std::to_string(i);
      append(store, {{.user = user, .item = "i", .timestamp = 1000 + i, .event_id = id}});
    }
    append(store, {{.user = "user0", .item = "untimed"}});
    store.flush();
  };
  SECTION("told to") {
    SqliteEventStore store(path);
    fill(store);
    CHECK(store.prune(1000) == 0);
    store.erase("user999");
    const auto before = std::filesystem::file_size(std::string(path));
    CHECK(store.prune(1900) == 900);
    CHECK(std::filesystem::file_size(std::string(path)) < before / 2);
    CHECK(events_of(store).size() == 100);  // with the one that has no time
    CHECK(events_of(store, "user0").size() == 1);
    CHECK(traces(path.path(), "user888") + traces(path.path(), "event888") == 0);
    append(store, {{.user = "user888", .item = "i", .timestamp = 5}});
    CHECK(events_of(store, "user888").size() == 1);
    store.erase("user950");
    CHECK(traces(path.path(), "user950") + traces(path.path(), "event950") == 0);
  }
  SECTION("when it is opened") {
    {
      SqliteEventStore store(path);
      fill(store);
    }
    {
      SqliteEventStore store(path, {.retain_for = std::chrono::milliseconds(99)});
      CHECK(events_of(store).size() == 101);
      for (int i = 0; i < 3; ++i) append(store, {{.user = "ahead", .item = "i", .timestamp = 253'402'300'799'990 + i}});
    }
    {
      SqliteEventStore store(path, {.retain_for = std::chrono::milliseconds(99)});
      CHECK(events_of(store).size() == 104);
      store.erase("ahead");
    }
    SqliteEventStore store(path, {.retain_for = std::chrono::milliseconds::max()});
    CHECK(events_of(store).size() == 101);
  }
}
