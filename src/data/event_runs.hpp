// SPDX-License-Identifier: Apache-2.0
#pragma once

// Events that do not fit into memory, on their way from the order of the files to the order of the users: runs of as
// many as do fit lie sorted by user in one file, one behind the other, and are read side by side.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "attune/types.hpp"
#include "data/interaction_loader.hpp"
#include "platform/files.hpp"

namespace attune::inline v0_1::detail {

struct RunEvent {
  Timestamp time;     // as its file has it
  std::uint64_t row;  // its place among all events
  UserHandle user;
  ItemHandle item;
  float value;
  std::uint32_t kind;
};
static_assert(sizeof(RunEvent) == 32);

class EventRuns {
 public:
  // Creates the file. Whoever made its directory removes it.
  explicit EventRuns(const std::filesystem::path& path) : path_(path), file_(path, platform::Access::owner_only) {}

  // Writes a run: the events behind those of the run before. `users` are all users so far.
  void add(const EventColumns& events, std::size_t users);

  // After the last run: gives back the memory that adding one takes.
  void end() {
    next_ = {};
    sorted_ = {};
  }

  std::uint64_t num_events() const noexcept { return begins_.back(); }
  // Of each user, [users].
  std::span<const std::uint64_t> events_of_users() const noexcept { return per_user_; }
  std::size_t num_runs() const noexcept { return begins_.size() - 1; }
  const std::filesystem::path& path() const noexcept { return path_; }

 private:
  friend class RunReader;
  std::filesystem::path path_;
  platform::OutputFile file_;
  std::vector<std::uint64_t> begins_{0};  // of the runs, and the end, in events
  std::vector<std::uint64_t> per_user_;
  std::vector<std::size_t> next_;  // by user
  std::vector<RunEvent> sorted_;
};

// All runs, from the first user to the last.
class RunReader {
 public:
  // `buffer_bytes` are shared by the runs. `runs` gets no more.
  RunReader(const EventRuns& runs, std::size_t buffer_bytes);
  // The events of users [first, last) that no call gave before, by user, each user's in the order in which they were
  // added. Precondition: `events` has room for exactly these, and `first` is the last `last`.
  void read(UserHandle first, UserHandle last, std::span<RunEvent> events);

 private:
  struct Cursor {
    std::uint64_t next, end;  // events of the run behind the buffer
    std::vector<RunEvent> buffer;
    std::size_t at = 0;
  };
  // The next event of a run; null behind the last.
  const RunEvent* peek(Cursor& cursor);

  std::span<const std::uint64_t> per_user_;
  platform::RegularFile file_;
  std::size_t buffered_;  // events of a run at once
  std::vector<Cursor> cursors_;
  std::vector<std::size_t> next_;
};

}  // namespace attune::inline v0_1::detail
