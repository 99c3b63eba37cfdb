// SPDX-License-Identifier: Apache-2.0
#include "attune/data/prepared.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <memory>
#include <utility>

#include "attune/error.hpp"
#include "data/byte_reader.hpp"
#include "data/prepared_files.hpp"

namespace attune::inline v0_1 {
namespace {

using detail::ByteReader;
using detail::Json;

constexpr std::uint64_t kLargestManifest = std::uint64_t{256} << 20;

// The manifest, and the files that it lists. `file` names what is read in messages.
class PreparedFolder {
 public:
  explicit PreparedFolder(const std::filesystem::path& path)
      : path_(path), manifest_name_((path / detail::kPreparedManifest).string()) {
    std::error_code unknown;
    if (std::filesystem::is_directory(path, unknown) &&
        !std::filesystem::exists(path / detail::kPreparedManifest, unknown)) {
      throw Error(ErrorCode::invalid_argument, "\"" + path.string() +
                                                   "\": expected a folder that prepare wrote, found " + "one without " +
                                                   detail::kPreparedManifest);
    }
    const auto text = platform::read_file(path / detail::kPreparedManifest, kLargestManifest);
    manifest_ = detail::parse_object({reinterpret_cast<const char*>(text.data()), text.size()}, manifest_name_,
                                     ErrorCode::corrupt_file);
    if (const std::size_t version = count("version"); version > detail::kPreparedVersion) {
      throw Error(ErrorCode::unsupported_version, manifest_name_ + ": format version " + std::to_string(version) +
                                                      ", this attune reads up to " +
                                                      std::to_string(detail::kPreparedVersion));
    }
    require(count("version") == detail::kPreparedVersion, "format version 0");
  }

  const Json& at(const Json& object, const char* field) const {
    require(object.is_object() && object.contains(field), std::string("field ") + field + " is missing");
    return object.at(field);
  }
  const Json& at(const char* field) const { return at(manifest_, field); }
  std::size_t count(const Json& object, const char* field) const {
    const Json& value = at(object, field);
    require(value.is_number_unsigned(), std::string("field ") + field + ": expected a count");
    return value.get<std::size_t>();
  }
  std::size_t count(const char* field) const { return count(manifest_, field); }
  bool flag(const char* field) const {
    require(at(field).is_boolean(), std::string("field ") + field + ": expected true or false");
    return at(field).get<bool>();
  }
  Timestamp time(const char* field) const {
    if (at(field).is_null()) return kNoTime;
    require(at(field).is_number_integer(), std::string("field ") + field + ": expected a time");
    return at(field).get<Timestamp>();
  }
  std::optional<float> min_rating() const {
    const Json& value = at("min_rating");
    if (value.is_null()) return std::nullopt;
    require(value.is_number(), "field min_rating: expected a number");
    return value.get<float>();
  }

  platform::MappedBytes map(const char* file) const { return platform::RegularFile(path_ / file).map(); }
  // All of a file, checked.
  platform::MappedBytes map_listed(const char* file) const {
    const platform::MappedBytes mapped = map(file);
    require_sum(at(at("files"), file), mapped.bytes, name_of(file));
    return mapped;
  }
  std::string name_of(const char* file) const { return (path_ / file).string(); }
  static void require_sum(const Json& expected, std::span<const std::byte> bytes, const std::string& what) {
    const std::string found = detail::hex_of(detail::sum64_of(bytes));
    if (expected == found) return;
    throw Error(ErrorCode::corrupt_file, what + ": expected checksum " + expected.dump() + ", found \"" + found + "\"");
  }
  void require(bool holds, const std::string& problem) const {
    if (!holds) throw Error(ErrorCode::corrupt_file, manifest_name_ + ": " + problem);
  }

