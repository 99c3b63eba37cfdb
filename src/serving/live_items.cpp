// SPDX-License-Identifier: Apache-2.0
#include "serving/live_items.hpp"

#include <algorithm>
#include <bit>

namespace attune::inline v0_1 {

// Works out words anew.
class LiveItems::Update {
 public:
  Update(LiveItems& live, const Snapshot& snapshot, const detail::ItemColumns& columns, Timestamp at,
         std::span<std::uint64_t> copy)
      : live_(live), snapshot_(snapshot), columns_(columns), at_(at), copy_(copy) {}

  void everything() {
    live_.bits_.assign(snapshot_.listed.size(), 0);
    live_.times_.assign(columns_.has_windows() ? live_.bits_.size() : 0, {});
    live_.size_ = live_.num_scorable_ = 0;
    set_times({});
    for (std::size_t group = 0; group < live_.bits_.size(); ++group) word(group);
  }

  void word(std::size_t group) {
    if (group >= live_.bits_.size()) return;
    const auto [items, first, last] = columns_.live(group, at_);
    std::uint64_t& bits = live_.bits_[group];
    count(-1, bits, snapshot_.scorable[group]);
    bits = snapshot_.listed[group] & items;
    count(1, bits, snapshot_.scorable[group]);
    if (copy_.size() == live_.bits_.size()) copy_[group] = bits;
    if (live_.times_.empty()) return;
    live_.times_[group] = {first, last};
    narrow(live_.times_[group]);
  }

  // The words that are wrong at the time of the request.
  void time() {
    set_times({});
    for (std::size_t group = 0; group < live_.times_.size(); ++group) {
      const Times times = live_.times_[group];
      times.first <= at_&& at_ <= times.last ? narrow(times) : word(group);
    }
  }

 private:
  void count(int sign, std::uint64_t bits, std::uint64_t scorable) noexcept {
    live_.size_ += static_cast<std::size_t>(sign * std::popcount(bits));
    live_.num_scorable_ += static_cast<std::size_t>(sign * std::popcount(bits & scorable));
  }
  void set_times(Times times) noexcept {
    live_.first_ = times.first;
    live_.last_ = times.last;
  }
  void narrow(const Times& times) noexcept {
    live_.first_ = std::max(live_.first_, times.first);
    live_.last_ = std::min(live_.last_, times.last);
  }

  LiveItems& live_;
  const Snapshot& snapshot_;
  const detail::ItemColumns& columns_;
  const Timestamp at_;
  const std::span<std::uint64_t> copy_;
};

void LiveItems::refresh(const Snapshot& snapshot, const detail::ItemColumns& columns, Timestamp at,
                        std::span<std::uint64_t> copy) {
  Update update(*this, snapshot, columns, at, copy);
  const bool first_windows = columns.has_windows() && times_.empty();
  const bool known = snapshot.edition == edition_ && !first_windows;
  const bool moved = at < first_ || at > last_;
  edition_ = 0;  // should memory run out
  if (!known || !columns.visit_changed_groups(changes_, bits_.size(), [&](std::size_t group) { update.word(group); })) {
    update.everything();
  } else if (moved) {
    update.time();
  }
  edition_ = snapshot.edition;
  changes_ = columns.changes();
}

}  // namespace attune::inline v0_1
