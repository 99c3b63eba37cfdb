// SPDX-License-Identifier: Apache-2.0

// A disk and a memory that fail, at every place in turn, once and for ever: nothing crashes, nothing is acknowledged
// that is not there, and what was acknowledged is.

#include <algorithm>
#include <array>
#include <functional>
#include <map>
#include <set>
#include <thread>

#include "attune/error.hpp"
#include "attune/recommender.hpp"
#include "attune/serving/sqlite_event_store.hpp"
#include "catch.hpp"
#include "serving/answers.hpp"
#include "serving/failing_sqlite.hpp"
#include "serving/small_model.hpp"
#include "serving/stored_events.hpp"

using namespace attune;
using test::DiskFaults;
using test::events_of;
using test::MemoryFaults;
using test::traces;

namespace {

constexpr int kBatches = 30;

// Of which none is a part of another.
std::string item_of(int batch) { return std::to_string(batch).insert(0, "item "); }
std::string id_of(int batch) { return std::to_string(batch).insert(0, "delivery ").append("."); }

// What a run has been told.
struct Outcome {
  std::array<int, kBatches> told{};  // 1: stored, -1: lost, by batch
  std::atomic<int> completions = 0;  // and batches that were refused by exception, which says the same
  bool opened = false, erased = false, merged = false, pruned = false;
};

// Opens, appends, erases, merges, prunes and closes; whatever fails must say so.
void run(const std::string& path, Outcome& outcome) {
  try {
    SqliteEventStore store(path);
    outcome.opened = true;
    const auto append = [&](int batch) {
      const std::string item = item_of(batch), id = id_of(batch);
      const char* const user = batch % 3 == 0 ? "secret" : batch % 3 == 1 ? "cookie" : "user";
      const Timestamp time = batch < 5 ? 1 : 1000 + batch;
      store.append(std::vector<Interaction>{{.user = user, .item = item, .timestamp = time, .event_id = id}},
                   [&outcome, batch](bool stored) {
                     outcome.told[static_cast<std::size_t>(batch)] = stored ? 1 : -1;
                     ++outcome.completions;
                   });
    };
    const auto attempt = [](bool& done, auto body) {
      try {
        body();
        done = true;
      } catch (const std::exception&) {
      }
    };
    const auto append_all = [&](int begin, int end) {
      for (int batch = begin; batch < end; ++batch) {
        try {
          append(batch);
        } catch (const std::bad_alloc&) {
          ++outcome.completions;
        }
      }
    };
    append_all(0, 20);
    attempt(outcome.erased, [&] { store.erase("secret"); });
    attempt(outcome.merged, [&] { store.merge("cookie", "user", {}); });
    attempt(outcome.pruned, [&] { store.prune(1000); });
    append_all(20, kBatches);
  } catch (const std::exception&) {
  }
}

// What must be in the file after a run, whatever failed.
void check(const Outcome& outcome, const std::string& path, const std::filesystem::path& directory) {
  CHECK(outcome.completions == (outcome.opened ? kBatches : 0));
  std::map<std::string, std::string> users;  // by item
  int doubled = 0;
  {
    SqliteEventStore store(path);
    for (const test::StoredEvent& event : events_of(store)) doubled += !users.emplace(event.item, event.user).second;
    if (outcome.erased) CHECK(store.has_forgotten("secret"));
    if (outcome.erased) CHECK(traces(directory, id_of(6)) == 0);
    CHECK(traces(directory, id_of(8)) == users.count(item_of(8)));
  }
  CHECK(doubled == 0);
  int missing = 0, wrong = 0;
  for (int batch = 0; batch < kBatches; ++batch) {
    const auto found = users.find(item_of(batch));
    const bool early = batch < 20, secret = batch % 3 == 0, cookie = batch % 3 == 1, old = batch < 5;
    const bool may_be_gone = early && (secret || old);
    missing += outcome.told[static_cast<std::size_t>(batch)] == 1 && found == users.end() && !may_be_gone;
    if (found == users.end() || !early) continue;
    wrong += secret && outcome.erased;
    wrong += cookie && outcome.merged && found->second != "user";
    wrong += old && outcome.pruned;
  }
  CHECK(missing == 0);
  CHECK(wrong == 0);
}

// Runs with one call failing, the first and every `stride`-th after it, until none fails; returns how many calls there
// were to fail.
int fail_each(std::atomic<int>& fail_at, std::atomic<int>& calls, const std::function<void(bool)>& arm,
              int stride = 1) {
  for (int n = 0;; n += stride) {
    const test::TemporaryDirectory directory;
    const std::string path = (directory / "events.db").string();
    arm(true);
    calls = 0;
    fail_at = n;
    Outcome outcome;
    run(path, outcome);
    const bool reached = calls > n;
    fail_at = INT_MAX;
    arm(false);
    INFO("failure at " << n);
    check(outcome, path, directory.path());
    if (!reached) {
      CHECK((outcome.opened && outcome.erased && outcome.merged && outcome.pruned));
      CHECK(std::ranges::count(outcome.told, 1) == kBatches);
      return n;
    }
  }
}

void fail_allocations(int stride) {
  const bool for_ever = GENERATE(false, true);
  REQUIRE(MemoryFaults::installed);
  const DiskFaults without_syncs;
  const int calls = fail_each(
      MemoryFaults::fail_at, MemoryFaults::calls, [&](bool armed) { MemoryFaults::for_ever = armed && for_ever; },
      stride);
  CHECK(calls > 100);
}

}  // namespace

