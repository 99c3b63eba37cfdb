// SPDX-License-Identifier: Apache-2.0
#include "attune/model/hstu_block.hpp"

#include <algorithm>
#include <string>
#include <vector>

#include "attune/model/transformer_encoder.hpp"
#include "catch.hpp"
#include "random_encoder.hpp"

using namespace attune;
using namespace attune::test;

namespace {

constexpr std::size_t kItems = 40;

EncoderConfig small_config() {
  EncoderConfig config;
  config.block = BlockKind::hstu;
  config.embedding_dim = 24;
  config.num_blocks = 3;
  config.num_heads = 3;
  config.max_sequence_length = 20;
  config.layer_norm_epsilon = 1e-6;
  return config;
}

// Configurations that between them reach every branch of serving.
std::vector<EncoderConfig> serving_configs() {
  std::vector<EncoderConfig> configs(7, small_config());
  configs[0].absolute_positions = false;
  configs[1].time_buckets = 64;
  configs[1].hop = 1;
  configs[2].time_buckets = 129;
  configs[2].request_time = true;
  configs[2].bias_per_head = false;
  configs[3].relative_positions = false;
  configs[3].attention_divisor = 33;
  configs[3].learned_norms = true;
  configs[3].final_norm = false;
  configs[4].embedding_dim = 50;
  configs[4].num_heads = 2;
  configs[4].max_sequence_length = 150;
  configs[4].time_buckets = 100;
  configs[4].request_time = true;
  configs[4].scale_items = true;
  configs[5].max_sequence_length = 1;
  configs[5].time_buckets = 8;
  configs[5].request_time = true;
  configs[6].feed_forward = true;
  configs[6].inner_dim = 40;
  return configs;
}

// Items and times, gaps from seconds to days.
struct Events {
  explicit Events(std::size_t count) : items(random_items(count, kItems, 3)), times(count) {
    Timestamp now = 1'000'000'000'000;
    for (std::size_t i = 0; i < count; ++i) {
      const auto size = static_cast<std::int64_t>(1) << (detail::mix(5, i) % 28);
      now += 1000 + size;
      times[i] = now;
    }
  }
  HistoryView first(std::size_t n) const { return HistoryView{items, times}.first(n); }
  std::vector<ItemHandle> items;
  std::vector<Timestamp> times;
};

template <class T>
std::vector<T> encoded(const TransformerEncoder<T, HstuBlock>& encoder, HistoryView history, Timestamp now) {
  std::vector<T> vector(encoder.dim());
  BasicWorkspace<T> workspace;
  encoder.encode(vector, history, {.now = now}, workspace);
  return vector;
}

// The last row of the training pass over the suffix that serving would encode, when the event it predicts is at `now`.
template <class T>
std::vector<T> trained_last_row(const TransformerEncoder<T, HstuBlock>& encoder, HistoryView history, Timestamp now) {
  const EncoderConfig& config = encoder.config();
  const std::size_t start = window_start(history.size(), config.max_sequence_length, config.effective_hop());
  std::vector<ItemHandle> items(history.items.begin() + static_cast<std::ptrdiff_t>(start), history.items.end());
  std::vector<Timestamp> times(history.times.begin() + static_cast<std::ptrdiff_t>(start), history.times.end());
  items.push_back(0);
  times.push_back(now);
  SequenceBatch batch;
  batch.add_training_sequence({items, times}, 1);
  std::vector<T> hidden(batch.num_tokens() * encoder.dim());
  Buffer<T> tape;
  encoder.forward(hidden, tape, batch);
  return {hidden.end() - static_cast<std::ptrdiff_t>(encoder.dim()), hidden.end()};
}

// The direction, which is what a cosine reads.
template <class T>
std::vector<T> as_scored(std::vector<T> vector) {
  T squares = 0;
  for (const T x : vector) squares += x * x;
  for (T& x : vector) x /= std::sqrt(squares);
  return vector;
}

// 500 appends in random groups, asked at several times in between; each answer must equal a full encode, bit for
// bit, and the training pass.
template <class T>
void check_appends(const EncoderConfig& config, double tolerance) {
  const auto encoder = random_encoder<T, HstuBlock>(config, kItems);
  const Events events(500);
  auto state = encoder.make_state();
  BasicWorkspace<T> workspace;
  std::vector<T> vector(encoder.dim());
  for (std::size_t n = 1; n <= events.items.size(); ++n) {
    if (detail::mix(17, n) % 4 == 0 && n < events.items.size()) continue;  // left to the next call
    encoder.advance(state, events.first(n), workspace);
    if (detail::mix(18, n) % 4 == 0 && n < events.items.size()) continue;  // nobody asks
    for (const Timestamp wait : {86'400'000, 3000}) {
      const Timestamp now = events.times[n - 1] + wait;
      encoder.user_vector(vector, state, {.now = now}, workspace);
      const std::vector<T> full = encoded(encoder, events.first(n), now);
      const std::vector<T> trained = trained_last_row(encoder, events.first(n), now);
      REQUIRE(vector == full);
      REQUIRE(largest_difference<T>(as_scored(vector), as_scored(trained)) <= tolerance);
    }
    REQUIRE(state.num_events() == n);
    REQUIRE(std::ranges::any_of(vector, [](T value) { return std::abs(value) > T(0.1); }));
  }
}

}  // namespace

