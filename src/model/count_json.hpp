// SPDX-License-Identifier: Apache-2.0
#pragma once

// The options of the count models as JSON: every field once, as in config_json.hpp.

#include <concepts>
#include <type_traits>

#include "attune/model/count_models.hpp"

namespace attune::inline v0_1::detail {

template <class Config, class Options>
concept OptionsAs = std::same_as<std::remove_const_t<Config>, Options>;

template <OptionsAs<PopularityOptions> Config, class Visit>
void visit_options(Config& config, Visit&& visit) {
  visit("window_days", config.window_days);
}

template <OptionsAs<MarkovOptions> Config, class Visit>
void visit_options(Config& config, Visit&& visit) {
  visit("steps", config.steps);
  visit("history", config.history);
  visit("decay", config.decay);
  visit("popularity_power", config.popularity_power);
  visit("smoothing", config.smoothing);
}

template <OptionsAs<ItemKnnOptions> Config, class Visit>
void visit_options(Config& config, Visit&& visit) {
  visit("neighbours", config.neighbours);
  visit("decay", config.decay);
}

template <OptionsAs<EaseOptions> Config, class Visit>
void visit_options(Config& config, Visit&& visit) {
  visit("lambda", config.lambda);
  visit("decay", config.decay);
  visit("max_items", config.max_items);
}

// The seed is the trainer's.
template <OptionsAs<IalsOptions> Config, class Visit>
void visit_options(Config& config, Visit&& visit) {
  visit("embedding_dim", config.embedding_dim);
  visit("epochs", config.epochs);
  visit("unobserved_weight", config.unobserved_weight);
  visit("regularization", config.regularization);
  visit("regularization_power", config.regularization_power);
  visit("decay", config.decay);
}

template <OptionsAs<RepeatOptions> Config, class Visit>
void visit_options(Config& config, Visit&& visit) {
  visit("half_life_days", config.half_life_days);
  visit("smoothing", config.smoothing);
}

}  // namespace attune::inline v0_1::detail
