// SPDX-License-Identifier: Apache-2.0
#include "serving/stream_entry.hpp"

#include <charconv>
#include <cmath>

namespace attune::inline v0_1 {
namespace {

template <class Number>
bool read_number(std::string_view text, Number& number) noexcept {
  const char* const end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, number);
  return result.ec == std::errc() && result.ptr == end;
}

template <class Number>
std::string write_number(Number number) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, number).ptr};
}

using Kind = StreamEntry::Kind;

// Whether the value of the field can be read. What only one kind of entry has says which it is.
bool read_field(std::string_view name, std::string_view value, StreamEntry& entry) noexcept {
  Interaction& event = entry.event;
  const auto is = [&](Kind kind) { return entry.kind = kind, true; };
  const auto is_about_item = [&](Kind kind) {
    event.item = decoded(value);
    return is(kind) && !event.item.empty();
  };
  const auto is_text = [&](Kind kind) { return entry.text = value, is(kind); };
  if (name == "host") return entry.host = value, !value.empty();
  if (name == "number") return read_number(value, entry.number);
  if (name == "user") return event.user = decoded(value), !event.user.empty();
  if (name == "item") return is_about_item(Kind::event);
  if (name == "time") return value.empty() || read_number(value, event.timestamp);
  if (name == "kind") return event.event = value, true;
  if (name == "value") return read_number(value, event.value) && std::isfinite(event.value);
  if (name == "id") return event.event_id = value, true;
  if (name == "profile") return is_text(Kind::profile);
  if (name == "forgotten") return is(Kind::forgotten) && read_number(value, entry.forgotten);
  if (name == "new_model") return is_text(Kind::model);
  if (name == "new_item") return is_about_item(Kind::item);
  if (name == "about") return entry.text = value, true;
  if (name == "gone_item") return is_about_item(Kind::gone_item);
  return true;  // somebody's further field
}

}  // namespace

std::string to_text(const EntryId& id) { return write_number(id.time) + "-" + write_number(id.number); }

EntryId entry_id(std::string_view text) noexcept {
  EntryId id;
  const std::size_t dash = text.find('-');
  if (dash == std::string_view::npos || !read_number(text.substr(0, dash), id.time) ||
      !read_number(text.substr(dash + 1), id.number)) {
    return {};
  }
  return id;
}

std::string encoded(const Id& id) {
  return id.is_number() ? std::string("i:").append(write_number(id.number())) : std::string("s:").append(id.text());
}

Id decoded(std::string_view text) noexcept {
  std::int64_t number = 0;
  if (text.starts_with("s:")) return text.substr(2);
  return text.starts_with("i:") && read_number(text.substr(2), number) ? Id(number) : Id();
}

std::string encoded(std::uint64_t number) { return write_number(number); }
bool decode(std::string_view text, std::uint64_t& number) noexcept { return read_number(text, number); }

StreamEntry read_entry(const RedisValue& element) {
  StreamEntry entry;
  if (element.size() != 2) return entry;
  entry.id = entry_id(element[0].text());
  const RedisValue fields = element[1];
  bool sound = true;
  for (std::size_t i = 0; i + 1 < fields.size(); i += 2) {
    sound = read_field(fields[i].text(), fields[i + 1].text(), entry) && sound;
  }
  const bool has_user = !entry.event.user.empty() || (entry.kind != Kind::event && entry.kind != Kind::profile);
  if (!sound || !has_user || entry.host.empty() != (entry.number == 0)) {
    entry.kind = Kind::foreign;
    entry.host = {};  // whose numbers say nothing
  }
  return entry;
}

void EntryWriter::event(const Interaction& event, std::uint64_t number) {
  // The same fields in the same order, whose names Redis then keeps once for many entries.
  add_redis_command(commands_, {"XADD", key_, "*", "host", host_, "number", write_number(number), "user",
                                encoded(event.user), "item", encoded(event.item), "time",
                                event.timestamp == kNoTime ? std::string() : write_number(event.timestamp), "kind",
                                event.event, "value", write_number(event.value), "id", event.event_id});
}

void EntryWriter::profile(const Id& user, std::string_view profile, std::uint64_t number) {
  add_redis_command(commands_, {"XADD", key_, "*", "host", host_, "number", write_number(number), "user", encoded(user),
                                "profile", profile});
}

void EntryWriter::model(std::string_view name, std::uint64_t number) {
  add_redis_command(commands_, {"XADD", key_, "*", "host", host_, "number", write_number(number), "new_model", name});
}

void EntryWriter::item(const Id& item, std::string_view about, std::uint64_t number) {
  add_redis_command(commands_, {"XADD", key_, "*", "host", host_, "number", write_number(number), "new_item",
                                encoded(item), "about", about});
}

void EntryWriter::gone_item(const Id& item, std::uint64_t number) {
  add_redis_command(commands_,
                    {"XADD", key_, "*", "host", host_, "number", write_number(number), "gone_item", encoded(item)});
}

bool ReadNumbers::take(std::string_view host, std::uint64_t number, std::uint64_t& missed) {
  const auto known = last_.find(host);
  if (known == last_.end()) {
    last_.emplace(host, number);
    return true;
  }
  if (number <= known->second) return false;
  missed += number - known->second - 1;
  known->second = number;
  return true;
}

std::uint64_t ReadNumbers::last(std::string_view host) const {
  const auto known = last_.find(host);
  return known == last_.end() ? 0 : known->second;
}

}  // namespace attune::inline v0_1
