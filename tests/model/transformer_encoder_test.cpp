// SPDX-License-Identifier: Apache-2.0
#include "attune/model/transformer_encoder.hpp"

#include <algorithm>
#include <bit>
#include <set>
#include <string>
#include <vector>

#include "attune/error.hpp"
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

// Configurations that between them reach every branch of serving.
std::vector<EncoderConfig> serving_configs() {
  std::vector<EncoderConfig> configs(6, small_config());
  configs[0].hop = 1;
  configs[1].norm_placement = NormPlacement::post;
  configs[1].embedding_norm = true;
  configs[1].final_norm = false;
  configs[1].activation = Activation::relu;
  configs[2].num_heads = 1;
  configs[2].hop = 20;
  configs[2].scale_items = true;
  configs[2].activation = Activation::silu;
  configs[3].num_blocks = 1;
  configs[3].num_heads = 24;
  configs[3].norm_placement = NormPlacement::post;
  configs[4].embedding_dim = 64;
  configs[4].num_heads = 2;
  configs[4].inner_dim = 256;
  configs[4].max_sequence_length = 100;
  configs[5].max_sequence_length = 1;
  return configs;
}

template <class T>
std::vector<T> encoded(const TransformerEncoder<T, SasrecBlock>& encoder, std::span<const ItemHandle> items) {
  std::vector<T> vector(encoder.dim());
  BasicWorkspace<T> workspace;
  encoder.encode(vector, {items}, {}, workspace);
  return vector;
}

// The last row of the training pass over the suffix that serving would encode.
template <class T>
std::vector<T> trained_last_row(const TransformerEncoder<T, SasrecBlock>& encoder, std::span<const ItemHandle> items) {
  const EncoderConfig& config = encoder.config();
  SequenceBatch batch;
  batch.add_sequence({items.subspan(window_start(items.size(), config.max_sequence_length, config.effective_hop()))});
  std::vector<T> hidden(batch.num_tokens() * encoder.dim());
  Buffer<T> tape;
  encoder.forward(hidden, tape, batch);
  return {hidden.end() - static_cast<std::ptrdiff_t>(encoder.dim()), hidden.end()};
}

// 500 appends in random groups; after each group the state must equal a full encode, bit for bit, and the
// training pass.
template <class T>
void check_appends(const EncoderConfig& config, double tolerance) {
  const auto encoder = random_encoder<T>(config, kItems);
  const std::vector<ItemHandle> items = random_items(500, kItems, 3);
  auto state = encoder.make_state();
  BasicWorkspace<T> workspace;
  std::vector<T> vector(encoder.dim());
  for (std::size_t n = 1; n <= items.size(); ++n) {
    if (detail::mix(17, n) % 4 == 0 && n < items.size()) continue;  // left to the next call
    const std::span<const ItemHandle> history = std::span(items).first(n);
    encoder.advance(state, {history}, workspace);
    encoder.user_vector(vector, state, {}, workspace);
    const std::vector<T> full = encoded(encoder, history), trained = trained_last_row(encoder, history);
    REQUIRE(vector == full);
    REQUIRE(largest_difference<T>(vector, trained) <= tolerance);
    REQUIRE(state.num_events() == n);
    REQUIRE(std::ranges::any_of(vector, [](T value) { return std::abs(value) > T(0.1); }));
  }
}

}  // namespace

TEST_CASE("A state has the bits of a full encode and equals the training pass after each of 500 appends",
          "[model][encoder][slow]") {
  for (const EncoderConfig& config : serving_configs()) {
    check_appends<float>(config, 1e-5);
    if (config.embedding_dim < 64) check_appends<double>(config, 1e-12);  // naive kernels: small shapes only
  }
}

TEST_CASE("A state in bfloat16 is the same however it was filled, and near a full encode", "[model][encoder]") {
  for (const EncoderConfig& config : serving_configs()) {
    const auto encoder = random_encoder<float>(config, kItems);
    const std::vector<ItemHandle> items = random_items(150, kItems, 3);
    auto state = encoder.make_state(StateStorage::bfloat16);
    Workspace workspace;
    std::vector<float> vector(encoder.dim()), at_once(encoder.dim());
    double worst = 0;
    for (std::size_t n = 1; n <= items.size(); ++n) {
      if (detail::mix(17, n) % 4 == 0 && n < items.size()) continue;  // left to the next call
      const std::span<const ItemHandle> history = std::span(items).first(n);
      encoder.advance(state, {history}, workspace);
      encoder.user_vector(vector, state, {}, workspace);
      auto fresh = encoder.make_state(StateStorage::bfloat16);
      encoder.advance(fresh, {history}, workspace);
      encoder.user_vector(at_once, fresh, {}, workspace);
      REQUIRE(vector == at_once);
      worst = std::max(worst, largest_difference<float>(vector, encoded(encoder, history)));
    }
    CHECK(worst > 1e-5);  // it does round
    CHECK(worst < 0.05);
  }
}

