// SPDX-License-Identifier: Apache-2.0
#pragma once

// What training knows between two epochs besides the learner, and the file that keeps both:
//
//   "ATTUNETS", u32 format version, u32 CRC-32 of all that follows, u64 bytes of the object, a JSON object (which
//   training the state is of, and the reports of its epochs), then the learner's arrays and the best weights so far,
//   back to back; integers are little-endian

#include <cstddef>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "attune/error.hpp"
#include "attune/training/trainer.hpp"
#include "model/config_json.hpp"
#include "training/learner.hpp"

namespace attune::inline v0_1::detail {

inline constexpr int kStateFormatVersion = 2;

struct TrainingState {
  std::vector<EpochReport> epochs = {};
  std::size_t planned = 0;                             // epochs
  std::size_t best_epoch = 0;                          // 1-based; 0 before the first
  double seconds = 0;                                  // since training began, without interruptions
  std::shared_ptr<SequenceEncoder<float>> best = {};   // weights of the best epoch
  std::shared_ptr<SequenceEncoder<float>> spare = {};  // of another epoch, to be used again

  bool goes_on(std::size_t patience) const { return epochs.size() < planned && epochs.size() - best_epoch < patience; }
  // An encoder for the weights of the next epoch.
  const std::shared_ptr<SequenceEncoder<float>>& spare_encoder(const Learner& learner);
  // The next epoch, whose weights the spare encoder holds; report.best is set.
  void add(EpochReport report);
};

Json json_of(const EpochReport& report);
// Throws a JSON exception where a field is missing or of another kind.
EpochReport epoch_report_of(const Json& json);

// What makes a training what it is: settings, data, teacher, version of attune and instruction-set level.
Json identity_of(const TrainerConfig& config, const Histories& train, const EvaluationQueries& validation);
// Two objects that say which training or search something is of differ.
class Mismatch : public Error {
  using Error::Error;
};

// Throws Mismatch that begins with `problem` ("rank 1: its training is not that of rank 0") and names the field that
// differs between two such objects, with what is expected there and what was found: invalid_data (histories or
// queries), unsupported (level or version), invalid_config (all else).
void require_same(const Json& expected, const Json& found, const std::string& problem);

class StateStore {
 public:
  // What is loaded must be of this training, and what is saved says that it is.
  StateStore(const StateFile& file, const TrainerConfig& config, const Histories& train,
             const EvaluationQueries& validation);

  // Leaves both as they are where nothing is to be resumed. Throws Error naming the file: corrupt_file,
  // unsupported_version, io_error; with the field that differs, what the state expects and what this training has,
  // invalid_config (a setting), invalid_data (other histories or queries), unsupported (another instruction-set level
  // or version of attune).
  void load(TrainingState& state, Learner& learner) const;
  // Throws Error(io_error); then the file is as it was.
  void save(const TrainingState& state, const Learner& learner) const;

 private:
  [[noreturn]] void fail(ErrorCode code, const std::string& problem) const;
  std::span<const std::byte> checked_content(std::span<const std::byte> bytes) const;

  StateFile file_;
  Json training_;  // what must agree
};

}  // namespace attune::inline v0_1::detail
