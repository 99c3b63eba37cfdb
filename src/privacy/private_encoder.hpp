// SPDX-License-Identifier: Apache-2.0
#pragma once

// An encoder by noisy steps: users are sampled, what each would change is clipped as a whole and rounded to whole
// counts, and the sum gets noise in every weight.

#include <cstdint>
#include <memory>
#include <optional>

#include "attune/data/interaction_log.hpp"
#include "attune/executor.hpp"
#include "attune/model/sequence_encoder.hpp"
#include "attune/privacy/private_training.hpp"
#include "privacy/private_counts.hpp"

namespace attune::inline v0_1::detail {

// sum += gradient, scaled down to an L2 norm of at most `clip` and written in whole numbers, of which `bound` are a
// clip: rounded towards zero, so that no norm grows beyond `bound`. A gradient that is not finite adds nothing.
void add_clipped(BasicGradientBuffer<double>& sum, const GradientBuffer& gradient, double clip, double bound);

// Item rows [N, D] from the counts alone: the leading eigenvectors of what follows what in either order.
void rows_from_counts(EmbeddingTable<float>& rows, const PrivateCounts& counts, std::uint64_t seed);

// Throws Error(non_finite) naming the step; see train_privately().
std::unique_ptr<SequenceEncoder<float>> private_encoder(const Histories& histories, const PrivateTrainingConfig& config,
                                                        double noise_multiplier, const PrivateCounts& counts,
                                                        Executor& executor);

}  // namespace attune::inline v0_1::detail
