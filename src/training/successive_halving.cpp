// SPDX-License-Identifier: Apache-2.0
#include "training/successive_halving.hpp"

#include <algorithm>
#include <functional>
#include <limits>
#include <utility>

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
  std::vector<std::pair<double, std::size_t>> reached;
  for (std::size_t i = 0; i < begun.size(); ++i) {
    if (begun[i].rungs > rung) reached.emplace_back(score(begun[i], rung, halving), i);
  }
  std::ranges::stable_sort(reached, std::ranges::greater(), &std::pair<double, std::size_t>::first);
  std::vector<std::size_t> places;
  for (const auto& [value, place] : reached) places.push_back(place);
  return places;
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

Outlook outlook_of(std::span<const TrialReport> begun, const Halving& halving) {
  const bool all_begun = begun.size() >= halving.trials;
  const std::size_t most = std::max<std::size_t>(halving.trials / halving.eta, 1);
  Outlook outlook{.may_go_on = std::vector<bool>(begun.size(), false)};
  for (std::size_t rung = halving.rungs.size() - 1; rung-- > 0;) {
    const std::vector<std::size_t> reached = ranking(begun, rung, halving);
    const std::size_t going_on = std::max<std::size_t>(reached.size() / halving.eta, all_begun ? 1 : 0);
    for (std::size_t place = 0; place < std::min(most, reached.size()); ++place) {
      const TrialReport& trial = begun[reached[place]];
      if (trial.rungs != rung + 1 || !trial.problem.empty()) continue;
      if (place < going_on) outlook.steps.push_back({reached[place], rung + 1});
      outlook.may_go_on[reached[place]] = !trial.ended;
    }
  }
  if (!all_begun) outlook.steps.push_back({begun.size(), 0});
  if (outlook.steps.empty()) outlook.may_go_on.assign(begun.size(), false);
  return outlook;
}

}  // namespace attune::inline v0_1::detail
