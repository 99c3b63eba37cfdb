// SPDX-License-Identifier: Apache-2.0
#include "attune/training/off_policy.hpp"

#include <algorithm>
#include <cmath>
#include <locale>
#include <sstream>
#include <string_view>

#include "attune/data/reader.hpp"
#include "attune/error.hpp"
#include "data/text.hpp"
#include "training/bootstrap.hpp"

namespace attune::inline v0_1 {

namespace {

struct Field {
  std::string_view name, expected;
  double LoggedDecision::*value;
  bool (*accepts)(double);
};

constexpr Field kFields[] = {
    {"propensity", "a probability above 0", &LoggedDecision::propensity, [](double p) { return p > 0 && p <= 1; }},
    {"reward", "a finite number", &LoggedDecision::reward, [](double reward) { return std::isfinite(reward); }},
    {"target_probability", "a probability", &LoggedDecision::target_probability,
     [](double p) { return p >= 0 && p <= 1; }},
};

[[noreturn]] void refuse(ErrorCode code, const std::string& place, const Field& field, const std::string& found) {
  throw Error(code, place + std::string(field.name) + ": expected " + std::string(field.expected) + ", found " + found);
}

double ratio_of(const LoggedDecision& decision) { return decision.target_probability / decision.propensity; }

std::string shown(double number) {
  std::ostringstream text;
  text.imbue(std::locale::classic());
  text << number;
  return text.str();
}

void check_ratio(ErrorCode code, const std::string& place, const LoggedDecision& decision) {
  if (std::isfinite(ratio_of(decision))) return;
  throw Error(code, place + "propensity: expected a finite ratio of target_probability to it, found " +
                        shown(decision.propensity));
}

void check(std::span<const LoggedDecision> decisions, const OffPolicyOptions& options) {
  for (std::size_t i = 0; i < decisions.size(); ++i) {
    const std::string place = "decisions[" + std::to_string(i) + "].";
    for (const Field& field : kFields) {
      const double value = decisions[i].*field.value;
      if (!field.accepts(value)) refuse(ErrorCode::invalid_argument, place, field, shown(value));
    }
    check_ratio(ErrorCode::invalid_argument, place, decisions[i]);
  }
  if (!(options.max_weight > 0)) {
    throw Error(ErrorCode::invalid_argument,
                "max_weight: expected a number above 0, found " + shown(options.max_weight));
  }
  if (std::none_of(decisions.begin(), decisions.end(),
                   [](const auto& decision) { return decision.target_probability > 0; })) {
    throw Error(ErrorCode::invalid_argument,
                "target_probability: expected a decision that the new policy takes too, found none");
  }
}

// Of IPS and SNIPS, by resampling decisions; a resample without any weight says nothing of SNIPS.
void add_intervals(OffPolicyReport& report, const UserSums& decisions, const OffPolicyOptions& options) {
  if (options.bootstrap == 0) return;
  InlineExecutor calling_thread;
  Executor& executor = options.executor ? *options.executor : calling_thread;
  std::vector<double> means = detail::resampled_means(decisions, options.bootstrap, options.seed, executor);
  const auto weights = std::span(means).first(options.bootstrap);
  const auto rewards = std::span(means).subspan(options.bootstrap);
  std::vector<double> snips;
  for (std::size_t r = 0; r < options.bootstrap; ++r) {
    if (weights[r] > 0) snips.push_back(rewards[r] / weights[r]);
  }
  report.ips_interval = detail::interval_of(rewards);
  report.snips_interval = snips.empty() ? std::array{report.snips, report.snips} : detail::interval_of(snips);
}

}  // namespace

OffPolicyReport off_policy(std::span<const LoggedDecision> decisions, const OffPolicyOptions& options) {
  check(decisions, options);
  OffPolicyReport report;
  report.decisions = decisions.size();
  UserSums sums{{"weight", "weighted reward"}, {}, std::vector<std::uint32_t>(decisions.size(), 1)};
  double squares = 0;
  for (const LoggedDecision& decision : decisions) {
    const double ratio = ratio_of(decision);
    const double weight = std::min(ratio, options.max_weight);
    if (weight < ratio) ++report.clipped;
    sums.sums.insert(sums.sums.end(), {weight, weight * decision.reward});
    squares += weight * weight;
    report.logged += decision.reward;
    report.largest_weight = std::max(report.largest_weight, weight);
  }
  const auto count = static_cast<double>(decisions.size());
  const std::vector<double> means = detail::means_of(sums);
  report.logged /= count;
  report.mean_weight = means[0];
  report.ips = means[1];
  report.snips = means[1] / means[0];
  report.effective_sample_size = count * means[0] * (count * means[0] / squares);
  add_intervals(report, sums, options);
  return report;
}

std::vector<LoggedDecision> read_logged_decisions(const std::string& file) {
  DelimitedReader reader{file};
  std::vector<std::size_t> columns;
  for (const Field& field : kFields) columns.push_back(reader.required_column(field.name));
  std::vector<LoggedDecision> decisions;
  std::vector<std::string_view> fields;
  while (reader.next(fields)) {
    const std::string place = reader.place();
    LoggedDecision& decision = decisions.emplace_back();
    for (std::size_t i = 0; i < columns.size(); ++i) {
      if (columns[i] >= fields.size()) refuse(ErrorCode::invalid_data, place, kFields[i], "no field");
      const auto number = detail::parse_number<double>(fields[columns[i]]);
      if (!number || !kFields[i].accepts(*number)) {
        refuse(ErrorCode::invalid_data, place, kFields[i], detail::in_quotes(fields[columns[i]], '\''));
      }
      decision.*kFields[i].value = *number;
    }
    check_ratio(ErrorCode::invalid_data, place, decision);
  }
  return decisions;
}

}  // namespace attune::inline v0_1
