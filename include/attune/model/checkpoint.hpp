// SPDX-License-Identifier: Apache-2.0
#pragma once

// A trained model and the directory it lives in:
//
//   manifest.json            format and its version, required features, configuration, size and CRC-32 of each file
//   weights.safetensors      the encoder (absent in a model that only counts)
//   counts.safetensors       popularity and the other counts
//   items.ids                binary id map of the items, in order of their rows
//   content.safetensors      vectors of items from what they are
//   profile.safetensors      what to expect of users with few events
//   histories.bin            users and their events, a file of their own so that erasing a user rewrites nothing else
//   opening.safetensors      what opening would compute from the others; models of older versions lack it
//
// Saving replaces a directory as a whole or not at all; nothing is used before its size and checksum were checked.

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "attune/data/interaction_log.hpp"
#include "attune/model/calibration.hpp"
#include "attune/model/count_model.hpp"
#include "attune/model/learned_ranker.hpp"
#include "attune/model/popularity_model.hpp"
#include "attune/model/sequence_encoder.hpp"

namespace attune::inline v0_1 {

inline constexpr int kModelFormatVersion = 1;

class ContentTower;
class UserPrior;

namespace detail {
struct Opening;
}

struct ATTUNE_EXPORT TrainedModel {
  std::string version;  // names the model in answers; derived from its content when saved without one
  std::shared_ptr<const IdMap> item_ids;
  std::shared_ptr<const SequenceEncoder<float>> encoder;  // null: a model that only counts
  // How save() writes the encoder, and how load() found it. To compress a model set int8 and clear `version`, since the
  // answers of what is saved differ a little. Saving what was loaded writes the same weights.
  WeightStorage weight_storage = WeightStorage::float32;
  std::shared_ptr<const PopularityModel> popularity;  // events per item in training; answers where nothing else can
  // The model itself where there is no encoder; beside one it answers what the encoder cannot, and is the term of the
  // blend. One of model/count_models.hpp.
  std::shared_ptr<const CountModel> counts;
  double blend_weight = 0;  // of the counts' term added to the encoder's logit; 0: the encoder alone
  Calibration calibration;  // of the scores it answers with; empty: none was fitted
  // Gives items vectors from what they are, beside those that were trained; null: there is none.
  std::shared_ptr<const ContentTower> content;
  // What to expect of users with few events, from their profiles among others; null: nothing beyond the counts.
  std::shared_ptr<const UserPrior> user_prior;
  LearnedRanker ranker;                            // of the encoder's best items; empty: they stay in its order
  std::shared_ptr<const Histories> histories;      // every event it was given, for serving
  std::map<std::string, std::string> notes;        // free text for people: split, seed, data; shown by `inspect`
  std::shared_ptr<const detail::Opening> opening;  // what a mapped model brings ready for serving; else null

  ScoreKind score_kind() const noexcept;
  std::size_t num_items() const noexcept { return item_ids->size(); }

  // Throws Error: io_error (the old directory is intact), invalid_argument (`directory` exists and holds something
  // that is not a model, or the parts of this one do not fit together), non_finite (a weight, by name).
  void save(const std::string& directory) const;
  // Throws what save() would because of `directory`: for those who train for long before they save.
  static void check_replaceable(const std::string& directory);
  // Throws Error: io_error, corrupt_file, unsupported_version, unsupported, non_finite, invalid_config.
  // What is mapped throws from the encoder's items() what it should have thrown here, see EmbeddingTable.
  static TrainedModel load(const std::string& directory, ModelAccess access = ModelAccess::in_memory);
};

}  // namespace attune::inline v0_1
