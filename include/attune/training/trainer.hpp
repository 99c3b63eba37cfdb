// SPDX-License-Identifier: Apache-2.0
#pragma once

// Histories in, weights out, on the CPU. The same seed gives the same bits for any number of threads on one
// instruction-set level: gradients are gathered in a fixed number of slots and added in a fixed order. So do
// several ranks, which share the slots, where each has as many and that number is a power of two.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "attune/data/split.hpp"
#include "attune/executor.hpp"
#include "attune/model/checkpoint.hpp"
#include "attune/model/count_models.hpp"
#include "attune/training/communicator.hpp"
#include "attune/training/evaluation.hpp"
#include "attune/training/objective.hpp"
#include "attune/training/optimizer.hpp"
#include "attune/training/ranker_training.hpp"

namespace attune::inline v0_1 {

enum class Schedule : std::uint8_t { constant, linear, cosine };  // of the learning rate, behind the warm-up
enum class Windows : std::uint8_t { newest, all };

// How a student learns from a teacher: what the teacher thinks comes next takes a share of what did (Hinton, Vinyals &
// Dean 2015), of its best items alone (Tang & Wang 2018).
struct DistillationOptions {
  double weight = 0.5;       // the teacher's share of each target; 1: nothing is learned from what did come next
  std::size_t targets = 20;  // items of the teacher for each event: more say more, and take 8 bytes each
  double temperature = 1.0;  // divides the teacher's logits; more makes its items more alike
};

struct ATTUNE_EXPORT TrainerConfig {
  EncoderConfig encoder;
  ObjectiveConfig objective;
  // A trained encoder that the new one learns from, row h for item h; null: none. What it expects after each event is
  // asked for once, before the first epoch. Needs the softmax loss and causal encoders. No part of the JSON form. A
  // teacher that has learned from the validation part flatters its student there.
  std::shared_ptr<const SequenceEncoder<float>> teacher;
  DistillationOptions distillation;
  AdamOptions adam;
  std::size_t epochs = 100;   // at most
  std::size_t patience = 10;  // epochs without a better validation NDCG@10 before stopping
  std::size_t batch_sequences = 128;
  std::size_t warmup_steps = 100;  // the learning rate grows linearly over these
  Schedule schedule = Schedule::cosine;
  double final_learning_rate = 1.0;  // share of the learning rate left at the last epoch
  double average = 0.0;              // decay per step of the averaged weights that are kept; 0: the weights themselves
  // Of a history longer than the window an epoch sees the newest window, or all of it in windows that are cut at other
  // places in every epoch and that begin with `overlap` events as context alone.
  Windows windows = Windows::newest;
  std::size_t overlap = 0;
  double mask_probability = 0.2;  // of an event in masked training (encoder.mask_token)
  // Dropout of whole events: the share whose item the encoder does not see, drawn anew in every epoch; their targets
  // stay. Not in masked training.
  double item_dropout = 0.0;
  // Weight of a target by its event kind (1 where it is not named), times its value where value_weights says so.
  std::map<std::string, double> event_weights;
  bool value_weights = false;
  // Matrix products of training round their inputs to bfloat16 where the CPU has instructions for that. Weights, sums
  // and what is served stay in float.
  bool mixed_precision = true;
  // 0: none. Checked after each epoch: training ends where the next one, or the choice of a blend behind it, would not
  // fit.
  double time_budget_seconds = 0;
  std::size_t max_validation_queries = 20000;  // a fixed sample beyond that
  std::size_t gradient_slots = 8;              // bounds the useful number of threads and ranks
  std::uint64_t seed = 1;
  bool exclude_seen = true;  // in validation
  // Adds the counts to the encoder's scores: of the weights within one standard error of the best NDCG@10 in validation
  // the one nearest to 1, and of two equally near the lighter. Costs eight validations at the end.
  bool blend = false;
  // The blend tries item-kNN in place of `counts` too, and repeats where seen items are answered (exclude_seen =
  // false), and keeps what comes to the highest NDCG@10 in validation. Doubles the cost of the choice, and fits that
  // model.
  bool compare_counts = false;
  // Learns on validation what a score is worth (TrainedModel::calibration), from the best 50 items of every query.
  // Costs one validation more.
  bool calibrate = false;
  // Learns on validation to put the best rerank_candidates items of every query in order (TrainedModel::ranker); kept
  // where that helps lists it did not see, which it does above all where people come back for the same items
  // (exclude_seen = false). Costs one validation more.
  bool rerank = false;
  std::size_t rerank_candidates = 100;
  // Trains once more at the end, anew, on training and validation events together, for as many epochs as were the best:
  // the newest event of each user says most. Weight, ranker and calibration stay as validation chose them. At most
  // doubles the time of training. Not without validation queries, nor where training was stopped, the time budget has
  // no room left or the weights diverge; see Trainer::refitted().
  bool refit = false;
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
  RepeatOptions repeat;

