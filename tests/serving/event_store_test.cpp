// SPDX-License-Identifier: Apache-2.0
#include "attune/serving/event_store.hpp"

#include <functional>
#include <stdexcept>
#include <utility>
#include <vector>

#include "attune/recommender.hpp"
#include "catch.hpp"
#include "serving/answers.hpp"
#include "serving/small_model.hpp"

using namespace attune;
using test::make_model;
using test::same_items;

namespace {

// Keeps events in memory, as a host might.
class MemoryStore final : public EventStore {
 public:
  struct Event {
    std::string user, item, kind, event_id;
    Timestamp timestamp;
    float value;
  };
  void append(std::span<const Interaction> batch, std::function<void(bool)> done) override {
    ++batches;
    for (const Interaction& e : batch) {
      events.push_back(
          {to_string(e.user), to_string(e.item), std::string(e.event), std::string(e.event_id), e.timestamp, e.value});
    }
    if (done) done(true);
  }
  void replay(const std::function<void(const Interaction&)>& visit) override {
    for (const Event& e : events) visit({e.user, e.item, e.timestamp, e.kind, e.value, e.event_id});
  }
  void erase(const Id&) override {}

  std::vector<Event> events;
  int batches = 0;
};

}  // namespace

TEST_CASE("What an event store holds is served again after a restart, and counts once", "[serving][reload]") {
  const TrainedModel model = make_model();
  const auto store = std::make_shared<MemoryStore>();
  Answer before;
  {
    Recommender recommender = Recommender::open(model, {.event_store = store});
    recommender.observe({.user = "u1", .item = "i9", .event = "buy", .event_id = "1"});
    recommender.observe({.user = "u1", .item = "i9", .event = "buy", .event_id = "1"});
    recommender.observe({.user = "u1", .item = ""});
    recommender.observe_batch(std::vector<Interaction>{{.user = "new", .item = "i3", .timestamp = 7, .value = 2},
                                                       {.user = "new", .item = "i4", .timestamp = 8},
                                                       {.user = "", .item = "i4"}});
    before = recommender.recommend({.user = "u1"});
  }
  REQUIRE(store->events.size() == 3);
  CHECK(store->batches == 2);
  CHECK(store->events[0].timestamp == model.histories->of(1).times.back());  // the time it was given
  CHECK(store->events[0].kind == "buy");

  Recommender restarted = Recommender::open(model, {.event_store = store});
  CHECK(store->events.size() == 3);
  CHECK(same_items(restarted.recommend({.user = "u1"}), before));
  CHECK(restarted.observe({.user = "u1", .item = "i9", .event_id = "1"}) == Observed::duplicate);
  CHECK(same_items(restarted.recommend({.user = "new"}), restarted.recommend_history({"i3", "i4"})));

  // A later model directory was trained on the stored events: they do not come twice.
  const HistoryView history = model.histories->of(1);
  const std::string item = to_string(model.item_ids->id(history.items[5]));
  store->events.push_back({"u1", item, "", "trained on", history.times[5], 1});
  Recommender again = Recommender::open(model, {.event_store = store});
  CHECK(same_items(again.recommend({.user = "u1"}), before));
  CHECK(again.observe({.user = "u1", .item = item, .timestamp = history.times[5], .event_id = "trained on"}) ==
        Observed::duplicate);
  CHECK(same_items(again.recommend({.user = "u1"}), before));
}

TEST_CASE("Every good event of a batch is kept and stored, whatever stands between them",
          "[serving][event_store][UR-09]") {
  const auto store = std::make_shared<MemoryStore>();
  Recommender recommender = Recommender::open(make_model(), {.event_store = store});
  const std::string with_nul("u\0", 2);
  const auto observed = recommender.observe_batch(std::vector<Interaction>{{.user = "new", .item = "i3"},
                                                                           {.user = with_nul, .item = "i4"},
                                                                           {.user = "new", .item = with_nul},
                                                                           {.user = "new", .item = "i5"}});
  CHECK(observed == std::vector{Observed::recorded, Observed::rejected, Observed::rejected, Observed::recorded});
  CHECK(store->events.size() == 2);
  CHECK(same_items(recommender.recommend({.user = "new"}), recommender.recommend_history({"i3", "i5"})));
}

TEST_CASE("Histories without kinds hold plain events, and those count once", "[serving][event_store]") {
  TrainedModel model = make_model();
  auto histories = std::make_shared<Histories>(*model.histories);
  histories->kinds = std::vector<std::uint8_t>();
  histories->values = std::vector<float>();
  model.histories = histories;
  const HistoryView history = histories->of(1);
  const auto store = std::make_shared<MemoryStore>();
  store->events.push_back({"u1", to_string(model.item_ids->id(history.items[5])), "", "", history.times[5], 1});
  store->events.push_back({"u1", to_string(model.item_ids->id(history.items[5])), "buy", "", history.times[5], 1});
  const Recommender recommender = Recommender::open(model, {.event_store = store});
  std::vector<Id> items;
  for (const ItemHandle item : history.items) items.push_back(model.item_ids->id(item));
  items.insert(items.begin() + 5, items[5]);  // the purchase, not the plain event
  CHECK(same_items(recommender.recommend({.user = "u1"}), recommender.recommend_history(items)));
}

namespace {

// Keeps nothing: throws, or says so, at once or when it is told to.
class FailingStore final : public EventStore {
 public:
  enum class How { by_exception, at_once, later };
  explicit FailingStore(How how) : how_(how) {}
  void append(std::span<const Interaction>, std::function<void(bool)> done) override {
    if (how_ == How::by_exception) throw std::runtime_error("the disk is full");
    if (how_ == How::at_once) return done(false);
    open_.push_back(std::move(done));
  }
  void replay(const std::function<void(const Interaction&)>&) override {}
  void erase(const Id&) override {}
  void give_up() {
    for (const auto& done : open_) done(false);
    open_.clear();
  }

 private:
  How how_;
  std::vector<std::function<void(bool)>> open_;
};

}  // namespace

TEST_CASE("Events that a store does not keep are served and counted", "[serving][event_store]") {
  const auto how = GENERATE(FailingStore::How::by_exception, FailingStore::How::at_once, FailingStore::How::later);
  const auto store = std::make_shared<FailingStore>(how);
  {
    Recommender recommender = Recommender::open(make_model(), {.event_store = store});
    CHECK(recommender.observe({.user = "x", .item = "i1"}) == Observed::recorded);
    CHECK(recommender.observe_batch(std::vector<Interaction>{
              {.user = "x", .item = "i2"}, {.user = "x", .item = ""}, {.user = "x", .item = "i3"}}) ==
          std::vector{Observed::recorded, Observed::rejected, Observed::recorded});
    CHECK(same_items(recommender.recommend({.user = "x"}), recommender.recommend_history({"i1", "i2", "i3"})));
    store->give_up();
    CHECK(recommender.info().unstored_events == 3);
    recommender.observe({.user = "x", .item = "i4"});
  }
  store->give_up();  // nobody listens any more
}

TEST_CASE("Events that a store keeps are not counted as lost", "[serving][event_store]") {
  Recommender recommender = Recommender::open(make_model(), {.event_store = std::make_shared<MemoryStore>()});
  recommender.observe({.user = "x", .item = "i1"});
  CHECK(recommender.info().unstored_events == 0);
}
