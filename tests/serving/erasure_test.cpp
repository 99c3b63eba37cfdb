// SPDX-License-Identifier: Apache-2.0

// A recommender over an event store on the disk: what it knows after a restart, and what of a user is left in files.

#include <algorithm>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <map>
#include <random>
#include <thread>

#include "attune/error.hpp"
#include "attune/recommender.hpp"
#include "attune/serving/shadow.hpp"
#include "attune/serving/sqlite_event_store.hpp"
#include "attune/serving/telemetry.hpp"
#include "catch.hpp"
#include "serving/answers.hpp"
#include "serving/small_model.hpp"
#include "serving/stored_events.hpp"

using namespace attune;
using test::make_model;
using test::same_items;
using test::traces;

namespace {

// A model directory and a store, and recommenders that open both.
struct Site : test::TemporaryDirectory {
  explicit Site(const TrainedModel& model = make_model({.first_user = 1'000'000})) { model.save(model_path()); }
  std::string model_path() const { return (*this / "model").string(); }
  std::string store_path() const { return (*this / "events.db").string(); }
  Recommender open(Durability durability = Durability::durable, std::size_t history_budget_bytes = 0) const {
    auto store = std::make_shared<SqliteEventStore>(store_path(), SqliteEventStoreOptions{.durability = durability});
    return Recommender::open(model_path(),
                             {.event_store = std::move(store), .history_budget_bytes = history_budget_bytes});
  }
};

std::string export_of(const Recommender& recommender, const std::vector<std::string>& users) {
  std::string lines;
  for (const std::string& user : users) lines += recommender.export_user(user);
  return lines;
}

}  // namespace

TEST_CASE("After a restart a recommender answers as if it had never stopped", "[serving][store]") {
  const auto durability = GENERATE(Durability::durable, Durability::relaxed);
  const Site site;
  const std::vector<std::string> users{"u1000001", "u1000002", "new", "cookie", "merged"};
  std::mt19937 random(3);
  std::map<std::string, Answer> answers;
  std::string exported;
  {
    Recommender recommender = site.open(durability);
    for (int i = 0; i < 400; ++i) {
      const std::string id = std::to_string(random() % 150), item = test::item_name(random() % 60);
      recommender.observe({.user = users[random() % users.size()],
                           .item = item,
                           .timestamp = static_cast<Timestamp>(random() % 20) * 700'000,
                           .event = random() % 2 == 0 ? "" : "buy",
                           .value = 0.5f,
                           .event_id = random() % 2 == 0 ? "" : id});
    }
    recommender.merge_users("cookie", "merged");
    recommender.merge_users("u1000002", "merged");  // with a history of the model
    recommender.forget_user("u1000001");
    recommender.observe({.user = "u1000001", .item = "i5", .timestamp = 5});
    for (const std::string& user : users) answers[user] = recommender.recommend({.user = user});
    exported = export_of(recommender, users);
  }
  for (int restart = 0; restart < 2; ++restart) {
    const Recommender recommender = site.open(durability);
    CHECK(export_of(recommender, users) == exported);
    for (const std::string& user : users) CHECK(same_items(recommender.recommend({.user = user}), answers[user]));
    CHECK(recommender.export_user("cookie").empty());
    CHECK(recommender.export_user("u1000002").empty());
  }
}

TEST_CASE("Forgetting leaves no byte in the model directory and the event store", "[serving][erasure]") {
  const Site site;
  make_model({.first_user = 1'000'000}).save((site / "old model").string());
  const std::string user = "u1000003";
  {
    Recommender recommender = site.open();
    for (int i = 0; i < 500; ++i) {
      const std::string other = test::user_name(static_cast<std::size_t>(i));
      recommender.observe({.user = other, .item = "i1"});
      const std::string id = "delivery-" + std::to_string(i);
      recommender.observe({.user = user, .item = "i2", .event_id = id});
    }
    recommender.forget_user(user);
    CHECK(traces(site.model_path(), user) == 0);
    CHECK(traces(site.path(), "delivery-") == 0);
    CHECK(std::filesystem::exists(site.store_path() + "-wal"));
    recommender.reload((site / "old model").string());
    CHECK(recommender.export_user(user).empty());
    CHECK_FALSE(recommender.export_user("u1000004").empty());
    std::filesystem::remove_all(site / "old model");
    CHECK(traces(site.path(), user) == 0);
  }
  CHECK(traces(site.path(), user) == 0);
  CHECK(site.open().export_user(user).empty());
}

