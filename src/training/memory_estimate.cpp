// SPDX-License-Identifier: Apache-2.0
#include "attune/training/memory_estimate.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>
#include <vector>

#include "attune/detail/kernels.hpp"
#include "attune/model/hstu_block.hpp"
#include "attune/model/sasrec_block.hpp"
#include "training/batch_gradient.hpp"
#include "training/learner.hpp"

// V items, D width.

namespace attune::inline v0_1 {

namespace {

constexpr std::size_t kFloat = sizeof(float);

// A vector that grows one element after another has room for the next power of two, and its half beside it while it
// moves.
std::size_t grown(std::size_t elements) { return elements == 0 ? 0 : std::bit_ceil(elements); }

// What an encoder is made of, without making one: floats.
struct EncoderSizes {
  std::size_t dense = 0;    // weights beside the item rows
  std::size_t tape = 0;     // of one packed batch
  std::size_t serving = 0;  // a user's cache and the scratch of a full pass
  std::size_t tokens = 0;   // of one packed batch
};

// As full as a pass through the encoder gets: sequences of the longest length.
SequenceBatch full_batch(const EncoderConfig& config) {
  const std::size_t length = config.max_sequence_length;
  const std::vector<ItemHandle> items(length, 0);
  const std::vector<Timestamp> times(config.time_buckets > 0 ? length : 0, 0);
  SequenceBatch batch;
  do {
    batch.add_sequence({items, times});
  } while (batch.num_tokens() + length <= detail::kPackedTokens);
  return batch;
}

template <class Block>
EncoderSizes sizes_of(const EncoderConfig& config) {
  const std::size_t dim = config.embedding_dim, blocks = config.num_blocks;
  ParameterList parameters;
  const Block block(config, 0, parameters);
  const SequenceBatch batch = full_batch(config);
  EncoderSizes sizes;
  sizes.tokens = batch.num_tokens();
  sizes.dense = blocks * parameters.total() + (config.absolute_positions ? config.max_sequence_length * dim : 0);
  sizes.tape = blocks * block.tape_size(batch) + block.scratch_size(batch) + (blocks + 1) * sizes.tokens * dim;
  if (config.time_buckets > 0) sizes.tape += sizes.tokens * config.max_sequence_length / sizeof(float);
  sizes.serving = blocks * KeyValueCache<float>::size(config.max_sequence_length, dim) +
                  config.max_sequence_length * dim + block.serving_scratch_size(config.max_sequence_length);
  return sizes;
}

EncoderSizes sizes_of(const EncoderConfig& config) {
  return config.block == BlockKind::hstu ? sizes_of<HstuBlock<float>>(config) : sizes_of<SasrecBlock<float>>(config);
}

// Different items among `draws` from the events of training.
std::size_t different_items(std::span<const std::uint64_t> counts, double draws) {
  const auto events = static_cast<double>(std::reduce(counts.begin(), counts.end(), std::uint64_t{0}));
  double expected = 0;
  for (const std::uint64_t count : counts) expected += 1.0 - std::exp(-draws * static_cast<double>(count) / events);
  return static_cast<std::size_t>(std::ceil(expected));
}

std::size_t gradient_bytes(const TrainerConfig& config, const EncoderSizes& encoder, const Histories& train,
                           std::span<const detail::TrainingSequence> sequences) {
  const ObjectiveConfig& objective = config.objective;
  const std::size_t items = train.num_items(), dim = config.encoder.embedding_dim, slots = config.gradient_slots;
  const PopularityModel popularity = PopularityModel::fit(train);
  double events = 0;
  for (const detail::TrainingSequence& sequence : sequences) events += static_cast<double>(sequence.length);
  const double batch =
      std::min(events, events / static_cast<double>(sequences.size()) * static_cast<double>(config.batch_sequences));
  const bool table = objective.loss == LossKind::softmax || objective.shared_negatives;
  const auto negatives = static_cast<double>(table ? 0 : objective.negatives);
  const double drawn = batch * (1 + negatives);
  const std::size_t in_slot = different_items(popularity.counts(), drawn / static_cast<double>(slots));
  const std::size_t in_all = objective.loss == LossKind::softmax ? items : different_items(popularity.counts(), drawn);
  std::size_t bytes = slots * (encoder.dense * kFloat + items * sizeof(std::uint32_t));
  std::size_t rows = 0;
  std::vector<std::size_t> parts(slots, 1);  // how many slots' rows each comes to hold
  add_by_neighbours(slots, [&](std::size_t into, std::size_t from) { parts[into] += parts[from]; });
  for (const std::size_t part : parts) rows += grown(part == slots ? in_all : std::min(in_all, part * in_slot));
  bytes += rows * dim * kFloat;
  if (!table) return bytes;
  const std::size_t outputs = objective.loss == LossKind::softmax ? items : std::min(items, objective.negatives);
  const auto& kernels = detail::kernels<float>();
  const auto& softmax = config.mixed_precision ? kernels.rounded_softmax_table : kernels.softmax_table;
  return bytes + ((slots + 1) * outputs * (dim + 1) + softmax.packed_size(outputs, dim)) * kFloat;
}

std::size_t activation_bytes(const TrainerConfig& config, const EncoderSizes& encoder, std::size_t items,
                             std::size_t workers) {
  const ObjectiveConfig& objective = config.objective;
  const std::size_t dim = config.encoder.embedding_dim;
  std::size_t loss = 4 * (objective.negatives + 1) * dim;
  if (objective.loss == LossKind::softmax || objective.shared_negatives) {
    const std::size_t rows = objective.loss == LossKind::softmax ? items : objective.negatives;
    const auto& kernels = detail::kernels<float>();
    const auto& softmax = config.mixed_precision ? kernels.rounded_softmax_table : kernels.softmax_table;
    loss = 3 * detail::kMaxPositions * (dim + 1) + softmax.weights_size(detail::kMaxPositions, rows) + rows;
  }
  return workers * (encoder.tape + 3 * encoder.tokens * dim + loss) * kFloat;
}

// Of the threads while the teacher is asked, before the first batch.
std::size_t lesson_bytes(const SequenceEncoder<float>& teacher, std::size_t workers) {
  const EncoderSizes sizes = sizes_of(teacher.config());
  return (teacher.items().rows() * teacher.dim() + workers * (sizes.tape + sizes.tokens * teacher.dim())) * kFloat;
}

std::size_t item_knn_bytes(const TrainerConfig& config, const Histories& train) {
  const std::size_t items = train.num_items();
  std::size_t pairs = 0;
  for (std::size_t user = 0; user < train.num_users(); ++user) pairs += train.of(user).size() * train.of(user).size();
  return 40 * items + 16 * train.num_events() + 12 * std::min(pairs, items * config.item_knn.neighbours);
}

std::size_t count_bytes(const TrainerConfig& config, const Histories& train, std::size_t sequences) {
  const std::size_t items = train.num_items(), events = train.num_events(), users = train.num_users();
  std::size_t bytes = 2 * 20 * items + sequences * (sizeof(detail::TrainingSequence) + sizeof(std::size_t));
  if (config.refit) {
    const std::size_t event = sizeof(ItemHandle) + sizeof(Timestamp) + sizeof(std::uint8_t) + sizeof(float);
    bytes += events * event + users * sizeof(std::size_t);
  }
  if (config.blend && config.compare_counts && config.counts != CountKind::item_knn) {
    bytes += item_knn_bytes(config, train);
  }
  switch (config.counts) {
    case CountKind::popularity:
    case CountKind::repeat: return bytes;
    case CountKind::markov: {
      const std::size_t pairs = std::min(events * config.markov.steps, items * items);
      return bytes + 32 * items + 8 * events + 8 * grown(pairs / 2);
    }
    case CountKind::item_knn: return bytes + item_knn_bytes(config, train);
    case CountKind::ease: return bytes + 12 * items * items + 16 * events;
    case CountKind::ials: break;
  }
  return bytes + (users + 2 * items) * config.ials.embedding_dim * kFloat + 24 * events;
}

std::size_t evaluation_bytes(const TrainerConfig& config, const EncoderSizes& encoder, const Histories& train,
                             std::size_t workers) {
  constexpr std::size_t kMetrics = 10;  // sums of each user
  const std::size_t items = train.num_items();
  const std::size_t stride = (config.encoder.embedding_dim + detail::kLanes - 1) / detail::kLanes * detail::kLanes;
  const std::size_t rows = items * (stride * kFloat + 2 * sizeof(std::uint64_t));
  const std::size_t scores = items * (3 * kFloat + 2 * sizeof(std::uint64_t)) + grown(items) * sizeof(ScoredHandle);
  const std::size_t queries = std::max(train.num_users(), train.num_events() / 10);  // as splits make them
  const std::size_t lists =
      config.rerank ? std::min({RankerOptions{}.max_lists, config.max_validation_queries, queries}) : 0;
  const std::size_t listed = lists * std::min(items, config.rerank_candidates) * LearnedRanker::kNumFeatures * kFloat;
  return rows + workers * (scores + encoder.serving * kFloat) + train.num_users() * kMetrics * sizeof(double) + listed;
}

}  // namespace

MemoryEstimate estimate_memory(const TrainerConfig& given, const Histories& train, std::size_t threads,
                               bool keeps_state) {
  TrainerConfig config = given.adapted_to(train);
  MemoryEstimate estimate;
  if (config.counts_alone) {
    estimate.counts = count_bytes(config, train, 0);
    return estimate;
  }
  const auto sequences = detail::require_sequences(config, train);
  config.encoder = detail::within(config.encoder, train);
  const EncoderSizes encoder = sizes_of(config.encoder);
  const std::size_t items = train.num_items();
  const std::size_t chunk = EmbeddingTable<float>::kChunkRows;
  const std::size_t rows = (items + chunk - 1) / chunk * chunk * config.encoder.embedding_dim;
  const std::size_t copy = (encoder.dense + rows) * kFloat;
  const std::size_t trained = (encoder.dense + items * config.encoder.embedding_dim) * kFloat;
  const std::size_t averages = config.average != 0 ? 1 : 0;
  const std::size_t workers = std::max<std::size_t>(1, threads);

  estimate.weights = (3 + averages) * copy;
  estimate.optimiser = 2 * trained;
  estimate.gradients = gradient_bytes(config, encoder, train, sequences);
  estimate.activations = activation_bytes(config, encoder, items, std::min(workers, config.gradient_slots));
  if (config.teacher) {
    estimate.activations = std::max(estimate.activations, lesson_bytes(*config.teacher, workers));
    estimate.teacher = detail::TeacherTargets::bytes(config.distillation, train);
  }
  estimate.counts = count_bytes(config, train, sequences.size());
  estimate.evaluation = evaluation_bytes(config, encoder, train, workers);
  estimate.saving = keeps_state ? (4 + averages) * trained : 0;
  return estimate;
}

}  // namespace attune::inline v0_1
