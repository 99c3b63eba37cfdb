// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a configuration file says, before anybody asks whether its fields fit each other.

#include <string>

#include "attune/training/trainer.hpp"
#include "data/json_object.hpp"

namespace attune::inline v0_1::detail {

// Overrides the fields that `json` names; throws Error(invalid_config) for one that is unknown or ill-typed, with
// `prefix` before its name.
void apply_fields(TrainerConfig& config, Json json, const std::string& prefix);

}  // namespace attune::inline v0_1::detail
