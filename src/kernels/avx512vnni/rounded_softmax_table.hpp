// SPDX-License-Identifier: Apache-2.0
#pragma once

// Softmax over the rows of a table in bfloat16. A row of the table is called an item here.
//
// Scores are computed transposed, [items, positions], so that the sum over the items adds whole vectors. The weights of
// a block of 32 items x 32 positions are written twice: into the caller's memory as left operand (positions side by
// side), for the gradient of the table, and as right operand (pairs of items side by side), for the gradient of the
// hidden rows. That one is made a chunk of blocks at a time, so that the right operand never leaves the first-level
// cache.
//
// `Unit` is that of rounded_matmul.hpp, with two functions that make one product in two parts, c [32, 32] = start +
// left * right with `start` [32] for every row: between them the weights of the block before are worked out, by vectors
// beside the tiles.
//   Unit::begin_block(start, left, right, steps)   Unit::end_block(c, start, left, right, steps)

#include "attune/detail/kernel_table.hpp"
#include "kernels/avx512vnni/bfloat16.hpp"

namespace attune::inline v0_1::detail {
namespace {

inline constexpr std::size_t kBlockSize = kBlockSide * kBlockSide;
inline constexpr std::size_t kChunkBlocks = 8;

inline std::size_t blocks(std::size_t n) { return pieces(n, kBlockSide); }

// The two forms of a table [V, D]: left operands of the scores [block of items][2][block of dimensions], and left
// operands of the transposed gradient of the hidden rows [tile of dimensions][block of items].
struct PackedTable {
  const Bfloat16 *items, *dimensions;
  std::size_t item_blocks, dim_blocks;

  PackedTable(const float* packed, std::size_t rows, std::size_t dim)
      : items(reinterpret_cast<const Bfloat16*>(packed)), item_blocks(blocks(rows)), dim_blocks(blocks(dim)) {
    dimensions = items + item_blocks * dim_blocks * kBlockSize;
  }
  Operand items_of(std::size_t block) const {
    const Bfloat16* first = items + block * dim_blocks * kBlockSize;
    return {first, first + dim_blocks * kTileSize};
  }
  Operand dimensions_of(std::size_t dim_block, std::size_t first_item_block) const {
    const Bfloat16* first = dimensions + (2 * dim_block * item_blocks + first_item_block) * kTileSize;
    return {first, first + item_blocks * kTileSize};
  }
};

// In floats, each of which holds two numbers.
inline std::size_t packed_size(std::size_t rows, std::size_t dim) { return blocks(rows) * blocks(dim) * kBlockSize; }
inline std::size_t weights_size(std::size_t positions, std::size_t rows) {
  return blocks(rows) * blocks(positions) * kBlockSize / 2;
}

inline void pack(float* packed, const float* table, std::size_t rows, std::size_t dim) {
  const PackedTable form(packed, rows, dim);
  const Floats items{table, dim, rows, dim};
  Bfloat16* tile = reinterpret_cast<Bfloat16*>(packed);
  for (std::size_t t = 0; t < 2 * form.item_blocks; ++t) {
    for (std::size_t s = 0; s < form.dim_blocks; ++s, tile += kTileSize) {
      pack_left(tile, items.from(t * kTileSide, s * kTileDepth));
    }
  }
  for (std::size_t t = 0; t < 2 * form.dim_blocks; ++t) {
    for (std::size_t s = 0; s < form.item_blocks; ++s, tile += kTileSize) {
      pack_left_transposed(tile, items.from(s * kTileDepth, t * kTileSide));
    }
  }
}

// 2^x to 7.5e-5, a fiftieth of what bfloat16 resolves: a minimax polynomial for what rounding takes from x.
inline __m512 exp2(__m512 x) {
  const __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 f = _mm512_sub_ps(x, whole);
  __m512 p = _mm512_set1_ps(0.0551716536f);
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.24261114f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.693260968f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.999928057f));
  return _mm512_scalef_ps(p, whole);
}

// Up to 32 positions on their way through the table.
template <class Unit>
class PositionBlock {
 public:
  // Scratch: hidden_tiles [2][block of dimensions] tiles, d_hidden_transposed [dimensions][32].
  PositionBlock(const PackedTable& table, std::size_t rows, Bfloat16* hidden_tiles, float* d_hidden_transposed)
      : table_(table),
        rows_(rows),
        hidden_(hidden_tiles),
        hidden_operand_{hidden_tiles, hidden_tiles + table.dim_blocks * kTileSize},
        d_hidden_(d_hidden_transposed) {}

