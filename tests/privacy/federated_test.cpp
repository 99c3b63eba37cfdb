// SPDX-License-Identifier: Apache-2.0
#include "attune/privacy/federated.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <set>
#include <string>
#include <vector>

#include "attune/recommender.hpp"
#include "data/little_endian.hpp"
#include "data/sum64.hpp"
#include "privacy/federated_messages.hpp"
#include "privacy/federated_plan.hpp"
#include "temporary_directory.hpp"
#include "training/batch_gradient.hpp"
#include "training/small_training.hpp"

namespace attune {
namespace {

using Bytes = std::vector<std::byte>;
using test::code_of;

constexpr std::size_t kUsers = 24, kItems = 12;

FederatedPlan small_plan(std::size_t clients_per_round = kUsers) {
  FederatedPlan plan;
  plan.num_items = kItems;
  plan.encoder = test::small_config().encoder;
  plan.encoder.dropout = 0;
  plan.clients_per_round = clients_per_round;
  plan.max_weight = 20;
  return plan;
}

FederatedServerOptions fast(std::size_t least_clients = 1) {
  FederatedServerOptions options;
  options.least_clients = least_clients;
  options.adam.learning_rate = 0.01;
  return options;
}

std::vector<std::uint64_t> everybody(std::size_t users = kUsers) {
  std::vector<std::uint64_t> all(users);
  for (std::size_t user = 0; user < users; ++user) all[user] = user;
  return all;
}

FederatedUser user_of(const Histories& histories, std::uint64_t client, std::uint64_t seed = 5) {
  return {.client = client, .history = histories.of(client), .seed = detail::mix(seed, client)};
}

std::vector<float> weights_of(const SequenceEncoder<float>& encoder) {
  std::vector<float> weights(encoder.parameters().total() + encoder.items().rows() * encoder.dim());
  detail::copy_weights(weights, encoder);
  return weights;
}

// A server in its first round, a client that has begun it, and the updates of all.
struct Started {
  explicit Started(const FederatedPlan& plan = small_plan(), std::size_t least_clients = 1)
      : server(plan, fast(least_clients)), client(plan), round(server.begin_round(everybody())) {
    client.begin(round.message);
  }
  Bytes update(std::uint64_t user) { return client.update(user_of(histories, user)); }

