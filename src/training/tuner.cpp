// SPDX-License-Identifier: Apache-2.0
#include "attune/training/tuner.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <utility>

#include "attune/error.hpp"
#include "platform/clock.hpp"
#include "training/successive_halving.hpp"
#include "training/training_state.hpp"
#include "training/trial_journal.hpp"
#include "training/validation.hpp"

namespace attune::inline v0_1 {

namespace {

using detail::Halving;
using detail::Json;
using detail::Step;
using detail::TrialJournal;
using platform::Clock;
using platform::seconds_since;

void require(bool holds, const std::string& field, const std::string& expected, const std::string& found) {
  if (!holds) throw Error(ErrorCode::invalid_config, "tuner: " + field + " must be " + expected + ", found " + found);
}

// Trials are compared by their encoders and stopped by the search.
TrainerConfig as_trial(TrainerConfig config) {
  config.blend = false;
  config.calibrate = false;
  config.rerank = false;
  config.refit = false;
  config.time_budget_seconds = 0;
  return config;
}

// What makes the configuration lose; other errors are no fault of its own. A limit is where it is that of a count
// model; in the training of an encoder it is that of the machine, or one that all trials share.
bool loses(ErrorCode code, bool counts_alone) {
  return code == ErrorCode::invalid_config || code == ErrorCode::invalid_data || code == ErrorCode::non_finite ||
         (code == ErrorCode::limit_exceeded && counts_alone);
}

// A parameter that no trial would notice makes equal trials of different ones.
void require_used(const SearchSpace& space, bool counts_alone) {
  constexpr std::string_view kOfCounts[] = {"counts", "popularity", "markov", "item_knn", "ease", "ials", "repeat"};
  for (const SearchParameter& parameter : space.parameters()) {
    const bool of_counts = std::ranges::find(kOfCounts, parameter.path.front()) != std::end(kOfCounts);
    if (of_counts == counts_alone) continue;
    throw Error(ErrorCode::invalid_config,
                "search space: " + parameter.field() + ": expected an option " +
                    (counts_alone ? "of counts, found one that a count model alone does not use"
                                  : "of the encoder or its training, found one of counts, which no trial is blended "
                                    "with"));
  }
}

std::string state_path(const std::string& directory, std::size_t trial) {
  return (std::filesystem::path(directory) / ("trial-" + std::to_string(trial) + ".training")).string();
}

// The work of one call of search().
class Search {
 public:
  Search(const Tuner& tuner, const TunerOptions& options, const Histories& train, const EvaluationQueries& validation,
         const TuningProgress& progress, Executor& executor, TrialJournal& journal)
      : tuner_(tuner),
        options_(options),
        train_(train),
        validation_(validation),
        progress_(progress),
        executor_(executor),
        journal_(journal),
        spent_before_(journal.seconds()),
        halving_{tuner.rungs(), options.eta, tuner.trials()} {}

  // True if it came to its end.
  bool run() {
    for (bool goes_on = true; goes_on;) {
      const auto [steps, may_go_on] = detail::outlook_of(journal_.trials(), halving_);
      remove_states(may_go_on);
      if (steps.empty()) return true;
      const auto fitting = std::ranges::find_if(steps, [&](const Step& step) { return fits(step); });
      if (fitting == steps.end()) return false;
      const std::optional<TrialReport> report = take(*fitting);
      if (!report) return false;
      journal_.add(*report, detail::parse_object(tuner_.space().named(report->values), "trial"));
      goes_on = (!progress_.rung || progress_.rung(*report)) && wanted_;
    }
    return false;
  }
  double seconds() const { return spent_before_ + seconds_since(start_); }
  bool out_of_time() const { return options_.budget_seconds > 0 && seconds() >= options_.budget_seconds; }

 private:
  TrialReport report_before(const Step& step) const {
    TrialReport report{.trial = step.trial + 1};
    if (step.rung > 0) report = journal_.trials()[step.trial];
    report.values = tuner_.values(report.trial);
    return report;
  }

  // By the seconds that the trial's epochs have taken, or those of all trials for a new one. Of the very first nothing
  // is known.
  bool fits(const Step& step) const {
    if (options_.budget_seconds == 0) return true;
    const std::vector<TrialReport>& trials = journal_.trials();
    double needed = 0;
    if (step.rung > 0) {
      const TrialReport& trial = trials[step.trial];
      const auto done = static_cast<double>(trial.epochs.size());
      if (!trial.ended) needed = trial.seconds * (static_cast<double>(halving_.rungs[step.rung]) / done - 1);
    } else if (!trials.empty()) {
      std::size_t done = 0;
      for (const TrialReport& trial : trials) done += trial.epochs.size();
      needed = done == 0 ? journal_.seconds() / static_cast<double>(trials.size())
                         : journal_.seconds() * static_cast<double>(halving_.rungs[0]) / static_cast<double>(done);
    }
    return seconds() + needed < options_.budget_seconds;
  }