TEST_CASE("A state that is ahead of the history starts anew", "[model][encoder]") {
  const auto encoder = random_encoder<double>(small_config(), kItems);
  const std::vector<ItemHandle> items = random_items(15, kItems, 3);
  auto state = encoder.make_state();
  BasicWorkspace<double> workspace;
  std::vector<double> vector(encoder.dim());
  encoder.advance(state, {items}, workspace);
  const std::span<const ItemHandle> shorter = std::span(items).first(4);
  encoder.advance(state, {shorter}, workspace);
  encoder.user_vector(vector, state, {}, workspace);
  CHECK(largest_difference<double>(vector, encoded(encoder, shorter)) <= 1e-12);
}

TEST_CASE("An empty history encodes to zeros and leaves a state empty", "[model][encoder]") {
  const auto encoder = random_encoder<float>(small_config(), kItems);
  CHECK(encoded(encoder, {}) == std::vector<float>(encoder.dim()));
  auto state = encoder.make_state();
  Workspace workspace;
  encoder.advance(state, {}, workspace);
  CHECK(state.num_events() == 0);
}

TEST_CASE("A bidirectional encoder is not cacheable, and serves what it trains", "[model][encoder]") {
  EncoderConfig config = small_config();
  config.mask = AttentionMask::bidirectional;
  config.max_sequence_length = 60;
  const auto encoder = random_encoder<float>(config, kItems);
  CHECK_FALSE(encoder.cacheable());
  const std::vector<ItemHandle> items = random_items(90, kItems, 5);
  auto state = encoder.make_state();
  Workspace workspace;
  std::vector<float> vector(encoder.dim());
  for (const std::size_t n : {1u, 2u, 47u, 60u, 61u, 90u}) {
    const std::span<const ItemHandle> history = std::span(items).first(n);
    const std::vector<float> trained = trained_last_row(encoder, history);
    CHECK(largest_difference<float>(encoded(encoder, history), trained) <= 1e-5);
    encoder.advance(state, {history}, workspace);
    encoder.user_vector(vector, state, {}, workspace);
    CHECK(largest_difference<float>(vector, trained) <= 1e-5);
  }
}

TEST_CASE("A packed batch gives each sequence what it gets alone, with dropout", "[model][encoder]") {
  EncoderConfig config = small_config();
  config.max_sequence_length = 70;
  const auto encoder = random_encoder<float>(config, kItems);
  const detail::Dropout dropout{.rate = 0.3, .attention_rate = 0.2, .stream = 99};
  const std::size_t lengths[] = {7, 1, 70, 33};
  std::vector<std::vector<ItemHandle>> histories;
  SequenceBatch batch, reversed;
  for (std::size_t s = 0; s < 4; ++s) histories.push_back(random_items(lengths[s], kItems, s));
  for (std::size_t s = 0; s < 4; ++s) batch.add_sequence({histories[s]}, s);
  for (std::size_t s = 4; s-- > 0;) reversed.add_sequence({histories[s]}, s);
  std::vector<float> hidden(batch.num_tokens() * encoder.dim()), hidden_reversed(hidden.size());
  Buffer<float> tape;
  encoder.forward(hidden, tape, batch, dropout);
  encoder.forward(hidden_reversed, tape, reversed, dropout);
  for (std::size_t s = 0; s < 4; ++s) {
    SequenceBatch single;
    single.add_sequence({histories[s]}, s);
    std::vector<float> alone(lengths[s] * encoder.dim());
    encoder.forward(alone, tape, single, dropout);
    const auto part = [&](const std::vector<float>& all, const SequenceBatch& of, std::size_t index) {
      return std::span(all).subspan(of.begin(index) * encoder.dim(), alone.size());
    };
    CHECK(largest_difference<float>(alone, part(hidden, batch, s)) <= 2e-6);
    CHECK(largest_difference<float>(alone, part(hidden_reversed, reversed, 3 - s)) <= 2e-6);
  }
}

TEST_CASE("Rows without a tape have the bits of the training pass", "[model][encoder]") {
  const auto check = [](const auto& encoder) {
    SequenceBatch batch;
    for (const std::size_t length : {7u, 1u, 20u}) {
      batch.add_sequence({random_items(std::min(length, encoder.config().max_sequence_length), kItems, length)});
    }
    std::vector<float> trained(batch.num_tokens() * encoder.dim()), rows(trained.size());
    Buffer<float> tape, scratch;
    encoder.forward(trained, tape, batch);
    encoder.encode_rows(rows, scratch, batch);
    CHECK(rows == trained);
    CHECK((scratch.memory_bytes() < tape.memory_bytes() || encoder.config().num_blocks < 3));
  };
  for (EncoderConfig config : serving_configs()) {
    check(random_encoder<float>(config, kItems));
    config.mask = AttentionMask::bidirectional;
    check(random_encoder<float>(config, kItems));
  }
  check(random_encoder<float, HstuBlock>(small_config(), kItems));
}

