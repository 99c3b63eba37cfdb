// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <random>

#include "attune/recommender.hpp"
#include "attune/serving/make_recommender.hpp"
#include "catch.hpp"
#include "serving/answers.hpp"
#include "serving/host_parts.hpp"
#include "serving/small_model.hpp"

using namespace attune;
using test::item_ids;
using test::make_model;
using test::same_items;

namespace {

std::vector<ItemHandle> shuffled(std::size_t count) {
  std::vector<ItemHandle> order(count);
  std::iota(order.begin(), order.end(), ItemHandle{0});
  std::shuffle(order.begin(), order.end(), std::mt19937(4));
  return order;
}

}  // namespace

TEST_CASE("A reloaded model answers as if it had been opened, whatever the order of its rows", "[serving][reload]") {
  const TrainedModel model = make_model({.blend_weight = GENERATE(0.0, 0.5)});
  TrainedModel other = test::reordered(model, shuffled(50));
  other.version = "other";
  Recommender recommender = Recommender::open(model);
  std::vector<Answer> before;
  for (std::size_t u = 0; u < 8; ++u) before.push_back(recommender.recommend({.user = test::user_name(u), .k = 50}));
  recommender.reload(other);
  for (std::size_t u = 0; u < 8; ++u) {
    const Answer answer = recommender.recommend({.user = test::user_name(u), .k = 50});
    CHECK(answer.model_version == "other");
    CHECK(answer.generation == 2);
    REQUIRE(answer.items.size() == before[u].items.size());
    for (std::size_t i = 0; i < answer.items.size(); ++i) {
      CHECK(answer.items[i].item == before[u].items[i].item);
      CHECK(answer.items[i].score == Approx(before[u].items[i].score).epsilon(1e-5));
    }
    CHECK(before[u].model_version == "small");  // answers given earlier stay what they were
  }
  const Answer cold = recommender.recommend({.user = "nobody", .k = 50});
  CHECK(cold.source == Source::popularity);
  CHECK(cold.items.size() == 50);
}

TEST_CASE("Rows that scores are made of move with the items they belong to", "[serving][reload]") {
  TrainedModel model = make_model({.seed = 2, .items = 40, .first_item = 30});
  EncoderConfig config = model.encoder->config();
  config.separate_outputs = true;
  const std::shared_ptr<SequenceEncoder<float>> encoder = make_encoder(config, 40);
  encoder->initialize(3);
  for (std::size_t row = 0; row < 40; ++row) {
    for (std::size_t d = 0; d < config.embedding_dim; ++d) {
      encoder->outputs().row(row)[d] = encoder->items().row((row + 7) % 40)[d] + static_cast<float>(d % 3);
    }
  }
  model.encoder = encoder;
  const Recommender fresh = Recommender::open(model);
  Recommender reloaded = Recommender::open(make_model({.items = 50}));
  reloaded.reload(model);
  const std::vector<Id> history{"i31", "i60", "i42"};
  const Answer a = fresh.recommend_history(history, {.k = 100}), b = reloaded.recommend_history(history, {.k = 100});
  CHECK(a.source == Source::model);
  REQUIRE(a.items.size() == 37);
  for (const Recommendation& r : a.items) {
    const auto same = std::ranges::find(b.items, r.item, &Recommendation::item);
    REQUIRE(same != b.items.end());
    CHECK(same->score == r.score);
  }
}

TEST_CASE("Counts of every kind are asked in their own rows, wherever the catalogue has their items",
          "[serving][reload]") {
  const bool encoder = GENERATE(true, false);
  const TrainedModel model = make_model({.seed = 2,
                                         .items = 40,
                                         .first_item = 30,
                                         .blend_weight = encoder ? 0.5 : 0.0,
                                         .encoder = encoder,
                                         .counts = test::all_count_options()[GENERATE(0u, 1u, 2u, 3u, 4u, 5u)]});
  const Recommender fresh = Recommender::open(model);
  Recommender reloaded = Recommender::open(make_model({.items = 50}));
  reloaded.reload(model);
  const std::vector<std::vector<Id>> histories{{"i31", "i60", "i42"}, {"i33"}, {"i69", "i1", "i30"}, {"i2"}, {}};
  for (const std::vector<Id>& history : histories) {
    const Answer a = fresh.recommend_history(history, {.k = 100}), b = reloaded.recommend_history(history, {.k = 100});
    CHECK(a.source == b.source);
    REQUIRE(a.items.size() == b.items.size());
    for (const Recommendation& r : a.items) {
      const auto same = std::ranges::find(b.items, r.item, &Recommendation::item);
      REQUIRE(same != b.items.end());
      CHECK(same->score == r.score);
    }
  }
}

