// SPDX-License-Identifier: Apache-2.0
#pragma once

// Item ids <-> handles for the life of a recommender, and what a host says of the items: a handle keeps its meaning
// across model versions, and items that no model knows get handles of their own when an event or an upsert names them.
// Safe from any number of threads.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <shared_mutex>
#include <span>
#include <utility>
#include <vector>

#include "attune/data/id_map.hpp"
#include "attune/types.hpp"

namespace attune::inline v0_1 {

namespace detail {
class ItemColumns;
}

class ATTUNE_EXPORT Catalogue {
 public:
  // `items` are those of a model. `limit` is the most that models and hosts bring, and the most that only events name:
  // whatever events bring, there is room for a model. Throws Error(limit_exceeded) for more, invalid_argument for a
  // field whose name is none.
  Catalogue(IdMap items, std::size_t limit, std::vector<ItemField> fields = {});
  ~Catalogue();

  ItemHandle find(const Id& id) const noexcept;
  // What IdMap::accepts says: false for an id that no item can have.
  bool accepts(const Id& id) const noexcept;
  // For an event: kNoHandle for an id that is not accepted, or a new one beyond the limit.
  ItemHandle find_or_add(const Id& id);
  // Text stays valid as long as the catalogue lives.
  Id id(ItemHandle handle) const noexcept;
  std::size_t size() const noexcept;
  IdKind kind() const noexcept { return items_.kind(); }

  // The handle of every id of a model, new ones where it has none yet. Throws Error: limit_exceeded, or
  // invalid_argument for ids of the other kind; nothing is added then.
  std::vector<ItemHandle> add_all(const IdMap& items);
  // Takes in ids whose handles are given: those it has already must agree, the others must come next in order. Throws
  // like add_all, and Error(invalid_argument) naming the first id at the wrong place.
  void add_in_place(const IdMap& items);

  // As Recommender::upsert_items and remove_item say. Requests get between two items of a batch.
  void upsert(std::span<const Item> items);
  bool remove(const Id& id);
  std::span<const ItemField> fields() const noexcept;
  // How many changes upserts and removals made to items so far.
  std::uint64_t changes() const noexcept;

  // Calls visit(ids) while nobody adds to them.
  template <class Visit>
  void read(Visit&& visit) const {
    const std::shared_lock lock(mutex_);
    visit(std::as_const(items_));
  }
  // Calls visit(columns) while nobody changes items.
  template <class Visit>
  void read_columns(Visit&& visit) const {
    const std::shared_lock lock(mutex_);
    visit(std::as_const(*columns_));
  }

 private:
  // The handle of every id, kNoHandle where it has none, and which ids no model had so far. Throws as add_all does.
  struct Located {
    std::vector<ItemHandle> handles;
    std::vector<std::uint32_t> first_seen;
  };
  Located locate(const IdMap& items) const;
  // Adds an id of a model or a host, or takes it over from the events. With the mutex held.
  ItemHandle add_known(const Id& id);
  void require_room(std::size_t more, const char* who) const;

  std::shared_mutex growing_mutex_;  // locked first, whole, by whoever adds known ids; <mutex> is a large header
  mutable std::shared_mutex mutex_;
  IdMap items_;
  std::unique_ptr<detail::ItemColumns> columns_;
  std::vector<bool> known_;  // by handle: a model or a host brought it; false for those behind its end
  std::size_t num_known_ = 0;
  std::size_t limit_;
};

}  // namespace attune::inline v0_1
