// SPDX-License-Identifier: Apache-2.0
#include "attune/serving/shared_encoder.hpp"

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
