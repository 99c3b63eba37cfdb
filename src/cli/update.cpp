// SPDX-License-Identifier: Apache-2.0

// attune update: a model and the events that came after it in, the next model out, measured beside the one before.

#include "attune/training/updater.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/epochs.hpp"
#include "cli/input.hpp"
#include "cli/report.hpp"
#include "cli/verbs.hpp"

namespace attune::cli {
namespace {

// The protocol of the model, but for the split, which is that of the new events, and the core, which would leave hardly
// one of them.
Protocol protocol_of(const UpdateOptions& options, const TrainedModel& model) {
  Protocol protocol{EvaluationProtocol::read(model.notes)};
  protocol.split = {.baskets = protocol.split.baskets};
  protocol.k_core = 0;
  protocol.apply(options.protocol, options.data);
  if (protocol.split.kind == SplitOptions::Kind::leave_one_out) {
    throw UsageError("--split: expected temporal:F or none, found leave-one-out");
  }
  return protocol;
}

// The old model and the new one on the same queries.
struct Comparison {
  Report before, after;

  Comparison(const TrainedModel& old, const TrainedModel& updated, const EvaluationQueries& queries,
             const EvaluationOptions& options)
      : before(evaluate(old, queries, options)), after(evaluate(updated, queries, options)) {}
};

// One query for a user's events of one time, with all of them relevant.
EvaluationQueries by_baskets(const EvaluationQueries& queries) {
  EvaluationQueries baskets{queries.histories, {}};
  for (const EvaluationQueries::Query& query : queries.queries) {
    EvaluationQueries::Query* const last = baskets.queries.empty() ? nullptr : &baskets.queries.back();
    const bool goes_on = last != nullptr && last->user == query.user &&
                         last->history_length + last->num_targets == query.history_length &&
                         queries.time(*last) == queries.time(query);
    if (goes_on) {
      ++last->num_targets;
    } else {
      baskets.queries.push_back(query);
    }
  }
  return baskets;
}

// Those of users that the old model knew.
EvaluationQueries of_known_users(const EvaluationQueries& queries, const TrainedModel& old) {
  EvaluationQueries known = queries;
  std::erase_if(known.queries, [&](const auto& query) { return query.user >= old.histories->num_users(); });
  return known;
}

Json update_json(const UpdateReport& report) {
  return {{"new_events", report.new_events},
          {"known_events", report.known_events},
          {"new_users", report.new_users},
          {"new_items", report.new_items}};
}

Json known_users_json(const Comparison& known) {
  return {{"queries", known.after.queries},
          {"metrics", metrics_json(known.after.metrics)},
          {"before", metrics_json(known.before.metrics)}};
}

// What the model says of itself from now on. It has learned from events on both sides of every split.
void write_notes(TrainedModel& updated, const Protocol& protocol, const TrainedModel& old) {
  Protocol noted = protocol;
  noted.split = SplitOptions::parse("none");
  noted.write(updated.notes);
  updated.notes["updated_from"] = old.version;
}

void print_result(std::ostream& out, const UpdateReport& report, const Comparison& all, const Protocol& protocol,
                  const std::string& output) {
  out << plural(report.new_events, "new event", "new events") << ", "
      << plural(report.new_users, "new user", "new users") << ", " << plural(report.new_items, "new item", "new items")
      << "; " << grouped(report.known_events) << " known before; trained in " << fixed(report.train_seconds, 1)
      << " s\n";
  print_protocol(out, protocol, all.after);
  if (all.after.queries != 0) print_comparison(out, all.after, {{"before", all.before, ""}}, 10);
  out << "model written to " << output << '\n';
}

}  // namespace

void run(const UpdateOptions& options, Console& console) {
  check_standard_input({{"--config", options.common.config}, {"--interactions", options.data.interactions}});
  trainer_config("default", options.common);
  const TrainedModel old = TrainedModel::load(options.model);
  TrainedModel::check_replaceable(options.output);
  if (old.encoder && !old.encoder->config().trainable()) {
    throw Error(ErrorCode::unsupported,
                options.model + ": the encoder was trained elsewhere, in a way that is only served here");
  }
  if (!old.histories) throw Error(ErrorCode::invalid_argument, options.model + ": expected histories, found none");
  Protocol protocol = protocol_of(options, old);
  const Interactions interactions =
      read_interactions(options.data, protocol, old.item_ids->kind(), console, old.histories->user_ids->kind());
  if (!console.json()) print_load(console.text(), interactions);

  const bool measured = protocol.split.kind == SplitOptions::Kind::temporal && !old.histories->times.empty();
  if (!measured) protocol.note = "no part is held out: nothing can be measured";
  UpdaterConfig config = options.updater;
  config.held_out = measured ? 1.0 - protocol.split.fraction : 0.0;
  config.seed = options.common.seed.value_or(config.seed);
  const auto executor = make_executor(options.common);
  Updater updater(config, executor.get());
  TrainedModel model = updater.update(old, interactions.log, progress_on(console));
  const UpdateReport& report = updater.report();
  if (report.new_events != 0) write_notes(model, protocol, old);
  model.save(options.output);

  EvaluationOptions measuring;
  measuring.exclude_seen = protocol.exclude_seen;
  measuring.request_time = protocol.request_time;
  measuring.bootstrap = 0;
  measuring.executor = executor.get();
  const EvaluationQueries held_out = protocol.split.baskets ? by_baskets(updater.held_out()) : updater.held_out();
  if (!held_out.empty()) console.line("measuring " + plural(held_out.size(), "query", "queries"));
  const Comparison all(old, model, held_out, measuring);
  if (!console.json()) return print_result(console.text(), report, all, protocol, options.output);
  const Comparison known(old, model, of_known_users(held_out, old), measuring);
  console.object({{"load", load_json(interactions)},
                  {"update", update_json(report)},
                  {"epochs", epochs_json(report.epochs)},
                  {"best_epoch", report.epochs.size()},
                  {"train_seconds", report.train_seconds},
                  {"blend_weight", model.blend_weight},
                  {"protocol", protocol_json(protocol, all.after)},
                  {"metrics", metrics_json(all.after.metrics)},
                  {"baselines", {{"before", metrics_json(all.before.metrics)}}},
                  {"known_users", known_users_json(known)},
                  {"model", options.output}});
}

}  // namespace attune::cli
