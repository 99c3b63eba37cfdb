// SPDX-License-Identifier: Apache-2.0
#pragma once

// What every model that only counts offers: the score of every item for a history, and the term that a blend adds to an
// encoder's logits. Immutable once fitted; const members are safe from any number of threads and allocate nothing once
// a workspace is warm.

#include <cstddef>
#include <span>
#include <string_view>

#include "attune/model/workspace.hpp"
#include "attune/types.hpp"

namespace attune::inline v0_1 {

class ATTUNE_EXPORT CountModel {
 public:
  virtual ~CountModel();

  virtual std::string_view name() const noexcept = 0;  // of its preset: "markov", "item-knn", ...
  virtual std::size_t num_items() const noexcept = 0;
  // Whether an event on this item says something to the model; false for handles beyond its items.
  virtual bool knows(ItemHandle item) const noexcept = 0;
  bool knows_any(HistoryView history) const noexcept;

  // scores [num_items]: finite, larger is better. Events on items it does not know are skipped. Uses no more of the
  // workspace than its members for count models.
  virtual void score_all(HistoryView history, std::span<float> scores, Workspace& workspace) const = 0;
  void score_all(HistoryView history, std::span<float> scores) const;  // with a workspace of its own

  // The same for some items, scores [handles], up to rounding; 0 for handles beyond its items. Here: takes them from
  // the scores of all.
  virtual void score(HistoryView history, std::span<const ItemHandle> handles, std::span<float> scores,
                     Workspace& workspace) const;

  // differences [history]: how much less the sum of shares[i] times the score of items[i] is without each of the newest
  // 1,000 events, up to rounding; 0 for older ones. With `as_terms` of what a blend adds.
  void leave_one_out(std::span<float> differences, HistoryView history, std::span<const ItemHandle> items,
                     std::span<const float> shares, bool as_terms, Workspace& workspace) const;

  // In place, scores of any number of items become what a blend adds, times its weight, to an encoder's logits: finite
  // for every item. An item that was not counted has score 0. Here: the scores themselves.
  virtual void to_terms(std::span<float> scores) const noexcept;

 protected:
  CountModel() = default;
  CountModel(const CountModel&) = default;
  CountModel(CountModel&&) = default;
  CountModel& operator=(const CountModel&) = default;
  CountModel& operator=(CountModel&&) = default;
};

// Who answers where there is no encoder, or where it has nothing to say: `counts` for a history that it knows an event
// of, else `popularity`. Both may be null, and so may the answer.
inline const CountModel* answering(const CountModel* counts, const CountModel* popularity,
                                   HistoryView history) noexcept {
  return counts != nullptr && (popularity == nullptr || counts->knows_any(history)) ? counts : popularity;
}

}  // namespace attune::inline v0_1