 private:
  std::filesystem::path path_;
  std::string manifest_name_;
  Json manifest_;
};

// The reader behind magic word and version. Keeps a reference to `name`.
ByteReader open_file(std::span<const std::byte> bytes, const std::string& name, std::string_view magic) {
  ByteReader reader(bytes, name);
  reader.require(reader.text(std::min(magic.size(), reader.left())) == magic,
                 "does not begin with " + std::string(magic));
  reader.require(reader.number<std::uint32_t>() == detail::kPreparedVersion, "another version than the manifest");
  return reader;
}

template <class Value>
std::span<const Value> as_values(std::span<const std::byte> bytes) {
  return {reinterpret_cast<const Value*>(bytes.data()), bytes.size() / sizeof(Value)};
}

std::shared_ptr<const IdMap> read_ids(const PreparedFolder& folder, const char* file, std::size_t expected) {
  const platform::MappedBytes mapped = folder.map_listed(file);
  const std::string name = folder.name_of(file);
  ByteReader reader = open_file(mapped.bytes, name, detail::kIndexedIdsMagic);
  reader.number<std::uint32_t>();
  const auto seed = reader.number<std::uint64_t>();
  const auto slots = reader.number<std::uint64_t>(), offsets = reader.number<std::uint64_t>();
  const auto size = reader.number<std::uint64_t>();
  constexpr std::uint64_t kMost = std::uint64_t{1} << 40;
  reader.require(slots < kMost && offsets < kMost, "too many ids");
  const auto slot_bytes = reader.take(slots * sizeof(std::uint64_t));
  const auto offset_bytes = reader.take(offsets * sizeof(std::uint64_t));
  const auto ids = reader.take(size);
  IdMap map = IdMap::view(ids, seed, as_values<std::uint64_t>(slot_bytes), as_values<std::uint64_t>(offset_bytes),
                          mapped.owner, name);
  reader.require(reader.left() == 0 && map.size() == expected, "expected " + std::to_string(expected) + " ids");
  return std::make_shared<const IdMap>(std::move(map));
}

void read_groups(const PreparedFolder& folder, std::size_t users, std::size_t events, Histories& histories) {
  constexpr std::size_t kMostKinds = 256;
  const platform::MappedBytes mapped = folder.map_listed(detail::kGroupsFile);
  const std::string name = folder.name_of(detail::kGroupsFile);
  ByteReader reader = open_file(mapped.bytes, name, detail::kGroupsMagic);
  const auto kinds = reader.number<std::uint32_t>();
  reader.require(kinds >= 1 && kinds <= kMostKinds, "expected 1 to 256 event kinds");
  histories.event_kinds.clear();
  for (std::uint32_t kind = 0; kind < kinds; ++kind) {
    histories.event_kinds.emplace_back(reader.text(reader.number<std::uint32_t>()));
  }
  reader.require(users < kNoHandle, "too many users");
  histories.offsets = reader.array<std::size_t>(users + 1);
  reader.require(reader.left() == 0 && histories.event_kinds.front().empty() && histories.offsets.front() == 0 &&
                     histories.offsets.back() == events && std::ranges::is_sorted(histories.offsets),
                 "the histories of the users do not cover the events");
}

struct Range {
  std::size_t begin, end;
  std::size_t size() const noexcept { return end - begin; }
};

// Of each shard.
struct ShardRanges {
  std::vector<Range> users, events;
};

ShardRanges read_shards(const PreparedFolder& folder, std::span<const std::size_t> offsets) {
  const std::size_t num_users = offsets.size() - 1;
  ShardRanges shards;
  folder.require(folder.at("shards").is_array(), "field shards: expected a list");
  for (const Json& entry : folder.at("shards")) {
    const std::size_t first = shards.users.empty() ? 0 : shards.users.back().end, users = folder.count(entry, "users");
    folder.require(users <= num_users - first, "the shards have more users than there are");
    shards.users.push_back({first, first + users});
    shards.events.push_back({offsets[first], offsets[first + users]});
    folder.require(shards.events.back().size() == folder.count(entry, "events"),
                   "the shards do not have the events of their users");
  }
  folder.require(!shards.users.empty() && shards.users.back().end == num_users, "the shards do not have all users");
  return shards;
}

// Reads columns of the shards from `first` on, of which `events` are the ranges.
struct ColumnReader {
  const PreparedFolder& folder;
  std::size_t num_events;
  std::size_t first;
  std::span<const Range> events;

