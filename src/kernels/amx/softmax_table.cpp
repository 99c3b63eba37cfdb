// SPDX-License-Identifier: Apache-2.0

// Softmax over the rows of a table in bfloat16. A row of the table is called an item here.
//
// Scores are computed transposed, C tiles of 16 items x 16 positions, so that the sum over the items adds whole
// vectors. The weights of a block of 32 items x 32 positions are written twice: into the caller's memory as a left
// operand (items x positions) for the gradient of the table, and, for a chunk of blocks that stays in the first-level
// cache, as a right operand (items x positions, pairs of items side by side) for the gradient of the hidden rows, which
// is made at once. What is added to a block's weights while its tiles are still being multiplied is the block before
// it: tiles and vectors have units of their own.

#include "kernels/amx/unit.hpp"
#include "kernels/families.hpp"

namespace attune::inline v0_1::detail {
namespace {

inline constexpr std::size_t kBlockSide = 2 * kTileSide;  // items, positions and dimensions go by 32
inline constexpr std::size_t kBlockSize = kBlockSide * kBlockSide;
inline constexpr std::size_t kChunkBlocks = 8;
inline constexpr std::size_t kLine = kTileSide * sizeof(float);
inline constexpr std::size_t kTileFloats = kTileSide * kTileSide;

std::size_t blocks(std::size_t n) { return pieces(n, kBlockSide); }

// The two forms of a table, [V, D]: left operands of the scores [block of items][2][block of dimensions], and left
// operands of the transposed gradient of the hidden rows [tile of dimensions][block of items].
struct Packed {
  const Bfloat16 *items, *dimensions;
  std::size_t item_blocks, dim_blocks;

  Packed(const void* packed, std::size_t rows, std::size_t dim)
      : items(static_cast<const Bfloat16*>(packed)), item_blocks(blocks(rows)), dim_blocks(blocks(dim)) {
    dimensions = items + item_blocks * dim_blocks * kBlockSize;
  }
  Operand items_of(std::size_t block) const {
    return {items + block * dim_blocks * kBlockSize, dim_blocks * kTileSize};
  }
  Operand dimensions_of(std::size_t dim_block, std::size_t first_item_block) const {
    return {dimensions + (2 * dim_block * item_blocks + first_item_block) * kTileSize, item_blocks * kTileSize};
  }
};

// In floats, each of which holds two numbers.
std::size_t packed_size(std::size_t rows, std::size_t dim) { return blocks(rows) * blocks(dim) * kBlockSize; }
std::size_t weights_size(std::size_t positions, std::size_t rows) {
  return blocks(rows) * blocks(positions) * kBlockSize / 2;
}

void pack(float* packed, const float* table, std::size_t rows, std::size_t dim) {
  const Packed form(packed, rows, dim);
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

// 2^x to 7.5e-5, a hundredth of what bfloat16 resolves: minimax polynomial for the part of x around its rounded value.
inline __m512 exp2(__m512 x) {
  const __m512 whole = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
  const __m512 f = _mm512_sub_ps(x, whole);
  __m512 p = _mm512_set1_ps(0.0551716536f);
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.24261114f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.693260968f));
  p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(0.999928057f));
  return _mm512_scalef_ps(p, whole);
}

// Positions by the lane of a weight in the right operand: unpacking orders them so.
inline std::size_t position_of(std::size_t tile, std::size_t lane) { return lane / 4 * 8 + tile * 4 + lane % 4; }

// One group of up to 32 positions on its way through the table.
class Group {
 public:
  // `hidden_tiles` [2][block of dimensions] tiles; `d_hidden_tiles` [tile of dimensions][2] tiles of floats.
  Group(const Packed& table, std::size_t rows, Bfloat16* hidden_tiles, float* d_hidden_tiles)
      : table_(table), rows_(rows), hidden_(hidden_tiles), d_hidden_(d_hidden_tiles) {}

  // Scores are to come out as exponents of 2: scale * log2(e) goes into the hidden rows, the shift into the first
  // value of the sum.
  void start(const Floats& hidden, float scale, const float* shifts) {
    constexpr float kLog2E = 1.44269504f;
    for (std::size_t t = 0; t < 2; ++t) {
      for (std::size_t s = 0; s < table_.dim_blocks; ++s) {
        pack_right_transposed(hidden_ + (t * table_.dim_blocks + s) * kTileSize,
                              hidden.from(t * kTileSide, s * kTileDepth), scale * kLog2E);
      }
      const __mmask16 lanes = first_lanes(beyond(hidden.rows, t * kTileSide));
      const __m512 shift = _mm512_maskz_loadu_ps(lanes, shifts + t * kTileSide);
      _mm512_storeu_ps(first_ + t * kTileSide, _mm512_mul_ps(shift, _mm512_set1_ps(-kLog2E)));
      totals_[t] = _mm512_setzero_ps();
    }
    __builtin_memset(d_hidden_, 0, table_.dim_blocks * 4 * kTileFloats * sizeof(float));
  }

