// SPDX-License-Identifier: Apache-2.0
#pragma once

// One thread's way from a query to the scores of its candidates, the same for metrics and for lists to learn from.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "attune/model/ranker.hpp"
#include "attune/training/evaluation.hpp"

namespace attune::inline v0_1::detail {

// The queries of one user, back to back.
struct UserQueries {
  std::size_t begin, end;
};

// A worker that takes whole groups gives the same scores for any number of threads, also with a session that carries a
// user's state forward.
std::vector<UserQueries> group_by_user(std::span<const EvaluationQueries::Query> queries);

class QueryReader {
 public:
  // Seen items are filtered where they are excluded: all distinct items of the history but the targets.
  QueryReader(const EvaluationQueries& queries, ScoreAll session, std::size_t num_items, bool exclude_seen,
              bool request_time);

  void read(const EvaluationQueries::Query& query);

  // Of the last query.
  HistoryView history() const noexcept { return history_; }
  std::span<float> scores() noexcept { return scores_; }  // [items]; NaN where an item is filtered
  std::size_t filtered() const noexcept { return filtered_; }
  std::span<const ItemHandle> relevant() const noexcept { return relevant_; }  // distinct targets, ascending
  bool is_relevant(ItemHandle item) const noexcept;
  bool repeated() const noexcept { return repeated_; }  // a target is in the history
  // The k best by the scores as they are now: never an item without a finite score. Valid until the next call.
  std::span<const ScoredHandle> best(std::size_t k);

  // Whether a ranker may be asked. Not where a seen item stands among the candidates though seen ones are excluded: the
  // target alone, which its own events would give away. No ranker that serves is ever shown a seen item then.
  bool rankable() const noexcept { return !(exclude_seen_ && repeated_); }
  // As the facade asks: a request without a time happens at the last event.
  RankingQuery ranking_query() const noexcept;
  // The k best, and whose they are in the ids of the queries. Valid until the next call.
  std::span<Candidate> candidates(std::size_t k);

 private:
  void filter_seen();

  const EvaluationQueries& queries_;
  ScoreAll session_;
  const bool exclude_seen_, request_time_;
  HistoryView history_;
  Context context_;
  std::vector<float> scores_;
  std::vector<std::uint64_t> last_filtered_;  // [items]: number of the query that last filtered it
  std::uint64_t query_number_ = 0;
  std::size_t filtered_ = 0;
  bool repeated_ = false;
  std::vector<ItemHandle> relevant_;
  std::vector<ScoredHandle> best_;
  std::vector<Candidate> candidates_;
};

}  // namespace attune::inline v0_1::detail