TEST_CASE("Dropout depends on stream, sequence key and site, and keeps the expectation", "[model][encoder]") {
  std::vector<float> ones(100'003, 1.0f);
  const auto masked = [&](std::uint64_t stream, std::uint64_t key, std::uint64_t site) {
    std::vector<float> x = ones;
    detail::Dropout::apply(x.data(), x.size(), 0.25, stream, key, site);
    return x;
  };
  const std::vector<float> mask = masked(1, 2, 3);
  CHECK(mask == masked(1, 2, 3));
  CHECK(mask != masked(2, 2, 3));
  CHECK(mask != masked(1, 3, 3));
  CHECK(mask != masked(1, 2, 4));
  double sum = 0.0;
  for (const float value : mask) {
    REQUIRE((value == 0.0f || value == Approx(4.0f / 3.0f)));
    sum += static_cast<double>(value);
  }
  CHECK(sum / static_cast<double>(mask.size()) == Approx(1.0).margin(0.01));
}

TEST_CASE("Attention dropout draws every row of every head anew", "[model][encoder]") {
  EncoderConfig config;
  config.embedding_dim = 2;
  config.mask = AttentionMask::bidirectional;
  ParameterList list;
  const detail::SelfAttention<double> attention("attention", config, 1, list);
  // Uniform weights over values of one: y holds, per head, the share of weights that were kept.
  std::vector<double> parameters(list.total());
  const auto at = [&](std::size_t part) { return parameters.data() + list.list()[part].offset; };
  at(1)[4] = at(1)[5] = 1.0;  // bias of the values
  at(2)[0] = at(2)[3] = 1.0;  // output weight
  const std::vector<ItemHandle> items(200);
  SequenceBatch batch;
  batch.add_sequence({items}, 3);
  std::vector<double> x(400), y(400), tape(attention.tape_size(batch)), scratch(attention.scratch_size(batch));
  const TrainingMode mode(detail::Dropout{.attention_rate = 0.5, .stream = 1});
  attention.forward(y.data(), tape.data(), x.data(), {batch, mode, parameters.data()}, scratch.data());
  for (const std::size_t apart : {1u, 2u, 32u, 48u, 64u, 96u}) {
    std::size_t equal = 0;
    for (std::size_t i = 0; i + apart < y.size(); ++i) equal += y[i] == y[i + apart];
    CHECK(equal < y.size() / 4);
  }
}

TEST_CASE("Parameters are named after the part of the model they belong to", "[model][encoder]") {
  EncoderConfig config = small_config();
  config.num_blocks = 1;
  std::vector<std::string> names;
  const SasrecEncoder encoder(config, 1);
  for (const Parameter& parameter : encoder.parameters().list()) names.push_back(parameter.name);
  CHECK(names == std::vector<std::string>{"position_embedding.weight", "blocks.0.attention_norm.weight",
                                          "blocks.0.attention_norm.bias", "blocks.0.attention.qkv.weight",
                                          "blocks.0.attention.qkv.bias", "blocks.0.attention.output.weight",
                                          "blocks.0.attention.output.bias", "blocks.0.feed_forward_norm.weight",
                                          "blocks.0.feed_forward_norm.bias", "blocks.0.feed_forward.inner.weight",
                                          "blocks.0.feed_forward.inner.bias", "blocks.0.feed_forward.outer.weight",
                                          "blocks.0.feed_forward.outer.bias", "final_norm.weight", "final_norm.bias"});
}

TEST_CASE("A new encoder has zero weights, norms of one, and refuses a bad configuration", "[model][encoder]") {
  const SasrecEncoder encoder(small_config(), kItems);
  for (const Parameter& parameter : encoder.parameters().list()) {
    const float expected = parameter.name.ends_with("norm.weight") ? 1.0f : 0.0f;
    CHECK(encoder.weights()[parameter.offset] == expected);
  }
  EncoderConfig config = small_config();
  config.num_heads = 5;
  CHECK_THROWS_AS(SasrecEncoder(config, kItems), Error);
}

TEST_CASE("An encoder knows the items whose rows say something, and those that are added", "[model][encoder]") {
  SasrecEncoder encoder(small_config(), 5000);
  CHECK_FALSE(encoder.knows(4999));  // zeros
  CHECK_FALSE(encoder.knows(5000));
  CHECK_FALSE(encoder.knows(kNoHandle));
  encoder.items().row(4999)[0] = 3.0f;
  CHECK(encoder.knows(4999));
  const float* address = encoder.items().row(4999).data();
  encoder.items().append_rows(10'000);
  encoder.items().row(14'998)[5] = -1.0f;
  CHECK(encoder.knows(14'998));
  CHECK(encoder.items().row(4999).data() == address);
  CHECK(encoder.items().row(4999)[0] == 3.0f);
  CHECK(encoder.items().row(14'999)[23] == 0.0f);
}
