// SPDX-License-Identifier: Apache-2.0
#include "attune/model/transformer_encoder.hpp"

#include "catch.hpp"
#include "finite_difference.hpp"

using namespace attune;
using namespace attune::test;

namespace {

// A block that does nothing, so that what surrounds the blocks can be looked at alone.
template <class T>
class IdentityBlock {
 public:
  static constexpr BlockKind kKind = BlockKind::custom;
  IdentityBlock(const EncoderConfig& config, std::size_t, ParameterList&) : dim_(config.embedding_dim) {}
  std::size_t tape_size(const SequenceBatch&) const noexcept { return 0; }
  std::size_t scratch_size(const SequenceBatch&) const noexcept { return 0; }
  void forward(T* y, T*, const T* x, const detail::TrainingPass<T>& pass, T*) const {
    std::copy(x, x + pass.batch.num_tokens() * dim_, y);
  }
  void backward(T*, T*, const T*, const T*, const detail::TrainingPass<T>&, T*) const {}
  void extend(T*, const detail::ServingPass<T>&, T*) const {}
  void remember(const T*, const detail::ServingPass<T>&, T*) const {}
  std::size_t serving_scratch_size(std::size_t) const noexcept { return 0; }

 private:
  std::size_t dim_;
};

EncoderConfig small_config() {
  EncoderConfig config;
  config.embedding_dim = 6;
  config.num_blocks = 2;
  config.num_heads = 2;
  config.inner_dim = 8;
  config.max_sequence_length = 9;
  return config;
}

// The largest error of the gradients of all dense weights and item rows, for the loss sum of c_i hidden_i.
template <template <class> class Block>
double encoder_error(const EncoderConfig& config, const detail::Dropout& dropout, bool hide = false) {
  constexpr std::size_t kItems = 7;
  const std::size_t dim = config.embedding_dim;
  TransformerEncoder<double, Block> encoder(config, kItems);
  std::ranges::copy(random_values(encoder.weights().size(), 11), encoder.weights().begin());
  std::ranges::copy(random_values(kItems * dim, 12), encoder.items().chunk(0).begin());
  const std::size_t lengths[] = {4, 1, 9, 2};
  const SequenceBatch batch = packed(lengths, kItems, hide);
  const std::vector<double> c = random_values(batch.num_tokens() * dim, 13);
  std::vector<double> hidden(c.size()), d_inputs(c.size()), d_weights(encoder.weights().size());
  Buffer<double> tape, unused_tape;

  encoder.forward(hidden, tape, batch, dropout);
  encoder.backward(d_weights, d_inputs, c, tape, batch, dropout);
  std::vector<double> d_items(kItems * dim);
  for (std::size_t i = 0; i < batch.num_tokens(); ++i) {
    if (batch.items()[i] == kNoHandle) continue;
    for (std::size_t d = 0; d < dim; ++d) d_items[batch.items()[i] * dim + d] += d_inputs[i * dim + d];
  }

  const auto loss = [&] {
    encoder.forward(hidden, unused_tape, batch, dropout);
    return dot(c, hidden);
  };
  return std::max(gradient_error(encoder.weights(), d_weights, loss),
                  gradient_error(encoder.items().chunk(0), d_items, loss));
}

}  // namespace

TEST_CASE("The gradient of item and position embeddings matches finite differences", "[gradient][encoder]") {
  EncoderConfig config = small_config();
  config.scale_items = GENERATE(false, true);
  config.embedding_norm = GENERATE(false, true);
  config.final_norm = GENERATE(false, true);
  CHECK(encoder_error<IdentityBlock>(config, {.rate = 0.3, .stream = 4}) <= 1e-6);
}

TEST_CASE("The gradient of the whole encoder matches finite differences", "[gradient][encoder]") {
  EncoderConfig config = small_config();
  config.norm_placement = GENERATE(NormPlacement::pre, NormPlacement::post);
  config.mask = GENERATE(AttentionMask::causal, AttentionMask::bidirectional);
  config.embedding_norm = config.norm_placement == NormPlacement::post;
  config.final_norm = !config.embedding_norm;
  config.scale_items = GENERATE(false, true);
  CHECK(encoder_error<SasrecBlock>(config, {}) <= 1e-6);
}

TEST_CASE("The gradient of the whole encoder matches finite differences for every activation, with dropout",
          "[gradient][encoder]") {
  EncoderConfig config = small_config();
  config.norm_placement = GENERATE(NormPlacement::pre, NormPlacement::post);
  config.activation = GENERATE(Activation::relu, Activation::gelu, Activation::silu);
  CHECK(encoder_error<SasrecBlock>(config, {.rate = 0.25, .attention_rate = 0.25, .stream = 6}) <= 1e-6);
}

TEST_CASE("The gradient of an encoder of HSTU blocks matches finite differences", "[gradient][encoder]") {
  EncoderConfig config = small_config();
  config.learned_norms = GENERATE(false, true);
  config.bias_per_head = GENERATE(false, true);
  config.time_buckets = 6;
  config.request_time = GENERATE(false, true);
  config.attention_divisor = config.request_time ? 5 : 0;
  config.final_norm = !config.learned_norms;
  config.absolute_positions = config.learned_norms;
  CHECK(encoder_error<HstuBlock>(config, {.rate = 0.25, .stream = 6}) <= 1e-6);
}

TEST_CASE("The gradient of an encoder of HSTU blocks with feed-forward layers matches finite differences",
          "[gradient][encoder]") {
  EncoderConfig config = small_config();
  config.feed_forward = true;
  config.learned_norms = GENERATE(false, true);
  config.activation = GENERATE(Activation::relu, Activation::gelu, Activation::silu);
  CHECK(encoder_error<HstuBlock>(config, {.rate = 0.25, .stream = 6}) <= 1e-6);
}

TEST_CASE("The gradient of an encoder of HSTU blocks without any bias matches finite differences",
          "[gradient][encoder]") {
  EncoderConfig config = small_config();
  config.relative_positions = false;
  CHECK(encoder_error<HstuBlock>(config, {}) <= 1e-6);
}

TEST_CASE("The gradient of a hidden item matches finite differences", "[gradient][encoder]") {
  EncoderConfig config = small_config();
  config.mask_token = GENERATE(true, false);  // without one its row is zero
  config.mask = config.mask_token ? AttentionMask::bidirectional : AttentionMask::causal;
  config.scale_items = GENERATE(false, true);
  CHECK(encoder_error<SasrecBlock>(config, {}, true) <= 1e-6);
}

TEST_CASE("Gradients stay finite for single events and for rows without variance (UR-26)", "[gradient][encoder]") {
  EncoderConfig config = small_config();
  config.norm_placement = GENERATE(NormPlacement::pre, NormPlacement::post);
  config.embedding_norm = true;
  const TransformerEncoder<double, SasrecBlock> encoder(config, 3);  // all weights zero but norms one
  const std::size_t lengths[] = {1, 1, 3};
  const SequenceBatch batch = packed(lengths, 3);
  const std::vector<double> c = random_values(batch.num_tokens() * config.embedding_dim, 13);
  std::vector<double> hidden(c.size()), d_inputs(c.size()), d_weights(encoder.weights().size());
  Buffer<double> tape;
  encoder.forward(hidden, tape, batch);
  encoder.backward(d_weights, d_inputs, c, tape, batch);
  const auto finite = [](double value) { return std::isfinite(value); };
  CHECK(std::ranges::all_of(hidden, finite));
  CHECK(std::ranges::all_of(d_weights, finite));
  CHECK(std::ranges::all_of(d_inputs, finite));
}
