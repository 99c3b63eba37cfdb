// SPDX-License-Identifier: Apache-2.0
#include "privacy/masks.hpp"

#include <algorithm>
#include <cstring>

#include "catch.hpp"
#include "privacy/hexadecimal.hpp"

using namespace attune;
using namespace attune::detail;
using attune::test::from_hex;

namespace {

Secret repeated(unsigned char byte) {
  Secret seed;
  std::fill_n(seed.data(), Secret::kSize, byte);
  return seed;
}

std::vector<std::uint64_t> low_halves(std::vector<std::uint64_t> values) {
  for (std::uint64_t& value : values) value &= 0xFFFF'FFFF;
  return values;
}

// The values of a client with its own mask and those it shares with others.
std::vector<std::uint64_t> masked(std::vector<std::uint64_t> values, const std::vector<Mask>& masks) {
  apply_masks(values, masks, 32, nullptr);
  return low_halves(values);
}

template <class Word>
std::vector<Word> words_of(const Secret& seed, std::size_t count) {
  std::vector<Word> words(count);
  randombytes_buf_deterministic(words.data(), count * sizeof(Word), seed.data());
  return words;
}

using Words = std::vector<std::uint64_t>;

}  // namespace

TEST_CASE("Masks are the bytes of libsodium's deterministic generator", "[privacy][masks]") {
  Secret seed;
  for (unsigned i = 0; i < 32; ++i) seed.data()[i] = static_cast<unsigned char>(i);
  Words words(8);
  apply_masks(words, std::vector<Mask>{{seed, true}}, 32, nullptr);
  std::vector<std::byte> bytes(32);
  for (std::size_t i = 0; i < 8; ++i) std::memcpy(bytes.data() + 4 * i, &words[i], 4);
  CHECK(bytes == from_hex("0d8e6cc68715648926732e7ea73250cfaf2d58422083904c841a8ba33b986111"));
}

TEST_CASE("Three clients with known seeds send known words", "[privacy][masks]") {
  const Words x1{1, 2, 3, 4}, x2{10, 20, 30, 40}, x3{100, 200, 300, 400};
  const Secret s12 = repeated(0x12), s13 = repeated(0x13), s23 = repeated(0x23);
  const Secret b1 = repeated(0xb1), b2 = repeated(0xb2), b3 = repeated(0xb3);
  CHECK(masked({0, 0, 0, 0}, {{s12, true}}) == Words{1344021614, 3064145015, 1494564864, 883388663});
  const Words y1 = masked(x1, {{b1, true}, {s12, true}, {s13, true}});
  const Words y2 = masked(x2, {{b2, true}, {s12, false}, {s23, true}});
  const Words y3 = masked(x3, {{b3, true}, {s13, false}, {s23, false}});
  CHECK(y1 == Words{1545700344, 4256011170, 3589712133, 548745683});
  CHECK(y2 == Words{2135361094, 499328610, 4173748500, 3462519558});
  CHECK(y3 == Words{2210378666, 1347075835, 3280428047, 4273007415});

  Words all(4), without_third(4);
  for (std::size_t i = 0; i < 4; ++i) {
    all[i] = y1[i] + y2[i] + y3[i];
    without_third[i] = y1[i] + y2[i];
  }
  CHECK(masked(all, {{b1, false}, {b2, false}, {b3, false}}) == Words{111, 222, 333, 444});
  CHECK(masked(without_third, {{b1, false}, {b2, false}, {s13, false}, {s23, false}}) == Words{11, 22, 33, 44});
}

TEST_CASE("Masks are the same for any length, width and number of threads", "[privacy][masks]") {
  ThreadPool pool(4);
  const Secret seed = repeated(0x5a), other = repeated(0xa5);
  const std::vector<Mask> masks{{seed, true}, {other, false}};
  for (const std::size_t count : {1u, 15u, 16u, 17u, 4095u, 4096u, 4097u, 12'345u}) {
    for (const unsigned bits : {32u, 64u}) {
      Words here(count, 7), there(count, 7);
      apply_masks(here, masks, bits, nullptr);
      apply_masks(there, masks, bits, &pool);
      CHECK(here == there);
      bool right = true;
      if (bits == 32) {
        const auto added = words_of<std::uint32_t>(seed, count), taken = words_of<std::uint32_t>(other, count);
        for (std::size_t i = 0; i < count; ++i) {
          right &= static_cast<std::uint32_t>(here[i]) == static_cast<std::uint32_t>(7 + added[i] - taken[i]);
        }
      } else {
        const auto added = words_of<std::uint64_t>(seed, count), taken = words_of<std::uint64_t>(other, count);
        for (std::size_t i = 0; i < count; ++i) right &= here[i] == 7 + added[i] - taken[i];
      }
      CHECK(right);
    }
  }
}
