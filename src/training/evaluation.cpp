// SPDX-License-Identifier: Apache-2.0
#include "attune/training/evaluation.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <utility>

#include "attune/detail/dropout.hpp"
#include "attune/error.hpp"
#include "training/metrics.hpp"

namespace attune::inline v0_1 {

TrainingUsers TrainingUsers::count(const Histories& train) {
  TrainingUsers users{std::vector<std::uint64_t>(train.num_items(), 0), 0};
  std::vector<std::size_t> last_user(train.num_items(), 0);
  for (std::size_t user = 0; user < train.num_users(); ++user) {
    const auto items = train.of(user).items;
    if (!items.empty()) ++users.total;
    for (const ItemHandle item : items) {
      if (std::exchange(last_user[item], user + 1) != user + 1) ++users.of_item[item];
    }
  }
  return users;
}

double Report::at(const std::string& name) const {
  const auto found = metrics.find(name);
  if (found != metrics.end()) return found->second;
  throw Error(ErrorCode::invalid_argument,
              "no metric named " + name + (queries == 0 ? ": there were no queries" : " at the chosen cutoffs"));
}

namespace detail {

namespace {

using Query = EvaluationQueries::Query;

// The queries of one user, back to back.
struct Group {
  std::size_t begin, end;
};

std::vector<Group> group_by_user(std::span<const Query> queries) {
  std::vector<Group> groups;
  for (std::size_t q = 0; q < queries.size(); ++q) {
    if (q == 0 || queries[q].user != queries[q - 1].user) groups.push_back({q, q});
    groups.back().end = q + 1;
  }
  return groups;
}

// What every worker reads.
struct Task {
  const EvaluationQueries& queries;
  const EvaluationOptions& options;
  std::span<const std::uint64_t> training_counts;
  const MetricSet& metrics;
};

// One thread's part of an evaluation: its session of the model, its scratch, its counts.
class Worker {
 public:
  Worker(const Task& task, ScoreAll session)
      : recommended_counts(task.metrics.num_counts(), 0),
        task_(task),
        session_(std::move(session)),
        scores_(task.metrics.num_items()),
        last_filtered_(task.metrics.num_items(), 0) {}

  void run(const Query& query, std::span<double> sums);

  std::vector<std::uint64_t> recommended_counts;  // [cutoffs, items]
  std::size_t unseen_targets = 0, repeated_targets = 0;

 private:
  std::size_t filter_seen(HistoryView history);
  void rank_relevant(std::size_t candidates);
  void list_trained();
  struct Ahead {
    std::size_t above, tied;
  };
  Ahead others_ahead(float score) const;
  void list_best();
  bool is_relevant(ItemHandle item) const { return std::binary_search(relevant_.begin(), relevant_.end(), item); }

