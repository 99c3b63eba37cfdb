// SPDX-License-Identifier: Apache-2.0
#include "privacy/federated_plan.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <string>

#include "attune/detail/dropout.hpp"
#include "attune/error.hpp"
#include "data/sum64.hpp"
#include "model/count_options.hpp"

namespace attune::inline v0_1 {
namespace {

using detail::require_option;

constexpr std::size_t kMostValues = std::size_t{1} << 28;

void require_positive(double value, const char* field) {
  require_option(value > 0 && std::isfinite(value), field, "positive and finite", std::to_string(value));
}

}  // namespace

void FederatedPlan::validate() const {
  detail::config_of_clients(*this).validate();
  require_option(num_items >= 1 && num_items <= kMostValues / encoder.embedding_dim, "num_items",
                 "1 to " + std::to_string(kMostValues / encoder.embedding_dim) + " with this width",
                 std::to_string(num_items));
  require_option(clients_per_round >= 1, "clients_per_round", "at least 1", std::to_string(clients_per_round));
  require_option(local_steps >= 1 && local_steps <= 10'000, "local_steps", "1 to 10000", std::to_string(local_steps));
  require_positive(local_learning_rate, "local_learning_rate");
  require_positive(clip, "clip");
  const Quantiser integers = quantiser();
  require_option(integers.max_magnitude() <= std::numeric_limits<std::int32_t>::max(), "value_bits",
                 "small enough for max_weight * 2^(value_bits - 1) < 2^31", std::to_string(value_bits));
  if (objective.shared_negatives || objective.sampling_power != 0 || objective.log_q) {
    throw Error(ErrorCode::unsupported,
                "federated training: negatives that users share, or that are drawn by counts, tell of others' events");
  }
}

std::size_t FederatedPlan::num_values() const {
  return make_encoder()->parameters().total() + num_items * encoder.embedding_dim;
}

Quantiser FederatedPlan::quantiser() const {
  return Quantiser(
      {.clip = clip, .value_bits = value_bits, .max_weight = max_weight, .max_clients = clients_per_round});
}

unsigned FederatedPlan::word_bits() const { return quantiser().sum_bits() <= 32 ? 32 : 64; }

std::unique_ptr<SequenceEncoder<float>> FederatedPlan::make_encoder() const {
  return attune::make_encoder(encoder, num_items);
}

void FederatedServerOptions::validate() const {
  require_option(least_clients >= 1, "least_clients", "at least 1", std::to_string(least_clients));
  TrainerConfig central;
  central.adam = adam;
  central.validate();
  require_positive(sgd_learning_rate, "sgd_learning_rate");
  require_option(sgd_momentum >= 0 && sgd_momentum < 1, "sgd_momentum", "at least 0 and below 1",
                 std::to_string(sgd_momentum));
  require_option(final_learning_rate >= 0 && final_learning_rate <= 1, "final_learning_rate", "0 to 1",
                 std::to_string(final_learning_rate));
}

namespace detail {

TrainerConfig config_of_clients(const FederatedPlan& plan) {
  TrainerConfig config;
  config.encoder = plan.encoder;
  config.objective = plan.objective;
  config.gradient_slots = 1;
  config.mixed_precision = false;
  return config;
}

std::uint64_t fingerprint_of(const FederatedPlan& plan) {
  const std::string text = config_of_clients(plan).to_json();
  std::uint64_t fingerprint = sum64_of(std::as_bytes(std::span(text)));
  for (const std::uint64_t number :
       {std::uint64_t{plan.num_items}, std::uint64_t{plan.clients_per_round}, std::uint64_t{plan.local_steps},
        std::bit_cast<std::uint64_t>(plan.local_learning_rate), std::bit_cast<std::uint64_t>(plan.clip),
        plan.max_weight, std::uint64_t{plan.value_bits}}) {
    fingerprint = mix(fingerprint, number);
  }
  return fingerprint;
}

void copy_weights(std::span<float> values, const SequenceEncoder<float>& encoder) {
  auto out = std::ranges::copy(encoder.weights(), values.begin()).out;
  const EmbeddingTable<float>& rows = encoder.items();
  for (std::size_t c = 0; c < rows.num_chunks(); ++c) out = std::ranges::copy(rows.chunk(c), out).out;
}

void set_weights(SequenceEncoder<float>& encoder, std::span<const float> values) {
  const auto take = [&values](std::span<float> part) {
    std::ranges::copy(values.first(part.size()), part.begin());
    values = values.subspan(part.size());
  };
  take(encoder.weights());
  for (std::size_t c = 0; c < encoder.items().num_chunks(); ++c) take(encoder.items().chunk(c));
}

void copy_encoder(SequenceEncoder<float>& to, const SequenceEncoder<float>& from) {
  const bool alike = from.parameters().total() == to.parameters().total() && from.dim() == to.dim() &&
                     from.items().rows() == to.items().rows();
  if (!alike) throw Error(ErrorCode::invalid_argument, "federated training: expected an encoder as the plan has it");
  std::vector<float> weights(from.parameters().total() + from.items().rows() * from.dim());
  copy_weights(weights, from);
  set_weights(to, weights);
}

}  // namespace detail
}  // namespace attune::inline v0_1
