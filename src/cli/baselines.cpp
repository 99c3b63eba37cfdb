// SPDX-License-Identifier: Apache-2.0
#include "cli/baselines.hpp"

#include <algorithm>

#include "cli/report.hpp"

namespace attune::cli {
namespace {

// Multiplications of a fit, roughly; an addition at a random place counts as ten.
double work(CountKind kind, const Histories& train) {
  double pairs = 0;
  for (std::size_t user = 0; user < train.num_users(); ++user) {
    const auto events = static_cast<double>(train.of(user).size());
    pairs += events * events;
  }
  const auto items = static_cast<double>(train.num_items());
  if (kind == CountKind::item_knn) return 10 * pairs;
  if (kind == CountKind::ease) return 10 * pairs + items * items * items;
  return 0;
}

CountOptions default_options(CountKind kind) {
  TrainerConfig config;
  config.counts = kind;
  return config.count_options();
}

class Bench {
 public:
  Bench(const TrainedModel& model, const Histories* train, const EvaluationQueries& queries,
        const EvaluationOptions& options, bool quick, Console& console)
      : model_(model), train_(train), queries_(queries), options_(options), quick_(quick), console_(console) {
    options_.bootstrap = 0;
  }

  Baseline measure(CountKind kind) const {
    Baseline baseline{std::string(to_string(kind)), std::nullopt};
    std::replace(baseline.name.begin(), baseline.name.end(), '-', '_');
    try {
      TrainedModel counts;
      counts.item_ids = model_.item_ids;
      counts.popularity = model_.popularity;
      counts.counts = counts_of(kind);
      console_.line("measuring " + std::string(to_string(kind)));
      baseline.report = evaluate(counts, queries_, options_);
    } catch (const Error& error) {
      baseline.left_out = error.what();
    }
    return baseline;
  }

 private:
  std::shared_ptr<const CountModel> counts_of(CountKind kind) const {
    constexpr double kFewSeconds = 6e10;
    if (kind == CountKind::popularity && model_.popularity) return model_.popularity;
    if (model_.counts && model_.counts->name() == to_string(kind)) return model_.counts;
    if (train_ == nullptr) {
      throw Error(ErrorCode::unsupported, "the events that the model was trained on are not known");
    }
    if (quick_ && work(kind, *train_) > kFewSeconds) {
      throw Error(ErrorCode::unsupported, "takes more than a few seconds; attune evaluate --baselines measures it");
    }
    return fit_counts(*train_, default_options(kind), options_.executor);
  }

  const TrainedModel& model_;
  const Histories* train_;
  const EvaluationQueries& queries_;
  EvaluationOptions options_;
  bool quick_;
  Console& console_;
};

}  // namespace

std::vector<Baseline> measure_baselines(const TrainedModel& model, const Histories* train,
                                        const EvaluationQueries& queries, const EvaluationOptions& options, bool quick,
                                        Console& console) {
  const Bench bench(model, train, queries, options, quick, console);
  std::vector<Baseline> all;
  if (queries.empty()) return all;
  for (const CountKind kind : {CountKind::popularity, CountKind::markov, CountKind::item_knn, CountKind::ease}) {
    all.push_back(bench.measure(kind));
  }
  return all;
}

std::optional<Histories> training_part(const TrainedModel& model) {
  if (!model.histories || !model.popularity) return std::nullopt;
  try {
    Histories train = split(*model.histories, Protocol::read(model.notes).split).train;
    const PopularityModel found = PopularityModel::fit(train);
    if (std::ranges::equal(found.counts(), model.popularity->counts())) return train;
  } catch (const Error&) {  // a split that these events do not allow
  }
  return std::nullopt;
}

}  // namespace attune::cli
