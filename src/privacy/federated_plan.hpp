// SPDX-License-Identifier: Apache-2.0
#pragma once

// What client and server derive from a plan, and the weights of an encoder as one array: dense ones, then item rows.

#include <cstdint>
#include <span>

#include "attune/privacy/federated.hpp"
#include "attune/training/trainer.hpp"

namespace attune::inline v0_1::detail {

// How a client trains.
TrainerConfig config_of_clients(const FederatedPlan& plan);

// Of everything in the plan.
std::uint64_t fingerprint_of(const FederatedPlan& plan);

// values: [D].
void copy_weights(std::span<float> values, const SequenceEncoder<float>& encoder);
void set_weights(SequenceEncoder<float>& encoder, std::span<const float> values);
// Throws Error(invalid_argument) for encoders whose weights are not laid out alike.
void copy_encoder(SequenceEncoder<float>& to, const SequenceEncoder<float>& from);

}  // namespace attune::inline v0_1::detail
