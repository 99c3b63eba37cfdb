// SPDX-License-Identifier: Apache-2.0
#include "attune/serving/catalogue.hpp"

#include <algorithm>
#include <mutex>
#include <string>

#include "attune/error.hpp"

namespace attune::inline v0_1 {
namespace {

std::string name(IdKind kind) { return kind == IdKind::string ? "strings" : "int64 numbers"; }

}  // namespace

// Twice as many fit into an IdMap.
Catalogue::Catalogue(IdMap items, std::size_t limit)
    : items_(std::move(items)),
      of_model_(items_.size(), true),
      num_of_models_(items_.size()),
      limit_(std::min<std::size_t>(limit, (kNoHandle - 1) / 2)) {
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
  if (items_.size() - num_of_models_ >= limit_) return items_.find(id);
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

Catalogue::Located Catalogue::locate(const IdMap& items) const {
  if (items.kind() != kind()) {
    throw Error(ErrorCode::invalid_argument,
                "item ids: expected " + name(kind()) + " as in the model served so far, found " + name(items.kind()));
  }
  Located located{std::vector<ItemHandle>(items.size()), {}};
  const std::shared_lock lock(mutex_);
  for (std::uint32_t i = 0; i < items.size(); ++i) {
    const ItemHandle handle = located.handles[i] = items_.find(items.id(i));
    if (handle >= of_model_.size() || !of_model_[handle]) located.first_seen.push_back(i);
  }
  const std::size_t total = num_of_models_ + located.first_seen.size();
  if (total > limit_) {
    throw Error(ErrorCode::limit_exceeded, "the new model brings the items of all models to " + std::to_string(total) +
                                               ", more than the limit of " + std::to_string(limit_));
  }
  return located;
}

ItemHandle Catalogue::add_of_model(const Id& id) {
  const ItemHandle handle = items_.insert(id);
  if (handle >= of_model_.size()) of_model_.resize(handle + std::size_t{1});
  if (!of_model_[handle]) ++num_of_models_;
  of_model_[handle] = true;
  return handle;
}

std::vector<ItemHandle> Catalogue::add_all(const IdMap& items) {
  Located located = locate(items);
  for (const std::uint32_t i : located.first_seen) {
    const std::unique_lock lock(mutex_);  // anew for each, so that requests get between
    located.handles[i] = add_of_model(items.id(i));
  }
  return std::move(located.handles);
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
  for (std::uint32_t i = 0; i < items.size(); ++i) add_of_model(items.id(i));
}

}  // namespace attune::inline v0_1