  // The weights of block b go to weights + b * stride, its second tile of items `second` further.
  void run(Bfloat16* weights, std::size_t stride, std::size_t second) {
    if (table_.item_blocks > 0) {
      multiply(0);
      keep_scores(0);
    }
    for (std::size_t b = 0; b < table_.item_blocks; b += kChunkBlocks) {
      const std::size_t end = fewer(b + kChunkBlocks, table_.item_blocks);
      weigh_chunk(b, end, weights, stride, second);
      for (std::size_t d = 0; d < table_.dim_blocks; ++d) add_to_gradient(d, b, end);
    }
  }

  // Of the positions of `hidden`: sums, and d_hidden with the stride of a row.
  void finish(float* sums, float* d_hidden, const Floats& hidden) const {
    for (std::size_t t = 0; t < 2; ++t) {
      _mm512_mask_storeu_ps(sums + t * kTileSide, first_lanes(beyond(hidden.rows, t * kTileSide)), totals_[t]);
    }
    for (std::size_t d = 0; d < hidden.columns; d += kTileSide) {
      for (std::size_t t = 0; t < 2; ++t) {
        Lines lines;
        const float* tile = d_hidden_ + (d / kTileSide * 2 + t) * kTileFloats;
        unroll<kTileSide>([&](auto i) { lines[i] = _mm512_loadu_si512(tile + i * kTileSide); });
        transpose(lines);
        unroll<kTileSide>([&](auto i) {
          const std::size_t position = position_of(t, i);
          if (position < hidden.rows) {
            _mm512_mask_storeu_ps(d_hidden + position * hidden.stride + d, first_lanes(hidden.columns - d),
                                  _mm512_castsi512_ps(lines[i]));
          }
        });
      }
    }
  }

 private:
  // C tiles = scores of block b: [tile of items][tile of positions].
  void multiply(std::size_t b) const {
    tile_load<0>(first_, 0);
    tile_load<1>(first_ + kTileSide, 0);
    tile_load<2>(first_, 0);
    tile_load<3>(first_ + kTileSide, 0);
    multiply_tiles<2, 2>(table_.items_of(b), {hidden_, table_.dim_blocks * kTileSize}, table_.dim_blocks);
  }

  void keep_scores(std::size_t b) {
    unroll<4>([&](auto tile) { tile_store<tile>(scores_[b % 2][tile], kLine); });
    if ((b + 1) * kBlockSide > rows_) hide_padding(scores_[b % 2], rows_ - b * kBlockSide);
  }

  // Items that do not exist weigh nothing: 2^-1000 is 0.
  static void hide_padding(float (&scores)[4][kTileFloats], std::size_t items) {
    for (std::size_t i = items; i < kBlockSide; ++i) {
      for (std::size_t t = 0; t < 2; ++t) {
        _mm512_storeu_ps(scores[i / kTileSide * 2 + t] + i % kTileSide * kTileSide, _mm512_set1_ps(-1000.0f));
      }
    }
  }

  void weigh_chunk(std::size_t begin, std::size_t end, Bfloat16* weights, std::size_t stride, std::size_t second) {
    __m512 totals[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()};
    for (std::size_t b = begin; b < end; ++b) {
      const bool more = b + 1 < table_.item_blocks;
      if (more) multiply(b + 1);
      weigh<0>(totals, b, b - begin, weights + b * stride);
      if (more) keep_scores(b + 1);
      weigh<1>(totals, b, b - begin, weights + b * stride + second);
    }
    unroll<2>([&](auto t) { totals_[t] = _mm512_add_ps(totals_[t], totals[t]); });
  }

  // The weights of one tile of items of block b, the i-th of its chunk.
  template <std::size_t kTile>
  [[gnu::always_inline]] void weigh(__m512 (&totals)[2], std::size_t b, std::size_t i, Bfloat16* left) {
    const float* first = scores_[b % 2][2 * kTile];
    const float* second = scores_[b % 2][2 * kTile + 1];
    Bfloat16* right = chunk_[0][i] + kTile * kTileSize / 2;
    for (std::size_t item = 0; item < kTileSide; item += 2) {
      const __m512 w00 = exp2(_mm512_loadu_ps(first)), w01 = exp2(_mm512_loadu_ps(second));
      const __m512 w10 = exp2(_mm512_loadu_ps(first + kTileSide)), w11 = exp2(_mm512_loadu_ps(second + kTileSide));
      totals[0] = _mm512_add_ps(totals[0], _mm512_add_ps(w00, w10));
      totals[1] = _mm512_add_ps(totals[1], _mm512_add_ps(w01, w11));
      const __m512i even = to_bfloat16(w00, w01), odd = to_bfloat16(w10, w11);
      _mm512_storeu_si512(left, even);
      _mm512_storeu_si512(left + kTileDepth, odd);
      _mm512_storeu_si512(right, _mm512_unpacklo_epi16(even, odd));
      _mm512_storeu_si512(right + kChunkBlocks * kTileSize, _mm512_unpackhi_epi16(even, odd));
      first += 2 * kTileSide;
      second += 2 * kTileSide;
      left += 2 * kTileDepth;
      right += kTileDepth;
    }
  }

