// SPDX-License-Identifier: Apache-2.0
#pragma once

// The input rows of a model: un-normalised vectors, one per item handle, growable without moving what is there.
// (The rows that a scorer scans are a table of their own, model/scorer_rows.hpp.)
// `T` is float in products and double in gradient tests. Const members are safe from any number of threads.

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "attune/detail/checked_blocks.hpp"
#include "attune/version.hpp"

namespace attune::inline v0_1 {

template <class T>
class EmbeddingTable {
 public:
  // Rows live in chunks of this many, each contiguous, [rows in chunk][dim].
  static constexpr std::size_t kChunkRows = 4096;

  EmbeddingTable() = default;
  EmbeddingTable(std::size_t rows, std::size_t dim) : dim_(dim) { append_rows(rows); }

  std::size_t rows() const noexcept { return rows_; }
  std::size_t dim() const noexcept { return dim_; }

  // Rows that lie in a mapped file, from byte `begin` on. Bit i of `nonzero` says that row i is not all zeros; the
  // blocks keep it alive. Each row is checked when it is first asked for: row() and chunk() then throw what
  // CheckedBlocks::require does. Such a table is only read.
  EmbeddingTable(std::size_t rows, std::size_t dim, std::shared_ptr<const detail::CheckedBlocks> blocks,
                 std::size_t begin, std::span<const std::uint64_t> nonzero);

  // Precondition: index < rows().
  std::span<const T> row(std::size_t index) const {
    if (mapped_) mapped_->require(mapped_begin_ + index * dim_ * sizeof(T), dim_ * sizeof(T));
    return {address(index), dim_};
  }
  std::span<T> row(std::size_t index) noexcept {
    assert(!mapped_);
    return {address(index), dim_};
  }
  // Whether every element of the row is zero.
  bool is_zero(std::size_t index) const noexcept {
    if (mapped_) return (nonzero_[index / 64] >> (index % 64) & 1u) == 0;
    const T* const row = address(index);
    return std::all_of(row, row + dim_, [](T x) { return x == T(0); });
  }
  // The blocks that hold the rows; null: they are the table's own.
  const detail::CheckedBlocks* mapped() const noexcept { return mapped_.get(); }

  std::size_t num_chunks() const noexcept { return chunks_.size(); }
  std::span<const T> chunk(std::size_t index) const {
    const std::size_t size = chunk_size(index);
    if (mapped_) mapped_->require(mapped_begin_ + index * kChunkRows * dim_ * sizeof(T), size * sizeof(T));
    return {chunks_[index], size};
  }
  std::span<T> chunk(std::size_t index) noexcept {
    assert(!mapped_);
    return {chunks_[index], chunk_size(index)};
  }

  // New rows are zero. Rows that exist keep their addresses.
  void append_rows(std::size_t count) {
    assert(!mapped_);
    const std::size_t total = rows_ + count;
    while (chunks_.size() * kChunkRows < total) {
      owned_.push_back(std::make_unique<T[]>(kChunkRows * dim_));
      chunks_.push_back(owned_.back().get());
    }
    rows_ = total;
  }

  std::size_t memory_bytes() const noexcept { return owned_.size() * kChunkRows * dim_ * sizeof(T); }

 private:
  std::size_t chunk_size(std::size_t index) const noexcept {
    return std::min(kChunkRows, rows_ - index * kChunkRows) * dim_;
  }
  T* address(std::size_t index) const noexcept {
    assert(index < rows_);
    return chunks_[index / kChunkRows] + (index % kChunkRows) * dim_;
  }

  std::size_t rows_ = 0;
  std::size_t dim_ = 0;
  std::vector<T*> chunks_;
  std::vector<std::unique_ptr<T[]>> owned_;
  std::shared_ptr<const detail::CheckedBlocks> mapped_;  // null: the chunks are owned
  std::size_t mapped_begin_ = 0;
  std::span<const std::uint64_t> nonzero_;
};

template <class T>
EmbeddingTable<T>::EmbeddingTable(std::size_t rows, std::size_t dim,
                                  std::shared_ptr<const detail::CheckedBlocks> blocks, std::size_t begin,
                                  std::span<const std::uint64_t> nonzero)
    : rows_(rows), dim_(dim), mapped_(std::move(blocks)), mapped_begin_(begin), nonzero_(nonzero) {
  assert(begin + rows * dim * sizeof(T) <= mapped_->bytes().size() && nonzero.size() * 64 >= rows);
  // Nobody writes through them: see the asserts.
  T* const first = reinterpret_cast<T*>(const_cast<std::byte*>(mapped_->bytes().data() + begin));
  for (std::size_t row = 0; row < rows; row += kChunkRows) chunks_.push_back(first + row * dim);
}

extern template class ATTUNE_EXPORT EmbeddingTable<float>;

}  // namespace attune::inline v0_1
