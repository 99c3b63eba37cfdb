// SPDX-License-Identifier: Apache-2.0
#include "attune/serving/redis_event_store.hpp"

#include <algorithm>
#include <atomic>
#include <future>
#include <limits>
#include <map>
#include <mutex>
#include <set>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "attune/recommender.hpp"
#include "catch.hpp"
#include "errors.hpp"
#include "platform/process.hpp"
#include "serving/answers.hpp"
#include "serving/event_stream.hpp"
#include "serving/redis_connection.hpp"
#include "serving/redis_server.hpp"
#include "serving/small_model.hpp"
#include "serving/stored_events.hpp"

using namespace attune;
using std::chrono::milliseconds;
using test::becomes;
using test::code_of;
using test::copy_of;
using test::events_of;
using test::RedisServer;
using test::StoredEvent;
using test::Told;

namespace {

// Whether the case can run; says where it cannot.
bool runs() {
  if (RedisServer::is_installed()) return true;
  WARN("skipped: redis-server is missing");
  return false;
}

// A command, on a connection of its own.
RedisReply call(const RedisServer& server, std::initializer_list<std::string_view> command,
                const std::string& password = {}) {
  const platform::BrokenPipesAreErrors no_signal;
  return RedisConnection(server.socket(), {"", password}, std::chrono::seconds(10)).call(command);
}

std::shared_ptr<RedisEventStore> open_store(const RedisEventStoreOptions& options) {
  return std::make_shared<RedisEventStore>(options);
}

// A host: a recommender with a store of its own.
struct Host {
  explicit Host(const RedisEventStoreOptions& options, const TrainedModel& model = test::make_model())
      : store(open_store(options)), recommender(Recommender::open(model, {.event_store = store})) {}
  std::size_t events_of(const Id& user) const {
    const std::string lines = recommender.export_user(user);
    return static_cast<std::size_t>(std::ranges::count(lines, '\n'));
  }
  // Different items in his history, as the next answer has it.
  std::size_t seen(const Id& user) const { return recommender.recommend({.user = user, .k = 60}).shortfall.seen; }
  std::shared_ptr<RedisEventStore> store;
  Recommender recommender;
};

// Whoever follows a store without a recommender.
struct Follower final : StoreFollower {
  void observed(const Interaction& event) override {
    const std::lock_guard lock(mutex);
    events.push_back(copy_of(event));
  }
  void forgotten(const std::function<bool(const Id&)>& is_forgotten) override {
    const std::lock_guard lock(mutex);
    for (const char* const user : {"u1", "u2", "u3"}) {
      if (is_forgotten(user)) gone.emplace_back(user);
    }
  }
  void profile_put(const Id& user, std::string_view profile) override {
    const std::lock_guard lock(mutex);
    profiles[to_string(user)] = profile;
  }
  std::size_t size() const {
    const std::lock_guard lock(mutex);
    return events.size();
  }
  mutable std::mutex mutex;
  std::vector<StoredEvent> events;
  std::vector<std::string> gone;
  std::map<std::string, std::string> profiles;
};

Interaction numbered(const std::string& id) { return {.user = "u1", .item = "i1", .timestamp = 7, .event_id = id}; }

}  // namespace

TEST_CASE("Events come back from Redis as they were, also to a store that is opened later", "[serving][redis]") {
  if (!runs()) return;
  const RedisServer server;
  const std::string bytes("\0\r\n\xff$5\r\n", 8);
  const std::vector<Interaction> batch{
      {.user = "u1", .item = "i1", .timestamp = 1'700'000'000'000, .event = "buy", .value = -2.5f, .event_id = "1"},
      {.user = 42, .item = -7, .value = std::numeric_limits<float>::denorm_min()},
      {.user = bytes, .item = "s:i", .timestamp = 0, .event = bytes, .event_id = bytes},
      {.user = "42", .item = "i:1", .timestamp = 5}};
  std::vector<StoredEvent> expected;
  for (const Interaction& event : batch) expected.push_back(copy_of(event));
  Told told;
  {
    RedisEventStore store(server.options());
    store.append(batch, told.completion());
    store.append({}, told.completion());
    store.flush();
    CHECK(events_of(store) == expected);
    const std::vector<StoredEvent> of_number{expected[1]}, of_text{expected[3]};
    CHECK(events_of(store, 42) == of_number);
    CHECK(events_of(store, "42") == of_text);
    CHECK(store.status().persistence == "always");
    CHECK(store.status().error.empty());
  }
  CHECK(told.stored == 2);
  RedisEventStore store(server.options());
  CHECK(events_of(store) == expected);
  store.append(std::vector<Interaction>{batch[0], {.user = "", .item = "i1"}}, told.completion());
  store.append(std::vector<Interaction>{{.user = "u1", .item = "i1", .value = INFINITY}}, told.completion());
  CHECK(told.lost == 2);
  CHECK(events_of(store) == expected);
}

