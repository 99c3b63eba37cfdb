// SPDX-License-Identifier: Apache-2.0
#include "training/query_reader.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "attune/detail/top_k.hpp"

namespace attune::inline v0_1::detail {

std::vector<UserQueries> group_by_user(std::span<const EvaluationQueries::Query> queries) {
  std::vector<UserQueries> groups;
  for (std::size_t q = 0; q < queries.size(); ++q) {
    if (q == 0 || queries[q].user != queries[q - 1].user) groups.push_back({q, q});
    groups.back().end = q + 1;
  }
  return groups;
}

QueryReader::QueryReader(const EvaluationQueries& queries, ScoreAll session, std::size_t num_items, bool exclude_seen,
                         bool request_time)
    : queries_(queries),
      session_(std::move(session)),
      exclude_seen_(exclude_seen),
      request_time_(request_time),
      scores_(num_items),
      last_filtered_(num_items, 0) {}

void QueryReader::read(const EvaluationQueries::Query& query) {
  history_ = queries_.history(query);
  const auto targets = queries_.targets(query);
  relevant_.assign(targets.begin(), targets.end());
  std::ranges::sort(relevant_);
  relevant_.erase(std::unique(relevant_.begin(), relevant_.end()), relevant_.end());
  repeated_ = std::ranges::any_of(history_.items, [&](ItemHandle item) { return is_relevant(item); });

  const IdMap* const users = queries_.histories->user_ids.get();
  context_ = {.now = request_time_ ? queries_.time(query) : kNoTime,
              .user = users != nullptr ? users->id(query.user) : Id()};
  session_(history_, context_, scores_);
  filtered_ = 0;
  if (exclude_seen_) filter_seen();
}

void QueryReader::filter_seen() {
  ++query_number_;
  for (const ItemHandle item : history_.items) {
    if (item >= scores_.size() || last_filtered_[item] == query_number_ || is_relevant(item)) continue;
    last_filtered_[item] = query_number_;
    scores_[item] = std::numeric_limits<float>::quiet_NaN();
    ++filtered_;
  }
}

bool QueryReader::is_relevant(ItemHandle item) const noexcept { return std::ranges::binary_search(relevant_, item); }

std::span<const ScoredHandle> QueryReader::best(std::size_t k) {
  TopK top(best_, std::min(k, scores_.size()));
  for (std::size_t item = 0; item < scores_.size(); ++item) {
    if (scores_[item] >= top.threshold()) top.push({static_cast<ItemHandle>(item), scores_[item]});
  }
  return top.finish();
}

RankingQuery QueryReader::ranking_query() const noexcept {
  RankingQuery query{.history = history_, .context = context_};
  if (query.context.now == kNoTime && !history_.times.empty()) query.context.now = history_.times.back();
  return query;
}

std::span<Candidate> QueryReader::candidates(std::size_t k) {
  const IdMap* const ids = queries_.histories->item_ids.get();
  candidates_.clear();
  for (const auto& [item, score] : best(k)) {
    const Id id = ids != nullptr && item < ids->size() ? ids->id(item) : Id();
    candidates_.push_back({id, item, score, candidates_.size()});
  }
  return candidates_;
}

}  // namespace attune::inline v0_1::detail