TEST_CASE("A state of HSTU has the bits of a full encode and equals the training pass after each of 500 appends",
          "[model][hstu][slow]") {
  for (const EncoderConfig& config : serving_configs()) {
    check_appends<float>(config, 1e-5);
    if (config.max_sequence_length < 100) check_appends<double>(config, 1e-12);  // naive kernels: small shapes only
  }
}

TEST_CASE("A state of HSTU in bfloat16 is the same however it was filled, and near a full encode", "[model][hstu]") {
  for (const EncoderConfig& config : serving_configs()) {
    const auto encoder = random_encoder<float, HstuBlock>(config, kItems);
    const Events events(200);
    auto state = encoder.make_state(StateStorage::bfloat16);
    Workspace workspace;
    std::vector<float> vector(encoder.dim()), at_once(encoder.dim());
    double worst = 0;
    for (std::size_t n = 1; n <= events.items.size(); ++n) {
      if (detail::mix(17, n) % 4 == 0 && n < events.items.size()) continue;  // left to the next call
      const Context context{.now = events.times[n - 1] + 3000};
      encoder.advance(state, events.first(n), workspace);
      encoder.user_vector(vector, state, context, workspace);
      auto fresh = encoder.make_state(StateStorage::bfloat16);
      encoder.advance(fresh, events.first(n), workspace);
      encoder.user_vector(at_once, fresh, context, workspace);
      REQUIRE(vector == at_once);
      const std::vector<float> full = encoded(encoder, events.first(n), context.now);
      worst = std::max(worst, largest_difference<float>(as_scored(vector), as_scored(full)));
    }
    CHECK(worst > 1e-5);  // it does round
    CHECK(worst < 0.05);
  }
}

TEST_CASE("The time of the request matters where rows know it, and only there", "[model][hstu]") {
  EncoderConfig config = small_config();
  config.time_buckets = 128;
  const Events events(15);
  const Timestamp last = events.times.back(), soon = last + 2000, late = last + 30ll * 86'400'000;
  const auto past = random_encoder<float, HstuBlock>(config, kItems);
  CHECK(encoded(past, events.first(15), soon) == encoded(past, events.first(15), late));
  config.request_time = true;
  const auto request = random_encoder<float, HstuBlock>(config, kItems);
  CHECK(encoded(request, events.first(15), soon) != encoded(request, events.first(15), late));
  // Without a time the request happens at the last event.
  CHECK(encoded(request, events.first(15), kNoTime) == encoded(request, events.first(15), last));
}

TEST_CASE("Times between events matter where the encoder reads them, and only there", "[model][hstu]") {
  EncoderConfig config = small_config();
  Events events(15);
  const Timestamp now = events.times.back();
  const auto order = random_encoder<float, HstuBlock>(config, kItems);
  config.time_buckets = 128;
  const auto timed = random_encoder<float, HstuBlock>(config, kItems);
  CHECK_FALSE(order.needs_time());
  CHECK(timed.needs_time());
  const auto order_before = encoded(order, events.first(15), now), timed_before = encoded(timed, events.first(15), now);
  events.times[3] -= 500'000'000;
  CHECK(encoded(order, events.first(15), now) == order_before);
  CHECK(encoded(timed, events.first(15), now) != timed_before);
}

