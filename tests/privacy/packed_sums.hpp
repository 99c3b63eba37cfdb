// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <random>
#include <vector>

#include "privacy/paillier_arithmetic.hpp"
#include "privacy/secrets.hpp"

namespace attune::test {

// How many of so many random sums are not exact: of 2 to 9 plaintexts whose slots have random widths and are full to
// the last one, with slots that are as large as they may be among them.
inline std::size_t wrong_packed_sums(unsigned key_bits, std::size_t sums, std::uint64_t seed) {
  using namespace detail;
  std::mt19937_64 random(seed);
  const PaillierPrimes primes(random_prime(key_bits / 2), random_prime(key_bits / 2));
  const PaillierModulus& modulus = primes.modulus();
  std::size_t wrong = 0;
  for (std::size_t trial = 0; trial < sums; ++trial) {
    const auto slot_bits = std::uniform_int_distribution<unsigned>(8, 62)(random);
    const auto clients = std::uniform_int_distribution<std::uint64_t>(2, 9)(random);
    const std::uint64_t most = ((std::uint64_t{1} << slot_bits) - 1) / clients;
    std::vector<std::uint64_t> expected(slots_of(key_bits, slot_bits)), slots(expected.size()), found(expected.size());
    BigNumber sum;
    for (std::uint64_t client = 0; client < clients; ++client) {
      for (std::size_t i = 0; i < slots.size(); ++i) {
        slots[i] = random() % 4 == 0 ? most : std::uniform_int_distribution<std::uint64_t>(0, most)(random);
        expected[i] += slots[i];
      }
      const BigNumber ciphertext = modulus.encrypt(packed(slots, slot_bits), random_below(modulus.n));
      sum = client == 0 ? ciphertext : modulus.add(sum, ciphertext);
    }
    wrong += !unpack(primes.decrypt(sum), found, slot_bits) || found != expected;
  }
  return wrong;
}

}  // namespace attune::test