  // The trial at the rung; nothing where it was stopped on the way.
  std::optional<TrialReport> take(const Step& step) {
    TrialReport report = report_before(step);
    ++report.rungs;
    if (report.ended) return report;
    const auto begun = Clock::now();
    try {
      const TrainerConfig config = as_trial(tuner_.config(report.trial));
      if (config.counts_alone) {
        measure_counts(report, config);
      } else if (!train(report, config, halving_.rungs[step.rung])) {
        return std::nullopt;
      }
    } catch (const Error& error) {
      if (!loses(error.code(), halving_.rungs.back() == 0)) throw;
      report.problem = error.what();
    }
    report.seconds += seconds_since(begun);
    return report;
  }

  void measure_counts(TrialReport& report, const TrainerConfig& config) {
    const TrainedModel model = Trainer(config, &executor_).fit(train_, validation_);
    EpochReport measured;
    detail::validate(measured, model, detail::validation_sample(validation_, config),
                     detail::validation_options(config, executor_));
    report.hit_rate_10 = measured.hit_rate_10;
    report.ndcg_10 = measured.ndcg_10;
    report.ended = true;
  }

  // False where it was stopped before the rung.
  bool train(TrialReport& report, const TrainerConfig& config, std::size_t rung) {
    const std::size_t trial = report.trial;
    bool stopped = false;
    const auto goes_on = [&](bool wanted) { return !(stopped = !wanted || out_of_time()); };
    Progress progress;
    progress.step = [&](const StepReport& step) {
      // The state held all epochs up to the rung already.
      if (step.epoch > rung) return false;
      return goes_on(!progress_.step || progress_.step(trial, step));
    };
    progress.epoch = [&](const EpochReport& epoch) {
      wanted_ = !progress_.epoch || progress_.epoch(trial, epoch);
      return epoch.epoch < rung && goes_on(wanted_);
    };
    Trainer trainer{config, &executor_};
    try {
      fit(trainer, progress, {.path = state_path(options_.directory, trial), .resume = true});
    } catch (const Error& error) {
      if (stopped && error.code() == ErrorCode::cancelled) return false;
      take_over(report, trainer);
      throw;
    }
    take_over(report, trainer);
    report.ended = report.epochs.size() < rung || rung == halving_.rungs.back();
    return !stopped;
  }

  // A state of another training is as good as none.
  void fit(Trainer& trainer, const Progress& progress, StateFile state) {
    try {
      trainer.fit(train_, validation_, progress, state);
    } catch (const detail::Mismatch&) {
      state.resume = false;
      trainer.fit(train_, validation_, progress, state);
    }
  }

  // The epochs of the trial, and the seconds of those that an interrupted search trained without a record.
  void take_over(TrialReport& report, const Trainer& trainer) {
    for (std::size_t i = report.epochs.size(); i < trainer.resumed_epochs(); ++i) {
      report.seconds += trainer.epochs()[i].seconds;
    }
    report.epochs = trainer.epochs();
    report.best_epoch = trainer.best_epoch();
    if (report.best_epoch == 0) return;
    report.hit_rate_10 = report.epochs[report.best_epoch - 1].hit_rate_10;
    report.ndcg_10 = report.epochs[report.best_epoch - 1].ndcg_10;
  }

  // Only states that somebody may go on from stay: a state is as large as a few models.
  void remove_states(const std::vector<bool>& may_go_on) {
    kept_.resize(may_go_on.size(), true);
    for (std::size_t i = 0; i < may_go_on.size(); ++i) {
      if (kept_[i] && !may_go_on[i]) StateFile{.path = state_path(options_.directory, i + 1)}.remove();
    }
    kept_ = may_go_on;
  }

