// SPDX-License-Identifier: Apache-2.0
#include "privacy/secrets.hpp"

#include <algorithm>
#include <new>

#include "catch.hpp"
#include "privacy/aggregation_round.hpp"
#include "privacy/hexadecimal.hpp"

using namespace attune;
using namespace attune::detail;
using attune::test::from_hex;

namespace {

Secret secret_of(std::string_view hex) {
  return Secret(std::span<const std::byte, Secret::kSize>(from_hex(hex).data(), Secret::kSize));
}

Bytes32 public_of(std::string_view hex) {
  Bytes32 key;
  std::ranges::copy(from_hex(hex), key.begin());
  return key;
}

constexpr const char* kShared = "4a5d9d5ba4ce2de1728e3bf480350f25e07e21c947d19e3376f09b3c1e161742";

}  // namespace

TEST_CASE("Two parties agree as RFC 7748 says", "[privacy][secrets]") {
  const Secret a = secret_of("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
  const Secret b = secret_of("5dab087e624a8a4b79e17f8b83800ee66f3bb1292618b6fd1c2f8b27ff88e0eb");
  const Bytes32 public_a = public_of("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
  const Bytes32 public_b = public_of("de9edb7d7b7dc1b4d35b61c2ece435373f8343c85b78674dadfc7e146f882b4f");
  CHECK(std::ranges::equal(agree(a, public_b)->bytes(), from_hex(kShared)));
  CHECK(std::ranges::equal(agree(b, public_a)->bytes(), from_hex(kShared)));
}

TEST_CASE("Nobody agrees with a key of low order", "[privacy][secrets]") {
  const Secret a = secret_of("77076d0a7318a57d3c16c17251b26645df4c2f87ebc0992ab177fba51db92c2a");
  for (const char* low : {"0000000000000000000000000000000000000000000000000000000000000000",
                          "0100000000000000000000000000000000000000000000000000000000000000",
                          "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                          "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                          "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
                          "e0eb7a7c3b41b8ae1656e3faf19fc46ada098deb9c32b1fd866205165f49b800",
                          "5f9c95bca3508c24b1d0b1559c83ef5b04445cc4581c8e86d8224eddd09f1157"}) {
    CHECK_FALSE(agree(a, public_of(low)));
  }
}

TEST_CASE("A keyed hash is that of BLAKE2b", "[privacy][secrets]") {
  CHECK(Hasher(from_hex(kShared)).add("recsecagg/v1/pairwise").hash() ==
        public_of("2e7986f1ad2103bee24654c259de40db1b1bebb460c3a5fef98f2372edbfaaad"));
}

TEST_CASE("A secret is wiped when it goes", "[privacy][secrets]") {
  alignas(Secret) std::byte memory[sizeof(Secret)];
  auto* const secret = new (memory) Secret(secret_of(kShared));
  REQUIRE(std::ranges::equal(memory, from_hex(kShared)));
  secret->~Secret();
  CHECK(std::ranges::all_of(memory, [](std::byte byte) { return byte == std::byte{0}; }));
}

TEST_CASE("Derived keys differ by purpose, round, direction and client", "[privacy][secrets]") {
  const Secret agreed = secret_of(kShared);
  const Bytes32 round = public_of("8520f0098930a754748b7ddcb43ef75a0dbf3a0d26381af4eba4a98eaa9b4e6a");
  Bytes32 other_round = round;
  other_round[5] ^= std::byte{1};
  std::vector<Secret> keys{channel_key(agreed, round, 1, 2),          channel_key(agreed, round, 2, 1),
                           channel_key(agreed, other_round, 1, 2),    pair_mask_seed(agreed, round, 1, 2),
                           pair_mask_seed(agreed, other_round, 1, 2), pair_mask_seed(agreed, round, 1, 3),
                           own_mask_seed(agreed, round, 1),           own_mask_seed(agreed, round, 2)};
  keys.emplace_back(commitment_to(agreed, round, 1));
  for (std::size_t i = 0; i < keys.size(); ++i) {
    for (std::size_t j = 0; j < i; ++j) CHECK_FALSE(std::ranges::equal(keys[i].bytes(), keys[j].bytes()));
  }
  CHECK(std::ranges::equal(pair_mask_seed(agreed, round, 2, 1).bytes(), keys[3].bytes()));
}
