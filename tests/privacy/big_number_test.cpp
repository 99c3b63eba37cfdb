// SPDX-License-Identifier: Apache-2.0
#include "privacy/big_number.hpp"

#include <sodium.h>

#include <algorithm>
#include <array>

#include "catch.hpp"
#include "privacy/secrets.hpp"

using namespace attune::detail;

TEST_CASE("Bytes of a number are little-endian and come back", "[privacy][big_number]") {
  const BigNumber number("4660");  // 0x1234
  std::array<std::byte, 5> bytes{};
  bytes.fill(std::byte{0xFF});
  number.write(bytes);
  CHECK(bytes == std::array{std::byte{0x34}, std::byte{0x12}, std::byte{0}, std::byte{0}, std::byte{0}});
  CHECK(BigNumber(std::span<const std::byte>(bytes)) == number);
  BigNumber().write(bytes);
  CHECK(BigNumber(std::span<const std::byte>(bytes)).is_zero());
}

TEST_CASE("The limbs of a number are wiped when it goes", "[privacy][big_number]") {
  const BigNumber secret("123456789012345678901234567890123456789");
  // Memory that GMP does not own, so that it can be looked at afterwards.
  static std::size_t wiped = 0, freed = 0;
  void* (*allocate)(std::size_t);
  void* (*reallocate)(void*, std::size_t, std::size_t);
  static void (*release)(void*, std::size_t);
  mp_get_memory_functions(&allocate, &reallocate, &release);
  mp_set_memory_functions(allocate, reallocate, [](void* memory, std::size_t size) {
    const std::span bytes(static_cast<const std::byte*>(memory), size);
    ++freed;
    wiped += std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; });
    release(memory, size);
  });
  { const BigNumber copy(secret); }
  mp_set_memory_functions(allocate, reallocate, release);
  CHECK(freed == 1);
  CHECK(wiped == freed);
}

TEST_CASE("Random numbers stay below their limit and reach all of it", "[privacy][big_number]") {
  prepare_sodium();
  std::array<int, 11> counts{};
  for (int i = 0; i < 2'000; ++i) {
    const BigNumber number = random_below(BigNumber(11));
    REQUIRE((!number.is_zero() && number < BigNumber(11)));
    ++counts[mpz_get_ui(number.get())];
  }
  for (std::size_t value = 1; value < counts.size(); ++value) CHECK((counts[value] > 120 && counts[value] < 280));
}

TEST_CASE("Random primes have their length, and a product of two has twice that", "[privacy][big_number]") {
  prepare_sodium();
  for (const unsigned bits : {64u, 256u}) {
    const BigNumber p = random_prime(bits), q = random_prime(bits);
    CHECK(p.bits() == bits);
    CHECK((p * q).bits() == 2 * bits);
    CHECK(mpz_probab_prime_p(p.get(), 30) != 0);
    CHECK_FALSE(p == q);
  }
}