TEST_CASE("No byte of an id is left, however long it is and whatever its kind", "[serving][erasure]") {
  const Site site;
  {
    Recommender recommender = site.open();
    for (const std::size_t length : {6u, 32u, 300u, 5'000u}) {
      std::string user = "0f1e2d3c4b5a69788796a5b4c3d2e1f0";  // as a pseudonym looks
      user.resize(length, '#');
      for (int i = 0; i < 20; ++i) recommender.observe({.user = user, .item = "i1", .event_id = user});
      const std::string_view start = std::string_view(user).substr(0, 32);
      CHECK_FALSE(recommender.export_user(user).empty());  // when it is written
      CHECK(traces(site.path(), start) > 0);
      recommender.forget_user(user);
      CHECK(traces(site.path(), start) == 0);
    }
  }
  constexpr std::int64_t kUser = 0x7f3a'5c19'e2d4'b688;
  std::string bytes;
  for (int shift = 0; shift < 64; shift += 8) bytes += static_cast<char>(kUser >> shift & 0xFF);
  const std::string other_order(bytes.rbegin(), bytes.rend());
  auto users = std::make_shared<IdMap>(IdKind::int64);
  users->insert(5);
  users->insert(kUser);
  TrainedModel model = make_model({.users = 2});
  auto histories = std::make_shared<Histories>(*model.histories);
  histories->user_ids = users;
  model.histories = histories;
  model.save(site.model_path());
  std::filesystem::remove(site.store_path());
  Recommender recommender = site.open();
  for (int i = 0; i < 20; ++i) recommender.observe({.user = kUser, .item = "i1"});
  CHECK_FALSE(recommender.export_user(kUser).empty());
  CHECK(traces(site.path(), bytes) > 0);        // in the model
  CHECK(traces(site.path(), other_order) > 0);  // in the store
  recommender.forget_user(kUser);
  CHECK(traces(site.path(), bytes) == 0);
  CHECK(traces(site.path(), other_order) == 0);
}

TEST_CASE("An item that only the forgotten user had is not named in the store any more", "[serving][erasure]") {
  const Site site;
  for (int again = 0; again < 2; ++again) {
    Recommender recommender = site.open();
    for (const std::string user : {"leaves", "stays"}) {
      recommender.observe({.user = user, .item = "of both"});
      recommender.observe({.user = user, .item = "of the one who " + user});
    }
    recommender.forget_user("leaves");
    CHECK(traces(site.path(), "of the one who leaves") == 0);
    CHECK(traces(site.path(), "of the one who stays") > 0);
    CHECK(traces(site.path(), "of both") > 0);
    recommender.observe({.user = "leaves", .item = "of the one who leaves"});
    recommender.observe({.user = "leaves", .item = "of the one who stays"});
  }
  const Recommender recommender = site.open();
  const std::string own = recommender.export_user("leaves"), of_other = recommender.export_user("stays");
  CHECK(std::ranges::count(own, '\n') == 2);
  CHECK(own.find("of the one who leaves") < own.find("of the one who stays"));
  CHECK(std::ranges::count(of_other, '\n') == 4);
}

TEST_CASE("Forgetting takes what waits to be written and what a candidate is measured on, and the log names nobody",
          "[serving][erasure]") {
  struct Log final : Telemetry {
    void log(LogLevel, std::string_view line) noexcept override { lines.append(line); }
    std::string lines;
  };
  const Site site;
  const auto log = std::make_shared<Log>();
  const std::string user = "u1000003";
  {
    const auto store = std::make_shared<SqliteEventStore>(
        site.store_path(),
        SqliteEventStoreOptions{.durability = Durability::relaxed, .relaxed_interval = std::chrono::hours(1)});
    Recommender recommender = Recommender::open(site.model_path(), {.event_store = store, .telemetry = log});
    recommender.shadow(site.model_path(), {.share = 1});
    for (int i = 0; i < 50; ++i) recommender.observe({.user = user, .item = "i1"});
    recommender.forget_user(user);
    recommender.end_shadow();
    CHECK(traces(site.path(), user) == 0);
    store->flush();
    CHECK(traces(site.path(), user) == 0);
    CHECK(recommender.export_user(user).empty());
  }
  CHECK(traces(site.path(), user) == 0);
  CHECK_FALSE(log->lines.empty());
  CHECK(log->lines.find(user) == std::string::npos);
}

TEST_CASE("A delivery that is repeated after a restart counts once", "[serving][store]") {
  const Site site;
  const Interaction event{.user = "u1000001", .item = "i3", .timestamp = 9'000'000, .event_id = "delivery"};
  test::Told told;
  CHECK(site.open().observe(event, told.completion()) == Observed::recorded);
  {
    Recommender recommender = site.open();
    CHECK(recommender.observe(event, told.completion()) == Observed::duplicate);
    CHECK(recommender.observe(event) == Observed::duplicate);
  }
  CHECK(told.stored == 2);
  const std::string lines = site.open().export_user("u1000001");
  CHECK(std::ranges::count(lines, '\n') == 13);
  CHECK(lines.find("\"event_id\":\"delivery\"") != std::string::npos);
}

TEST_CASE("What the store has of a user who was let go is exported and merged", "[serving][store][merge]") {
  const Site site;
  const std::string of_model = "u1000002";
  Recommender recommender = site.open(Durability::durable, 64);
  const auto observe = [&](const std::string& user, const std::string& item, Timestamp time) {
    const std::string id = user + item;
    recommender.observe({.user = user, .item = item, .timestamp = time, .event = "buy", .event_id = id});
  };
  const auto let_everybody_go = [&] {
    for (std::size_t u = 0; u < 500; ++u) recommender.observe({.user = test::user_name(u), .item = "i1"});
  };
  observe("cookie", "i3", 3);
  observe("cookie", "i1", 1);
  observe(of_model, "i5", 5);
  const std::string exported = recommender.export_user("cookie"), of_known = recommender.export_user(of_model);
  let_everybody_go();
  CHECK(recommender.info().users_let_go > 0);
  CHECK(recommender.export_user("cookie") == exported);
  CHECK(recommender.export_user(of_model) == of_known);
  CHECK(recommender.export_user("nobody").empty());
  observe("cookie", "i2", 2);
  CHECK(std::ranges::count(recommender.export_user("cookie"), '\n') == 3);
  let_everybody_go();

  recommender.merge_users("cookie", "known");
  CHECK(recommender.export_user("cookie").empty());
  const std::string merged = recommender.export_user("known");
  CHECK(std::ranges::count(merged, '\n') == 3);
  CHECK(merged.find("i1") < merged.find("i2"));
  CHECK(merged.find("i2") < merged.find("i3"));
}

TEST_CASE("A merge moves an event that the model and the store have once", "[serving][store][merge]") {
  const TrainedModel model = make_model({.first_user = 1'000'000});
  const Site site(model);
  const std::string user = "u1000002";
  {
    SqliteEventStore store(site.store_path());
    const HistoryView history = model.histories->of(2);
    for (std::size_t i = 0; i < 5; ++i) {  // that the model has learned
      store.append(
          std::vector<Interaction>{
              {.user = user, .item = model.item_ids->id(history.items[i]), .timestamp = history.times[i]}},
          {});
    }
  }
  Recommender recommender = site.open();
  REQUIRE(std::ranges::count(recommender.export_user(user), '\n') == 12);
  recommender.merge_users(user, "known");
  const Answer answer = recommender.recommend({.user = "known"});
  CHECK(std::ranges::count(recommender.export_user("known"), '\n') == 12);
  recommender = Recommender::open(make_model());  // closes the store
  const Recommender restarted = site.open();
  CHECK(std::ranges::count(restarted.export_user("known"), '\n') == 12);
  CHECK(same_items(restarted.recommend({.user = "known"}), answer));
}

TEST_CASE("Events, requests, merges, exports, forgetting and reloads may all happen at once", "[serving][store]") {
  constexpr std::size_t kUsers = 6, kRounds = 40;
  const Site site;
  test::Told told;
  std::atomic<std::size_t> events = 0;
  {
    auto store =
        std::make_shared<SqliteEventStore>(site.store_path(), SqliteEventStoreOptions{.max_queued_events = 32});
    Recommender recommender = Recommender::open(site.model_path(), {.event_store = store});
    std::atomic<bool> stop = false;
    std::vector<std::thread> threads;
    for (std::size_t t = 0; t < 2; ++t) {
      threads.emplace_back([&, t] {
        for (std::size_t i = t; !stop; ++i, ++events) {
          const std::string user = test::user_name(1'000'000 + i % kUsers), id = std::to_string(i);
          recommender.observe({.user = user, .item = "i7", .event_id = id}, told.completion());
          recommender.recommend({.user = user});
        }
      });
    }
    threads.emplace_back([&] {
      for (std::size_t i = 0; i < kRounds; ++i) {
        recommender.forget_user(test::user_name(1'000'000 + i % kUsers));
        recommender.merge_users(test::user_name(1'000'000 + (i + 1) % kUsers), test::user_name(1'000'003));
        if (i % 8 == 0) store->prune(3);
      }
      stop = true;
    });
    threads.emplace_back([&] {
      while (!stop) {
        recommender.export_user(test::user_name(1'000'001));
        recommender.reload(site.model_path());
        recommender.info();
      }
    });
    for (std::thread& thread : threads) thread.join();
    CHECK(recommender.info().unstored_events == 0);
    CHECK(store->error().empty());
    for (std::size_t u = 0; u < kUsers; ++u) recommender.forget_user(test::user_name(1'000'000 + u));
  }
  CHECK(static_cast<std::size_t>(told.stored) == events);
  CHECK(told.lost == 0);
  for (std::size_t u = 0; u < kUsers; ++u) CHECK(traces(site.path(), test::user_name(1'000'000 + u)) == 0);
}
