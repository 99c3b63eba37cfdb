// SPDX-License-Identifier: Apache-2.0
#include "attune/serving/catalogue.hpp"

#include <string>

#include "attune/error.hpp"

namespace attune::inline v0_1 {
namespace {

std::string name(IdKind kind) { return kind == IdKind::string ? "strings" : "int64 numbers"; }

}  // namespace

Catalogue::Catalogue(IdMap items, std::size_t limit) : items_(std::move(items)), limit_(limit) {
  if (items_.size() > limit_) {
    throw Error(ErrorCode::limit_exceeded, "the model has " + std::to_string(items_.size()) +
                                               " items, more than the limit of " + std::to_string(limit_));
  }
}

ItemHandle Catalogue::find(const Id& id) const noexcept {
  const std::shared_lock lock(mutex_);
  return items_.find(id);
}

bool Catalogue::accepts(const Id& id) const noexcept { return items_.accepts(id); }

ItemHandle Catalogue::find_or_add(const Id& id) {
  if (!accepts(id)) return kNoHandle;
  if (const ItemHandle handle = find(id); handle != kNoHandle) return handle;
  const std::unique_lock lock(mutex_);
  if (items_.size() >= limit_) return items_.find(id);
  return items_.insert(id);
}

Id Catalogue::id(ItemHandle handle) const noexcept {
  const std::shared_lock lock(mutex_);
  return items_.id(handle);
}

std::size_t Catalogue::size() const noexcept {
  const std::shared_lock lock(mutex_);
  return items_.size();
}

std::vector<ItemHandle> Catalogue::locate(const IdMap& items) const {
  if (items.kind() != kind()) {
    throw Error(ErrorCode::invalid_argument,
                "item ids: expected " + name(kind()) + " as in the model served so far, found " + name(items.kind()));
  }
  std::vector<ItemHandle> handles(items.size());
  const std::shared_lock lock(mutex_);
  std::size_t total = items_.size();
  for (std::uint32_t i = 0; i < items.size(); ++i) {
    handles[i] = items_.find(items.id(i));
    total += handles[i] == kNoHandle;
  }
  if (total > limit_) {
    throw Error(ErrorCode::limit_exceeded, "the new model brings the catalogue to " + std::to_string(total) +
                                               " items, more than the limit of " + std::to_string(limit_));
  }
  return handles;
}

std::vector<ItemHandle> Catalogue::add_all(const IdMap& items) {
  std::vector<ItemHandle> handles = locate(items);
  for (std::uint32_t i = 0; i < items.size(); ++i) {
    if (handles[i] != kNoHandle) continue;
    const std::unique_lock lock(mutex_);  // anew for each, so that requests get between
    handles[i] = items_.insert(items.id(i));
  }
  return handles;
}

void Catalogue::add_in_place(const IdMap& items) {
  locate(items);
  const std::unique_lock lock(mutex_);
  for (std::uint32_t i = 0; i < items.size(); ++i) {
    const ItemHandle handle = items_.find(items.id(i));
    if (handle == i || (handle == kNoHandle && i >= items_.size())) continue;
    throw Error(ErrorCode::invalid_argument,
                "item ids: \"" + to_string(items.id(i)) + "\" at place " + std::to_string(i) +
                    " does not fit the catalogue, where " +
                    (handle == kNoHandle ? "that place is taken" : "it has place " + std::to_string(handle)));
  }
  for (std::uint32_t i = 0; i < items.size(); ++i) items_.insert(items.id(i));
}

}  // namespace attune::inline v0_1
