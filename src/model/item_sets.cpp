// SPDX-License-Identifier: Apache-2.0
#include "model/item_sets.hpp"

#include <algorithm>
#include <numeric>

namespace attune::inline v0_1::detail {

std::vector<std::uint64_t> events_per_item(const Histories& histories) {
  std::vector<std::uint64_t> counts(histories.num_items(), 0);
  for (const ItemHandle item : histories.items) ++counts[item];
  return counts;
}

Groups distinct_items(const Histories& histories) {
  Groups groups;
  groups.members.reserve(histories.num_events());
  for (std::size_t user = 0; user < histories.num_users(); ++user) {
    const auto begin = static_cast<std::ptrdiff_t>(groups.members.size());
    const auto items = histories.of(user).items;
    groups.members.insert(groups.members.end(), items.begin(), items.end());
    std::sort(groups.members.begin() + begin, groups.members.end());
    groups.members.erase(std::unique(groups.members.begin() + begin, groups.members.end()), groups.members.end());
    groups.offsets.push_back(groups.members.size());
  }
  return groups;
}

Groups transposed(const Groups& groups, std::size_t count) {
  Groups result{std::vector<std::size_t>(count + 1, 0), std::vector<std::uint32_t>(groups.members.size())};
  for (const std::uint32_t member : groups.members) ++result.offsets[member + 1];
  std::partial_sum(result.offsets.begin(), result.offsets.end(), result.offsets.begin());
  std::vector<std::size_t> next(result.offsets.begin(), result.offsets.end() - 1);
  for (std::size_t group = 0; group < groups.size(); ++group) {
    for (const std::uint32_t member : groups.of(group)) {
      result.members[next[member]++] = static_cast<std::uint32_t>(group);
    }
  }
  return result;
}

CommonUsers::CommonUsers(const Histories& histories)
    : items_of_(distinct_items(histories)), users_of_(transposed(items_of_, histories.num_items())) {}

void CommonUsers::row(std::size_t item, std::span<std::uint32_t> counts, std::vector<ItemHandle>& touched) const {
  touched.clear();
  for (const std::uint32_t user : users_of_.of(item)) {
    for (const ItemHandle other : items_of_.of(user)) {
      if (counts[other]++ == 0) touched.push_back(other);
    }
  }
}

}  // namespace attune::inline v0_1::detail
