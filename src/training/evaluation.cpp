// SPDX-License-Identifier: Apache-2.0
#include "attune/training/evaluation.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <numeric>
#include <set>
#include <utility>

#include "attune/detail/dropout.hpp"
#include "attune/detail/top_k.hpp"
#include "attune/error.hpp"
#include "training/bootstrap.hpp"
#include "training/metrics.hpp"
#include "training/segments.hpp"

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

double Report::fairness_gap(const std::string& grouping, const std::string& metric) const {
  double worst = std::numeric_limits<double>::infinity(), best = -worst;
  for (const Segment& segment : segments) {
    const auto value = segment.metrics.find(metric);
    if (segment.grouping != grouping || value == segment.metrics.end()) continue;
    worst = std::min(worst, value->second);
    best = std::max(best, value->second);
  }
  if (best >= worst) return best - worst;
  throw Error(ErrorCode::invalid_argument, "no segments of " + grouping + " were measured by " + metric);
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

std::uint64_t hash_of(const Id& id) {
  std::uint64_t hash = mix(static_cast<std::uint64_t>(id.number()));
  for (const char letter : id.text()) hash = mix(hash, static_cast<unsigned char>(letter));
  return hash;
}

// By handle: of the id, or of the handle itself where it has none.
std::vector<std::uint64_t> hashes_of(const IdMap* ids, std::size_t count) {
  std::vector<std::uint64_t> hashes;
  hashes.reserve(count);
  for (std::size_t handle = 0; handle < count; ++handle) {
    const bool has_id = ids != nullptr && handle < ids->size();
    hashes.push_back(hash_of(has_id ? ids->id(static_cast<std::uint32_t>(handle)) : Id(handle)));
  }
  return hashes;
}

// What every worker reads.
struct Task {
  const EvaluationQueries& queries;
  const EvaluationOptions& options;
  std::span<const std::uint64_t> training_counts;
  const MetricSet& metrics;
  std::vector<std::uint64_t> item_hashes;  // [items], or empty where nothing is sampled
};

// One thread's part of an evaluation: its session of the model, its scratch, its counts.
class Worker {
 public:
  Worker(const Task& task, ScoreAll session)
      : recommended_counts(task.metrics.num_counts(), 0),
        shown_counts(task.options.providers ? task.options.exposure_cutoff * task.metrics.num_items() : 0, 0),
        task_(task),
        session_(std::move(session)),
        scores_(task.metrics.num_items()),
        last_filtered_(task.metrics.num_items(), 0),
        last_excluded_(task.options.sampled != 0 ? task.metrics.num_items() : 0, 0) {}

  void run(const Query& query, std::span<double> sums);

  std::vector<std::uint64_t> recommended_counts;  // [cutoffs, items]
  std::vector<std::uint64_t> shown_counts;        // [exposure_cutoff, items], or empty
  std::vector<Outcome> outcomes;
  std::size_t unseen_targets = 0, repeated_targets = 0;

 private:
  std::size_t filter_seen(HistoryView history);
  void rerank(HistoryView history, const Context& context);
  void rank_relevant(std::size_t candidates);
  void list_trained();
  struct Ahead {
    std::size_t above, tied;
  };
  Ahead others_ahead(float score) const;
  void draw_sample(std::uint64_t stream, HistoryView history);
  void rank_in_sample();
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
  std::vector<std::uint64_t> last_excluded_;  // [items]: number of the query that last kept it from its sample
  std::vector<std::pair<std::uint64_t, float>> drawn_;  // random numbers with scores
  std::vector<float> sample_;                           // scores
  std::vector<std::size_t> sample_ranks_;               // of trained_
  std::vector<ScoredHandle> best_;
  std::vector<ScoredHandle> reranked_;  // in their new order with the model's own scores; empty: nobody reordered
  std::vector<float> ranker_scores_;
  std::vector<std::size_t> places_;
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
  const Context context{.now = task_.options.request_time ? task_.queries.time(query) : kNoTime,
                        .user = users != nullptr ? users->id(query.user) : Id()};
  session_(history, context, scores_);
  const std::size_t filtered = task_.options.exclude_seen ? filter_seen(history) : 0;
  reranked_.clear();
  if (task_.options.rerank) rerank(history, context);
  rank_relevant(scores_.size() - filtered);
  list_best();
  task_.metrics.add(sums, {ranks_, found_, relevant_.size(), recommended_, history.items, auc_});
  if (task_.options.sampled != 0) {
    const std::uint64_t user = hash_of(users != nullptr ? users->id(query.user) : Id(query.user));
    draw_sample(mix(stream_of(task_.options.seed, Purpose::candidates, user), query.history_length), history);
    rank_in_sample();
    task_.metrics.add_sampled(sums, sample_ranks_, relevant_.size());
  }
  task_.metrics.count(recommended_counts, recommended_);
  if (task_.options.outcomes != 0 && (!task_.options.outcomes_for || task_.options.outcomes_for(history))) {
    for (std::size_t r = 0; r < std::min(task_.options.outcomes, recommended_.size()); ++r) {
      const ScoredHandle& shown = r < reranked_.size() ? reranked_[r] : best_[r];
      outcomes.push_back({shown.score, is_relevant(shown.item)});
    }
  }
  for (std::size_t r = 0; r < recommended_.size() && r * scores_.size() < shown_counts.size(); ++r) {
    ++shown_counts[r * scores_.size() + recommended_[r]];
  }
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

// Puts the best in the order of the second stage and gives them scores that say so: rising from that of the last of
// them by the least that a float can, but equal where both stages had them equal.
void Worker::rerank(HistoryView history, const Context& context) {
  TopK top(best_, std::min(task_.options.candidates, scores_.size()));
  for (std::size_t item = 0; item < scores_.size(); ++item) top.push({static_cast<ItemHandle>(item), scores_[item]});
  const std::span<const ScoredHandle> best = top.finish();
  ranker_scores_.assign(best.size(), 0.0f);
  task_.options.rerank(history, context, best, ranker_scores_);
  if (!std::ranges::all_of(ranker_scores_, [](float score) { return std::isfinite(score); })) return;
  places_.resize(best.size());
  std::iota(places_.begin(), places_.end(), std::size_t{0});
  const auto& by = ranker_scores_;
  std::ranges::stable_sort(places_, [&](std::size_t a, std::size_t b) { return by[a] > by[b]; });
  for (const std::size_t place : places_) reranked_.push_back(best[place]);
  for (std::size_t i = best.size(); i-- > 0;) {
    const bool last = i + 1 == best.size();
    const bool tied = !last && by[places_[i]] == by[places_[i + 1]] && reranked_[i].score == reranked_[i + 1].score;
    const float below = last ? best.back().score : scores_[reranked_[i + 1].item];
    scores_[reranked_[i].item] = last || tied ? below : std::nextafter(below, std::numeric_limits<float>::infinity());
  }
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

// The items with the least random numbers: whatever order the items have, it is the same sample.
void Worker::draw_sample(std::uint64_t stream, HistoryView history) {
  const auto exclude = [&](ItemHandle item) {
    if (item < scores_.size()) last_excluded_[item] = query_number_;
  };
  std::for_each(history.items.begin(), history.items.end(), exclude);
  std::for_each(relevant_.begin(), relevant_.end(), exclude);
  drawn_.clear();
  for (std::size_t item = 0; item < scores_.size(); ++item) {
    if (last_excluded_[item] != query_number_) drawn_.emplace_back(mix(stream, task_.item_hashes[item]), scores_[item]);
  }
  const std::size_t count = std::min(task_.options.sampled, drawn_.size());
  std::nth_element(drawn_.begin(), drawn_.begin() + static_cast<std::ptrdiff_t>(count), drawn_.end(),
                   [](const auto& a, const auto& b) { return a.first < b.first; });
  sample_.clear();
  for (std::size_t i = 0; i < count; ++i) sample_.push_back(drawn_[i].second);
}

// By the rules of rank_relevant().
void Worker::rank_in_sample() {
  sample_ranks_.clear();
  for (const ScoredHandle& relevant : trained_) {
    const auto ahead = std::isnan(relevant.score) ? std::ssize(sample_)
                                                  : std::count_if(sample_.begin(), sample_.end(),
                                                                  [&](float other) { return other >= relevant.score; });
    sample_ranks_.push_back(static_cast<std::size_t>(ahead) + sample_ranks_.size() + 1);
  }
}

// What a user would be shown: never an item without a finite score.
void Worker::list_best() {
  std::size_t k = std::max(task_.metrics.largest_cutoff(), task_.options.outcomes);
  if (task_.options.providers != nullptr) k = std::max(k, task_.options.exposure_cutoff);
  TopK best(best_, std::min(k, scores_.size()));
  for (std::size_t item = 0; item < scores_.size(); ++item) {
    if (scores_[item] >= best.threshold()) best.push({static_cast<ItemHandle>(item), scores_[item]});
  }
  recommended_.clear();
  for (const ScoredHandle& shown : best.finish()) recommended_.push_back(shown.item);
}

UserSums measure(const Task& task, std::span<const Group> groups, const std::function<ScoreAll()>& make_session,
                 Executor& executor, std::vector<std::unique_ptr<Worker>>& workers, std::vector<double>& query_values) {
  const std::size_t width = task.metrics.per_query();
  UserSums users{task.metrics.names(), std::vector<double>(groups.size() * width, 0.0), {}};
  for (const auto& [begin, end] : groups) users.queries.push_back(static_cast<std::uint32_t>(end - begin));
  executor.run(groups.size(), [&](std::size_t user, std::size_t worker) {
    if (!workers[worker]) workers[worker] = std::make_unique<Worker>(task, make_session());
    const auto sums = std::span(users.sums).subspan(user * width, width);
    for (std::size_t q = groups[user].begin; q < groups[user].end; ++q) {
      const auto own = query_values.empty() ? sums : std::span(query_values).subspan(q * width, width);
      workers[worker]->run(task.queries.queries[q], own);
      if (query_values.empty()) continue;
      for (std::size_t i = 0; i < width; ++i) sums[i] += own[i];
    }
  });
  return users;
}

std::uint64_t fingerprint(const EvaluationQueries& queries, const EvaluationOptions& options) {
  std::uint64_t hash = mix(options.exclude_seen ? 1 : 0, options.request_time ? 1 : 0);
  const auto add = [&hash](std::uint64_t value) { hash = mix(hash, value); };
  add(options.sampled);
  if (options.sampled != 0) add(options.seed);
  for (std::size_t q = 0; q < queries.size(); ++q) {
    const Query& query = queries.queries[q];
    add(std::uint64_t{query.history_length} << 32 | query.num_targets);
    add(static_cast<std::uint64_t>(queries.time(query)));
    if (q > 0 && query.user == queries.queries[q - 1].user) continue;
    const IdMap* const users = queries.histories->user_ids.get();
    add(hash_of(users != nullptr ? users->id(query.user) : Id(query.user)));
  }
  return hash;
}

// What the workers counted, together.
struct Counts {
  std::vector<std::uint64_t> recommended, shown;
  std::vector<Outcome> outcomes;
  std::size_t unseen_targets = 0, repeated_targets = 0;

  Counts(const MetricSet& metrics, std::span<const std::unique_ptr<Worker>> workers)
      : recommended(metrics.num_counts(), 0) {
    const auto add = [](std::vector<std::uint64_t>& to, const std::vector<std::uint64_t>& from) {
      to.resize(std::max(to.size(), from.size()), 0);
      for (std::size_t i = 0; i < from.size(); ++i) to[i] += from[i];
    };
    for (const auto& worker : workers) {
      if (!worker) continue;
      add(recommended, worker->recommended_counts);
      add(shown, worker->shown_counts);
      outcomes.insert(outcomes.end(), worker->outcomes.begin(), worker->outcomes.end());
      unseen_targets += worker->unseen_targets;
      repeated_targets += worker->repeated_targets;
    }
  }
};

void check(const EvaluationOptions& options, std::span<const std::uint64_t> training_counts,
           const EvaluationQueries& queries, std::size_t num_items) {
  const auto expect = [](const std::string& name, const char* of, std::size_t expected, std::size_t found) {
    if (expected == found) return;
    throw Error(ErrorCode::invalid_argument, name + ": expected one per " + of + ", " + std::to_string(expected) +
                                                 ", found " + std::to_string(found));
  };
  expect("training_counts", "item", num_items, training_counts.size());
  if (options.providers != nullptr) expect("providers", "item", num_items, options.providers->size());
  std::set<std::string> groupings;
  if (options.segments) groupings = {"history", "target"};
  for (const UserGroups& by : options.user_groups) {
    if (!groupings.insert(by.name).second) {
      throw Error(ErrorCode::invalid_argument,
                  "segments: expected groupings of different names, found two of " + by.name);
    }
    if (!queries.empty()) expect(by.name, "user", queries.histories->num_users(), by.of_user->size());
  }
}

}  // namespace

Report evaluate(const std::function<ScoreAll()>& make_session, std::size_t num_items,
                std::span<const std::uint64_t> training_counts, const EvaluationQueries& queries,
                const EvaluationOptions& options) {
  check(options, training_counts, queries, num_items);
  const auto start = std::chrono::steady_clock::now();
  InlineExecutor calling_thread;
  Executor& executor = options.executor ? *options.executor : calling_thread;
  const MetricSet metrics(options.cutoffs, {training_counts, options.training_users, options.categories}, true,
                          options.sampled);

  // All queries of a user stay with one worker, so that a session that carries a user's state forward gives the same
  // scores for any number of threads.
  const auto groups = group_by_user(queries.queries);
  const auto segments = query_groups(queries, training_counts, options);
  std::vector<double> query_values(segments.empty() ? 0 : queries.size() * metrics.per_query(), 0.0);
  std::vector<std::unique_ptr<Worker>> workers(executor.concurrency());
  const bool samples = options.sampled != 0 && !queries.empty();
  const Task task{queries, options, training_counts, metrics,
                  samples ? hashes_of(queries.histories->item_ids.get(), num_items) : std::vector<std::uint64_t>()};
  UserSums users = measure(task, groups, make_session, executor, workers, query_values);
  Counts counts(metrics, workers);

  Report report;
  report.queries = queries.size();
  report.users = groups.size();
  report.items = num_items;
  report.unseen_targets = counts.unseen_targets;
  report.exclude_seen = options.exclude_seen;
  report.request_time = options.request_time;
  if (!queries.empty()) {
    report.metrics = metrics.named(means_of(users));
    report.metrics.merge(metrics.of_counts(counts.recommended));
    report.repeated_targets = static_cast<double>(counts.repeated_targets) / static_cast<double>(queries.size());
  }
  report.confidence = intervals_of(users, options.bootstrap, options.seed, executor);
  for (const QueryGroup& group : segments) {
    report.segments.push_back(measure_segment(group, metrics, queries, query_values, options, executor));
  }
  if (options.providers) report.exposure = provider_exposure(*options.providers, counts.shown, num_items);
  report.outcomes = std::move(counts.outcomes);
  if (options.keep_user_sums) {
    report.user_sums = std::move(users);
    report.user_sums.fingerprint = fingerprint(queries, options);
  }
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace detail

}  // namespace attune::inline v0_1
