// SPDX-License-Identifier: Apache-2.0
#include "attune/training/updater.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <numeric>
#include <span>
#include <string>
#include <utility>

#include "attune/detail/kernels.hpp"
#include "attune/error.hpp"
#include "attune/model/user_prior.hpp"
#include "model/counts_file.hpp"
#include "training/learner.hpp"
#include "training/merged_histories.hpp"

namespace attune::inline v0_1 {

namespace {

using detail::TrainingSequence;
using Clock = std::chrono::steady_clock;

void require_field(bool holds, const char* field, const char* expected, double found) {
  if (holds) return;
  throw Error(ErrorCode::invalid_config,
              std::string("update: ") + field + " must be " + expected + ", found " + std::to_string(found));
}

void check_model(const TrainedModel& model) {
  if (model.encoder && !model.encoder->config().trainable()) {
    throw Error(ErrorCode::unsupported, "update: the encoder was trained elsewhere, in a way that is only served here");
  }
  if (!model.histories || !model.histories->user_ids || !model.item_ids) {
    throw Error(ErrorCode::invalid_argument, "update: expected a model with the histories it serves, found none");
  }
  if (model.notes.contains("privacy")) {
    throw Error(ErrorCode::unsupported, "update: the model was trained privately, which an update would undo");
  }
  if (model.encoder && model.encoder->config().block == BlockKind::custom) {
    throw Error(ErrorCode::unsupported, "update: expected an encoder of sasrec or hstu blocks, found a host's own");
  }
  if (model.counts && !detail::options_of(*model.counts)) {
    throw Error(ErrorCode::unsupported,
                "update: the counts are of a host's own kind, " + std::string(model.counts->name()));
  }
}

// Marks the newest share of the new events. Equal times stay on one side.
std::vector<bool> held_out_events(const detail::MergedHistories& merged, double share) {
  std::vector<bool> held(merged.is_new.size(), false);
  if (share == 0) return held;
  const Histories& histories = merged.histories;
  if (histories.times.empty()) {
    throw Error(ErrorCode::invalid_data, "update: held_out: expected histories with times, found only their order");
  }
  std::vector<Timestamp> times;
  for (std::size_t i = 0; i < held.size(); ++i) {
    if (merged.is_new[i]) times.push_back(histories.times[i]);
  }
  const auto learned = static_cast<std::ptrdiff_t>(std::llround((1.0 - share) * static_cast<double>(times.size())));
  const auto last = times.begin() + std::max<std::ptrdiff_t>(0, learned - 1);
  std::nth_element(times.begin(), last, times.end());
  for (std::size_t i = 0; i < held.size(); ++i) held[i] = merged.is_new[i] && histories.times[i] > *last;
  return held;
}

EvaluationQueries queries_of(const std::shared_ptr<const Histories>& histories, const std::vector<bool>& held) {
  EvaluationQueries queries{histories, {}};
  for (std::size_t user = 0; user < histories->num_users(); ++user) {
    const std::size_t begin = histories->offsets[user], end = histories->offsets[user + 1];
    for (std::size_t i = begin; i < end; ++i) {
      if (held[i]) queries.queries.push_back({static_cast<UserHandle>(user), static_cast<std::uint32_t>(i - begin), 1});
    }
  }
  return queries;
}

// What is learned from, and which of it is new.
struct UpdateLessons {
  Histories histories;
  std::vector<bool> is_new;  // [events]
};

UpdateLessons lessons_of(const detail::MergedHistories& merged, const std::vector<bool>& held) {
  UpdateLessons lessons;
  const Histories& from = merged.histories;
  Histories& to = lessons.histories;
  to.user_ids = from.user_ids;
  to.item_ids = from.item_ids;
  to.event_kinds = from.event_kinds;
  for (std::size_t user = 0; user < from.num_users(); ++user) {
    for (std::size_t i = from.offsets[user]; i < from.offsets[user + 1]; ++i) {
      if (held[i]) continue;
      to.items.push_back(from.items[i]);
      if (!from.times.empty()) to.times.push_back(from.times[i]);
      to.kinds.push_back(from.kinds[i]);
      to.values.push_back(from.values[i]);
      lessons.is_new.push_back(merged.is_new[i]);
    }
    to.offsets.push_back(to.items.size());
  }
  return lessons;
}

// Of each user with new events, from the newest back: windows until every new event was a target.
std::vector<TrainingSequence> new_sequences(const UpdateLessons& lessons, std::size_t window) {
  std::vector<TrainingSequence> sequences;
  const Histories& histories = lessons.histories;
  for (std::size_t user = 0; user < histories.num_users(); ++user) {
    const std::size_t offset = histories.offsets[user], events = histories.of(user).size();
    std::size_t oldest = 0;
    while (oldest < events && !lessons.is_new[offset + oldest]) ++oldest;
    for (std::size_t end = events; end > std::max<std::size_t>(oldest, 1);) {
      const std::size_t length = std::min(end, window + 1);
      sequences.push_back({static_cast<UserHandle>(user), end - length, length});
      end -= length - 1;
    }
  }
  return sequences;
}

// The newest windows of the users that nothing is new of.
std::vector<TrainingSequence> old_sequences(const UpdateLessons& lessons, std::size_t window) {
  auto sequences = detail::training_sequences(lessons.histories, window);
  std::erase_if(sequences, [&](const TrainingSequence& sequence) {
    const auto own = lessons.is_new.begin() + static_cast<std::ptrdiff_t>(lessons.histories.offsets[sequence.user]);
    const auto events = static_cast<std::ptrdiff_t>(lessons.histories.of(sequence.user).size());
    return std::find(own, own + events, true) != own + events;
  });
  return sequences;
}

bool is_zero(std::span<const float> row) {
  return std::all_of(row.begin(), row.end(), [](float x) { return x == 0.0f; });
}

// Sums, for each item that has no row yet, the rows of items within a few events.
void add_neighbours(EmbeddingTable<float>& sums, const Histories& histories, const std::vector<bool>& without_row,
                    const EmbeddingTable<float>& rows) {
  constexpr std::size_t kNear = 5;
  for (std::size_t user = 0; user < histories.num_users(); ++user) {
    const auto items = histories.of(user).items;
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (!without_row[items[i]]) continue;
      const std::size_t begin = i - std::min(i, kNear), end = std::min(items.size(), i + kNear + 1);
      for (std::size_t j = begin; j < end; ++j) {
        if (without_row[items[j]]) continue;
        detail::kernels<float>().add(sums.row(items[i]).data(), rows.row(items[j]).data(), rows.dim());
      }
    }
  }
}

double norm_of(std::span<const float> row) {
  double squares = 0;
  for (const float x : row) squares += static_cast<double>(x) * static_cast<double>(x);
  return std::sqrt(squares);
}

// Old rows, and for each item that the sequences bring the mean direction of the rows near it, as long as rows are on
// the average. What has none near it begins where training begins; what nobody learns from stays zero.
void fill_rows(SequenceEncoder<float>& grown, const SequenceEncoder<float>& old, const Histories& histories,
               std::span<const TrainingSequence> sequences) {
  const std::size_t items = grown.items().rows();
  const auto seen = detail::trained_items(sequences, histories);
  std::vector<bool> without_row(items, true);
  EmbeddingTable<float> rows(items, grown.dim()), sums(items, grown.dim());
  double length = 0, known = 0;
  for (std::size_t item = 0; item < old.items().rows(); ++item) {
    const auto row = old.items().row(item);
    without_row[item] = is_zero(row);
    if (without_row[item]) continue;
    std::ranges::copy(row, rows.row(item).begin());
    length += norm_of(row);
    ++known;
  }
  add_neighbours(sums, histories, without_row, rows);
  for (std::size_t item = 0; item < items; ++item) {
    const auto row = grown.items().row(item);
    const double sum = norm_of(sums.row(item));
    if (!without_row[item]) {
      std::ranges::copy(rows.row(item), row.begin());
    } else if (!seen[item]) {
      std::ranges::fill(row, 0.0f);
    } else if (sum > 0) {
      const auto scale = static_cast<float>(length / known / sum);
      std::ranges::transform(sums.row(item), row.begin(), [scale](float x) { return scale * x; });
    }
  }
}

// As the model was trained, but for the few epochs of an update.
TrainerConfig training_config(const TrainedModel& model, const UpdaterConfig& updating) {
  TrainerConfig config;
  const auto note = model.notes.find("trainer");
  if (note != model.notes.end()) config.apply_json(note->second, "the model's note \"trainer\"");
  config.encoder = model.encoder->config();
  config.epochs = updating.epochs;
  config.adam.learning_rate *= updating.learning_rate;
  config.warmup_steps = std::min<std::size_t>(config.warmup_steps, 20);
  config.schedule = Schedule::linear;
  config.final_learning_rate = 0.0;
  config.windows = Windows::newest;
  config.average = 0.0;
  config.seed = updating.seed;
  return config;
}

// The sequences of an epoch: all that are new, and old ones that are drawn for this epoch.
std::vector<TrainingSequence> mixed(std::span<const TrainingSequence> fresh, std::span<const TrainingSequence> old,
                                    const UpdaterConfig& config, std::size_t epoch) {
  std::vector<TrainingSequence> all(fresh.begin(), fresh.end());
  std::vector<std::size_t> order(old.size());
  detail::shuffle(order, config.seed, epoch);
  const double wanted = config.replay * static_cast<double>(fresh.size());
  const std::size_t replayed = static_cast<std::size_t>(std::min(wanted, static_cast<double>(old.size())));
  for (std::size_t i = 0; i < replayed; ++i) all.push_back(old[order[i]]);
  return all;
}

std::shared_ptr<const SequenceEncoder<float>> train(const TrainedModel& model, const UpdateLessons& lessons,
                                                    const UpdaterConfig& updating, Executor& executor,
                                                    const Progress& progress, UpdateReport& report) {
  const TrainerConfig config = training_config(model, updating);
  const std::size_t window = detail::targets_window(config.encoder);
  const auto fresh = new_sequences(lessons, window), old = old_sequences(lessons, window);
  std::shared_ptr<SequenceEncoder<float>> encoder = make_encoder(config.encoder, lessons.histories.num_items());
  encoder->initialize(config.seed);
  std::ranges::copy(model.encoder->weights(), encoder->weights().begin());
  fill_rows(*encoder, *model.encoder, lessons.histories, fresh);
  if (fresh.empty()) return encoder;

  detail::Learner learner(config, lessons.histories, *encoder, executor);
  for (std::size_t epoch = 1; epoch <= config.epochs; ++epoch) {
    const auto start = Clock::now();
    learner.use(mixed(fresh, old, updating, epoch));
    const auto loss = learner.train_epoch(epoch, config.epochs, progress.step);
    if (!loss) break;
    const double seconds = std::chrono::duration<double>(Clock::now() - start).count();
    report.epochs.push_back({.epoch = epoch, .epochs = config.epochs, .seconds = seconds, .loss = *loss});
    report.train_seconds += seconds;
    if (progress.epoch && !progress.epoch(report.epochs.back())) break;
  }
  learner.copy_weights(*encoder);
  return encoder;
}

}  // namespace