TEST_CASE("An event observed at one host is in the answers of all, once", "[serving][redis]") {
  if (!runs()) return;
  const RedisServer server;
  Host a(server.options()), b(server.options());
  a.recommender.observe({.user = "new", .item = "i3", .timestamp = 10, .event_id = "1"});
  a.recommender.observe({.user = "new", .item = "i4", .timestamp = 20, .event_id = "2"});
  b.recommender.observe({.user = "new", .item = "i5", .timestamp = 30, .event_id = "3"});
  // Delivered to both.
  a.recommender.observe({.user = "new", .item = "i6", .timestamp = 40, .event_id = "4"});
  b.recommender.observe({.user = "new", .item = "i6", .timestamp = 40, .event_id = "4"});
  a.store->flush();
  b.store->flush();
  REQUIRE(becomes([&] { return a.seen("new") == 4 && b.seen("new") == 4; }));
  CHECK(a.events_of("new") == 4);
  CHECK(b.events_of("new") == 4);
  auto fed = Recommender::open(test::make_model());
  for (const char* const item : {"i3", "i4", "i5", "i6"}) fed.observe({.user = "new", .item = item});
  const Answer expected = fed.recommend({.user = "new"});
  CHECK(test::same_items(a.recommender.recommend({.user = "new"}), expected));
  CHECK(test::same_items(b.recommender.recommend({.user = "new"}), expected));

  const Host later(server.options());
  CHECK(later.events_of("new") == 4);
  CHECK(test::same_items(later.recommender.recommend({.user = "new"}), expected));
}

TEST_CASE("A recommender that goes leaves its store to another, and two cannot follow one", "[serving][redis]") {
  if (!runs()) return;
  const RedisServer server;
  const auto store = open_store(server.options());
  const TrainedModel model = test::make_model();
  {
    const auto first = Recommender::open(model, {.event_store = store});
    CHECK(code_of([&] { Recommender::open(model, {.event_store = store}); }, "nobody follows") ==
          ErrorCode::unsupported);
  }
  RedisEventStore other(server.options());
  other.append(std::vector<Interaction>{numbered("1")}, {});
  other.flush();
  Follower follower;
  store->follow(&follower);
  CHECK(becomes([&] { return follower.size() == 1; }));
  store->follow(nullptr);
}

TEST_CASE("kill -9 of the server loses nothing that was acknowledged and doubles nothing", "[serving][redis]") {
  if (!runs()) return;
  RedisServer server;
  RedisEventStore follows(server.options());
  Follower follower;
  follows.follow(&follower);
  RedisEventStore store(server.options());
  std::atomic<std::size_t> acknowledged = 0, lost = 0;
  std::size_t appended = 0;
  std::vector<std::string> expected;
  const auto append = [&] {
    expected.push_back(std::to_string(appended++));
    store.append(std::vector<Interaction>{numbered(expected.back())},
                 [&](bool stored) { ++(stored ? acknowledged : lost); });
  };
  for (int restart = 0; restart < 4; ++restart) {
    for (int i = 0; i < 200 || appended - acknowledged < 100; ++i) append();
    server.kill();  // with many on their way
    for (int i = 0; i < 100; ++i) append();
    server.start();
    REQUIRE(becomes([&] { return acknowledged == appended; }));
  }
  store.flush();
  CHECK(lost == 0);
  CHECK(acknowledged == appended);
  REQUIRE(becomes([&] { return follower.size() >= appended; }));
  follows.follow(nullptr);
  const auto ids = [](const std::vector<StoredEvent>& events) {
    std::vector<std::string> result;
    for (const StoredEvent& event : events) result.push_back(event.event_id);
    return result;
  };
  CHECK(ids(follower.events) == expected);
  CHECK(ids(events_of(store)) == expected);
  RedisEventStore later(server.options());
  CHECK(ids(events_of(later)) == expected);
  CHECK(follows.status().missed_entries == 0);
}

TEST_CASE("What is sent a second time counts once", "[serving][redis]") {
  if (!runs()) return;
  const RedisServer server;
  RedisEventStore store(server.options());
  Follower follower;
  store.follow(&follower);
  // As a host adds them of whose transactions one had no answer.
  for (const char* const number : {"1", "2", "3", "2", "3", "4"}) {
    call(server,
         {"XADD", "attune:events", "*", "host", "h", "number", number, "user", "s:u1", "item", "s:i1", "id", number});
  }
  CHECK(becomes([&] { return follower.size() == 4; }));
  call(server, {"XADD", "attune:events", "*", "host", "h", "number", "5", "user", "s:u1", "item", "s:i1"});
  CHECK(becomes([&] { return follower.size() == 5; }));
  CHECK(events_of(store).size() == 5);
  CHECK(events_of(store, "u1").size() == 5);
  store.follow(nullptr);
}

TEST_CASE("While Redis is away requests are answered and events wait up to the bound", "[serving][redis]") {
  if (!runs()) return;
  RedisServer server;
  RedisEventStoreOptions options = server.options();
  options.max_queued_events = 10;
  Host a(options), b(server.options());
  server.kill();
  Told told;
  for (int i = 0; i < 15; ++i) {
    const std::string id = std::to_string(i);
    CHECK(a.recommender.observe(
              {.user = "new", .item = test::item_name(static_cast<std::size_t>(i)), .timestamp = i, .event_id = id},
              told.completion()) == Observed::recorded);
  }
  CHECK(told.lost == 5);
  CHECK(told.stored == 0);
  CHECK(a.recommender.info().unstored_events == 5);
  CHECK(a.seen("new") == 15);
  CHECK(a.store->status().queued_events == 10);
  CHECK(becomes([&] { return !a.store->status().error.empty(); }));
  CHECK(b.recommender.recommend({.user = "u1"}).items.size() == 10);
  server.start();
  CHECK(becomes([&] { return told.stored == 10; }));
  CHECK(becomes([&] { return b.seen("new") == 10; }));
  CHECK(becomes([&] { return a.store->status().error.empty() && a.store->status().queued_events == 0; }));

  options.when_full = FullQueue::wait;
  RedisEventStore waits(options);
  server.kill();
  std::thread writer([&] {
    for (int i = 0; i < 15; ++i) waits.append(std::vector<Interaction>{numbered(std::to_string(i))}, told.completion());
  });
  CHECK(becomes([&] { return waits.status().queued_events == 10; }));
  server.start();
  writer.join();
  waits.flush();
  CHECK(told.stored == 25);
}

