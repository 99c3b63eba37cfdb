// SPDX-License-Identifier: Apache-2.0
#pragma once

// Scratch memory of one thread. The caller owns it and passes it down; buffers grow to the largest use and stay, so
// that a request allocates nothing after warm-up.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <new>
#include <span>
#include <utility>
#include <vector>

#include "attune/types.hpp"
#include "attune/version.hpp"

namespace attune::inline v0_1 {

// Uninitialised, 64-byte aligned, growable array of a trivial type. Growing does not keep the content.
template <class T>
class Buffer {
 public:
  Buffer() = default;
  Buffer(Buffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), capacity_(std::exchange(other.capacity_, 0)) {}
  Buffer& operator=(Buffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(capacity_, other.capacity_);
    return *this;
  }
  ~Buffer() { ::operator delete(data_, kAlignment); }

  std::span<T> take(std::size_t count) {
    if (count > capacity_) {
      ::operator delete(data_, kAlignment);
      data_ = nullptr;
      capacity_ = 0;
      data_ = static_cast<T*>(::operator new(count * sizeof(T), kAlignment));
      capacity_ = count;
    }
    return {data_, count};
  }
  T* data() noexcept { return data_; }
  const T* data() const noexcept { return data_; }
  std::size_t memory_bytes() const noexcept { return capacity_ * sizeof(T); }

 private:
  static constexpr std::align_val_t kAlignment{64};
  T* data_ = nullptr;
  std::size_t capacity_ = 0;
};

// One per thread. The members belong to the stage they are named for; a stage may use them only during its own call.
template <class T>
struct BasicWorkspace {
  Buffer<T> encoder;                // activations of a full or one-row forward pass
  Buffer<std::uint8_t> gaps;        // buckets of the gaps in time between its rows and keys
  Buffer<ItemHandle> sequence;      // the encoded suffix with a hidden item behind it
  Buffer<T> scores;                 // of the whole catalogue, or of a part of it in the scan
  Buffer<T> query;                  // the normalised, padded query
  Buffer<double> rotated;           // the query before its codes are made
  Buffer<std::int8_t> codes;        // the query's
  Buffer<ScoredHandle> candidates;  // rows whose bound is good enough, with it
  Buffer<ScoredHandle> lists;       // of rows, with the query's product with their centroid
  Buffer<T> products;               // of the query with centroids; of terms, the largest
  Buffer<T> user_vector;            // [dim]
  Buffer<T> additive;               // [handles]
  Buffer<T> cold;                   // [handles], what is added while a history is short
  Buffer<T> shares;                 // of a count model, as a part of that
  Buffer<T> counts;                 // what a count model works in
  Buffer<T> count_vector;           // a user's, where a count model makes one
  Buffer<T> count_scores;           // of a count model, in the order of its own rows
  std::vector<ScoredHandle> top;    // the k best of the last top_k or rank
  std::vector<ItemHandle> items;    // the part of a history that the model knows, column by column
  std::vector<Timestamp> times;
  std::vector<std::uint8_t> kinds;
  std::vector<float> weights;
  std::vector<ItemHandle> count_items;  // a history in the rows of a count model
  std::vector<std::uint64_t> eligible;  // bitmap over handles
};
using Workspace = BasicWorkspace<float>;

}  // namespace attune::inline v0_1