  // "sasrec-small": SASRec, width 64, 2 blocks, window 200. "hstu-small": HSTU with feed-forward layers, width 50, 2
  // blocks. "hstu-large": the same, width 64, 8 blocks. "bert4rec": SASRec blocks without a causal mask, trained to
  // fill in hidden events. "default": the best all-round choice by measurement. All of these are blended with the
  // transition counts; default and hstu are refitted and may have a ranker. "popularity", "markov", "item-knn", "ease",
  // "ials", "repeat": that count model alone. Throws Error(invalid_argument) naming the known ones.
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
  bool refit = false;
};

// The validation of the best epoch with the counts blended in.
struct BlendReport {
  std::string counts;  // CountModel::name()
  double weight = 0;
  double ndcg_10 = 0;
};

// Each may be empty. Returning false stops training: the best epoch so far is the result, at the best weight so far,
// which is 0 where the epochs themselves were stopped. What stops a refit leaves the model as validation chose it.
struct Progress {
  std::function<bool(const EpochReport&)> epoch = {};
  std::function<bool(const StepReport&)> step = {};
  std::function<bool(const BlendReport&)> blend = {};
  std::function<bool(const EpochReport&)> refit = {};  // after each of its epochs, which validate nothing
};

namespace detail {
class Lead;
struct TrainingState;
}  // namespace detail

// Where fit() keeps what it needs to go on after an interruption: weights, optimiser and reports. The file is no part
// of a model; it is written after every epoch, durably and as a whole, and stays until it is removed, which is best
// done once the model is saved. An epoch that was interrupted is repeated, and so is a
// refit as a whole.
struct ATTUNE_EXPORT StateFile {
  std::string path = {};  // "": nowhere
  // Go on from the file, to the same bits as without an interruption, on any number of threads. Otherwise, and where
  // there is no file, training starts anew and its first epoch replaces what was there.
  bool resume = false;

  bool exists() const;
  // Throws Error(io_error). Nothing there is no error.
  void remove() const;
};

class ATTUNE_EXPORT Trainer {
 public:
  // `executor` null: the calling thread. `ranks`: the processes that train together, null: this one alone.
  explicit Trainer(TrainerConfig config, Executor* executor = nullptr, Communicator* ranks = nullptr);

  // Weights of the best epoch by validation NDCG@10 (of the last one without validation queries). Every call starts
  // anew. The model's window is no longer than the longest sequence an epoch sees. Items that none of the sequences
  // holds were never trained, whether they have older events or not: they get zero rows, and the encoder never
  // recommends them. Throws Error: invalid_data (nothing to learn from: no user with two events, for counts alone no
  // event; no times, and the encoder or the teacher reads them; a teacher with another number of rows; for a refit,
  // validation that does not go on from `train`), non_finite (names parameter or loss, epoch and step), cancelled
  // (stopped before the first epoch ended); io_error (the state cannot be written). Resuming also throws corrupt_file
  // and unsupported_version, and where the state is of another training, naming what differs: invalid_config,
  // invalid_data, unsupported (another instruction-set level or attune). The time budget counts the seconds before the
  // interruption too.
  // Several ranks share the epochs and their validation; rank 0 alone calls `progress`, keeps the state and chooses a
  // blend, and only it gets the model: the others get none (no item ids). What is wrong with the data or the settings
  // of a rank throws at all: the codes above, and unsupported (another instruction-set level or attune at a rank,
  // processors that do not compute alike). What else happens to one of the others, or to rank 0 within an epoch, as
  // what a progress function throws, leaves the rest waiting.
  TrainedModel fit(const Histories& train, const EvaluationQueries& validation, const Progress& progress = {},
                   const StateFile& state = {});
  const std::vector<EpochReport>& epochs() const noexcept { return epochs_; }  // those that validation chose from
  std::size_t best_epoch() const noexcept { return best_epoch_; }
  // What reordering adds in validation; of no lists where it was not tried.
  const RankerReport& ranker() const noexcept { return ranker_; }
  std::size_t resumed_epochs() const noexcept { return resumed_epochs_; }  // that an earlier part had trained
  bool refitted() const noexcept { return refitted_; }  // the model has learned from the validation events too
  double train_seconds() const noexcept { return train_seconds_; }

 private:
  void publish(const detail::TrainingState& state);
  TrainedModel fit_encoder(const Histories& train, const EvaluationQueries& validation, TrainerConfig config,
                           Executor& executor, const Progress& progress, const StateFile& file);
  TrainedModel fit_counts_alone(const Histories& train, const EvaluationQueries& validation,
                                const TrainerConfig& config, Executor& executor);
  bool refit(TrainedModel& model, const TrainerConfig& config, const Histories& learned, std::size_t planned,
             Executor& executor, const Progress& progress, detail::Lead& lead);

  TrainerConfig config_;
  Executor* executor_;
  Communicator* ranks_;
  std::vector<EpochReport> epochs_;
  std::size_t best_epoch_ = 0;
  RankerReport ranker_;
  std::size_t resumed_epochs_ = 0;
  bool refitted_ = false;
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