  const Tuner& tuner_;
  const TunerOptions& options_;
  const Histories& train_;
  const EvaluationQueries& validation_;
  const TuningProgress& progress_;
  Executor& executor_;
  TrialJournal& journal_;
  const Clock::time_point start_ = Clock::now();
  const double spent_before_;
  bool wanted_ = true;      // by the caller, after the latest epoch
  std::vector<bool> kept_;  // whether the state of a trial is left
  const Halving halving_;
};

// The best by validation NDCG@10, the earlier one of two; nothing where none could be trained.
std::optional<std::size_t> best_of(const std::vector<TrialReport>& trials) {
  std::optional<std::size_t> best;
  for (std::size_t i = 0; i < trials.size(); ++i) {
    if (trials[i].problem.empty() && (!best || trials[i].ndcg_10 > trials[*best].ndcg_10)) best = i;
  }
  return best;
}

}  // namespace

Tuner::Tuner(const TrainerConfig& base, SearchSpace space, TunerOptions options, Executor* executor)
    : base_(base), space_(std::move(space)), options_(std::move(options)), executor_(executor) {
  constexpr std::size_t kMostTrials = 100'000;
  require(options_.trials >= 1 && options_.trials <= kMostTrials, "trials", "1 to 100000",
          std::to_string(options_.trials));
  require(options_.eta >= 2 && options_.eta <= 1000, "eta", "2 to 1000", std::to_string(options_.eta));
  require(options_.budget_seconds >= 0 && std::isfinite(options_.budget_seconds), "budget_seconds",
          "at least 0 and finite", std::to_string(options_.budget_seconds));
  require(!options_.directory.empty(), "directory", "the path of a directory", "none");
  draw_samples();

  std::optional<TrainerConfig> valid;
  std::optional<Error> problem;
  for (std::size_t trial = 1; trial <= trials() && !valid; ++trial) {
    try {
      valid = config(trial);
    } catch (const Error& error) {
      if (!problem) problem = error;
    }
  }
  if (!valid) {
    throw Error(ErrorCode::invalid_config, "search space: none of " + std::to_string(trials()) +
                                               " configurations is valid, the first because of " + problem->what());
  }
  require_used(space_, valid->counts_alone);
  if (valid->counts_alone) {
    rungs_ = {0};
    return;
  }
  const std::size_t epochs = valid->epochs;
  require(options_.first_rung <= epochs, "first_rung", "at most the epochs of a trial, " + std::to_string(epochs),
          std::to_string(options_.first_rung));
  rungs_ = detail::rungs_of(epochs, options_.eta,
                            options_.first_rung != 0 ? options_.first_rung : epochs / (options_.eta * options_.eta));
}

// What is drawn again is no new trial. So many in a row are never seen where something new is left to find.
void Tuner::draw_samples() {
  constexpr std::size_t kMostRepeated = 1000;
  std::set<std::vector<std::string>> known;
  std::size_t repeated = 0;
  for (std::uint64_t number = 0; trials() < options_.trials && repeated < kMostRepeated; ++number) {
    auto values = space_.sample(base_.seed, number);
    const bool fresh = known.insert(values).second;
    repeated = fresh ? 0 : repeated + 1;
    if (fresh) samples_.push_back(std::move(values));
  }
}

TrainerConfig Tuner::config(std::size_t trial) const {
  TrainerConfig config = base_;
  config.apply_json(space_.overrides(values(trial)), "trial " + std::to_string(trial));
  return config;
}

TuningResult Tuner::search(const Histories& train, const EvaluationQueries& validation,
                           const TuningProgress& progress) {
  if (validation.empty()) {
    throw Error(ErrorCode::invalid_data, "validation: expected queries to compare trials by, found none");
  }
  Json identity = detail::identity_of(base_, train, validation);
  identity["space"] = detail::parse_object(space_.to_json(), "search space");
  identity["eta"] = options_.eta;
  identity["rungs"] = rungs_;
  TrialJournal journal(options_.directory, identity, rungs_.size(), options_.resume);
  require(journal.trials().size() <= trials(), "trials",
          "at least the " + std::to_string(journal.trials().size()) + " that have begun", std::to_string(trials()));
  InlineExecutor calling_thread;
  TuningResult result;
  result.resumed_rungs = journal.rungs();
  Search search(*this, options_, train, validation, progress, executor_ ? *executor_ : calling_thread, journal);
  result.complete = search.run();
  result.seconds = search.seconds();
  result.trials = journal.trials();
  for (TrialReport& trial : result.trials) trial.values = values(trial.trial);

  const auto best = best_of(result.trials);
  if (best) {
    result.best = *best;
    result.config = config(result.trials[*best].trial);
    return result;
  }
  if (result.complete) {
    throw Error(ErrorCode::invalid_config, "tuner: none of " + std::to_string(result.trials.size()) +
                                               " trials could be trained, the first because of " +
                                               result.trials.front().problem);
  }
  if (!search.out_of_time()) throw Error(ErrorCode::cancelled, "tuner: stopped before a trial reached its first rung");
  throw Error(ErrorCode::limit_exceeded, "tuner: the budget was too small for the first rung of a trial (" +
                                             std::to_string(rungs_.front()) + " epochs); a larger one can resume");
}

}  // namespace attune::inline v0_1