TEST_CASE("A history without times counts as simultaneous, served and trained", "[model][hstu]") {
  EncoderConfig config = small_config();
  config.time_buckets = 128;
  config.request_time = GENERATE(false, true);
  const auto encoder = random_encoder<float, HstuBlock>(config, kItems);
  Events events(12);
  std::ranges::fill(events.times, 5000);
  const std::vector<float> simultaneous = encoded(encoder, events.first(12), 5000);
  const HistoryView bare{events.items};
  CHECK(encoded(encoder, bare, 9'000'000) == simultaneous);
  auto state = encoder.make_state();
  Workspace workspace;
  std::vector<float> vector(encoder.dim());
  encoder.advance(state, bare, workspace);
  encoder.user_vector(vector, state, {}, workspace);
  CHECK(largest_difference<float>(vector, simultaneous) <= 1e-5);
  SequenceBatch batch;
  batch.add_sequence(bare);
  std::vector<float> hidden(12 * encoder.dim());
  Buffer<float> tape;
  encoder.forward(hidden, tape, batch);
  CHECK(largest_difference<float>(std::span(hidden).last(encoder.dim()), simultaneous) <= 1e-5);
}

TEST_CASE("A packed batch of HSTU gives each sequence what it gets alone, with dropout", "[model][hstu]") {
  EncoderConfig config = small_config();
  config.max_sequence_length = 70;
  config.time_buckets = 64;
  const auto encoder = random_encoder<float, HstuBlock>(config, kItems);
  const TrainingMode mode(detail::Dropout{.rate = 0.3, .stream = 99});
  const Events events(70);
  const std::size_t lengths[] = {7, 2, 70, 33};
  SequenceBatch batch;
  for (std::size_t s = 0; s < 4; ++s) batch.add_training_sequence(events.first(lengths[s]), s);
  std::vector<float> hidden(batch.num_tokens() * encoder.dim());
  Buffer<float> tape;
  encoder.forward(hidden, tape, batch, mode);
  for (std::size_t s = 0; s < 4; ++s) {
    SequenceBatch single;
    single.add_training_sequence(events.first(lengths[s]), s);
    std::vector<float> alone(single.num_tokens() * encoder.dim());
    encoder.forward(alone, tape, single, mode);
    const auto part = std::span(hidden).subspan(batch.begin(s) * encoder.dim(), alone.size());
    CHECK(largest_difference<float>(alone, part) <= 2e-6);
  }
}

TEST_CASE("Parameters of HSTU are named after the part they belong to and start as they should", "[model][hstu]") {
  EncoderConfig config = small_config();
  config.num_blocks = 1;
  config.time_buckets = 16;
  config.learned_norms = true;
  config.feed_forward = true;
  HstuEncoder encoder(config, 1);
  std::vector<std::string> names;
  for (const Parameter& parameter : encoder.parameters().list()) names.push_back(parameter.name);
  CHECK(names == std::vector<std::string>{"position_embedding.weight", "blocks.0.input_norm.weight",
                                          "blocks.0.input_norm.bias", "blocks.0.projection.weight",
                                          "blocks.0.context_norm.weight", "blocks.0.context_norm.bias",
                                          "blocks.0.output.weight", "blocks.0.output.bias", "blocks.0.position_bias",
                                          "blocks.0.time_bias", "blocks.0.feed_forward_norm.weight",
                                          "blocks.0.feed_forward_norm.bias", "blocks.0.feed_forward.inner.weight",
                                          "blocks.0.feed_forward.inner.bias", "blocks.0.feed_forward.outer.weight",
                                          "blocks.0.feed_forward.outer.bias", "final_norm.weight", "final_norm.bias"});
  encoder.initialize(1);
  const Parameter& output = encoder.parameters().list()[6];
  const auto values = encoder.weights().subspan(output.offset, output.size);
  const float bound = std::sqrt(6.0f / 48.0f);
  CHECK(std::ranges::all_of(values, [&](float x) { return std::abs(x) <= bound; }));
  CHECK(*std::ranges::max_element(values) > 0.9f * bound);
  CHECK(*std::ranges::min_element(values) < -0.9f * bound);
}