  // Scores are to come out as exponents of 2: scale * log2(e) goes into the hidden rows, the shift into what a sum
  // starts from.
  void start(const Floats& hidden, float scale, const float* shifts) {
    constexpr float kLog2E = 1.44269504f;
    for (std::size_t t = 0; t < 2; ++t) {
      for (std::size_t s = 0; s < table_.dim_blocks; ++s) {
        pack_right_transposed(hidden_ + (t * table_.dim_blocks + s) * kTileSize,
                              hidden.from(t * kTileSide, s * kTileDepth), scale * kLog2E);
      }
      const __mmask16 lanes = first_lanes(beyond(hidden.rows, t * kTileSide));
      const __m512 shift = _mm512_maskz_loadu_ps(lanes, shifts + t * kTileSide);
      _mm512_storeu_ps(start_ + t * kTileSide, _mm512_mul_ps(shift, _mm512_set1_ps(-kLog2E)));
      totals_[t] = _mm512_setzero_ps();
    }
    __builtin_memset(d_hidden_, 0, table_.dim_blocks * kBlockSize * sizeof(float));
  }

  // The weights of block b go to weights + b * stride, those of its second tile of items `second` further.
  void run(Bfloat16* weights, std::size_t stride, std::size_t second) {
    if (table_.item_blocks > 0) {
      begin_scores(0);
      end_scores(0);
    }
    for (std::size_t b = 0; b < table_.item_blocks; b += kChunkBlocks) {
      const std::size_t end = fewer(b + kChunkBlocks, table_.item_blocks);
      weigh_chunk(b, end, weights, stride, second);
      for (std::size_t d = 0; d < table_.dim_blocks; ++d) {  // d_hidden^T += table^T * weights
        Unit::multiply(d_hidden_ + d * kBlockSize, kBlockSide, table_.dimensions_of(d, b), {chunk_[0][0], chunk_[1][0]},
                       end - b, kBlockSide, kBlockSide, true);
      }
    }
  }

  // For the positions of `hidden`; a row of d_hidden is as long as one of theirs.
  void finish(float* sums, float* d_hidden, const Floats& hidden) const {
    for (std::size_t t = 0; t < 2; ++t) {
      _mm512_mask_storeu_ps(sums + t * kTileSide, first_lanes(beyond(hidden.rows, t * kTileSide)), totals_[t]);
    }
    for (std::size_t d = 0; d < hidden.columns; d += kTileSide) {
      const __mmask16 lanes = first_lanes(hidden.columns - d);
      for (std::size_t t = 0; t < 2; ++t) {
        Lines lines;
        unroll<kTileSide>(
            [&](auto i) { lines[i] = _mm512_loadu_si512(d_hidden_ + (d + i) * kBlockSide + t * kTileSide); });
        transpose(lines);
        unroll<kTileSide>([&](auto i) {
          const std::size_t position = position_of(t, i);
          if (position < hidden.rows) {
            _mm512_mask_storeu_ps(d_hidden + position * hidden.stride + d, lanes, _mm512_castsi512_ps(lines[i]));
          }
        });
      }
    }
  }

 private:
  void begin_scores(std::size_t b) const {
    Unit::begin_block(start_, table_.items_of(b), hidden_operand_, table_.dim_blocks);
  }
  void end_scores(std::size_t b) {
    float* const scores = scores_[b % 2];
    Unit::end_block(scores, start_, table_.items_of(b), hidden_operand_, table_.dim_blocks);
    const __m512 nothing = _mm512_set1_ps(-1000.0f);  // 2^-1000 is 0: an item that does not exist has no weight
    for (std::size_t i = beyond(rows_, b * kBlockSide); i < kBlockSide; ++i) {
      _mm512_storeu_ps(scores + i * kBlockSide, nothing);
      _mm512_storeu_ps(scores + i * kBlockSide + kTileSide, nothing);
    }
  }