  // `holds` is asked of each value; `expected` says what it asks.
  template <class Value, class Holds>
  Column<Value> read(const char* file, const std::string& expected, Holds holds) const {
    const platform::MappedBytes mapped = folder.map(file);
    const std::string name = folder.name_of(file);
    if (mapped.bytes.size() % sizeof(Value) != 0 || mapped.bytes.size() / sizeof(Value) != num_events) {
      fail(name, std::to_string(num_events * sizeof(Value)) + " bytes, found ", mapped.bytes.size());
    }
    const auto values = as_values<Value>(mapped.bytes);
    for (std::size_t i = 0; i < events.size(); ++i) {
      const auto own = values.subspan(events[i].begin, events[i].size());
      const std::string shard = name + ": shard " + std::to_string(first + i);
      PreparedFolder::require_sum(folder.at(folder.at("shards")[first + i], file), std::as_bytes(own), shard);
      const auto wrong = std::ranges::find_if_not(own, holds);
      if (wrong != own.end()) fail(shard, expected + ", found another at event ", wrong - own.begin());
    }
    const std::size_t begin = events.front().begin;
    return Column<Value>::view(values.subspan(begin, events.back().end - begin), mapped.owner);
  }

  template <class Number>
  [[noreturn]] static void fail(const std::string& what, const std::string& expected, Number found) {
    throw Error(ErrorCode::corrupt_file, what + ": expected " + expected + std::to_string(found));
  }
};

void read_columns(const PreparedFolder& folder, const ColumnReader& columns, Histories& histories) {
  const std::size_t items = histories.num_items(), kinds = histories.event_kinds.size();
  histories.items = columns.read<ItemHandle>(detail::kItemsColumn, "items below " + std::to_string(items),
                                             [items](ItemHandle item) { return item < items; });
  if (folder.flag("times")) {
    histories.times = columns.read<Timestamp>(detail::kTimesColumn, "times", [](Timestamp) { return true; });
  }
  histories.kinds = columns.read<std::uint8_t>(detail::kKindsColumn, "kinds below " + std::to_string(kinds),
                                               [kinds](std::uint8_t kind) { return kind < kinds; });
  histories.values =
      columns.read<float>(detail::kValuesColumn, "finite values", [](float value) { return std::isfinite(value); });
}

// Leaves a range of the users alone.
void keep_users(Histories& histories, Range users) {
  const auto kept = std::span(histories.offsets).subspan(users.begin, users.size() + 1);
  std::vector<std::size_t> offsets;
  for (const std::size_t offset : kept) offsets.push_back(offset - kept.front());
  IdMap ids(histories.user_ids->kind());
  for (std::size_t user = users.begin; user < users.end; ++user) {
    ids.insert(histories.user_ids->id(static_cast<UserHandle>(user)));
  }
  histories.user_ids = std::make_shared<const IdMap>(std::move(ids));
  histories.offsets = std::move(offsets);
}

}  // namespace

PreparedHistories PreparedHistories::open(const std::string& path, std::size_t shard) {
  const PreparedFolder folder{path};
  const std::size_t num_events = folder.count("interactions");
  PreparedHistories prepared;
  prepared.min_rating = folder.min_rating();
  prepared.first_time = folder.time("first_time");
  prepared.last_time = folder.time("last_time");
  Histories& histories = prepared.histories;
  read_groups(folder, folder.count("users"), num_events, histories);
  histories.user_ids = read_ids(folder, detail::kUserIdsFile, folder.count("users"));
  histories.item_ids = read_ids(folder, detail::kCatalogueFile, folder.count("items"));

  const ShardRanges shards = read_shards(folder, histories.offsets);
  for (std::size_t i = 0; i < shards.users.size(); ++i) {
    prepared.shards.push_back({shards.users[i].size(), shards.events[i].size()});
  }
  if (shard == kAllShards) {
    read_columns(folder, {folder, num_events, 0, shards.events}, histories);
    return prepared;
  }
  if (shard >= shards.users.size()) {
    throw Error(ErrorCode::invalid_argument, "\"" + path + "\": expected a shard below " +
                                                 std::to_string(shards.users.size()) + ", found " +
                                                 std::to_string(shard));
  }
  read_columns(folder, {folder, num_events, shard, std::span(shards.events).subspan(shard, 1)}, histories);
  keep_users(histories, shards.users[shard]);
  return prepared;
}

}  // namespace attune::inline v0_1
