// SPDX-License-Identifier: Apache-2.0
#include "training/teacher_targets.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "attune/detail/kernels.hpp"
#include "attune/detail/top_k.hpp"
#include "attune/error.hpp"
#include "training/batch_gradient.hpp"
#include "training/normalize.hpp"

// P positions of a block, D width of the teacher, K targets.

namespace attune::inline v0_1::detail {

namespace {

constexpr std::size_t kRows = 1024;  // of the teacher's items, scored at once

void check_teacher(const SequenceEncoder<float>& teacher, const Histories& histories) {
  if (teacher.items().rows() != histories.num_items()) {
    throw Error(ErrorCode::invalid_data, "training: teacher: expected " + std::to_string(histories.num_items()) +
                                             " item rows, as the histories have items, found " +
                                             std::to_string(teacher.items().rows()));
  }
  if (teacher.needs_time() && histories.times.empty()) {
    throw Error(ErrorCode::invalid_data,
                "training histories: expected times, as the teacher reads them (time_buckets is " +
                    std::to_string(teacher.config().time_buckets) + "), found none");
  }
}

std::vector<ItemHandle> known_items(const SequenceEncoder<float>& teacher) {
  std::vector<ItemHandle> known;
  for (std::size_t item = 0; item < teacher.items().rows(); ++item) {
    if (teacher.knows(static_cast<ItemHandle>(item))) known.push_back(static_cast<ItemHandle>(item));
  }
  return known;
}

// One pass of the teacher over sequences, and what it expects after each of their events.
class Lesson {
 public:
  Lesson(const TrainerConfig& config, const Histories& histories, std::span<const ItemHandle> known, std::size_t count,
         std::size_t workers)
      : teacher_(*config.teacher),
        options_(config.distillation),
        histories_(histories),
        mode_({}, config.mixed_precision ? Precision::rounded : Precision::full),
        count_(count),
        workers_(workers) {
    table_.assign_set(teacher_.items(), teacher_.config().score, teacher_.config().temperature, known, {});
  }

  // Fills items and shares [events, K] for the targets of `sequences`.
  void teach(ItemHandle* items, float* shares, std::span<const TrainingSequence> sequences, std::size_t worker) {
    Worker& own = workers_[worker];
    own.batch.clear();
    own.events.clear();
    for (const TrainingSequence& sequence : sequences) {
      HistoryView view = histories_.of(sequence.user).subview(sequence.begin, sequence.length);
      view.weights = {};
      own.batch.add_training_sequence(view, 0, sequence.context);
      const std::size_t first = histories_.offsets[sequence.user] + sequence.begin + 1;
      for (std::size_t i = 0; i + 1 < sequence.length; ++i) own.events.push_back(first + i);
    }
    const std::size_t tokens = own.batch.num_tokens(), dim = teacher_.dim();
    const auto hidden = own.hidden.take(tokens * dim);
    teacher_.forward(hidden, own.tape, own.batch, mode_);
    for (std::size_t first = 0; first < tokens; first += kMaxPositions) {
      const std::size_t positions = std::min(kMaxPositions, tokens - first);
      rank(own, hidden.data() + first * dim, positions);
      for (std::size_t p = 0; p < positions; ++p) {
        if (own.batch.targets()[first + p] == kNoHandle) continue;
        const std::size_t at = own.events[first + p] * count_;
        share(items + at, shares + at, own.best[p].finish());
      }
    }
  }

 private:
  struct Worker {
    SequenceBatch batch;
    std::vector<std::size_t> events;  // [N], the targets of the batch in the histories
    Buffer<float> hidden, tape, logits;
    std::vector<std::vector<ScoredHandle>> memory = std::vector<std::vector<ScoredHandle>>(kMaxPositions);
    std::vector<TopK> best;  // [P]
  };

