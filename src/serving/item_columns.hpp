// SPDX-License-Identifier: Apache-2.0
#pragma once

// What items have besides their ids, column by column over handles, and which of them changed. Not synchronised, but
// for changes(): Catalogue's lock guards it.

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "attune/types.hpp"

namespace attune::inline v0_1::detail {

// Names of fields as they stand in messages.
std::string list_of(std::span<const ItemField> fields);

// Numbers of texts, each kept for as long as somebody holds it; numbers are used again.
class TextNumbers {
 public:
  std::uint32_t find(std::string_view text) const noexcept;  // kNoHandle: nobody holds it
  std::uint32_t hold(std::string_view text);
  // What hold() gives a text that nobody holds.
  std::uint32_t next() const noexcept {
    return free_.empty() ? static_cast<std::uint32_t>(held_.size()) : free_.back();
  }
  bool let_go(std::uint32_t number) noexcept;  // true: nobody holds it any more
  std::size_t holders(std::uint32_t number) const noexcept { return held_[number].holders; }

 private:
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>()(text); }
  };
  using Numbers = std::unordered_map<std::string, std::uint32_t, Hash, std::equal_to<>>;
  struct Held {
    Numbers::const_iterator text;
    std::size_t holders = 0;
  };
  Numbers numbers_;
  std::vector<Held> held_;
  std::vector<std::uint32_t> free_;
};

// Sets of names, each stored once for as long as an item has it. Set 0 is the empty one.
class NameSets {
 public:
  std::uint32_t hold(std::string_view names);  // "Drama|War", split as Categories::add does
  void let_go(std::uint32_t set) noexcept;
  std::span<const std::uint32_t> members(std::uint32_t set) const noexcept {  // ascending
    return set == 0 ? std::span<const std::uint32_t>{} : std::span<const std::uint32_t>(members_[set - 1]);
  }
  std::uint32_t name(std::string_view name) const noexcept { return names_.find(name); }
  bool contains(std::uint32_t set, std::uint32_t name) const noexcept {
    return set != 0 && std::ranges::binary_search(members_[set - 1], name);
  }

 private:
  TextNumbers names_, sets_;                         // sets by their names, in order, separated by '|'
  std::vector<std::vector<std::uint32_t>> members_;  // [sets] numbers of names
};

class ItemColumns {
 public:
  static constexpr std::size_t kGroup = 64;  // items per word of a bitmap

  // Throws Error(invalid_argument) for a name that is none, stands there twice or is a word of the filters' language.
  explicit ItemColumns(std::vector<ItemField> fields);

  std::span<const ItemField> fields() const noexcept { return fields_; }
  // Throws Error(invalid_argument) unless set() takes it; `place` is the item's in the upsert.
  void check(const Item& item, std::size_t place) const;

  void set(ItemHandle item, const Item& values);
  void remove(ItemHandle item);

  // How often an item was changed; from any thread.
  std::uint64_t changes() const noexcept { return changes_.load(std::memory_order_acquire); }
  // Calls visit(group) for the items changed since changes() was `since`; false, and no call, where these are more than
  // `most` or too long ago to know.
  template <class Visit>
  bool visit_changed_groups(std::uint64_t since, std::size_t most, Visit&& visit) const {
    const std::uint64_t now = changes(), missed = now - since;
    if (missed > most || missed > log_.size()) return false;
    std::size_t last = std::numeric_limits<std::size_t>::max();
    for (std::uint64_t i = since; i != now; ++i) {
      const std::size_t group = log_[i % kLogged] / kGroup;
      if (group != last) visit(last = group);
    }
    return true;
  }

  // Which of a group's items are neither removed nor outside their time at `at`, and the times [first, last] around
  // `at` for which that is so.
  struct Live {
    std::uint64_t items;
    Timestamp first, last;
  };
  Live live(std::size_t group, Timestamp at) const noexcept;
  bool is_live(ItemHandle item, Timestamp at) const noexcept {
    return (live(item / kGroup, at).items >> (item % kGroup) & 1u) != 0;
  }
  bool has_windows() const noexcept { return !windows_.empty(); }

  // [kGroup] of a group's items, by number of the field; null where none of them has any.
  const double* numbers(std::size_t field, std::size_t group) const noexcept;      // NaN: none
  const std::uint32_t* sets(std::size_t field, std::size_t group) const noexcept;  // of names_of(field)
  const NameSets& names_of(std::size_t field) const noexcept { return columns_[field].names; }
  // Numbers of an item's names in a category field.
  std::span<const std::uint32_t> names(std::size_t field, ItemHandle item) const noexcept {
    const Column& column = columns_[field];
    return column.names.members(item < column.sets.size() ? column.sets[item] : 0);
  }

 private:
  static constexpr std::size_t kLogged = std::size_t{1} << 16;  // of changes
  struct Window {
    Timestamp first = std::numeric_limits<Timestamp>::min(), last = std::numeric_limits<Timestamp>::max();
    friend bool operator==(const Window&, const Window&) = default;
  };
  struct Column {
    std::vector<double> numbers;
    std::vector<std::uint32_t> sets;
    NameSets names;
  };

  std::size_t field(std::string_view name) const noexcept;  // fields().size(): none
  bool set_value(ItemHandle item, const FieldValue& value);
  bool set_window(ItemHandle item, const Item& values);
  bool set_removed(ItemHandle item, bool removed);
  void log(ItemHandle item) noexcept;

  std::vector<ItemField> fields_;
  std::vector<Column> columns_;         // [fields]; of whole groups, as far as any item has a value
  std::vector<Window> windows_;         // of whole groups, likewise
  std::vector<std::uint64_t> removed_;  // bitmap, likewise
  std::vector<ItemHandle> log_;         // change i is at i % kLogged; the last ones
  std::atomic<std::uint64_t> changes_ = 0;
};

}  // namespace attune::inline v0_1::detail