  void weigh_chunk(std::size_t begin, std::size_t end, Bfloat16* weights, std::size_t stride, std::size_t second) {
    __m512 totals[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
    for (std::size_t b = begin; b < end; ++b) {
      const bool more = b + 1 < table_.item_blocks;
      if (more) begin_scores(b + 1);
      weigh<0>(totals, b, b - begin, weights + b * stride);
      if (more) end_scores(b + 1);
      weigh<1>(totals, b, b - begin, weights + b * stride + second);
    }
    unroll<2>([&](auto t) { totals_[t] = _mm512_add_ps(totals_[t], totals[t]); });
  }

  // The weights of one tile of items of block b, the i-th of its chunk.
  template <std::size_t kTile>
  [[gnu::always_inline]] void weigh(__m512 (&totals)[2], std::size_t b, std::size_t i, Bfloat16* left) {
    const float* score = scores_[b % 2] + kTile * kTileSide * kBlockSide;
    Bfloat16* right = chunk_[0][i] + kTile * kTileSize / 2;
    for (std::size_t item = 0; item < kTileSide; item += 2) {
      const auto weight = [&](std::size_t j) { return exp2(_mm512_loadu_ps(score + j * kTileSide)); };
      const __m512 w00 = weight(0), w01 = weight(1), w10 = weight(2), w11 = weight(3);  // [item][tile of positions]
      totals[0] = _mm512_add_ps(totals[0], _mm512_add_ps(w00, w10));
      totals[1] = _mm512_add_ps(totals[1], _mm512_add_ps(w01, w11));
      const __m512i even = to_bfloat16(w00, w01), odd = to_bfloat16(w10, w11);
      _mm512_storeu_si512(left, even);
      _mm512_storeu_si512(left + kTileDepth, odd);
      _mm512_storeu_si512(right, _mm512_unpacklo_epi16(even, odd));
      _mm512_storeu_si512(right + kChunkBlocks * kTileSize, _mm512_unpackhi_epi16(even, odd));
      score += 2 * kBlockSide;
      left += 2 * kTileDepth;
      right += kTileDepth;
    }
  }

  // Which position unpacking puts into a column of the right operand.
  static std::size_t position_of(std::size_t tile, std::size_t column) {
    return column / 4 * 8 + tile * 4 + column % 4;
  }

  const PackedTable& table_;
  std::size_t rows_;
  Bfloat16* hidden_;
  Operand hidden_operand_;
  float* d_hidden_;
  __m512 totals_[2];
  alignas(64) float start_[kBlockSide];                     // minus the shift of each position
  alignas(64) float scores_[2][kBlockSize];                 // [32 items, 32 positions] of this block and the next
  alignas(64) Bfloat16 chunk_[2][kChunkBlocks][kTileSize];  // weights as right operand
};

template <class Unit>
void rounded_softmax_forward(float* d_hidden, float* sums, float* weights, const float* hidden, const float* packed,
                             float scale, const float* shifts, std::size_t positions, std::size_t rows,
                             std::size_t dim) {
  const PackedTable table(packed, rows, dim);
  constexpr std::size_t kBits = 64 * 8;
  const std::size_t padded_dim = table.dim_blocks * kBlockSide;  // 192 bytes of the stack for each
  void* const hidden_tiles = __builtin_alloca_with_align(padded_dim * kBlockSide * sizeof(Bfloat16), kBits);
  void* const d_hidden_transposed = __builtin_alloca_with_align(padded_dim * kBlockSide * sizeof(float), kBits);
  PositionBlock<Unit> block(table, rows, static_cast<Bfloat16*>(hidden_tiles),
                            static_cast<float*>(d_hidden_transposed));
  [[maybe_unused]] const typename Unit::Use use;
  const std::size_t count = blocks(positions);
  for (std::size_t q = 0; q < count; ++q) {
    const std::size_t first = q * kBlockSide;
    const Floats some{hidden + first * dim, dim, fewer(kBlockSide, positions - first), dim};
    block.start(some, scale, shifts + first);
    block.run(reinterpret_cast<Bfloat16*>(weights) + q * kTileSize, 2 * count * kTileSize, count * kTileSize);
    block.finish(sums + first, d_hidden + first * dim, some);
  }
}

// Weights lie as left operands, [block of items][2][block of positions].
template <class Unit>
void rounded_softmax_backward(float* d_table, const float* weights, const float* scaled_hidden, std::size_t positions,
                              std::size_t rows, std::size_t dim) {
  constexpr std::size_t kMaxCount = kMaxPositions / kBlockSide, kPanel = 4 * kBlockSide;  // dimensions at a time
  const std::size_t count = blocks(positions);
  const Floats hidden{scaled_hidden, dim, positions, dim};
  alignas(64) Bfloat16 right[kPanel / kTileSide * kMaxCount * kTileSize];  // [tile of dimensions][block of positions]
  [[maybe_unused]] const typename Unit::Use use;
  for (std::size_t first = 0; first < dim; first += kPanel) {
    const std::size_t columns = fewer(kPanel, dim - first);
    for (std::size_t t = 0; t < pieces(columns, kTileSide); ++t) {
      for (std::size_t q = 0; q < count; ++q) {
        pack_right(right + (t * count + q) * kTileSize, hidden.from(q * kTileDepth, first + t * kTileSide));
      }
    }
    const auto lines = [&](const Bfloat16* tiles, std::size_t t) {
      return Operand{tiles + t * count * kTileSize, tiles + (t + 1) * count * kTileSize};
    };
    for (std::size_t v = 0; v < rows; v += kBlockSide) {
      for (std::size_t d = 0; d < columns; d += kBlockSide) {
        Unit::multiply(d_table + v * dim + first + d, dim,
                       lines(reinterpret_cast<const Bfloat16*>(weights), v / kTileSide), lines(right, d / kTileSide),
                       count, fewer(kBlockSide, rows - v), fewer(kBlockSide, columns - d), true);
      }
    }
  }
}

template <class Unit>
void set_rounded_softmax_table(KernelTable<float>& table) {
  table.rounded_softmax_table = {packed_size, weights_size, pack, rounded_softmax_forward<Unit>,
                                 rounded_softmax_backward<Unit>};
}

}  // namespace
}  // namespace attune::inline v0_1::detail
