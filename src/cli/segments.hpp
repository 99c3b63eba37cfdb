// SPDX-License-Identifier: Apache-2.0
#pragma once

// Segments of a report and the exposure of providers, as JSON and as tables.

#include <iosfwd>

#include "attune/training/evaluation.hpp"
#include "cli/console.hpp"

namespace attune::cli {

// By grouping: its groups with queries, users, metrics and confidence, and the gap of hr and ndcg at every cutoff.
Json segments_json(const Report& report);
// A row per group, and one for the gap of its grouping; none where nothing was measured apart.
Rows segment_rows(const Report& report, std::size_t cutoff);
void print_segments(std::ostream& out, const Report& report, std::size_t cutoff);

Json exposure_json(const Report& report, std::size_t cutoff);
// Those with the most exposure.
Rows exposure_rows(const Report& report);
void print_exposure(std::ostream& out, const Report& report);

}  // namespace attune::cli
