// SPDX-License-Identifier: Apache-2.0
#pragma once

// Exact top-k by cosine (or dot product) over every row, with eligibility and an additive term inside the scan. All
// storages give the same bits; std::int8_t and Int4 read a quarter and an eighth of the bytes, and a few rows as float.
// Const members are safe from any number of threads and allocate nothing once a workspace is warm.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <span>

#include "attune/concepts.hpp"
#include "attune/detail/certified_scan.hpp"
#include "attune/detail/kernel_table.hpp"
#include "attune/detail/pruned_search.hpp"
#include "attune/model/row_clusters.hpp"
#include "attune/model/scorer_rows.hpp"

namespace attune::inline v0_1 {

// score = scale * <query, row> + additive[item]. `Storage` is how the rows are stored: float, std::int8_t or Int4.
template <class Storage = float>
class ATTUNE_EXPORT CosineScorer {
 public:
  // `scale` is 1 for plain cosine or dot scores, 1 / temperature in a blend.
  explicit CosineScorer(ScorerRows<Storage> rows, float scale = 1.0f);

  std::size_t size() const noexcept { return rows_.size(); }
  ScoreKind kind() const noexcept { return exact().kind(); }
  bool scorable(ItemHandle item) const noexcept { return exact().scorable(item); }
  const ScorerRows<Storage>& rows() const noexcept { return rows_; }
  ScorerRows<Storage>& rows() noexcept { return rows_; }  // to change them while nobody asks
  // The best min(k, eligible and scorable) items, best first. `eligible` has size() bits, `additive` size() terms or
  // none; an item whose score is not finite is never returned. Empty for a query that is zero or not finite. Valid
  // until the workspace is used again.
  std::span<const ScoredHandle> top_k(const Query& query, std::span<const std::uint64_t> eligible,
                                      std::span<const float> additive, std::size_t k, Workspace& workspace) const;
  // The same for many queries without additive terms, each with items of its own left out. With std::int8_t a row is
  // read once for 64 queries: at a million items four times as fast as one query after the other by Int4. Allocates.
  // `batches` says whether that is so.
  bool batches() const noexcept { return std::same_as<Storage, std::int8_t> && size() >= kFewestBatched; }
  void top_k_batch(std::span<BatchedQuery> queries, std::span<const std::uint64_t> eligible,
                   Workspace& workspace) const;
  // The eligible items nearest to one of them, by plain cosine or dot product. Precondition: scorable(item).
  Neighbours similar(ItemHandle item, std::span<const std::uint64_t> eligible, std::size_t k,
                     Workspace& workspace) const;
  // The same for any vector of dim() elements.
  std::span<const ScoredHandle> nearest(std::span<const float> vector, std::span<const std::uint64_t> eligible,
                                        std::size_t k, Workspace& workspace) const {
    return scan(vector, {1.0f, {}}, eligible, k, workspace);
  }
  // cosines[i] of the vectors of `item` and of handles[i], also where scores are dot products; 0 where either has none.
  void similarities(ItemHandle item, std::span<const ItemHandle> handles, std::span<float> cosines) const;
  // The vector [dim] of an item that scores are made of; false where there is none.
  bool vector(ItemHandle item, std::span<float> vector) const;
  // Takes `amount` times the row of an item, at unit length, from a vector of dim() elements. Precondition:
  // scorable(item).
  void subtract(std::span<float> user_vector, ItemHandle item, float amount) const;
  // d_user_vector: the gradient of the score of an item with respect to the user vector, neither of which is zero.
  // Precondition: scorable(item).
  void gradient(std::span<float> d_user_vector, std::span<const float> user_vector, ItemHandle item) const;
  // scores[i] of handles[i]: the bits top_k gives; -infinity where it would return nothing.
  void score(const Query& query, std::span<const ItemHandle> handles, std::span<const float> additive,
             std::span<float> scores, Workspace& workspace) const;

 private:
  static constexpr std::size_t kGroup = 64;              // rows per word of a bitmap
  static constexpr std::size_t kFewestBatched = 10'000;  // rows that a single scan reads from slower caches
  static constexpr int kDense = 12;                      // from so many wanted rows on a whole group is the faster way

  const ScorerRows<float>& exact() const noexcept { return rows_.exact(); }
  std::span<const ScoredHandle> scan(std::span<const float> vector, const detail::ScoreTerms& terms,
                                     std::span<const std::uint64_t> eligible, std::size_t k,
                                     Workspace& workspace) const;
  // Final scores of `count` <= kGroup consecutive rows; bit i of the result says scores[i] >= threshold.
  std::uint64_t score_rows(float* scores, const float* query, std::size_t first, std::size_t count,
                           const detail::ScoreTerms& terms, float threshold) const;

  ScorerRows<Storage> rows_;
  float scale_;
  const detail::KernelTable<float>* kernels_;
};

}  // namespace attune::inline v0_1

#include "attune/detail/cosine_scorer_impl.hpp"

namespace attune::inline v0_1 {
extern template class CosineScorer<float>;
extern template class CosineScorer<std::int8_t>;
extern template class CosineScorer<Int4>;
extern template class CosineScorer<Clustered>;
static_assert(Scorer<CosineScorer<float>>);
static_assert(Scorer<CosineScorer<Int4>>);
}  // namespace attune::inline v0_1
