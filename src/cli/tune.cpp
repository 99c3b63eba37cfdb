// SPDX-License-Identifier: Apache-2.0

// attune tune: interactions and a search space in, the training options that suit them best out.

#include "attune/training/tuner.hpp"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <ostream>
#include <span>

#include "cli/epochs.hpp"
#include "cli/html_report.hpp"
#include "cli/input.hpp"
#include "cli/plot.hpp"
#include "cli/report.hpp"
#include "cli/verbs.hpp"
#include "platform/files.hpp"

namespace attune::cli {
namespace {

TrainerConfig configuration(const TuneOptions& options) {
  TrainerConfig config = trainer_config(options.preset, options.common);
  if (config.counts_alone && (options.epochs || options.tuner.first_rung != 0)) {
    throw UsageError("--epochs and --first-rung: a count model alone has no epochs");
  }
  config.epochs = options.epochs.value_or(config.epochs);
  apply_protocol(config, options.protocol);
  return config;
}

// What follows from --request-time follows from the preset's block, and training the winner must find the same.
void check_request_time(const Tuner& tuner, const TuneOptions& options) {
  if (!options.protocol.request_time.value_or(false)) return;
  for (std::size_t trial = 1; trial <= tuner.trials(); ++trial) {
    try {
      const EncoderConfig encoder = tuner.config(trial).encoder;
      if (encoder.block != BlockKind::hstu || encoder.request_time) continue;
    } catch (const Error&) {
      continue;  // loses when its turn comes
    }
    throw UsageError("--request-time on: expected encoder.block from --preset or --config, found it in " +
                     options.space);
  }
}

// "adam.learning_rate 0.003  encoder.num_blocks 2"
std::string described(const TrialReport& trial, const SearchSpace& space) {
  std::string text;
  for (std::size_t i = 0; i < trial.values.size(); ++i) {
    text += (text.empty() ? "" : "  ") + space.parameters()[i].field() + ' ' + trial.values[i];
  }
  return text;
}

TuningProgress progress_on(Console& console, const Tuner& tuner) {
  TuningProgress progress;
  progress.rung = [&](const TrialReport& trial) {
    std::string text = "trial " + std::to_string(trial.trial) + '/' + std::to_string(tuner.trials());
    if (!trial.epochs.empty()) text += "  epoch " + std::to_string(trial.epochs.size());
    if (trial.problem.empty()) {
      text += "  validation hr@10 " + fixed(trial.hit_rate_10, 4) + "  ndcg@10 " + fixed(trial.ndcg_10, 4);
    } else {
      text += "  lost: " + trial.problem;
    }
    console.line(text + "  " + fixed(trial.seconds, 1) + " s  " + described(trial, tuner.space()));
    return true;
  };
  progress.step = [&](std::size_t trial, const StepReport& step) {
    console.bar(
        "trial " + std::to_string(trial) + "  epoch " + std::to_string(step.epoch) + "  loss " + fixed(step.loss, 3),
        step.step, step.steps);
    return true;
  };
  return progress;
}

// Best first; those that have lost behind.
std::vector<const TrialReport*> in_order(const TuningResult& result) {
  std::vector<const TrialReport*> trials;
  for (const TrialReport& trial : result.trials) trials.push_back(&trial);
  std::ranges::stable_sort(trials, [](const TrialReport* a, const TrialReport* b) {
    if (a->problem.empty() != b->problem.empty()) return a->problem.empty();
    return a->ndcg_10 > b->ndcg_10;
  });
  return trials;
}

// In lines that the plot has room for.
std::vector<std::string> best_lines(const TrialReport& best, const SearchSpace& space) {
  constexpr std::size_t kMost = 90;
  std::vector<std::string> lines{"best:"};
  for (std::size_t i = 0; i < best.values.size(); ++i) {
    const std::string text = space.parameters()[i].field() + ' ' + best.values[i];
    if (lines.back().size() + text.size() > kMost) lines.emplace_back();
    lines.back() += (lines.back().empty() ? "" : "  ") + text;
  }
  return lines;
}

Plot plot_of(const TuningResult& result, const Tuner& tuner) {
  const TrialReport& best = result.trials[result.best];
  const bool curves = !best.epochs.empty();
  Plot plot{.title = "Validation NDCG@10 of " + plural(result.trials.size(), "trial", "trials"),
            .subtitle = best_lines(best, tuner.space()),
            .x_label = curves ? "epoch (rungs dashed)" : "trial",
            .y_label = "validation NDCG@10"};
  if (curves) plot.marks.assign(tuner.rungs().begin(), tuner.rungs().end());
  for (const TrialReport& trial : result.trials) {
    const std::string name = "trial " + std::to_string(trial.trial);
    Plot::Series series{.name = name + ": ndcg@10 " + fixed(trial.ndcg_10, 4) + "  " + described(trial, tuner.space()),
                        .highlighted = &trial == &best,
                        .label = name};
    for (const EpochReport& epoch : trial.epochs) {
      series.points.emplace_back(static_cast<double>(epoch.epoch), epoch.ndcg_10);
    }
    if (!curves && trial.problem.empty()) series.points.emplace_back(static_cast<double>(trial.trial), trial.ndcg_10);
    plot.series.push_back(std::move(series));
  }
  return plot;
}

Json trial_json(const TrialReport& trial, const SearchSpace& space) {
  Json json{{"trial", trial.trial},
            {"parameters", Json::parse(space.named(trial.values))},
            {"rungs", trial.rungs},
            {"best_epoch", trial.best_epoch},
            {"validation", nullptr},
            {"seconds", trial.seconds},
            {"problem", trial.problem.empty() ? Json() : Json(trial.problem)},
            {"epochs", epochs_json(trial.epochs)}};
  if (trial.problem.empty()) json["validation"] = {{"hr@10", trial.hit_rate_10}, {"ndcg@10", trial.ndcg_10}};
  return json;
}

Rows trial_rows(const TuningResult& result, const SearchSpace& space) {
  Rows rows{{"trial"}};
  for (const SearchParameter& parameter : space.parameters()) rows[0].push_back(parameter.field());
  for (const char* title : {"epochs", "hr@10", "ndcg@10", "seconds"}) rows[0].push_back(title);
  for (const TrialReport* trial : in_order(result)) {
    std::vector<std::string> row{std::to_string(trial->trial)};
    row.insert(row.end(), trial->values.begin(), trial->values.end());
    const bool lost = !trial->problem.empty();
    row.push_back(std::to_string(trial->epochs.size()));
    row.push_back(lost ? "lost" : fixed(trial->hit_rate_10, 4));
    row.push_back(lost ? "lost" : fixed(trial->ndcg_10, 4));
    row.push_back(fixed(trial->seconds, 1));
    rows.push_back(std::move(row));
  }
  return rows;
}

void print_trials(std::ostream& out, const TuningResult& result, const SearchSpace& space) {
  print_table(out, trial_rows(result, space), "r");
  for (const TrialReport& trial : result.trials) {
    if (!trial.problem.empty()) out << "  trial " << trial.trial << " lost: " << trial.problem << '\n';
  }
}

// What trains the winner on the same data.
std::string train_command(const TuneOptions& options, const std::string& config) {
  const DataOptions& data = options.data;
  const ProtocolOptions& protocol = options.protocol;
  std::string command = "attune train --interactions " + quoted(data.interactions);
  const auto add = [&](const std::string& option, const std::string& value) {
    command += ' ' + option + ' ' + quoted(value);
  };
  std::string columns;
  for (const std::string& column : data.columns) columns += (columns.empty() ? "" : ",") + column;
  if (!columns.empty()) add("--columns", columns);
  if (data.skip_header) command += " --skip-header";
  if (!data.separator.empty()) add("--separator", data.separator);
  if (data.skip_bad_lines) command += " --skip-bad-lines";
  if (data.min_rating) add("--min-rating", Json(*data.min_rating).dump());
  if (data.k_core) add("--k-core", std::to_string(*data.k_core));
  if (protocol.split) add("--split", *protocol.split);
  if (protocol.baskets) command += " --basket";
  if (protocol.exclude_seen) add("--seen", *protocol.exclude_seen ? "filter" : "keep");
  if (protocol.request_time) add("--request-time", *protocol.request_time ? "on" : "off");
  add("--preset", options.preset);
  add("--config", config);
  return command + " --output model";
}

// "27 trials in 222.3 s, compared by 4,015 validation queries, split temporal:0.9".
std::string summary(const TuningResult& result, const Split& split, const Protocol& protocol) {
  return plural(result.trials.size(), "trial", "trials") + " in " + fixed(result.seconds, 1) + " s, compared by " +
         plural(split.validation.size(), "validation query", "validation queries") + ", split " +
         protocol.split.name() +
         (result.complete ? "" : "; the budget ended the search, --resume with a larger one goes on");
}

void write_page(HtmlReport& page, const TuneOptions& options, const TuningResult& result, const Tuner& tuner,
                const std::string& summary, const std::string& command) {
  constexpr std::size_t kListed = 20;
  if (!page) return;
  Rows trials = trial_rows(result, tuner.space());
  trials.resize(std::min(trials.size(), 1 + kListed));
  page.add_trials(plot_of(result, tuner), trials, summary + '.');
  page.add_configuration(result.config.to_json());
  page.write("attune tune: " + options.data.interactions,
             {{"directory", options.output},
              {"best", "trial " + std::to_string(result.trials[result.best].trial)},
              {"seconds", fixed(result.seconds, 1)},
              {"to train the best", command}});
}

void write_file(const std::string& path, const std::string& text) {
  platform::replace_file(path, std::as_bytes(std::span(text)));
}

}  // namespace

void run(const TuneOptions& options, Console& console) {
  const TrainerConfig config = configuration(options);
  Protocol protocol;
  protocol.exclude_seen = config.exclude_seen;
  protocol.apply(options.protocol, options.data);
  if (protocol.split.kind == SplitOptions::Kind::none) {
    throw UsageError("--split none: expected a split with a validation part, which trials are compared by");
  }
  HtmlReport page(options.report, options.common, "",
                  {{"--interactions", options.data.interactions},
                   {"--space", options.space},
                   {"--config", options.common.config},
                   {"--output", options.output}});
  TunerOptions tuning = options.tuner;
  tuning.directory = options.output;
  const auto executor = make_executor(options.common);
  Tuner tuner(config, SearchSpace::from_json(read_text(options.space), options.space), tuning, executor.get());
  check_request_time(tuner, options);

  GroupedInteractions interactions = read_histories(options.data, protocol, IdKind::string, console);
  Json load = load_json(interactions);
  if (!console.json()) print_load(console.text(), interactions);
  const Split split = split_by(protocol, options.protocol, std::move(interactions.histories));
  page.add_data(load, split);
  const TuningResult result = tuner.search(split.train, split.validation, progress_on(console, tuner));

  const std::filesystem::path directory = options.output;
  const std::string best = (directory / "best.json").string(), plot = (directory / "tune.svg").string();
  const Json chosen = Json::parse(result.config.to_json());
  write_file(best, chosen.dump(2) + '\n');
  write_file(plot, plot_of(result, tuner).svg());
  const std::string command = train_command(options, best), done = summary(result, split, protocol);
  write_page(page, options, result, tuner, done, command);
  if (console.json()) {
    Json trials = Json::array();
    for (const TrialReport* trial : in_order(result)) trials.push_back(trial_json(*trial, tuner.space()));
    Json report{{"load", std::move(load)},
                {"split", protocol.split.name()},
                {"queries", split.validation.size()},
                {"rungs", tuner.rungs()},
                {"trials", std::move(trials)},
                {"best", result.trials[result.best].trial},
                {"preset", options.preset},
                {"config", chosen},
                {"complete", result.complete},
                {"resumed_rungs", result.resumed_rungs},
                {"seconds", result.seconds},
                {"best_file", best},
                {"plot_file", plot},
                {"train", command}};
    if (page) report["report"] = options.report;
    return console.object(report);
  }
  std::ostream& out = console.text();
  print_trials(out, result, tuner.space());
  out << done << "\ncurves in " << plot << (page ? ", the report in " + options.report : "")
      << "; train the best with\n  " << command << '\n';
}

}  // namespace attune::cli
