// SPDX-License-Identifier: Apache-2.0
#include "model/histories_file.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <string_view>
#include <utility>

#include "attune/error.hpp"
#include "data/byte_reader.hpp"

namespace attune::inline v0_1::detail {
namespace {

constexpr std::string_view kItemIdsMagic = "ATTUNEID";
constexpr std::string_view kHistoriesMagic = "ATTUNEHI";
constexpr std::uint32_t kFileVersion = 1;
constexpr std::uint32_t kHasTimes = 1, kHasKinds = 2, kHasValues = 4;
constexpr std::size_t kMaxEventKinds = 256;

void append_text(std::vector<std::byte>& out, std::string_view text) { append_array(out, std::span<const char>(text)); }

// The bytes behind the magic word and the version.
ByteReader open_file(std::span<const std::byte> bytes, const std::string& name, std::string_view magic) {
  ByteReader reader(bytes, name);
  reader.require(reader.text(std::min(magic.size(), reader.left())) == magic,
                 "does not begin with " + std::string(magic));
  const auto version = reader.number<std::uint32_t>();
  if (version > kFileVersion) {
    throw Error(ErrorCode::unsupported_version, name + ": format version " + std::to_string(version) +
                                                    ", this attune reads up to " + std::to_string(kFileVersion));
  }
  reader.require(version == kFileVersion, "format version 0");
  return reader;
}

void check(const Histories& histories, const ByteReader& reader) {
  reader.require(histories.offsets.front() == 0 && histories.offsets.back() == histories.num_events() &&
                     std::ranges::is_sorted(histories.offsets),
                 "the offsets of the users do not cover the events");
  reader.require(histories.event_kinds.front().empty(), "the first event kind is not the plain one");
  reader.require(std::ranges::all_of(histories.items, [&](ItemHandle item) { return item < histories.num_items(); }),
                 "an event names an item beyond the catalogue");
  reader.require(
      std::ranges::all_of(histories.kinds, [&](std::uint8_t kind) { return kind < histories.event_kinds.size(); }),
      "an event has an unknown kind");
  reader.require(std::ranges::all_of(histories.values, [](float value) { return std::isfinite(value); }),
                 "the value of an event is not finite");
}

}  // namespace

std::vector<std::byte> item_ids_bytes(const IdMap& ids) {
  std::vector<std::byte> out;
  append_text(out, kItemIdsMagic);
  append_number(out, kFileVersion);
  ids.serialize(out);
  return out;
}

std::span<const std::byte> item_ids_in(std::span<const std::byte> bytes, const std::string& name) {
  return open_file(bytes, name, kItemIdsMagic).rest();
}

IdMap parse_item_ids(std::span<const std::byte> bytes, const std::string& name) {
  return IdMap::deserialize(item_ids_in(bytes, name), name);
}

std::vector<std::byte> histories_bytes(const Histories& histories) {
  std::vector<std::byte> ids, out;
  histories.user_ids->serialize(ids);
  append_text(out, kHistoriesMagic);
  append_number(out, kFileVersion);
  append_number(out, (histories.times.empty() ? 0 : kHasTimes) | (histories.kinds.empty() ? 0 : kHasKinds) |
                         (histories.values.empty() ? 0 : kHasValues));
  append_number(out, static_cast<std::uint32_t>(histories.event_kinds.size()));
  append_number(out, std::uint64_t{histories.num_users()});
  append_number(out, std::uint64_t{histories.num_events()});
  append_number(out, std::uint64_t{ids.size()});
  append_array(out, std::span<const std::byte>(ids));
  for (const std::string& kind : histories.event_kinds) {
    append_number(out, static_cast<std::uint32_t>(kind.size()));
    append_text(out, kind);
  }
  append_array(out, std::span<const std::size_t>(histories.offsets));
  append_array(out, std::span<const ItemHandle>(histories.items));
  append_array(out, std::span<const Timestamp>(histories.times));
  append_array(out, std::span<const std::uint8_t>(histories.kinds));
  append_array(out, std::span<const float>(histories.values));
  return out;
}

Histories parse_histories(std::span<const std::byte> bytes, std::shared_ptr<const IdMap> item_ids,
                          const std::string& name) {
  ByteReader reader = open_file(bytes, name, kHistoriesMagic);
  const auto flags = reader.number<std::uint32_t>();
  reader.require((flags & ~(kHasTimes | kHasKinds | kHasValues)) == 0, "unknown flags");
  const auto num_kinds = reader.number<std::uint32_t>();
  reader.require(num_kinds >= 1 && num_kinds <= kMaxEventKinds, "expected 1 to 256 event kinds");
  const auto num_users = reader.number<std::uint64_t>();
  const auto num_events = reader.number<std::uint64_t>();
  const auto id_bytes = reader.number<std::uint64_t>();

  Histories histories;
  histories.item_ids = std::move(item_ids);
  histories.user_ids = std::make_shared<const IdMap>(IdMap::deserialize(reader.take(id_bytes), name));
  reader.require(histories.user_ids->size() == num_users, "the number of users and of their ids differ");
  histories.event_kinds.clear();
  for (std::uint32_t kind = 0; kind < num_kinds; ++kind) {
    histories.event_kinds.emplace_back(reader.text(reader.number<std::uint32_t>()));
  }
  histories.offsets = reader.array<std::size_t>(num_users + 1);
  histories.items = reader.array<ItemHandle>(num_events);
  if (flags & kHasTimes) histories.times = reader.array<Timestamp>(num_events);
  if (flags & kHasKinds) histories.kinds = reader.array<std::uint8_t>(num_events);
  if (flags & kHasValues) histories.values = reader.array<float>(num_events);
  reader.require(reader.rest().empty(), "more bytes than events");
  check(histories, reader);
  return histories;
}

}  // namespace attune::inline v0_1::detail
