// SPDX-License-Identifier: Apache-2.0
#pragma once

// The input rows of a model: un-normalised vectors, one per item handle, growable without moving what is there.
// (The rows that a scorer scans are a table of their own, model/scorer_rows.hpp.)
// `T` is float in products and double in gradient tests. Const members are safe from any number of threads.

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <memory>
#include <span>
#include <vector>

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

  // Precondition: index < rows().
  std::span<const T> row(std::size_t index) const noexcept { return {address(index), dim_}; }
  std::span<T> row(std::size_t index) noexcept { return {address(index), dim_}; }

  std::size_t num_chunks() const noexcept { return chunks_.size(); }
  std::span<const T> chunk(std::size_t index) const noexcept {
    return {chunks_[index].get(), std::min(kChunkRows, rows_ - index * kChunkRows) * dim_};
  }
  std::span<T> chunk(std::size_t index) noexcept {
    return {chunks_[index].get(), std::min(kChunkRows, rows_ - index * kChunkRows) * dim_};
  }

  // New rows are zero. Rows that exist keep their addresses.
  void append_rows(std::size_t count) {
    const std::size_t total = rows_ + count;
    while (chunks_.size() * kChunkRows < total) chunks_.push_back(std::make_unique<T[]>(kChunkRows * dim_));
    rows_ = total;
  }

  std::size_t memory_bytes() const noexcept { return chunks_.size() * kChunkRows * dim_ * sizeof(T); }

 private:
  T* address(std::size_t index) const noexcept {
    assert(index < rows_);
    return chunks_[index / kChunkRows].get() + (index % kChunkRows) * dim_;
  }

  std::size_t rows_ = 0;
  std::size_t dim_ = 0;
  std::vector<std::unique_ptr<T[]>> chunks_;
};

extern template class ATTUNE_EXPORT EmbeddingTable<float>;

}  // namespace attune::inline v0_1