TEST_CASE("Items of the old model that the new one lacks are gone, new ones are there", "[serving][reload]") {
  Recommender recommender = Recommender::open(make_model({.items = 50}));
  const TrainedModel next = make_model({.seed = 2, .items = 40, .first_item = 30});  // i30 ... i69
  recommender.reload(next);
  CHECK(recommender.info().items == 70);
  for (const Id& user : {Id("u1"), Id("nobody")}) {
    const Answer answer = recommender.recommend({.user = user, .k = 1000, .exclude_seen = false});
    CHECK(answer.items.size() == 40);
    CHECK(answer.shortfall.unavailable == 30);
    for (const Recommendation& r : answer.items) CHECK(next.item_ids->find(r.item) != kNoHandle);
  }
  CHECK(recommender.rank("u1", {"i3", "i40", "i60"}).items.size() == 2);
  CHECK(recommender.rank("nobody", {"i3", "i40", "i60"}).items.size() == 2);
  CHECK(recommender.similar_items("i3", 5).items.empty());
  CHECK(recommender.similar_items("i60", 5).items.size() == 5);
}

TEST_CASE("Events on items the model does not know stay in the history and count once it does (UR-11)",
          "[serving][reload][UR-11]") {
  Recommender recommender = Recommender::open(make_model({.items = 50}));
  recommender.observe({.user = "x", .item = "i10"});
  const Answer before = recommender.recommend({.user = "x", .k = 20});
  CHECK(recommender.observe({.user = "x", .item = "i55"}) == Observed::recorded);
  recommender.observe({.user = "x", .item = "i56"});
  CHECK(same_items(recommender.recommend({.user = "x", .k = 20}), before));

  recommender.reload(make_model({.seed = 2, .items = 60}));
  const Answer after = recommender.recommend({.user = "x", .k = 20});
  CHECK(same_items(after, recommender.recommend_history({"i10", "i55", "i56"}, {.k = 20})));
  CHECK_FALSE(same_items(after, recommender.recommend_history({"i10"}, {.k = 20})));
  for (const std::string& item : item_ids(after)) CHECK((item != "i55" && item != "i56"));
}

