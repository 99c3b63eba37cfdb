// SPDX-License-Identifier: Apache-2.0
#include "privacy/private_encoder.hpp"

#include <Eigen/QR>
#include <Eigen/SVD>
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "attune/detail/dropout.hpp"
#include "attune/error.hpp"
#include "training/batch_gradient.hpp"

namespace attune::inline v0_1::detail {
namespace {

using Eigen::Index;
using Matrix = Eigen::Matrix<float, Eigen::Dynamic, Eigen::Dynamic, Eigen::RowMajor>;

TrainerConfig config_of_users(const PrivateTrainingConfig& config) {
  TrainerConfig user;
  user.encoder = config.encoder.encoder;
  user.objective = config.encoder.objective;
  user.adam = config.encoder.adam;
  user.gradient_slots = 1;
  user.mixed_precision = false;
  return user;
}

// Of the whole catalogue: which items anybody has is nobody's business.
NegativeSampler catalogue_sampler(std::size_t items) {
  return NegativeSampler(std::vector<std::uint64_t>(items, 1), 0);
}

// Who computes what users would change, each one's own; and what they add up to, in whole numbers, which doubles hold
// exactly, so that the order in which they are added does not matter.
struct Worker {
  Worker(const TrainerConfig& config, const Histories& histories, const SequenceEncoder<float>& encoder)
      : gradient(config, histories, encoder, calling_thread, catalogue_sampler(histories.num_items())),
        sum(encoder.parameters().total(), encoder.items().rows(), encoder.dim()) {}

  InlineExecutor calling_thread;
  BatchGradient gradient;
  BasicGradientBuffer<double> sum;
};

class PrivateSteps {
 public:
  PrivateSteps(const Histories& histories, const PrivateTrainingConfig& config, double noise_multiplier,
               SequenceEncoder<float>& encoder, Executor& executor)
      : config_(config),
        user_config_(config_of_users(config)),
        bound_(noise_scale() / noise_multiplier),
        encoder_(encoder),
        executor_(executor),
        sequences_(training_sequences(histories, targets_window())),
        adam_(encoder, config.encoder.adam),
        noisy_(encoder.parameters().total(), encoder.items().rows(), encoder.dim()) {
    for (std::size_t i = 0; i < executor.concurrency(); ++i) {
      workers_.push_back(std::make_unique<Worker>(user_config_, histories, encoder));
    }
  }

  void run() {
    for (std::size_t step = 0; step < config_.encoder.steps; ++step) {
      sample(step);
      executor_.run(sampled_.size(), [&](std::size_t i, std::size_t worker) { add_user(*workers_[worker], i, step); });
      BasicGradientBuffer<double>& sum = workers_.front()->sum;
      for (std::size_t w = 1; w < workers_.size(); ++w) {
        sum.add(workers_[w]->sum);
        workers_[w]->sum.clear();
      }
      add_noise(sum, step);
      sum.clear();
      adam_.step(encoder_.weights(), encoder_.items(), noisy_);
      noisy_.clear();
    }
  }

 private:
  std::size_t targets_window() const { return encoder_.config().max_sequence_length; }

  RandomWords words(std::size_t step, std::size_t part) const {
    return config_.noise_seed ? RandomWords(mix(mix(*config_.noise_seed, step + 1), part)) : RandomWords();
  }

  // Every user on their own, whoever else is in; it may be nobody.
  void sample(std::size_t step) {
    sampled_.clear();
    RandomWords random = words(step, 0);
    for (const TrainingSequence& sequence : sequences_) {
      if (random.with_probability(config_.encoder.sampling_probability)) sampled_.push_back(sequence);
    }
  }

  void add_user(Worker& worker, std::size_t i, std::size_t step) {
    worker.gradient.compute({&sampled_[i], 1}, stream_of(config_.seed, Purpose::dropout, step));
    add_clipped(worker.sum, worker.gradient.gradient(), config_.encoder.clip, bound_);
  }

