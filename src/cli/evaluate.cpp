// SPDX-License-Identifier: Apache-2.0

// attune evaluate: the metrics of a model directory on a file of interactions.

#include <algorithm>
#include <chrono>
#include <iterator>
#include <nlohmann/json.hpp>
#include <ostream>

#include "attune/model/checkpoint.hpp"
#include "cli/html_report.hpp"
#include "cli/input.hpp"
#include "cli/report.hpp"
#include "cli/segments.hpp"
#include "cli/verbs.hpp"

namespace attune::cli {
namespace {

// What files say of items and users, which the measuring only borrows.
struct Facts {
  std::optional<TrainingUsers> training_users;
  ItemCategories of_items;
  std::vector<Categories> groups;  // as options.groups

  Facts(const EvaluateOptions& options, const Histories* train, const IdMap& items, const IdMap& users)
      : of_items(read_item_categories(options.items, items, options.provider)) {
    if (train != nullptr) training_users = TrainingUsers::count(*train);
    if (options.groups.empty()) return;
    DelimitedReader reader{options.users};
    groups = read_categories(reader, "user", options.groups, users);
  }

  void lend(EvaluationOptions& measuring, const EvaluateOptions& options) const {
    measuring.training_users = training_users ? &*training_users : nullptr;
    measuring.categories = of_items.categories ? &*of_items.categories : nullptr;
    measuring.providers = of_items.providers ? &*of_items.providers : nullptr;
    measuring.segments = options.segments;
    measuring.cold_below = options.cold_below;
    for (std::size_t i = 0; i < groups.size(); ++i) measuring.user_groups.push_back({options.groups[i], &groups[i]});
  }
};

// The other model of --against. Its items have handles of their own, so that facts about them are left aside.
Baseline measure_against(const EvaluateOptions& options, IdKind items, const Report& report,
                         const EvaluationQueries& queries, EvaluationOptions measuring) {
  const TrainedModel other = TrainedModel::load(options.against);
  if (other.item_ids->kind() != items) {
    const auto name = [](IdKind kind) { return kind == IdKind::string ? "text" : "numbers"; };
    throw Error(ErrorCode::invalid_argument, options.against + ": expected item ids that are " + name(items) +
                                                 " as those of --model, found " + name(other.item_ids->kind()));
  }
  measuring.training_users = nullptr;
  measuring.categories = nullptr;
  return measure_beside("against", other, report, queries, measuring);
}

void check_usage(const EvaluateOptions& options) {
  check_standard_input({{"--config", options.common.config},
                        {"--interactions", options.data.interactions},
                        {"--items", options.items.file},
                        {"--users", options.users}});
  const std::size_t smallest = *std::min_element(options.cutoffs.begin(), options.cutoffs.end());
  if (options.sampled != 0 && options.sampled < smallest) {
    throw UsageError("--sampled: expected at least the smallest of --cutoffs, " + std::to_string(smallest) +
                     ", found " + std::to_string(options.sampled));
  }
}

void print(std::ostream& out, const Protocol& protocol, const Report& report, const std::vector<Baseline>& baselines,
           const EvaluateOptions& options) {
  const std::size_t cutoff = shown_cutoff(options.cutoffs);
  print_protocol(out, protocol, report);
  print_metrics(out, report.metrics);
  const std::string metric = "ndcg@" + std::to_string(cutoff);
  const auto& [low, high] = report.confidence.at(metric);
  out << "  " << metric << " lies between " << fixed(low, 4) << " and " << fixed(high, 4) << " (95 % of resamples)\n";
  print_segments(out, report, cutoff);
  print_exposure(out, report);
  if (baselines.empty()) return;
  out << "beside " << (options.against.empty() ? "" : options.against + (options.baselines ? " and " : ""))
      << (options.baselines ? "the baselines" : "") << '\n';
  print_comparison(out, report, baselines, cutoff);
}

Json result_json(const EvaluateOptions& options, const Protocol& protocol, const Report& report,
                 std::vector<Baseline> beside, std::size_t exposure_cutoff) {
  Json result{{"protocol", protocol_json(protocol, report)},
              {"metrics", metrics_json(report.metrics)},
              {"confidence", report.confidence}};
  if (!report.segments.empty()) result["segments"] = segments_json(report);
  if (options.provider) result["exposure"] = exposure_json(report, exposure_cutoff);
  if (!beside.empty()) result["paired"] = paired_json(beside);
  if (!options.against.empty()) {
    result["against"] = {{"model", options.against}, {"metrics", metrics_json(beside.front().report->metrics)}};
    beside.erase(beside.begin());
  }
  if (options.baselines) {
    result["baselines"] = baselines_json(beside);
    result["baselines_left_out"] = left_out_json(beside);
  }
  if (!options.report.empty()) result["report"] = options.report;
  return result;
}

HtmlReport page_for(const EvaluateOptions& options) {
  return HtmlReport(options.report, options.common, options.items.file,
                    {{"--interactions", options.data.interactions},
                     {"--config", options.common.config},
                     {"--items", options.items.file},
                     {"--users", options.users},
                     {"--model", options.model},
                     {"--against", options.against}});
}

void write_page(HtmlReport& page, const EvaluateOptions& options, const TrainedModel& model, const Protocol& protocol,
                const Report& report, const std::vector<Baseline>& beside, const EvaluationQueries& test,
                const Categories* categories, double seconds) {
  page.add_metrics(protocol, report, beside, shown_cutoff(options.cutoffs));
  page.add_items(model, categories);
  page.add_hardest(model, report, test);
  if (const auto trained = model.notes.find("trainer"); trained != model.notes.end()) {
    page.add_configuration(trained->second);
  }
  page.write("attune evaluate: " + options.model,
             {{"model", options.model}, {"version", model.version}, {"seconds", fixed(seconds, 1)}});
}

}  // namespace

void run(const EvaluateOptions& options, Console& console) {
  const auto start = std::chrono::steady_clock::now();
  check_usage(options);
  const TrainerConfig config = trainer_config("default", options.common);
  HtmlReport page = page_for(options);
  const TrainedModel model = TrainedModel::load(options.model);
  Protocol protocol{EvaluationProtocol::read(model.notes)};
  protocol.apply(options.protocol, options.data);

  GroupedInteractions interactions = read_histories(options.data, protocol, model.item_ids->kind(), console);
  const Json load = load_json(interactions);
  const Split split = attune::split(std::move(interactions.histories), protocol.split);
  protocol.note = split.note;
  page.add_data(load, split);
  if (split.test.empty()) {
    throw Error(ErrorCode::invalid_data,
                options.data.interactions + ": expected test events, found none by the split " + protocol.split.name());
  }

  std::optional<Histories> train = training_part(model);
  const Facts facts(options, train ? &*train : nullptr, *model.item_ids, *split.all->user_ids);
  if (!options.baselines) train.reset();
  const auto executor = make_executor(options.common);
  EvaluationOptions measuring;
  measuring.cutoffs = options.cutoffs;
  measuring.exclude_seen = protocol.exclude_seen;
  measuring.request_time = protocol.request_time;
  measuring.seed = config.seed;
  measuring.executor = executor.get();
  facts.lend(measuring, options);
  measuring.sampled = options.sampled;
  measuring.keep_user_sums = options.baselines || !options.against.empty();
  page.ask(measuring);
  console.line("measuring " + plural(split.test.size(), "query", "queries"));
  const Report report = evaluate(model, split.test, measuring);
  std::vector<Baseline> beside;
  if (!options.against.empty()) {
    console.line("measuring " + options.against);
    beside.push_back(measure_against(options, model.item_ids->kind(), report, split.test, measuring));
  }
  if (options.baselines) {
    auto baselines = measure_baselines(model, report, train ? &*train : nullptr, split.test, measuring, false, console);
    std::move(baselines.begin(), baselines.end(), std::back_inserter(beside));
  }
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  write_page(page, options, model, protocol, report, beside, split.test, measuring.categories, seconds.count());
  if (!console.json()) {
    print(console.text(), protocol, report, beside, options);
    if (page) console.text() << "report written to " << options.report << '\n';
    return;
  }
  Json result = result_json(options, protocol, report, std::move(beside), measuring.exposure_cutoff);
  result["seconds"] = seconds.count();
  console.object(result);
}

}  // namespace attune::cli
