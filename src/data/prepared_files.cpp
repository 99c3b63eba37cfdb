// SPDX-License-Identifier: Apache-2.0
#include "data/prepared_files.hpp"

#include <algorithm>
#include <limits>
#include <utility>

#include "data/little_endian.hpp"

namespace attune::inline v0_1::detail {
namespace {

std::vector<std::byte> heading(std::string_view magic) {
  std::vector<std::byte> bytes;
  append_array(bytes, std::span<const char>(magic));
  append_number(bytes, kPreparedVersion);
  return bytes;
}

// What is written stands beside the name of its file in the manifest.
std::string end_of(ColumnFile& file) {
  file.end_shard();
  file.finish();
  return file.sums().front();
}

std::string write_ids(const std::filesystem::path& directory, const char* name, const IdMap& ids) {
  std::vector<std::byte> head = heading(kIndexedIdsMagic), serialized;
  ids.serialize(serialized);
  const IdMap::Index index = ids.index();
  append_number(head, std::uint32_t{0});
  append_number(head, index.seed);
  append_number(head, std::uint64_t{index.slots.size()});
  append_number(head, std::uint64_t{index.offsets.size()});
  append_number(head, std::uint64_t{serialized.size()});
  ColumnFile file(directory, name);
  file.write(head);
  file.write(std::as_bytes(std::span(index.slots)));
  file.write(std::as_bytes(std::span(index.offsets)));
  file.write(serialized);
  return end_of(file);
}

std::string write_groups(const std::filesystem::path& directory, const std::vector<std::string>& event_kinds,
                         std::span<const std::uint64_t> begins) {
  std::vector<std::byte> head = heading(kGroupsMagic);
  append_number(head, static_cast<std::uint32_t>(event_kinds.size()));
  for (const std::string& kind : event_kinds) {
    append_number(head, static_cast<std::uint32_t>(kind.size()));
    append_array(head, std::span<const char>(kind));
  }
  ColumnFile file(directory, kGroupsFile);
  file.write(head);
  file.write(std::as_bytes(begins));
  return end_of(file);
}

template <class Value, class Field>
void write_values(ColumnFile& file, std::span<const RunEvent> events, Field field) {
  std::vector<Value> values;
  values.reserve(events.size());
  for (const RunEvent& event : events) values.push_back(field(event));
  file.write(std::as_bytes(std::span(values)));
}

Json time_json(Timestamp time) { return time == kNoTime ? Json() : Json(time); }

}  // namespace

PreparedWriter::PreparedWriter(const std::filesystem::path& directory)
    : directory_(directory),
      items_(directory, kItemsColumn),
      times_(directory, kTimesColumn),
      kinds_(directory, kKindsColumn),
      values_(directory, kValuesColumn),
      first_time_(std::numeric_limits<Timestamp>::max()) {}

void PreparedWriter::add(std::span<const RunEvent> events, std::span<const std::size_t> sizes) {
  for (const std::size_t size : sizes) begins_.push_back(begins_.back() + size);
  for (const RunEvent& event : events) {
    first_time_ = std::min(first_time_, event.time);
    last_time_ = std::max(last_time_, event.time);
  }
  write_values<ItemHandle>(items_, events, [](const RunEvent& event) { return event.item; });
  write_values<Timestamp>(times_, events, [](const RunEvent& event) { return event.time; });
  write_values<std::uint8_t>(kinds_, events,
                             [](const RunEvent& event) { return static_cast<std::uint8_t>(event.kind); });
  write_values<float>(values_, events, [](const RunEvent& event) { return event.value; });
}

void PreparedWriter::end_shard() {
  shard_ends_.push_back(begins_.size() - 1);
  for (ColumnFile* column : {&items_, &times_, &kinds_, &values_}) column->end_shard();
}

Json PreparedWriter::shards_json() const {
  Json shards = Json::array();
  for (std::size_t i = 0; i + 1 < shard_ends_.size(); ++i) {
    const std::size_t first = shard_ends_[i], last = shard_ends_[i + 1];
    Json shard{{"users", last - first}, {"events", begins_[last] - begins_[first]}};
    for (const ColumnFile* column : {&items_, &times_, &kinds_, &values_}) {
      if (column != &times_ || last_time_ != kNoTime) shard[column->name()] = column->sums()[i];
    }
    shards.push_back(std::move(shard));
  }
  return shards;
}

void PreparedWriter::finish(const InteractionLog& log, const IdMap& item_ids, const PrepareReport& report,
                            std::optional<float> min_rating) {
  for (ColumnFile* column : {&items_, &times_, &kinds_, &values_}) column->finish();
  const bool timed = last_time_ != kNoTime;
  if (!timed) platform::remove_file(directory_ / kTimesColumn);
  Json files = Json::object();
  files[kUserIdsFile] = write_ids(directory_, kUserIdsFile, log.user_ids());
  files[kCatalogueFile] = write_ids(directory_, kCatalogueFile, item_ids);
  files[kGroupsFile] = write_groups(directory_, log.event_kinds(), begins_);
  const Json manifest{{"format", "attune prepared interactions"},
                      {"version", kPreparedVersion},
                      {"interactions", report.interactions},
                      {"users", report.users},
                      {"items", report.items},
                      {"times", timed},
                      {"first_time", time_json(report.first_time)},
                      {"last_time", time_json(report.last_time)},
                      {"min_rating", min_rating ? Json(*min_rating) : Json()},
                      {"files", std::move(files)},
                      {"shards", shards_json()}};
  const std::string text = text_of(manifest) + '\n';
  platform::create_file(directory_ / kPreparedManifest, std::as_bytes(std::span(text)), platform::Access::by_umask);
}

}  // namespace attune::inline v0_1::detail
