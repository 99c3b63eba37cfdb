// SPDX-License-Identifier: Apache-2.0
#include "serving/eligibility.hpp"

#include <algorithm>
#include <bit>
#include <mutex>

#include "attune/detail/top_k.hpp"

namespace attune::inline v0_1 {
namespace {

bool same(const std::weak_ptr<const void>& a, const std::shared_ptr<const void>& b) noexcept {
  return !a.owner_before(b) && !b.owner_before(a);
}

// The items of events within the time that a request says, each once, ascending.
void find_recent(const Request& request, HistoryView history, std::vector<ItemHandle>& items) {
  const Timestamp at = time_of(request.now, history);
  const auto is_recent = [&](Timestamp time) {
    if (time == kNoTime || time >= at) return true;
    return static_cast<std::uint64_t>(at) - static_cast<std::uint64_t>(time) <
           static_cast<std::uint64_t>(request.cool_down);
  };
  for (std::size_t i = 0; i < history.size(); ++i) {
    const bool recent = history.times.empty() || is_recent(history.times[i]);
    if (recent && history.items[i] != kNoHandle) items.push_back(history.items[i]);
  }
  std::ranges::sort(items);
  items.erase(std::unique(items.begin(), items.end()), items.end());
}

}  // namespace

std::span<const ItemHandle> seen_items(const Request& request, const UserView& user, RequestScratch& scratch) {
  std::vector<ItemHandle>& left_out = scratch.left_out;
  left_out.clear();
  if (request.exclude_seen && request.cool_down > 0) {
    find_recent(request, user.history, left_out);
  } else if (request.exclude_seen) {
    if (user.disliked.empty()) return user.distinct;
    left_out.assign(user.distinct.begin(), user.distinct.end());
  }
  for (const Dislike& one : user.disliked) {
    const auto place = std::ranges::lower_bound(left_out, one.item);
    if (place == left_out.end() || *place != one.item) left_out.insert(place, one.item);
  }
  return left_out;
}

Eligibility::Eligibility(RequestScratch& scratch, const Snapshot& snapshot, const Request& request,
                         const SharedPolicy& policy, Timestamp at, std::span<const ItemHandle> seen)
    : scratch_(scratch),
      snapshot_(snapshot),
      bits_(scratch.workspace.eligible),
      seen_(seen),
      foreign_(policy && &policy->catalogue() != snapshot.catalogue.get()),
      rules_(foreign_ || (policy && policy->has_filter()) || request.allow || !request.deny.empty()) {
  make_current(foreign_ ? nullptr : policy, at);
  leave_out_seen();
  if (!rules_) return;
  if (foreign_) std::ranges::fill(bits_, 0);
  if (request.allow) allow(*request.allow);
  find(request.deny);
  for (const ItemHandle item : scratch.listed) leave_out(item);
  eligible_ = {};
  for (std::size_t group = 0; group < bits_.size(); ++group) {
    eligible_.listed += static_cast<std::size_t>(std::popcount(bits_[group]));
    eligible_.scorable += static_cast<std::size_t>(std::popcount(bits_[group] & snapshot.scorable[group]));
  }
}

Eligibility::Eligibility(RequestScratch& scratch, const Snapshot& snapshot, std::span<const ItemHandle> seen)
    : scratch_(scratch),
      snapshot_(snapshot),
      bits_(scratch.workspace.eligible),
      seen_(seen),
      foreign_(false),
      rules_(false) {
  take_copy();
  leave_out_seen();
}

Eligibility::~Eligibility() {
  if (rules_) return;  // the next one takes a copy
  for (const ItemHandle item : seen_) {
    if (item / 64 < bits_.size()) bits_[item / 64] = scratch_.live.bits()[item / 64];
  }
  scratch_.eligible_in_use = false;
}

// The bits of one state of the catalogue: that of live items, filtered by the policy.
void Eligibility::make_current(const SharedPolicy& policy, Timestamp at) {
  LiveItems& live = scratch_.live;
  const std::size_t groups = snapshot_.listed.size();
  if (!policy) {
    if (!live.current(snapshot_, at)) {
      snapshot_.catalogue->read_columns(
          [&](const detail::ItemColumns& columns) { live.refresh(snapshot_, columns, at, bits_); });
    }
    return take_copy();
  }
  const std::lock_guard lock(policy->mutex());
  if (!policy->current(groups) || !live.current(snapshot_, at) || policy->changes() != live.changes()) {
    snapshot_.catalogue->read_columns([&](const detail::ItemColumns& columns) {
      live.refresh(snapshot_, columns, at, bits_);
      policy->refresh(columns, groups);
    });
  }
  take_copy();
  if (policy->has_filter()) {
    const std::span<const std::uint64_t> matching = policy->filter_bits();
    for (std::size_t group = 0; group < groups; ++group) bits_[group] &= matching[group];
  }
  if (!policy->amounts().empty()) expand_boosts(policy);
}

void Eligibility::take_copy() {
  const std::span<const std::uint64_t> live = scratch_.live.bits();
  if (scratch_.eligible_in_use || bits_.size() != live.size()) bits_.assign(live.begin(), live.end());
  scratch_.eligible_in_use = true;
}

void Eligibility::leave_out_seen() {
  const LiveItems& live = scratch_.live;
  unseen_ = {live.size(), live.num_scorable()};
  for (const ItemHandle item : seen_) {
    if (!live.has(item)) continue;
    --unseen_.listed;
    unseen_.scorable -= snapshot_.scorable[item / 64] >> (item % 64) & 1u;
    leave_out(item);
  }
  eligible_ = unseen_;
}

void Eligibility::leave_out(ItemHandle item) {
  if (item / 64 < bits_.size()) bits_[item / 64] &= ~(std::uint64_t{1} << (item % 64));
}

void Eligibility::find(std::span<const Id> ids) {
  scratch_.listed.clear();
  if (ids.empty()) return;
  snapshot_.catalogue->read([&](const IdMap& known) {
    for (const Id& id : ids) scratch_.listed.push_back(known.find(id));
  });
}

void Eligibility::allow(std::span<const Id> ids) {
  find(ids);
  std::erase_if(scratch_.listed, [&](ItemHandle item) {
    return item / 64 >= bits_.size() || (bits_[item / 64] >> (item % 64) & 1u) == 0;
  });
  std::ranges::fill(bits_, 0);
  for (const ItemHandle item : scratch_.listed) bits_[item / 64] |= std::uint64_t{1} << (item % 64);
}

// By item, kept for the next request under the same policy.
void Eligibility::expand_boosts(const SharedPolicy& policy) {
  RequestScratch::Boosts& kept = scratch_.boosts;
  const bool known =
      same(kept.policy, policy) && kept.changes == policy->changes() && kept.edition == snapshot_.edition;
  if (!known) kept.policy.reset();
  const std::span<float> terms = kept.terms.take(snapshot_.engine->size());
  boosts_ = terms;
  if (known) return;
  std::ranges::fill(terms, 0.0f);
  for (std::size_t boost = 0; boost < policy->amounts().size(); ++boost) {
    const float amount = policy->amounts()[boost];
    const std::span<const std::uint64_t> matching = policy->boost_bits(boost);
    for (std::size_t group = 0; group < snapshot_.listed.size(); ++group) {
      detail::for_each_bit(matching[group] & snapshot_.listed[group],
                           [&](std::size_t bit) { terms[group * 64 + bit] += amount; });
    }
  }
  kept.policy = policy;
  kept.changes = policy->changes();
  kept.edition = snapshot_.edition;
}

Shortfall Eligibility::shortfall(Source source) const noexcept {
  return {.seen = seen_.size(),
          .filtered = unseen_.of(source) - eligible_.of(source),
          .unavailable = snapshot_.catalogue->size() - seen_.size() - unseen_.of(source)};
}

}  // namespace attune::inline v0_1
