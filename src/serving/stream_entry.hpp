// SPDX-License-Identifier: Apache-2.0
#pragma once

// What stands in a stream of events (docs/fleet.md lists the fields), as commands that add it and as answers show it.
// Every host numbers what it adds, from 1, under a name that no other has; whoever reads takes each number once.

#include <compare>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <string_view>
#include <utility>

#include "attune/types.hpp"
#include "serving/redis_connection.hpp"

namespace attune::inline v0_1 {

// The place of an entry: milliseconds of the server's clock, and a number within them.
struct EntryId {
  std::uint64_t time = 0, number = 0;
  friend bool operator==(const EntryId&, const EntryId&) = default;
  friend auto operator<=>(const EntryId& a, const EntryId& b) {
    return std::pair(a.time, a.number) <=> std::pair(b.time, b.number);
  }
};
std::string to_text(const EntryId& id);
EntryId entry_id(std::string_view text) noexcept;  // 0-0 of what is none

// Ids with their kind: "s:u42", "i:42".
std::string encoded(const Id& id);
Id decoded(std::string_view text) noexcept;  // empty of what is none

// As many decimal digits as it takes.
std::string encoded(std::uint64_t number);
bool decode(std::string_view text, std::uint64_t& number) noexcept;

struct StreamEntry {
  enum class Kind : std::uint8_t { event, profile, forgotten, model, item, gone_item, foreign };
  Kind kind = Kind::foreign;
  EntryId id;
  std::string_view host;        // "": another program, which does not number what it adds
  std::uint64_t number = 0;     // of the host's entries
  Interaction event;            // of a profile the user alone, of an item that is announced the item
  std::string_view text;        // a profile, the name of a model, what an item is
  std::uint64_t forgotten = 0;  // what hash the user has who was forgotten
};

// One element of an answer to XRANGE or XREAD; a view of it.
StreamEntry read_entry(const RedisValue& element);

// Adds commands that put entries into the stream.
class EntryWriter {
 public:
  EntryWriter(std::string& commands, std::string_view key, std::string_view host) noexcept
      : commands_(commands), key_(key), host_(host) {}
  void event(const Interaction& event, std::uint64_t number);
  void profile(const Id& user, std::string_view profile, std::uint64_t number);
  void model(std::string_view name, std::uint64_t number);
  void item(const Id& item, std::string_view about, std::uint64_t number);
  void gone_item(const Id& item, std::uint64_t number);

 private:
  std::string& commands_;
  std::string_view key_, host_;
};

// Which numbers of which hosts were read. A host adds its entries in order, and after a failure all from the first that
// was not confirmed; so the largest number tells which come a second time.
class ReadNumbers {
 public:
  // False for an entry that was read before. Adds to `missed` how many between it and the host's last one were not.
  bool take(std::string_view host, std::uint64_t number, std::uint64_t& missed);
  std::uint64_t last(std::string_view host) const;  // 0: none

 private:
  std::map<std::string, std::uint64_t, std::less<>> last_;
};

}  // namespace attune::inline v0_1