TEST_CASE("A store that is closed while Redis is away says what is not stored", "[serving][redis]") {
  if (!runs()) return;
  RedisServer server;
  RedisEventStoreOptions options = server.options();
  options.timeout = milliseconds(500);
  options.patience = milliseconds(50);
  Told told;
  {
    RedisEventStore store(options);
    server.kill();
    store.append(std::vector<Interaction>{numbered("secret")}, told.completion());
    CHECK(code_of([&] { store.flush(); }, "confirm within 50 ms") == ErrorCode::io_error);
    CHECK(code_of([&] { store.erase("secret"); }) == ErrorCode::io_error);
    CHECK(code_of([&] { store.put_profile("secret", "[]"); }) == ErrorCode::io_error);
    CHECK(store.status().error.find("secret") == std::string::npos);
  }
  CHECK(told.lost == 1);
}

TEST_CASE("A host can be opened without Redis and catches up", "[serving][redis]") {
  if (!runs()) return;
  RedisServer server;
  {
    RedisEventStore store(server.options());
    store.append(std::vector<Interaction>{{.user = "new", .item = "i1"}, {.user = "new", .item = "i2"}}, {});
    store.put_profile("new", R"([["age",25]])");
  }
  server.kill();
  RedisEventStoreOptions options = server.options();
  CHECK(code_of([&] { RedisEventStore store(options); }, server.socket()) == ErrorCode::io_error);
  options.must_answer = false;
  Host host(options);
  CHECK(host.seen("new") == 0);
  CHECK(becomes([&] { return !host.store->status().error.empty(); }));
  CHECK(host.recommender.recommend({.user = "u1"}).items.size() == 10);
  server.start();
  CHECK(becomes([&] { return host.seen("new") == 2; }));
  CHECK(becomes([&] { return host.events_of("new") == 3; }));  // with a line for the profile
}

