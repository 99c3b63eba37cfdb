// SPDX-License-Identifier: Apache-2.0
#include "data/without_users.hpp"

#include <utility>

namespace attune::inline v0_1::detail {

std::shared_ptr<const Histories> without_users(const Histories& histories,
                                               const std::function<bool(const Id&)>& leave_out) {
  auto kept = std::make_shared<Histories>();
  auto ids = std::make_shared<IdMap>(histories.user_ids->kind());
  kept->item_ids = histories.item_ids;
  kept->event_kinds = histories.event_kinds;
  const auto append = [](auto& column, const auto& source) {
    column.insert(column.end(), source.begin(), source.end());
  };
  for (std::uint32_t user = 0; user < histories.num_users(); ++user) {
    const Id id = histories.user_ids->id(user);
    if (leave_out(id)) continue;
    ids->insert(id);
    const HistoryView history = histories.of(user);
    append(kept->items, history.items);
    append(kept->times, history.times);
    append(kept->kinds, history.kinds);
    append(kept->values, history.weights);
    kept->offsets.push_back(kept->num_events());
  }
  kept->user_ids = std::move(ids);
  return kept;
}

}  // namespace attune::inline v0_1::detail
