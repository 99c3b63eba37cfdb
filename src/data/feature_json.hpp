// SPDX-License-Identifier: Apache-2.0
#pragma once

// A feature as a JSON object, in both directions.

#include <string>

#include "attune/data/feature_table.hpp"
#include "data/json_object.hpp"

namespace attune::inline v0_1::detail {

std::string_view to_string(FeatureKind kind) noexcept;

// Only what differs from the defaults.
Json json_of(const FeatureSpec& feature);
// Throws Error(code), "<place>, feature "year": field buckets: expected ..., found ..."; unknown fields are refused.
FeatureSpec feature_of(Json json, const std::string& place, ErrorCode code);

}  // namespace attune::inline v0_1::detail
