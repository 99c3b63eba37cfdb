// SPDX-License-Identifier: Apache-2.0

// What happens to whole users: their events stored and acknowledged, exported, merged, forgotten.

#include <algorithm>
#include <functional>
#include <nlohmann/json.hpp>
#include <sstream>
#include <stdexcept>
#include <thread>

#include "attune/error.hpp"
#include "attune/recommender.hpp"
#include "catch.hpp"
#include "serving/answers.hpp"
#include "serving/small_model.hpp"
#include "serving/stored_events.hpp"

using namespace attune;
using test::make_model;
using test::same_items;
using test::StoredEvent;
using test::Told;
using test::traces;

namespace {

// Acknowledges when it is told to; forgets and merges like one that is durable.
class ManualStore : public EventStore {
 public:
  void append(std::span<const Interaction> batch, std::function<void(bool)> done) override {
    for (const Interaction& e : batch) events.push_back(test::copy_of(e));
    open.push_back(std::move(done));
  }
  void acknowledge(bool stored) {
    for (const auto& done : open) done(stored);
    open.clear();
  }
  void replay(const std::function<void(const Interaction&)>& visit) override {
    for (const StoredEvent& e : events) visit({e.user, e.item, e.timestamp, e.kind, e.value, e.event_id});
  }
  void erase(const Id& user) override {
    if (fails) throw Error(ErrorCode::io_error, "the disk is full");
    forgotten.push_back(to_string(user));
    std::erase_if(events, [&](const StoredEvent& e) { return Id(e.user) == user; });
  }
  bool has_forgotten(const Id& user) const override {
    return std::ranges::find(forgotten, to_string(user)) != forgotten.end();
  }

  std::vector<StoredEvent> events;
  std::vector<std::string> forgotten;
  std::vector<std::function<void(bool)>> open;
  bool fails = false;
};

std::vector<nlohmann::json> parsed(const std::string& lines) {
  std::vector<nlohmann::json> result;
  std::istringstream in(lines);
  for (std::string line; std::getline(in, line);) result.push_back(nlohmann::json::parse(line));
  return result;
}

bool knows(const Recommender& recommender, const std::string& user) { return !recommender.export_user(user).empty(); }

}  // namespace

TEST_CASE("Who observes is told once that an event is durable, or that it never will be", "[serving][event_store]") {
  const bool stored = GENERATE(true, false);
  const auto store = std::make_shared<ManualStore>();
  Recommender recommender = Recommender::open(make_model(), {.event_store = store});
  Told one, batch, again, rejected;
  CHECK(recommender.observe({.user = "x", .item = "i1", .event_id = "1"}, one.completion()) == Observed::recorded);
  CHECK(recommender.observe_batch(std::vector<Interaction>{{.user = "x", .item = "i2"}, {.user = "", .item = "i3"}},
                                  batch.completion()) == std::vector{Observed::recorded, Observed::rejected});
  CHECK(one.stored + one.lost + batch.stored + batch.lost == 0);
  CHECK(recommender.observe({.user = "x", .item = "i1", .event_id = "1"}, again.completion()) == Observed::duplicate);
  CHECK(again.stored + again.lost == 0);  // as long as the first is not durable
  store->acknowledge(stored);
  for (const Told* told : {&one, &batch, &again}) {
    CHECK(told->stored == (stored ? 1 : 0));
    CHECK(told->lost == (stored ? 0 : 1));
  }
  CHECK(recommender.info().unstored_events == (stored ? 0u : 2u));
  CHECK(recommender.observe({.user = "", .item = "i1"}, rejected.completion()) == Observed::rejected);
  recommender.observe_batch(std::vector<Interaction>{{.user = "", .item = "i1"}}, rejected.completion());
  CHECK(rejected.lost == 2);
  recommender.observe_batch({}, rejected.completion());
  CHECK(rejected.stored == 1);

  // What was stored twice counts once.
  const Recommender restarted = Recommender::open(make_model(), {.event_store = store});
  CHECK(same_items(restarted.recommend({.user = "x"}), recommender.recommend({.user = "x"})));
  CHECK(parsed(restarted.export_user("x")).size() == 2);
}

TEST_CASE("Without an event store an event is done when it is observed", "[serving][event_store]") {
  Recommender recommender = Recommender::open(make_model());
  Told told;
  recommender.observe({.user = "x", .item = "i1"}, told.completion());
  recommender.observe({.user = "x", .item = "i1"}, Completion());
  recommender.observe_batch(std::vector<Interaction>{{.user = "x", .item = "i1"}}, told.completion());
  CHECK(told.stored == 2);
}

