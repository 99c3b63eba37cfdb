// SPDX-License-Identifier: Apache-2.0
#include "attune/privacy/secure_aggregation.hpp"

#include <limits>

#include "attune/privacy/quantiser.hpp"
#include "catch.hpp"
#include "privacy/simulated_round.hpp"

using namespace attune;
using namespace attune::test;

namespace {

ErrorCode refusal(const AggregationRound& round) {
  try {
    AggregationServer{round};
  } catch (const Error& error) {
    return error.code();
  }
  FAIL("accepted");
  return {};
}

std::vector<int> everybody(std::size_t n) { return std::vector<int>(n, 5); }

}  // namespace

TEST_CASE("The server learns the exact sum of all clients", "[privacy][secure_aggregation]") {
  const std::size_t n = GENERATE(3u, 4u, 5u, 10u, 33u);
  for (const unsigned bits : {32u, 64u}) {
    SimulatedRound round(round_of(n, 17, bits));
    CHECK(round.outcome(everybody(n)) == "");
    CHECK(round.server.contributors().size() == n);
    CHECK(round.server.stage() == AggregationStage::done);
  }
}

TEST_CASE("The largest sums of either sign do not overflow", "[privacy][secure_aggregation]") {
  for (const unsigned bits : {32u, 64u}) {
    AggregationRound setting = round_of(5, 2, bits);
    const auto most =
        bits == 32 ? std::int64_t{std::numeric_limits<std::int32_t>::max()} : std::numeric_limits<std::int64_t>::max();
    setting.max_magnitude = most / 5;
    SimulatedRound round(setting);
    for (auto& values : round.values) values = {setting.max_magnitude, -setting.max_magnitude};
    CHECK(round.outcome(everybody(5)) == "");
    CHECK(round.server.sum().front() == most / 5 * 5);
    setting.max_magnitude += 1;
    CHECK(refusal(setting) == ErrorCode::invalid_config);
  }
}

TEST_CASE("Whatever three or four clients do to drop out the sum is exact or there is none",
          "[privacy][secure_aggregation]") {
  for (const auto& [n, threshold] : {std::pair<std::size_t, std::size_t>{3, 2}, {3, 3}, {4, 3}}) {
    const std::uint64_t patterns = n == 3 ? 216 : 1'296;
    for (std::uint64_t number = 0; number < patterns; ++number) {
      SimulatedRound round(round_of(n, 3, 32, threshold));
      INFO(n << " clients, pattern " << number);
      REQUIRE(round.outcome(dropouts(n, number)) == "");
    }
  }
}

TEST_CASE("Random dropouts of many clients leave the sum of those that sent an input",
          "[privacy][secure_aggregation]") {
  std::mt19937 random(7);
  ThreadPool pool(2);
  for (const std::size_t n : {5u, 6u, 7u, 12u, 25u}) {
    for (int trial = 0; trial < 12; ++trial) {
      SimulatedRound round(round_of(n, 9, trial % 2 == 0 ? 32 : 64), &pool);
      REQUIRE(round.outcome(random_dropouts(n, trial % 3 == 0 ? 0.6 : 0.85, random)) == "");
    }
  }
}

