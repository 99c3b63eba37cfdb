// SPDX-License-Identifier: Apache-2.0
#include "training/successive_halving.hpp"

#include <algorithm>
#include <limits>

namespace attune::inline v0_1::detail {

namespace {

constexpr double kLost = -std::numeric_limits<double>::infinity();

// Best validation NDCG@10 up to a rung that the trial has reached.
double score(const TrialReport& trial, std::size_t rung, const Halving& halving) {
  if (!trial.problem.empty() && trial.rungs == rung + 1) return kLost;
  if (trial.epochs.empty()) return trial.ndcg_10;
  double best = kLost;
  for (const EpochReport& epoch : trial.epochs) {
    if (epoch.epoch <= halving.rungs[rung]) best = std::max(best, epoch.ndcg_10);
  }
  return best;
}

// Places of the trials that have reached a rung, best first; the earlier one of two that are equally good.
std::vector<std::size_t> ranking(std::span<const TrialReport> begun, std::size_t rung, const Halving& halving) {
  std::vector<std::size_t> reached;
  for (std::size_t i = 0; i < begun.size(); ++i) {
    if (begun[i].rungs > rung) reached.push_back(i);
  }
  std::ranges::stable_sort(reached, [&](std::size_t a, std::size_t b) {
    return score(begun[a], rung, halving) > score(begun[b], rung, halving);
  });
  return reached;
}

}  // namespace

std::vector<std::size_t> rungs_of(std::size_t epochs, std::size_t eta, std::size_t first) {
  std::vector<std::size_t> rungs{epochs};
  for (std::size_t earlier = epochs; earlier > 1;) {
    earlier = (earlier + eta - 1) / eta;
    if (earlier < first) break;
    rungs.insert(rungs.begin(), earlier);
  }
  return rungs;
}

std::vector<Step> next_steps(std::span<const TrialReport> begun, const Halving& halving) {
  const bool all_begun = begun.size() >= halving.trials;
  std::vector<Step> steps;
  for (std::size_t rung = halving.rungs.size() - 1; rung-- > 0;) {
    const std::vector<std::size_t> reached = ranking(begun, rung, halving);
    const std::size_t going_on = std::max<std::size_t>(reached.size() / halving.eta, all_begun ? 1 : 0);
    for (std::size_t i = 0; i < std::min(going_on, reached.size()); ++i) {
      const TrialReport& trial = begun[reached[i]];
      if (trial.rungs == rung + 1 && trial.problem.empty()) steps.push_back({reached[i], rung + 1});
    }
  }
  if (!all_begun) steps.push_back({begun.size(), 0});
  return steps;
}

bool may_go_on(std::span<const TrialReport> begun, std::size_t trial, const Halving& halving) {
  const TrialReport& report = begun[trial];
  if (!report.problem.empty() || report.ended || report.rungs == halving.rungs.size()) return false;
  const std::vector<std::size_t> reached = ranking(begun, report.rungs - 1, halving);
  const auto place = static_cast<std::size_t>(std::ranges::find(reached, trial) - reached.begin());
  return place < std::max<std::size_t>(1, halving.trials / halving.eta);
}

}  // namespace attune::inline v0_1::detail
