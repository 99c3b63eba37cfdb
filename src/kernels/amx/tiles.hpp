// SPDX-License-Identifier: Apache-2.0
#pragma once

// The eight tile registers of AMX, each 16 lines of 64 bytes: C tiles 0 to 3 (tile 2r + c: r-th of rows, c-th of
// columns), left operands 4 + r, right operands 6 + c. The compilers want the number of a register as a literal, and
// g++ does not know that a tile is loaded from memory: hence `settle` around each load.

#include "kernels/avx512vnni/bfloat16.hpp"

namespace attune::inline v0_1::detail {
namespace {

// Tiles are configured while it lives. A thread has no configuration of its own at first, and a new thread that of its
// creator, so every kernel makes one.
class TileUse {
 public:
  TileUse() { _tile_loadconfig(&kConfig); }
  ~TileUse() { _tile_release(); }
  TileUse(const TileUse&) = delete;
  TileUse& operator=(const TileUse&) = delete;

 private:
  struct alignas(64) Config {
    std::uint8_t palette, start_row, reserved[14];
    std::uint16_t line_bytes[16];
    std::uint8_t lines[16];
  };
  // Constant and static: g++ takes _tile_loadconfig to read 8 bytes and drops what would be written to the others.
  static constexpr Config kConfig{1, 0, {}, {64, 64, 64, 64, 64, 64, 64, 64}, {16, 16, 16, 16, 16, 16, 16, 16}};
  static_assert(sizeof(Config) == 64);
};

// Memory is as the program says: no access is moved across.
inline void settle() { __asm__ volatile("" ::: "memory"); }

template <std::size_t kTile>
[[gnu::always_inline]] inline void tile_load(const void* from, std::size_t stride) {
  settle();
  if constexpr (kTile == 0) _tile_loadd(0, from, stride);
  if constexpr (kTile == 1) _tile_loadd(1, from, stride);
  if constexpr (kTile == 2) _tile_loadd(2, from, stride);
  if constexpr (kTile == 3) _tile_loadd(3, from, stride);
  if constexpr (kTile == 4) _tile_loadd(4, from, stride);
  if constexpr (kTile == 5) _tile_loadd(5, from, stride);
  if constexpr (kTile == 6) _tile_loadd(6, from, stride);
  if constexpr (kTile == 7) _tile_loadd(7, from, stride);
  settle();
}

template <std::size_t kTile>
[[gnu::always_inline]] inline void tile_zero() {
  if constexpr (kTile == 0) _tile_zero(0);
  if constexpr (kTile == 1) _tile_zero(1);
  if constexpr (kTile == 2) _tile_zero(2);
  if constexpr (kTile == 3) _tile_zero(3);
}

template <std::size_t kTile>
[[gnu::always_inline]] inline void tile_store(void* to, std::size_t stride) {
  if constexpr (kTile == 0) _tile_stored(0, to, stride);
  if constexpr (kTile == 1) _tile_stored(1, to, stride);
  if constexpr (kTile == 2) _tile_stored(2, to, stride);
  if constexpr (kTile == 3) _tile_stored(3, to, stride);
}

// C tile (r, c) += left tile r * right tile c
template <std::size_t kTile>
[[gnu::always_inline]] inline void tile_multiply() {
  if constexpr (kTile == 0) _tile_dpbf16ps(0, 4, 6);
  if constexpr (kTile == 1) _tile_dpbf16ps(1, 4, 7);
  if constexpr (kTile == 2) _tile_dpbf16ps(2, 5, 6);
  if constexpr (kTile == 3) _tile_dpbf16ps(3, 5, 7);
}

// The same in integers: signed bytes on the left, unsigned ones on the right, four to a sum.
template <std::size_t kTile>
[[gnu::always_inline]] inline void tile_multiply_bytes() {
  if constexpr (kTile == 0) _tile_dpbsud(0, 4, 6);
  if constexpr (kTile == 1) _tile_dpbsud(1, 4, 7);
  if constexpr (kTile == 2) _tile_dpbsud(2, 5, 6);
  if constexpr (kTile == 3) _tile_dpbsud(3, 5, 7);
}

// C tiles [kRows, kColumns] += left * right.
template <std::size_t kRows, std::size_t kColumns>
[[gnu::always_inline]] inline void multiply_tiles(Operand left, Operand right, std::size_t steps) {
  constexpr std::size_t kLine = kTileDepth * sizeof(Bfloat16);
  for (std::size_t s = 0; s < steps; ++s) {
    tile_load<6>(right.first, kLine);
    if constexpr (kColumns == 2) tile_load<7>(right.second, kLine);
    tile_load<4>(left.first, kLine);
    unroll<kColumns>([&](auto c) { tile_multiply<c>(); });
    if constexpr (kRows == 2) {
      tile_load<5>(left.second, kLine);
      unroll<kColumns>([&](auto c) { tile_multiply<2 + c>(); });
    }
    left = {left.first + kTileSize, left.second + kTileSize};
    right = {right.first + kTileSize, right.second + kTileSize};
  }
}

}  // namespace
}  // namespace attune::inline v0_1::detail