TEST_CASE("A hundred clients of which a third drops out at any point", "[privacy][secure_aggregation]") {
  SimulatedRound round(round_of(100, 5'000));
  std::vector<int> sends = everybody(100);
  for (std::size_t c = 0; c < 33; ++c) sends[c * 3] = static_cast<int>(c % 5);
  CHECK(round.outcome(sends) == "");
  CHECK(round.server.contributors().size() == 79);
}

TEST_CASE("Below the threshold there is no sum and late clients can still make it", "[privacy][secure_aggregation]") {
  SimulatedRound round(round_of(4, 2));
  round.play_until(AggregationStage::unmasking);
  round.server.receive(round.answer(0));
  round.server.receive(round.answer(3));
  CHECK(round.server.received() == 2);
  CHECK(round.server.expected() == 4);
  for (int attempt = 0; attempt < 2; ++attempt) {
    try {
      round.server.advance();
      FAIL("two of four were enough");
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::limit_exceeded);
    }
    CHECK_THROWS_AS(round.server.sum(), Error);
  }
  round.server.receive(round.answer(1));
  round.server.advance();
  CHECK(round.server.sum().size() == 2);
}

TEST_CASE("Quantised updates come back as their weighted mean", "[privacy][secure_aggregation]") {
  const Quantiser quantiser({.clip = 1, .value_bits = 16, .max_weight = 50, .max_clients = 10});
  AggregationRound setting = round_of(10, 4);
  setting.max_magnitude = quantiser.max_magnitude();
  SimulatedRound round(setting);
  double weights = 0, expected[3] = {};
  for (std::size_t c = 0; c < 10; ++c) {
    const std::vector<float> update{0.1f * static_cast<float>(c) - 0.5f, 0.25f, c == 3 ? -1.0f : 1.0f};
    const std::uint64_t weight = 1 + 5 * c;
    round.values[c] = quantiser.encode(update, weight, c);
    weights += static_cast<double>(weight);
    for (std::size_t i = 0; i < 3; ++i) expected[i] += static_cast<double>(weight) * update[i];
  }
  REQUIRE(round.outcome(everybody(10)) == "");
  const std::vector<float> mean = quantiser.mean(round.server.sum());
  for (std::size_t i = 0; i < 3; ++i) CHECK(mean[i] == Approx(expected[i] / weights).margin(quantiser.step()));
}

TEST_CASE("A round outside its bounds is refused by server and clients", "[privacy][secure_aggregation]") {
  const AggregationRound good = round_of(4, 2);
  const auto changed = [&](auto change) {
    AggregationRound round = good;
    change(round);
    CHECK_THROWS_AS(AggregationClient(round, 0, identities(4)[0]), Error);
    return refusal(round);
  };
  CHECK(changed([](auto& r) { r.clients.resize(2); }) == ErrorCode::invalid_config);
  CHECK(changed([](auto& r) { r.clients.resize(AggregationRound::kMostClients + 1); }) == ErrorCode::invalid_config);
  CHECK(changed([](auto& r) { r.clients[1] = r.clients[0]; }) == ErrorCode::invalid_config);
  CHECK(changed([](auto& r) { r.num_values = 0; }) == ErrorCode::invalid_config);
  CHECK(changed([](auto& r) { r.num_values = AggregationRound::kMostValues + 1; }) == ErrorCode::invalid_config);
  CHECK(changed([](auto& r) { r.word_bits = 16; }) == ErrorCode::invalid_config);
  CHECK(changed([](auto& r) { r.threshold = 2; }) == ErrorCode::invalid_config);
  CHECK(changed([](auto& r) { r.threshold = 5; }) == ErrorCode::invalid_config);
  CHECK(changed([](auto& r) { r.max_magnitude = 0; }) == ErrorCode::invalid_config);
  CHECK(changed([](auto& r) { r.max_magnitude = std::int64_t{1} << 30; }) == ErrorCode::invalid_config);
  CHECK(good.least_clients() == 3);
}

TEST_CASE("A client has to be the one it says and sends only what it may", "[privacy][secure_aggregation]") {
  const AggregationRound setting = round_of(3, 2);
  CHECK_THROWS_AS(AggregationClient(setting, 1, identities(3)[0]), Error);
  CHECK_THROWS_AS(AggregationClient(setting, 3, identities(3)[0]), Error);

  SimulatedRound round(setting);
  round.play_until(AggregationStage::inputs);
  const Message shares = round.server.message_for(0);
  AggregationClient& client = round.clients[0];
  for (const std::vector<std::int64_t>& bad : {std::vector<std::int64_t>{1},
                                               {1, 2, 3},
                                               {0, 100'001},
                                               {-100'001, 0},
                                               {std::numeric_limits<std::int64_t>::min(), 0}}) {
    CHECK_THROWS_AS(client.mask(shares, bad), Error);
  }
  CHECK_NOTHROW(client.mask(shares, std::vector<std::int64_t>{100'000, -100'000}));
  CHECK_THROWS_AS(client.mask(shares, std::vector<std::int64_t>{1, 2}), Error);
}

TEST_CASE("Calls out of order are refused and change nothing", "[privacy][secure_aggregation]") {
  SimulatedRound round(round_of(3, 2));
  AggregationClient& client = round.clients[0];
  const std::vector<std::int64_t> values{1, 2};
  CHECK_THROWS_AS(client.share({}), Error);
  CHECK_THROWS_AS(client.mask({}, values), Error);
  CHECK_THROWS_AS(client.confirm({}), Error);
  CHECK_THROWS_AS(client.unmask({}), Error);
  CHECK_THROWS_AS(round.server.sum(), Error);
  CHECK_THROWS_AS(round.server.contributors(), Error);
  CHECK_THROWS_AS(round.server.message_for(3), Error);
  CHECK(round.server.message_for(0).empty());
  CHECK(round.outcome(everybody(3)) == "");
  CHECK_THROWS_AS(client.advertise(), Error);
  CHECK_THROWS_AS(round.server.advance(), Error);
  CHECK_THROWS_AS(round.server.receive({}), Error);
}

TEST_CASE("Masked inputs of the same values share nothing between rounds", "[privacy][secure_aggregation]") {
  std::vector<Message> inputs;
  for (int trial = 0; trial < 2; ++trial) {
    SimulatedRound round(round_of(3, 1'000));
    for (auto& values : round.values) values.assign(1'000, 0);
    round.play_until(AggregationStage::inputs);
    inputs.push_back(round.answer(0));
  }
  std::size_t same = 0, zeros = 0;
  for (std::size_t i = 60; i < inputs[0].size(); ++i) {
    same += inputs[0][i] == inputs[1][i];
    zeros += inputs[0][i] == std::byte{0};
  }
  CHECK(same < 100);  // 16 expected
  CHECK(zeros < 100);
}
