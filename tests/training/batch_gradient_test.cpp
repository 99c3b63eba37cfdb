// SPDX-License-Identifier: Apache-2.0
#include "training/batch_gradient.hpp"

#include <cmath>
#include <memory>
#include <optional>
#include <vector>

#include "catch.hpp"
#include "training/small_training.hpp"

namespace attune {

using namespace test;

namespace {

struct Gradient {
  double loss = 0;
  double targets = 0;
  std::vector<float> dense, rows;  // rows [items, D]
};

std::vector<float> all_rows(GradientBuffer gradient) {
  std::vector<float> rows;
  for (std::size_t item = 0; item < gradient.num_rows(); ++item) {
    const auto row = gradient.row(static_cast<ItemHandle>(item));
    rows.insert(rows.end(), row.begin(), row.end());
  }
  return rows;
}

// Encoder and objective one after the other, all sequences in one pass; the encoder sees no item where `hide`.
Gradient by_hand(const Histories& histories, const SequenceEncoder<float>& encoder,
                 const std::vector<detail::TrainingSequence>& sequences, const detail::Dropout& dropout,
                 bool hide = false, const detail::TeacherTargets* teacher = nullptr) {
  SequenceBatch batch;
  std::vector<ItemHandle> soft_items;
  std::vector<float> soft_shares;
  for (const auto& sequence : sequences) {
    const HistoryView events = histories.of(sequence.user).subview(sequence.begin, sequence.length);
    batch.add_training_sequence({events.items}, detail::mix(sequence.user, sequence.begin));
    if (teacher) teacher->append(soft_items, soft_shares, sequence);
  }
  const std::size_t tokens = batch.num_tokens(), dim = encoder.dim();
  for (std::size_t token = 0; hide && token < tokens; ++token) batch.hide(token);
  std::vector<float> hidden(tokens * dim), d_hidden(tokens * dim), d_inputs(tokens * dim);
  GradientBuffer gradient(encoder.parameters().total(), encoder.items().rows(), dim);
  OutputTable<float> outputs;
  ObjectiveScratch<float> scratch;
  OutputGradient<float> d_outputs;
  Buffer<float> tape;
  outputs.assign(encoder.items(), encoder.config().score, encoder.config().temperature);
  encoder.forward(hidden, tape, batch, dropout);
  const double loss =
      softmax_cross_entropy<float>(d_hidden, d_outputs, gradient, hidden, batch.targets(), {}, outputs, 0.0, scratch,
                                   {teacher ? teacher->count() : 0, soft_items, soft_shares});
  softmax_cross_entropy_fold<float>(gradient, outputs, d_outputs);
  encoder.backward(gradient.dense(), d_inputs, d_hidden, tape, batch, dropout);
  for (std::size_t token = 0; !hide && token < tokens; ++token) {
    const auto row = gradient.row(batch.items()[token]);
    for (std::size_t d = 0; d < dim; ++d) row[d] += d_inputs[token * dim + d];
  }
  return {loss, static_cast<double>(tokens), {gradient.dense().begin(), gradient.dense().end()}, all_rows(gradient)};
}

double relative_distance(const std::vector<float>& a, const std::vector<float>& b) {
  REQUIRE(a.size() == b.size());
  double difference = 0, size = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double x = static_cast<double>(a[i]), y = static_cast<double>(b[i]);
    difference += (x - y) * (x - y);
    size += y * y;
  }
  return std::sqrt(difference / size);
}

}  // namespace

TEST_CASE("The gradient of a batch is that of encoder and objective", "[training][batch_gradient]") {
  // Several passes of each slot, and events of unequal ratings.
  Histories histories = scattered(150, 25, 30);
  for (std::size_t i = 0; i < histories.values.size(); ++i) histories.values[i] = static_cast<float>(i % 5);
  TrainerConfig config = small_config();
  config.encoder.score = GENERATE(ScoreKind::cosine, ScoreKind::dot);
  config.encoder.dropout = 0.3;
  config.encoder.attention_dropout = 0.2;
  config.gradient_slots = 3;
  config.mixed_precision = false;
  const auto made = make_encoder(config.encoder, histories.num_items());
  SequenceEncoder<float>& encoder = *made;
  encoder.initialize(1);
  InlineExecutor executor;
  std::optional<detail::TeacherTargets> teacher;
  if (GENERATE(false, true)) {
    std::shared_ptr<SequenceEncoder<float>> large = make_encoder(config.encoder, histories.num_items());
    large->initialize(2);
    config.teacher = large;
    teacher.emplace(config, histories, executor);
  }
  detail::BatchGradient batch_gradient(config, histories, encoder, executor);

  const auto all = detail::training_sequences(histories, config.encoder.max_sequence_length);
  // The second batch leaves slots empty that the first one filled.
  for (const std::size_t size : {all.size(), std::size_t{2}, all.size() / 2}) {
    INFO(size << " sequences");
    std::vector<detail::TrainingSequence> batch(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(size));
    const Gradient expected = by_hand(histories, encoder, batch, {.rate = 0.3, .attention_rate = 0.2, .stream = size},
                                      false, teacher ? &*teacher : nullptr);
    const auto loss = batch_gradient.compute(batch, size);
    CHECK(loss.sum == Approx(expected.loss).epsilon(1e-5));
    CHECK(loss.targets == expected.targets);
    const auto dense = batch_gradient.gradient().dense();
    CHECK(relative_distance({dense.begin(), dense.end()}, expected.dense) < 1e-4);
    CHECK(relative_distance(all_rows(batch_gradient.gradient()), expected.rows) < 1e-4);
  }
}