  const Task& task_;
  ScoreAll session_;
  std::vector<float> scores_;                 // [items]; NaN where an item is filtered
  std::vector<std::uint64_t> last_filtered_;  // [items]: number of the query that last filtered it
  std::uint64_t query_number_ = 0;
  std::vector<ItemHandle> relevant_;   // distinct, ascending
  std::vector<ScoredHandle> trained_;  // those with a training event, best first, NaN last
  std::vector<std::size_t> ranks_;     // of trained_
  std::vector<ItemHandle> found_;      // its items
  double auc_ = 0;
  std::vector<ScoredHandle> best_;
  std::vector<ItemHandle> recommended_;
};

void Worker::run(const Query& query, std::span<double> sums) {
  const HistoryView history = task_.queries.history(query);
  const auto targets = task_.queries.targets(query);
  relevant_.assign(targets.begin(), targets.end());
  std::sort(relevant_.begin(), relevant_.end());
  relevant_.erase(std::unique(relevant_.begin(), relevant_.end()), relevant_.end());
  ++query_number_;
  if (std::any_of(history.items.begin(), history.items.end(), [&](ItemHandle item) { return is_relevant(item); })) {
    ++repeated_targets;
  }

  const IdMap* const users = task_.queries.histories->user_ids.get();
  session_(history,
           {.now = task_.options.request_time ? task_.queries.time(query) : kNoTime,
            .user = users != nullptr ? users->id(query.user) : Id()},
           scores_);
  const std::size_t filtered = task_.options.exclude_seen ? filter_seen(history) : 0;
  rank_relevant(scores_.size() - filtered);
  list_best();
  task_.metrics.add(sums, {ranks_, found_, relevant_.size(), recommended_, history.items, auc_});
  task_.metrics.count(recommended_counts, recommended_);
}

// All distinct items of the history but the targets; returns how many.
std::size_t Worker::filter_seen(HistoryView history) {
  std::size_t filtered = 0;
  for (const ItemHandle item : history.items) {
    if (item >= scores_.size() || last_filtered_[item] == query_number_ || is_relevant(item)) continue;
    last_filtered_[item] = query_number_;
    scores_[item] = std::numeric_limits<float>::quiet_NaN();
    ++filtered;
  }
  return filtered;
}

// Relevant items in the order of their scores, each behind all other candidates that score as much or more. NaN ranks
// behind every candidate. A target without a training event gets no rank: a miss whatever its score.
void Worker::rank_relevant(std::size_t candidates) {
  list_trained();
  ranks_.clear();
  found_.clear();
  auc_ = 0;
  const std::size_t others = candidates - trained_.size();
  for (const auto& [item, score] : trained_) {
    std::size_t ahead = others;
    if (!std::isnan(score)) {
      const auto [above, tied] = others_ahead(score);
      ahead = above + tied;
      const double below = static_cast<double>(others - above) - 0.5 * static_cast<double>(tied);
      auc_ += others == 0 ? 1.0 : below / static_cast<double>(others);
    }
    found_.push_back(item);
    ranks_.push_back(ahead + ranks_.size() + 1);
  }
  auc_ /= static_cast<double>(relevant_.size());
}

void Worker::list_trained() {
  trained_.clear();
  for (const ItemHandle item : relevant_) {
    if (item < scores_.size() && task_.training_counts[item] > 0) {
      trained_.push_back({item, scores_[item]});
    } else {
      ++unseen_targets;
    }
  }
  const auto not_number =
      std::partition(trained_.begin(), trained_.end(), [](const ScoredHandle& s) { return !std::isnan(s.score); });
  std::sort(trained_.begin(), not_number, ranks_before);
}

// Candidates beside the relevant items that score more than `score`, and as much.
Worker::Ahead Worker::others_ahead(float score) const {
  std::uint32_t above = 0, not_below = 0;
  for (const float other : scores_) {
    above += other > score ? 1u : 0u;
    not_below += other >= score ? 1u : 0u;
  }
  for (const ScoredHandle& relevant : trained_) {
    above -= relevant.score > score ? 1u : 0u;
    not_below -= relevant.score >= score ? 1u : 0u;
  }
  return {above, not_below - above};
}

// What a user would be shown: never an item without a score.
void Worker::list_best() {
  best_.clear();
  for (std::size_t item = 0; item < scores_.size(); ++item) {
    if (scores_[item] > -std::numeric_limits<float>::infinity()) {
      best_.push_back({static_cast<ItemHandle>(item), scores_[item]});
    }
  }
  const std::size_t k = std::min(best_.size(), task_.metrics.largest_cutoff());
  std::partial_sort(best_.begin(), best_.begin() + static_cast<std::ptrdiff_t>(k), best_.end(), ranks_before);
  recommended_.clear();
  for (std::size_t i = 0; i < k; ++i) recommended_.push_back(best_[i].item);
}

// 95 % intervals of the means by resampling users with replacement. Draw i of resample r depends on (seed, r, i) alone.
std::map<std::string, std::array<double, 2>> bootstrap(const MetricSet& metrics, std::span<const double> sums,
                                                       std::span<const Group> groups, const EvaluationOptions& options,
                                                       Executor& executor) {
  const std::size_t width = metrics.per_query(), users = groups.size(), resamples = options.bootstrap;
  std::map<std::string, std::array<double, 2>> intervals;
  if (users == 0 || resamples == 0) return intervals;
  std::vector<double> means(resamples * width, 0.0);
  executor.run(resamples, [&](std::size_t resample, std::size_t) {
    double* const mean = means.data() + resample * width;
    double queries = 0;
    const std::uint64_t stream = stream_of(options.seed, Purpose::bootstrap, resample);
    for (std::size_t draw = 0; draw < users; ++draw) {
      const std::size_t user = mix(stream, draw) % users;
      queries += static_cast<double>(groups[user].end - groups[user].begin);
      for (std::size_t i = 0; i < width; ++i) mean[i] += sums[user * width + i];
    }
    for (std::size_t i = 0; i < width; ++i) mean[i] /= queries;
  });
  std::vector<double> values(resamples);
  const std::size_t low = resamples / 40;
  for (std::size_t i = 0; i < width; ++i) {
    for (std::size_t r = 0; r < resamples; ++r) values[r] = means[r * width + i];
    std::sort(values.begin(), values.end());
    intervals[metrics.name(i)] = {values[low], values[resamples - 1 - low]};
  }
  return intervals;
}

}  // namespace

Report evaluate(const std::function<ScoreAll()>& make_session, std::size_t num_items,
                std::span<const std::uint64_t> training_counts, const EvaluationQueries& queries,
                const EvaluationOptions& options) {
  if (training_counts.size() != num_items) {
    throw Error(ErrorCode::invalid_argument, "training_counts: expected one per item, " + std::to_string(num_items) +
                                                 ", found " + std::to_string(training_counts.size()));
  }
  const auto start = std::chrono::steady_clock::now();
  InlineExecutor calling_thread;
  Executor& executor = options.executor ? *options.executor : calling_thread;
  const MetricSet metrics(options.cutoffs, {training_counts, options.training_users, options.categories}, true);
  const Task task{queries, options, training_counts, metrics};

  // All queries of a user stay with one worker, so that a session that carries a user's state forward gives the same
  // scores for any number of threads.
  const auto groups = group_by_user(queries.queries);
  const std::size_t width = metrics.per_query();
  std::vector<double> user_sums(groups.size() * width, 0.0);
  std::vector<std::unique_ptr<Worker>> workers(executor.concurrency());
  executor.run(groups.size(), [&](std::size_t user, std::size_t worker) {
    if (!workers[worker]) workers[worker] = std::make_unique<Worker>(task, make_session());
    const auto sums = std::span(user_sums).subspan(user * width, width);
    for (std::size_t q = groups[user].begin; q < groups[user].end; ++q) workers[worker]->run(queries.queries[q], sums);
  });

  Report report;
  report.queries = queries.size();
  report.users = groups.size();
  report.items = num_items;
  report.exclude_seen = options.exclude_seen;
  report.request_time = options.request_time;
  std::vector<std::uint64_t> counts(metrics.num_counts(), 0);
  std::size_t repeated = 0;
  for (const auto& worker : workers) {
    if (!worker) continue;
    for (std::size_t i = 0; i < counts.size(); ++i) counts[i] += worker->recommended_counts[i];
    report.unseen_targets += worker->unseen_targets;
    repeated += worker->repeated_targets;
  }
  std::vector<double> sums(width, 0.0);
  for (std::size_t i = 0; i < user_sums.size(); ++i) sums[i % width] += user_sums[i];
  report.metrics = metrics.finish(sums, queries.size(), counts);
  report.confidence = bootstrap(metrics, user_sums, groups, options, executor);
  if (!queries.empty()) report.repeated_targets = static_cast<double>(repeated) / static_cast<double>(queries.size());
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace detail

}  // namespace attune::inline v0_1
