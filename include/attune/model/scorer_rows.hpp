// SPDX-License-Identifier: Apache-2.0
#pragma once

// The output side of a model: one row per item handle, normalised when stored (cosine) or as it is (dot), padded to
// whole lanes. Kept apart from the encoder's input rows. Storages other than float keep, beside the float rows that
// every score comes from, codes of them that say which rows need no score: an item 64 wide takes 256 bytes as float, 66
// more with std::int8_t and 34 more with Int4 (4 more under dot). Const members are safe from any number of threads.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "attune/detail/kernel_table.hpp"
#include "attune/model/embedding_table.hpp"
#include "attune/model/row_codes.hpp"
#include "attune/model/workspace.hpp"
#include "attune/types.hpp"

namespace attune::inline v0_1 {

struct ATTUNE_EXPORT Int4;  // 4 bits an element

template <>
class ATTUNE_EXPORT ScorerRows<float> {
 public:
  // A row that is zero (or too short to normalise) or not finite is unscorable and stored as zeros; `kind` is cosine or
  // dot. Under dot a zero row is unscorable too.
  ScorerRows(const EmbeddingTable<float>& items, ScoreKind kind);
  // The same, but each row is made when it is first asked for. `scorable` [(rows + 63) / 64] has a bit per row. Then
  // all that reads rows throws what EmbeddingTable::row does.
  ScorerRows(std::shared_ptr<const EmbeddingTable<float>> items, ScoreKind kind,
             std::span<const std::uint64_t> scorable);
  ScorerRows(ScorerRows&&) noexcept;
  ScorerRows& operator=(ScorerRows&&) noexcept;
  ~ScorerRows();

  std::size_t size() const noexcept { return size_; }
  std::size_t dim() const noexcept { return dim_; }        // of the table
  std::size_t stride() const noexcept { return stride_; }  // dim rounded up to whole lanes
  ScoreKind kind() const noexcept { return kind_; }
  std::size_t num_scorable() const noexcept { return num_scorable_; }
  bool scorable(ItemHandle item) const noexcept {
    return item < size_ && (scorable_[item / 64] >> (item % 64) & 1u) != 0;
  }
  std::span<const std::uint64_t> scorable_bits() const noexcept { return scorable_; }
  const float* row(std::size_t item) const {
    if (late_) make(item, 1);
    return rows_.get() + item * stride_;
  }
  // Has a row that is about to be scored come near, if it is there.
  void prefetch(std::size_t item) const noexcept {
    if (late_ && !made(item)) return;
    const float* const row = rows_.get() + item * stride_;
    for (std::size_t d = 0; d < stride_; d += detail::kLanes) __builtin_prefetch(row + d);
  }
  // Makes the rows that are not there yet, so that they lie one after the other from row(0) on.
  void make_all() const;
  const ScorerRows& exact() const noexcept { return *this; }

  // Gives a row another vector; row size() is a new one. Amortised, costs what the row takes. The vector has dim()
  // elements and may become unscorable; nobody may read the rows meanwhile. Late rows are all made first.
  void set(std::size_t item, std::span<const float> vector);
  // Makes a row unscorable.
  void erase(std::size_t item) noexcept;

  // The vector as rows are compared with it, in `query`: normalised (cosine), padded. False when it is zero or not
  // finite: there is nothing to compare.
  bool prepare(std::span<const float> user_vector, Buffer<float>& query) const;
  // The library's scores of `count` consecutive rows (see KernelTable::dot_rows).
  void dot(float* scores, const float* query, std::size_t first, std::size_t count) const;
  // The same of any rows.
  void dot_at(float* scores, const float* query, std::span<const ItemHandle> items) const;

  std::size_t memory_bytes() const noexcept { return size_ * stride_ * sizeof(float) + scorable_.size() * 8; }

 private:
  struct AlignedDelete {
    void operator()(float* p) const noexcept { ::operator delete (p, std::align_val_t{64}); }
  };
  using Rows = std::unique_ptr<float[], AlignedDelete>;
  struct Late;
  ScorerRows(std::size_t capacity, std::size_t dim, ScoreKind kind);  // no rows yet
  static Rows make_rows(std::size_t count, std::size_t stride);
  bool made(std::size_t item) const noexcept;
  // Those of `count` rows that are not there yet.
  void make(std::size_t first, std::size_t count) const;

  std::size_t size_ = 0, capacity_ = 0, dim_ = 0, stride_ = 0, num_scorable_ = 0;
  ScoreKind kind_ = ScoreKind::cosine;
  const detail::KernelTable<float>* kernels_;
  Rows rows_;
  std::vector<std::uint64_t> scorable_;
  std::unique_ptr<Late> late_;  // null: all rows are there
};

// `Storage` is std::int8_t or Int4.
template <class Storage>
class ATTUNE_EXPORT ScorerRows {
 public:
  explicit ScorerRows(ScorerRows<float> exact) : exact_(std::move(exact)), codes_(exact_, kBits) {}
  // With codes that were made of the same rows before.
  ScorerRows(ScorerRows<float> exact, RowCodes codes) : exact_(std::move(exact)), codes_(std::move(codes)) {}
  ScorerRows(const EmbeddingTable<float>& items, ScoreKind kind) : ScorerRows(ScorerRows<float>(items, kind)) {}

  std::size_t size() const noexcept { return exact_.size(); }
  const ScorerRows<float>& exact() const noexcept { return exact_; }
  const RowCodes& codes() const noexcept { return codes_; }
  std::size_t memory_bytes() const noexcept { return exact_.memory_bytes() + codes_.memory_bytes(); }

 private:
  static_assert(std::same_as<Storage, std::int8_t> || std::same_as<Storage, Int4>,
                "the rows of a scorer are stored as float, std::int8_t or attune::Int4");
  static constexpr unsigned kBits = std::same_as<Storage, Int4> ? 4 : 8;

  ScorerRows<float> exact_;
  RowCodes codes_;
};

}  // namespace attune::inline v0_1
