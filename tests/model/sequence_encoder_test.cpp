// SPDX-License-Identifier: Apache-2.0
#include "attune/model/sequence_encoder.hpp"

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include "attune/error.hpp"
#include "attune/model/transformer_encoder.hpp"
#include "catch.hpp"
#include "random_encoder.hpp"

using namespace attune;
using namespace attune::test;

namespace {

constexpr std::size_t kItems = 40;

EncoderConfig small_config() {
  EncoderConfig config;
  config.embedding_dim = 24;
  config.num_blocks = 3;
  config.num_heads = 3;
  config.inner_dim = 40;
  config.max_sequence_length = 20;
  config.layer_norm_epsilon = 1e-6;
  return config;
}

}  // namespace

TEST_CASE("An encoder is made by the name of its block", "[model][sequence_encoder]") {
  EncoderConfig config = small_config();
  CHECK(dynamic_cast<SasrecEncoder*>(make_encoder(config, 3).get()) != nullptr);
  config.block = BlockKind::hstu;
  CHECK(dynamic_cast<HstuEncoder*>(make_encoder(config, 3).get()) != nullptr);
  config.block = BlockKind::custom;
  CHECK_THROWS_AS(make_encoder(config, 3), Error);
}

TEST_CASE("An encoder says in its configuration which block it has", "[model][sequence_encoder]") {
  CHECK(HstuEncoder(small_config(), 3).config().block == BlockKind::hstu);
  CHECK(SasrecEncoder(small_config(), 3).config().block == BlockKind::sasrec);
}

TEST_CASE("An encoder with a mask token answers from a hidden item behind the newest events",
          "[model][sequence_encoder]") {
  EncoderConfig config = small_config();
  config.mask = AttentionMask::bidirectional;
  config.mask_token = true;
  config.hop = 1;
  const auto encoder = random_encoder<float>(config, kItems);
  const std::vector<ItemHandle> items = random_items(35, kItems, 5);
  Workspace workspace;
  std::vector<float> vector(encoder.dim());
  auto state = encoder.make_state();
  for (const std::size_t n : {1u, 2u, 19u, 20u, 35u}) {
    const std::size_t start = n - std::min<std::size_t>(n, config.max_sequence_length - 1);
    std::vector<ItemHandle> sequence(items.begin() + static_cast<std::ptrdiff_t>(start),
                                     items.begin() + static_cast<std::ptrdiff_t>(n));
    sequence.push_back(kNoHandle);
    SequenceBatch batch;
    batch.add_sequence({sequence});
    std::vector<float> hidden(batch.num_tokens() * encoder.dim());
    Buffer<float> tape;
    encoder.forward(hidden, tape, batch);
    const auto trained = std::span<const float>(hidden).last(encoder.dim());
    encoder.encode(vector, {std::span(items).first(n)}, {}, workspace);
    CHECK(largest_difference<float>(vector, trained) <= 1e-5);
    encoder.advance(state, {std::span(items).first(n)}, workspace);
    encoder.user_vector(vector, state, {}, workspace);
    CHECK(largest_difference<float>(vector, trained) <= 1e-5);
  }
}

TEST_CASE("Initialisation gives the same bits for the same seed, others for another", "[model][sequence_encoder]") {
  SasrecEncoder first(small_config(), kItems), second(small_config(), kItems), other(small_config(), kItems);
  first.initialize(7);
  second.initialize(7);
  other.initialize(8);
  CHECK(std::ranges::equal(first.weights(), second.weights()));
  CHECK(std::ranges::equal(first.items().chunk(0), second.items().chunk(0)));
  CHECK_FALSE(std::ranges::equal(first.weights(), other.weights()));
  CHECK_FALSE(std::ranges::equal(first.items().chunk(0), other.items().chunk(0)));
}

TEST_CASE("What is drawn for one purpose says nothing about another", "[model][sequence_encoder]") {
  using detail::Purpose;
  std::set<std::uint64_t> streams;
  for (std::uint64_t n = 0; n < 100; ++n) {
    for (const Purpose purpose : {Purpose::initial_values, Purpose::shuffle, Purpose::dropout, Purpose::bootstrap}) {
      CHECK(streams.insert(detail::stream_of(7, purpose, n)).second);
    }
  }
  SasrecEncoder encoder(small_config(), kItems);
  encoder.initialize(7);
  const auto initial = [](std::uint64_t parameter) {
    return static_cast<float>(
        0.02 * detail::truncated_normal(detail::mix(detail::stream_of(7, Purpose::initial_values, parameter), 0)));
  };
  CHECK(encoder.weights()[0] == initial(0));
  CHECK(encoder.items().row(0)[0] == initial(detail::kItemStream));
}

