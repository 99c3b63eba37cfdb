// SPDX-License-Identifier: Apache-2.0
#pragma once

// The scan of a scorer whose rows have codes: bounds select candidates, the float rows score them. What it finds is
// what a scan of the float rows finds, bit for bit.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "attune/detail/top_k.hpp"
#include "attune/model/row_codes.hpp"
#include "attune/model/scorer_rows.hpp"
#include "attune/model/workspace.hpp"

namespace attune::inline v0_1::detail {

// What a dot product is turned into a score with: scale * <query, row> + additive[item].
struct ScoreTerms {
  float scale;
  std::span<const float> additive;  // empty, or one per item
};

// Pushes into `best` (k places) all that belongs there of the eligible and scorable rows. `prepared` [stride] is
// ScorerRows::prepare's. False, and nothing pushed, where the codes prove nothing or would save nothing: scan the float
// rows instead. Rows whose bit is set in `loose`, which may end early, have no codes that hold.
ATTUNE_EXPORT bool certified_scan(TopK& best, std::size_t k, const ScorerRows<float>& rows, const RowCodes& codes,
                                  const float* prepared, const ScoreTerms& terms,
                                  std::span<const std::uint64_t> eligible, Workspace& workspace,
                                  std::span<const std::uint64_t> loose = {});

// The same for many queries at once, without additive terms: a row's codes, of 8 bits, are read once for 64 of them.
// Returns those that it left unanswered, for certified_scan() or the float rows. Allocates.
ATTUNE_EXPORT std::vector<BatchedQuery*> certified_scan_batch(std::span<BatchedQuery> queries,
                                                              const ScorerRows<float>& rows, const RowCodes& codes,
                                                              float scale, std::span<const std::uint64_t> eligible,
                                                              Workspace& workspace);

}  // namespace attune::inline v0_1::detail
