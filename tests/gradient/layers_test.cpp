// SPDX-License-Identifier: Apache-2.0
#include "attune/detail/layers.hpp"

#include "attune/detail/attention.hpp"
#include "catch.hpp"
#include "finite_difference.hpp"

using namespace attune;
using namespace attune::test;

namespace {

// Checks a layer given as forward(y, x, parameters) and backward(d_x, d_parameters, d_y, x, parameters), for the loss
// sum of c_i y_i with random c. Returns the larger error of d_x and d_parameters.
template <class Forward, class Backward>
double layer_error(std::size_t inputs, std::size_t outputs, std::size_t num_parameters, Forward forward,
                   Backward backward) {
  std::vector<double> x = random_values(inputs, 1), parameters = random_values(num_parameters, 2);
  const std::vector<double> c = random_values(outputs, 3);
  std::vector<double> y(outputs), d_x(inputs), d_parameters(num_parameters);
  const auto loss = [&] {
    forward(y.data(), x.data(), parameters.data());
    return dot(c, y);
  };
  loss();
  backward(d_x.data(), d_parameters.data(), c.data(), x.data(), parameters.data());
  return std::max(gradient_error(x, d_x, loss), gradient_error(parameters, d_parameters, loss));
}

double attention_error(AttentionMask mask, const std::vector<std::size_t>& lengths, double attention_dropout) {
  EncoderConfig config;
  config.embedding_dim = 6;
  config.num_heads = 2;
  config.mask = mask;
  ParameterList list;
  const detail::SelfAttention<double> layer("attention", config, 1, list);
  const SequenceBatch batch = packed(lengths, 10);
  const TrainingMode mode(detail::Dropout{.rate = 0.0, .attention_rate = attention_dropout, .stream = 5});
  std::vector<double> tape(layer.tape_size(batch)), scratch(layer.scratch_size(batch));
  const std::size_t size = batch.num_tokens() * config.embedding_dim;
  return layer_error(
      size, size, list.total(),
      [&](double* y, const double* x, const double* parameters) {
        layer.forward(y, tape.data(), x, {batch, mode, parameters}, scratch.data());
      },
      [&](double* d_x, double* d_parameters, const double* d_y, const double* x, const double* parameters) {
        layer.backward(d_x, d_parameters, d_y, x, tape.data(), {batch, mode, parameters}, scratch.data());
      });
}

}  // namespace

TEST_CASE("The gradient of a linear layer matches finite differences", "[gradient][layers]") {
  ParameterList list;
  const detail::Linear<double> layer("linear", 5, 7, list);
  const std::size_t rows = 3;
  CHECK(layer_error(
            rows * 5, rows * 7, list.total(),
            [&](double* y, const double* x, const double* parameters) { layer.forward(y, x, rows, parameters); },
            [&](double* d_x, double* d_parameters, const double* d_y, const double* x, const double* parameters) {
              layer.backward(d_x, d_parameters, d_y, x, rows, parameters, detail::Precision::full);
            }) <= 1e-6);
}

TEST_CASE("The gradient of layer norm matches finite differences", "[gradient][layers]") {
  ParameterList list;
  const detail::LayerNorm<double> layer("norm", 7, 1e-8, list);
  const std::size_t rows = 4;
  std::vector<double> tape(layer.tape_size(rows));
  CHECK(layer_error(
            rows * 7, rows * 7, list.total(),
            [&](double* y, const double* x, const double* parameters) {
              layer.forward(y, tape.data(), x, rows, parameters);
            },
            [&](double* d_x, double* d_parameters, const double* d_y, const double* x, const double* parameters) {
              layer.backward(d_x, d_parameters, d_y, x, tape.data(), rows, parameters);
            }) <= 1e-6);
}

TEST_CASE("The gradient of the feed-forward layer matches finite differences", "[gradient][layers]") {
  const Activation activation =
      GENERATE(Activation::relu, Activation::gelu, Activation::silu, Activation::tanh, Activation::sigmoid);
  ParameterList list;
  const detail::FeedForward<double> layer("feed_forward", 5, 9, activation, list);
  const std::size_t rows = 4;
  std::vector<double> tape(layer.tape_size(rows)), scratch(layer.scratch_size(rows));
  CHECK(layer_error(
            rows * 5, rows * 5, list.total(),
            [&](double* y, const double* x, const double* parameters) {
              layer.forward(y, tape.data(), x, rows, parameters);
            },
            [&](double* d_x, double* d_parameters, const double* d_y, const double* x, const double* parameters) {
              layer.backward(d_x, d_parameters, d_y, x, tape.data(), rows, parameters, detail::Precision::full,
                             scratch.data());
            }) <= 1e-6);
}

TEST_CASE("The gradient of attention matches finite differences for sequences packed together", "[gradient][layers]") {
  const AttentionMask mask = GENERATE(AttentionMask::causal, AttentionMask::bidirectional);
  const double attention_dropout = GENERATE(0.0, 0.4);
  CHECK(attention_error(mask, {5, 1, 8}, attention_dropout) <= 1e-6);
}

TEST_CASE("The gradient of attention matches finite differences beyond one block of query rows",
          "[gradient][layers][slow]") {
  const AttentionMask mask = GENERATE(AttentionMask::causal, AttentionMask::bidirectional);
  CHECK(attention_error(mask, {101}, 0.3) <= 1e-6);
}
