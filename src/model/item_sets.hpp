// SPDX-License-Identifier: Apache-2.0
#pragma once

// Who has what: the counting that count models are fitted from.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "attune/data/interaction_log.hpp"

namespace attune::inline v0_1::detail {

std::vector<std::uint64_t> events_per_item(const Histories& histories);

// Lists of numbers, back to back: those of group g are members[offsets[g] .. offsets[g + 1]).
struct Groups {
  std::vector<std::size_t> offsets{0};
  std::vector<std::uint32_t> members;

  std::size_t size() const noexcept { return offsets.size() - 1; }
  std::span<const std::uint32_t> of(std::size_t group) const noexcept {
    return std::span(members).subspan(offsets[group], offsets[group + 1] - offsets[group]);
  }
};

// The distinct items of every user, ascending.
Groups distinct_items(const Histories& histories);
// The groups that each of `count` members is in, ascending, as often as it is in them.
Groups transposed(const Groups& groups, std::size_t count);

// How many users have both of two items: a symmetric matrix, a row at a time.
class CommonUsers {
 public:
  explicit CommonUsers(const Histories& histories);

  std::size_t num_items() const noexcept { return users_of_.size(); }
  std::size_t users(std::size_t item) const noexcept { return users_of_.of(item).size(); }
  // counts [items], zero before: the users that have `item` and each other one; on the diagonal its own users.
  // `touched` becomes the items whose count is not zero.
  void row(std::size_t item, std::span<std::uint32_t> counts, std::vector<ItemHandle>& touched) const;

 private:
  Groups items_of_, users_of_;
};

}  // namespace attune::inline v0_1::detail