void UpdaterConfig::validate() const {
  require_field(epochs >= 1, "epochs", "at least 1", static_cast<double>(epochs));
  require_field(learning_rate > 0 && std::isfinite(learning_rate), "learning_rate", "positive and finite",
                learning_rate);
  require_field(replay >= 0 && std::isfinite(replay), "replay", "at least 0 and finite", replay);
  require_field(held_out >= 0 && held_out < 1, "held_out", "at least 0 and below 1", held_out);
}

Updater::Updater(UpdaterConfig config, Executor* executor) : config_(config), executor_(executor) {
  config_.validate();
}

TrainedModel Updater::update(const TrainedModel& model, const InteractionLog& events, const Progress& progress) {
  InlineExecutor calling_thread;
  Executor& executor = executor_ ? *executor_ : calling_thread;
  check_model(model);
  report_ = {};
  detail::MergedHistories merged = detail::merge(*model.histories, events);
  const Histories& histories = merged.histories;
  report_.known_events = merged.known_events;
  report_.new_events = histories.num_events() - model.histories->num_events();
  report_.new_users = histories.num_users() - model.histories->num_users();
  report_.new_items = histories.num_items() - model.num_items();
  held_out_ = {model.histories, {}};
  if (report_.new_events == 0) return model;

  const std::vector<bool> held = held_out_events(merged, config_.held_out);
  const UpdateLessons lessons = lessons_of(merged, held);
  TrainedModel updated = model;
  updated.version.clear();
  updated.histories = std::make_shared<const Histories>(std::move(merged.histories));
  updated.item_ids = updated.histories->item_ids;
  held_out_ = queries_of(updated.histories, held);
  if (model.popularity) {
    updated.popularity =
        std::make_shared<const PopularityModel>(PopularityModel::fit(lessons.histories, model.popularity->options()));
  }
  if (model.counts) {
    const CountOptions options = *detail::options_of(*model.counts);
    const bool is_popularity = kind_of(options) == CountKind::popularity;
    updated.counts = is_popularity ? updated.popularity : fit_counts(lessons.histories, options, &executor);
  }
  if (model.encoder) updated.encoder = train(model, lessons, config_, executor, progress, report_);
  if (model.user_prior) {
    std::vector<ItemHandle> handles(model.num_items());  // old items keep theirs
    std::iota(handles.begin(), handles.end(), ItemHandle{0});
    updated.user_prior = std::make_shared<const UserPrior>(model.user_prior->reordered(handles, updated.num_items()));
  }
  updated.opening = nullptr;  // that of the model before
  return updated;
}

}  // namespace attune::inline v0_1