TEST_CASE("Dropped items are inputs that the encoder does not see, and targets as before",
          "[training][batch_gradient]") {
  const Histories histories = scattered(60, 25, 30);
  TrainerConfig config = small_config();
  config.encoder.dropout = 0;
  config.mixed_precision = false;
  const auto encoder = make_encoder(config.encoder, histories.num_items());
  encoder->initialize(1);
  InlineExecutor executor;
  auto sequences = detail::training_sequences(histories, config.encoder.max_sequence_length);
  const auto loss = [&](double item_dropout, std::uint64_t stream) {
    config.item_dropout = item_dropout;
    const auto found = detail::BatchGradient(config, histories, *encoder, executor).compute(sequences, stream);
    return std::pair(found.sum, found.targets);
  };
  const Gradient none = by_hand(histories, *encoder, sequences, {}),
                 all = by_hand(histories, *encoder, sequences, {}, true);
  CHECK(loss(0, 1).first == Approx(none.loss).epsilon(1e-5));
  CHECK(loss(1 - 1e-9, 1).first == Approx(all.loss).epsilon(1e-5));
  CHECK(loss(0.5, 1) == loss(0.5, 1));
  CHECK(loss(0.5, 1).first != loss(0.5, 2).first);
  CHECK(loss(0.5, 1).second == none.targets);
}

TEST_CASE("A shared set of all items with logQ is the full softmax", "[training][batch_gradient]") {
  const Histories histories = cycle(40, 25, 30);
  TrainerConfig full = small_config(), sampled = small_config();
  full.mixed_precision = sampled.mixed_precision = false;
  sampled.objective = {.loss = LossKind::sampled_softmax,
                       .negatives = 30,
                       .shared_negatives = true,
                       .sampling_power = 1.0,
                       .log_q = true};
  const auto encoder = make_encoder(full.encoder, histories.num_items());
  encoder->initialize(1);
  InlineExecutor executor;
  auto sequences = detail::training_sequences(histories, full.encoder.max_sequence_length);
  const double expected = detail::BatchGradient(full, histories, *encoder, executor).compute(sequences, 1).sum;
  CHECK(detail::BatchGradient(sampled, histories, *encoder, executor).compute(sequences, 1).sum ==
        Approx(expected).epsilon(1e-5));
}

TEST_CASE("Products that round give the gradient within what rounding costs", "[training][batch_gradient]") {
  const Histories histories = scattered(60, 25, 30);
  TrainerConfig config = small_config();
  config.encoder.block = GENERATE(BlockKind::sasrec, BlockKind::hstu);
  const auto encoder = make_encoder(config.encoder, histories.num_items());
  encoder->initialize(1);
  InlineExecutor executor;
  auto sequences = detail::training_sequences(histories, config.encoder.max_sequence_length);
  const auto gradient = [&](bool mixed_precision) {
    config.mixed_precision = mixed_precision;
    detail::BatchGradient batch_gradient(config, histories, *encoder, executor);
    const auto loss = batch_gradient.compute(sequences, 1);
    const auto dense = batch_gradient.gradient().dense();
    return Gradient{loss.sum, loss.targets, {dense.begin(), dense.end()}, all_rows(batch_gradient.gradient())};
  };
  const Gradient rounded = gradient(true), exact = gradient(false);
  CHECK(rounded.loss == Approx(exact.loss).epsilon(2e-3));
  CHECK(relative_distance(rounded.dense, exact.dense) < 0.02);
  CHECK(relative_distance(rounded.rows, exact.rows) < 0.02);
}

}  // namespace attune
