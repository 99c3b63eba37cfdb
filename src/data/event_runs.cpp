// SPDX-License-Identifier: Apache-2.0
#include "data/event_runs.hpp"

#include <algorithm>
#include <cassert>

#include "platform/memory.hpp"

namespace attune::inline v0_1::detail {

void EventRuns::add(const EventColumns& events, std::size_t users) {
  if (events.users.empty()) return;
  per_user_.resize(users);
  next_.assign(users + 1, 0);
  for (const UserHandle user : events.users) ++next_[user + std::size_t{1}];
  for (std::size_t user = 0; user < users; ++user) {
    per_user_[user] += next_[user + 1];
    next_[user + 1] += next_[user];
  }
  if (events.users.size() > sorted_.capacity()) {
    sorted_ = {};
    sorted_.reserve(events.users.size());
    platform::prefer_large_pages(sorted_.data(), sorted_.capacity() * sizeof(RunEvent));
  }
  sorted_.resize(events.users.size());
  for (std::size_t i = 0; i < sorted_.size(); ++i) {
    const UserHandle user = events.users[i];
    sorted_[next_[user]++] = {events.times[i], begins_.back() + i, user,
                              events.items[i], events.values[i],   events.kinds[i]};
  }
  file_.write(std::as_bytes(std::span(sorted_)));
  begins_.push_back(begins_.back() + sorted_.size());
}

RunReader::RunReader(const EventRuns& runs, std::size_t buffer_bytes)
    : per_user_(runs.events_of_users()),
      file_(runs.path()),
      buffered_(std::clamp<std::size_t>(buffer_bytes / sizeof(RunEvent) / std::max<std::size_t>(1, runs.num_runs()), 16,
                                        std::size_t{1} << 16)) {
  for (std::size_t run = 0; run < runs.num_runs(); ++run) {
    cursors_.push_back({runs.begins_[run], runs.begins_[run + 1], {}});
  }
}

const RunEvent* RunReader::peek(Cursor& cursor) {
  if (cursor.at == cursor.buffer.size()) {
    cursor.buffer.resize(std::min<std::uint64_t>(buffered_, cursor.end - cursor.next));
    file_.read_at(cursor.next * sizeof(RunEvent), std::as_writable_bytes(std::span(cursor.buffer)));
    cursor.next += cursor.buffer.size();
    cursor.at = 0;
    if (cursor.buffer.empty()) return nullptr;
  }
  return &cursor.buffer[cursor.at];
}

void RunReader::read(UserHandle first, UserHandle last, std::span<RunEvent> events) {
  next_.assign(1, 0);
  for (UserHandle user = first; user < last; ++user) next_.push_back(next_.back() + per_user_[user]);
  assert(next_.back() == events.size());
  for (Cursor& cursor : cursors_) {
    for (const RunEvent* event; (event = peek(cursor)) != nullptr && event->user < last; ++cursor.at) {
      events[next_[event->user - first]++] = *event;
    }
  }
}

}  // namespace attune::inline v0_1::detail