TEST_CASE("What a completion throws is lost, and it is called once all the same", "[serving][event_store]") {
  const bool stored = GENERATE(true, false);
  const auto store = std::make_shared<ManualStore>();
  int calls = 0;
  const auto throws = [&](bool) {
    ++calls;
    throw std::runtime_error("of the host's");
  };
  Recommender in_memory = Recommender::open(make_model());
  in_memory.observe({.user = "x", .item = "i1"}, throws);
  Recommender recommender = Recommender::open(make_model(), {.event_store = store});
  recommender.observe({.user = "x", .item = "i1"}, throws);
  recommender.observe({.user = "", .item = "i1"}, throws);
  store->acknowledge(stored);
  CHECK(calls == 3);
  CHECK(recommender.info().unstored_events == (stored ? 0u : 1u));
}

TEST_CASE("A time before 1970 or after the year 9999 is rejected", "[serving][event_store]") {
  Recommender recommender = Recommender::open(make_model());
  const auto observed = [&](Timestamp time) {
    return recommender.observe({.user = "x", .item = "i1", .timestamp = time});
  };
  CHECK(observed(kNoTime) == Observed::recorded);
  CHECK(observed(0) == Observed::recorded);
  CHECK(observed(253'402'300'799'999) == Observed::recorded);
  CHECK(observed(-1) == Observed::rejected);
  CHECK(observed(kNoTime + 1) == Observed::rejected);
  CHECK(observed(253'402'300'800'000) == Observed::rejected);
  CHECK(observed(1'700'000'000'000'000) == Observed::rejected);  // microseconds
}

TEST_CASE("A forgotten user is unknown, here and in the model directory, and can come again", "[serving][erasure]") {
  const test::TemporaryDirectory directory;
  const std::string path = (directory / "model").string();
  const TrainedModel model = make_model({.first_user = 1'000'000});
  const std::string user = "u1000003";
  model.save(path);
  const ModelAccess access = GENERATE(ModelAccess::mapped, ModelAccess::in_memory);
  Recommender recommender = Recommender::open(path, {.model_access = access});
  const Recommender neighbour = Recommender::open(path);
  const Answer before = neighbour.recommend({.user = user});
  const Answer cold = recommender.recommend({.user = "nobody"});
  recommender.observe({.user = user, .item = "i1", .event_id = "e"});
  recommender.recommend({.user = user});  // with a cache
  REQUIRE(traces(directory.path(), user) > 0);

  recommender.forget_user(user);
  CHECK(traces(directory.path(), user) == 0);
  CHECK(recommender.info().users == 7);
  CHECK(recommender.info().cache_bytes == 0);
  CHECK_FALSE(knows(recommender, user));
  CHECK(same_items(recommender.recommend({.user = user}), cold));
  CHECK(same_items(neighbour.recommend({.user = user}), before));
  recommender.check_model();

  const TrainedModel kept = TrainedModel::load(path);
  CHECK(kept.version == model.version);
  CHECK(kept.histories->num_users() == 7);
  const Recommender reopened = Recommender::open(path);
  CHECK(same_items(reopened.recommend({.user = user}), cold));
  for (const char* other : {"u1000000", "u1000002", "u1000004", "u1000007"}) {
    CHECK(same_items(reopened.recommend({.user = other}), neighbour.recommend({.user = other})));
    CHECK(same_items(recommender.recommend({.user = other}), neighbour.recommend({.user = other})));
  }

  CHECK(recommender.observe({.user = user, .item = "i1", .event_id = "e"}) == Observed::recorded);
  CHECK(same_items(recommender.recommend({.user = user}), recommender.recommend_history({"i1"})));
  CHECK(recommender.info().users == 8);
  recommender.forget_user(user);
  recommender.forget_user("nobody");
  recommender.forget_user("");
  CHECK(recommender.info().users == 7);
}

TEST_CASE("A user who is forgotten at another host goes once, from the model directory too, also while opening",
          "[serving][erasure]") {
  // Tells of it as soon as somebody follows.
  class TellingStore final : public ManualStore {
   public:
    void follow(StoreFollower* follower) override {
      if (follower == nullptr) return telling.join();
      telling = std::thread([follower] { follower->forgotten([](const Id& user) { return user == Id("u1"); }); });
      if (waits) telling.join(), telling = std::thread([] {});
    }
    std::thread telling;
    bool waits = true;
  };
  const test::TemporaryDirectory directory;
  const std::string path = (directory / "m").string();
  make_model().save(path);
  const auto store = std::make_shared<TellingStore>();
  {
    const Recommender recommender = Recommender::open(path, {.event_store = store});
    CHECK_FALSE(knows(recommender, "u1"));
    CHECK(TrainedModel::load(path).histories->user_ids->find("u1") == kNoHandle);
  }
  make_model().save(path);
  store->waits = false;
  Recommender recommender = Recommender::open(path, {.event_store = store});
  while (knows(recommender, "u1")) std::this_thread::yield();
  recommender.observe({.user = "u1", .item = "i1"});  // while the file is cleaned
  store->follow(nullptr);
  store->telling = std::thread([] {});
  CHECK(parsed(recommender.export_user("u1")).size() == 1);
}

TEST_CASE("An event store keeps the histories of other models of a forgotten user out", "[serving][erasure]") {
  const auto store = std::make_shared<ManualStore>();
  Recommender recommender = Recommender::open(make_model(), {.event_store = store});
  recommender.forget_user("u3");
  const Answer cold = recommender.recommend({.user = "nobody"});
  recommender.reload(make_model());
  CHECK(same_items(recommender.recommend({.user = "u3"}), cold));
  CHECK(knows(recommender, "u4"));
  recommender.observe({.user = "u3", .item = "i5"});
  recommender.reload(make_model());
  CHECK(parsed(recommender.export_user("u3")).size() == 1);
  const Recommender restarted = Recommender::open(make_model(), {.event_store = store});
  CHECK(parsed(restarted.export_user("u3")).size() == 1);
}

TEST_CASE("Without an event store other models of a forgotten user bring him back to new recommenders only",
          "[serving][erasure]") {
  Recommender recommender = Recommender::open(make_model());
  recommender.forget_user("u3");
  recommender.merge_users("u4", "u5");
  recommender.reload(make_model());
  CHECK_FALSE(knows(recommender, "u3"));
  CHECK_FALSE(knows(recommender, "u4"));
  CHECK(knows(recommender, "u5"));
  CHECK(knows(Recommender::open(make_model()), "u3"));
}

TEST_CASE("Where a file cannot be cleaned the user is forgotten here and the host is told", "[serving][erasure]") {
  const test::TemporaryDirectory directory;
  const std::string path = (directory / "model").string();
  make_model().save(path);
  const auto store = std::make_shared<ManualStore>();
  Recommender recommender = Recommender::open(path, {.event_store = store});
  store->fails = true;
  CHECK_THROWS_AS(recommender.forget_user("u3"), Error);
  CHECK_FALSE(knows(recommender, "u3"));
  CHECK(TrainedModel::load(path).histories->user_ids->find("u3") == kNoHandle);
  store->fails = false;
  test::write_text(directory.path() / "model" / "histories.bin", "damaged");
  CHECK_THROWS_AS(recommender.forget_user("u4"), Error);
  CHECK_FALSE(knows(recommender, "u4"));
  CHECK(store->has_forgotten("u4"));
  std::filesystem::remove_all(path);
  CHECK_THROWS_AS(recommender.forget_user("u5"), Error);
}

TEST_CASE("What a killed save has left of a user goes with him", "[serving][erasure]") {
  const test::TemporaryDirectory directory;
  const std::string path = (directory / "model").string();
  make_model({.first_user = 1'000'000}).save(path);
  std::filesystem::create_directory(directory / ".model.saving-1-0");
  std::filesystem::copy(path, directory / ".model.saving-1-0");
  Recommender recommender = Recommender::open(path);
  recommender.forget_user("u1000003");
  CHECK(traces(directory.path(), "u1000003") == 0);
}

TEST_CASE("An export holds every event, and what it says can be observed again", "[serving][export]") {
  Recommender recommender = Recommender::open(make_model());
  const std::string odd = "quote\" back\\slash \xc3\xa9 \x01";
  CHECK(recommender.export_user("nobody").empty());
  recommender.observe({.user = odd, .item = "i2", .timestamp = 1'700'000'000'123, .event = "buy", .value = 0.1f});
  recommender.observe({.user = odd, .item = odd, .timestamp = 5, .event = odd});
  const auto lines = parsed(recommender.export_user(odd));
  CHECK(lines ==
        std::vector<nlohmann::json>{
            {{"user", odd}, {"item", odd}, {"timestamp", 5}, {"event", odd}, {"value", 1}},
            {{"user", odd}, {"item", "i2"}, {"timestamp", 1'700'000'000'123}, {"event", "buy"}, {"value", 0.1}}});
  recommender.observe({.user = "untimed", .item = "i1"});
  CHECK_FALSE(parsed(recommender.export_user("untimed"))[0].contains("timestamp"));
  recommender.observe({.user = "\xff", .item = "i1"});
  CHECK(parsed(recommender.export_user("\xff"))[0]["user"] == "\xef\xbf\xbd");

  Recommender other = Recommender::open(make_model());
  std::istringstream in(recommender.export_user("u1") + recommender.export_user(odd));
  for (std::string line; std::getline(in, line);) {
    const auto json = nlohmann::json::parse(line);
    const std::string user = "again " + json["user"].get<std::string>(), item = json["item"], event = json["event"];
    other.observe({user, item, json["timestamp"], event, json["value"]});
  }
  CHECK(same_items(other.recommend({.user = "again u1"}), recommender.recommend({.user = "u1"})));
  CHECK(same_items(other.recommend({.user = "again " + odd}), recommender.recommend({.user = odd})));
}

TEST_CASE("Merging joins two histories in order of time, each event id once", "[serving][merge]") {
  Recommender recommender = Recommender::open(make_model());
  recommender.observe({.user = "cookie", .item = "i1", .timestamp = 1, .event_id = "a"});
  recommender.observe({.user = "cookie", .item = "i3", .timestamp = 3});
  recommender.observe({.user = "cookie", .item = "i4", .timestamp = 4, .event_id = "b"});
  recommender.observe({.user = "known", .item = "i4", .timestamp = 4, .event_id = "b"});
  recommender.observe({.user = "known", .item = "i2", .timestamp = 2});
  recommender.recommend({.user = "known"});
  recommender.merge_users("cookie", "known");
  CHECK(same_items(recommender.recommend({.user = "known"}), recommender.recommend_history({"i1", "i2", "i3", "i4"})));
  CHECK_FALSE(knows(recommender, "cookie"));
  CHECK(recommender.observe({.user = "known", .item = "i1", .timestamp = 1, .event_id = "a"}) == Observed::duplicate);
  CHECK(recommender.observe({.user = "cookie", .item = "i1", .event_id = "a"}) == Observed::recorded);

  const std::size_t users = recommender.info().users;
  recommender.merge_users("u1", "fresh");  // a user of the model, to one that nobody knows
  CHECK_FALSE(knows(recommender, "u1"));
  CHECK(parsed(recommender.export_user("fresh")).size() == 12);
  CHECK(recommender.info().users == users);
  recommender.merge_users("fresh", "fresh");
  recommender.merge_users("nobody", "fresh");
  CHECK(recommender.info().users == users);
  CHECK_THROWS_AS(recommender.merge_users("", "fresh"), Error);
  CHECK_THROWS_AS(recommender.merge_users("fresh", 7), Error);
  CHECK(parsed(recommender.export_user("fresh")).size() == 12);
}

TEST_CASE("A user who is let go while he is merged arrives all the same", "[serving][merge]") {
  // While it merges, others come, for whom there is no room.
  struct BusyStore final : ManualStore {
    void merge(const Id&, const Id&, std::span<const Interaction>) override { others_come(); }
    std::function<void()> others_come;
  };
  const auto store = std::make_shared<BusyStore>();
  Recommender recommender = Recommender::open(make_model(), {.event_store = store, .history_budget_bytes = 1});
  store->others_come = [&] {
    for (std::size_t i = 0; i < 2'000; ++i) recommender.observe({.user = test::user_name(100 + i), .item = "i1"});
  };
  recommender.observe({.user = "anonymous", .item = "i7"});
  const std::size_t before = recommender.info().users_let_go;
  recommender.merge_users("anonymous", "known");
  CHECK(recommender.info().users_let_go > before + 1'000);
  const auto events = parsed(recommender.export_user("known"));
  REQUIRE(events.size() == 1);
  CHECK(events[0]["item"] == "i7");
  CHECK_FALSE(knows(recommender, "anonymous"));
}

TEST_CASE("A store that cannot merge leaves everything as it was", "[serving][merge]") {
  Recommender recommender = Recommender::open(make_model(), {.event_store = std::make_shared<ManualStore>()});
  recommender.observe({.user = "cookie", .item = "i1"});
  CHECK_THROWS_AS(recommender.merge_users("cookie", "u1"), Error);
  CHECK(parsed(recommender.export_user("cookie")).size() == 1);
  CHECK(parsed(recommender.export_user("u1")).size() == 12);
}
