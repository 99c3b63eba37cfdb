// SPDX-License-Identifier: Apache-2.0

// The emulation itself: what the manual says of each instruction, by numbers worked out by hand.

#include "kernels/emulated/instructions.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <stdexcept>
#include <vector>

#include "catch.hpp"
#include "kernels/cpu.hpp"
#include "kernels/emulated/fault.hpp"

using namespace attune;
using Catch::Matchers::Contains;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

float number(std::uint32_t bits) { return std::bit_cast<float>(bits); }
std::uint16_t bf16(float x) { return static_cast<std::uint16_t>(std::bit_cast<std::uint32_t>(x) >> 16); }

bool can_emulate() { return detail::cpu_features().has_amx(); }

// Configuration for A [rows, 2 pairs], B [2 pairs, columns] and C in the tiles 1, 2 and 0.
struct Config {
  explicit Config(std::uint8_t rows = 16, std::uint8_t pairs = 16, std::uint8_t columns = 16) {
    bytes[0] = 1;
    bytes[16] = bytes[20] = static_cast<std::uint8_t>(4 * columns);
    bytes[18] = static_cast<std::uint8_t>(4 * pairs);
    bytes[48] = bytes[49] = rows;
    bytes[50] = pairs;
  }
  std::uint8_t bytes[64] = {};
};

struct Configured {
  explicit Configured(const Config& config = Config()) { emulated::configure(config.bytes); }
  ~Configured() { emulated::release(); }
};

}  // namespace

TEST_CASE("Conversion to bfloat16 rounds to nearest even", "[kernels][emulated]") {
  if (!can_emulate()) return;
  float upper[16] = {}, lower[16] = {};
  const std::uint32_t given[] = {0x3f800000, 0x3f808000, 0x3f818000, 0x3f808001, 0x3f807fff, 0xbf808000, 0x7f7fffff,
                                 0x7f800000, 0x80000000, 0x00000001, 0x807fffff, 0x007fffff, 0x00800000};
  const std::uint16_t expected[] = {0x3f80, 0x3f80, 0x3f82, 0x3f81, 0x3f80, 0xbf80, 0x7f80,
                                    0x7f80, 0x8000, 0x0000, 0x8000, 0x0000, 0x0080};
  for (std::size_t i = 0; i < std::size(given); ++i) lower[i] = upper[15 - i] = number(given[i]);
  lower[15] = number(0x7f800001);  // a signalling NaN
  std::uint16_t y[32];
  emulated::convert_to_bf16(y, upper, lower);
  for (std::size_t i = 0; i < std::size(given); ++i) {
    INFO(i);
    CHECK(y[i] == expected[i]);
    CHECK(y[31 - i] == expected[i]);
  }
  CHECK(y[15] == 0x7fc0);
}

TEST_CASE("A dot product of pairs adds the second product first and flushes denormals", "[kernels][emulated]") {
  if (!can_emulate()) return;
  float sums[16] = {};
  std::uint16_t a[32] = {}, b[32] = {};
  a[0] = bf16(1.0f), b[0] = bf16(0x1p-24f), a[1] = bf16(1.0f), b[1] = bf16(-1.0f), sums[0] = 1.0f;
  a[2] = bf16(-1.0f), b[2] = bf16(1.0f), a[3] = bf16(1.0f), b[3] = bf16(0x1p-24f), sums[1] = 1.0f;
  sums[2] = 1e-40f;
  a[6] = bf16(0x1p-70f), b[6] = bf16(0x1p-70f);
  a[8] = bf16(1.0f), b[8] = 0x0001, sums[4] = 2.0f;
  a[10] = bf16(3.0f), b[10] = bf16(5.0f), a[11] = bf16(7.0f), b[11] = bf16(11.0f), sums[5] = 13.0f;
  emulated::dot_product(sums, a, b);
  CHECK(sums[0] == 0x1p-24f);  // (1 - 1) + 2^-24
  CHECK(sums[1] == 0.0f);      // (1 + 2^-24) - 1
  CHECK(sums[2] == 0.0f);
  CHECK(sums[3] == 0.0f);
  CHECK(sums[4] == 2.0f);
  CHECK(sums[5] == 105.0f);
}

