// SPDX-License-Identifier: Apache-2.0
#pragma once

// A user's own side of a common encoder, on his device: what his history makes of its last layers, kept as a difference
// that never leaves and that goes on when the common weights change. Item rows stay common, so that answers are
// searched as before. What it gains depends on the users: measure it on theirs (docs/benchmarks/privacy.md). Not
// synchronised.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "attune/model/sequence_encoder.hpp"
#include "attune/privacy/federated.hpp"

namespace attune::inline v0_1 {

struct PersonalOptions {
  std::size_t blocks = 1;  // of the newest layers, with the norm behind them; 0: that norm alone
  // Of gradient descent, each on the whole window of the history.
  std::size_t steps = 5;
  double learning_rate = 0.03;

  // Throws Error(invalid_config).
  ATTUNE_EXPORT void validate() const;
};

class ATTUNE_EXPORT PersonalEncoder {
 public:
  // Follows nobody yet: common weights of zero. Throws Error(invalid_config).
  explicit PersonalEncoder(const FederatedPlan& plan, const PersonalOptions& options = {});
  PersonalEncoder(PersonalEncoder&&) noexcept;
  PersonalEncoder& operator=(PersonalEncoder&&) noexcept;
  ~PersonalEncoder();

  // Takes the weights of the common model, FederatedClient::encoder() say; the difference stays. Throws
  // Error(invalid_argument) for an encoder that is not the plan's.
  void follow(const SequenceEncoder<float>& common);
  // Learns from the user's history, beyond what it has learned: the same history, seed and start give the same bits.
  // Throws Error and changes nothing: invalid_data as FederatedClient::update(), non_finite where it diverges.
  void learn(HistoryView history, std::uint64_t seed);
  void reset() noexcept;  // to the common model

  // The common model with the user's difference: for his user vectors.
  const SequenceEncoder<float>& encoder() const noexcept;

  // The difference as a file of the device's. Whoever has it learns something of the history.
  std::vector<std::byte> to_bytes() const;
  // Throws Error and changes nothing: corrupt_file for what is no such bytes, invalid_data for those of another plan or
  // other options, unsupported_version for those of a newer attune.
  void restore(std::span<const std::byte> bytes);

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace attune::inline v0_1
