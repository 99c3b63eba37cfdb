// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <string>

#include "attune/detail/dropout.hpp"
#include "attune/error.hpp"
#include "attune/privacy/federated.hpp"
#include "data/little_endian.hpp"
#include "privacy/federated_messages.hpp"
#include "privacy/federated_plan.hpp"
#include "privacy/local_history.hpp"
#include "training/batch_gradient.hpp"

namespace attune::inline v0_1 {
namespace {

using detail::FederatedKind;

}  // namespace

struct FederatedClient::Impl {
  Impl(const FederatedPlan& the_plan, FederatedAuthentication the_authentication)
      : plan((the_plan.validate(), the_plan)),
        authentication(std::move(the_authentication)),
        config(detail::config_of_clients(plan)),
        fingerprint(detail::fingerprint_of(plan)),
        quantiser(plan.quantiser()),
        encoder(plan.make_encoder()),
        gradient(config, histories, *encoder, calling_thread, detail::uniform_sampler(plan.num_items)),
        weights(encoder->parameters().total() + plan.num_items * encoder->dim()),
        change(weights.size()) {}

  void begin(std::span<const std::byte> bytes);
  std::vector<std::int64_t> contribution(const FederatedUser& user);
  std::uint64_t learn(const FederatedUser& user);
  // Adds scale * gradient to `values`, [D].
  void add_gradient(std::span<float> values, double scale) const;
  void clip_change();

  const FederatedPlan plan;
  const FederatedAuthentication authentication;
  const TrainerConfig config;
  const std::uint64_t fingerprint;
  const Quantiser quantiser;
  InlineExecutor calling_thread;
  Histories histories;  // of the user that an update is for
  std::unique_ptr<SequenceEncoder<float>> encoder;
  detail::BatchGradient gradient;
  std::uint64_t round = 0, round_sum = 0;
  std::vector<float> weights;  // [D], of the round
  std::vector<float> change;   // [D]
};

void FederatedClient::Impl::begin(std::span<const std::byte> bytes) {
  const auto kind = FederatedKind::round;
  const auto message = detail::open_message(bytes, kind, fingerprint, weights.size() * sizeof(float));
  detail::check_tag(message, kind, FederatedAuthentication::kServer, authentication);
  if (message.round <= round) {
    detail::refuse_message(kind, "a round after " + std::to_string(round) + ", found " + std::to_string(message.round));
  }
  const std::byte* const from = message.body.data();
  for (std::size_t i = 0; i < weights.size(); ++i) {
    if (!std::isfinite(detail::load_number<float>(from + i * sizeof(float)))) {
      detail::refuse_message(kind, "finite weights, found one that is not at " + std::to_string(i));
    }
  }
  std::memcpy(weights.data(), from, message.body.size());
  detail::set_weights(*encoder, weights);
  round = message.round;
  round_sum = message.sum;
}

void FederatedClient::Impl::add_gradient(std::span<float> values, double scale) const {
  const auto by = static_cast<float>(scale);
  const GradientBuffer& of_sum = gradient.gradient();
  const auto add = [by](std::span<float> to, std::span<const float> from) {
    for (std::size_t i = 0; i < from.size(); ++i) to[i] += by * from[i];
  };
  add(values, of_sum.dense());
  const std::size_t dense = of_sum.dense().size(), dim = of_sum.dim();
  for (std::size_t i = 0; i < of_sum.touched().size(); ++i) {
    add(values.subspan(dense + of_sum.touched()[i] * dim, dim), of_sum.touched_row(i));
  }
}

// change = the sum of the gradients of the steps, each a mean over targets. Returns the weight of the update.
std::uint64_t FederatedClient::Impl::learn(const FederatedUser& user) {
  auto sequences = detail::take_history(histories, user.history, plan);
  std::ranges::fill(change, 0.0f);
  std::vector<float> moved(plan.local_steps > 1 ? weights : std::vector<float>());
  double targets = 0;
  for (std::size_t step = 0; step < plan.local_steps; ++step) {
    const std::uint64_t stream = detail::stream_of(user.seed, detail::Purpose::dropout, detail::mix(round, step));
    const auto loss = gradient.compute(sequences, stream);
    targets = std::max(1.0, loss.targets);
    add_gradient(change, 1 / targets);
    if (step + 1 == plan.local_steps) break;
    add_gradient(moved, -plan.local_learning_rate / targets);
    detail::set_weights(*encoder, moved);
  }
  if (plan.local_steps > 1) detail::set_weights(*encoder, weights);
  return std::clamp(static_cast<std::uint64_t>(targets), std::uint64_t{1}, plan.max_weight);
}

void FederatedClient::Impl::clip_change() {
  double squares = 0;
  for (const float x : change) squares += static_cast<double>(x) * static_cast<double>(x);
  const double norm = std::sqrt(squares);
  if (!std::isfinite(norm)) {
    throw Error(ErrorCode::non_finite,
                "federated training: an update is not finite; a lower local_learning_rate may help");
  }
  if (norm <= plan.clip) return;
  const auto scale = static_cast<float>(plan.clip / norm);
  for (float& x : change) x *= scale;
}

std::vector<std::int64_t> FederatedClient::Impl::contribution(const FederatedUser& user) {
  if (round == 0) throw Error(ErrorCode::invalid_argument, "federated client: expected a round to have begun");
  const std::uint64_t weight = learn(user);
  clip_change();
  return quantiser.encode(change, weight, detail::mix(user.seed, round));
}

FederatedClient::FederatedClient(const FederatedPlan& plan, FederatedAuthentication authentication)
    : impl_(std::make_unique<Impl>(plan, std::move(authentication))) {}
FederatedClient::FederatedClient(FederatedClient&&) noexcept = default;
FederatedClient& FederatedClient::operator=(FederatedClient&&) noexcept = default;
FederatedClient::~FederatedClient() = default;

void FederatedClient::begin(std::span<const std::byte> round) { impl_->begin(round); }
std::uint64_t FederatedClient::round() const noexcept { return impl_->round; }
const FederatedPlan& FederatedClient::plan() const noexcept { return impl_->plan; }
const SequenceEncoder<float>& FederatedClient::encoder() const noexcept { return *impl_->encoder; }

std::vector<std::int64_t> FederatedClient::contribution(const FederatedUser& user) { return impl_->contribution(user); }

std::vector<std::byte> FederatedClient::update(const FederatedUser& user) {
  const std::vector<std::int64_t> integers = impl_->contribution(user);
  std::vector<std::byte> message = detail::new_message(FederatedKind::update, impl_->fingerprint, impl_->round,
                                                       detail::kUpdateHeadBytes + integers.size() * detail::kWordBytes);
  detail::append_number(message, user.client);
  detail::append_number(message, impl_->round_sum);
  detail::append_words(message, integers);
  detail::seal_message(message, impl_->authentication);
  return message;
}

}  // namespace attune::inline v0_1