TEST_CASE("A server that goes while it is replayed from is gone on with where it was", "[serving][redis]") {
  if (!runs()) return;
  RedisServer server;
  {
    RedisEventStore store(server.options());
    store.append(std::vector<Interaction>(5'000, numbered("")), {});
  }
  RedisEventStoreOptions options = server.options();
  const auto replayed_until_it_goes = [&](RedisEventStore& store) {
    std::size_t events = 0;
    const auto count = [&](const Interaction&) {
      if (++events == 1'500) server.kill();
    };
    if (options.must_answer) {
      CHECK(code_of([&] { store.replay(count); }) == ErrorCode::io_error);
    } else {
      store.replay(count);
    }
    server.start();
    return events;
  };
  RedisEventStore strict(options);
  CHECK(replayed_until_it_goes(strict) >= 1'500);
  options.must_answer = false;
  RedisEventStore store(options);
  const std::size_t events = replayed_until_it_goes(store);
  CHECK(events >= 1'500);
  CHECK(events < 5'000);
  Follower follower;
  store.follow(&follower);
  RedisEventStore(options).announce_model("last");
  std::promise<void> all;
  store.listen([&](const Announcement&) { all.set_value(); });
  all.get_future().wait();
  store.listen({});
  store.follow(nullptr);
  CHECK(follower.size() == 5'000 - events);
}

TEST_CASE("A key that is no stream, wrong options and a wrong password are refused by name", "[serving][redis]") {
  if (!runs()) return;
  const RedisServer server({"--requirepass", "open sesame"});
  RedisEventStoreOptions options = server.options();
  CHECK(code_of([&] { RedisEventStore store(options); }, "NOAUTH") == ErrorCode::io_error);
  options.password = "wrong secret";
  std::string message;
  CHECK(code_of([&] { RedisEventStore store(options); }, &message) == ErrorCode::io_error);
  CHECK(message.find("AUTH") != std::string::npos);
  CHECK(message.find("secret") == std::string::npos);
  options.password = "open sesame";
  call(server, {"SET", "taken", "text"}, options.password);
  options.key = "taken";
  CHECK(code_of([&] { RedisEventStore store(options); }, "\"taken\": expected a stream, found a string") ==
        ErrorCode::invalid_argument);
  options.key = "attune:events";
  RedisEventStore store(options);
  store.append(std::vector<Interaction>{numbered("1")}, {});
  store.flush();

  options.key = "";
  CHECK(code_of([&] { RedisEventStore refused(options); }, "key: expected") == ErrorCode::invalid_argument);
  options.key = "k";
  options.servers = {};
  CHECK(code_of([&] { RedisEventStore refused(options); }, "servers: expected") == ErrorCode::invalid_argument);
  options.servers = {"localhost:port"};
  CHECK(code_of([&] { RedisEventStore refused(options); }, "found \"localhost:port\"") == ErrorCode::invalid_argument);
  options.servers = {"localhost"};
  options.max_queued_events = 0;
  CHECK(code_of([&] { RedisEventStore refused(options); }, "max_queued_events: expected at least 1, found 0") ==
        ErrorCode::invalid_argument);
}

TEST_CASE("The access list that the pages name is enough", "[serving][redis]") {
  if (!runs()) return;
  const RedisServer server({"--save", "3600 1"});
  const std::string page = test::read_text(ATTUNE_SOURCE_DIR "/docs/fleet.md");
  std::string rule = page.substr(page.find("user attune on"));
  rule.resize(rule.find("```"));
  std::vector<std::string> words;
  std::istringstream text(rule);
  for (std::string word; text >> word;) {
    if (word != "\\") words.push_back(word);
  }
  REQUIRE(words.size() > 30);
  std::vector<std::string_view> command{"ACL", "SETUSER"};
  command.insert(command.end(), words.begin() + 1, words.end());
  RedisConnection(server.socket(), {}, milliseconds(10'000)).call(command);
  RedisEventStoreOptions options = server.options();
  options.user = "attune";
  options.password = "password";
  options.servers = {server.socket(), server.socket()};  // so that roles are asked for
  options.max_entries = 1'000;
  options.retain_for = std::chrono::hours(1);
  RedisEventStore store(options);
  Follower follower;
  store.follow(&follower);
  const std::vector<Interaction> batch(1'001, {.user = "u1", .item = "i1"});
  store.append(batch, {});
  store.put_profile("u1", "[]");
  store.put_profile("u1", "");
  store.erase("u1");
  store.append(std::vector<Interaction>{{.user = "u2", .item = "i1"}}, {});
  store.merge("u2", "u3", {});
  store.announce_model("m");
  CHECK(events_of(store).size() == 1);
  store.visit_profiles([](const Id&, std::string_view) {});
  CHECK(store.status().error.empty());
  CHECK(store.status().persistence == "always");
  options.password = "password ";
  CHECK(code_of([&] { RedisEventStore refused(options); }, "WRONGPASS") == ErrorCode::io_error);
  store.follow(nullptr);
}

TEST_CASE("Events of other programs are taken and what is no event is passed over", "[serving][redis]") {
  if (!runs()) return;
  const RedisServer server;
  const auto add = [&](std::initializer_list<std::string_view> fields) {
    std::vector<std::string_view> words{"XADD", "attune:events", "*"};
    words.insert(words.end(), fields.begin(), fields.end());
    RedisConnection(server.socket(), {}, milliseconds(1'000)).call(words);
  };
  add({"user", "s:u1", "item", "s:i1"});
  add({"user", "s:u1", "item", "s:i2", "time", "12", "kind", "buy", "value", "2", "id", "x", "theirs", "?"});
  add({"user", "u1", "item", "s:i1"});  // without its kind
  add({"user", "i:4x", "item", "s:i1"});
  add({"user", "s:u1", "item", "s:i1", "time", "yesterday"});
  add({"user", "s:u1", "item", "s:i1", "value", "nan"});
  add({"item", "s:i1"});
  add({"host", "h", "user", "s:u1", "item", "s:i1"});  // without its number
  add({"host", "h", "number", "-1", "user", "s:u1", "item", "s:i1"});
  add({"message", "hello"});
  const std::vector<StoredEvent> expected{copy_of({.user = "u1", .item = "i1"}),
                                          copy_of({"u1", "i2", 12, "buy", 2, "x"})};
  RedisEventStore store(server.options());
  CHECK(events_of(store) == expected);
  CHECK(store.status().foreign_entries == 8);
  Follower follower;
  store.follow(&follower);
  add({"message", "hello"});
  add({"user", "s:u1", "item", "s:i3"});
  CHECK(becomes([&] { return follower.size() == 1; }));
  CHECK(store.status().foreign_entries == 9);
  call(server, {"CLIENT", "KILL", "TYPE", "normal"});  // and nothing of it comes twice
  add({"user", "s:u1", "item", "s:i4"});
  CHECK(becomes([&] { return follower.size() == 2; }));
  store.follow(nullptr);
}

TEST_CASE("The stream is trimmed, and a host that was away for too long says how much it missed", "[serving][redis]") {
  if (!runs()) return;
  const RedisServer server;
  RedisEventStoreOptions options = server.options();
  options.max_entries = 500;
  RedisEventStore store(options), away(server.options());
  store.append(std::vector<Interaction>{numbered("first")}, {});
  store.flush();
  CHECK(events_of(away).size() == 1);
  const std::vector<Interaction> batch(1'000, numbered(""));
  for (int i = 0; i < 3; ++i) {
    store.append(batch, {});
    store.flush();
  }
  const auto length = static_cast<std::size_t>(call(server, {"XLEN", "attune:events"}).integer());
  CHECK(length >= 500);
  CHECK(length < 1'000);
  Follower follower;
  away.follow(&follower);
  CHECK(becomes([&] { return follower.size() == length; }));
  CHECK(away.status().missed_entries == 3'000 - length);
  away.follow(nullptr);

  options.max_entries = 100;
  RedisEventStore opened(options);  // with its first event
  opened.append(std::vector<Interaction>{numbered("last")}, {});
  opened.flush();
  CHECK(call(server, {"XLEN", "attune:events"}).integer() < 300);

  options.max_entries = 0;
  options.retain_for = milliseconds(1);
  RedisEventStore young(options);
  const auto trimmed = [&] {
    young.append(batch, {});
    young.flush();
    return static_cast<std::size_t>(call(server, {"XLEN", "attune:events"}).integer()) < 1'200;
  };
  CHECK(trimmed());
}

TEST_CASE("A slow server delays acknowledgements, and answers go on", "[serving][redis]") {
  if (!runs()) return;
  const RedisServer server;
  RedisEventStoreOptions options = server.options();
  options.timeout = milliseconds(300);
  Host host(options);
  std::thread sleeper([&] { call(server, {"DEBUG", "SLEEP", "1"}); });
  Told told;
  CHECK(becomes([&] {
    host.recommender.observe({.user = "new", .item = "i1", .timestamp = told.stored}, told.completion());
    return !host.store->status().error.empty();
  }));
  CHECK(host.recommender.recommend({.user = "new"}).items.size() == 10);
  sleeper.join();
  const std::size_t events = host.events_of("new");
  CHECK(becomes([&] { return static_cast<std::size_t>(told.stored) == events; }));
  CHECK(events_of(*host.store).size() == events);
}

TEST_CASE("A stream that is lost is begun anew and nothing comes twice", "[serving][redis]") {
  if (!runs()) return;
  RedisServer server;
  RedisEventStore store(server.options()), other(server.options());
  Follower follower;
  store.follow(&follower);
  other.append(std::vector<Interaction>{numbered("1"), numbered("2")}, {});
  other.flush();
  REQUIRE(becomes([&] { return follower.size() == 2; }));
  call(server, {"DEL", "attune:events"});
  call(server, {"CLIENT", "KILL", "TYPE", "normal"});
  other.append(std::vector<Interaction>{numbered("3")}, {});
  other.flush();
  CHECK(becomes([&] { return follower.size() == 3; }));
  CHECK(follower.events.back().event_id == "3");
  // By a server whose clock is far behind.
  call(server, {"DEL", "attune:events"});
  call(server, {"XADD", "attune:events", "5-1", "host", "h", "number", "1", "user", "s:u1", "item", "s:i1"});
  call(server, {"CLIENT", "KILL", "TYPE", "normal"});
  CHECK(becomes([&] { return follower.size() == 4; }));
  store.follow(nullptr);
}

TEST_CASE("When the master fails its replica is used, and has what was acknowledged", "[serving][redis]") {
  if (!runs()) return;
  RedisServer master({"--repl-diskless-sync-delay", "0"});
  const RedisServer replica;
  // A replica follows a master by a port; a free one is found by trying.
  int port = 20'000 + static_cast<int>(getpid() % 20'000);
  for (bool bound = false; !bound; ++port) {
    try {
      call(master, {"CONFIG", "SET", "port", std::to_string(port)});
      bound = true;
    } catch (const Error&) {
    }
  }
  call(replica, {"REPLICAOF", "127.0.0.1", std::to_string(port - 1)});
  REQUIRE(becomes([&] {
    return call(replica, {"INFO", "replication"}).text().find("master_link_status:up") != std::string_view::npos;
  }));
  RedisEventStoreOptions options = master.options();
  options.servers = {replica.socket(), master.socket()};
  options.replicas = 1;
  options.timeout = milliseconds(500);
  Told told;  // outlives the store, which says at its end what became of the rest
  RedisEventStore store(options), other(options);
  Follower follower;
  other.follow(&follower);
  store.append(std::vector<Interaction>{numbered("1"), numbered("2")}, {});
  store.flush();
  master.kill();
  store.append(std::vector<Interaction>{numbered("3")}, told.completion());
  call(replica, {"REPLICAOF", "NO", "ONE"});
  // Which has no replica of its own.
  CHECK(becomes([&] { return store.status().error.find("expected 1 replicas") != std::string::npos; }));
  CHECK(told.stored == 0);
  CHECK(becomes([&] { return follower.size() == 3; }));
  CHECK(events_of(other).size() == 3);
  other.follow(nullptr);
}

TEST_CASE("A forgotten user leaves no byte in Redis and no host that knows him", "[serving][redis]") {
  if (!runs()) return;
  const RedisServer server({"--save", "3600 1"});
  Host a(server.options()), b(server.options());
  const std::string secret = "secret user";
  for (int i = 0; i < 30; ++i) {
    const std::string item = test::item_name(static_cast<std::size_t>(i));
    a.recommender.observe({.user = i % 3 == 0 ? secret.c_str() : "u1", .item = item, .timestamp = i});
    b.recommender.observe({.user = i % 3 == 1 ? secret.c_str() : "u2", .item = item, .timestamp = i});
  }
  a.store->put_profile(secret, R"([["age",25]])");
  a.store->flush();
  b.store->flush();
  call(server, {"BGSAVE"});
  REQUIRE(becomes([&] { return a.seen(secret) == 20 && b.seen(secret) == 20; }));
  CHECK(test::traces(server.folder(), secret) != 0);
  const std::size_t others = events_of(*a.store, "u1").size() + events_of(*a.store, "u2").size();

  a.recommender.forget_user(secret);
  CHECK(test::traces(server.folder(), secret) == 0);
  CHECK(a.events_of(secret) == 0);
  CHECK(becomes([&] { return b.seen(secret) == 0; }));
  CHECK(b.events_of(secret) == 0);
  CHECK(a.store->has_forgotten(secret));
  CHECK(becomes([&] { return b.store->has_forgotten(secret); }));
  CHECK_FALSE(b.store->has_forgotten("u1"));
  CHECK(events_of(*b.store).size() == others);

  // Somebody who is new, everywhere.
  b.recommender.observe({.user = secret, .item = "i1", .timestamp = 100});
  CHECK(becomes([&] { return a.seen(secret) == 1 && b.seen(secret) == 1; }));
  const Host later(server.options());
  CHECK(later.events_of(secret) == 1);
  CHECK(later.store->has_forgotten(secret));
}

TEST_CASE("A copy that expires while it is made never takes the place of the stream", "[serving][redis]") {
  if (!runs()) return;
  const RedisServer server;
  RedisEventStore store(server.options());
  store.append(std::vector<Interaction>(20'000, {.user = "u1", .item = "i1"}), {});
  store.flush();
  const platform::BrokenPipesAreErrors no_signal;
  SharedStream shared(server.options(), "paused");
  EventStream stream(shared);
  std::string commands;
  add_forgetting(commands, shared, 1, "u2", shared.forgotten.hash_of("u2"));
  stream.write(commands, 1);
  std::atomic<bool> done = false;
  std::thread copies([&] {
    stream.finish_erasures();
    done = true;
  });
  RedisConnection connection(server.socket(), {}, milliseconds(10'000));
  while (!done && connection.call({"DEL", shared.keys.copy}).integer() == 0) continue;  // as after its time
  copies.join();
  CHECK(events_of(store).size() == 20'000);
  CHECK(call(server, {"HLEN", shared.keys.erasing}).integer() == 0);
}

TEST_CASE("Files that were not written anew after an erasure are by the next store", "[serving][redis]") {
  if (!runs()) return;
  const RedisServer server;
  const std::string secret = "secret user";
  RedisEventStoreOptions options = server.options();
  options.rewrite_files = false;
  {
    RedisEventStore store(options);
    store.append(std::vector<Interaction>{{.user = secret, .item = "i1"}, {.user = "u1", .item = "i2"}}, {});
    store.erase(secret);
  }
  CHECK(test::traces(server.folder(), secret) != 0);
  RedisEventStore next(server.options());
  CHECK(events_of(next).size() == 1);
  CHECK(test::traces(server.folder(), secret) == 0);
  CHECK(call(server, {"EXISTS", "{attune:events}:rewrite"}).integer() == 0);
}

TEST_CASE("Somebody who was forgotten is not served again out of an older model", "[serving][redis]") {
  if (!runs()) return;
  const RedisServer server;
  RedisEventStore(server.options()).erase("u4");
  const Host host(server.options());
  CHECK(host.events_of("u4") == 0);
  CHECK(host.events_of("u5") != 0);
}

TEST_CASE("An erasure that was interrupted is finished by the next store", "[serving][redis]") {
  if (!runs()) return;
  const RedisServer server;
  const std::string secret = "secret user";
  RedisEventStore store(server.options());
  store.append(std::vector<Interaction>{{.user = secret, .item = "i1"}, {.user = "u1", .item = "i2"}}, {});
  store.flush();
  {
    const platform::BrokenPipesAreErrors no_signal;
    SharedStream shared(server.options(), "killed");
    EventStream stream(shared);
    std::string commands;
    add_forgetting(commands, shared, 1, secret, shared.forgotten.hash_of(secret));
    stream.write(commands, 1);
  }
  store.append(std::vector<Interaction>{{.user = secret, .item = "i3"}}, {});
  store.flush();
  CHECK(events_of(store, secret).size() == 1);  // what came later
  CHECK(call(server, {"XLEN", "attune:events"}).integer() == 4);
  RedisEventStore next(server.options());
  CHECK(events_of(next).size() == 2);
  CHECK(call(server, {"XLEN", "attune:events"}).integer() == 3);
  CHECK(call(server, {"HLEN", "{attune:events}:erasing"}).integer() == 0);
  CHECK(next.has_forgotten(secret));
  call(server, {"XADD", "attune:events", "*", "user", "s:u1", "item", "s:i1"});  // ids go on
}

TEST_CASE("Users are forgotten at several hosts at once while others write", "[serving][redis]") {
  if (!runs()) return;
  const RedisServer server;
  RedisEventStore a(server.options()), b(server.options()), writer(server.options());
  Follower follower;
  RedisEventStore follows(server.options());
  follows.follow(&follower);
  const std::vector<Interaction> batch{
      {.user = "u1", .item = "i1"}, {.user = "u2", .item = "i1"}, {.user = "u3", .item = "i1"}};
  for (int i = 0; i < 700; ++i) writer.append(batch, {});
  writer.flush();
  REQUIRE(becomes([&] { return follower.size() == 2'100; }));
  std::atomic<bool> done = false;
  std::atomic<std::size_t> written = 700;
  std::thread writes([&] {
    while (!done) {
      writer.append(std::vector<Interaction>{{.user = "u3", .item = "i2"}}, {});
      writer.flush();
      ++written;
    }
  });
  std::thread erases([&] { a.erase("u1"); });
  b.erase("u2");
  erases.join();
  done = true;
  writes.join();
  CHECK(events_of(b, "u1").empty());
  CHECK(events_of(a, "u2").empty());
  CHECK(events_of(a).size() == written);
  CHECK(becomes([&] { return follower.size() == written + 1'400; }));
  CHECK(becomes([&] {
    const std::lock_guard lock(follower.mutex);
    return follower.gone.size() == 2;
  }));
  follows.follow(nullptr);
}

TEST_CASE("Merged users are merged at every host", "[serving][redis]") {
  if (!runs()) return;
  const RedisServer server;
  Host a(server.options()), b(server.options());
  a.recommender.observe({.user = "cookie", .item = "i1", .timestamp = 10, .event_id = "1"});
  b.recommender.observe({.user = "named", .item = "i2", .timestamp = 20, .event_id = "2"});
  a.store->flush();
  b.store->flush();
  REQUIRE(becomes([&] { return a.seen("named") == 1 && b.seen("cookie") == 1; }));
  a.recommender.merge_users("cookie", "named");
  CHECK(a.events_of("named") == 2);
  CHECK(becomes([&] { return b.seen("named") == 2 && b.seen("cookie") == 0; }));
  CHECK(test::same_items(a.recommender.recommend({.user = "named"}), b.recommender.recommend({.user = "named"})));
  CHECK(test::traces(server.folder(), "cookie") == 0);
  const Host later(server.options());
  CHECK(later.events_of("named") == 2);
  CHECK(later.events_of("cookie") == 0);
}

TEST_CASE("What a host observes of a user while it merges him is lost by neither", "[serving][redis]") {
  if (!runs()) return;
  const RedisServer server;
  RedisEventStore store(server.options());
  store.append(std::vector<Interaction>(20'000, {.user = "u1", .item = "i1"}), {});
  Told told;
  std::atomic<bool> done = false;
  std::size_t appended = 0;
  std::promise<void> begun;
  std::thread observes([&] {
    for (; !done; ++appended) {
      store.append(std::vector<Interaction>{{.user = "cookie", .item = "i1"}}, told.completion());
      if (appended == 10) begun.set_value();
      std::this_thread::sleep_for(std::chrono::microseconds(100));  // the pace of the load; nothing waits on it
    }
  });
  begun.get_future().wait();
  store.merge("cookie", "named", {});
  done = true;
  observes.join();
  store.flush();
  CHECK(told.lost == 0);
  CHECK(events_of(store, "named").size() + events_of(store, "cookie").size() == appended);
}

TEST_CASE("Profiles are put, taken away and forgotten at every host", "[serving][redis]") {
  if (!runs()) return;
  const RedisServer server;
  RedisEventStore store(server.options()), other(server.options());
  Follower follower;
  other.follow(&follower);
  store.put_profile("u1", "[1]");
  store.put_profile("u2", "[2]");
  store.put_profile("u1", "[3]");
  store.put_profile(5, "[5]");
  const std::map<std::string, std::string> all{{"u1", "[3]"}, {"u2", "[2]"}, {"5", "[5]"}};
  CHECK(becomes([&] {
    const std::lock_guard lock(follower.mutex);
    return follower.profiles == all;
  }));
  store.put_profile("u2", "");
  store.erase("u1");
  std::map<std::string, std::string> kept;
  other.visit_profiles([&](const Id& user, std::string_view profile) { kept[to_string(user)] = profile; });
  CHECK(kept == std::map<std::string, std::string>{{"5", "[5]"}});
  CHECK(test::traces(server.folder(), "[3]") == 0);
  CHECK(code_of([&] { store.put_profile("", "[]"); }) == ErrorCode::invalid_argument);
  other.follow(nullptr);
}

TEST_CASE("Announcements are heard by every host in one order, and kept for those that come later",
          "[serving][redis]") {
  if (!runs()) return;
  const RedisServer server;
  Host a(server.options()), b(server.options());
  struct Heard {
    std::mutex mutex;
    std::vector<std::string> lines;
    void operator()(const Announcement& news) {
      std::string line = std::string(news.model) + "|" + to_string(news.item.id);
      for (const FieldValue& field : news.item.fields) {
        line.append("|").append(field.field()).append("=").append(field.names()).append(std::to_string(field.number()));
        for (const float x : field.vector()) line.append(",").append(std::to_string(x));
      }
      line += news.item.available_from ? "|from " + std::to_string(*news.item.available_from) : "";
      line += news.item.available_until == kNoTime ? "|for ever" : "";
      line += news.kind == Announcement::Kind::gone_item ? "|gone" : "";
      const std::lock_guard lock(mutex);
      lines.push_back(line);
    }
    std::size_t size() {
      const std::lock_guard lock(mutex);
      return lines.size();
    }
  } at_a, at_b, at_later;
  a.store->listen(std::ref(at_a));
  const float poster[] = {0.5f, 2};
  const double missing = std::numeric_limits<double>::quiet_NaN();
  a.store->announce_model("models/1");
  b.store->announce_item(
      {"i1", {{"genre", "Drama|War"}, {"year", 1999}, {"age", missing}, {"poster", std::span(poster)}}, 12, kNoTime});
  b.store->announce_model("models/2");
  a.store->announce_gone_item(7);
  b.store->listen(std::ref(at_b));
  REQUIRE(becomes([&] { return at_a.size() == 4; }));
  const std::string item =
      "|i1|genre=Drama|War0.000000|year=1999.000000|age=nan|poster=0.000000,0.500000,2.000000|from 12|for ever";
  CHECK(at_a.lines == std::vector<std::string>{"models/1|", item, "models/2|", "|7|gone"});
  const std::vector<std::string> kept{item, "models/2|", "|7|gone"};
  REQUIRE(becomes([&] { return at_b.size() >= 3; }));
  CHECK(std::vector<std::string>(at_b.lines.end() - 3, at_b.lines.end()) == kept);
  const Host later(server.options());
  later.store->listen(std::ref(at_later));
  REQUIRE(becomes([&] { return at_later.size() == 3; }));
  CHECK(at_later.lines == kept);
  for (const Host* const host : {static_cast<const Host*>(&a), static_cast<const Host*>(&b), &later}) {
    host->store->listen({});
  }
}

TEST_CASE("Nothing is heard once nobody follows", "[serving][redis]") {
  if (!runs()) return;
  const RedisServer server;
  std::atomic<int> heard = 0;
  Follower follower;
  {
    RedisEventStore store(server.options());
    for (std::size_t i = 0; i < 10; ++i) store.announce_item({.id = test::item_name(i)});
    std::promise<void> third;
    store.listen([&](const Announcement&) {
      if (++heard != 3) return;
      store.follow(nullptr);
      third.set_value();
    });
    store.follow(&follower);
    third.get_future().wait();
  }
  CHECK(heard == 3);
}

TEST_CASE("Who connects again hears of whom others forgot, also where the stream is trimmed", "[serving][redis]") {
  if (!runs()) return;
  const RedisServer server;
  RedisEventStore store(server.options()), away(server.options());
  Follower follower;
  away.follow(&follower);
  store.append(std::vector<Interaction>{numbered("1")}, {});
  REQUIRE(becomes([&] { return follower.size() == 1; }));
  away.follow(nullptr);
  store.erase("u1");
  store.erase("u3");
  call(server, {"XTRIM", "attune:events", "MAXLEN", "0"});
  call(server, {"CLIENT", "KILL", "TYPE", "normal"});
  away.follow(&follower);
  store.append(std::vector<Interaction>{numbered("2")}, {});
  CHECK(becomes([&] { return follower.size() == 2; }));
  away.follow(nullptr);
  CHECK(follower.gone == std::vector<std::string>{"u1", "u3"});
}

TEST_CASE("Who was forgotten before a host was opened and came again is told of from there on", "[serving][redis]") {
  if (!runs()) return;
  RedisServer server;
  RedisEventStoreOptions options = server.options();
  options.must_answer = false;
  {
    RedisEventStore store(options);
    store.erase("u1");
    store.append(std::vector<Interaction>{numbered("1")}, {});
    store.put_profile("u1", "[1]");
  }
  server.kill();
  RedisEventStore late(options);  // which does not know of whom
  server.start();
  CHECK(events_of(late).size() == 1);
  Follower follower;
  late.follow(&follower);
  RedisEventStore(options).append(std::vector<Interaction>{numbered("2")}, {});
  CHECK(becomes([&] { return follower.size() == 2; }));
  late.follow(nullptr);
  CHECK(follower.gone == std::vector<std::string>{"u1"});
  CHECK(follower.profiles.size() == 1);
  CHECK(follower.events.front().event_id == "1");
}

TEST_CASE("A host that was opened without Redis is told the profiles once it answers", "[serving][redis]") {
  if (!runs()) return;
  RedisServer server;
  RedisEventStoreOptions options = server.options();
  options.must_answer = false;
  RedisEventStore(options).put_profile("u1", "[1]");
  call(server, {"XTRIM", "attune:events", "MAXLEN", "0"});
  server.kill();
  RedisEventStore store(options);
  Follower follower;
  store.visit_profiles([](const Id&, std::string_view) { FAIL("nobody answers"); });
  store.follow(&follower);
  server.start();
  RedisEventStore(options).append(std::vector<Interaction>{numbered("1")}, {});
  CHECK(becomes([&] { return follower.size() == 1; }));
  store.follow(nullptr);
  CHECK(follower.profiles == std::map<std::string, std::string>{{"u1", "[1]"}});
}

TEST_CASE("A completion may hold the store last, and append", "[serving][redis]") {
  if (!runs()) return;
  const RedisServer server;
  std::promise<void> gone;
  auto store = open_store(server.options());
  auto* const raw = store.get();
  raw->append(std::vector<Interaction>{numbered("1")}, [store, &gone](bool stored) {
    CHECK(stored);
    CHECK(code_of([&] { store->flush(); }) == ErrorCode::unsupported);
    store->append(std::vector<Interaction>{numbered("2")}, [&gone](bool also) {
      CHECK(also);
      gone.set_value();
    });
  });
  store.reset();
  gone.get_future().wait();
  RedisEventStore later(server.options());
  CHECK(events_of(later).size() == 2);
}

TEST_CASE("After fork the child's appends are refused", "[serving][redis]") {
  if (!runs()) return;
  const RedisServer server;
  RedisEventStore store(server.options());
  store.erase("u2");
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    bool refused = false;
    store.append(std::vector<Interaction>{numbered("1")}, [&](bool stored) { refused = !stored; });
    const bool asks_nobody = !store.has_forgotten("u2");  // whose mutex a thread may have held
    _exit(refused && asks_nobody && !store.status().error.empty() ? 0 : 1);
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  store.append(std::vector<Interaction>{numbered("2")}, {});
  store.flush();
  CHECK(events_of(store).size() == 1);
}
