// SPDX-License-Identifier: Apache-2.0
#pragma once

// Histories -> what is trained on, what chooses the epoch, what is reported. A query is never a copy: it names a prefix
// of a full history and the events behind it that should be predicted.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "attune/data/interaction_log.hpp"

namespace attune::inline v0_1 {

struct SplitOptions {
  enum class Kind { temporal, leave_one_out, none };
  Kind kind = Kind::temporal;
  // temporal: the global time quantile at which the test part begins; the last tenth of the part before it is
  // validation.
  double fraction = 0.9;
  // temporal: a user's events with one timestamp are one query, all of them relevant.
  bool baskets = false;

  // "leave-one-out", "temporal", "temporal:0.8", "none". Throws Error(invalid_argument).
  ATTUNE_EXPORT static SplitOptions parse(std::string_view text);
  ATTUNE_EXPORT std::string name() const;
};

struct EvaluationQueries {
  struct Query {
    UserHandle user;
    std::uint32_t history_length;  // events before the request
    std::uint32_t num_targets;     // events [history_length, history_length + num_targets) are relevant
  };
  std::shared_ptr<const Histories> histories;
  std::vector<Query> queries;  // by user, then by history length

  std::size_t size() const noexcept { return queries.size(); }
  bool empty() const noexcept { return queries.empty(); }
  HistoryView history(const Query& query) const noexcept {
    return histories->of(query.user).first(query.history_length);
  }
  std::span<const ItemHandle> targets(const Query& query) const noexcept {
    return histories->of(query.user).items.subspan(query.history_length, query.num_targets);
  }
  Timestamp time(const Query& query) const noexcept {
    return histories->times.empty() ? kNoTime : histories->times[histories->offsets[query.user] + query.history_length];
  }
};

struct Split {
  SplitOptions options;                  // as applied: without baskets unless temporal
  std::shared_ptr<const Histories> all;  // every event, whatever the part
  Histories train;                       // same users and items; some users may be left with no event
  EvaluationQueries validation;
  EvaluationQueries test;
  // What a reader of the numbers must know: leakage of leave-one-out, with the share of training events that are later
  // than the median test event; a part that came out empty.
  std::string note;
};

// leave-one-out: the last event of each user is the test target, the one before it the validation target (the test
// history includes it); users with fewer than three events only train. temporal: see SplitOptions; every event of a
// part is one query with all of the user's earlier events as its history. none: everything trains.
// Throws Error(invalid_data) for a temporal split of events without times.
ATTUNE_EXPORT Split split(Histories histories, const SplitOptions& options = {});

// Histories that go on, user by user, to the last target of the queries: what a model learns from once validation has
// chosen its settings. Throws Error(invalid_data) where the histories of the queries are not those of `train` gone on,
// with the same users and items, or end before a target.
ATTUNE_EXPORT Histories with_targets(const Histories& train, const EvaluationQueries& queries);

}  // namespace attune::inline v0_1