TEST_CASE("Initialisation draws matrices and rows from the cut normal, sets norms to one and biases to zero",
          "[model][sequence_encoder]") {
  EncoderConfig config;
  config.embedding_norm = true;
  SasrecEncoder encoder(config, 2000);
  std::ranges::fill(encoder.weights(), 5.0f);
  encoder.initialize(1);
  const auto check_cut_normal = [](std::span<const float> values) {
    double sum = 0.0, squares = 0.0;
    for (const float value : values) {
      REQUIRE(std::abs(value) <= 0.04f);
      sum += static_cast<double>(value);
      squares += static_cast<double>(value) * static_cast<double>(value);
    }
    const double n = static_cast<double>(values.size());
    CHECK(std::abs(sum / n) <= 0.001);
    CHECK(std::sqrt(squares / n) == Approx(0.02 * 0.8796).epsilon(0.03));  // deviation of the normal cut at two
  };
  for (const Parameter& parameter : encoder.parameters().list()) {
    const std::span<const float> values = encoder.weights().subspan(parameter.offset, parameter.size);
    const bool matrix = parameter.shape.size() == 2;
    CHECK(parameter.decay == matrix);
    if (matrix) {
      check_cut_normal(values);
    } else {
      const bool norm_scale = parameter.name.ends_with("norm.weight");
      CHECK(std::ranges::all_of(values, [&](float value) { return value == (norm_scale ? 1.0f : 0.0f); }));
    }
  }
  check_cut_normal(encoder.items().chunk(0));
}

namespace {

// How <direction, user vector> changes when the row of each event grows by a small share of itself.
template <template <class> class Block>
void check_attributions(const EncoderConfig& config, bool timed) {
  auto encoder = random_encoder<double, Block>(config, kItems);
  std::vector<ItemHandle> items(config.max_sequence_length + 6);
  std::vector<Timestamp> times(items.size());
  for (std::size_t i = 0; i < items.size(); ++i) {  // each item once
    items[i] = static_cast<ItemHandle>((7 * i) % kItems);
    times[i] = static_cast<Timestamp>(1'000'000 * i * i);
  }
  const HistoryView history{items, timed ? std::span<const Timestamp>(times) : std::span<const Timestamp>{}};
  const Context context{.now = timed ? times.back() + 50'000'000 : kNoTime};
  BasicWorkspace<double> workspace;
  std::vector<double> direction(encoder.dim()), vector(encoder.dim()), attributions(items.size(), 9.0);
  for (std::size_t d = 0; d < direction.size(); ++d) direction[d] = detail::truncated_normal(detail::mix(3, d));
  encoder.attributions(attributions, history, context, direction, workspace);

  const auto product = [&] {
    encoder.encode(vector, history, context, workspace);
    double sum = 0;
    for (std::size_t d = 0; d < vector.size(); ++d) sum += direction[d] * vector[d];
    return sum;
  };
  constexpr double kStep = 1e-5;
  for (std::size_t i = 0; i < items.size(); ++i) {
    const auto row = encoder.items().row(items[i]);
    const std::vector<double> before(row.begin(), row.end());
    double change = 0;
    for (const double sign : {1.0, -1.0}) {
      for (std::size_t d = 0; d < row.size(); ++d) row[d] = before[d] * (1 + sign * kStep);
      change += sign * product();
    }
    std::copy(before.begin(), before.end(), row.begin());
    REQUIRE(attributions[i] == Approx(change / (2 * kStep)).margin(1e-5));
  }
}

}  // namespace

TEST_CASE("Attributions are the rows times the gradient, 0 before the window", "[model][sequence_encoder]") {
  EncoderConfig config = small_config();
  check_attributions<SasrecBlock>(config, false);
  config.hop = 1;
  config.scale_items = true;
  check_attributions<SasrecBlock>(config, false);
  EncoderConfig timed = small_config();
  timed.time_buckets = 64;
  timed.request_time = GENERATE(true, false);
  check_attributions<HstuBlock>(timed, true);
  check_attributions<HstuBlock>(timed, false);
  EncoderConfig masked = small_config();
  masked.mask = AttentionMask::bidirectional;
  masked.mask_token = true;
  masked.hop = 1;
  check_attributions<SasrecBlock>(masked, false);
}
