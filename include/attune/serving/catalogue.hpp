// SPDX-License-Identifier: Apache-2.0
#pragma once

// Item ids ↔ handles for the life of a recommender: a handle keeps its meaning across model versions, and items that no
// model knows get handles of their own when an event names them. Safe from any number of threads.

#include <cstddef>
#include <memory>
#include <shared_mutex>

#include "attune/data/id_map.hpp"
#include "attune/types.hpp"

namespace attune::inline v0_1 {

class ATTUNE_EXPORT Catalogue {
 public:
  explicit Catalogue(IdMap items) : items_(std::move(items)) {}

  ItemHandle find(const Id& id) const noexcept;
  // kNoHandle for an id of the wrong kind, an empty id, or beyond `limit` items in all.
  ItemHandle find_or_add(const Id& id, std::size_t limit);
  // Text stays valid as long as the catalogue lives.
  Id id(ItemHandle handle) const noexcept;
  std::size_t size() const noexcept;
  IdKind kind() const noexcept { return items_.kind(); }

 private:
  mutable std::shared_mutex mutex_;
  IdMap items_;
};

}  // namespace attune::inline v0_1
