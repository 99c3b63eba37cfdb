// SPDX-License-Identifier: Apache-2.0
#include "cli/html_report.hpp"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <span>
#include <sstream>

#include "attune/version.hpp"
#include "cli/build.hpp"
#include "cli/data_profile.hpp"
#include "cli/item_map.hpp"
#include "cli/segments.hpp"
#include "platform/files.hpp"

namespace attune::cli {
namespace {

constexpr std::size_t kCases = 8;  // of the hardest, of as many users

// What the metrics are, for those who meet them here. The formulas stand in attune/training/evaluation.hpp.
const Rows& meanings() {
  static const Rows rows{
      {"hr", "Hit rate: share of the queries with a target among the first k."},
      {"ndcg", "The same, where a target counts 1 / log2(rank + 1): more, the higher it stands."},
      {"mrr", "Mean of 1 / rank of the first target; 0 where it is not among the first k."},
      {"recall", "Share of a query's targets that are among the first k."},
      {"precision", "Share of the first k that are targets."},
      {"f1", "Harmonic mean of precision and recall."},
      {"map", "Mean average precision: precision at the rank of each target, over min(targets, k)."},
      {"coverage", "Share of the catalogue that is shown to somebody."},
      {"gini", "How unevenly items are shown: 0 where all are shown alike, near 1 where a few are shown to everybody."},
      {"average_popularity", "Mean number of training events of the items shown."},
      {"tail_percentage", "Share of the items shown that are among the tenth with the fewest training events."},
      {"novelty", "Mean of -log2 of the share of users who had an item: more for items that few know."},
      {"diversity", "How little the items of a list have in common: 0 for the same categories, 1 for none shared."},
      {"serendipity", "Hits that popularity alone would not have given, weighed by how far it was from them."},
      {"miscalibration", "How far the categories of a list are from those of the history: 0 for the same shares."},
      {"auc", "Share of the other items that score below a target."},
      {"ece", "Expected calibration error: how far stated probabilities are from what happens."}};
  return rows;
}

std::string utc_now() {
  using namespace std::chrono;
  const auto now = floor<minutes>(system_clock::now());
  const hh_mm_ss time{now - floor<days>(now)};
  const auto two = [](auto number) { return (number < 10 ? "0" : "") + std::to_string(number); };
  return date(duration_cast<milliseconds>(now.time_since_epoch()).count()) + ' ' + two(time.hours().count()) + ':' +
         two(time.minutes().count()) + " UTC";
}

std::string interval_text(const std::array<double, 2>& interval, const std::string& metric) {
  const int decimals = metric.starts_with("average_popularity") ? 1 : 4;
  return fixed(interval[0], decimals) + " to " + fixed(interval[1], decimals);
}

// The columns of a comparison, and behind that of the model the intervals of its metrics.
Rows with_intervals(Rows rows, const Report& report) {
  for (std::size_t r = 0; r < rows.size(); ++r) {
    const auto found = report.confidence.find(rows[r][0]);
    const std::string known = found == report.confidence.end() ? "" : interval_text(found->second, rows[r][0]);
    rows[r].insert(rows[r].begin() + 2, r == 0 ? "95 % interval" : known);
  }
  return rows;
}

// The differences of one metric as intervals around a line at zero.
Plot plot_of_differences(const std::string& metric, const std::vector<Baseline>& baselines) {
  Plot plot{.title = "Differences of " + metric + " to the baselines, with 95 % intervals",
            .x_label = "difference of " + metric,
            .y_label = "",
            .marks = {0},
            .x = {.least_step = 1e-4},
            .width = 480};
  for (const Baseline& baseline : baselines) {
    const auto found = baseline.paired.find(metric);
    if (found == baseline.paired.end()) continue;
    const auto row = -static_cast<double>(plot.series.size());
    const auto& [low, high] = found->second.interval;
    const double middle = found->second.difference;
    plot.y.ticks.push_back({row, baseline.name});
    plot.series.push_back({.name = "attune - " + baseline.name + ": " + fixed(middle, 4) + ", " +
                                   interval_text(found->second.interval, metric),
                           .points = {{low, row}, {high, row}, {middle, row}},  // it ends in a dot
                           .highlighted = low > 0 || high < 0});
  }
  const auto rows = static_cast<double>(plot.series.size());
  plot.y.range = {0.5 - rows, 0.5};
  plot.height = 90 + 30 * rows;
  return plot;
}

// Fields by their full names.
void add_fields(Rows& rows, const std::string& name, const Json& value) {
  if (!value.is_object() || value.empty()) {
    rows.push_back({name, value.is_string() ? value.get<std::string>() : value.dump()});
    return;
  }
  for (const auto& [key, member] : value.items()) add_fields(rows, name.empty() ? key : name + '.' + key, member);
}

std::string joined(const std::vector<std::string>& parts) {
  std::string text;
  for (const std::string& part : parts) text += (text.empty() ? "" : "; ") + part;
  return text;
}

Plot::Series curve(const std::vector<EpochReport>& epochs, const std::string& name, double EpochReport::*value,
                   bool highlighted) {
  Plot::Series series{.name = name, .highlighted = highlighted};
  if (highlighted) series.label = name;
  for (const EpochReport& epoch : epochs) {
    if (value != &EpochReport::loss && !epoch.validated) continue;
    series.points.emplace_back(static_cast<double>(epoch.epoch), epoch.*value);
    series.names.push_back("epoch " + std::to_string(epoch.epoch) + ": " + name + ' ' + fixed(epoch.*value, 4));
  }
  return series;
}

}  // namespace

HtmlReport::HtmlReport(const std::string& file, const CommonOptions& options, const std::string& items,
                       std::initializer_list<InputOption> others)
    : file_(file), options_(options) {
  if (file_.empty()) return;
  if (file_ == "-") throw UsageError("--report: expected a file, found standard output, which has the result");
  if (items == "-") throw UsageError("--items: expected a file, found standard input: --report reads it twice");
  const auto place = [](const std::string& path) {
    std::error_code error;
    const std::filesystem::path whole = std::filesystem::weakly_canonical(std::filesystem::absolute(path), error);
    return whole.has_filename() ? whole : whole.parent_path();
  };
  for (const InputOption& other : others) {
    if (!other.file.empty() && place(other.file) == place(file_)) {
      throw UsageError(std::string("--report: expected a file of its own, found that of ") + other.option);
    }
  }
  platform::check_file_replaceable(file_);
  if (!items.empty() && DelimitedReader(items).column("title") != DelimitedReader::npos) titles_ = read_titles(items);
}

void HtmlReport::ask(EvaluationOptions& measuring) const {
  if (file_.empty()) return;
  measuring.bootstrap = EvaluationOptions().bootstrap;
  measuring.hardest = 8 * kCases;  // several may be of one user
}

std::string HtmlReport::title_of(const IdMap& ids, ItemHandle item) const {
  const std::string id = to_string(ids.id(item));
  const auto found = titles_.find(id);
  return found == titles_.end() || found->second.empty() ? id : found->second;
}

void HtmlReport::add_data(const Json& load, const Split& split) {
  if (file_.empty()) return;
  const Histories& all = *split.all;
  add_data_profile(page_, load, all, [&](ItemHandle item) { return title_of(*all.item_ids, item); });
  page_.table("The split, " + split.options.name(),
              {{"part", "what it is for", "size"},
               {"training", "to learn from", plural(split.train.num_events(), "event", "events")},
               {"validation", "to choose by", plural(split.validation.size(), "query", "queries")},
               {"test", "to measure with", plural(split.test.size(), "query", "queries")}},
              2);
}

void HtmlReport::add_epochs(const std::vector<EpochReport>& epochs, std::size_t best) {
  if (file_.empty() || epochs.empty()) return;
  page_.section("learning", "Learning curves");
  Plot loss{.title = "Training loss by epoch", .x_label = "epoch", .y_label = "loss", .width = 480, .height = 320};
  loss.series.push_back(curve(epochs, "loss", &EpochReport::loss, false));
  Plot validation{.title = "Validation hr@10 and ndcg@10 by epoch",
                  .x_label = "epoch",
                  .y_label = "of validation queries",
                  .width = 480,
                  .height = 320};
  validation.series.push_back(curve(epochs, "hr@10", &EpochReport::hit_rate_10, true));
  validation.series.push_back(curve(epochs, "ndcg@10", &EpochReport::ndcg_10, true));
  const bool validated = !validation.series[0].points.empty();
  if (validated) loss.marks = validation.marks = {static_cast<double>(best)};
  page_.figure(loss.element(), "Mean loss of the training targets, by epoch.");
  if (validated) {
    page_.figure(validation.element(),
                 "Validation by epoch; dashed: epoch " + std::to_string(best) + ", the best by ndcg@10.");
  }
  Rows rows{{"epoch", "loss", "hr@10", "ndcg@10", "seconds"}};
  for (const EpochReport& epoch : epochs) {
    const auto measured = [&](double value) { return epoch.validated ? fixed(value, 4) : std::string(); };
    rows.push_back({std::to_string(epoch.epoch) + (epoch.epoch == best ? " (best)" : ""), fixed(epoch.loss, 4),
                    measured(epoch.hit_rate_10), measured(epoch.ndcg_10), fixed(epoch.seconds, 1)});
  }
  page_.table("Every epoch", rows);
}

void HtmlReport::add_trials(const Plot& curves, const Rows& trials, const std::string& note) {
  if (file_.empty()) return;
  page_.section("trials", "Trials");
  page_.paragraph(note);
  page_.figure(curves.element(), curves.title + "; dashed: the rungs at which trials are compared.", true);
  page_.table("The best trials first", trials);
}

void HtmlReport::add_metrics(const Protocol& protocol, const Report& report, const std::vector<Baseline>& baselines,
                             std::size_t cutoff) {
  if (file_.empty()) return;
  page_.section("metrics", "Metrics");
  std::ostringstream words;
  print_protocol(words, protocol, report);
  std::istringstream lines(words.str());
  for (std::string line; std::getline(lines, line);) page_.paragraph(line);
  if (report.queries == 0) return page_.paragraph("There were no queries to measure with.");
  page_.table("At cutoff " + std::to_string(cutoff) + ", with intervals from resampling users",
              with_intervals(comparison_rows(report, baselines, cutoff), report));
  const std::string metric = "ndcg@" + std::to_string(cutoff);
  const Plot differences = plot_of_differences(metric, baselines);
  if (!differences.series.empty()) {
    page_.figure(differences.element(), "attune minus each of the others in " + metric +
                                            ", on the same queries: to the right of the dashed line attune is ahead. "
                                            "Thick: the whole interval is on one side of it.");
    page_.table("Differences by resampling users for both at once", difference_rows(baselines));
  }
  std::vector<std::string> left_out;
  for (const Baseline& baseline : baselines) {
    if (!baseline.report) left_out.push_back("Without " + baseline.name + ": " + baseline.left_out);
  }
  if (!left_out.empty()) page_.list(left_out);
  page_.table("All metrics of the model by cutoff", metric_rows(report.metrics));
  page_.heading("What they mean");
  Rows known;
  for (const auto& row : meanings()) {
    const auto at = report.metrics.lower_bound(row[0]);
    if (at != report.metrics.end() && at->first.substr(0, at->first.find('@')) == row[0]) known.push_back(row);
  }
  page_.definitions(known);
  if (report.segments.empty() && report.exposure.empty()) return;
  page_.section("segments", "Segments");
  page_.table("Groups of queries measured apart, and how far the best is from the worst", segment_rows(report, cutoff),
              2);
  page_.table("Share of the attention that each provider gets, beside its share of the catalogue",
              exposure_rows(report));
}

void HtmlReport::add_items(const TrainedModel& model, const Categories* categories) {
  if (file_.empty()) return;
  add_item_map(page_, model, categories, [&](ItemHandle item) { return title_of(*model.item_ids, item); });
}

void HtmlReport::add_hardest(const TrainedModel& model, const Report& report, const EvaluationQueries& queries) {
  if (file_.empty() || report.hardest.empty()) return;
  page_.section("hardest", "Worst cases");
  page_.paragraph(
      "Test queries whose target ranks lowest, one for each of several users. What they have in common says more than "
      "a mean: targets that hardly anybody chose, histories of one kind, items that ought not to be in the data.");
  std::set<UserHandle> users;
  for (const HardQuery& hard : report.hardest) {
    if (users.size() == kCases) break;
    if (!users.insert(queries.queries[hard.query].user).second) continue;
    add_case(model, hard, users.size(), report.items, queries);
  }
}

void HtmlReport::add_case(const TrainedModel& model, const HardQuery& hard, std::size_t number, std::size_t items,
                          const EvaluationQueries& queries) {
  constexpr std::size_t kEvents = 10, kAnswers = 5;
  const HistoryView history = queries.history(queries.queries[hard.query]);
  const std::size_t shown = std::min(kEvents, history.size());
  std::vector<std::string> had, answered;
  if (shown < history.size()) had.push_back(grouped(history.size() - shown) + " earlier");
  for (const ItemHandle item : history.items.last(shown)) {
    had.push_back(title_of(*queries.histories->item_ids, item));  // an item that the model may lack
  }
  for (std::size_t i = 0; i < std::min(kAnswers, hard.answered.size()); ++i) {
    answered.push_back(std::to_string(i + 1) + ". " + title_of(*model.item_ids, hard.answered[i]));
  }
  std::string target = title_of(*model.item_ids, hard.target);
  if (model.popularity) {
    target += " (" + plural(model.popularity->counts()[hard.target], "training event", "training events") + ')';
  }
  page_.heading("Case " + std::to_string(number) + ": rank " + grouped(hard.rank) + " of " + grouped(items));
  page_.definitions({{"History, oldest first", had.empty() ? "none" : joined(had)},
                     {"Chosen next", target},
                     {"Answered", answered.empty() ? "nothing" : joined(answered)}});
}

void HtmlReport::add_configuration(const std::string& json) {
  const Json fields = Json::parse(json, nullptr, false);  // a note of a model may be any text
  if (file_.empty() || !fields.is_object()) return;
  Rows rows{{"field", "value"}};
  add_fields(rows, "", fields);
  page_.section("configuration", "Hyper-parameters");
  page_.table("As --config takes them", rows, 2);
}

void HtmlReport::write(const std::string& title, Rows done) {
  if (file_.empty()) return;
  HtmlPage page;
  page.section("done", "What was done");
  done.insert(done.begin(), {{"fact", "value"}, {"command", options_.command}});
  done.insert(done.end(), {{"date", utc_now()},
                           {"attune", std::string(version()) + ", built with " + compiler()},
                           {"instruction set", simd_level()},
                           {"threads", std::to_string(options_.threads)}});
  page.table("", done, 2);
  page.append(std::move(page_));
  const std::string text = page.text(title, Plot::style());
  platform::replace_file(file_, std::as_bytes(std::span(text)));
}

}  // namespace attune::cli
