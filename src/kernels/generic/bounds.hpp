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

// Calls use(q, row, sums) for each query and each vector of rows of a block: start + sum_i codes[q][i] * row[i].
// kTogether vectors of rows stay in registers for all queries, in kChains sums each. Where kAsk, what lies at `soon` is
// brought near.
template <class Bytes, unsigned kBits, std::size_t kTogether, std::size_t kChains, bool kAsk, std::size_t kQueries,
          class Use>
[[gnu::always_inline]] inline void sum_codes(const std::int8_t* const (&codes)[kQueries], std::size_t width,
                                             std::int32_t start, const std::uint8_t* block, const std::uint8_t* soon,
                                             const Use& use) {
  static_assert(kChains == 2 || (kChains == 1 && kBits == 8));
  constexpr std::size_t kSize = sizeof(Bytes);
  for (std::size_t first = 0; first < kStride; first += kTogether * kSize) {
    typename Bytes::Sums sums[kQueries][kTogether][kChains];
    unroll<kQueries>([&](auto q) {
      unroll<kTogether>([&](auto j) {
        unroll<kChains>([&](auto chain) { sums[q][j][chain] = Bytes::broadcast(chain == 0 ? start : 0); });
      });
    });
    const std::uint8_t* at = block + first;
    for (std::size_t i = 0; i < width; i += 8, at += kStride * kBits / 4) {
      if constexpr (kAsk) {
        ask_for(soon + (at - block), kTogether * kSize);
        if constexpr (kBits == 8) ask_for(soon + (at - block) + kStride, kTogether * kSize);
      }
      const auto add = [&](auto chain, std::size_t from, const auto& bytes_of) {
        decltype(Bytes::query(codes[0])) four[kQueries];
        unroll<kQueries>([&](auto q) { four[q] = Bytes::query(codes[q] + i + from); });
        unroll<kTogether>([&](auto j) {
          const Bytes bytes = bytes_of(j);
          unroll<kQueries>([&](auto q) { sums[q][j][chain] = Bytes::multiply_add(sums[q][j][chain], bytes, four[q]); });
        });
      };
      if constexpr (kBits == 8) {
        add(Index<0>{}, 0, [&](auto j) { return Bytes::load(at + j * kSize); });
        add(Index<kChains - 1>{}, 4, [&](auto j) { return Bytes::load(at + kStride + j * kSize); });
      } else {  // the upper halves stay where they are: sums of 16 times the products
        add(Index<0>{}, 0, [&](auto j) { return Bytes::load(at + j * kSize).masked(0x0f); });
        add(Index<1>{}, 4, [&](auto j) { return Bytes::load(at + j * kSize).masked(0xf0); });
      }
    }
    unroll<kQueries>([&](auto q) {
      unroll<kTogether>([&](auto j) {
        auto total = sums[q][j][kChains - 1];
        if constexpr (kBits == 4) total = Bytes::divide_by_16(total);
        if constexpr (kChains == 2) total = Bytes::add(sums[q][j][0], total);
        use(q, (first + j * kSize) / 4, total);
      });
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
    sum_codes<Bytes, kBits, Bytes::kTogether, 2, true>(
        {query.codes}, query.width, query.offset, blocks, soon,
        [&](auto, std::size_t row, auto of_rows) { Bytes::store(sums + row, of_rows); });
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

constexpr std::uint32_t kQueriesTogether = 4;

template <class Bytes, bool kAsk>
[[gnu::always_inline]] inline CodedMatch* match_some(CodedMatch* to, const std::int8_t* codes,
                                                     const std::int32_t* least, std::size_t width,
                                                     const std::uint8_t* block, std::uint32_t first,
                                                     std::uint32_t number) {
  std::uint64_t rows[kQueriesTogether] = {};
  const std::int8_t* of[kQueriesTogether];
  unroll<kQueriesTogether>([&](auto q) { of[q] = codes + (first + q) * width; });
  sum_codes<Bytes, 8, Bytes::kTogetherOfMany, 1, kAsk>(
      of, width, 0, block, block + kAhead,
      [&](auto q, std::size_t row, auto sums) { rows[q] |= Bytes::at_least(sums, least[first + q]) << row; });
  unroll<kQueriesTogether>([&](auto q) {
    *to = {first + static_cast<std::uint32_t>(q), number, rows[q]};
    to += rows[q] != 0 ? 1 : 0;
  });
  return to;
}

template <class Bytes>
std::size_t match_int8(CodedMatch* matches, const std::int8_t* codes, const std::int32_t* least,
                       std::size_t num_queries, std::size_t width, const std::uint8_t* blocks, std::size_t num_blocks) {
  CodedMatch* to = matches;
  for (std::uint32_t block = 0; block < num_blocks; ++block, blocks += kCodedGroup * (width + 2)) {
    to = match_some<Bytes, true>(to, codes, least, width, blocks, 0, block);
    for (std::uint32_t q = kQueriesTogether; q < num_queries; q += kQueriesTogether) {
      to = match_some<Bytes, false>(to, codes, least, width, blocks, q, block);
    }
  }
  return static_cast<std::size_t>(to - matches);
}

template <class Bytes>
void set_bounds(KernelTable<float>& table) {
  table.bound_int8 = bound_rows<Bytes, 8>;
  table.bound_int4 = bound_rows<Bytes, 4>;
  table.match_int8 = match_int8<Bytes>;
}

}  // namespace
}  // namespace attune::inline v0_1::detail
