// SPDX-License-Identifier: Apache-2.0
#include "attune/serving/catalogue.hpp"

#include <algorithm>
#include <mutex>
#include <string>

#include "attune/error.hpp"
#include "data/text.hpp"
#include "serving/item_columns.hpp"

namespace attune::inline v0_1 {
namespace {

std::string name(IdKind kind) { return kind == IdKind::string ? "strings" : "int64 numbers"; }

}  // namespace

// Twice as many fit into an IdMap.
Catalogue::Catalogue(IdMap items, std::size_t limit, std::vector<ItemField> fields)
    : items_(std::move(items)),
      columns_(std::make_unique<detail::ItemColumns>(std::move(fields))),
      known_(items_.size(), true),
      num_known_(items_.size()),
      limit_(std::min<std::size_t>(limit, (kNoHandle - 1) / 2)) {
  if (items_.size() > limit_) {
    throw Error(ErrorCode::limit_exceeded, "the model has " + std::to_string(items_.size()) +
                                               " items, more than the limit of " + std::to_string(limit_));
  }
}

Catalogue::~Catalogue() = default;

ItemHandle Catalogue::find(const Id& id) const noexcept {
  const std::shared_lock lock(mutex_);
  return items_.find(id);
}

bool Catalogue::accepts(const Id& id) const noexcept { return items_.accepts(id); }

ItemHandle Catalogue::find_or_add(const Id& id) {
  if (!accepts(id)) return kNoHandle;
  if (const ItemHandle handle = find(id); handle != kNoHandle) return handle;
  const std::unique_lock lock(mutex_);
  if (items_.size() - num_known_ >= limit_) return items_.find(id);
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
    if (handle >= known_.size() || !known_[handle]) located.first_seen.push_back(i);
  }
  require_room(located.first_seen.size(), "the new model");
  return located;
}

void Catalogue::require_room(std::size_t more, const char* who) const {
  const std::size_t total = num_known_ + more;
  if (total <= limit_) return;
  throw Error(ErrorCode::limit_exceeded, std::string(who) + " brings the items of all models and upserts to " +
                                             std::to_string(total) + ", more than the limit of " +
                                             std::to_string(limit_));
}

ItemHandle Catalogue::add_known(const Id& id) {
  const ItemHandle handle = items_.insert(id);
  if (handle >= known_.size()) known_.resize(handle + std::size_t{1});
  if (!known_[handle]) ++num_known_;
  known_[handle] = true;
  return handle;
}

std::vector<ItemHandle> Catalogue::add_all(const IdMap& items) {
  const std::lock_guard growing(growing_mutex_);
  Located located = locate(items);
  for (const std::uint32_t i : located.first_seen) {
    const std::unique_lock lock(mutex_);  // anew for each, so that requests get between
    located.handles[i] = add_known(items.id(i));
  }
  return std::move(located.handles);
}

void Catalogue::add_in_place(const IdMap& items) {
  const std::lock_guard growing(growing_mutex_);
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
  for (std::uint32_t i = 0; i < items.size(); ++i) add_known(items.id(i));
}

void Catalogue::upsert(std::span<const Item> items) {
  for (std::size_t i = 0; i < items.size(); ++i) {
    if (!accepts(items[i].id)) {
      throw Error(ErrorCode::invalid_argument, "upsert, item " + std::to_string(i) +
                                                   " of the batch: expected an id of " + name(kind()) + ", found " +
                                                   detail::in_quotes(to_string(items[i].id), '"'));
    }
    columns_->check(items[i], i);
  }
  constexpr std::size_t kTogether = 64;  // under one lock
  const std::lock_guard growing(growing_mutex_);
  std::size_t added = 0;
  for (std::size_t first = 0; first < items.size(); first += kTogether) {
    const std::shared_lock lock(mutex_);
    for (const Item& item : items.subspan(first, std::min(kTogether, items.size() - first))) {
      const ItemHandle handle = items_.find(item.id);
      added += handle >= known_.size() || !known_[handle];
    }
  }
  require_room(added, "the upsert");
  for (std::size_t first = 0; first < items.size(); first += kTogether) {
    const std::unique_lock lock(mutex_);
    for (const Item& item : items.subspan(first, std::min(kTogether, items.size() - first))) {
      columns_->set(add_known(item.id), item);
    }
  }
}

bool Catalogue::remove(const Id& id) {
  const ItemHandle handle = find_or_add(id);
  if (handle == kNoHandle) return false;
  const std::unique_lock lock(mutex_);
  columns_->remove(handle);
  return true;
}

std::span<const ItemField> Catalogue::fields() const noexcept { return columns_->fields(); }

std::uint64_t Catalogue::changes() const noexcept { return columns_->changes(); }

}  // namespace attune::inline v0_1
