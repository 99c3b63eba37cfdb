// SPDX-License-Identifier: Apache-2.0
#pragma once

// Metrics over the whole catalogue. Rules: every item is a candidate; all distinct items of the query's history are
// filtered, but never the target itself; ties count against the target and NaN ranks last; a target that never occurred
// in training is a miss.

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "attune/concepts.hpp"
#include "attune/data/categories.hpp"
#include "attune/data/split.hpp"
#include "attune/executor.hpp"
#include "attune/model/calibration.hpp"
#include "attune/model/ranker.hpp"

namespace attune::inline v0_1 {

// How many users each item had in the part that a model was trained on.
struct TrainingUsers {
  std::vector<std::uint64_t> of_item;  // [items] distinct users with an event
  std::uint64_t total = 0;             // users with an event

  ATTUNE_EXPORT static TrainingUsers count(const Histories& train);
};

// Groups of users, a segment each: age, country.
struct UserGroups {
  std::string name;
  const Categories* of_user;  // by the user handles of the queries
};

struct EvaluationOptions {
  std::vector<std::size_t> cutoffs{1, 5, 10, 50, 200};
  bool exclude_seen = true;
  bool request_time = false;     // the model is told when the target happens
  std::size_t bootstrap = 1000;  // resamples of users for the 95 % intervals; 0: none
  std::uint64_t seed = 1;
  Executor* executor = nullptr;  // null: the calling thread
  // Facts that some metrics need, by the model's item handles; null leaves those metrics out.
  const TrainingUsers* training_users = nullptr;  // novelty
  const Categories* categories = nullptr;         // diversity, miscalibration: genres, say
  const Categories* providers = nullptr;          // Report::exposure: who makes or sells an item
  std::size_t exposure_cutoff = 10;
  // Report::segments: queries by the length of their history and the popularity of their target, and by user groups.
  // Keeps all metrics of every query in memory until the end.
  bool segments = false;
  std::size_t cold_below = 10;  // events of a history
  std::vector<UserGroups> user_groups = {};
  std::size_t sampled = 0;      // negatives of the sampled metrics, see Report; 0: none of them
  bool keep_user_sums = false;  // Report::user_sums, for paired_bootstrap()
  std::size_t outcomes = 0;     // of each list, Report::outcomes; 0: none
  std::size_t hardest = 0;      // queries whose targets rank lowest, Report::hardest; 0: none
  // Whose lists give outcomes; null: every query's. A TrainedModel's own leaves out what its encoder cannot answer,
  // since the scores of other sources are of another kind.
  std::function<bool(HistoryView)> outcomes_for = nullptr;
  // A second stage, as the facade has it (RecommenderOptions): puts the best of a query in order before they are cut.
  // Null: a TrainedModel's own, where it has one. Null candidates: as many as the ranker says itself; 0: no ranker.
  // Where seen items are excluded, but a target is one and stays a candidate, it is not asked, and the model's order
  // stands: served, it would not be shown the target, and the history would give it away.
  std::shared_ptr<const Ranker> ranker = nullptr;
  std::optional<std::size_t> ranker_candidates = std::nullopt;
};

// What each user adds to metrics that are means over queries.
struct UserSums {
  std::vector<std::string> names;      // of the metrics
  std::vector<double> sums;            // [users, metrics]
  std::vector<std::uint32_t> queries;  // [users]
  std::uint64_t fingerprint = 0;       // of the users and places of the queries, and of how they were asked
};

// A group of queries, measured apart. Groupings: "history" with the groups cold and warm; "target" with head, where one
// of the targets is among the fifth of the items with the most training events, and tail; and those of users.
struct Segment {
  std::string grouping, group;
  std::size_t queries = 0, users = 0;
  std::map<std::string, double> metrics;  // those that are means over queries
  std::map<std::string, std::array<double, 2>> confidence;
};

// How much of what is shown comes from a provider: its share of the attention 1 / log2(rank + 1) that all items with a
// provider get at ranks up to exposure_cutoff (Singh & Joachims, KDD 2018), beside its share of the catalogue. An item
// of several providers counts for each in equal parts.
struct ProviderExposure {
  std::string provider;
  double exposure = 0, catalogue = 0;
};

// A query whose target ranks low.
struct HardQuery {
  std::size_t query = 0;  // place in the queries
  ItemHandle target = 0;  // the first of its targets by rank, and that rank, from 1
  std::size_t rank = 0;
  std::vector<ItemHandle> answered = {};  // what a user would be shown, best first: ten at most
};

// Names as in the tool's JSON: "hr@10", "ndcg@10", "mrr@10", "recall@10", "precision@10", "f1@10", "map@10" (divisor
// min(relevant, k)), "coverage@10", "gini@10", "average_popularity@10", "tail_percentage@10" (share of recommended
// items among the 10 % least-trained). Beyond accuracy, as means over queries:
//   auc             the share of all other candidates that score below a relevant item, ties counting half; the mean
//                   over the relevant items, 0 for a miss
//   serendipity@k   the sum over the hits i of max(p(i) - u(i), 0), divided by k, where p(i) = (I + 1 - rank) / I for I
//                   items, and u(i) the same with the rank by training events (equally many share a rank), 0 without
//                   any; as RecTools (MTS, 2023) has it
//   novelty@k       the mean over the list of -log2(users(i) / U) for the U users in training (Zhou et al., 2010); an
//                   item without any counts as one user
//   diversity@k     the mean over all pairs of the list of 1 - |common categories| / |categories of either| (Ziegler et
//                   al., 2005); 1 where one of them has none. Not at a cutoff of 1. Costs k^2 per query
//   miscalibration@k
//                   KL(p || q') in nats (Steck, RecSys 2018): p are the shares of the categories in the query's
//                   history, q in the list, q' = 0.99 q + 0.01 p; an item shares its weight of 1 evenly among its
//                   categories. 0 where the history has none
//   ece@10          of a calibrated model: expected_calibration_error() of the probabilities of the best 10 items
// "hr@10/sampled100", "ndcg@10/sampled100" and "mrr@10/sampled100" rank the relevant items among 100 others alone,
// drawn for each query uniformly and without replacement from the items that are neither relevant nor in the history
// (all of these where there are fewer), at cutoffs up to 100. The seed, the length of the history and the ids of user
// and items decide the draw (handles, where the histories have no ids): models rank among the same items whatever order
// they hold them in. They may order models otherwise than the whole catalogue does (Krichene & Rendle, KDD 2020): for
// comparing with numbers that were published so.
struct Report {
  std::map<std::string, double> metrics;
  std::map<std::string, std::array<double, 2>> confidence;  // of the per-query means
  std::size_t queries = 0, users = 0, items = 0;
  std::size_t unseen_targets = 0;   // targets without a training event: misses
  std::size_t ranker_failures = 0;  // queries in the model's order: the ranker threw or gave no finite score
  double repeated_targets = 0;      // share of queries whose target is in the history
  bool exclude_seen = true, request_time = false;
  std::vector<Segment> segments;           // that were asked for and have queries
  std::vector<ProviderExposure> exposure;  // by provider, where they are known
  UserSums user_sums;                      // where they were asked for
  // Where they were asked for: the best so many items of every query and whether they were relevant, in any order.
  std::vector<Outcome> outcomes;
  // Where they were asked for: the lowest rank first, ties by the place of the query. One whose targets have no
  // training event has no rank. Items are in the model's own handles.
  std::vector<HardQuery> hardest;
  double seconds = 0;