TEST_CASE("Users keep their histories, users of the new directory come with theirs", "[serving][reload]") {
  const TrainedModel first = make_model({.users = 4});
  const TrainedModel second = make_model({.seed = 2, .users = 4, .first_user = 2});  // u2 ... u5
  Recommender recommender = Recommender::open(first);
  recommender.observe({.user = "u0", .item = "i1", .timestamp = 1'000'000'000});
  recommender.reload(second);
  CHECK(recommender.info().users == 6);
  const auto fresh = [&](HistoryView history, std::vector<Id> more = {}) {
    std::vector<Id> items;
    for (const ItemHandle item : history.items) items.push_back(first.item_ids->id(item));
    items.insert(items.end(), more.begin(), more.end());
    return recommender.recommend_history(items);
  };
  CHECK(same_items(recommender.recommend({.user = "u0"}), fresh(first.histories->of(0), {"i1"})));
  CHECK(same_items(recommender.recommend({.user = "u1"}), fresh(first.histories->of(1))));
  CHECK(same_items(recommender.recommend({.user = "u2"}), fresh(first.histories->of(2))));
  CHECK(same_items(recommender.recommend({.user = "u5"}), fresh(second.histories->of(3))));
}

TEST_CASE("A model that cannot be served leaves the old one in place (UR-61)", "[serving][reload][UR-61]") {
  Recommender recommender = Recommender::open(make_model(), {.max_items = 60});
  const Answer before = recommender.recommend({.user = "u1"});
  const auto still_served = [&] {
    CHECK(same_items(recommender.recommend({.user = "u1"}), before));
    CHECK(recommender.info().generation == 1);
    CHECK(recommender.info().items == 50);
  };
  CHECK_THROWS_AS(recommender.reload("no/such/directory"), Error);
  still_served();
  CHECK_THROWS_WITH(recommender.reload(make_model({.item_kind = IdKind::int64})),
                    Catch::Matchers::Contains("expected strings"));
  still_served();
  CHECK_THROWS_WITH(recommender.reload(make_model({.items = 61})), Catch::Matchers::Contains("limit of 60"));
  still_served();
}

TEST_CASE("Junk that events bring never keeps a model from being served", "[serving][reload]") {
  Recommender recommender = Recommender::open(make_model({.items = 20}), {.max_items = 30});
  for (int i = 0; i < 300; ++i) {
    const std::string junk = "junk " + std::to_string(i);
    recommender.observe({.user = "x", .item = junk});
    recommender.observe({.user = "x", .item = "i1", .event = junk});
  }
  TrainedModel next = make_model({.items = 30, .version = "next"});
  auto histories = std::make_shared<Histories>(*next.histories);
  histories->event_kinds.push_back("a kind of the model");
  next.histories = histories;
  recommender.reload(next);
  CHECK(recommender.recommend({.user = "u1"}).model_version == "next");
  CHECK(recommender.recommend({.user = "x", .k = 100}).items.size() == 29);
}

TEST_CASE("A model directory is opened with its histories", "[serving][reload]") {
  const auto directory = std::filesystem::temp_directory_path() / ("attune_reload_test_" + std::to_string(getpid()));
  std::filesystem::remove_all(directory);
  const TrainedModel model = make_model();
  model.save(directory.string());
  Recommender opened = Recommender::open(directory.string());
  const Recommender in_memory = Recommender::open(model);
  CHECK(opened.info().users == 8);
  CHECK(same_items(opened.recommend({.user = "u3"}), in_memory.recommend({.user = "u3"})));

  // Another file in the place of one that is mapped, and a bad one: the open model goes on.
  std::filesystem::remove(directory / "weights.safetensors");
  std::ofstream(directory / "weights.safetensors") << "short";
  CHECK_THROWS_AS(opened.reload(directory.string()), Error);
  CHECK_THROWS_AS(Recommender::open(directory.string()), Error);
  for (const char* user : {"u3", "u5"}) {
    CHECK(same_items(opened.recommend({.user = user}), in_memory.recommend({.user = user})));
  }
  std::filesystem::remove_all(directory);
}

namespace {

// Counts the events that it reads.
struct CountingEncoder : test::LastItem {
  struct State {
    std::size_t events = 0;
    std::size_t memory_bytes() const { return sizeof(State); }
    void reset() { events = 0; }
  };
  std::size_t* read;
  bool cacheable() const { return true; }
  State make_state() const { return {}; }
  void advance(State& state, HistoryView history, Workspace&) const {
    *read += history.size() - state.events;
    state.events = history.size();
  }
  void user_vector(std::span<float> vector, const State&, const Context&, Workspace&) const { vector[0] = 1; }
};

}  // namespace

TEST_CASE("Users asked for last find their caches ready when another model takes over", "[serving][reload]") {
  IdMap ids;
  for (std::size_t i = 0; i < 10; ++i) ids.insert(test::item_name(i));
  std::size_t read = 0;
  const auto engine = [&] {
    CountingEncoder encoder;
    encoder.read = &read;
    return Engine(encoder, test::Nearest{10}, test::InOrder{});
  };
  Recommender recommender = make_recommender(engine(), {ids}, {.warm_up_users = 2});
  for (const char* user : {"a", "b", "c"}) {
    for (int i = 0; i < 5; ++i) recommender.observe({.user = user, .item = "i1"});
    recommender.recommend({.user = user});
  }
  CHECK(read == 15);
  reload(recommender, engine(), {ids});
  CHECK(read == 25);  // of b and c, before the swap
  recommender.observe({.user = "c", .item = "i2"});
  recommender.recommend({.user = "c"});
  recommender.recommend({.user = "b"});
  CHECK(read == 26);
  recommender.recommend({.user = "a"});
  CHECK(read == 31);
}
