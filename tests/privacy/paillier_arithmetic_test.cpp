// SPDX-License-Identifier: Apache-2.0
#include "privacy/paillier_arithmetic.hpp"

#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "catch.hpp"
#include "privacy/packed_sums.hpp"

using namespace attune::detail;

namespace {

BigNumber number_in(const nlohmann::json& fields, const char* name) {
  const auto& field = fields.at(name);
  return BigNumber((field.is_string() ? field.get<std::string>() : std::to_string(field.get<std::uint64_t>())).c_str());
}

BigNumber power(const PaillierModulus& modulus, const BigNumber& ciphertext, const BigNumber& exponent) {
  BigNumber result;
  mpz_powm(result.get(), ciphertext.get(), exponent.get(), modulus.n_squared.get());
  return result;
}

std::vector<std::uint64_t> offset(const std::vector<std::int64_t>& values, std::int64_t by) {
  std::vector<std::uint64_t> slots;
  for (const std::int64_t value : values) slots.push_back(static_cast<std::uint64_t>(value + by));
  return slots;
}

}  // namespace

TEST_CASE("Ciphertexts, sums and products are those of another implementation", "[privacy][paillier]") {
  const auto golden = nlohmann::json::parse(std::ifstream(std::string(ATTUNE_TEST_DIR) + "/golden/paillier.json"));
  REQUIRE(golden.at("cases").size() == 12);
  for (const auto& fields : golden.at("cases")) {
    const PaillierPrimes primes(number_in(fields, "p"), number_in(fields, "q"));
    const PaillierModulus& modulus = primes.modulus();
    CHECK(modulus.n == number_in(fields, "n"));
    const BigNumber c1 = modulus.encrypt(number_in(fields, "m1"), number_in(fields, "r1"));
    const BigNumber c2 = modulus.encrypt(number_in(fields, "m2"), number_in(fields, "r2"));
    CHECK(c1 == number_in(fields, "c1"));
    CHECK(c2 == number_in(fields, "c2"));
    CHECK(primes.decrypt(c1) == number_in(fields, "m1"));
    CHECK(primes.decrypt(c2) == number_in(fields, "m2"));
    CHECK(modulus.add(c1, c2) == number_in(fields, "c1_times_c2"));
    CHECK(primes.decrypt(modulus.add(c1, c2)) == number_in(fields, "sum"));
    const BigNumber scaled = power(modulus, c1, number_in(fields, "k"));
    CHECK(scaled == number_in(fields, "c1_pow_k"));
    CHECK(primes.decrypt(scaled) == number_in(fields, "product"));
  }
}

TEST_CASE("Short keys give published ciphertexts", "[privacy][paillier]") {
  const PaillierPrimes small(BigNumber(293), BigNumber(433));
  const PaillierModulus& n = small.modulus();
  const BigNumber c = n.encrypt(BigNumber(10100), BigNumber(74384));
  CHECK(c == BigNumber("935906717"));
  CHECK(n.encrypt(BigNumber(1), BigNumber(1)) == BigNumber(126870));
  const BigNumber minus_one = n.encrypt(n.n - BigNumber(1), BigNumber(12345));
  CHECK(minus_one == BigNumber("4656578175"));
  CHECK(n.add(c, minus_one) == BigNumber("3757969669"));
  CHECK(small.decrypt(n.add(c, minus_one)) == BigNumber(10099));
  CHECK(small.decrypt(BigNumber("12839807919")) == BigNumber(70700));

  const PaillierPrimes longer(BigNumber("9223372036854775837"), BigNumber("13835058055282163729"));
  const BigNumber first =
      longer.modulus().encrypt(BigNumber("123456789012345678901234567890"), BigNumber("987654321987654321"));
  CHECK(first == BigNumber("8652673672972432460707271025875345364323343170063975764521515065561510234259"));
  const BigNumber second =
      longer.modulus().encrypt(longer.modulus().n - BigNumber(42), BigNumber("31415926535897932384626433"));
  CHECK(second == BigNumber("10683316552037670145063290316525775811197624604776245690679185251700321502456"));
  const BigNumber product = longer.modulus().add(first, second);
  CHECK(product == BigNumber("6241453660446290766416888530419856594046117254073815624631864734771994623701"));
  CHECK(longer.decrypt(product) == BigNumber("123456789012345678901234567848"));
  CHECK(power(longer.modulus(), first, BigNumber(1000003)) ==
        BigNumber("14731879877053237132806875501047069027637010004796272016710305668863750036904"));
}

TEST_CASE("Slots lie in a plaintext as published and add without touching each other", "[privacy][paillier]") {
  constexpr std::int64_t kOffset = 1 << 24;
  const BigNumber a = packed(offset({-3, 0, 7}, kOffset), 32), b = packed(offset({5, -1, -9}, kOffset), 32);
  CHECK(a == BigNumber("309484954553170441650831367"));
  CHECK(b == BigNumber("309485102127123027032276983"));
  std::vector<std::uint64_t> slots(3);
  REQUIRE(unpack(a + b, slots, 32));
  CHECK(slots == offset({2, -1, -2}, 2 * kOffset));
  slots.resize(2);
  CHECK_FALSE(unpack(a + b, slots, 32));
}

TEST_CASE("Random packed sums are exact", "[privacy][paillier]") {
  prepare_sodium();
  CHECK(attune::test::wrong_packed_sums(1'024, 60, 1) == 0);
}
