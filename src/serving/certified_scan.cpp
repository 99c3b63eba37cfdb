// SPDX-License-Identifier: Apache-2.0
#include "attune/detail/certified_scan.hpp"

#include <algorithm>
#include <array>

#include "serving/coded_scan.hpp"

namespace attune::inline v0_1::detail {

bool certified_scan(TopK& best, std::size_t k, const ScorerRows<float>& rows, const RowCodes& codes,
                    const float* prepared, const ScoreTerms& terms, std::span<const std::uint64_t> eligible,
                    Workspace& workspace, std::span<const std::uint64_t> loose) {
  constexpr std::size_t kGroup = CodedScan::kGroup;
  if (!asks_for_few(k, rows)) return false;
  CodedScan scan(best, k, rows, codes, {}, prepared, terms, workspace);
  if (!scan.encode(workspace)) return false;
  const std::span<const std::uint64_t> scorable = rows.scorable_bits();
  const std::size_t groups = std::min(eligible.size(), scorable.size());
  std::array<std::uint64_t, CodedScan::kRunGroups> wanted_in_run;
  std::size_t in_run = 0;
  for (std::size_t group = 0; group < groups; ++group) {
    std::uint64_t wanted = eligible[group] & scorable[group];
    std::uint64_t unseen = group < loose.size() ? wanted & loose[group] : 0;
    wanted &= ~unseen;
    const std::uint64_t without_first = wanted & (wanted - 1);
    const bool dense = (without_first & (without_first - 1)) != 0;  // more than two: fewer are candidates unseen
    if (dense) {
      wanted_in_run[in_run++] = wanted;
    } else {
      unseen |= wanted;
    }
    for_each_bit(unseen, [&](std::size_t bit) { scan.keep(static_cast<ItemHandle>(group * kGroup + bit)); });
    if (in_run != 0 && (!dense || in_run == CodedScan::kRunGroups || group + 1 == groups)) {
      const std::size_t end = group + (dense ? 1 : 0);
      scan.scan_run((end - in_run) * kGroup, in_run, end * kGroup,
                    [&](std::size_t i, std::uint64_t bits) { return bits & wanted_in_run[i]; });
      in_run = 0;
    }
  }
  scan.finish();
  return true;
}

}  // namespace attune::inline v0_1::detail
