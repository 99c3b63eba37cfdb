// SPDX-License-Identifier: Apache-2.0
#include "attune/serving/cold_start.hpp"

#include <limits>

#include "catch.hpp"
#include "serving/small_model.hpp"

using namespace attune;

namespace {

std::vector<ScoredHandle> copy(std::span<const ScoredHandle> items) { return {items.begin(), items.end()}; }

}  // namespace

TEST_CASE("Without a history the most popular items come first, uncounted handles last", "[serving][cold_start]") {
  const CountsColdStart cold_start(std::make_shared<PopularityModel>(std::vector<std::uint64_t>{1, 6, 0, 1}), nullptr);
  Workspace workspace;
  const std::vector<std::uint64_t> eligible{0b1111011};  // all of seven handles but the third
  CHECK(cold_start.source({}, {}) == Source::popularity);
  CHECK(copy(cold_start.top_k({}, {}, eligible, 4, workspace)) ==
        std::vector<ScoredHandle>{{1, 0.75f}, {0, 0.125f}, {3, 0.125f}, {4, 0.0f}});
  CHECK(cold_start.top_k({}, {}, eligible, 100, workspace).size() == 6);
  CHECK(cold_start.top_k({}, {}, eligible, 0, workspace).empty());
  CHECK(cold_start.top_k({}, {}, {}, 5, workspace).empty());
}

TEST_CASE("A history that transition counts know is answered by them", "[serving][cold_start]") {
  const TrainedModel model = test::make_model({.items = 30, .users = 5});
  const CountsColdStart cold_start(model.popularity, model.counts);
  const std::vector<ItemHandle> history{model.histories->items[0], 10'000};
  Workspace workspace;
  CHECK(cold_start.source({.items = history}, {}) == Source::counts);

  std::vector<float> expected(30), scores(31);
  model.counts->score_all({.items = history}, expected);
  expected.push_back(0.0f);
  std::vector<ItemHandle> handles(31);
  for (ItemHandle i = 0; i < 31; ++i) handles[i] = i;
  cold_start.score({.items = history}, {}, handles, scores, workspace);
  CHECK(scores == expected);

  const std::vector<std::uint64_t> eligible{(std::uint64_t{1} << 31) - 1};
  const auto ranked = copy(cold_start.top_k({.items = history}, {}, eligible, 31, workspace));
  REQUIRE(ranked.size() == 31);
  CHECK(std::ranges::is_sorted(ranked, ranks_before));
  for (const ScoredHandle& item : ranked) CHECK(item.score == expected[item.item]);
}

TEST_CASE("A history that nobody counted is answered by popularity", "[serving][cold_start]") {
  const TrainedModel model = test::make_model();
  const CountsColdStart cold_start(model.popularity, model.counts);
  const std::vector<ItemHandle> unknown{50, kNoHandle};
  CHECK(cold_start.source({.items = unknown}, {}) == Source::popularity);
  Workspace workspace;
  const std::vector<std::uint64_t> eligible{~std::uint64_t{0}};
  CHECK(copy(cold_start.top_k({.items = unknown}, {}, eligible, 10, workspace)) ==
        copy(cold_start.top_k({}, {}, eligible, 10, workspace)));
}

TEST_CASE("Without any counts every item scores 0", "[serving][cold_start]") {
  const CountsColdStart cold_start(nullptr, nullptr);
  Workspace workspace;
  const std::vector<std::uint64_t> eligible{6};
  const std::vector<ItemHandle> history{1};
  CHECK(copy(cold_start.top_k({.items = history}, {}, eligible, 10, workspace)) ==
        std::vector<ScoredHandle>{{1, 0}, {2, 0}});
}
