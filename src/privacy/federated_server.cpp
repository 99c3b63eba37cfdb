// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <map>
#include <numbers>
#include <set>
#include <string>
#include <utility>

#include "attune/detail/dropout.hpp"
#include "attune/error.hpp"
#include "attune/privacy/federated.hpp"
#include "data/little_endian.hpp"
#include "model/count_options.hpp"
#include "privacy/federated_messages.hpp"
#include "privacy/federated_plan.hpp"

namespace attune::inline v0_1 {
namespace {

using detail::FederatedKind;
using Stage = FederatedStage;

[[noreturn]] void refuse(const std::string& problem) {
  throw Error(ErrorCode::invalid_argument, "federated server: expected " + problem);
}

double norm_of(std::span<const std::int64_t> values) {
  double squares = 0;
  for (const std::int64_t value : values) squares += static_cast<double>(value) * static_cast<double>(value);
  return std::sqrt(squares);
}

void check(const FederatedServerOptions& options, const FederatedPlan& plan) {
  options.validate();
  detail::require_option(options.least_clients <= plan.clients_per_round, "least_clients",
                         "at most clients_per_round, " + std::to_string(plan.clients_per_round),
                         std::to_string(options.least_clients));
}

}  // namespace

struct FederatedServer::Impl {
  Impl(const FederatedPlan& the_plan, const FederatedServerOptions& the_options,
       FederatedAuthentication the_authentication)
      : plan((the_plan.validate(), the_plan)),
        options((check(the_options, plan), the_options)),
        authentication(std::move(the_authentication)),
        fingerprint(detail::fingerprint_of(plan)),
        quantiser(plan.quantiser()),
        encoder(plan.make_encoder()),
        adam(*encoder, options.adam),
        gradient(encoder->parameters().total(), plan.num_items, encoder->dim()),
        num_values(encoder->parameters().total() + plan.num_items * encoder->dim()) {
    if (options.optimizer == ServerOptimizer::sgd) velocity.resize(num_values);
  }

  Executor& executor() { return options.executor != nullptr ? *options.executor : calling_thread; }
  FederatedRound begin_round(std::span<const std::uint64_t> available);
  void add(std::span<const std::byte> update);
  void add_sum(std::span<const std::int64_t> sums, std::span<const std::uint64_t> contributors);
  void require_within_bounds(std::span<const std::int64_t> sums, std::size_t clients) const;
  std::vector<std::int64_t> pending_sum();
  double learning_rate_scale() const;
  void step(std::span<const float> mean);
  FederatedRoundReport finish_round();
  void close() noexcept;
  std::vector<std::byte> state() const;
  void restore(std::span<const std::byte> state);
  std::size_t received() const noexcept { return summed.empty() ? updates.size() : summed_clients.size(); }

  const FederatedPlan plan;
  const FederatedServerOptions options;
  const FederatedAuthentication authentication;
  const std::uint64_t fingerprint;
  const Quantiser quantiser;
  InlineExecutor calling_thread;
  std::unique_ptr<SequenceEncoder<float>> encoder;
  Adam adam;
  std::vector<float> velocity;  // [D], of gradient descent with momentum
  GradientBuffer gradient;
  const std::size_t num_values;