  // d_hidden^T [32 dimensions, positions] += table^T * weights over the items of the chunk.
  void add_to_gradient(std::size_t d, std::size_t begin, std::size_t end) {
    float* const sums = d_hidden_ + d * 4 * kTileFloats;
    unroll<4>([&](auto tile) { tile_load<tile>(sums + tile * kTileFloats, kLine); });
    multiply_tiles<2, 2>(table_.dimensions_of(d, begin), {chunk_[0][0], kChunkBlocks * kTileSize}, end - begin);
    unroll<4>([&](auto tile) { tile_store<tile>(sums + tile * kTileFloats, kLine); });
  }

  const Packed& table_;
  std::size_t rows_;
  Bfloat16* hidden_;
  float* d_hidden_;
  __m512 totals_[2];
  alignas(64) float first_[2 * kTileSide];                  // of a sum of scores: minus the shift of each position
  alignas(64) float scores_[2][4][kTileFloats];             // of this block and the next
  alignas(64) Bfloat16 chunk_[2][kChunkBlocks][kTileSize];  // weights as right operand
};

void forward(float* d_hidden, float* sums, float* weights, const float* hidden, const float* packed, float scale,
             const float* shifts, std::size_t positions, std::size_t rows, std::size_t dim) {
  const Packed table(packed, rows, dim);
  // 192 bytes for each dimension.
  constexpr std::size_t kAlignment = 64 * 8;
  auto* hidden_tiles = static_cast<Bfloat16*>(
      __builtin_alloca_with_align(2 * table.dim_blocks * kTileSize * sizeof(Bfloat16), kAlignment));
  auto* d_hidden_tiles =
      static_cast<float*>(__builtin_alloca_with_align(4 * table.dim_blocks * kTileFloats * sizeof(float), kAlignment));
  Group group(table, rows, hidden_tiles, d_hidden_tiles);
  const std::size_t groups = blocks(positions);
  const Floats all{hidden, dim, positions, dim};
  const TileUse use;
  for (std::size_t g = 0; g < groups; ++g) {
    const std::size_t first = g * kBlockSide;
    Floats some = all.from(first, 0);
    some.rows = fewer(some.rows, kBlockSide);
    group.start(some, scale, shifts + first);
    group.run(reinterpret_cast<Bfloat16*>(weights) + g * kTileSize, 2 * groups * kTileSize, groups * kTileSize);
    group.finish(sums + first, d_hidden + first * dim, some);
  }
}

// Weights lie as left operands, [block of items][2][block of positions].
void backward(float* d_table, const float* weights, const float* scaled_hidden, std::size_t positions, std::size_t rows,
              std::size_t dim) {
  constexpr std::size_t kMaxGroups = kMaxPositions / kBlockSide, kPanel = 4 * kBlockSide;  // dimensions at a time
  const std::size_t groups = blocks(positions);
  const Bfloat16* const left = reinterpret_cast<const Bfloat16*>(weights);
  const Floats hidden{scaled_hidden, dim, positions, dim};
  alignas(64) Bfloat16 right[kPanel / kTileSide * kMaxGroups * kTileSize];  // [tile of dimensions][block of positions]
  const TileUse use;
  for (std::size_t first = 0; first < dim; first += kPanel) {
    const std::size_t columns = fewer(kPanel, dim - first);
    for (std::size_t t = 0; t < pieces(columns, kTileSide); ++t) {
      for (std::size_t g = 0; g < groups; ++g) {
        pack_right(right + (t * groups + g) * kTileSize, hidden.from(g * kTileDepth, first + t * kTileSide));
      }
    }
    for (std::size_t i = 0; i < rows; i += kBlockSide) {
      for (std::size_t d = 0; d < columns; d += kBlockSide) {
        TileUnit::multiply(d_table + i * dim + first + d, dim, left + i * groups * kTileDepth,
                           right + d / kTileSide * groups * kTileSize, groups, fewer(kBlockSide, rows - i),
                           fewer(kBlockSide, columns - d), true);
      }
    }
  }
}

}  // namespace
}  // namespace attune::inline v0_1::detail

void attune::detail::amx::fill_softmax_table(KernelTable<float>& table) {
  table.rounded_softmax_table = {packed_size, weights_size, pack, forward, backward};
}
