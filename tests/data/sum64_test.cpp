// SPDX-License-Identifier: Apache-2.0
#include "data/sum64.hpp"

#include <algorithm>
#include <vector>

#include "catch.hpp"

using namespace attune;

namespace {

std::vector<std::byte> two_hundred_bytes() {
  std::vector<std::byte> bytes(200);
  for (std::size_t i = 0; i < bytes.size(); ++i) bytes[i] = static_cast<std::byte>(i * 37);
  return bytes;
}

}  // namespace

TEST_CASE("A checksum of 64 bits changes with every byte, every size and the order of words", "[data][sum64]") {
  const std::vector<std::byte> bytes = two_hundred_bytes();
  const std::uint64_t sum = detail::sum64_of(bytes);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    auto changed = bytes;
    changed[i] ^= std::byte{0x80};
    REQUIRE(detail::sum64_of(changed) != sum);
    REQUIRE(detail::sum64_of(std::span(bytes).first(i)) != sum);
  }
  auto swapped = bytes;
  std::swap_ranges(swapped.begin(), swapped.begin() + 64, swapped.begin() + 64);
  REQUIRE(detail::sum64_of(swapped) != sum);
  const std::vector<std::byte> zeros(128);
  REQUIRE(detail::sum64_of(std::span(zeros).first(64)) != detail::sum64_of(zeros));
  REQUIRE(detail::sum64_of({}) != detail::sum64_of(std::span(zeros).first(1)));
}

TEST_CASE("A checksum of 64 bits is the same wherever the bytes are cut", "[data][sum64]") {
  const std::vector<std::byte> bytes = two_hundred_bytes();
  for (std::size_t a = 0; a <= bytes.size(); ++a) {
    for (const std::size_t b : {a, std::min<std::size_t>(a + 1, 200), std::min<std::size_t>(a + 70, 200)}) {
      detail::Sum64 sum;
      sum.add(std::span(bytes).first(a));
      sum.add(std::span(bytes).subspan(a, b - a));
      sum.add(std::span(bytes).subspan(b));
      REQUIRE(sum.value() == detail::sum64_of(bytes));
    }
  }
}

// Files of models are checked with it: what it is of some bytes never changes.
TEST_CASE("A checksum of 64 bits stays what it was", "[data][sum64]") {
  CHECK(detail::hex_of(detail::sum64_of({})) == "dc2e2d1b508234f0");
  CHECK(detail::hex_of(detail::sum64_of(two_hundred_bytes())) == "9511671adc6d3e85");
}
