// SPDX-License-Identifier: Apache-2.0

// attune privacy: what noise is worth in differential privacy, and how much of it a budget needs.

#include "attune/privacy/accountant.hpp"

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <ostream>
#include <span>
#include <vector>

#include "cli/input.hpp"
#include "cli/report.hpp"
#include "cli/verbs.hpp"

namespace attune::cli {
namespace {

std::vector<GaussianMechanism> mechanisms_of(const PrivacyEpsilonOptions& options) {
  const std::size_t count =
      std::max({options.sampling_probabilities.size(), options.noise_multipliers.size(), options.steps.size()});
  const auto value = [count](const auto& values, const char* name, std::size_t i) {
    if (values.size() == 1) return values.front();
    if (values.size() == count) return values[i];
    throw UsageError(std::string(name) + ": expected one value or " + std::to_string(count) + ", found " +
                     std::to_string(values.size()));
  };
  std::vector<GaussianMechanism> mechanisms;
  for (std::size_t i = 0; i < count; ++i) {
    mechanisms.push_back({value(options.sampling_probabilities, "--sampling-probability", i),
                          value(options.noise_multipliers, "--noise-multiplier", i),
                          value(options.steps, "--steps", i)});
  }
  return mechanisms;
}

PrivacyLoss loss_of(const PrivacyEpsilonOptions& options) {
  const std::vector<GaussianMechanism> mechanisms = mechanisms_of(options);
  if (options.order) return renyi_epsilon(mechanisms, options.delta, {&*options.order, 1});
  return options.renyi ? renyi_epsilon(mechanisms, options.delta) : tight_epsilon(mechanisms, options.delta);
}

}  // namespace

void run(const PrivacyEpsilonOptions& options, Console& console) {
  check_config(options.common);
  const PrivacyLoss loss = loss_of(options);
  if (console.json()) {  // JSON has no infinity: null is no promise at all
    return console.object({{"epsilon", std::isfinite(loss.epsilon) ? Json(loss.epsilon) : Json()},
                           {"order", loss.order ? Json(*loss.order) : Json()}});
  }
  console.text() << "epsilon " << fixed(loss.epsilon, 6) << " at delta " << Json(options.delta).dump();
  if (loss.order) console.text() << ", by the Renyi divergence of order " << fixed(*loss.order, 1);
  console.text() << '\n';
}

void run(const PrivacyCalibrateOptions& options, Console& console) {
  check_config(options.common);
  const double noise = calibrate_noise(options.epsilon, options.delta, options.sampling_probability, options.steps);
  if (console.json()) return console.object({{"noise_multiplier", noise}});
  console.text() << "noise multiplier " << fixed(noise, 6) << '\n';
}

}  // namespace attune::cli