TEST_CASE("A dot product of bytes takes the first as unsigned and does not saturate", "[kernels][emulated]") {
  std::uint8_t a[64] = {1, 2, 3, 4, 255, 255, 255, 255, 200};
  std::int8_t b[64] = {1, 10, 100, -1, -128, -128, -128, -128, 127};
  std::int32_t sums[16] = {5, -1, 0, 7};
  emulated::dot_bytes(sums, a, b);
  CHECK(sums[0] == 5 + 1 + 20 + 300 - 4);
  CHECK(sums[1] == -1 - 4 * 255 * 128);
  CHECK(sums[2] == 200 * 127);
  CHECK(sums[3] == 7);
}

TEST_CASE("Powers of two and rounding are those of the manual", "[kernels][emulated]") {
  if (!can_emulate()) return;
  float x[16] = {3.0f, 3.0f, 1.5f, 1.0f, 1.0f, 1.0f, 1.0f, -1.0f};
  float exponent[16] = {2.0f, 2.9f, -1.0f, -149.0f, -1000.0f, 200.0f, -kInfinity, 1e30f}, y[16];
  emulated::scale_by_power(y, x, exponent);
  const float expected[] = {12.0f, 12.0f, 0.75f, number(1), 0.0f, kInfinity, 0.0f, -kInfinity};
  for (std::size_t i = 0; i < std::size(expected); ++i) CHECK(y[i] == expected[i]);

  const float halves[16] = {0.5f, 1.5f, 2.5f, -0.5f, -1.5f, 0.49f, 1e30f, -1000.0f};
  emulated::round_to_integer(y, halves);
  const float rounded[] = {0.0f, 2.0f, 2.0f, 0.0f, -2.0f, 0.0f, 1e30f, -1000.0f};
  for (std::size_t i = 0; i < std::size(rounded); ++i) CHECK(y[i] == rounded[i]);
}

TEST_CASE("Shuffles stay within their quarters or move them whole", "[kernels][emulated]") {
  if (!can_emulate()) return;
  std::uint16_t a[32], b[32], low[32], high[32];
  for (std::uint16_t i = 0; i < 32; ++i) {
    a[i] = i;
    b[i] = static_cast<std::uint16_t>(100 + i);
  }
  emulated::interleave_halves(low, high, a, b);
  for (std::uint16_t i = 0; i < 32; ++i) {
    const unsigned source = i / 8u * 8u + i % 8u / 2u, base = i % 2 == 0 ? 0 : 100;
    CHECK(low[i] == base + source);
    CHECK(high[i] == base + source + 4);
  }
  std::uint32_t c[16], d[16], y[16];
  for (std::uint32_t i = 0; i < 16; ++i) {
    c[i] = i;
    d[i] = 100 + i;
  }
  emulated::shuffle_quarters(y, c, d);  // 0, 2 of the first; 1, 3 of the second
  for (std::uint32_t i = 0; i < 4; ++i) {
    CHECK((y[i] == i && y[4 + i] == 8 + i && y[8 + i] == 104 + i && y[12 + i] == 112 + i));
  }
}

TEST_CASE("Tiles multiply, with strides and in the shape that is configured", "[kernels][emulated]") {
  if (!can_emulate()) return;
  constexpr std::size_t kRows = 3, kPairs = 2, kColumns = 5;
  std::vector<std::uint16_t> a(kRows * 10), b(kPairs * 12);
  std::vector<float> c(kRows * 7, 1.0f), expected = c;
  for (std::size_t i = 0; i < kRows; ++i) {
    for (std::size_t k = 0; k < 2 * kPairs; ++k) a[i * 10 + k] = bf16(static_cast<float>(i + 2 * k));
  }
  for (std::size_t k = 0; k < 2 * kPairs; ++k) {
    for (std::size_t j = 0; j < kColumns; ++j)
      b[k / 2 * 12 + 2 * j + k % 2] = bf16(static_cast<float>(3 * k) - static_cast<float>(j));
  }
  for (std::size_t i = 0; i < kRows; ++i) {
    for (std::size_t j = 0; j < kColumns; ++j) {
      for (std::size_t k = 0; k < 2 * kPairs; ++k) {
        expected[i * 7 + j] += static_cast<float>(i + 2 * k) * (static_cast<float>(3 * k) - static_cast<float>(j));
      }
    }
  }
  const Configured use(Config(kRows, kPairs, kColumns));
  emulated::load_tile_0(c.data(), 7 * sizeof(float));
  emulated::load_tile_1(a.data(), 20);
  emulated::load_tile_2(b.data(), 24);
  emulated::multiply_1_by_2_into_0();
  emulated::store_tile_0(c.data(), 7 * sizeof(float));
  CHECK(c == expected);
  emulated::zero_tile_0();
  emulated::store_tile_0(c.data(), 7 * sizeof(float));
  CHECK(c[6] == 1.0f);
  CHECK(std::count(c.begin(), c.end(), 0.0f) == kRows * kColumns);
}

