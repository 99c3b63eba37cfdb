// SPDX-License-Identifier: Apache-2.0
#include "attune/detail/certified_scan.hpp"

#include <algorithm>

#include "serving/coded_scan.hpp"

namespace attune::inline v0_1::detail {

bool certified_scan(TopK& best, std::size_t k, const ScorerRows<float>& rows, const RowCodes& codes,
                    const float* prepared, const ScoreTerms& terms, std::span<const std::uint64_t> eligible,
                    Workspace& workspace, std::span<const std::uint64_t> loose) {
  if (!asks_for_few(k, rows)) return false;
  CodedScan scan(best, k, rows, codes, {}, prepared, terms, workspace);
  if (!scan.encode(workspace.codes, workspace.rotated)) return false;
  const std::span<const std::uint64_t> scorable = rows.scorable_bits();
  scan.scan(0, std::min(eligible.size(), scorable.size()), [&](std::size_t group) -> CodedScan::Wanted {
    const std::uint64_t wanted = eligible[group] & scorable[group];
    const std::uint64_t unseen = group < loose.size() ? wanted & loose[group] : 0;
    return {wanted & ~unseen, unseen};
  });
  return true;
}

}  // namespace attune::inline v0_1::detail
