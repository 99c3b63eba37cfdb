// SPDX-License-Identifier: Apache-2.0
#pragma once

// Events as a test compares them, files as it searches them.

#include <algorithm>
#include <atomic>
#include <filesystem>
#include <functional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "attune/serving/event_store.hpp"
#include "temporary_directory.hpp"

namespace attune::test {

struct StoredEvent {
  std::string user, item, kind, event_id;
  Timestamp timestamp;
  float value;
  friend bool operator==(const StoredEvent&, const StoredEvent&) = default;
};

inline StoredEvent copy_of(const Interaction& e) {
  return {to_string(e.user), to_string(e.item), std::string(e.event), std::string(e.event_id), e.timestamp, e.value};
}

inline std::vector<StoredEvent> events_of(EventStore& store) {
  std::vector<StoredEvent> events;
  store.replay([&](const Interaction& e) { events.push_back(copy_of(e)); });
  return events;
}

inline std::vector<StoredEvent> events_of(EventStore& store, const Id& user) {
  std::vector<StoredEvent> events;
  store.visit(user, [&](const Interaction& e) { events.push_back(copy_of(e)); });
  return events;
}

// Keeps events in memory, and can do what a durable store can.
class MemoryStore final : public EventStore {
 public:
  void append(std::span<const Interaction> batch, std::function<void(bool)> done) override {
    for (const Interaction& e : batch) events.push_back(copy_of(e));
    done(true);
  }
  void replay(const std::function<void(const Interaction&)>& visit) override {
    for (const StoredEvent& e : events) visit({e.user, e.item, e.timestamp, e.kind, e.value, e.event_id});
  }
  void erase(const Id& user) override {
    std::erase_if(events, [&](const StoredEvent& e) { return Id(e.user) == user; });
  }
  void merge(const Id& from, const Id& to, std::span<const Interaction> further) override {
    std::vector<StoredEvent> moved;
    for (const Interaction& e : further) moved.push_back(copy_of(e));
    for (const StoredEvent& e : events) {
      if (Id(e.user) == from) moved.push_back(e);
    }
    for (StoredEvent& e : moved) e.user = to_string(to);
    erase(from);
    events.insert(events.end(), moved.begin(), moved.end());
  }

  std::vector<StoredEvent> events;
};

// How often the bytes stand in the files below a directory.
inline std::size_t traces(const std::filesystem::path& directory, std::string_view bytes) {
  std::size_t found = 0;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(directory)) {
    if (!entry.is_regular_file()) continue;
    const std::string text = read_text(entry.path());
    for (std::size_t at = text.find(bytes); at != std::string::npos; at = text.find(bytes, at + 1)) ++found;
  }
  return found;
}

// How often a completion was called, and how often with true. Outlives the store that calls it.
struct Told {
  std::atomic<int> stored = 0, lost = 0;
  auto completion() {
    return [this](bool kept) { ++(kept ? stored : lost); };
  }
};

}  // namespace attune::test
