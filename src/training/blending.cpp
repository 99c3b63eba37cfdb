// SPDX-License-Identifier: Apache-2.0
#include "training/blending.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace attune::inline v0_1::detail {

namespace {

constexpr double kWeights[] = {0.0, 0.25, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0};
constexpr const char* kMetric = "ndcg@10";

// What users add to the validation metric at one weight.
struct Tried {
  double weight = 0, ndcg_10 = 0;
  UserSums users = {};
};

// What the first gains on the second, in standard errors of the paired difference.
double gain_in_errors(const Tried& first, const Tried& second, std::uint64_t seed, Executor* executor) {
  constexpr double kErrors = 2 * 1.96;  // in an interval of 95 %
  const auto paired = paired_bootstrap(first.users, second.users,
                                       {.metrics = {kMetric}, .resamples = 400, .seed = seed, .executor = executor});
  const auto& [difference, interval, above_zero] = paired.at(kMetric);
  if (difference <= 0) return 0;
  return difference * kErrors / (interval[1] - interval[0]);
}

// The choice for one model of counts, step by step.
class BlendChoice {
 public:
  BlendChoice(const EvaluationQueries& queries, const EvaluationOptions& measuring, const TrainerConfig& config,
              const TimeBudget& budget, const Progress& progress)
      : queries_(queries), measuring_(measuring), config_(config), budget_(budget), progress_(progress) {
    measuring_.keep_user_sums = true;
  }

  bool stopped() const noexcept { return stopped_; }
  // Whether one more weight, as slow as the last, fits the budget.
  bool has_time() const { return budget_.left() > seconds_; }

  // Of the weights within one standard error of the best NDCG@10 in validation the one nearest to 1, at which the
  // answer is the product of what both say: the epoch was chosen on the same queries, which favours the encoder, and
  // few queries tell weights badly apart. Weight 0 where nothing could be tried.
  Tried best_weight(TrainedModel model) {
    std::vector<Tried> all;
    for (const double weight : kWeights) {
      if (stopped_ || !has_time()) break;
      const double start = budget_.spent();
      model.blend_weight = weight;
      Report report = evaluate(model, queries_, measuring_);
      all.push_back({weight, report.ndcg_at(10), std::move(report.user_sums)});
      const BlendReport tried{
          .counts = std::string(model.counts->name()), .weight = weight, .ndcg_10 = all.back().ndcg_10};
      stopped_ = progress_.blend && !progress_.blend(tried);
      seconds_ = budget_.spent() - start;
    }
    if (all.empty()) return {};
    const auto best = std::ranges::max_element(all, {}, &Tried::ndcg_10);
    const auto distance = [](const Tried& tried) { return std::abs(tried.weight - 1.0); };
    auto chosen = best;
    for (auto other = all.begin(); other != all.end(); ++other) {
      if (distance(*other) < distance(*chosen) && errors_behind(*best, *other) <= 1) chosen = other;
    }
    return std::move(*chosen);
  }

  double errors_behind(const Tried& first, const Tried& second) const {
    return gain_in_errors(first, second, config_.seed, measuring_.executor);
  }

 private:
  const EvaluationQueries& queries_;
  EvaluationOptions measuring_;
  const TrainerConfig& config_;
  const TimeBudget& budget_;
  const Progress& progress_;
  double seconds_ = 0;
  bool stopped_ = false;
};

}  // namespace

std::vector<CountKind> rivals_of(const TrainerConfig& config) {
  if (!config.compare_counts) return {};
  std::vector<CountKind> rivals{CountKind::item_knn};
  if (!config.exclude_seen) rivals.push_back(CountKind::repeat);
  std::erase(rivals, config.counts);
  return rivals;
}

std::size_t blending_validations(const TrainerConfig& config) {
  return config.blend ? std::size(kWeights) * (1 + rivals_of(config).size()) : 0;
}

bool choose_blend(TrainedModel& model, const Histories& train, const EvaluationQueries& queries,
                  EvaluationOptions measuring, const TrainerConfig& config, const TimeBudget& budget,
                  const Progress& progress) {
  BlendChoice choice(queries, measuring, config, budget, progress);
  Tried best = choice.best_weight(model);
  TrainerConfig rival_config = config;
  for (const CountKind kind : rivals_of(config)) {
    if (choice.stopped() || !choice.has_time()) break;
    rival_config.counts = kind;
    TrainedModel rival = model;
    rival.counts = fit_counts(train, rival_config.count_options(), measuring.executor);
    Tried other = choice.best_weight(rival);
    if (!(other.ndcg_10 > best.ndcg_10)) continue;
    model.counts = std::move(rival.counts);
    best = std::move(other);
  }
  model.blend_weight = best.weight;
  return !choice.stopped();
}

}  // namespace attune::inline v0_1::detail
