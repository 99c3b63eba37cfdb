// SPDX-License-Identifier: Apache-2.0
#include "attune/training/evaluation.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <limits>
#include <memory>
#include <set>
#include <utility>

#include "attune/detail/dropout.hpp"
#include "attune/error.hpp"
#include "model/ranking.hpp"
#include "training/bootstrap.hpp"
#include "training/metrics.hpp"
#include "training/query_reader.hpp"
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

constexpr std::ptrdiff_t kHardAnswer = 10;  // items of HardQuery::answered

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

// The lowest rank first; the same order for any number of threads.
bool harder(const HardQuery& a, const HardQuery& b) { return a.rank != b.rank ? a.rank > b.rank : a.query < b.query; }

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
        reader_(task.queries, std::move(session), task.metrics.num_items(), task.options.exclude_seen,
                task.options.request_time),
        last_excluded_(task.options.sampled != 0 ? task.metrics.num_items() : 0, 0) {}

  void run(const Query& query, std::span<double> sums);

  std::vector<std::uint64_t> recommended_counts;  // [cutoffs, items]
  std::vector<std::uint64_t> shown_counts;        // [exposure_cutoff, items], or empty
  std::vector<Outcome> outcomes;
  std::vector<HardQuery> hardest;  // a heap, the least hard in front
  std::size_t unseen_targets = 0, repeated_targets = 0, ranker_failures = 0;

 private:
  void rerank();
  void rank_relevant(std::size_t candidates);
  void list_trained();
  struct Ahead {
    std::size_t above, tied;
  };
  Ahead others_ahead(float score);
  void draw_sample(std::uint64_t stream);
  void rank_in_sample();
  void list_best();
  void keep_if_hard(std::size_t query);

  const Task& task_;
  QueryReader reader_;
  std::uint64_t query_number_ = 0;
  std::vector<ScoredHandle> trained_;  // those with a training event, best first, NaN last
  std::vector<std::size_t> ranks_;     // of trained_
  std::vector<ItemHandle> found_;      // its items
  double auc_ = 0;
  std::vector<std::uint64_t> last_excluded_;  // [items]: number of the query that last kept it from its sample
  std::vector<std::pair<std::uint64_t, float>> drawn_;  // random numbers with scores
  std::vector<float> sample_;                           // scores
  std::vector<std::size_t> sample_ranks_;               // of trained_
  std::span<const ScoredHandle> best_;                  // what a user would be shown
  std::span<const Candidate> reranked_;  // in their new order with the model's own scores; empty: nobody reordered
  std::vector<float> ranker_scores_;
  Workspace workspace_;  // of the ranker
  std::vector<ItemHandle> recommended_;
};

void Worker::run(const Query& query, std::span<double> sums) {
  ++query_number_;
  reader_.read(query);
  if (reader_.repeated()) ++repeated_targets;
  reranked_ = {};
  if (task_.options.ranker && reader_.rankable()) rerank();
  const HistoryView history = reader_.history();
  const std::size_t items = task_.metrics.num_items(), relevant = reader_.relevant().size();
  rank_relevant(items - reader_.filtered());
  list_best();
  task_.metrics.add(sums, {ranks_, found_, relevant, recommended_, history.items, auc_});
  if (task_.options.sampled != 0) {
    const IdMap* const users = task_.queries.histories->user_ids.get();
    const std::uint64_t user = hash_of(users != nullptr ? users->id(query.user) : Id(query.user));
    draw_sample(mix(stream_of(task_.options.seed, Purpose::candidates, user), query.history_length));
    rank_in_sample();
    task_.metrics.add_sampled(sums, sample_ranks_, relevant);
  }
  task_.metrics.count(recommended_counts, recommended_);
  if (task_.options.outcomes != 0 && (!task_.options.outcomes_for || task_.options.outcomes_for(history))) {
    for (std::size_t r = 0; r < std::min(task_.options.outcomes, recommended_.size()); ++r) {
      const float score = r < reranked_.size() ? reranked_[r].score : best_[r].score;
      outcomes.push_back({score, reader_.is_relevant(recommended_[r])});
    }
  }
  for (std::size_t r = 0; r < recommended_.size() && r * items < shown_counts.size(); ++r) {
    ++shown_counts[r * items + recommended_[r]];
  }
  if (task_.options.hardest != 0) keep_if_hard(static_cast<std::size_t>(&query - task_.queries.queries.data()));
}