  Histories histories = test::cycle(kUsers, 15, kItems);
  FederatedServer server;
  FederatedClient client;
  FederatedRound round;
};

// As a sender who computes checksums would have it.
Bytes resealed(Bytes message) {
  message.resize(message.size() - detail::kFederatedSumBytes);
  detail::seal_message(message, {});
  return message;
}

template <class Number>
Bytes with(Bytes message, std::size_t at, Number number) {
  std::memcpy(message.data() + at, &number, sizeof number);
  return resealed(std::move(message));
}

ErrorCode refusal(FederatedServer& server, const Bytes& message) {
  return code_of([&] { server.add(message); });
}

// After rounds with everybody.
FederatedServer trained(const FederatedPlan& plan, const FederatedServerOptions& options, std::size_t rounds) {
  const Histories histories = test::cycle(kUsers, 15, kItems);
  FederatedServer server(plan, options);
  FederatedClient client(plan);
  for (std::size_t i = 0; i < rounds; ++i) {
    const FederatedRound round = server.begin_round(everybody());
    client.begin(round.message);
    for (const std::uint64_t user : round.clients) server.add(client.update(user_of(histories, user)));
    server.finish_round();
  }
  return server;
}

TrainedModel model_of(const FederatedServer& server) {
  TrainedModel model;
  model.item_ids = test::cycle(1, 2, kItems).item_ids;
  model.encoder = {std::shared_ptr<void>(), &server.encoder()};
  return model;
}

// The share of users whose next item is the model's best.
double accuracy_after(const FederatedPlan& plan, const FederatedServerOptions& options, std::size_t rounds) {
  const Histories histories = test::cycle(kUsers, 15, kItems);
  const FederatedServer server = trained(plan, options, rounds);
  const TrainedModel model = model_of(server);
  const detail::ScoreAll score_all = ModelUnderTest(model).session();
  double right = 0;
  std::vector<float> scores(kItems);
  for (std::size_t user = 0; user < kUsers; ++user) {
    score_all(histories.of(user), {}, scores);
    right += std::ranges::max_element(scores) - scores.begin() == static_cast<std::ptrdiff_t>((user + 15) % kItems);
  }
  return right / kUsers;
}

}  // namespace

TEST_CASE("Federated training learns what follows what, whatever the server's optimiser", "[privacy][federated]") {
  CHECK(accuracy_after(small_plan(), fast(), 60) == 1);
  FederatedServerOptions momentum = fast();
  momentum.optimizer = ServerOptimizer::sgd;
  momentum.sgd_learning_rate = 0.1;
  momentum.sgd_momentum = 0.9;
  CHECK(accuracy_after(small_plan(8), momentum, 120) == 1);
  FederatedPlan averaging = small_plan(8);
  averaging.local_steps = 5;
  averaging.local_learning_rate = 0.1;
  FederatedServerOptions mean = fast();
  mean.optimizer = ServerOptimizer::sgd;
  mean.sgd_learning_rate = averaging.local_learning_rate;
  CHECK(accuracy_after(averaging, mean, 150) == 1);
  CHECK(accuracy_after(small_plan(), fast(), 1) < 0.5);
}

TEST_CASE("What was trained together is saved, opened and answers as any model", "[privacy][federated]") {
  const test::TemporaryDirectory directory;
  const FederatedServer server = trained(small_plan(), fast(), 60);
  model_of(server).save(directory / "model");
  const Recommender recommender = Recommender::open(directory / "model");
  const auto answer = recommender.recommend_history({3, 4, 5}, {.k = 1});
  REQUIRE(answer.items.size() == 1);
  CHECK(answer.items.front().item == Id(6));
}

TEST_CASE("One local step of everybody is the gradient of the batch", "[privacy][federated]") {
  FederatedPlan plan = small_plan();
  plan.clip = 1000;
  plan.value_bits = 24;
  Started round(plan);
  FederatedServerOptions plain;
  plain.optimizer = ServerOptimizer::sgd;
  plain.sgd_learning_rate = 1;
  FederatedServer server(plan, plain);
  const FederatedRound first = server.begin_round(everybody());
  FederatedClient client(plan);
  client.begin(first.message);
  const std::vector<float> before = weights_of(server.encoder());
  TrainerConfig config = detail::config_of_clients(plan);
  InlineExecutor executor;
  detail::BatchGradient batch(config, round.histories, client.encoder(), executor);
  auto sequences = detail::training_sequences(round.histories, plan.encoder.max_sequence_length);
  const double targets = batch.compute(sequences, 1).targets;
  for (const std::uint64_t user : first.clients) server.add(client.update(user_of(round.histories, user)));
  const FederatedRoundReport report = server.finish_round();
  CHECK(report.weight == static_cast<std::uint64_t>(targets));
  CHECK(report.clients == kUsers);
  const std::vector<float> after = weights_of(server.encoder());
  for (std::size_t i = 0; i < batch.gradient().dense().size(); ++i) {
    REQUIRE(static_cast<double>(before[i] - after[i]) ==
            Approx(static_cast<double>(batch.gradient().dense()[i]) / targets).margin(2e-4));
  }
  CHECK(report.update_norm == Approx(std::sqrt(batch.gradient().squared_norm()) / targets).epsilon(1e-3));
}

TEST_CASE("The same seeds give the same bits, in any order and for any number of threads", "[privacy][federated]") {
  std::vector<std::vector<float>> results;
  FederatedPlan plan = small_plan(10);
  plan.encoder.dropout = 0.2;
  const Histories histories = test::scattered(kUsers, 15, kItems);
  for (const std::size_t threads : {1u, 2u, 8u}) {
    ThreadPool pool(threads);
    FederatedServerOptions options = fast();
    options.executor = &pool;
    FederatedServer server(plan, options);
    FederatedClient client(plan);
    for (int i = 0; i < 3; ++i) {
      const FederatedRound round = server.begin_round(everybody());
      CHECK(round.clients.size() == 10);
      client.begin(round.message);
      for (std::size_t c = 0; c < 10; ++c) {
        server.add(client.update(user_of(histories, round.clients[threads == 2 ? 9 - c : c])));
      }
      server.finish_round();
    }
    results.push_back(weights_of(server.encoder()));
  }
  CHECK(results[1] == results[0]);
  CHECK(results[2] == results[0]);
}

TEST_CASE("Rounds sample different clients of those that are there", "[privacy][federated]") {
  FederatedServer server(small_plan(6), fast());
  std::set<std::uint64_t> met;
  std::vector<std::uint64_t> first;
  for (int i = 0; i < 20; ++i) {
    const FederatedRound round = server.begin_round(everybody(20));
    CHECK(round.number == static_cast<std::uint64_t>(i) + 1);
    CHECK(std::set<std::uint64_t>(round.clients.begin(), round.clients.end()).size() == 6);
    met.insert(round.clients.begin(), round.clients.end());
    if (i == 0) first = round.clients;
    if (i == 1) CHECK(round.clients != first);
    server.abandon_round();
  }
  CHECK(met.size() == 20);
  CHECK(*met.rbegin() < 20);
  const std::vector<std::uint64_t> few{3, 7, 3};
  CHECK(server.begin_round(few).clients == std::vector<std::uint64_t>{3, 7});
}

TEST_CASE("An update is as long whatever its user had, and within the clip", "[privacy][federated]") {
  FederatedPlan plan = small_plan();
  plan.clip = 0.01;
  Started round(plan);
  const std::vector<ItemHandle> two{3, 4};
  const FederatedUser user{.client = 1, .history = {.items = two}, .seed = 9};
  const std::vector<std::int64_t> integers = round.client.contribution(user);
  CHECK(integers.size() == plan.num_values() + 1);
  CHECK(integers.back() == 1);
  double squares = 0;
  for (std::size_t i = 0; i + 1 < integers.size(); ++i) {
    squares += static_cast<double>(integers[i]) * static_cast<double>(integers[i]);
  }
  const double values = static_cast<double>(plan.num_values());
  CHECK(std::sqrt(squares) * plan.quantiser().step() <= plan.clip + plan.quantiser().step() * std::sqrt(values));
  CHECK(std::sqrt(squares) * plan.quantiser().step() > 0.9 * plan.clip);
  CHECK(round.client.update(user).size() == round.update(0).size());
}

TEST_CASE("Several local steps leave the client at the model of the round", "[privacy][federated]") {
  FederatedPlan plan = small_plan();
  plan.local_steps = 3;
  Started round(plan);
  const Bytes once = round.update(2);
  CHECK(weights_of(round.client.encoder()) == weights_of(round.server.encoder()));
  CHECK(round.update(2) == once);
  CHECK(round.client.update(user_of(round.histories, 2, 6)) != once);
}

TEST_CASE("A round ends with those that answered, and late updates are of another", "[privacy][federated]") {
  Started round(small_plan(), 3);
  CHECK(code_of([&] { round.server.finish_round(); }) == ErrorCode::limit_exceeded);
  round.server.add(round.update(0));
  round.server.add(round.update(1));
  CHECK(code_of([&] { round.server.finish_round(); }) == ErrorCode::limit_exceeded);
  CHECK(round.server.stage() == FederatedStage::collecting);
  round.server.add(round.update(2));
  const Bytes late = round.update(3);
  CHECK(round.server.finish_round().clients == 3);
  CHECK(round.server.stage() == FederatedStage::idle);
  CHECK(refusal(round.server, late) == ErrorCode::invalid_data);
  const FederatedRound next = round.server.begin_round(everybody());
  CHECK(refusal(round.server, late) == ErrorCode::invalid_data);
  CHECK(round.server.received() == 0);
  round.client.begin(next.message);
  round.server.add(round.update(3));
  const std::vector<float> before = weights_of(round.server.encoder());
  round.server.abandon_round();
  CHECK(weights_of(round.server.encoder()) == before);
  CHECK(round.server.begin_round(everybody()).number == 3);
}

TEST_CASE("A server that starts anew goes on to the same bits, and never with a round that was",
          "[privacy][federated]") {
  for (const ServerOptimizer optimizer : {ServerOptimizer::adam, ServerOptimizer::sgd}) {
    FederatedServerOptions options = fast();
    options.optimizer = optimizer;
    options.sgd_momentum = 0.9;
    const Histories histories = test::cycle(kUsers, 15, kItems);
    const auto one_round = [&](FederatedServer& server) {
      FederatedClient client(small_plan());
      const FederatedRound round = server.begin_round(everybody());
      client.begin(round.message);
      for (const std::uint64_t user : round.clients) server.add(client.update(user_of(histories, user)));
      server.finish_round();
      return round.number;
    };
    FederatedServer first = trained(small_plan(), options, 3);
    const Bytes kept = first.state();
    FederatedServer second(small_plan(), options);
    second.restore(kept);
    CHECK(second.state() == kept);
    CHECK(one_round(first) == 4);
    CHECK(one_round(second) == 4);
    CHECK(second.state() == first.state());

    second.begin_round(everybody());
    FederatedServer third(small_plan(), options);
    third.restore(second.state());
    CHECK(third.stage() == FederatedStage::idle);
    CHECK(weights_of(third.encoder()) == weights_of(second.encoder()));
    CHECK(third.begin_round(everybody()).number == 6);
    CHECK(code_of([&] { third.restore(kept); }) == ErrorCode::invalid_argument);
  }
}

TEST_CASE("What a server kept is refused where it is cut, changed or of another, and the server is as before",
          "[privacy][federated]") {
  const Bytes kept = trained(small_plan(), fast(), 2).state();
  FederatedServer server = trained(small_plan(), fast(), 1);
  const auto refused = [&](const Bytes& bytes) { return code_of([&] { server.restore(bytes); }); };
  for (std::size_t at = 0; at < kept.size(); at += at < 40 ? 1 : 97) {
    Bytes bad = kept;
    bad[at] ^= std::byte{4};
    const ErrorCode code = refused(bad);
    if (code != ErrorCode::invalid_data && code != ErrorCode::unsupported_version) FAIL("byte " << at);
  }
  for (std::size_t size = 0; size < kept.size(); size += 1 + size / 50) {
    REQUIRE(refused({kept.begin(), kept.begin() + static_cast<std::ptrdiff_t>(size)}) == ErrorCode::invalid_data);
  }
  Bytes longer = kept;
  longer.insert(longer.end() - 8, 4, std::byte{0});
  CHECK(refused(resealed(longer)) == ErrorCode::invalid_data);
  longer.push_back(std::byte{0});
  CHECK(refused(longer) == ErrorCode::invalid_data);
  CHECK(refused(server.begin_round(everybody()).message) == ErrorCode::invalid_argument);
  server.abandon_round();
  constexpr std::size_t kBody = detail::kFederatedHeaderBytes;
  CHECK(refused(with(kept, 16, ~std::uint64_t{0})) == ErrorCode::invalid_data);
  CHECK(refused(with(kept, kBody, std::uint64_t{0})) == ErrorCode::invalid_data);
  CHECK(refused(with(kept, kBody + 8, std::numeric_limits<float>::infinity())) == ErrorCode::invalid_data);
  const std::size_t row_steps = kept.size() - 8 - 2 * 8 - kItems * 4;  // before two rates and the checksum
  CHECK(refused(with(kept, row_steps, std::uint32_t{3})) == ErrorCode::invalid_data);
  FederatedServerOptions other = fast();
  other.optimizer = ServerOptimizer::sgd;
  CHECK(refused(FederatedServer(small_plan(), other).state()) == ErrorCode::invalid_data);
  CHECK(refused(FederatedServer(small_plan(5), fast()).state()) == ErrorCode::invalid_data);
  CHECK(weights_of(server.encoder()) == weights_of(trained(small_plan(), fast(), 1).encoder()));
  CHECK(server.round() == 2);
  server.restore(kept);
  CHECK(server.state() == kept);
}

TEST_CASE("A client that is forgotten leaves nothing pending and cannot come back", "[privacy][federated]") {
  Started with(small_plan()), without(small_plan());
  for (const std::uint64_t user : {4u, 5u, 6u}) with.server.add(with.update(user));
  for (const std::uint64_t user : {4u, 6u}) without.server.add(without.update(user));
  CHECK(with.server.forget(5));
  CHECK_FALSE(with.server.forget(5));
  CHECK_FALSE(with.server.forget(9));
  CHECK(refusal(with.server, with.update(5)) == ErrorCode::invalid_data);
  CHECK(refusal(with.server, with.update(9)) == ErrorCode::invalid_data);
  CHECK(with.server.finish_round().clients == 2);
  without.server.finish_round();
  CHECK(weights_of(with.server.encoder()) == weights_of(without.server.encoder()));
}

TEST_CASE("A sum from secure aggregation counts as its updates do", "[privacy][federated]") {
  Started single, summed;
  std::vector<std::int64_t> sums(single.client.plan().num_values() + 1);
  const std::vector<std::uint64_t> contributors{1, 8, 20};
  for (const std::uint64_t user : contributors) {
    single.server.add(single.update(user));
    const auto integers = summed.client.contribution(user_of(summed.histories, user));
    for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += integers[i];
  }
  const auto refused = [&](const std::vector<std::int64_t>& values, const std::vector<std::uint64_t>& clients) {
    return code_of([&] { summed.server.add_sum(values, clients); }) == ErrorCode::invalid_data;
  };
  CHECK(refused(sums, {}));
  CHECK(refused(sums, {1, 8, 8}));
  CHECK(refused(sums, {1, 8, 99}));
  CHECK(refused({sums.begin(), sums.end() - 1}, contributors));
  std::vector<std::int64_t> wrong = sums;
  wrong[7] = std::numeric_limits<std::int64_t>::min();
  CHECK(refused(wrong, contributors));
  wrong = sums;
  wrong.back() = 2;
  CHECK(refused(wrong, contributors));
  wrong.back() = 61;
  CHECK(refused(wrong, contributors));
  summed.server.add_sum(sums, contributors);
  CHECK(summed.server.received() == 3);
  CHECK(refused(sums, contributors));
  CHECK(refusal(summed.server, summed.update(2)) == ErrorCode::invalid_data);
  CHECK(summed.server.forget(8));  // nobody can take one client out of a sum
  CHECK(summed.server.received() == 0);
  CHECK(refused(sums, contributors));
  CHECK_FALSE(summed.server.forget(8));

  Started again;
  again.server.add_sum(sums, contributors);
  again.server.finish_round();
  single.server.finish_round();
  CHECK(weights_of(again.server.encoder()) == weights_of(single.server.encoder()));
  CHECK(code_of([&] { again.server.add_sum(sums, contributors); }) == ErrorCode::invalid_data);
}

TEST_CASE("Updates that are changed, cut, repeated or of others are refused and the round goes on",
          "[privacy][federated]") {
  Started round;
  const Bytes good = round.update(3);
  for (std::size_t at = 0; at < good.size(); ++at) {
    Bytes bad = good;
    bad[at] ^= std::byte{4};
    const ErrorCode code = refusal(round.server, bad);
    if (code != ErrorCode::invalid_data && code != ErrorCode::unsupported_version) FAIL("byte " << at);
  }
  for (std::size_t size = 0; size < good.size(); size += 1 + size / 50) {
    REQUIRE(refusal(round.server, {good.begin(), good.begin() + static_cast<std::ptrdiff_t>(size)}) ==
            ErrorCode::invalid_data);
  }
  Bytes longer = good;
  longer.resize(good.size() + 1);
  CHECK(refusal(round.server, longer) == ErrorCode::invalid_data);
  longer.resize(good.size() + 1'000'000);
  CHECK(refusal(round.server, longer) == ErrorCode::invalid_data);
  CHECK(refusal(round.server, round.round.message) == ErrorCode::invalid_data);

  constexpr std::size_t kBody = detail::kFederatedHeaderBytes, kWords = kBody + detail::kUpdateHeadBytes;
  CHECK(refusal(round.server, with(good, 4, std::uint8_t{2})) == ErrorCode::unsupported_version);
  CHECK(refusal(round.server, with(good, 4, std::uint8_t{0})) == ErrorCode::invalid_data);
  CHECK(refusal(round.server, with(good, 5, std::uint8_t{1})) == ErrorCode::invalid_data);
  CHECK(refusal(round.server, with(good, 8, std::uint64_t{1})) == ErrorCode::invalid_data);
  CHECK(refusal(round.server, with(good, 16, std::uint64_t{2})) == ErrorCode::invalid_data);
  CHECK(refusal(round.server, with(good, kBody, std::uint64_t{99})) == ErrorCode::invalid_data);
  CHECK(refusal(round.server, with(good, kBody + 8, std::uint64_t{0})) == ErrorCode::invalid_data);
  // More than a client may do to the model: a value, and a weight.
  CHECK(refusal(round.server, with(good, kWords, std::int32_t{1'000'000'000})) == ErrorCode::invalid_data);
  for (const std::int32_t weight : {-1, 0, 21}) {
    CHECK(refusal(round.server, with(good, good.size() - 12, weight)) == ErrorCode::invalid_data);
  }
  CHECK(round.server.received() == 0);
  round.server.add(good);
  CHECK(refusal(round.server, good) == ErrorCode::invalid_data);
  round.server.add(round.update(4));
  CHECK(round.server.finish_round().clients == 2);
}

TEST_CASE("Round messages that are changed, old or of another plan are refused and the client keeps its model",
          "[privacy][federated]") {
  Started round;
  const FederatedRound first = round.round;
  round.server.abandon_round();
  const FederatedRound second = round.server.begin_round(everybody());
  const std::vector<float> before = weights_of(round.client.encoder());
  const auto refused = [&](const Bytes& message) { return code_of([&] { round.client.begin(message); }); };
  for (std::size_t at = 0; at < second.message.size(); at += at < 40 ? 1 : 97) {
    Bytes bad = second.message;
    bad[at] ^= std::byte{4};
    const ErrorCode code = refused(bad);
    if (code != ErrorCode::invalid_data && code != ErrorCode::unsupported_version) FAIL("byte " << at);
  }
  Bytes cut = second.message;
  cut.pop_back();
  CHECK(refused(cut) == ErrorCode::invalid_data);
  CHECK(refused(first.message) == ErrorCode::invalid_data);
  CHECK(refused(with(second.message, 16, std::uint64_t{0})) == ErrorCode::invalid_data);
  CHECK(refused(with(second.message, 60, std::numeric_limits<float>::quiet_NaN())) == ErrorCode::invalid_data);
  FederatedPlan other = small_plan();
  other.clip *= 2;
  FederatedClient stranger(other);
  CHECK(code_of([&] { stranger.begin(second.message); }) == ErrorCode::invalid_data);
  CHECK(code_of([&] { stranger.update(user_of(round.histories, 1)); }) == ErrorCode::invalid_argument);
  CHECK(weights_of(round.client.encoder()) == before);
  CHECK(round.client.round() == 1);
  round.client.begin(second.message);
  CHECK(round.client.round() == 2);
}

TEST_CASE("With authentication nothing counts that is not tagged by its sender", "[privacy][federated]") {
  const auto tag_of = [](std::uint64_t sender, std::span<const std::byte> message) {
    Bytes tag;
    detail::append_number(tag, detail::mix(detail::sum64_of(message), sender + 77));
    return tag;
  };
  const auto speaker = [&](std::uint64_t sender) {
    FederatedAuthentication authentication;
    authentication.sign = [=](auto message) { return tag_of(sender, message); };
    authentication.verify = [=](std::uint64_t from, auto message, auto tag) {
      return std::ranges::equal(tag_of(from, message), tag);
    };
    return authentication;
  };
  const FederatedPlan plan = small_plan();
  const Histories histories = test::cycle(kUsers, 15, kItems);
  FederatedServer server(plan, fast(), speaker(FederatedAuthentication::kServer));
  FederatedClient client(plan, speaker(3)), open(plan), impostor(plan, speaker(4));
  const FederatedRound round = server.begin_round(everybody());
  CHECK(code_of([&] { open.begin(round.message); }) == ErrorCode::invalid_data);
  CHECK(code_of([&] { client.begin(resealed(Bytes(round.message.begin(), round.message.end() - 8))); }) ==
        ErrorCode::invalid_data);
  client.begin(round.message);
  impostor.begin(round.message);
  CHECK(refusal(server, impostor.update(user_of(histories, 3))) == ErrorCode::invalid_data);
  const Bytes good = client.update(user_of(histories, 3));
  CHECK(refusal(server, Bytes(good.begin(), good.end() - 8)) == ErrorCode::invalid_data);
  server.add(good);

  FederatedAuthentication chatty;
  chatty.sign = [](auto) { return Bytes(FederatedAuthentication::kMostTagBytes + 1); };
  FederatedServer talks(plan, fast(), chatty);
  CHECK(code_of([&] { talks.begin_round(everybody()); }) == ErrorCode::limit_exceeded);
  CHECK(talks.stage() == FederatedStage::idle);
}

TEST_CASE("Histories from which nothing can be learned are refused, unknown items left out", "[privacy][federated]") {
  Started round;
  const std::vector<ItemHandle> one{3}, strangers{3, kItems, 500}, mixed{3, 500, 4};
  const auto code = [&](FederatedClient& client, std::span<const ItemHandle> items) {
    return code_of([&] { client.update({.client = 1, .history = {.items = items}}); });
  };
  CHECK(code(round.client, {}) == ErrorCode::invalid_data);
  CHECK(code(round.client, one) == ErrorCode::invalid_data);
  CHECK(code(round.client, strangers) == ErrorCode::invalid_data);
  const std::vector<ItemHandle> known{3, 4};
  CHECK(round.client.update({.client = 1, .history = {.items = mixed}}) ==
        round.client.update({.client = 1, .history = {.items = known}}));
  FederatedPlan timed = small_plan();
  timed.encoder.block = BlockKind::hstu;
  timed.encoder.time_buckets = 8;
  Started other(timed);
  CHECK(code(other.client, known) == ErrorCode::invalid_data);
}

TEST_CASE("Plans and options outside their bounds are refused", "[privacy][federated]") {
  const auto refused = [](auto change, ErrorCode expected = ErrorCode::invalid_config) {
    FederatedPlan plan = small_plan();
    FederatedServerOptions options = fast();
    change(plan, options);
    return code_of([&] { FederatedServer(plan, options); }) == expected;
  };
  CHECK(refused([](auto& plan, auto&) { plan.num_items = 0; }));
  CHECK(refused([](auto& plan, auto&) { plan.num_items = std::size_t{1} << 40; }));
  CHECK(refused([](auto& plan, auto&) { plan.clients_per_round = 0; }));
  CHECK(refused([](auto& plan, auto&) { plan.local_steps = 0; }));
  CHECK(refused([](auto& plan, auto&) { plan.local_learning_rate = std::nan(""); }));
  CHECK(refused([](auto& plan, auto&) { plan.clip = 0; }));
  CHECK(refused([](auto& plan, auto&) { plan.value_bits = 31; }));
  CHECK(refused([](auto& plan, auto&) { plan.encoder.num_heads = 3; }));
  CHECK(refused([](auto& plan, auto&) { plan.objective.sampling_power = 0.5; }, ErrorCode::unsupported));
  CHECK(refused([](auto&, auto& options) { options.least_clients = 0; }));
  CHECK(refused([](auto&, auto& options) { options.least_clients = kUsers + 1; }));
  CHECK(refused([](auto&, auto& options) { options.adam.learning_rate = 0; }));
  CHECK(refused([](auto&, auto& options) { options.sgd_momentum = 1; }));
  CHECK(refused([](auto&, auto& options) { options.final_learning_rate = 2; }));

  FederatedServer server(small_plan(), fast(5));
  CHECK(code_of([&] { server.finish_round(); }) == ErrorCode::invalid_argument);
  CHECK(code_of([&] { server.begin_round(everybody(4)); }) == ErrorCode::limit_exceeded);
  const std::vector<std::uint64_t> strange{1, 2, 3, 4, 5, FederatedAuthentication::kServer};
  CHECK(code_of([&] { server.begin_round(strange); }) == ErrorCode::invalid_argument);
  server.begin_round(everybody());
  CHECK(code_of([&] { server.begin_round(everybody()); }) == ErrorCode::invalid_argument);

  const FederatedServer next(small_plan(), fast(), {}, &server.encoder());
  CHECK(weights_of(next.encoder()) == weights_of(server.encoder()));
  FederatedPlan wider = small_plan();
  wider.num_items += 1;
  CHECK(code_of([&] { FederatedServer(wider, fast(), {}, &server.encoder()); }) == ErrorCode::invalid_argument);
}

TEST_CASE("The learning rate warms up and falls", "[privacy][federated]") {
  std::vector<double> moved;
  FederatedServerOptions options = fast();
  options.rounds = 6;
  options.warmup_rounds = 2;
  options.final_learning_rate = 0;
  FederatedServer server(small_plan(), options);
  FederatedClient client(small_plan());
  const Histories histories = test::cycle(kUsers, 15, kItems);
  for (int i = 0; i < 6; ++i) {
    client.begin(server.begin_round(everybody()).message);
    for (std::uint64_t user = 0; user < kUsers; ++user) server.add(client.update(user_of(histories, user)));
    const std::vector<float> before = weights_of(server.encoder());
    server.finish_round();
    const std::vector<float> after = weights_of(server.encoder());
    double squares = 0;
    for (std::size_t w = 0; w < before.size(); ++w) squares += std::pow(static_cast<double>(after[w] - before[w]), 2);
    moved.push_back(std::sqrt(squares));
  }
  CHECK(moved[0] < 0.9 * moved[1]);
  CHECK(moved[4] < 0.3 * moved[1]);
  CHECK(moved[5] == 0);
}

}  // namespace attune
