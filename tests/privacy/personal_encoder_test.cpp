// SPDX-License-Identifier: Apache-2.0
#include "attune/privacy/personal_encoder.hpp"

#include <cmath>
#include <vector>

#include "privacy/federated_plan.hpp"
#include "training/batch_gradient.hpp"
#include "training/small_training.hpp"

namespace attune {
namespace {

using test::code_of;

constexpr std::size_t kItems = 12;

FederatedPlan small_plan() {
  FederatedPlan plan;
  plan.num_items = kItems;
  plan.encoder = test::small_config().encoder;
  plan.encoder.num_blocks = 2;
  return plan;
}

std::unique_ptr<SequenceEncoder<float>> common_encoder(std::uint64_t seed = 1) {
  auto encoder = small_plan().make_encoder();
  encoder->initialize(seed);
  return encoder;
}

std::vector<float> weights_of(const SequenceEncoder<float>& encoder) {
  std::vector<float> weights(encoder.parameters().total() + kItems * encoder.dim());
  detail::copy_weights(weights, encoder);
  return weights;
}

// Of next events in the history, by an encoder.
double loss_of(const SequenceEncoder<float>& encoder, const Histories& histories) {
  FederatedPlan plan = small_plan();
  plan.encoder.dropout = 0;
  auto sober = plan.make_encoder();
  detail::copy_encoder(*sober, encoder);
  const TrainerConfig config = detail::config_of_clients(plan);
  InlineExecutor executor;
  detail::BatchGradient gradient(config, histories, *sober, executor);
  auto sequences = detail::training_sequences(histories, plan.encoder.max_sequence_length);
  const auto loss = gradient.compute(sequences, 1);
  return loss.sum / loss.targets;
}

}  // namespace

TEST_CASE("A personal encoder learns its user's history in its last layers alone", "[privacy][personal]") {
  const Histories histories = test::cycle(1, 15, kItems);
  const auto common = common_encoder();
  for (const std::size_t blocks : {0u, 1u, 2u}) {
    PersonalEncoder personal(small_plan(), {.blocks = blocks, .steps = 20, .learning_rate = 0.02});
    personal.follow(*common);
    CHECK(weights_of(personal.encoder()) == weights_of(*common));
    personal.learn(histories.of(0), 3);
    CHECK(loss_of(personal.encoder(), histories) < 0.95 * loss_of(*common, histories));
    for (const Parameter& part : common->parameters().list()) {
      const bool own = part.name.starts_with("final_norm") || (blocks > 0 && part.name.starts_with("blocks.1.")) ||
                       (blocks > 1 && part.name.starts_with("blocks."));
      INFO(part.name);
      const auto before = common->weights().subspan(part.offset, part.size);
      const auto after = personal.encoder().weights().subspan(part.offset, part.size);
      if (!own) CHECK(std::ranges::equal(before, after));
      if (own && part.name.ends_with("norm.bias")) CHECK_FALSE(std::ranges::equal(before, after));
    }
    const std::size_t dense = common->parameters().total();
    const std::vector<float> all = weights_of(personal.encoder()), start = weights_of(*common);
    CHECK(std::equal(all.begin() + static_cast<std::ptrdiff_t>(dense), all.end(),
                     start.begin() + static_cast<std::ptrdiff_t>(dense)));
    personal.reset();
    CHECK(weights_of(personal.encoder()) == start);
  }
}

TEST_CASE("The difference goes on when the common weights change, and survives as bytes", "[privacy][personal]") {
  const Histories histories = test::cycle(1, 15, kItems);
  const auto first = common_encoder(1), second = common_encoder(2);
  PersonalEncoder personal(small_plan()), again(small_plan()), restored(small_plan());
  personal.follow(*first);
  personal.learn(histories.of(0), 3);
  again.follow(*first);
  again.learn(histories.of(0), 3);
  CHECK(weights_of(again.encoder()) == weights_of(personal.encoder()));
  const std::vector<float> before = weights_of(*first), own = weights_of(personal.encoder());
  personal.follow(*second);
  const std::vector<float> after = weights_of(*second), moved = weights_of(personal.encoder());
  for (std::size_t i = 0; i < own.size(); ++i) {
    REQUIRE(static_cast<double>(moved[i] - after[i]) == Approx(own[i] - before[i]).margin(1e-6));
  }
  restored.restore(personal.to_bytes());
  restored.follow(*second);
  CHECK(weights_of(restored.encoder()) == moved);
}

TEST_CASE("What is no difference of this plan is refused and changes nothing", "[privacy][personal]") {
  const Histories histories = test::cycle(1, 15, kItems);
  const auto common = common_encoder();
  PersonalEncoder personal(small_plan()), other(small_plan());
  personal.follow(*common);
  other.follow(*common);
  other.learn(histories.of(0), 3);
  const std::vector<std::byte> bytes = other.to_bytes();
  for (std::size_t at = 0; at < bytes.size(); at += at < 40 ? 1 : 13) {
    std::vector<std::byte> bad = bytes;
    bad[at] ^= std::byte{2};
    const ErrorCode code = code_of([&] { personal.restore(bad); });
    if (code != ErrorCode::corrupt_file && code != ErrorCode::unsupported_version && code != ErrorCode::invalid_data) {
      FAIL("byte " << at);
    }
  }
  for (const std::size_t size : {std::size_t{0}, std::size_t{3}, std::size_t{30}, bytes.size() - 1}) {
    CHECK(code_of([&] { personal.restore(std::span(bytes).first(size)); }) == ErrorCode::corrupt_file);
  }
  std::vector<std::byte> longer = bytes;
  longer.emplace_back();
  CHECK(code_of([&] { personal.restore(longer); }) == ErrorCode::corrupt_file);
  PersonalEncoder shallow(small_plan(), {.blocks = 0});
  CHECK(code_of([&] { shallow.restore(bytes); }) == ErrorCode::invalid_data);
  FederatedPlan wider = small_plan();
  wider.num_items += 1;
  CHECK(code_of([&] { PersonalEncoder(wider).restore(bytes); }) == ErrorCode::invalid_data);
  CHECK(code_of([&] { PersonalEncoder(wider).follow(*common); }) == ErrorCode::invalid_argument);

  const std::vector<ItemHandle> one{3, kItems + 1};
  CHECK(code_of([&] { personal.learn({.items = one}, 1); }) == ErrorCode::invalid_data);
  CHECK(weights_of(personal.encoder()) == weights_of(*common));
  PersonalEncoder hasty(small_plan(), {.learning_rate = 1e30});
  hasty.follow(*common);
  CHECK(code_of([&] { hasty.learn(histories.of(0), 1); }) == ErrorCode::non_finite);
  CHECK(weights_of(hasty.encoder()) == weights_of(*common));

  for (const PersonalOptions& options :
       {PersonalOptions{.blocks = 3}, {.steps = 0}, {.learning_rate = 0}, {.learning_rate = std::nan("")}}) {
    CHECK(code_of([&] { PersonalEncoder(small_plan(), options); }) == ErrorCode::invalid_config);
  }
}

}  // namespace attune