  Stage stage = Stage::idle;
  std::uint64_t round = 0, round_sum = 0;
  std::size_t asked = 0;
  std::set<std::uint64_t> sampled;                          // that may still answer
  std::map<std::uint64_t, std::vector<std::byte>> updates;  // words [D + 1] of each client
  std::vector<std::int64_t> summed;                         // or the sum of some
  std::vector<std::uint64_t> summed_clients;
};

FederatedRound FederatedServer::Impl::begin_round(std::span<const std::uint64_t> available) {
  if (stage != Stage::idle) refuse("the round in progress to be finished or abandoned");
  const std::set<std::uint64_t> different(available.begin(), available.end());
  if (different.contains(FederatedAuthentication::kServer)) refuse("clients, found the number of the server");
  std::vector<std::uint64_t> drawn(different.begin(), different.end());
  if (drawn.size() < options.least_clients) {
    throw Error(ErrorCode::limit_exceeded, "federated round: expected at least " +
                                               std::to_string(options.least_clients) + " clients to be there, found " +
                                               std::to_string(drawn.size()));
  }
  const std::size_t count = std::min(drawn.size(), plan.clients_per_round);
  const std::uint64_t stream = detail::stream_of(options.seed, detail::Purpose::shuffle, round + 1);
  for (std::size_t i = 0; i < count; ++i) {
    std::swap(drawn[i], drawn[i + detail::mix(stream, i) % (drawn.size() - i)]);
  }
  drawn.resize(count);
  std::ranges::sort(drawn);

  std::vector<float> weights(num_values);
  detail::copy_weights(weights, *encoder);
  FederatedRound begun{.number = round + 1, .clients = std::move(drawn), .message = {}};
  begun.message = detail::new_message(FederatedKind::round, fingerprint, begun.number, weights.size() * sizeof(float));
  detail::append_array(begun.message, std::span<const float>(weights));
  round_sum = detail::seal_message(begun.message, authentication);
  sampled = {begun.clients.begin(), begun.clients.end()};
  asked = count;
  round = begun.number;
  stage = Stage::collecting;
  return begun;
}

void FederatedServer::Impl::add(std::span<const std::byte> update) {
  const auto kind = FederatedKind::update;
  const std::size_t words = num_values + 1;
  const auto message =
      detail::open_message(update, kind, fingerprint, detail::kUpdateHeadBytes + words * detail::kWordBytes);
  const auto client = detail::load_number<std::uint64_t>(message.body.data());
  detail::check_tag(message, kind, client, authentication);
  if (stage != Stage::collecting || message.round != round) {
    detail::refuse_message(kind, "the round in progress, found " + std::to_string(message.round));
  }
  if (detail::load_number<std::uint64_t>(message.body.data() + sizeof client) != round_sum) {
    detail::refuse_message(kind, "the model of the round, found another");
  }
  if (!sampled.contains(client)) detail::refuse_message(kind, "a client that was asked and has not answered");
  if (!summed.empty()) detail::refuse_message(kind, "none beside the sum of a secure aggregation");
  const auto body = message.body.subspan(detail::kUpdateHeadBytes);
  std::vector<std::int64_t> integers(words);
  detail::add_words(integers, body);
  require_within_bounds(integers, 1);
  updates.emplace(client, std::vector<std::byte>(body.begin(), body.end()));
  sampled.erase(client);
}

void FederatedServer::Impl::add_sum(std::span<const std::int64_t> sums, std::span<const std::uint64_t> contributors) {
  const auto kind = FederatedKind::update;
  if (stage != Stage::collecting) detail::refuse_message(kind, "a round in progress");
  if (received() != 0) detail::refuse_message(kind, "one sum and nothing beside it");
  if (sums.size() != num_values + 1) {
    detail::refuse_message(kind, std::to_string(num_values + 1) + " sums, found " + std::to_string(sums.size()));
  }
  const std::set<std::uint64_t> different(contributors.begin(), contributors.end());
  if (different.empty() || different.size() != contributors.size() || !std::ranges::includes(sampled, different)) {
    detail::refuse_message(kind, "different contributors that were asked");
  }
  require_within_bounds(sums, contributors.size());
  summed.assign(sums.begin(), sums.end());
  summed_clients.assign(contributors.begin(), contributors.end());
}

// The norm of a client's values is at most its weight times clip, and rounding adds one step to each.
void FederatedServer::Impl::require_within_bounds(std::span<const std::int64_t> sums, std::size_t clients) const {
  const auto kind = FederatedKind::update;
  const std::int64_t weight = sums.back();
  if (weight < static_cast<std::int64_t>(clients) ||
      static_cast<std::uint64_t>(weight) > std::uint64_t{clients} * plan.max_weight) {
    detail::refuse_message(kind, "a weight of 1 to " + std::to_string(plan.max_weight) + " from each client");
  }
  const double of_values = static_cast<double>(weight) * plan.clip / quantiser.step(),
               of_rounding = static_cast<double>(clients) * std::sqrt(static_cast<double>(num_values));
  if (norm_of(sums.first(num_values)) > of_values * (1 + 1e-6) + of_rounding) {
    detail::refuse_message(kind, "a norm within the plan's clip");
  }
}

// Integers, so that the order of clients and the number of threads do not matter.
std::vector<std::int64_t> FederatedServer::Impl::pending_sum() {
  if (!summed.empty()) return summed;
  constexpr std::size_t kPiece = 1 << 14;
  std::vector<std::int64_t> sums(num_values + 1);
  executor().run((sums.size() + kPiece - 1) / kPiece, [&](std::size_t piece, std::size_t) {
    const std::size_t begin = piece * kPiece, count = std::min(kPiece, sums.size() - begin);
    for (const auto& [client, words] : updates) {
      detail::add_words(std::span(sums).subspan(begin, count),
                        std::span(words).subspan(begin * detail::kWordBytes, count * detail::kWordBytes));
    }
  });
  return sums;
}

double FederatedServer::Impl::learning_rate_scale() const {
  const auto share = [](std::uint64_t a, std::uint64_t b) { return static_cast<double>(a) / static_cast<double>(b); };
  const double warmup = round < options.warmup_rounds ? share(round, options.warmup_rounds) : 1.0;
  if (options.rounds == 0) return warmup;
  const double done = std::min(1.0, share(round, options.rounds));
  const double left = 0.5 * (1.0 + std::cos(std::numbers::pi * done));
  return warmup * (options.final_learning_rate + (1.0 - options.final_learning_rate) * left);
}

// mean: [D], the gradient.
void FederatedServer::Impl::step(std::span<const float> mean) {
  const std::size_t dense = gradient.dense().size(), dim = gradient.dim();
  if (options.optimizer == ServerOptimizer::adam) {
    std::ranges::copy(mean.first(dense), gradient.dense().begin());
    for (std::size_t item = 0; item < plan.num_items; ++item) {
      std::ranges::copy(mean.subspan(dense + item * dim, dim), gradient.row(static_cast<ItemHandle>(item)).begin());
    }
    adam.step(encoder->weights(), encoder->items(), gradient, 1.0, learning_rate_scale());
    return;
  }
  std::vector<float> weights(num_values);
  detail::copy_weights(weights, *encoder);
  const auto momentum = static_cast<float>(options.sgd_momentum),
             rate = static_cast<float>(options.sgd_learning_rate * learning_rate_scale());
  for (std::size_t i = 0; i < num_values; ++i) {
    velocity[i] = momentum * velocity[i] + mean[i];
    weights[i] -= rate * velocity[i];
  }
  detail::set_weights(*encoder, weights);
}

FederatedRoundReport FederatedServer::Impl::finish_round() {
  if (stage != Stage::collecting) refuse("a round in progress");
  if (received() < options.least_clients) {
    throw Error(ErrorCode::limit_exceeded, "federated round: expected updates of at least " +
                                               std::to_string(options.least_clients) + " clients, found " +
                                               std::to_string(received()));
  }
  FederatedRoundReport report{.number = round, .asked = asked, .clients = received()};
  const std::vector<std::int64_t> sums = pending_sum();
  report.weight = static_cast<std::uint64_t>(sums.back());
  const std::vector<float> mean = quantiser.mean(sums);
  report.update_norm = quantiser.step() * norm_of(std::span(sums).first(num_values)) / static_cast<double>(sums.back());
  close();
  std::vector<float> before(num_values), after(num_values);
  detail::copy_weights(before, *encoder);
  step(mean);
  detail::copy_weights(after, *encoder);
  if (!std::ranges::all_of(after, [](float x) { return std::isfinite(x); })) {
    detail::set_weights(*encoder, before);
    throw Error(ErrorCode::non_finite, "federated round " + std::to_string(round) +
                                           ": a weight is not finite; a lower learning rate may help");
  }
  return report;
}

void FederatedServer::Impl::close() noexcept {
  stage = Stage::idle;
  sampled.clear();
  updates.clear();
  summed.clear();
  summed_clients.clear();
}

std::vector<std::byte> FederatedServer::Impl::state() const {
  std::vector<std::byte> bytes = detail::new_message(FederatedKind::state, fingerprint, round, 0);
  const auto append = [&bytes](const auto& values) { detail::append_array(bytes, std::span(std::as_const(values))); };
  detail::append_number(bytes, static_cast<std::uint64_t>(options.optimizer));
  std::vector<float> weights(num_values);
  detail::copy_weights(weights, *encoder);
  append(weights);
  if (options.optimizer == ServerOptimizer::adam) {
    const AdamState& moments = adam.state();
    append(moments.dense_m);
    append(moments.row_m);
    append(moments.dense_v);
    append(moments.row_v);
    append(moments.row_steps);
    append(moments.rates);
  } else {
    append(velocity);
  }
  detail::seal_message(bytes, {});
  return bytes;
}

void FederatedServer::Impl::restore(std::span<const std::byte> state) {
  if (stage != Stage::idle) refuse("the round in progress to be finished or abandoned");
  const auto kind = FederatedKind::state;
  const bool is_adam = options.optimizer == ServerOptimizer::adam;
  const std::size_t around = detail::kFederatedHeaderBytes + detail::kFederatedSumBytes;
  std::size_t least = sizeof(std::uint64_t) + num_values * sizeof(float) * (is_adam ? 3 : 2);
  if (is_adam) least += plan.num_items * sizeof(std::uint32_t);
  // Of steps there may be any number, so the body is as long as the bytes say.
  const std::size_t body = state.size() < around + least ? least : state.size() - around;
  const auto message = detail::open_message(state, kind, fingerprint, body);
  detail::check_tag(message, kind, FederatedAuthentication::kServer, {});
  if (message.round >= std::uint64_t{1} << 62) detail::refuse_message(kind, "a round that another can follow");
  std::span<const std::byte> left = message.body;
  const auto take = [&left](auto& values, std::size_t count) {
    values.resize(count);
    std::ranges::copy(left.first(std::span(values).size_bytes()), std::as_writable_bytes(std::span(values)).begin());
    left = left.subspan(std::span(values).size_bytes());
  };
  std::vector<std::uint64_t> optimizer;
  take(optimizer, 1);
  const std::size_t of_rates = body - least;
  if (optimizer.front() != static_cast<std::uint64_t>(options.optimizer) || of_rates % sizeof(double) != 0 ||
      (!is_adam && of_rates != 0)) {
    detail::refuse_message(kind, "the optimiser of this server, found another");
  }
  std::vector<float> weights, new_velocity;
  take(weights, num_values);
  if (!std::ranges::all_of(weights, [](float x) { return std::isfinite(x); })) {
    detail::refuse_message(kind, "finite weights");
  }
  if (is_adam) {
    const std::size_t dense = gradient.dense().size(), rows = num_values - dense;
    AdamState moments;
    take(moments.dense_m, dense);
    take(moments.row_m, rows);
    take(moments.dense_v, dense);
    take(moments.row_v, rows);
    take(moments.row_steps, plan.num_items);
    take(moments.rates, of_rates / sizeof(double));
    try {
      adam.restore(std::move(moments));
    } catch (const Error& error) {
      detail::refuse_message(kind, std::string("moments that fit: ") + error.what());
    }
  } else {
    take(new_velocity, num_values);
  }
  detail::set_weights(*encoder, weights);
  velocity = std::move(new_velocity);
  round = message.round;
}

FederatedServer::FederatedServer(const FederatedPlan& plan, const FederatedServerOptions& options,
                                 FederatedAuthentication authentication, const SequenceEncoder<float>* start)
    : impl_(std::make_unique<Impl>(plan, options, std::move(authentication))) {
  if (start == nullptr) {
    impl_->encoder->initialize(options.seed);
  } else {
    detail::copy_encoder(*impl_->encoder, *start);
  }
}
FederatedServer::FederatedServer(FederatedServer&&) noexcept = default;
FederatedServer& FederatedServer::operator=(FederatedServer&&) noexcept = default;
FederatedServer::~FederatedServer() = default;

FederatedStage FederatedServer::stage() const noexcept { return impl_->stage; }
std::uint64_t FederatedServer::round() const noexcept { return impl_->round; }
std::size_t FederatedServer::received() const noexcept { return impl_->received(); }
const FederatedPlan& FederatedServer::plan() const noexcept { return impl_->plan; }
const SequenceEncoder<float>& FederatedServer::encoder() const noexcept { return *impl_->encoder; }

FederatedRound FederatedServer::begin_round(std::span<const std::uint64_t> available) {
  return impl_->begin_round(available);
}
void FederatedServer::add(std::span<const std::byte> update) { impl_->add(update); }
void FederatedServer::add_sum(std::span<const std::int64_t> sums, std::span<const std::uint64_t> contributors) {
  impl_->add_sum(sums, contributors);
}

bool FederatedServer::forget(std::uint64_t client) {
  impl_->sampled.erase(client);
  if (std::ranges::find(impl_->summed_clients, client) != impl_->summed_clients.end()) {
    impl_->summed.clear();
    impl_->summed_clients.clear();
    return true;
  }
  return impl_->updates.erase(client) != 0;
}

FederatedRoundReport FederatedServer::finish_round() { return impl_->finish_round(); }
void FederatedServer::abandon_round() noexcept { impl_->close(); }
std::vector<std::byte> FederatedServer::state() const { return impl_->state(); }
void FederatedServer::restore(std::span<const std::byte> state) { impl_->restore(state); }

}  // namespace attune::inline v0_1
