// SPDX-License-Identifier: Apache-2.0
#pragma once

// [seam] The second stage of an answer: the engine finds candidates in the whole catalogue, a ranker puts the best of
// them in order, with whatever it knows of them. RecommenderOptions::ranker serves it, EvaluationOptions::ranker
// measures it.

#include <cstddef>
#include <memory>
#include <span>
#include <utility>

#include "attune/model/workspace.hpp"
#include "attune/types.hpp"

namespace attune::inline v0_1 {

// One of the engine's best.
struct Candidate {
  Id item;            // text outlives the call; empty in an evaluation of queries without item ids
  ItemHandle handle;  // see Recommender::item_ids(); in an evaluation, the model's own
  float score;        // the engine's
  std::size_t rank;   // its place in the engine's order, from 0
};

// Whose candidates they are.
struct RankingQuery {
  HistoryView history;  // the whole of it, also events on items that the model or the catalogue (kNoHandle) lacks
  Context context;      // `now` is the last event's where the request has none; `user` is empty for a bare history
  Source source = Source::model;             // who found the candidates
  ScoreKind score_kind = ScoreKind::cosine;  // of their scores
};

class ATTUNE_EXPORT Ranker {
 public:
  virtual ~Ranker() = default;

  // scores [candidates]: larger is better, ties stay in the engine's order. Scores of all groups of a request are
  // compared with each other. Called from any number of threads at once, with the lock of the request's user held: it
  // must not call the recommender it serves. Should allocate nothing, where requests are to allocate nothing;
  // `workspace` is scratch of this thread, all of it but `eligible` free to use. An exception, or a score that is not
  // finite or not filled in, leaves the whole answer in the engine's order; it is counted (ranker_failures of
  // RecommenderInfo and Report) and goes no further.
  virtual void rank(const RankingQuery& query, std::span<const Candidate> candidates, std::span<float> scores,
                    Workspace& workspace) const = 0;

  // How many of the engine's best it is given, unless options say otherwise.
  virtual std::size_t candidates() const noexcept { return 100; }

  // Candidates a call, under a deadline; without one, all come at once. The clock is read between groups: fewer keep
  // the deadline more closely. The first group is ranked whatever the time; those not reached follow behind the others
  // in the engine's order.
  virtual std::size_t group_size() const noexcept { return 16; }
};

// A ranker from a function (const RankingQuery&, std::span<const Candidate>, std::span<float> scores), which keeps the
// promises of Ranker::rank.
template <class Function>
std::shared_ptr<const Ranker> make_ranker(Function function) {
  class FunctionRanker final : public Ranker {
   public:
    explicit FunctionRanker(Function function) : function_(std::move(function)) {}
    void rank(const RankingQuery& query, std::span<const Candidate> candidates, std::span<float> scores,
              Workspace&) const override {
      function_(query, candidates, scores);
    }

   private:
    Function function_;
  };
  return std::make_shared<const FunctionRanker>(std::move(function));
}

}  // namespace attune::inline v0_1
