// SPDX-License-Identifier: Apache-2.0
#include "attune/serving/engine.hpp"

#include <cmath>
#include <limits>
#include <numeric>

#include "attune/detail/engine_adapter.hpp"
#include "attune/serving/cold_start.hpp"
#include "attune/serving/cosine_scorer.hpp"
#include "attune/serving/shared_encoder.hpp"
#include "catch.hpp"
#include "serving/small_model.hpp"

using namespace attune;

namespace {

// What an encoder was called with.
struct Call {
  std::vector<ItemHandle> items;
  Timestamp now = 0;
  bool from_state = false;
};

// Sums of one-hot rows: says in its vector which events it was given. Knows even items only.
class EvenEncoder {
 public:
  struct State {
    std::size_t events = 0;
    std::size_t memory_bytes() const { return sizeof(State); }
    void reset() { events = 0; }
  };
  std::size_t dim() const { return 8; }
  bool knows(ItemHandle item) const { return item % 2 == 0; }
  void encode(std::span<float> user_vector, HistoryView history, const Context& context, Workspace&) const {
    last_ = {std::vector<ItemHandle>(history.items.begin(), history.items.end()), context.now, false};
    std::ranges::fill(user_vector, 0.0f);
    for (std::size_t i = 0; i < history.size(); ++i) {
      user_vector[history.items[i] % 8] += history.weights.empty() ? 1.0f : history.weights[i];
    }
  }
  bool cacheable() const { return cacheable_; }
  State make_state() const { return {}; }
  void advance(State& state, HistoryView history, Workspace& workspace) const {
    std::vector<float> ignored(8);
    encode(ignored, history, {}, workspace);
    state.events = history.size();
  }
  void user_vector(std::span<float> user_vector, State& state, const Context& context, Workspace&) const {
    last_.now = context.now;
    last_.from_state = true;
    std::ranges::fill(user_vector, 0.0f);
    user_vector[0] = static_cast<float>(state.events);
  }

  static Call& last() { return last_; }
  bool cacheable_ = true;

 private:
  inline static thread_local Call last_;
};

CosineScorer<float> identity_scorer(std::size_t count) {
  EmbeddingTable<float> rows(count, 8);
  for (std::size_t i = 0; i < count; ++i) rows.row(i)[i % 8] = 1;
  return CosineScorer<float>(ScorerRows<float>(rows, ScoreKind::cosine));
}

auto make_engine(bool cacheable = true) {
  EvenEncoder encoder;
  encoder.cacheable_ = cacheable;
  return Engine(encoder, identity_scorer(16), CountsColdStart(nullptr, nullptr));
}

const std::vector<std::uint64_t> kEverything{0xffff};

}  // namespace

TEST_CASE("The encoder sees only events it knows, column by column, and the time of the request", "[serving][engine]") {
  const auto engine = make_engine();
  Workspace workspace;
  const std::vector<ItemHandle> items{1, 2, 3, 4, 6};
  const std::vector<Timestamp> times{10, 20, 30, 40, 50};
  const std::vector<float> weights{9, 1, 9, 5, 2};
  const HistoryView history{.items = items, .times = times, .weights = weights};

  const EngineAnswer answer = engine.recommend(history, {}, kEverything, 2, nullptr, workspace);
  CHECK(EvenEncoder::last().items == std::vector<ItemHandle>{2, 4, 6});
  CHECK(EvenEncoder::last().now == 50);  // the last event, known or not
  CHECK(answer.source == Source::model);
  REQUIRE(answer.items.size() == 2);
  CHECK(answer.items[0].item == 4);
  CHECK(answer.items[1].item == 12);

  engine.recommend(history, {.now = 99}, kEverything, 2, nullptr, workspace);
  CHECK(EvenEncoder::last().now == 99);
  engine.recommend({.items = items}, {}, kEverything, 2, nullptr, workspace);
  CHECK(EvenEncoder::last().now == kNoTime);
}

TEST_CASE("A history the encoder knows whole is passed on as it is", "[serving][engine]") {
  const auto engine = make_engine();
  Workspace workspace;
  const std::vector<ItemHandle> items{2, 4};
  engine.recommend({.items = items}, {}, kEverything, 2, nullptr, workspace);
  CHECK(EvenEncoder::last().items == items);
  CHECK(workspace.items.empty());
}

TEST_CASE("A state is used where there is one", "[serving][engine]") {
  const auto engine = make_engine();
  Workspace workspace;
  const auto state = engine.make_state();
  REQUIRE(state);
  CHECK(state->memory_bytes() == sizeof(EvenEncoder::State));
  const std::vector<ItemHandle> items{1, 2, 4};
  engine.recommend({.items = items}, {.now = 7}, kEverything, 2, state.get(), workspace);
  CHECK(EvenEncoder::last().from_state);
  CHECK(EvenEncoder::last().items == std::vector<ItemHandle>{2, 4});
  CHECK(EvenEncoder::last().now == 7);
  CHECK(make_engine(false).make_state() == nullptr);
}

