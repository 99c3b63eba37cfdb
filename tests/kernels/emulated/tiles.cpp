// SPDX-License-Identifier: Apache-2.0

// The tile registers of AMX as the manual describes them: palette 1, eight tiles of up to 16 lines of 64 bytes. What
// faults there, and what this project forbids itself, throws here.

#include <immintrin.h>

#include "kernels/emulated/fault.hpp"

namespace attune::emulated {
namespace {

constexpr int kTiles = 8;
constexpr std::size_t kMaxLines = 16, kMaxBytes = 64;

struct Tile {
  std::size_t lines = 0, bytes = 0;
  alignas(64) unsigned char data[kMaxLines][kMaxBytes] = {};
};
struct Registers {
  bool configured = false;
  Tile tile[kTiles];
};
thread_local Registers registers;

void require(bool met, const char* what) {
  if (!met) fault(what);
}

Tile& usable(int tile) {
  require(registers.configured, "a tile is used before tiles are configured");
  require(tile >= 0 && tile < kTiles, "there are eight tiles");
  require(registers.tile[tile].lines != 0, "the tile has no configuration");
  return registers.tile[tile];
}

void clear_beyond(Tile& tile) {
  for (std::size_t i = 0; i < kMaxLines; ++i) {
    for (std::size_t j = i < tile.lines ? tile.bytes : 0; j < kMaxBytes; ++j) tile.data[i][j] = 0;
  }
}

}  // namespace

void load_config(const void* config) {
  unsigned char bytes[64];
  __builtin_memcpy(bytes, config, sizeof(bytes));
  require(!registers.configured, "tiles are configured while they already are: an earlier use was not released");
  require(bytes[0] == 1, "the palette is 1");
  require(bytes[1] == 0, "no instruction is to be resumed");
  for (int i = 0; i < 64; ++i) {
    const bool reserved = (i >= 2 && i < 16) || (i >= 32 && i < 48) || i >= 56;
    require(!reserved || bytes[i] == 0, "reserved bytes of the configuration are zero");
  }
  Registers next;
  next.configured = true;
  for (int t = 0; t < kTiles; ++t) {
    Tile& tile = next.tile[t];
    tile.bytes = bytes[16 + 2 * t] | static_cast<std::size_t>(bytes[17 + 2 * t]) << 8;
    tile.lines = bytes[48 + t];
    require(tile.bytes <= kMaxBytes && tile.lines <= kMaxLines, "a tile has up to 16 lines of 64 bytes");
    require((tile.bytes == 0) == (tile.lines == 0), "a tile has lines and bytes, or neither");
  }
  registers = next;
}

void release_tiles() { registers = Registers{}; }

bool tiles_in_use() { return registers.configured; }

void zero_tile(int tile) { __builtin_memset(usable(tile).data, 0, sizeof(Tile::data)); }

void load_tile(int tile, const void* from, std::size_t stride) {
  Tile& to = usable(tile);
  for (std::size_t i = 0; i < to.lines; ++i) {
    __builtin_memcpy(to.data[i], static_cast<const unsigned char*>(from) + i * stride, to.bytes);
  }
  clear_beyond(to);
}

void store_tile(int tile, void* to, std::size_t stride) {
  const Tile& from = usable(tile);
  for (std::size_t i = 0; i < from.lines; ++i) {
    __builtin_memcpy(static_cast<unsigned char*>(to) + i * stride, from.data[i], from.bytes);
  }
}

namespace {

// Throws unless the tiles of a product are different ones whose shapes fit.
void require_product(int sums, int left, int right) {
  require(sums != left && sums != right && left != right, "the three tiles of a product differ");
  const Tile &c = usable(sums), &a = usable(left), &b = usable(right);
  require(c.lines == a.lines && c.bytes == b.bytes && a.bytes / 4 == b.lines, "the shapes of a product fit");
  require(a.bytes % 4 == 0 && c.bytes % 4 == 0, "a line has whole groups of 4 bytes");
}

}  // namespace

// The products of the even numbers of all pairs are summed, and those of the odd ones; their sum is added to the tile.
void multiply_bf16(int sums, int left, int right) {
  require_product(sums, left, right);
  Tile& c = usable(sums);
  const Tile &a = usable(left), &b = usable(right);
  const __m512 one = _mm512_set1_ps(1.0f);
  for (std::size_t i = 0; i < a.lines; ++i) {
    __m512 even = _mm512_setzero_ps(), odd = even;
    for (std::size_t p = 0; p < b.lines; ++p) {
      std::int32_t pair;
      __builtin_memcpy(&pair, a.data[i] + 4 * p, sizeof(pair));
      const __m512i x = _mm512_set1_epi32(pair), y = _mm512_loadu_si512(b.data[p]);
      even = flushing_fma(even_bf16(x), even_bf16(y), even);
      odd = flushing_fma(odd_bf16(x), odd_bf16(y), odd);
    }
    const __m512 sum = flushing_fma(one, even, odd);
    _mm512_storeu_ps(c.data[i], flushing_fma(one, _mm512_loadu_ps(c.data[i]), sum));
  }
  clear_beyond(c);
}

// Signed bytes on the left, unsigned ones on the right; sums wrap.
void multiply_bytes(int sums, int left, int right) {
  require_product(sums, left, right);
  Tile& c = usable(sums);
  const Tile &a = usable(left), &b = usable(right);
  for (std::size_t i = 0; i < a.lines; ++i) {
    for (std::size_t j = 0; j < c.bytes; j += 4) {
      std::uint32_t sum;
      __builtin_memcpy(&sum, c.data[i] + j, sizeof(sum));
      for (std::size_t line = 0; line < b.lines; ++line) {
        for (std::size_t byte = 0; byte < 4; ++byte) {
          const auto x = static_cast<std::int8_t>(a.data[i][4 * line + byte]);
          sum += static_cast<std::uint32_t>(x * b.data[line][j + byte]);
        }
      }
      __builtin_memcpy(c.data[i] + j, &sum, sizeof(sum));
    }
  }
  clear_beyond(c);
}

}  // namespace attune::emulated