// Puts the best in the order of the second stage and gives them scores that say so: rising from that of the last of
// them by the least that a float can, but equal where both stages had them equal.
void Worker::rerank() {
  const EvaluationOptions& options = task_.options;
  const std::size_t most = options.ranker_candidates.value_or(options.ranker->candidates());
  const std::span<Candidate> candidates = reader_.candidates(most);
  if (candidates.empty()) return;
  const float lowest = candidates.back().score;
  const Ranking ranking = rank_candidates(*options.ranker, reader_.ranking_query(), candidates, ranker_scores_,
                                          std::chrono::nanoseconds::zero(), workspace_);
  ranker_failures += ranking.failed;
  reranked_ = candidates.first(ranking.reranked);
  const std::span<float> scores = reader_.scores();
  for (std::size_t i = reranked_.size(); i-- > 0;) {
    const Candidate& here = reranked_[i];
    if (i + 1 == reranked_.size()) {
      scores[here.handle] = lowest;
      continue;
    }
    const Candidate& next = reranked_[i + 1];
    const bool tied = ranker_scores_[here.rank] == ranker_scores_[next.rank] && here.score == next.score;
    const float below = scores[next.handle];
    scores[here.handle] = tied ? below : std::nextafter(below, std::numeric_limits<float>::infinity());
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
  auc_ /= static_cast<double>(reader_.relevant().size());
}

void Worker::list_trained() {
  trained_.clear();
  const std::span<const float> scores = reader_.scores();
  for (const ItemHandle item : reader_.relevant()) {
    if (item < scores.size() && task_.training_counts[item] > 0) {
      trained_.push_back({item, scores[item]});
    } else {
      ++unseen_targets;
    }
  }
  const auto not_number =
      std::partition(trained_.begin(), trained_.end(), [](const ScoredHandle& s) { return !std::isnan(s.score); });
  std::sort(trained_.begin(), not_number, ranks_before);
}

// Candidates beside the relevant items that score more than `score`, and as much.
Worker::Ahead Worker::others_ahead(float score) {
  std::uint32_t above = 0, not_below = 0;
  for (const float other : reader_.scores()) {
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
void Worker::draw_sample(std::uint64_t stream) {
  const std::span<const float> scores = reader_.scores();
  const auto exclude = [&](ItemHandle item) {
    if (item < scores.size()) last_excluded_[item] = query_number_;
  };
  std::ranges::for_each(reader_.history().items, exclude);
  std::ranges::for_each(reader_.relevant(), exclude);
  drawn_.clear();
  for (std::size_t item = 0; item < scores.size(); ++item) {
    if (last_excluded_[item] != query_number_) drawn_.emplace_back(mix(stream, task_.item_hashes[item]), scores[item]);
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

void Worker::list_best() {
  std::size_t k = std::max(task_.metrics.largest_cutoff(), task_.options.outcomes);
  if (task_.options.hardest != 0) k = std::max(k, std::size_t{kHardAnswer});
  if (task_.options.providers != nullptr) k = std::max(k, task_.options.exposure_cutoff);
  best_ = reader_.best(k);
  recommended_.clear();
  for (const ScoredHandle& shown : best_) recommended_.push_back(shown.item);
}

void Worker::keep_if_hard(std::size_t query) {
  if (ranks_.empty()) return;
  HardQuery here{query, found_.front(), ranks_.front()};
  if (hardest.size() == task_.options.hardest) {
    if (!harder(here, hardest.front())) return;
    std::pop_heap(hardest.begin(), hardest.end(), harder);
    hardest.pop_back();
  }
  here.answered.assign(recommended_.begin(), recommended_.begin() + std::min(kHardAnswer, std::ssize(recommended_)));
  hardest.push_back(std::move(here));
  std::push_heap(hardest.begin(), hardest.end(), harder);
}

UserSums measure(const Task& task, std::span<const UserQueries> groups, const std::function<ScoreAll()>& make_session,
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
  std::vector<HardQuery> hardest;
  std::size_t unseen_targets = 0, repeated_targets = 0, ranker_failures = 0;

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
      hardest.insert(hardest.end(), worker->hardest.begin(), worker->hardest.end());
      unseen_targets += worker->unseen_targets;
      repeated_targets += worker->repeated_targets;
      ranker_failures += worker->ranker_failures;
    }
    std::ranges::sort(hardest, harder);
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
  report.ranker_failures = counts.ranker_failures;
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
  counts.hardest.resize(std::min(counts.hardest.size(), options.hardest));
  report.hardest = std::move(counts.hardest);
  if (options.keep_user_sums) {
    report.user_sums = std::move(users);
    report.user_sums.fingerprint = fingerprint(queries, options);
  }
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace detail

}  // namespace attune::inline v0_1