TEST_CASE("A state of another engine is made one's own only where the encoder says that it fits", "[serving][engine]") {
  struct Other final : detail::EngineState {
    std::size_t memory_bytes() const noexcept override { return 0; }
    void reset() noexcept override {}
  };
  const auto engine_of = [](std::size_t window) {
    const TrainedModel model = test::make_model({.events = 30, .window = window});
    return Engine(SharedEncoder(model.encoder), CosineScorer<float>({model.encoder->items(), ScoreKind::cosine}),
                  CountsColdStart(model.popularity, model.counts));
  };
  const auto engine = engine_of(25), like_it = engine_of(25), longer = engine_of(50);
  Workspace workspace;
  const std::vector<ItemHandle> items{1, 2, 4}, others{3, 5};
  const auto state = engine.make_state(), fresh = like_it.make_state();
  engine.user_vector({.items = items}, {}, state.get(), workspace);
  CHECK_FALSE(longer.renew(*state));
  CHECK_FALSE(like_it.renew(*state, StateStorage::bfloat16));
  REQUIRE(like_it.renew(*state));
  const auto vector_of = [&](detail::EngineState& of) {
    const auto vector = like_it.user_vector({.items = others}, {}, &of, workspace);
    return std::vector<float>(vector.begin(), vector.end());
  };
  CHECK(vector_of(*state) == vector_of(*fresh));
  Other other;
  CHECK_FALSE(engine.renew(other));
  CHECK_FALSE(make_engine().renew(*make_engine().make_state()));
}

TEST_CASE("What the encoder cannot answer goes to the cold start", "[serving][engine]") {
  const Engine engine(EvenEncoder{}, identity_scorer(16),
                      CountsColdStart(std::make_shared<PopularityModel>(std::vector<std::uint64_t>{1, 3}), nullptr));
  Workspace workspace;
  const std::vector<ItemHandle> unknown{1, 3}, known{2, 2};
  const std::vector<float> cancel{1, -1}, infinite{1, std::numeric_limits<float>::infinity()}, tiny{1e-44f, 1e-44f};
  const std::vector<ItemHandle> handles{0, 1, 15, 16, kNoHandle};
  for (const HistoryView history :
       {HistoryView{}, HistoryView{.items = unknown}, HistoryView{.items = known, .weights = cancel},
        HistoryView{.items = known, .weights = infinite}, HistoryView{.items = known, .weights = tiny}}) {
    const EngineAnswer answer = engine.recommend(history, {}, kEverything, 3, nullptr, workspace);
    CHECK(answer.source == Source::popularity);
    CHECK(std::vector<ScoredHandle>(answer.items.begin(), answer.items.end()) ==
          std::vector<ScoredHandle>{{1, 0.75f}, {0, 0.25f}, {2, 0.0f}});
    std::vector<float> scores(handles.size());
    CHECK(engine.score(history, {}, handles, scores, nullptr, workspace) == Source::popularity);
    const float never = -std::numeric_limits<float>::infinity();
    CHECK(scores == std::vector<float>{0.25f, 0.75f, 0.0f, never, never});
  }
}

TEST_CASE("A blend adds the weighted term of its counts, finite for every item", "[serving][engine]") {
  const TrainedModel model = test::make_model({.items = 12});
  const Engine plain(EvenEncoder{}, identity_scorer(16), CountsColdStart(nullptr, nullptr));
  const Engine blend(EvenEncoder{}, identity_scorer(16), CountsColdStart(nullptr, nullptr), model.counts, 0.5f);
  CHECK(plain.kind() == ScoreKind::cosine);
  CHECK(blend.kind() == ScoreKind::blend);

  const std::vector<ItemHandle> items{2, 4, 6};
  std::vector<ItemHandle> handles(16);
  std::iota(handles.begin(), handles.end(), ItemHandle{0});
  std::vector<float> cosines(16), scores(16), shares(12);
  Workspace workspace;
  plain.score({.items = items}, {}, handles, cosines, nullptr, workspace);
  CHECK(blend.score({.items = items}, {}, handles, scores, nullptr, workspace) == Source::model);
  model.counts->score_all({.items = items}, shares);
  for (ItemHandle i = 0; i < 16; ++i) {
    REQUIRE(std::isfinite(scores[i]));
    const float share = i < 12 ? shares[i] : std::numeric_limits<float>::min();
    CHECK(scores[i] == Approx(cosines[i] + 0.5f * std::log(std::max(share, std::numeric_limits<float>::min()))));
  }
  const auto ranked = blend.recommend({.items = items}, {}, kEverything, 16, nullptr, workspace).items;
  REQUIRE(ranked.size() == 16);
  for (const ScoredHandle& item : ranked) CHECK(item.score == scores[item.item]);
}

TEST_CASE("Neighbours come from the scorer where it compares items", "[serving][engine]") {
  auto engine = make_engine();
  const detail::EngineAdapter<decltype(engine)> adapter(std::move(engine));
  Workspace workspace;
  const std::vector<std::uint64_t> others{0xffff & ~(1u << 3)};
  const auto nearest = adapter.similar(3, others, 2, workspace);
  REQUIRE(nearest);
  REQUIRE(nearest->items.size() == 2);
  CHECK(nearest->items[0] == ScoredHandle{11, 1.0f});
  CHECK(nearest->items[1] == ScoredHandle{0, 0.0f});
  CHECK_FALSE(adapter.similar(99, others, 2, workspace));
}
