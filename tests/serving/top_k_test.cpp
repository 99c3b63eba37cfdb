// SPDX-License-Identifier: Apache-2.0
#include "attune/detail/top_k.hpp"

#include <limits>
#include <random>

#include "catch.hpp"

using namespace attune;

TEST_CASE("The k best of a stream come out in the order of a full sort", "[serving][top_k]") {
  std::mt19937 random(3);
  std::vector<ScoredHandle> memory;
  for (std::size_t n : {0u, 1u, 2u, 10u, 1000u}) {
    for (std::size_t k : {0u, 1u, 2u, 10u, 999u, 1000u, 5000u}) {
      std::vector<ScoredHandle> all;
      detail::TopK best(memory, k);
      for (std::size_t i = 0; i < n; ++i) {
        all.push_back({static_cast<ItemHandle>(n - i), static_cast<float>(random() % 20)});
        best.push(all.back());
      }
      std::sort(all.begin(), all.end(), ranks_before);
      all.resize(std::min(n, k));
      const auto found = best.finish();
      REQUIRE(std::vector<ScoredHandle>(found.begin(), found.end()) == all);
    }
  }
}

TEST_CASE("Scores that are not finite are never among the best", "[serving][top_k]") {
  std::vector<ScoredHandle> memory;
  detail::TopK best(memory, 3);
  const float infinity = std::numeric_limits<float>::infinity();
  best.push({1, infinity});
  best.push({2, -infinity});
  best.push({3, std::numeric_limits<float>::quiet_NaN()});
  best.push({4, std::numeric_limits<float>::lowest()});
  const auto found = best.finish();
  REQUIRE(found.size() == 1);
  CHECK(found[0].item == 4);
}

TEST_CASE("The threshold admits everything until k items are there, then is the score of the worst",
          "[serving][top_k]") {
  std::vector<ScoredHandle> memory;
  detail::TopK best(memory, 2);
  best.push({1, 5});
  CHECK(best.threshold() == std::numeric_limits<float>::lowest());
  best.push({2, 7});
  CHECK(best.threshold() == 5);
  best.push({3, 6});
  CHECK(best.threshold() == 6);
}
