// SPDX-License-Identifier: Apache-2.0
#include "privacy/shamir.hpp"

#include <algorithm>
#include <numeric>
#include <random>

#include "catch.hpp"
#include "privacy/aggregation_round.hpp"
#include "privacy/hexadecimal.hpp"

using namespace attune::detail;
using attune::test::from_hex;

namespace {

Secret scalar(std::initializer_list<unsigned char> low_bytes) {
  Secret result;
  std::ranges::copy(low_bytes, result.data());
  return result;
}

bool equal(const Secret& a, const Secret& b) { return std::ranges::equal(a.bytes(), b.bytes()); }

// f(0) of the polynomial that has these shares.
Secret secret_of(const SharingPolynomial& polynomial, const std::vector<std::uint32_t>& points) {
  std::vector<Secret> shares;
  for (const std::uint32_t point : points) shares.push_back(polynomial.share(point));
  return combine(weights_at_zero(points), shares);
}

}  // namespace

TEST_CASE("Shares and secret are those of a known polynomial", "[privacy][shamir]") {
  Secret secret;
  for (unsigned i = 0; i < 31; ++i) secret.data()[i] = static_cast<unsigned char>(i + 1);
  const SharingPolynomial polynomial({secret, scalar({0xe8, 0x03}), scalar({7})});  // 1000 and 7
  const std::pair<std::uint32_t, const char*> expected[] = {
      {1, "f0050304"}, {2, "ed090304"}, {3, "f80d0304"}, {4, "11120304"}, {5, "38160304"}};
  for (const auto& [point, beginning] : expected) {
    Secret share = secret;
    std::ranges::copy(from_hex(beginning), reinterpret_cast<std::byte*>(share.data()));
    CHECK(equal(polynomial.share(point), share));
  }
  CHECK(equal(secret_of(polynomial, {5, 1, 3}), secret));
  CHECK_FALSE(equal(secret_of(polynomial, {5, 1}), secret));
}

TEST_CASE("Any threshold of shares gives the secret and one fewer does not", "[privacy][shamir]") {
  prepare_sodium();
  std::mt19937 random(1);
  for (const auto& [threshold, n] : {std::pair<std::size_t, std::uint32_t>{1, 3}, {2, 3}, {3, 4}, {7, 10}, {67, 100}}) {
    const Secret secret = random_seed();
    const SharingPolynomial polynomial = SharingPolynomial::random(secret, threshold);
    std::vector<std::uint32_t> points(n);
    std::iota(points.begin(), points.end(), 1u);
    for (int trial = 0; trial < 5; ++trial) {
      std::shuffle(points.begin(), points.end(), random);
      const std::vector<std::uint32_t> enough(points.begin(), points.begin() + static_cast<std::ptrdiff_t>(threshold));
      CHECK(equal(secret_of(polynomial, enough), secret));
      if (threshold == 1) continue;
      CHECK_FALSE(equal(secret_of(polynomial, {enough.begin() + 1, enough.end()}), secret));
    }
  }
}

TEST_CASE("The shares of one secret differ each time that it is shared", "[privacy][shamir]") {
  prepare_sodium();
  const Secret secret = random_seed();
  CHECK_FALSE(equal(SharingPolynomial::random(secret, 2).share(1), SharingPolynomial::random(secret, 2).share(1)));
}
