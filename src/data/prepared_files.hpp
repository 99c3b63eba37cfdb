// SPDX-License-Identifier: Apache-2.0
#pragma once

// The folder of prepared histories. Numbers are little-endian, and what is mapped stands where it is aligned:
//
//   prepared.json   version, counts, and the checksums (sum64) of all that follows
//   users.ids       "ATTUNEIX", u32 version, u32 0, u64 seed, u64 slots, u64 offsets, u64 bytes of ids; the slots and
//   items.ids       offsets of IdMap::Index, u64 each; the ids as IdMap::serialize writes them
//   groups.bin      "ATTUNEGR", u32 version, u32 event kinds; each kind as u32 length and text; u64 [users + 1]: where
//                   the events of each user begin
//   items.bin u32, times.bin i64 (where times are known), kinds.bin u8, values.bin f32: [events]
//
// A shard is a range of users. It has no files of its own, so that all histories can be used without being copied; its
// part of each column has a checksum.

#include <cstdint>
#include <filesystem>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "attune/data/interaction_log.hpp"
#include "attune/data/prepared.hpp"
#include "data/event_runs.hpp"
#include "data/json_object.hpp"
#include "data/sum64.hpp"
#include "platform/files.hpp"

namespace attune::inline v0_1::detail {

inline constexpr const char* kPreparedManifest = "prepared.json";
inline constexpr const char* kUserIdsFile = "users.ids";
inline constexpr const char* kCatalogueFile = "items.ids";
inline constexpr const char* kGroupsFile = "groups.bin";
inline constexpr const char* kItemsColumn = "items.bin";
inline constexpr const char* kTimesColumn = "times.bin";
inline constexpr const char* kKindsColumn = "kinds.bin";
inline constexpr const char* kValuesColumn = "values.bin";
inline constexpr std::string_view kIndexedIdsMagic = "ATTUNEIX";
inline constexpr std::string_view kGroupsMagic = "ATTUNEGR";
inline constexpr std::uint32_t kPreparedVersion = 1;

// A column that is written from the first user to the last.
class ColumnFile {
 public:
  ColumnFile(const std::filesystem::path& directory, const char* name)
      : name_(name), file_(directory / name, platform::Access::by_umask) {}
  void write(std::span<const std::byte> bytes) {
    sum_.add(bytes);
    file_.write(bytes);
  }
  void end_shard() { sums_.push_back(hex_of(std::exchange(sum_, {}).value())); }
  void finish() { file_.finish(); }
  const char* name() const noexcept { return name_; }
  const std::vector<std::string>& sums() const noexcept { return sums_; }  // by shard

 private:
  const char* name_;
  platform::OutputFile file_;
  Sum64 sum_;
  std::vector<std::string> sums_;
};

class PreparedWriter {
 public:
  explicit PreparedWriter(const std::filesystem::path& directory);

  // Histories of the next users back to back, ordered, with times in milliseconds; `sizes` are theirs.
  void add(std::span<const RunEvent> events, std::span<const std::size_t> sizes);
  void end_shard();
  // The rest of the folder. `log` has user ids and event kinds.
  void finish(const InteractionLog& log, const IdMap& item_ids, const PrepareReport& report,
              std::optional<float> min_rating);
  std::size_t num_events() const noexcept { return begins_.back(); }
  Timestamp first_time() const noexcept { return first_time_; }
  Timestamp last_time() const noexcept { return last_time_; }

 private:
  Json shards_json() const;

  std::filesystem::path directory_;
  ColumnFile items_, times_, kinds_, values_;
  std::vector<std::uint64_t> begins_{0};    // of the events of each user, and the end
  std::vector<std::size_t> shard_ends_{0};  // in users
  Timestamp first_time_, last_time_ = kNoTime;
};

}  // namespace attune::inline v0_1::detail