TEST_CASE("A tile sums even and odd products apart before it adds them", "[kernels][emulated]") {
  if (!can_emulate()) return;
  std::uint16_t a[16 * 32] = {}, b[16 * 32] = {};
  float c[16 * 16] = {};
  // Even products 2^24, then 1 (lost); odd ones -2^24; C 1. Any other order keeps one more of the ones.
  a[0] = a[1] = a[2] = bf16(1.0f);
  b[0] = bf16(0x1p24f), b[1] = bf16(-0x1p24f), b[32] = bf16(1.0f);
  c[0] = 1.0f;
  const Configured use;
  emulated::load_tile_0(c, 64);
  emulated::load_tile_1(a, 64);
  emulated::load_tile_2(b, 64);
  emulated::multiply_1_by_2_into_0();
  emulated::store_tile_0(c, 64);
  CHECK(c[0] == 1.0f);
}

TEST_CASE("A tile of bytes is signed on the left and unsigned on the right", "[kernels][emulated]") {
  if (!can_emulate()) return;
  std::int8_t a[16 * 64] = {};
  std::uint8_t b[16 * 64] = {};
  std::int32_t c[16 * 16] = {};
  std::fill_n(a, 64, std::int8_t{-128});
  a[5 * 64 + 6] = 3;  // line 5, element 6: of line 1 of the right, byte 2
  std::fill_n(b, 1024, std::uint8_t{255});
  b[64 + 4 * 9 + 2] = 200;  // of column 9
  c[0] = 7;
  const Configured use;
  emulated::load_tile_0(c, 64);
  emulated::load_tile_1(a, 64);
  emulated::load_tile_2(b, 64);
  emulated::multiply_bytes_1_by_2_into_0();
  emulated::store_tile_0(c, 64);
  CHECK(c[0] == 7 - 64 * 128 * 255);
  CHECK(c[9] == -128 * (63 * 255 + 200));
  CHECK(c[5 * 16 + 9] == 600);
  CHECK(c[5 * 16 + 8] == 765);
  CHECK(c[6 * 16] == 0);
}

TEST_CASE("What the hardware would stop at throws", "[kernels][emulated]") {
  if (!can_emulate()) return;
  std::uint8_t memory[1024] = {};
  CHECK_THROWS_WITH(emulated::zero_tile_0(), Contains("before tiles are configured"));
  CHECK_THROWS_WITH(emulated::load_tile_0(memory, 64), Contains("before tiles are configured"));
  const auto refused = [](std::size_t byte, std::uint8_t value, const char* why) {
    Config config;
    config.bytes[byte] = value;
    CHECK_THROWS_WITH(emulated::configure(config.bytes), Contains(why));
    CHECK_FALSE(emulated::tiles_in_use());
  };
  refused(0, 0, "palette");
  refused(0, 2, "palette");
  refused(1, 3, "resumed");
  refused(5, 1, "reserved");
  refused(40, 1, "reserved");
  refused(60, 1, "reserved");
  refused(16, 65, "up to 16 lines of 64 bytes");
  refused(17, 1, "up to 16 lines of 64 bytes");
  refused(48, 17, "up to 16 lines of 64 bytes");
  refused(48, 0, "lines and bytes, or neither");
  {
    const Configured use;
    CHECK_THROWS_WITH(emulated::multiply_1_by_1_into_0(), Contains("differ"));
    CHECK_THROWS_WITH(emulated::configure(Config().bytes), Contains("not released"));
  }
  {
    Config without_b;
    without_b.bytes[20] = without_b.bytes[50] = 0;
    const Configured use(without_b);
    CHECK_THROWS_WITH(emulated::multiply_1_by_2_into_0(), Contains("no configuration"));
  }
  {
    Config short_b;
    short_b.bytes[50] = 8;
    const Configured use(short_b);
    CHECK_THROWS_WITH(emulated::multiply_1_by_2_into_0(), Contains("shapes"));
  }
  CHECK_THROWS_WITH(emulated::zero_tile_0(), Contains("before tiles are configured"));
}
