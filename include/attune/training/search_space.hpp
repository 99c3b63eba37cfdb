// SPDX-License-Identifier: Apache-2.0
#pragma once

// Which configurations a search may try. A search space is a configuration file in which some values are ranges:
//
//   {"adam": {"learning_rate": {"log_uniform": [1e-4, 1e-2]}},
//    "encoder": {"num_blocks": {"choice": [2, 4, 8]}, "dropout": {"uniform": [0.1, 0.5]}},
//    "batch_sequences": {"log_integer": [16, 256]}, "warmup_steps": 50}

#include <cstdint>
#include <string>
#include <vector>

#include "attune/version.hpp"

namespace attune::inline v0_1 {

// Numbers include both ends of their range; the log_ ones have uniform logarithms.
enum class Distribution : std::uint8_t { uniform, log_uniform, integer, log_integer, choice };

struct SearchParameter {
  std::vector<std::string> path;  // {"encoder", "dropout"}
  Distribution distribution = Distribution::choice;
  double low = 0, high = 0;
  std::vector<std::string> choices = {};  // as JSON

  ATTUNE_EXPORT std::string field() const;  // "encoder.dropout"
};

// Immutable; any number of threads may use it.
class ATTUNE_EXPORT SearchSpace {
 public:
  // Throws Error(invalid_config) naming the field: unknown, or a value in its range of another type than its own; a
  // range whose low end is not below its high end, a logarithmic one that does not begin above 0, no choice; a range
  // for what trials are compared by (epochs, time_budget_seconds, max_validation_queries, exclude_seen,
  // encoder.request_time, counts_alone), for the seed, and for what comes after the epochs (blend, rerank, calibrate,
  // refit); nothing to vary.
  static SearchSpace from_json(const std::string& text, const std::string& name_for_messages);

  const std::vector<SearchParameter>& parameters() const noexcept { return parameters_; }
  // A value of each parameter, as JSON: a function of the seed and the number alone. Real numbers have four significant
  // digits, so that what is read in a report is what was tried.
  std::vector<std::string> sample(std::uint64_t seed, std::uint64_t number) const;
  // The fixed values and these, for TrainerConfig::apply_json.
  std::string overrides(const std::vector<std::string>& values) const;
  // {"adam.learning_rate": 0.003, ...}, for reports.
  std::string named(const std::vector<std::string>& values) const;
  const std::string& to_json() const noexcept { return text_; }

 private:
  std::vector<SearchParameter> parameters_;
  std::string text_, fixed_;
};

}  // namespace attune::inline v0_1