  // The best K rows of the table for each position; none for a vector without a direction. `hidden` [P, D] becomes what
  // the logits see.
  void rank(Worker& own, float* hidden, std::size_t positions) const {
    const std::size_t dim = teacher_.dim();
    const bool cosine = table_.kind() == ScoreKind::cosine;
    own.best.clear();
    for (std::size_t p = 0; p < positions; ++p) {
      float* const vector = hidden + p * dim;
      const float inverse = cosine ? normalize_forward(vector, dim) : inverse_norm(vector, dim);
      own.best.emplace_back(own.memory[p], inverse > 0 ? count_ : 0);
    }
    const auto logits = own.logits.take(positions * kRows);
    for (std::size_t first = 0; first < table_.rows(); first += kRows) {
      const std::size_t rows = std::min(kRows, table_.rows() - first);
      kernels<float>().matmul_nt(logits.data(), kRows, hidden, dim, table_.data().data() + first * dim, dim, positions,
                                 rows, dim, false);
      for (std::size_t p = 0; p < positions; ++p) {
        const float* const scores = logits.data() + p * kRows;
        for (std::size_t r = 0; r < rows; ++r) {
          if (scores[r] >= own.best[p].threshold()) own.best[p].push({table_.item_of(first + r), scores[r]});
        }
      }
    }
  }

  // Shares in proportion to the softmax over the best.
  void share(ItemHandle* items, float* shares, std::span<const ScoredHandle> best) const {
    const double scale = static_cast<double>(table_.logit_scale()) / options_.temperature;
    double sum = 0;
    for (const ScoredHandle& one : best) sum += std::exp(scale * static_cast<double>(one.score - best.front().score));
    for (const ScoredHandle& one : best) {
      const double part = std::exp(scale * static_cast<double>(one.score - best.front().score)) / sum;
      *items++ = one.item;
      *shares++ = static_cast<float>(options_.weight * part);
    }
  }

  const SequenceEncoder<float>& teacher_;
  const DistillationOptions& options_;
  const Histories& histories_;
  TrainingMode mode_;
  std::size_t count_;
  OutputTable<float> table_;
  std::vector<Worker> workers_;
};

}  // namespace

TeacherTargets::TeacherTargets(const TrainerConfig& config, const Histories& histories, Executor& executor)
    : histories_(histories) {
  const SequenceEncoder<float>& teacher = *config.teacher;
  check_teacher(teacher, histories);
  const std::vector<ItemHandle> known = known_items(teacher);
  count_ = std::min(config.distillation.targets, known.size());
  items_.assign(histories.num_events() * count_, kNoHandle);
  shares_.assign(items_.size(), 0.0f);

  const auto sequences = covering_windows(histories, teacher.config().max_sequence_length);
  std::vector<std::size_t> packs{0};  // where the sequences of each pass begin
  std::size_t tokens = 0;
  for (std::size_t s = 0; s < sequences.size(); ++s) {
    if (tokens > 0 && tokens + sequences[s].length > kPackedTokens) {
      packs.push_back(s);
      tokens = 0;
    }
    tokens += sequences[s].length;
  }
  packs.push_back(sequences.size());
  Lesson lesson(config, histories, known, count_, executor.concurrency());
  executor.run(packs.size() - 1, [&](std::size_t pack, std::size_t worker) {
    const auto some = std::span(sequences).subspan(packs[pack], packs[pack + 1] - packs[pack]);
    if (!some.empty()) lesson.teach(items_.data(), shares_.data(), some, worker);
  });
}

void TeacherTargets::append(std::vector<ItemHandle>& items, std::vector<float>& shares,
                            const TrainingSequence& sequence) const {
  const std::size_t first = (histories_.offsets[sequence.user] + sequence.begin + 1) * count_;
  const std::size_t size = (sequence.length - 1) * count_;
  const auto add = [&](auto& to, const auto& from) {
    const auto begin = from.begin() + static_cast<std::ptrdiff_t>(first);
    to.insert(to.end(), begin, begin + static_cast<std::ptrdiff_t>(size));
  };
  add(items, items_);
  add(shares, shares_);
}

std::size_t TeacherTargets::bytes(const DistillationOptions& options, const Histories& histories) noexcept {
  return histories.num_events() * std::min(options.targets, histories.num_items()) *
         (sizeof(ItemHandle) + sizeof(float));
}

}  // namespace attune::inline v0_1::detail