  // noisy_ = sum + noise in units of a clip, in every weight and every row whether somebody touched it or not.
  void add_noise(BasicGradientBuffer<double>& sum, std::size_t step) {
    const DiscreteGaussian noise(noise_scale());
    for (ItemHandle item = 0; item < sum.num_rows(); ++item) {
      sum.row(item);
      noisy_.row(item);
    }
    const auto add = [&](std::span<float> out, std::span<const double> in, std::size_t part) {
      RandomWords random = words(step, part);
      for (std::size_t i = 0; i < in.size(); ++i) {
        out[i] = static_cast<float>((in[i] + static_cast<double>(noise.draw(random))) / bound_);
      }
    };
    add(noisy_.dense(), sum.dense(), 1);
    executor_.run(sum.num_rows(), [&](std::size_t item, std::size_t) {
      const auto handle = static_cast<ItemHandle>(item);
      add(noisy_.row(handle), sum.row(handle), 2 + item);
    });
  }

  const PrivateTrainingConfig& config_;
  const TrainerConfig user_config_;
  const double bound_;  // counts in a clip
  SequenceEncoder<float>& encoder_;
  Executor& executor_;
  std::vector<TrainingSequence> sequences_, sampled_;
  Adam adam_;
  GradientBuffer noisy_;
  std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace

void add_clipped(BasicGradientBuffer<double>& sum, const GradientBuffer& gradient, double clip, double bound) {
  constexpr double kRounding = 1 - 1e-9;
  const double norm = std::sqrt(gradient.squared_norm());
  if (!std::isfinite(norm)) return;
  const double scale = bound / std::max(norm, clip) * kRounding;
  const auto add = [scale](std::span<double> to, std::span<const float> from) {
    for (std::size_t i = 0; i < from.size(); ++i) to[i] += std::trunc(static_cast<double>(from[i]) * scale);
  };
  add(sum.dense(), gradient.dense());
  for (std::size_t i = 0; i < gradient.touched().size(); ++i) {
    add(sum.row(gradient.touched()[i]), gradient.touched_row(i));
  }
}

// Subspace iteration (Halko, Martinsson & Tropp 2011) on the counts in either order, positive ones, each divided by the
// root of what its two items have.
void rows_from_counts(EmbeddingTable<float>& rows, const PrivateCounts& counts, std::uint64_t seed) {
  constexpr int kIterations = 4;
  const auto items = static_cast<Index>(counts.items.size());
  const Index dim = std::min(static_cast<Index>(rows.dim()), items);
  const Eigen::Map<const Matrix> pairs(counts.pairs.data(), items, items);
  Matrix both = (pairs + pairs.transpose()).cwiseMax(0.0f);
  const Eigen::VectorXf roots = Eigen::Map<const Eigen::VectorXf>(counts.items.data(), items)
                                    .cwiseMax(static_cast<float>(counts.noise))
                                    .cwiseSqrt();
  both.array().colwise() /= roots.array();
  both.array().rowwise() /= roots.transpose().array();
  Matrix basis(items, dim);
  for (Index i = 0; i < basis.size(); ++i) {
    basis.data()[i] =
        static_cast<float>(static_cast<double>(mix(seed, static_cast<std::uint64_t>(i)) >> 11) * 0x1p-52 - 1);
  }
  for (int i = 0; i < kIterations; ++i) {
    const Eigen::HouseholderQR<Eigen::MatrixXf> factors(both * basis);
    basis = factors.householderQ() * Eigen::MatrixXf::Identity(items, dim);
  }
  constexpr float kDeviation = 0.02f;  // of the elements of a row, as initial rows have
  for (Index item = 0; item < items; ++item) {
    const float norm = basis.row(item).norm();
    const float scale = norm > 0 ? kDeviation * std::sqrt(static_cast<float>(dim)) / norm : 0.0f;
    for (Index d = 0; d < dim; ++d) {
      rows.row(static_cast<ItemHandle>(item))[static_cast<std::size_t>(d)] = basis(item, d) * scale;
    }
  }
}

std::unique_ptr<SequenceEncoder<float>> private_encoder(const Histories& histories, const PrivateTrainingConfig& config,
                                                        double noise_multiplier, const PrivateCounts& counts,
                                                        Executor& executor) {
  auto encoder = make_encoder(config.encoder.encoder, histories.num_items());
  encoder->initialize(config.seed);
  rows_from_counts(encoder->items(), counts, config.seed);
  PrivateSteps(histories, config, noise_multiplier, *encoder, executor).run();
  const auto weights = encoder->weights();
  if (!std::ranges::all_of(weights, [](float x) { return std::isfinite(x); })) {
    throw Error(ErrorCode::non_finite, "private training: a weight is not finite; a lower learning rate may help");
  }
  return encoder;
}

}  // namespace attune::inline v0_1::detail
