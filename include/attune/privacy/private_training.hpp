// SPDX-License-Identifier: Apache-2.0
#pragma once

// Training that is differentially private: whoever sees the model, and knows everything but one record, can hardly tell
// whether the record was there. A record is a user's whole history, or a single event. Counts of what follows what are
// published with noise, once; an encoder that starts from them may be trained on top, step by step.
//
// Covered are the parameters of the model: counts and weights. Not covered are the catalogue (which items there are),
// the histories that a model directory carries for serving, and metrics measured on people's events.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "attune/data/interaction_log.hpp"
#include "attune/executor.hpp"
#include "attune/model/checkpoint.hpp"
#include "attune/model/config.hpp"
#include "attune/privacy/accountant.hpp"
#include "attune/training/objective.hpp"
#include "attune/training/optimizer.hpp"

namespace attune::inline v0_1 {

// What neighbours differ in: a user with all events, or an event, whose place in the history stays empty.
enum class PrivacyUnit : std::uint8_t { user, event };

struct PrivateCountsOptions {
  std::size_t steps = 20;    // gaps counted: y follows x within this many events
  double gap_power = 0.75;   // a pair that is w apart weighs w^-gap_power
  double item_share = 0.05;  // of the squared bound: goes to the counts of items, the rest to those of pairs
  double reverse = 0.2;      // "x follows y" counts this much for "y follows x"; more helps where noise is strong
  // Of pairs that noise would drown: a count is weighed by e / (e + shrinkage * noise^2), with e what the counts of its
  // two items let expect; 0: none.
  double shrinkage = 0.003;
  std::size_t history = 10;        // newest items of a history that speak
  double decay = 0.8;              // weight of the k-th newest is decay^k
  std::size_t max_items = 10'000;  // a larger catalogue is refused: memory, time and noise grow with its square
};

// Trained by noisy steps on sampled users (McMahan et al. 2018): what a user would change is clipped as a whole, noise
// goes to every weight.
struct PrivateEncoderOptions {
  std::size_t steps = 0;  // 0: no encoder, the counts are the model
  double sampling_probability = 0.1;
  double clip = 1.0;          // bound on the L2 norm of what a user changes
  double budget_share = 0.5;  // of epsilon, beyond what the counts spend of it
  double blend_weight = 4.0;  // of the counts in the scores
  EncoderConfig encoder;      // its window is not shortened to the longest history, which would tell of it
  ObjectiveConfig objective;  // no negatives shared between users, none drawn by their counts
  AdamOptions adam;
};

struct PrivateTrainingConfig {
  double epsilon = 8;   // the budget, which is never exceeded
  double delta = 1e-5;  // well below one over the number of users
  PrivacyUnit unit = PrivacyUnit::user;
  // Of the counts; 0: the least that keeps within the budget. Asking for less is refused.
  double noise_multiplier = 0;
  PrivateCountsOptions counts;
  PrivateEncoderOptions encoder;
  std::uint64_t seed = 1;  // of the initial weights and dropout, which may be known
  // Noise and sampling from this seed, for experiments that can be repeated: the model then keeps no secret, and says
  // that its epsilon is infinite.
  std::optional<std::uint64_t> noise_seed;

  // Throws Error(invalid_config) naming the field, what is allowed and what was given.
  ATTUNE_EXPORT void validate() const;
};

// What was spent, by whom; a model carries it in its note "privacy".
struct PrivacyStatement {
  PrivacyUnit unit = PrivacyUnit::user;
  double epsilon = 0, delta = 0;  // by the tight accountant; infinite for noise from a seed
  std::vector<GaussianMechanism> mechanisms;

  ATTUNE_EXPORT std::string to_json() const;
};

// Blind to everything but `train`, so that no choice needs validation. The same bits for any number of threads where
// there is a noise seed. Throws Error: invalid_config; invalid_data (no user, no item); limit_exceeded (the budget, or
// more than counts.max_items items); unsupported (what the objective must not do); io_error (no random numbers);
// non_finite.
ATTUNE_EXPORT TrainedModel train_privately(const Histories& train, const PrivateTrainingConfig& config,
                                           Executor* executor = nullptr, PrivacyStatement* statement = nullptr);

}  // namespace attune::inline v0_1
