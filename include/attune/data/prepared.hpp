// SPDX-License-Identifier: Apache-2.0
#pragma once

// Interactions that do not fit into memory, sorted once into histories on disk and used where they lie from then on.
// docs/data.md describes the folder.

#include <cstddef>
#include <functional>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "attune/data/interaction_log.hpp"
#include "attune/data/reader.hpp"
#include "attune/executor.hpp"

namespace attune::inline v0_1 {

struct PrepareOptions {
  ReadOptions reading;          // of every file
  bool drop_duplicates = true;  // as CleaningOptions has it
  std::size_t shards = 1;       // ranges of users with about as many events each
  // Bytes for events on their way. The ids of users and items, about 60 bytes each and their text, 24 bytes for each
  // user, event ids where there is such a column, and the longest history come on top.
  std::size_t memory = std::size_t{512} << 20;
  // Called before each file is read, and with "" before what was read is grouped.
  std::function<void(const std::string& file)> progress = {};
};

struct PrepareReport {
  std::vector<LoadReport> files;  // without users, items and times
  std::size_t interactions = 0, duplicates = 0, users = 0, items = 0;
  std::size_t runs = 0;  // that were sorted apart, each in memory
  Timestamp first_time = kNoTime, last_time = kNoTime;
  double seconds = 0;
};

// Writes the folder that holds what group_by_user(clean(...)) would give for the events of all files, one behind the
// other: the same users and items in the same order, the same histories to the bit. The unit of times is found out for
// each file, positions order the events of a file. The folder is replaced as a whole or not at all, and what it needs
// on the way (32 bytes an event) lies beside it. With an executor of two threads reading goes on while a run is sorted.
// Throws Error: what read_interactions throws, but a file alone may be without an event; invalid_argument (no file, no
// shard, more shards than users, a folder that holds something else), io_error (a full disk). Nothing is left then.
ATTUNE_EXPORT PrepareReport prepare_histories(std::span<const std::string> files, const std::string& folder,
                                              const PrepareOptions& options = {}, Executor* executor = nullptr);

struct PreparedHistories {
  struct Shard {
    std::size_t users, events;
  };
  // Columns and item ids are those of the files, mapped: who removes or replaces the folder does no harm. All items,
  // whatever the shard.
  Histories histories;
  std::vector<Shard> shards;        // of the whole folder
  std::optional<float> min_rating;  // that the events were read with
  Timestamp first_time = kNoTime, last_time = kNoTime;

  static constexpr std::size_t kAllShards = std::numeric_limits<std::size_t>::max();
  // The histories of all users, or of one shard alone. Every byte of these is read and checked first. Throws Error:
  // io_error (no such folder, a file that is missing), invalid_argument (a folder of something else, no such shard),
  // corrupt_file naming file and shard, unsupported_version.
  ATTUNE_EXPORT static PreparedHistories open(const std::string& folder, std::size_t shard = kAllShards);
};

}  // namespace attune::inline v0_1
