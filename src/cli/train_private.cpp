// SPDX-License-Identifier: Apache-2.0

// attune train --privacy-epsilon: what a model gives away of its users is bounded. Nothing is chosen by validation.

#include <cmath>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <utility>

#include "attune/privacy/private_training.hpp"
#include "cli/input.hpp"
#include "cli/report.hpp"
#include "cli/verbs.hpp"
#include "platform/clock.hpp"

namespace attune::cli {
namespace {

constexpr std::size_t kPasses = 10;  // over the users, unless --epochs says another number

// Counts alone by default, which is best by measurement; with the preset of an encoder that encoder on top.
PrivateTrainingConfig private_configuration(const TrainOptions& options, const TrainerConfig& preset) {
  PrivateTrainingConfig config;
  config.epsilon = *options.privacy_epsilon;
  config.delta = options.privacy_delta;
  config.unit = options.privacy_unit;
  config.seed = options.common.seed.value_or(config.seed);
  if (options.preset == "default" || options.preset == "markov") {
    if (options.epochs) throw UsageError("--epochs: private counts have no epochs");
    return config;
  }
  if (preset.counts_alone || preset.encoder.mask_token) {
    throw UsageError(
        "--preset: expected default, markov or an encoder that trains causally with --privacy-epsilon, found " +
        options.preset);
  }
  PrivateEncoderOptions& encoder = config.encoder;
  const auto passes = static_cast<double>(options.epochs.value_or(kPasses));
  encoder.steps = static_cast<std::size_t>(std::ceil(passes / encoder.sampling_probability));
  encoder.encoder = preset.encoder;
  encoder.objective = preset.objective;
  encoder.adam = preset.adam;
  return config;
}

// Where a user's history ends must not depend on others.
Protocol private_protocol(const TrainOptions& options, bool exclude_seen) {
  ProtocolOptions asked = options.protocol;
  if (!asked.split) asked.split = "leave-one-out";
  Protocol protocol;
  protocol.exclude_seen = exclude_seen;
  protocol.apply(asked, options.data);
  if (protocol.split.kind == SplitOptions::Kind::temporal) {
    throw UsageError("--split: expected leave-one-out or none with --privacy-epsilon: everybody's events say where " +
                     *asked.split + " cuts");
  }
  return protocol;
}

void print_result(std::ostream& out, const PrivacyStatement& statement, double seconds, const Report& report,
                  const Protocol& protocol, const std::vector<Baseline>& baselines, const std::string& output) {
  out << "trained in " << fixed(seconds, 1) << " s, epsilon " << fixed(statement.epsilon, 4) << " at delta "
      << Json(statement.delta).dump() << " for "
      << (statement.unit == PrivacyUnit::user ? "all that a user did" : "a single event") << '\n';
  print_protocol(out, protocol, report);
  if (report.queries != 0) print_comparison(out, report, baselines, 10);
  out << "model written to " << output
      << "; its counts and weights are private, the histories beside them and the numbers above are not\n";
}

}  // namespace

void train_private(const TrainOptions& options, Console& console) {
  check_standard_input({{"--config", options.common.config}, {"--interactions", options.data.interactions}});
  TrainerConfig preset = trainer_config(options.preset, options.common);
  apply_protocol(preset, options.protocol);
  const PrivateTrainingConfig config = private_configuration(options, preset);
  config.validate();
  Protocol protocol = private_protocol(options, preset.exclude_seen);
  TrainedModel::check_replaceable(options.output);
  GroupedInteractions interactions = read_histories(options.data, protocol, IdKind::string, console);
  const Json load = load_json(interactions);
  if (!console.json()) print_load(console.text(), interactions);
  const Split split = split_by(protocol, options.protocol, std::move(interactions.histories));

  // Nothing is validated: what was held out for it is there to be learned.
  const Histories learned = split.validation.empty() ? split.train : with_targets(split.train, split.validation);
  const auto executor = make_executor(options.common);
  console.line("training privately on " + plural(learned.num_users(), "user", "users"));
  const auto start = platform::Clock::now();
  PrivacyStatement statement;
  TrainedModel model = train_privately(learned, config, executor.get(), &statement);
  const double seconds = platform::seconds_since(start);
  model.histories = split.all;
  protocol.write(model.notes);
  model.notes["preset"] = options.preset;
  model.save(options.output);

  EvaluationOptions measuring{.exclude_seen = protocol.exclude_seen, .request_time = protocol.request_time};
  measuring.bootstrap = 0;
  measuring.executor = executor.get();
  measuring.keep_user_sums = true;
  const Report report = evaluate(model, split.test, measuring);
  const std::vector<Baseline> baselines =
      measure_baselines(model, report, &learned, split.test, measuring, true, console);
  if (!console.json()) {
    return print_result(console.text(), statement, seconds, report, protocol, baselines, options.output);
  }
  console.object({{"load", load},
                  {"privacy", Json::parse(statement.to_json())},
                  {"train_seconds", seconds},
                  {"protocol", protocol_json(protocol, report)},
                  {"metrics", metrics_json(report.metrics)},
                  {"baselines", baselines_json(baselines)},
                  {"baselines_left_out", left_out_json(baselines)},
                  {"model", options.output}});
}

}  // namespace attune::cli
