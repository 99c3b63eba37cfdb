// SPDX-License-Identifier: Apache-2.0
#include "attune/serving/people.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <utility>

#include "attune/data/reader.hpp"
#include "attune/error.hpp"
#include "data/text.hpp"

namespace attune::inline v0_1 {
namespace {

Id id_of(std::string_view text, IdKind kind) {
  const auto number = kind == IdKind::int64 ? detail::parse_number<std::int64_t>(text) : std::nullopt;
  return number ? Id(*number) : Id(text);
}

}  // namespace

Friendships Friendships::read(const std::string& file, IdKind users) {
  DelimitedReader reader{file};
  const std::size_t columns[] = {reader.required_column("user"), reader.required_column("friend")};
  Friendships friendships(users);
  for (std::vector<std::string_view> fields; reader.next(fields);) {
    Id pair[2];
    for (std::size_t i = 0; i < 2; ++i) {
      const std::string_view field = columns[i] < fields.size() ? fields[columns[i]] : std::string_view();
      pair[i] = id_of(field, users);
      if (friendships.ids_.accepts(pair[i])) continue;
      const char* const expected = users == IdKind::int64 ? "a number in " : "an id in ";
      throw Error(ErrorCode::invalid_data, reader.place() + "expected " + expected + (i == 0 ? "user" : "friend") +
                                               ", found " + (field.empty() ? "nothing" : "something else"));
    }
    friendships.add(pair[0], pair[1]);
  }
  return friendships;
}

void Friendships::add(const Id& user, const Id& friend_id) {
  if (user == friend_id || !ids_.accepts(user) || !ids_.accepts(friend_id)) return;
  const UserHandle a = ids_.insert(user), b = ids_.insert(friend_id);
  friends_.resize(ids_.size());
  const auto place = std::ranges::lower_bound(friends_[a], b);
  if (place != friends_[a].end() && *place == b) return;
  friends_[a].insert(place, b);
  friends_[b].insert(std::ranges::lower_bound(friends_[b], a), a);
  ++pairs_;
}

void Friendships::forget_user(const Id& user) {
  const UserHandle gone = ids_.find(user);
  if (gone == kNoHandle) return;
  Friendships others(ids_.kind());
  for (UserHandle a = 0; a < friends_.size(); ++a) {
    for (const UserHandle b : friends_[a]) {
      if (a < b && a != gone && b != gone) others.add(ids_.id(a), ids_.id(b));
    }
  }
  *this = std::move(others);
}

bool Friendships::are_friends(const Id& a, const Id& b) const noexcept {
  const UserHandle from = ids_.find(a), to = ids_.find(b);
  return from != kNoHandle && to != kNoHandle && std::ranges::binary_search(friends_[from], to);
}

std::vector<Friendships::Closeness> Friendships::close_to(const Id& user) const {
  const UserHandle own = ids_.find(user);
  if (own == kNoHandle) return {};
  std::map<UserHandle, std::size_t> common;
  for (const UserHandle a_friend : friends_[own]) {
    common.try_emplace(a_friend, 0);
    for (const UserHandle other : friends_[a_friend]) {
      if (other != own) ++common[other];
    }
  }
  std::vector<Closeness> close;
  for (const auto& [other, count] : common) {
    const bool direct = std::ranges::binary_search(friends_[own], other);
    const auto sizes = static_cast<double>(friends_[own].size()) * static_cast<double>(friends_[other].size());
    const double shared = static_cast<double>(count) / std::sqrt(sizes);
    close.push_back({ids_.id(other), static_cast<float>((direct ? 0.5 : 0.0) + 0.5 * shared), direct});
  }
  return close;
}

}  // namespace attune::inline v0_1
