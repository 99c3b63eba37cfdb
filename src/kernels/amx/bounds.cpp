// SPDX-License-Identifier: Apache-2.0
#include "kernels/avx512vnni/bytes.hpp"

#include "kernels/amx/tiles.hpp"
#include "kernels/families.hpp"
#include "kernels/generic/bounds.hpp"

namespace attune::inline v0_1::detail {
namespace {

constexpr std::size_t kLine = 64;                    // bytes of a tile's line
constexpr std::size_t kTileQueries = 2 * kTileSide;  // at a time

// sums [16 kSets, 64]: codes of as many queries, [.., width], against the rows of a block, whose bytes lie as a right
// operand wants them. The tiles of the queries are left operands.
template <std::size_t kSets>
void sum_block(std::int32_t (*sums)[kCodedGroup], const std::int8_t* codes, std::size_t width,
               const std::uint8_t* block) {
  for (std::size_t half = 0; half < 2; ++half) {
    unroll<2 * kSets>([](auto tile) { tile_zero<tile>(); });
    const std::uint8_t* right = block + half * 2 * kLine;
    for (std::size_t i = 0; i < width; i += kLine, right += kTileSide * kStride) {
      tile_load<6>(right, kStride);
      tile_load<7>(right + kLine, kStride);
      tile_load<4>(codes + i, width);
      tile_multiply_bytes<0>();
      tile_multiply_bytes<1>();
      if constexpr (kSets == 2) {
        tile_load<5>(codes + kTileSide * width + i, width);
        tile_multiply_bytes<2>();
        tile_multiply_bytes<3>();
      }
    }
    unroll<2 * kSets>([&](auto tile) {
      tile_store<tile>(&sums[tile / 2 * kTileSide][(2 * half + tile % 2) * kTileSide], sizeof(sums[0]));
    });
  }
}

std::size_t match_int8_by_tiles(CodedMatch* matches, const std::int8_t* codes, const std::int32_t* least,
                                std::size_t num_queries, std::size_t width, const std::uint8_t* blocks,
                                std::size_t num_blocks) {
  if (width % kLine != 0) return match_int8<DotBytes>(matches, codes, least, num_queries, width, blocks, num_blocks);
  const TileUse use;
  alignas(64) std::int32_t sums[kTileQueries][kCodedGroup];
  CodedMatch* to = matches;
  for (std::uint32_t block = 0; block < num_blocks; ++block, blocks += kCodedGroup * (width + 2)) {
    for (std::uint32_t first = 0; first < num_queries; first += kTileQueries) {
      const std::size_t some = smaller(kTileQueries, num_queries - first);
      const std::int8_t* const of = codes + first * width;
      some == kTileQueries ? sum_block<2>(sums, of, width, blocks) : sum_block<1>(sums, of, width, blocks);
      settle();
      for (std::uint32_t q = 0; q < some; ++q) {
        std::uint64_t rows = 0;
        unroll<kCodedGroup / 16>([&](auto v) {
          rows |= Bytes::at_least(_mm512_loadu_si512(&sums[q][16 * v]), least[first + q]) << (16 * v);
        });
        *to = {first + q, block, rows};
        to += rows != 0 ? 1 : 0;
      }
    }
  }
  return static_cast<std::size_t>(to - matches);
}

}  // namespace
}  // namespace attune::inline v0_1::detail

void attune::detail::amx::fill_bounds(KernelTable<float>& table) { table.match_int8 = match_int8_by_tiles; }
