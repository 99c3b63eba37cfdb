// SPDX-License-Identifier: Apache-2.0
#pragma once

// Segments of a report and the exposure of providers, as JSON and as tables.

#include <iosfwd>

#include "attune/training/evaluation.hpp"
#include "cli/console.hpp"

namespace attune::cli {

// By grouping: its groups with queries, users, metrics and confidence, and the gap of hr and ndcg at every cutoff.
Json segments_json(const Report& report);
void print_segments(std::ostream& out, const Report& report, std::size_t cutoff);

Json exposure_json(const Report& report, std::size_t cutoff);
// Those with the most exposure.
void print_exposure(std::ostream& out, const Report& report);

}  // namespace attune::cli
