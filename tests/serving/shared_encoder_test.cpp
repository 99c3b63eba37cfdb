// SPDX-License-Identifier: Apache-2.0
#include "attune/serving/shared_encoder.hpp"

#include <algorithm>

#include "attune/serving/cold_start.hpp"
#include "attune/serving/cosine_scorer.hpp"
#include "attune/serving/make_recommender.hpp"
#include "catch.hpp"
#include "serving/small_model.hpp"

using namespace attune;

TEST_CASE("A shared encoder answers as the encoder it shares, from scratch and event by event",
          "[serving][shared_encoder]") {
  const TrainedModel model = test::make_model();
  const SharedEncoder shared(model.encoder);
  const HistoryView history = model.histories->of(0);
  CHECK(shared.dim() == model.encoder->dim());
  CHECK(shared.cacheable());
  CHECK(shared.knows(0));
  CHECK(!shared.knows(static_cast<ItemHandle>(model.num_items())));

  Workspace workspace;
  std::vector<float> expected(shared.dim()), vector(shared.dim());
  model.encoder->encode(expected, history, {}, workspace);
  shared.encode(vector, history, {}, workspace);
  CHECK(vector == expected);
  auto state = shared.make_state();
  for (std::size_t events = 1; events <= history.size(); ++events)
    shared.advance(state, history.first(events), workspace);
  shared.user_vector(vector, state, {}, workspace);
  for (std::size_t d = 0; d < vector.size(); ++d) CHECK(vector[d] == Approx(expected[d]).margin(1e-5));
}

TEST_CASE("States are stored as the options say, for an opened model and for an engine of a host's own",
          "[serving][shared_encoder]") {
  const TrainedModel model = test::make_model({.events = 30, .window = 25, .timed = GENERATE(false, true)});
  const auto ask = [&](const Recommender& recommender) {
    std::vector<Answer> answers;
    for (std::size_t u = 0; u < 8; ++u) answers.push_back(recommender.recommend({.user = test::user_name(u), .k = 50}));
    return answers;
  };
  const auto made = [&](StateStorage storage) {
    Engine engine(SharedEncoder(model.encoder), CosineScorer<float>({model.encoder->items(), ScoreKind::cosine}),
                  CountsColdStart(model.popularity, model.counts));
    Recommender recommender =
        make_recommender(std::move(engine), {.item_ids = *model.item_ids}, {.state_storage = storage});
    for (std::size_t u = 0; u < 8; ++u) {
      const HistoryView history = model.histories->of(u);
      for (std::size_t i = 0; i < history.size(); ++i) {
        recommender.observe(
            {.user = test::user_name(u), .item = model.item_ids->id(history.items[i]), .timestamp = history.times[i]});
      }
    }
    return recommender;
  };
  const Recommender plain = Recommender::open(model), plain_made = made(StateStorage::float32);
  Recommender half = Recommender::open(model, {.state_storage = StateStorage::bfloat16});
  const Recommender half_made = made(StateStorage::bfloat16);
  const std::vector<Answer> exact = ask(plain), rounded = ask(half);
  ask(plain_made);
  const auto same_scores = [](const Answer& a, const Answer& b) {
    return std::ranges::equal(a.items, b.items, {}, &Recommendation::score, &Recommendation::score);
  };
  const std::vector<Answer> rounded_made = ask(half_made);
  for (std::size_t u = 0; u < 8; ++u) {
    CHECK_FALSE(same_scores(rounded[u], exact[u]));
    CHECK(same_scores(rounded[u], rounded_made[u]));
    REQUIRE(rounded[u].items.size() == exact[u].items.size());
    for (std::size_t i = 0; i < exact[u].items.size(); ++i) {
      CHECK(rounded[u].items[i].score == Approx(exact[u].items[i].score).margin(0.02));
    }
  }
  const auto bytes = [](const Recommender& recommender) { return static_cast<double>(recommender.info().cache_bytes); };
  CHECK(bytes(half) < 0.7 * bytes(plain));  // times, for one, stay as they are
  CHECK(bytes(half_made) == bytes(half));
  CHECK(bytes(plain_made) == bytes(plain));
  half.reload(model);
  const std::vector<Answer> reloaded = ask(half);
  CHECK(bytes(half) == bytes(half_made));
  for (std::size_t u = 0; u < 8; ++u) CHECK(same_scores(reloaded[u], rounded[u]));
}

TEST_CASE("An engine of a host's own carries the caches of a shared encoder", "[serving][shared_encoder]") {
  const TrainedModel model = test::make_model();
  Engine engine(SharedEncoder(model.encoder), CosineScorer<float>({model.encoder->items(), ScoreKind::cosine}),
                CountsColdStart(model.popularity, model.counts));
  Recommender recommender = make_recommender(std::move(engine), {.item_ids = *model.item_ids});
  for (const char* item : {"i1", "i2", "i3"}) recommender.observe({.user = "u", .item = item});
  const Answer stored = recommender.recommend({.user = "u", .k = 50});
  const Answer bare = recommender.recommend_history({"i1", "i2", "i3"}, {.k = 50});
  CHECK(recommender.info().cache_bytes > 0);
  CHECK(stored.source == Source::model);
  REQUIRE(stored.items.size() == 47);
  REQUIRE(bare.items.size() == 47);
  for (std::size_t i = 0; i < 47; ++i) CHECK(stored.items[i].score == Approx(bare.items[i].score).margin(1e-5));
}
