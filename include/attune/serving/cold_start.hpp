// SPDX-License-Identifier: Apache-2.0
#pragma once

// The side door: answers for users and histories that the model does not know. Immutable; safe from any number of
// threads; allocates nothing once a workspace is warm.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "attune/concepts.hpp"
#include "attune/model/count_model.hpp"
#include "attune/model/user_prior.hpp"

namespace attune::inline v0_1 {

// A count model where the history has an event it knows, else popularity; with a prior, for a history of at most
// UserPrior::kMostEvents events, what that says of the user, as shares of all items. Every eligible item can be
// returned; what was never counted has a score of 0.
class ATTUNE_EXPORT CountsColdStart {
 public:
  // Either may be null. Handles may go beyond the items that were counted.
  CountsColdStart(std::shared_ptr<const CountModel> popularity, std::shared_ptr<const CountModel> counts,
                  std::shared_ptr<const UserPrior> prior = nullptr);

  Source source(HistoryView history, const Context& context) const noexcept;
  // Of the prior.
  ColdTerms beside_model(HistoryView history, const Context& context, std::size_t size, Workspace& workspace) const;
  std::span<const ScoredHandle> top_k(HistoryView history, const Context& context,
                                      std::span<const std::uint64_t> eligible, std::size_t k,
                                      Workspace& workspace) const {
    return top_k(history, context, eligible, {}, k, workspace);
  }
  // `additive` is empty or has a term for every handle, added to its score.
  std::span<const ScoredHandle> top_k(HistoryView history, const Context& context,
                                      std::span<const std::uint64_t> eligible, std::span<const float> additive,
                                      std::size_t k, Workspace& workspace) const;
  void score(HistoryView history, const Context& context, std::span<const ItemHandle> handles, std::span<float> scores,
             Workspace& workspace) const;
  // attributions [history] of a sum of scores: see CountModel::leave_one_out.
  void attributions(std::span<float> attributions, HistoryView history, const Context& context,
                    std::span<const ItemHandle> items, std::span<const float> shares, Workspace& workspace) const;

 private:
  bool is_cold(HistoryView history) const noexcept { return prior_ && UserPrior::is_about(history); }
  std::span<const float> score_all(HistoryView history, const Context& context, Workspace& workspace) const;
  std::shared_ptr<const CountModel> popularity_, counts_;
  std::shared_ptr<const UserPrior> prior_;
};
static_assert(ColdStart<CountsColdStart>);

}  // namespace attune::inline v0_1
