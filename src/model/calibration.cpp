// SPDX-License-Identifier: Apache-2.0
#include "attune/model/calibration.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "attune/error.hpp"

namespace attune::inline v0_1 {
namespace {

// Outcomes that share a probability.
struct Pool {
  double score_sum = 0, count = 0, happened = 0;

  double share() const noexcept { return happened / count; }
  void take(const Pool& other) noexcept {
    score_sum += other.score_sum;
    count += other.count;
    happened += other.happened;
  }
};

void sort_by_score(std::vector<Outcome>& outcomes) {
  std::erase_if(outcomes, [](const Outcome& outcome) { return !std::isfinite(outcome.score); });
  std::sort(outcomes.begin(), outcomes.end(), [](const Outcome& a, const Outcome& b) { return a.score < b.score; });
}

// One pool per distinct score, then joined wherever a share falls.
std::vector<Pool> pools_of(std::span<const Outcome> outcomes) {
  std::vector<Pool> pools;
  for (std::size_t i = 0; i < outcomes.size();) {
    Pool pool;
    const float score = outcomes[i].score;
    for (; i < outcomes.size() && outcomes[i].score == score; ++i) {
      pool.take({static_cast<double>(score), 1.0, outcomes[i].happened ? 1.0 : 0.0});
    }
    while (!pools.empty() && pools.back().share() >= pool.share()) {
      Pool before = pools.back();
      pools.pop_back();
      before.take(pool);
      pool = before;
    }
    pools.push_back(pool);
  }
  return pools;
}

// Joins the two neighbours that hold fewest outcomes together until `most` are left.
void join_smallest(std::vector<Pool>& pools, std::size_t most) {
  while (pools.size() > most) {
    std::size_t smallest = 0;
    const auto together = [&](std::size_t i) { return pools[i].count + pools[i + 1].count; };
    for (std::size_t i = 1; i + 1 < pools.size(); ++i) {
      if (together(i) < together(smallest)) smallest = i;
    }
    pools[smallest].take(pools[smallest + 1]);
    pools.erase(pools.begin() + static_cast<std::ptrdiff_t>(smallest) + 1);
  }
}

}  // namespace

Calibration Calibration::isotonic(std::vector<Outcome> outcomes) {
  sort_by_score(outcomes);
  std::vector<Pool> pools = pools_of(outcomes);
  join_smallest(pools, kMaxKnots);
  Calibration calibration;
  for (const Pool& pool : pools) {
    const auto score = static_cast<float>(pool.score_sum / pool.count);
    if (!calibration.empty() && score <= calibration.scores.back()) continue;  // closer than a float tells apart
    calibration.scores.push_back(score);
    calibration.probabilities.push_back(static_cast<float>(pool.share()));
  }
  return calibration;
}

float Calibration::operator()(float score) const noexcept {
  if (empty() || std::isnan(score)) return std::numeric_limits<float>::quiet_NaN();
  const auto above = std::upper_bound(scores.begin(), scores.end(), score);
  if (above == scores.begin()) return probabilities.front();
  if (above == scores.end()) return probabilities.back();
  const auto i = static_cast<std::size_t>(above - scores.begin());
  const float share = (score - scores[i - 1]) / (scores[i] - scores[i - 1]);
  return probabilities[i - 1] + share * (probabilities[i] - probabilities[i - 1]);
}

void Calibration::validate() const {
  const auto refuse = [](const char* expected) {
    throw Error(ErrorCode::invalid_argument, std::string("calibration: expected ") + expected);
  };
  if (scores.size() != probabilities.size()) refuse("as many probabilities as scores");
  if (scores.size() > kMaxKnots) refuse("at most 64 knots");
  for (std::size_t i = 0; i < scores.size(); ++i) {
    if (!std::isfinite(scores[i]) || (i > 0 && scores[i] <= scores[i - 1])) refuse("finite scores that rise");
    if (!(probabilities[i] >= 0.0f && probabilities[i] <= 1.0f)) refuse("probabilities in [0, 1]");
    if (i > 0 && probabilities[i] < probabilities[i - 1]) refuse("probabilities that never fall");
  }
}

double expected_calibration_error(const Calibration& calibration, std::vector<Outcome> outcomes, std::size_t bins) {
  sort_by_score(outcomes);
  // Outcomes that share a score share what happened: a group that ends among them takes its part of both.
  std::vector<double> happened(outcomes.size());
  for (std::size_t begin = 0; begin < outcomes.size();) {
    std::size_t end = begin, hits = 0;
    for (; end < outcomes.size() && outcomes[end].score == outcomes[begin].score; ++end) hits += outcomes[end].happened;
    std::fill(happened.begin() + static_cast<std::ptrdiff_t>(begin),
              happened.begin() + static_cast<std::ptrdiff_t>(end),
              static_cast<double>(hits) / static_cast<double>(end - begin));
    begin = end;
  }
  double error = 0;
  for (std::size_t bin = 0; bin < bins; ++bin) {
    double difference = 0;
    const std::size_t begin = outcomes.size() * bin / bins, end = outcomes.size() * (bin + 1) / bins;
    for (std::size_t i = begin; i < end; ++i) {
      difference += static_cast<double>(calibration(outcomes[i].score)) - happened[i];
    }
    error += std::abs(difference);
  }
  return outcomes.empty() ? 0.0 : error / static_cast<double>(outcomes.size());
}

}  // namespace attune::inline v0_1