  ATTUNE_EXPORT double at(const std::string& name) const;  // Throws Error(invalid_argument) for an unknown name.
  double hit_rate_at(std::size_t k) const { return at("hr@" + std::to_string(k)); }
  double ndcg_at(std::size_t k) const { return at("ndcg@" + std::to_string(k)); }
  double mrr_at(std::size_t k) const { return at("mrr@" + std::to_string(k)); }
  // How far apart the best and the worst group of a grouping are. Throws Error(invalid_argument) for one that was not
  // measured.
  ATTUNE_EXPORT double fairness_gap(const std::string& grouping, const std::string& metric) const;
};

namespace detail {
// A session: scores of all items for one history. One per worker.
using ScoreAll = std::function<void(HistoryView, const Context&, std::span<float>)>;
ATTUNE_EXPORT Report evaluate(const std::function<ScoreAll()>& make_session, std::size_t num_items,
                              std::span<const std::uint64_t> training_counts, const EvaluationQueries& queries,
                              const EvaluationOptions& options);
}  // namespace detail

// `training_counts` [num_items]: events of each item in the part the model was trained on.
template <ScoringModel Model>
Report evaluate(const Model& model, std::span<const std::uint64_t> training_counts, const EvaluationQueries& queries,
                const EvaluationOptions& options = {}) {
  return detail::evaluate([&model]() -> detail::ScoreAll { return model.session(); }, model.num_items(),
                          training_counts, queries, options);
}

struct PairedOptions {
  std::vector<std::string> metrics{"hr@10", "ndcg@10"};
  std::size_t resamples = 1000;  // at least 1
  std::uint64_t seed = 1;
  Executor* executor = nullptr;  // null: the calling thread
};

struct PairedDifference {
  double difference = 0;             // of the means over queries, the first minus the second
  std::array<double, 2> interval{};  // 95 % of the resamples
  double above_zero = 0;             // share of the resamples in which the first is larger
};

// Two models compared on the same queries by resampling users, each with his sums from both (Efron & Tibshirani, 1993):
// much sharper than their two intervals. Throws Error(invalid_argument) where the queries or how they were asked
// differ, and for a metric that one of them lacks.
ATTUNE_EXPORT std::map<std::string, PairedDifference> paired_bootstrap(const UserSums& first, const UserSums& second,
                                                                       const PairedOptions& options = {});

// Ready-made lists, as in `attune metrics`: recommended[i] (best first) and relevant[i] of query i, items as indices
// into training_counts. All of Report's metrics but auc. Throws Error(invalid_argument) for lists that do not fit
// together.
struct RankedLists {
  std::vector<std::vector<std::uint32_t>> recommended, relevant;
  std::vector<std::uint64_t> training_counts;
  // Facts that some metrics need: see EvaluationOptions.
  std::optional<TrainingUsers> training_users = {};
  std::optional<Categories> categories = {};
  std::vector<std::vector<std::uint32_t>> history = {};  // of query i, for miscalibration; empty: all are
};
ATTUNE_EXPORT std::map<std::string, double> list_metrics(const RankedLists& lists,
                                                         std::span<const std::size_t> cutoffs);

}  // namespace attune::inline v0_1
