// SPDX-License-Identifier: Apache-2.0
#include "attune/privacy/paillier.hpp"

#include <algorithm>
#include <limits>
#include <random>

#include "attune/error.hpp"
#include "attune/privacy/quantiser.hpp"
#include "catch.hpp"
#include "data/little_endian.hpp"
#include "privacy/paillier_messages.hpp"

using namespace attune;
using namespace attune::detail;

namespace {

using Message = std::vector<std::byte>;
using Values = std::vector<std::int64_t>;

// Keys take a while to make.
const PaillierPrivateKey& private_key() {
  static const PaillierPrivateKey key = PaillierPrivateKey::generate(2'048);
  return key;
}

template <class Call>
bool refused(Call call, ErrorCode code = ErrorCode::invalid_data) {
  try {
    call();
  } catch (const Error& error) {
    return error.code() == code;
  }
  return false;
}

PaillierRound round_of(std::size_t num_values) {
  return {.id = {std::byte{7}}, .num_values = num_values, .max_magnitude = 1'000'000, .max_clients = 20};
}

Values random_values(const PaillierRound& round, std::mt19937_64& random) {
  std::uniform_int_distribution<std::int64_t> any(-round.max_magnitude, round.max_magnitude);
  Values values(round.num_values);
  for (std::int64_t& value : values) value = any(random);
  return values;
}

}  // namespace

TEST_CASE("The key holder learns the exact sum, for any number of values and threads", "[privacy][paillier]") {
  std::mt19937_64 random(1);
  ThreadPool pool(3);
  for (const std::size_t num_values : {1u, 61u, 62u, 63u, 200u}) {
    const PaillierRound round = round_of(num_values);
    const PaillierClient client(private_key().public_key(), round);
    PaillierAggregator aggregator(private_key().public_key(), round);
    Values expected(num_values);
    for (std::size_t c = 0; c < 3; ++c) {
      const Values values = random_values(round, random);
      for (std::size_t i = 0; i < num_values; ++i) expected[i] += values[i];
      aggregator.add(client.encrypt(values, c == 1 ? &pool : nullptr));
    }
    const auto sum = private_key().decrypt(round, aggregator.sum(), num_values % 2 == 0 ? &pool : nullptr);
    CHECK(sum.clients == 3);
    CHECK(sum.values == expected);
  }
}

TEST_CASE("The largest sums of either sign fit their slots", "[privacy][paillier]") {
  for (const unsigned slot_bits : {8u, 32u, 62u}) {
    PaillierRound round{.num_values = 2, .max_clients = 5, .slot_bits = slot_bits};
    round.max_magnitude = static_cast<std::int64_t>(((std::uint64_t{1} << slot_bits) / 5 - 1) / 2);
    PaillierAggregator aggregator(private_key().public_key(), round);
    const PaillierClient client(private_key().public_key(), round);
    for (int c = 0; c < 5; ++c) aggregator.add(client.encrypt(Values{round.max_magnitude, -round.max_magnitude}));
    const auto sum = private_key().decrypt(round, aggregator.sum());
    CHECK(sum.values == Values{5 * round.max_magnitude, -5 * round.max_magnitude});
    CHECK(refused([&] { aggregator.add(client.encrypt(Values{0, 0})); }, ErrorCode::limit_exceeded));
    round.max_magnitude += 1;
    CHECK(refused([&] { PaillierClient(private_key().public_key(), round); }, ErrorCode::invalid_config));
  }
}

TEST_CASE("Quantised statistics come back as their mean", "[privacy][paillier]") {
  const Quantiser quantiser({.clip = 4, .value_bits = 16, .max_weight = 10, .max_clients = 20});
  PaillierRound round = round_of(3);
  round.max_magnitude = quantiser.max_magnitude();
  const PaillierClient client(private_key().public_key(), round);
  PaillierAggregator aggregator(private_key().public_key(), round);
  const std::vector<float> one{1.5f, -2.0f}, two{0.5f, 4.0f};
  aggregator.add(client.encrypt(quantiser.encode(one, 3, 1)));
  aggregator.add(client.encrypt(quantiser.encode(two, 1, 2)));
  const auto mean = quantiser.mean(private_key().decrypt(round, aggregator.sum()).values);
  CHECK(mean[0] == Approx(1.25).margin(quantiser.step()));
  CHECK(mean[1] == Approx(-0.5).margin(quantiser.step()));
}

TEST_CASE("The same values never have the same ciphertext", "[privacy][paillier]") {
  const PaillierRound round = round_of(5);
  const PaillierClient client(private_key().public_key(), round);
  const Message one = client.encrypt(Values(5)), two = client.encrypt(Values(5));
  REQUIRE(one.size() == two.size());
  std::size_t same = 0;
  for (std::size_t i = 40; i < one.size(); ++i) same += one[i] == two[i];
  CHECK(same < 30);  // 2 expected
}

TEST_CASE("Keys come back from their bytes", "[privacy][paillier]") {
  const PaillierPublicKey& key = private_key().public_key();
  const PaillierPublicKey again = PaillierPublicKey::from_bytes(key.to_bytes());
  CHECK(again.bits() == 2'048);
  CHECK(again.fingerprint() == key.fingerprint());
  CHECK(again.to_bytes() == key.to_bytes());
  const PaillierPrivateKey holder = PaillierPrivateKey::from_bytes(private_key().to_bytes());
  CHECK(holder.public_key().fingerprint() == key.fingerprint());
  const PaillierRound round = round_of(2);
  PaillierAggregator aggregator(again, round);
  aggregator.add(PaillierClient(again, round).encrypt(Values{3, -4}));
  CHECK(holder.decrypt(round, aggregator.sum()).values == Values{3, -4});
}

TEST_CASE("Short, even and damaged keys are refused", "[privacy][paillier]") {
  CHECK(refused([] { PaillierPrivateKey::generate(1'024); }, ErrorCode::invalid_argument));
  CHECK(refused([] { PaillierPrivateKey::generate(2'050); }, ErrorCode::invalid_argument));
  CHECK(refused([] { PaillierPrivateKey::generate(8'208); }, ErrorCode::invalid_argument));
  const Message good = private_key().public_key().to_bytes(), secret = private_key().to_bytes();
  for (std::size_t size = 0; size < good.size(); ++size) {
    if (!refused([&] { PaillierPublicKey::from_bytes(std::span(good).first(size)); })) FAIL("cut to " << size);
    if (!refused([&] { PaillierPrivateKey::from_bytes(std::span(secret).first(size)); })) FAIL("cut to " << size);
  }
  const auto changed = [](Message message, std::size_t at, unsigned char bits) {
    message[at] ^= std::byte{bits};
    return message;
  };
  const auto public_refused = [&](const Message& bytes) {
    return refused([&] { PaillierPublicKey::from_bytes(bytes); });
  };
  const auto private_refused = [&](const Message& bytes) {
    return refused([&] { PaillierPrivateKey::from_bytes(bytes); });
  };
  CHECK(public_refused(secret));
  CHECK(private_refused(good));
  CHECK(public_refused(changed(good, 12, 1)));                  // even
  CHECK(public_refused(changed(good, good.size() - 1, 0x80)));  // one bit short
  CHECK(public_refused(changed(good, 9, 0x04)));                // 1,024 bits
  CHECK(private_refused(changed(secret, 20, 4)));               // no prime
  CHECK(private_refused(changed(secret, secret.size() - 9, 4)));
  for (const std::size_t at : {0u, 5u, 6u, 8u, 11u}) {
    CHECK(public_refused(changed(good, at, 0x20)));
    CHECK(private_refused(changed(secret, at, 0x20)));
  }
  CHECK(refused([&] { PaillierPublicKey::from_bytes(changed(good, 4, 2)); }, ErrorCode::unsupported_version));
  CHECK(refused([&] { PaillierPrivateKey::from_bytes(changed(secret, 4, 2)); }, ErrorCode::unsupported_version));
  Message twice = secret;  // p = q
  std::copy_n(secret.begin() + 12, 128, twice.begin() + 140);
  CHECK(private_refused(twice));
}

TEST_CASE("Messages that are cut, changed, foreign or repeated are refused and change nothing", "[privacy][paillier]") {
  const PaillierRound round = round_of(70);
  const PaillierPublicKey& key = private_key().public_key();
  const PaillierClient client(key, round);
  PaillierAggregator aggregator(key, round);
  CHECK(refused([&] { aggregator.sum(); }, ErrorCode::invalid_argument));
  const Message message = client.encrypt(Values(70, 5));
  const auto add_refused = [&](const Message& bytes) { return refused([&] { aggregator.add(bytes); }); };
  for (std::size_t size = 0; size < message.size(); size += 13) {
    if (!add_refused(Message(message.begin(), message.begin() + static_cast<std::ptrdiff_t>(size))))
      FAIL("cut to " << size);
  }
  for (std::size_t at = 0; at < 40; ++at) {
    Message changed = message;
    changed[at] ^= std::byte{0x20};
    const ErrorCode code = at == 4 ? ErrorCode::unsupported_version : ErrorCode::invalid_data;
    CHECK(refused([&] { aggregator.add(changed); }, code));
  }
  Message longer = message;
  longer.resize(longer.size() + 1);
  CHECK(add_refused(longer));
  CHECK(add_refused(key.to_bytes()));

  PaillierRound other = round;
  other.id[3] = std::byte{1};
  CHECK(add_refused(PaillierClient(key, other).encrypt(Values(70))));
  other = round;
  other.max_magnitude -= 1;
  CHECK(add_refused(PaillierClient(key, other).encrypt(Values(70))));
  const PaillierPrivateKey stranger = PaillierPrivateKey::generate(2'048);
  CHECK(add_refused(PaillierClient(stranger.public_key(), round).encrypt(Values(70))));
  CHECK(aggregator.clients() == 0);

  aggregator.add(message);
  CHECK(add_refused(message));
  CHECK(aggregator.clients() == 1);
  CHECK(add_refused(aggregator.sum()));
  CHECK(private_key().decrypt(round, aggregator.sum()).values == Values(70, 5));
  CHECK(refused([&] { private_key().decrypt(round, message); }));
  CHECK(refused([&] { private_key().decrypt(other, aggregator.sum()); }));
  CHECK(refused([&] { stranger.decrypt(round, aggregator.sum()); }));
}

TEST_CASE("What cannot be a ciphertext is refused", "[privacy][paillier]") {
  const PaillierRound round = round_of(70);
  PaillierAggregator aggregator(private_key().public_key(), round);
  const Message message = PaillierClient(private_key().public_key(), round).encrypt(Values(70, 5));
  const Message key = private_key().public_key().to_bytes(), secret = private_key().to_bytes();
  const BigNumber n{std::span(key).subspan(12)}, p{std::span(secret).subspan(12, 128)};
  BigNumber all_ones;
  mpz_setbit(all_ones.get(), 4'096);
  for (const BigNumber& bad : {BigNumber(), n, p, p * p, n * n, n * n + BigNumber(1), all_ones - BigNumber(1)}) {
    Message changed = message;
    bad.write(std::span(changed).last(512));
    CHECK(refused([&] { aggregator.add(changed); }));
  }
  CHECK(aggregator.clients() == 0);
}

TEST_CASE("A client that encrypts what it may not is found in the sum", "[privacy][paillier]") {
  const PaillierRound round = round_of(3);
  const PaillierPublicKey& key = private_key().public_key();
  const Message bytes = key.to_bytes();
  const PaillierKeyParts parts(BigNumber{std::span(bytes).subspan(12)});
  const PaillierLayout layout(parts, round);
  const auto decrypted = [&](const BigNumber& plaintext) {
    const BigNumber ciphertext = parts.modulus.encrypt(plaintext, random_below(parts.modulus.n));
    return private_key().decrypt(round, layout.message_of(PaillierKind::sum, {&ciphertext, 1}));
  };
  const std::uint64_t middle = 1'000'000;
  CHECK(decrypted(packed(std::vector<std::uint64_t>{1, middle, middle, 2 * middle}, 32)).values ==
        Values{0, 0, 1'000'000});
  CHECK(refused([&] { decrypted(packed(std::vector<std::uint64_t>{1, middle, middle, 2 * middle + 1}, 32)); }));
  CHECK(refused([&] { decrypted(packed(std::vector<std::uint64_t>{0, 0, 0, 0}, 32)); }));
  CHECK(refused([&] { decrypted(packed(std::vector<std::uint64_t>{21, 0, 0, 0}, 32)); }));
  CHECK(refused([&] { decrypted(packed(std::vector<std::uint64_t>{1, 1, middle, middle, middle}, 32)); }));
  CHECK(refused([&] { decrypted(parts.modulus.n - BigNumber(1)); }));
}

TEST_CASE("Rounds and values outside their bounds are refused", "[privacy][paillier]") {
  const PaillierPublicKey& key = private_key().public_key();
  const auto round_refused = [&](auto change) {
    PaillierRound round = round_of(3);
    change(round);
    return refused([&] { PaillierClient(key, round); }, ErrorCode::invalid_config) &&
           refused([&] { PaillierAggregator(key, round); }, ErrorCode::invalid_config) &&
           refused([&] { private_key().decrypt(round, {}); }, ErrorCode::invalid_config);
  };
  CHECK(round_refused([](auto& r) { r.num_values = 0; }));
  CHECK(round_refused([](auto& r) { r.num_values = PaillierRound::kMostValues + 1; }));
  CHECK(round_refused([](auto& r) { r.max_magnitude = 0; }));
  CHECK(round_refused([](auto& r) { r.max_magnitude = std::numeric_limits<std::int64_t>::max(); }));
  CHECK(round_refused([](auto& r) { r.max_clients = 0; }));
  CHECK(round_refused([](auto& r) { r.max_clients = std::numeric_limits<std::size_t>::max(); }));
  CHECK(round_refused([](auto& r) { r.slot_bits = 7; }));
  CHECK(round_refused([](auto& r) { r.slot_bits = 63; }));
  const PaillierClient client(key, round_of(2));
  for (const Values& bad : {Values{1}, Values{1, 2, 3}, Values{0, 1'000'001}, Values{-1'000'001, 0},
                            Values{std::numeric_limits<std::int64_t>::min(), 0}}) {
    CHECK(refused([&] { client.encrypt(bad); }, ErrorCode::invalid_argument));
  }
}
