// SPDX-License-Identifier: Apache-2.0
#include "cli/report.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <nlohmann/json.hpp>
#include <ostream>

#include "attune/training/trainer.hpp"

namespace attune::cli {
namespace {

// The order in which people read them.
constexpr std::array<std::string_view, 17> kNames{"hr",
                                                  "ndcg",
                                                  "mrr",
                                                  "recall",
                                                  "precision",
                                                  "f1",
                                                  "map",
                                                  "coverage",
                                                  "gini",
                                                  "average_popularity",
                                                  "tail_percentage",
                                                  "novelty",
                                                  "diversity",
                                                  "serendipity",
                                                  "miscalibration",
                                                  "auc",
                                                  "ece"};

struct Metric {
  std::size_t place, cutoff;  // place in kNames, behind them all when sampled; a cutoff of 0: none
  std::string name;           // "hr@10"
  std::string stem;           // "hr"; "hr/sampled100"
  double value;
};

Metric parse(const std::string& name, double value) {
  const std::size_t at = std::min(name.find('@'), name.size());
  Metric metric{0, 0, name, name.substr(0, at), value};
  metric.place = static_cast<std::size_t>(std::find(kNames.begin(), kNames.end(), metric.stem) - kNames.begin());
  if (const std::size_t sampled = name.find('/'); sampled != std::string::npos) {  // "hr@10/sampled100"
    metric.place += kNames.size();
    metric.stem += name.substr(sampled);
  }
  if (at < name.size()) std::from_chars(name.data() + at + 1, name.data() + name.size(), metric.cutoff);
  return metric;
}

std::vector<Metric> in_order(const std::map<std::string, double>& metrics) {
  std::vector<Metric> all;
  for (const auto& [name, value] : metrics) all.push_back(parse(name, value));
  std::stable_sort(all.begin(), all.end(), [](const Metric& a, const Metric& b) {
    return std::pair(a.place, a.cutoff) < std::pair(b.place, b.cutoff);
  });
  return all;
}

// Shares with four decimals; counts of events with one.
std::string shown(std::string_view metric, double value) {
  return fixed(value, metric.starts_with("average_popularity") ? 1 : 4);
}

}  // namespace

Rows difference_rows(const std::vector<Baseline>& baselines) {
  Rows rows;
  for (const Baseline& baseline : baselines) {
    std::vector<std::string> row{"attune - " + baseline.name}, title{"differences"};
    for (const auto& [metric, paired] : baseline.paired) {
      title.insert(title.end(), {metric, "95 % of resamples", "above 0"});
      row.insert(row.end(),
                 {fixed(paired.difference, 4), fixed(paired.interval[0], 4) + " to " + fixed(paired.interval[1], 4),
                  fixed(100 * paired.above_zero, 1) + " %"});
    }
    if (baseline.paired.empty()) continue;
    if (rows.empty()) rows.push_back(std::move(title));
    rows.push_back(std::move(row));
  }
  return rows;
}

void Protocol::apply(const ProtocolOptions& options, const DataOptions& data) {
  if (options.split) {
    try {
      const bool baskets = split.baskets;
      split = SplitOptions::parse(*options.split);
      split.baskets = baskets;
    } catch (const Error& error) {
      throw UsageError(std::string("--split: ") + error.what());
    }
  }
  const bool temporal = split.kind == SplitOptions::Kind::temporal;
  if (options.baskets && !temporal) throw UsageError("--basket: expected a temporal split, found " + split.name());
  split.baskets = temporal && (split.baskets || options.baskets);
  exclude_seen = options.exclude_seen.value_or(exclude_seen);
  request_time = options.request_time.value_or(request_time);
  if (data.min_rating) min_rating = static_cast<float>(*data.min_rating);
  k_core = data.k_core.value_or(k_core);
}

void apply_protocol(TrainerConfig& config, const ProtocolOptions& options) {
  config.exclude_seen = options.exclude_seen.value_or(config.exclude_seen);
  if (options.request_time.value_or(false) && config.encoder.block == BlockKind::hstu) {
    constexpr std::size_t kTimeBuckets = 128;
    if (config.encoder.time_buckets == 0) config.encoder.time_buckets = kTimeBuckets;
    config.encoder.request_time = true;
  }
}

Split split_by(Protocol& protocol, const ProtocolOptions& asked, Histories histories) {
  Split split = protocol.divide(std::move(histories), asked.split || asked.baskets);
  protocol.note = split.note;
  return split;
}

Json protocol_json(const Protocol& protocol, const Report& report) {
  const auto& rating = protocol.min_rating;
  return {{"split", protocol.split.name()},
          {"basket", protocol.split.baskets},
          {"users", report.users},
          {"items", report.items},
          {"queries", report.queries},
          {"ties", "against the target"},
          {"seen", protocol.exclude_seen ? "filter" : "keep"},
          {"request_time", protocol.request_time ? "on" : "off"},
          {"repeated_targets", report.repeated_targets},
          {"unseen_targets", report.unseen_targets},
          {"min_rating", rating ? Json(*rating) : Json()},
          {"k_core", protocol.k_core},
          {"note", protocol.note}};
}

Json metrics_json(const std::map<std::string, double>& metrics) {
  Json json = Json::object();
  for (const Metric& metric : in_order(metrics)) json[metric.name] = metric.value;
  return json;
}

Json baselines_json(const std::vector<Baseline>& baselines) {
  Json json = Json::object();
  for (const Baseline& baseline : baselines) {
    if (baseline.report) json[baseline.name] = metrics_json(baseline.report->metrics);
  }
  return json;
}

Json paired_json(const std::vector<Baseline>& baselines) {
  Json json = Json::object();
  for (const Baseline& baseline : baselines) {
    for (const auto& [metric, paired] : baseline.paired) {
      json[baseline.name][metric] = {
          {"difference", paired.difference}, {"interval", paired.interval}, {"above_zero", paired.above_zero}};
    }
  }
  return json;
}

Json left_out_json(const std::vector<Baseline>& baselines) {
  Json json = Json::object();
  for (const Baseline& baseline : baselines) {
    if (!baseline.report) json[baseline.name] = baseline.left_out;
  }
  return json;
}

void print_protocol(std::ostream& out, const Protocol& protocol, const Report& report) {
  if (report.queries != 0) {
    out << plural(report.queries, "query", "queries") << " of " << plural(report.users, "user", "users")
        << ", ranking all " << grouped(report.items) << " items; split " << protocol.split.name()
        << (protocol.split.baskets ? " by baskets" : "") << "; seen items "
        << (protocol.exclude_seen ? "filtered" : "kept") << "; ties against the target; "
        << fixed(100 * report.repeated_targets, 1) << " % repeated targets\n";
  }
  if (!protocol.note.empty()) out << "note: " << protocol.note << '\n';
}

std::size_t shown_cutoff(const std::vector<std::size_t>& cutoffs) {
  return std::find(cutoffs.begin(), cutoffs.end(), 10u) != cutoffs.end() ? 10 : cutoffs.front();
}

Rows comparison_rows(const Report& model, const std::vector<Baseline>& baselines, std::size_t cutoff) {
  Rows rows{{""}};
  for (const Metric& metric : in_order(model.metrics)) {
    if (metric.cutoff == cutoff || metric.cutoff == 0) rows.push_back({metric.name});
  }
  const auto add_column = [&rows](const std::string& title, const Report& report) {
    rows.front().push_back(title);
    for (std::size_t i = 1; i < rows.size(); ++i) {
      const auto found = report.metrics.find(rows[i][0]);
      rows[i].push_back(found == report.metrics.end() ? "" : shown(rows[i][0], found->second));
    }
  };
  add_column("attune", model);
  for (const Baseline& baseline : baselines) {
    if (baseline.report) add_column(baseline.name, *baseline.report);
  }
  return rows;
}

void print_comparison(std::ostream& out, const Report& model, const std::vector<Baseline>& baselines,
                      std::size_t cutoff) {
  print_table(out, comparison_rows(model, baselines, cutoff));
  print_table(out, difference_rows(baselines));
  for (const Baseline& baseline : baselines) {
    if (!baseline.report) out << "  without " << baseline.name << ": " << baseline.left_out << '\n';
  }
}

Rows metric_rows(const std::map<std::string, double>& metrics) {
  Rows rows{{""}}, without_cutoff;
  std::string stem;
  for (const Metric& metric : in_order(metrics)) {
    if (metric.cutoff == 0) {
      without_cutoff.push_back({metric.name, shown(metric.name, metric.value)});
      continue;
    }
    if (rows.size() == 1 || metric.stem != stem) rows.push_back({metric.stem});
    if (rows.size() == 2) rows.front().push_back('@' + std::to_string(metric.cutoff));
    stem = metric.stem;
    rows.back().push_back(shown(metric.name, metric.value));
  }
  rows.insert(rows.end(), without_cutoff.begin(), without_cutoff.end());
  return rows;
}

void print_metrics(std::ostream& out, const std::map<std::string, double>& metrics) {
  print_table(out, metric_rows(metrics));
}

std::string date(Timestamp time) {
  using namespace std::chrono;
  const year_month_day day{floor<days>(sys_time<milliseconds>{milliseconds{time}})};
  const auto two = [](unsigned number) { return (number < 10 ? "0" : "") + std::to_string(number); };
  return std::to_string(int{day.year()}) + '-' + two(unsigned{day.month()}) + '-' + two(unsigned{day.day()});
}

}  // namespace attune::cli
