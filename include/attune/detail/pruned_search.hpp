// SPDX-License-Identifier: Apache-2.0
#pragma once

// The search of rows in lists: groups whose bound says that none of their rows belongs to the best are left out unread,
// the others are scanned as certified_scan does.

#include <cstddef>
#include <cstdint>
#include <span>

#include "attune/detail/certified_scan.hpp"
#include "attune/model/row_clusters.hpp"

namespace attune::inline v0_1::detail {

// As certified_scan, but that a confidence below 1 may miss some of the best. The eligible and scorable rows are all
// found where they are no more than k.
ATTUNE_EXPORT bool pruned_search(TopK& best, std::size_t k, const ScorerRows<float>& rows, const RowClusters& clusters,
                                 const float* prepared, const ScoreTerms& terms,
                                 std::span<const std::uint64_t> eligible, Workspace& workspace);

}  // namespace attune::inline v0_1::detail
