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
  double LoggedAction::*value;
  bool (*accepts)(double);
};

constexpr Field kFields[] = {
    {"propensity", "a probability above 0", &LoggedAction::propensity, [](double p) { return p > 0 && p <= 1; }},
    {"reward", "a finite number", &LoggedAction::reward, [](double reward) { return std::isfinite(reward); }},
    {"target_probability", "a probability", &LoggedAction::target_probability,
     [](double p) { return p >= 0 && p <= 1; }},
};

[[noreturn]] void refuse(ErrorCode code, const std::string& place, const Field& field, const std::string& found) {
  throw Error(code, place + std::string(field.name) + ": expected " + std::string(field.expected) + ", found " + found);
}

std::string shown(double number) {
  std::ostringstream text;
  text.imbue(std::locale::classic());
  text << number;
  return text.str();
}

void check(std::span<const LoggedAction> actions, const OffPolicyOptions& options) {
  for (std::size_t i = 0; i < actions.size(); ++i) {
    for (const Field& field : kFields) {
      const double value = actions[i].*field.value;
      if (field.accepts(value)) continue;
      refuse(ErrorCode::invalid_argument, "actions[" + std::to_string(i) + "].", field, shown(value));
    }
  }
  if (!(options.max_weight > 0)) {
    throw Error(ErrorCode::invalid_argument,
                "max_weight: expected a number above 0, found " + shown(options.max_weight));
  }
  if (std::none_of(actions.begin(), actions.end(), [](const auto& action) { return action.target_probability > 0; })) {
    throw Error(ErrorCode::invalid_argument,
                "target_probability: expected an action that the new policy takes too, found none");
  }
}

// Of IPS and SNIPS, by resampling actions; a resample without any weight says nothing of SNIPS.
void add_intervals(OffPolicyReport& report, const UserSums& actions, const OffPolicyOptions& options) {
  if (options.bootstrap == 0) return;
  InlineExecutor calling_thread;
  Executor& executor = options.executor ? *options.executor : calling_thread;
  std::vector<double> means = detail::resampled_means(actions, options.bootstrap, options.seed, executor);
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

OffPolicyReport off_policy(std::span<const LoggedAction> actions, const OffPolicyOptions& options) {
  check(actions, options);
  OffPolicyReport report;
  report.actions = actions.size();
  UserSums sums{{"weight", "weighted reward"}, {}, std::vector<std::uint32_t>(actions.size(), 1)};
  double squares = 0;
  for (const LoggedAction& action : actions) {
    const double ratio = action.target_probability / action.propensity;
    const double weight = std::min(ratio, options.max_weight);
    if (weight < ratio) ++report.clipped;
    sums.sums.insert(sums.sums.end(), {weight, weight * action.reward});
    squares += weight * weight;
    report.logged += action.reward;
    report.largest_weight = std::max(report.largest_weight, weight);
  }
  const auto count = static_cast<double>(actions.size());
  const std::vector<double> means = detail::means_of(sums);
  report.logged /= count;
  report.mean_weight = means[0];
  report.ips = means[1];
  report.snips = means[1] / means[0];
  report.effective_sample_size = count * means[0] * (count * means[0] / squares);
  add_intervals(report, sums, options);
  return report;
}

std::vector<LoggedAction> read_logged_actions(const std::string& file) {
  DelimitedReader reader{file};
  std::vector<std::size_t> columns;
  for (const Field& field : kFields) {
    columns.push_back(reader.column(field.name));
    if (columns.back() != DelimitedReader::npos) continue;
    throw Error(ErrorCode::invalid_data, file + ": expected a column '" + std::string(field.name) + "', found none");
  }
  std::vector<LoggedAction> actions;
  std::vector<std::string_view> fields;
  while (reader.next(fields)) {
    const std::string place = file + ":" + std::to_string(reader.line()) + ": ";
    LoggedAction& action = actions.emplace_back();
    for (std::size_t i = 0; i < columns.size(); ++i) {
      if (columns[i] >= fields.size()) refuse(ErrorCode::invalid_data, place, kFields[i], "no field");
      const auto number = detail::parse_number<double>(fields[columns[i]]);
      if (!number || !kFields[i].accepts(*number)) {
        refuse(ErrorCode::invalid_data, place, kFields[i], detail::in_quotes(fields[columns[i]], '\''));
      }
      action.*kFields[i].value = *number;
    }
  }
  return actions;
}

}  // namespace attune::inline v0_1