TEST_CASE("Whatever write, sync or opening fails, no acknowledgement is false", "[serving][store][faults]") {
  const bool for_ever = GENERATE(false, true);
  DiskFaults faults;
  const int runs = fail_each(faults.fail_at, faults.calls, [&](bool armed) { faults.for_ever = armed && for_ever; });
  CHECK(runs > 30);
}

TEST_CASE("Whatever allocation fails, no acknowledgement is false", "[serving][store][faults][memory]") {
  fail_allocations(7);
}

TEST_CASE("Not one allocation that fails makes an acknowledgement false", "[.long][serving][store][faults][memory]") {
  fail_allocations(1);
}

TEST_CASE("A store whose disk has failed stays failed, and serving goes on", "[serving][store][faults]") {
  const auto durability = GENERATE(Durability::durable, Durability::relaxed);
  const test::TemporaryDirectory directory;
  const std::string path = (directory / "events.db").string();
  DiskFaults faults;
  test::Told before, after;
  {
    const auto store = std::make_shared<SqliteEventStore>(path, SqliteEventStoreOptions{.durability = durability});
    Recommender recommender = Recommender::open(test::make_model(), {.event_store = store});
    recommender.observe({.user = "x", .item = "i1"}, before.completion());
    store->flush();
    faults.fail_at = faults.calls.load();
    recommender.observe({.user = "x", .item = "i2"});
    CHECK_THROWS_AS(store->flush(), Error);
    CHECK(store->error().find(path) != std::string::npos);
    faults.fail_at = INT_MAX;  // the disk is well again
    recommender.observe({.user = "x", .item = "i3"}, after.completion());
    CHECK(test::same_items(recommender.recommend({.user = "x"}), recommender.recommend_history({"i1", "i2", "i3"})));
    // The writer counts what it could not keep when it has told flush().
    const std::size_t unstored = durability == Durability::durable ? 2 : 1;
    for (int attempt = 0; attempt < 100000 && recommender.info().unstored_events != unstored; ++attempt) {
      std::this_thread::yield();
    }
    CHECK(recommender.info().unstored_events == unstored);
    CHECK_THROWS_AS(recommender.forget_user("x"), Error);
    CHECK(recommender.export_user("x").empty());
  }
  CHECK(before.stored == 1);
  CHECK(after.stored == 0);
  CHECK(after.lost == 1);
  SqliteEventStore store(path);
  const auto events = events_of(store);
  REQUIRE_FALSE(events.empty());
  CHECK(events.front().item == "i1");
}

TEST_CASE("After a pruning that failed anywhere a user can still be erased to the last byte",
          "[serving][store][faults][erasure]") {
  const test::TemporaryDirectory origin;
  {
    SqliteEventStore store((origin / "events.db").string());
    std::vector<std::string> ids;
    std::vector<Interaction> events;
    for (std::size_t i = 0; i < 3000; ++i) ids.push_back(std::to_string(i).append(i % 40, '.').insert(0, "secret "));
    for (std::size_t i = 0; i < ids.size(); ++i) {
      const Timestamp time = i * 7919 % 10 < 8 ? 1 : 1000;  // most go
      events.push_back({.user = i % 2 == 0 ? "secret" : "user", .item = "i", .timestamp = time, .event_id = ids[i]});
    }
    store.append(events, {});
  }
  DiskFaults faults;
  bool reached = true;
  for (int n = 0; reached; ++n) {
    const test::TemporaryDirectory directory;
    const std::string path = (directory / "events.db").string();
    std::filesystem::copy_file(origin / "events.db", path);
    try {
      SqliteEventStore store(path);
      faults.calls = 0;
      faults.for_ever = true;
      faults.fail_at = n;
      store.prune(1000);
    } catch (const Error&) {
    }
    reached = faults.calls > n;
    faults.for_ever = false;
    faults.fail_at = INT_MAX;
    SqliteEventStore store(path);
    store.erase("secret");
    store.erase("user");
    INFO("failure at " << n);
    CHECK(traces(directory.path(), "secret ") == 0);
  }
}

TEST_CASE("A file that may only be read is refused", "[serving][store][faults]") {
  const test::TemporaryDirectory directory;
  const std::string path = (directory / "events.db").string();
  DiskFaults faults;
  { SqliteEventStore store(path); }
  faults.read_only = true;
  try {
    SqliteEventStore store(path);
    FAIL("the store opens");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::io_error);
    CHECK(std::string(error.what()).find("may only be read") != std::string::npos);
  }
}
