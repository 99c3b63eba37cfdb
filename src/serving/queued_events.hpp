// SPDX-License-Identifier: Apache-2.0
#pragma once

// Copies of events that wait to be written, back to back, in memory that is used again. Not synchronised.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "attune/types.hpp"

namespace attune::inline v0_1 {

class QueuedEvents {
 public:
  // All of them or, where memory ends, none.
  void push(std::span<const Interaction> events) {
    const std::size_t text_before = text_.size(), events_before = events_.size();
    try {
      for (const Interaction& e : events) {
        events_.push_back({copy(e.user), copy(e.item), copy(e.event), copy(e.event_id), e.timestamp, e.value});
      }
    } catch (...) {
      text_.resize(text_before);
      events_.resize(events_before);
      throw;
    }
  }
  // The views are valid until the next change.
  Interaction operator[](std::size_t i) const noexcept {
    const Event& e = events_[i];
    return {id(e.user), id(e.item), e.timestamp, view(e.kind), e.value, view(e.event_id)};
  }
  std::size_t size() const noexcept { return events_.size(); }
  bool empty() const noexcept { return events_.empty(); }
  void clear() noexcept {
    events_.clear();
    text_.clear();
  }

 private:
  struct Text {
    std::size_t begin, size;
  };
  struct StoredId {
    Text text;
    std::int64_t number;
    bool is_number;
  };
  struct Event {
    StoredId user, item;
    Text kind, event_id;
    Timestamp timestamp;
    float value;
  };

  Text copy(std::string_view text) {
    text_.append(text);
    return {text_.size() - text.size(), text.size()};
  }
  StoredId copy(const Id& id) { return {copy(id.text()), id.number(), id.is_number()}; }
  std::string_view view(Text text) const noexcept { return std::string_view(text_).substr(text.begin, text.size); }
  Id id(const StoredId& id) const noexcept { return id.is_number ? Id(id.number) : Id(view(id.text)); }

  std::vector<Event> events_;
  std::string text_;
};

}  // namespace attune::inline v0_1
