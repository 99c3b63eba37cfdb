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

// The model's own or one fitted on `train`. Throws Error with the reason where it is neither.
std::shared_ptr<const CountModel> counts_of(CountKind kind, const TrainedModel& model, const Histories* train,
                                            bool quick, Executor* executor) {
  constexpr double kFewSeconds = 6e10;
  if (kind == CountKind::popularity && model.popularity) return model.popularity;
  if (model.counts && model.counts->name() == to_string(kind)) return model.counts;
  if (train == nullptr) {
    throw Error(ErrorCode::unsupported, "the events that the model was trained on are not known");
  }
  if (quick && work(kind, *train) > kFewSeconds) {
    throw Error(ErrorCode::unsupported, "takes more than a few seconds; attune evaluate --baselines measures it");
  }
  TrainerConfig defaults;
  defaults.counts = kind;
  return fit_counts(*train, defaults.count_options(), executor);
}

}  // namespace

Baseline measure_beside(const std::string& name, const TrainedModel& other, const Report& report,
                        const EvaluationQueries& queries, const EvaluationOptions& options) {
  EvaluationOptions plain = options;
  plain.bootstrap = 0;
  plain.providers = nullptr;
  plain.segments = false;
  plain.hardest = 0;
  plain.user_groups.clear();
  plain.keep_user_sums = true;
  Baseline baseline{name, evaluate(other, queries, plain), ""};
  const std::string cutoff = std::to_string(shown_cutoff(options.cutoffs));
  baseline.paired = paired_bootstrap(
      report.user_sums, baseline.report->user_sums,
      {.metrics = {"hr@" + cutoff, "ndcg@" + cutoff}, .seed = options.seed, .executor = options.executor});
  baseline.report->user_sums = {};  // as large as the queries are many
  return baseline;
}

std::vector<Baseline> measure_baselines(const TrainedModel& model, const Report& report, const Histories* train,
                                        const EvaluationQueries& queries, const EvaluationOptions& options, bool quick,
                                        Console& console) {
  std::vector<Baseline> all;
  if (queries.empty()) return all;
  if (!model.ranker.empty()) {
    console.line("measuring the engine without its ranker");
    TrainedModel engine = model;
    engine.calibration = {};
    engine.ranker = {};
    all.push_back(measure_beside("engine", engine, report, queries, options));
  }
  if (model.encoder && model.blend_weight != 0) {
    console.line("measuring the encoder alone");
    TrainedModel alone = model;
    alone.blend_weight = 0;
    alone.calibration = {};
    alone.ranker = {};
    all.push_back(measure_beside("encoder", alone, report, queries, options));
  }
  TrainedModel counting;
  counting.item_ids = model.item_ids;
  counting.popularity = model.popularity;
  std::vector<CountKind> kinds{CountKind::popularity, CountKind::markov, CountKind::item_knn, CountKind::ease};
  if (!options.exclude_seen) kinds.push_back(CountKind::repeat);
  for (const CountKind kind : kinds) {
    console.line("measuring " + std::string(to_string(kind)));
    std::string name(to_string(kind));
    std::replace(name.begin(), name.end(), '-', '_');
    try {
      counting.counts = counts_of(kind, model, train, quick, options.executor);
    } catch (const Error& error) {
      all.push_back({name, std::nullopt, error.what()});
      continue;
    }
    all.push_back(measure_beside(name, counting, report, queries, options));
  }
  return all;
}

std::optional<Histories> training_part(const TrainedModel& model) {
  if (!model.histories || !model.popularity) return std::nullopt;
  try {
    const Split parts = split(*model.histories, EvaluationProtocol::read(model.notes).split);
    for (const EvaluationQueries& learned : {EvaluationQueries{}, parts.validation}) {
      Histories train = with_targets(parts.train, learned);
      const PopularityModel found = PopularityModel::fit(train);
      if (std::ranges::equal(found.counts(), model.popularity->counts())) return train;
    }
  } catch (const Error&) {  // a split that these events do not allow
  }
  return std::nullopt;
}

}  // namespace attune::cli
