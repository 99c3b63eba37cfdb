// SPDX-License-Identifier: Apache-2.0
#pragma once

// Histories in, weights out, on the CPU. The same seed gives the same bits for any number of threads on one
// instruction-set level: gradients are gathered in a fixed number of slots and added in a fixed order.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "attune/data/split.hpp"
#include "attune/executor.hpp"
#include "attune/model/checkpoint.hpp"
#include "attune/model/count_models.hpp"
#include "attune/training/evaluation.hpp"
#include "attune/training/optimizer.hpp"

namespace attune::inline v0_1 {

struct ATTUNE_EXPORT TrainerConfig {
  EncoderConfig encoder;
  AdamOptions adam;
  std::size_t epochs = 100;   // at most
  std::size_t patience = 10;  // epochs without a better validation NDCG@10 before stopping
  std::size_t batch_sequences = 128;
  std::size_t warmup_steps = 100;    // the learning rate grows linearly over these
  double final_learning_rate = 1.0;  // share of the learning rate left at the last epoch (cosine decay); 1: constant
  double time_budget_seconds = 0;  // 0: none. Checked after each epoch: training ends where the next one would not fit
  std::size_t max_validation_queries = 20000;  // a fixed sample beyond that
  std::size_t gradient_slots = 8;              // bounds the useful number of threads
  std::uint64_t seed = 1;
  bool exclude_seen = true;  // in validation
  // Adds the counts to the encoder's scores: at the heaviest weight that comes within 1 % of the best NDCG@10 in
  // validation, 0 where none beats the encoder alone. Costs a few validations at the end.
  bool blend = false;
  // Lets fit() raise dropout and lower batch_sequences for small data, see adapted_to(). A configuration file that
  // names one of them turns this off.
  bool adapt = false;
  // Which model counts: it answers where the encoder cannot, and is what a blend adds.
  CountKind counts = CountKind::markov;
  bool counts_alone = false;  // no encoder, no epochs: the counts are the model
  PopularityOptions popularity;
  MarkovOptions markov;
  ItemKnnOptions item_knn;
  EaseOptions ease;
  IalsOptions ials;  // its seed is the one above

  // "sasrec-small": SASRec, width 64, 2 blocks, window 200. "default": the same, blended with the transition counts.
  // "popularity", "markov", "item-knn", "ease", "ials": that count model alone. Throws Error(invalid_argument) naming
  // the known ones.
  static TrainerConfig preset(const std::string& name);
  // Overrides fields from a JSON object ({"encoder": {"embedding_dim": 32}, "epochs": 5}); throws Error(invalid_config)
  // naming an unknown or ill-typed field.
  void apply_json(const std::string& text, const std::string& name_for_messages);
  std::string to_json() const;
  void validate() const;
  CountOptions count_options() const;  // of the model that counts
  // Fewer than 150 training targets per item: both dropouts rise, to 0.5 at 30 and below. Few users: smaller batches,
  // for about 40 steps an epoch, but at least 16 sequences each. Nothing changes without `adapt`.
  TrainerConfig adapted_to(const Histories& train) const;
};

struct EpochReport {
  std::size_t epoch = 0;   // 1-based
  std::size_t epochs = 0;  // planned
  double seconds = 0;      // training alone
  double loss = 0;         // mean over targets
  bool validated = false;
  double hit_rate_10 = 0, ndcg_10 = 0;
  bool best = false;
};

struct StepReport {
  std::size_t epoch = 0, step = 0, steps = 0;  // of the epoch
  double loss = 0;
};

// Both may be empty. Returning false stops training: the best epoch so far is the result.
struct Progress {
  std::function<bool(const EpochReport&)> epoch = {};
  std::function<bool(const StepReport&)> step = {};
};

class ATTUNE_EXPORT Trainer {
 public:
  explicit Trainer(TrainerConfig config, Executor* executor = nullptr);  // null: the calling thread

  // Weights of the best epoch by validation NDCG@10 (of the last one without validation queries). Every call starts
  // anew. An epoch sees the newest max_sequence_length + 1 events of every user; the model's window is no longer than
  // the longest of these sequences. Items without a training event get zero rows: they are never recommended. Throws
  // Error: invalid_data (nothing to learn from: no user with two events, for counts alone no event), non_finite (names
  // parameter or loss, epoch and step), cancelled (stopped before the first epoch ended).
  TrainedModel fit(const Histories& train, const EvaluationQueries& validation, const Progress& progress = {});
  const std::vector<EpochReport>& epochs() const noexcept { return epochs_; }
  std::size_t best_epoch() const noexcept { return best_epoch_; }
  double train_seconds() const noexcept { return train_seconds_; }

 private:
  TrainerConfig config_;
  Executor* executor_;
  std::vector<EpochReport> epochs_;
  std::size_t best_epoch_ = 0;
  double train_seconds_ = 0;
};

// Adapts a TrainedModel or a CountModel to evaluate(). The model must outlive the sessions.
class ATTUNE_EXPORT ModelUnderTest {
 public:
  explicit ModelUnderTest(const TrainedModel& model);
  explicit ModelUnderTest(const CountModel& model);
  std::size_t num_items() const noexcept { return num_items_; }
  detail::ScoreAll session() const { return make_session_(); }

 private:
  std::size_t num_items_;
  std::function<detail::ScoreAll()> make_session_;
};

ATTUNE_EXPORT Report evaluate(const TrainedModel& model, const EvaluationQueries& queries,
                              const EvaluationOptions& options = {});

}  // namespace attune::inline v0_1
