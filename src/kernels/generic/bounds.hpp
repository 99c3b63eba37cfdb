// SPDX-License-Identifier: Apache-2.0
#pragma once

// Bounds of scores from rows in codes. Sums of integers are exact and no multiply-add is fused: the same bits on every
// level. A level's `Bytes` (scalar/bytes.hpp says what it offers) is a vector of 4 elements each of some rows.

#include "kernels/generic/vectors.hpp"

namespace attune::inline v0_1::detail {
namespace {

constexpr std::size_t kStride = 4 * kCodedGroup;  // bytes from 4 elements of all rows to the next 4

// Out of the caches a scan is as fast as memory is asked early; there, twice as fast with this.
constexpr std::size_t kAhead = 8192;
[[gnu::always_inline]] inline void ask_for(const std::uint8_t* bytes, std::size_t count) {
  for (std::size_t i = 0; i < count; i += 64) __builtin_prefetch(bytes + i);
}

// sums [64] of the rows of a block.
template <class Bytes, unsigned kBits>
[[gnu::always_inline]] inline void sum_codes(std::int32_t* sums, const CodedQuery<float>& query,
                                             const std::uint8_t* block, const std::uint8_t* soon) {
  constexpr std::size_t kTogether = Bytes::kTogether, kSize = sizeof(Bytes);
  for (std::size_t first = 0; first < kStride; first += kTogether * kSize) {
    typename Bytes::Sums even[kTogether], odd[kTogether];
    unroll<kTogether>([&](auto j) {
      even[j] = Bytes::broadcast(query.offset);
      odd[j] = Bytes::broadcast(0);
    });
    const std::uint8_t* at = block + first;
    for (std::size_t i = 0; i < query.width; i += 8, at += kStride * kBits / 4) {
      const auto four = Bytes::query(query.codes + i), next = Bytes::query(query.codes + i + 4);
      ask_for(soon + (at - block), kTogether * kSize);
      if constexpr (kBits == 8) ask_for(soon + (at - block) + kStride, kTogether * kSize);
      unroll<kTogether>([&](auto j) {
        const Bytes codes = Bytes::load(at + j * kSize);
        if constexpr (kBits == 8) {
          even[j] = Bytes::multiply_add(even[j], codes, four);
          odd[j] = Bytes::multiply_add(odd[j], Bytes::load(at + kStride + j * kSize), next);
        } else {  // the upper halves stay where they are: sums of 16 times the products
          even[j] = Bytes::multiply_add(even[j], codes.masked(0x0f), four);
          odd[j] = Bytes::multiply_add(odd[j], codes.masked(0xf0), next);
        }
      });
    }
    unroll<kTogether>([&](auto j) {
      if constexpr (kBits == 4) odd[j] = Bytes::divide_by_16(odd[j]);
      Bytes::store(sums + (first + j * kSize) / 4, Bytes::add(even[j], odd[j]));
    });
  }
}

template <class Bytes, unsigned kBits>
void bound_rows(float* bounds, std::uint64_t* passed, const CodedQuery<float>& query, const std::uint8_t* blocks,
                const float* norms, const float* additive, float threshold, std::size_t count,
                const std::uint8_t* next) {
  const std::size_t code_bytes = kCodedGroup * query.width * kBits / 8, block_bytes = code_bytes + 2 * kCodedGroup;
  const std::size_t num_blocks = (count + kCodedGroup - 1) / kCodedGroup;
  const std::size_t ahead = (kAhead + block_bytes - 1) / block_bytes;
  const Vec unit = Vec::broadcast(query.unit), reach = Vec::broadcast(query.reach), slope = Vec::broadcast(query.slope),
            rest = Vec::broadcast(query.rest), scale = Vec::broadcast(query.scale), least = Vec::broadcast(threshold);
  for (std::size_t first = 0; first < count; first += kCodedGroup) {
    std::int32_t sums[kCodedGroup];
    const std::size_t block = first / kCodedGroup;
    const std::uint8_t* const soon =
        block + ahead < num_blocks ? blocks + ahead * block_bytes : next + (block + ahead - num_blocks) * block_bytes;
    ask_for(soon + code_bytes, 2 * kCodedGroup);
    sum_codes<Bytes, kBits>(sums, query, blocks, soon);
    const std::uint8_t *const alpha = blocks + code_bytes, *const rho = alpha + kCodedGroup;
    const std::size_t rows = smaller(count - first, kCodedGroup);
    std::uint64_t bits = 0;
    for_each_vector(rows, [&](std::size_t r, auto lanes) {
      const Vec w = unit * (Vec::from_bytes(alpha + r) * max(Vec::from_integers(sums + r), Vec::zero()));
      Vec u = w + Vec::from_bytes(rho + r) * (reach - slope * w) + rest;
      if (norms) u = u * lanes.load(norms + first + r);
      const Vec term = additive ? lanes.load(additive + first + r) : Vec::zero();
      const Vec bound = scale * u + term;
      lanes.store(bounds + first + r, bound);
      bits |= at_least(bound, least) << r;
    });
    passed[block] = rows < 64 ? bits & ((std::uint64_t{1} << rows) - 1) : bits;
    blocks = rho + kCodedGroup;
  }
}

template <class Bytes>
void set_bounds(KernelTable<float>& table) {
  table.bound_int8 = bound_rows<Bytes, 8>;
  table.bound_int4 = bound_rows<Bytes, 4>;
}

}  // namespace
}  // namespace attune::inline v0_1::detail
