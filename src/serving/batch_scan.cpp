// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <bit>
#include <limits>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "attune/detail/certified_scan.hpp"
#include "serving/coded_scan.hpp"

namespace attune::inline v0_1::detail {
namespace {

// Many queries over the same rows, whose codes are read once for all of them.
class BatchScan {
 public:
  BatchScan(const ScorerRows<float>& rows, const RowCodes& codes, float scale, std::span<const std::uint64_t> eligible,
            Workspace& workspace)
      : rows_(rows), codes_(codes), terms_{scale, {}}, eligible_(eligible), workspace_(workspace) {}

  // False where the codes prove nothing of this query, or would save nothing.
  bool add(BatchedQuery& query) {
    const std::size_t k = std::min(query.k, rows_.num_scorable());
    if (k == 0 || !asks_for_few(k, rows_)) return false;
    auto lane = std::make_unique<Lane>(query, k, *this);
    if (!rows_.prepare(query.user_vector, lane->prepared)) return false;
    if (!lane->scan
             .emplace(lane->best, k, rows_, codes_, std::span<const ItemHandle>(), lane->prepared.data(), terms_,
                      workspace_)
             .encode(lane->codes, workspace_.rotated)) {
      return false;
    }
    lanes_.push_back(std::move(lane));
    return true;
  }

  void scan() {
    if (lanes_.empty()) return;
    const std::size_t groups = std::min(eligible_.size(), rows_.scorable_bits().size());
    const auto lacks = [](const std::unique_ptr<Lane>& lane) { return !lane->best.full(); };
    std::size_t group = 0;
    for (; group < groups && std::ranges::any_of(lanes_, lacks); group += CodedScan::kRunGroups) {
      for (const auto& lane : lanes_) lane->take_in(group, std::min(groups, group + CodedScan::kRunGroups));
    }
    if (group < groups) collect_codes();
    for (; group < groups; group += CodedScan::kRunGroups)
      match(group, std::min(CodedScan::kRunGroups, groups - group));
    for (const auto& lane : lanes_) lane->best.finish();
  }

 private:
  struct Lane {
    Lane(BatchedQuery& query, std::size_t k, const BatchScan& batch)
        : best(query.best, k), excluded(query.excluded), all(batch) {}

    std::uint64_t wanted(std::size_t group) const {
      std::uint64_t bits = all.eligible_[group] & all.rows_.scorable_bits()[group];
      const std::size_t first = group * CodedScan::kGroup;
      for (auto it = std::ranges::lower_bound(excluded, static_cast<ItemHandle>(first));
           it != excluded.end() && *it < first + CodedScan::kGroup; ++it) {
        bits &= ~(std::uint64_t{1} << (*it - first));
      }
      return bits;
    }
    void take_in(std::size_t begin, std::size_t end) {
      scan->scan(begin, end, [this](std::size_t group) -> CodedScan::Wanted { return {wanted(group), 0}; });
    }

    TopK best;
    std::span<const ItemHandle> excluded;
    const BatchScan& all;
    Buffer<float> prepared;
    Buffer<std::int8_t> codes;
    std::optional<CodedScan> scan;
  };

  void collect_codes() {
    const std::size_t width = codes_.width();
    const std::size_t padded = (lanes_.size() + kMatchedTogether - 1) / kMatchedTogether * kMatchedTogether;
    least_.assign(padded, std::numeric_limits<std::int32_t>::max());  // of the padding: no row
    matches_.resize(padded * CodedScan::kRunGroups);
    coded_.assign(padded * width, 0);
    for (std::size_t i = 0; i < lanes_.size(); ++i) std::copy_n(lanes_[i]->codes.data(), width, &coded_[i * width]);
  }

  void match(std::size_t first, std::size_t count) {
    for (std::size_t i = 0; i < lanes_.size(); ++i) least_[i] = lanes_[i]->scan->least_sum();
    const std::size_t found = codes_.match(matches_.data(), coded_.data(), least_.data(), least_.size(), first, count);
    for (const CodedMatch& match : std::span(matches_).first(found)) {
      const std::size_t group = first + match.block;
      if (!codes_.tight(group)) continue;
      Lane& lane = *lanes_[match.query];
      for_each_bit(match.rows & lane.wanted(group), [&](std::size_t bit) {
        lane.scan->score(static_cast<ItemHandle>(group * CodedScan::kGroup + bit));
      });
    }
    for (const auto& lane : lanes_) lane->scan->score_batch();
    for (std::size_t group = first; group < first + count; ++group) {
      if (codes_.tight(group)) continue;
      for (const auto& lane : lanes_) lane->take_in(group, group + 1);
    }
  }

  const ScorerRows<float>& rows_;
  const RowCodes& codes_;
  const ScoreTerms terms_;
  const std::span<const std::uint64_t> eligible_;
  Workspace& workspace_;
  std::vector<std::unique_ptr<Lane>> lanes_;
  std::vector<std::int8_t> coded_;   // [queries, width]
  std::vector<std::int32_t> least_;  // [queries]
  std::vector<CodedMatch> matches_;
};

}  // namespace

std::vector<BatchedQuery*> certified_scan_batch(std::span<BatchedQuery> queries, const ScorerRows<float>& rows,
                                                const RowCodes& codes, float scale,
                                                std::span<const std::uint64_t> eligible, Workspace& workspace) {
  constexpr std::size_t kQueries = 64;        // at once: their codes stay in the nearest cache
  constexpr std::size_t kFewestTogether = 4;  // fewer are as fast one by one
  constexpr std::size_t kSparse = 16;         // one row in so many: one by one skips the others
  std::vector<BatchedQuery*> left;
  for (BatchedQuery& query : queries) left.push_back(&query);
  const std::span<const std::uint64_t> scorable = rows.scorable_bits();
  std::size_t wanted = 0;
  for (std::size_t group = 0; group < std::min(eligible.size(), scorable.size()); ++group) {
    wanted += static_cast<std::size_t>(std::popcount(eligible[group] & scorable[group]));
  }
  if (queries.size() < kFewestTogether || wanted < rows.size() / kSparse) return left;
  left.clear();
  for (std::size_t first = 0; first < queries.size(); first += kQueries) {
    BatchScan batch(rows, codes, scale, eligible, workspace);
    for (BatchedQuery& query : queries.subspan(first, std::min(kQueries, queries.size() - first))) {
      if (!batch.add(query)) left.push_back(&query);
    }
    batch.scan();
  }
  return left;
}

}  // namespace attune::inline v0_1::detail
