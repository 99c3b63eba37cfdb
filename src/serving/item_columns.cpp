// SPDX-License-Identifier: Apache-2.0
#include "serving/item_columns.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "attune/error.hpp"
#include "data/text.hpp"

namespace attune::inline v0_1::detail {
namespace {

bool is_keyword(std::string_view name) noexcept {
  const auto is = [&](std::string_view word) {
    return std::ranges::equal(name, word, [](char c, char wanted) { return (c | 0x20) == wanted; });
  };
  return is("and") || is("or") || is("not") || is("in") || is("has");
}

bool is_field_name(std::string_view name) noexcept {
  const auto letter = [](char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; };
  const auto digit = [](char c) { return c >= '0' && c <= '9'; };
  return !name.empty() && letter(name.front()) && !is_keyword(name) &&
         std::ranges::all_of(name, [&](char c) { return letter(c) || digit(c); });
}

// Makes a column long enough for an item, in whole groups.
template <class T>
void reach(std::vector<T>& column, std::size_t item, const T& missing) {
  if (item >= column.size()) column.resize((item / ItemColumns::kGroup + 1) * ItemColumns::kGroup, missing);
}

}  // namespace

std::string list_of(std::span<const ItemField> fields) {
  if (fields.empty()) return "there is none";
  std::string list;
  for (const ItemField& field : fields) list.append(list.empty() ? "" : ", ").append(field.name);
  return list;
}

std::uint32_t TextNumbers::find(std::string_view text) const noexcept {
  const auto found = numbers_.find(text);
  return found == numbers_.end() ? kNoHandle : found->second;
}

std::uint32_t TextNumbers::hold(std::string_view text) {
  if (const std::uint32_t known = find(text); known != kNoHandle) {
    ++held_[known].holders;
    return known;
  }
  if (free_.empty()) {
    held_.emplace_back();
    free_.reserve(held_.capacity());  // letting go never allocates
    free_.push_back(static_cast<std::uint32_t>(held_.size() - 1));
  }
  const std::uint32_t number = free_.back();
  held_[number] = {numbers_.emplace(text, number).first, 1};
  free_.pop_back();
  return number;
}

bool TextNumbers::let_go(std::uint32_t number) noexcept {
  if (--held_[number].holders != 0) return false;
  numbers_.erase(held_[number].text);
  free_.push_back(number);
  return true;
}

std::uint32_t NameSets::hold(std::string_view names) {
  if (names.empty()) return 0;
  if (sets_.find(names) != kNoHandle) return sets_.hold(names) + 1;
  std::vector<std::string_view> sorted;
  for_each_name(names, [&](std::string_view name) { sorted.push_back(name); });
  if (sorted.empty()) return 0;
  std::ranges::sort(sorted);
  sorted.erase(std::unique(sorted.begin(), sorted.end()), sorted.end());
  std::string text;
  for (const std::string_view name : sorted) text.append(text.empty() ? "" : "|").append(name);
  if (sets_.find(text) != kNoHandle) return sets_.hold(text) + 1;
  std::vector<std::uint32_t> members;
  for (const std::string_view name : sorted) members.push_back(names_.hold(name));
  std::ranges::sort(members);
  if (sets_.next() >= members_.size()) members_.resize(sets_.next() + std::size_t{1});  // before somebody finds the set
  const std::uint32_t number = sets_.hold(text);
  members_[number] = std::move(members);
  return number + 1;
}

void NameSets::let_go(std::uint32_t set) noexcept {
  if (set == 0 || !sets_.let_go(set - 1)) return;
  for (const std::uint32_t name : members_[set - 1]) names_.let_go(name);
  members_[set - 1] = {};
}

ItemColumns::ItemColumns(std::vector<ItemField> fields) : fields_(std::move(fields)), columns_(fields_.size()) {
  for (std::size_t i = 0; i < fields_.size(); ++i) {
    const std::string& name = fields_[i].name;
    const std::string where = "RecommenderOptions::item_fields: ";
    if (!is_field_name(name)) {
      throw Error(ErrorCode::invalid_argument,
                  where + "expected a name of letters, digits and '_' that is no word of filters, found " +
                      in_quotes(name, '"'));
    }
    if (fields_[i].type == FieldType::vector) {
      throw Error(ErrorCode::invalid_argument,
                  where + "expected a category or a number, found \"" + name + "\", a vector");
    }
    if (field(name) != i) {
      throw Error(ErrorCode::invalid_argument, where + "expected every name once, found \"" + name + "\" twice");
    }
  }
}

std::size_t ItemColumns::field(std::string_view name) const noexcept {
  return static_cast<std::size_t>(std::ranges::find(fields_, name, &ItemField::name) - fields_.begin());
}

void ItemColumns::check(const Item& item, std::size_t place) const {
  const auto fail = [&](const std::string& what) {
    throw Error(ErrorCode::invalid_argument, "upsert, item " + std::to_string(place) + " of the batch (" +
                                                 in_quotes(to_string(item.id), '"') + "): " + what);
  };
  for (const FieldValue& value : item.fields) {
    const std::size_t known = field(value.field());
    if (known == fields_.size()) {
      fail("expected a field of RecommenderOptions::item_fields (" + list_of(fields_) + "), found " +
           in_quotes(value.field(), '"'));
    }
    const auto name = [](FieldType type) {
      return type == FieldType::number ? "a number" : type == FieldType::vector ? "a vector" : "names";
    };
    if (value.type() != fields_[known].type) {
      fail("field " + fields_[known].name + ": expected " + name(fields_[known].type) + ", found " +
           name(value.type()));
    }
    if (std::isinf(value.number())) fail("field " + fields_[known].name + ": expected a finite number or NaN");
  }
}

void ItemColumns::set(ItemHandle item, const Item& values) {
  if (log_.capacity() == 0) log_.reserve(kLogged);
  struct Logged {  // also what memory ran out in the middle of
    ItemColumns& columns;
    ItemHandle item;
    bool changed = false;
    ~Logged() {
      if (changed) columns.log(item);
    }
  } logged{*this, item};
  for (const FieldValue& value : values.fields) logged.changed |= set_value(item, value);
  logged.changed |= set_window(item, values);
  logged.changed |= set_removed(item, false);
}

void ItemColumns::remove(ItemHandle item) {
  if (log_.capacity() == 0) log_.reserve(kLogged);
  if (set_removed(item, true)) log(item);
}

bool ItemColumns::set_value(ItemHandle item, const FieldValue& value) {
  const std::size_t number = field(value.field());
  Column& column = columns_[number];
  if (fields_[number].type == FieldType::number) {
    constexpr double kMissing = std::numeric_limits<double>::quiet_NaN();
    const bool missing = std::isnan(value.number());
    if (missing && item >= column.numbers.size()) return false;
    reach(column.numbers, item, kMissing);
    double& held = column.numbers[item];
    if (held == value.number() || (missing && std::isnan(held))) return false;
    held = missing ? kMissing : value.number();
    return true;
  }
  if (value.names().empty() && item >= column.sets.size()) return false;
  reach(column.sets, item, std::uint32_t{0});
  const std::uint32_t set = column.names.hold(value.names());
  const std::uint32_t old = std::exchange(column.sets[item], set);
  column.names.let_go(old);
  return old != set;
}

bool ItemColumns::set_window(ItemHandle item, const Item& values) {
  Window window = item < windows_.size() ? windows_[item] : Window{};
  const Window old = window;
  if (values.available_from) window.first = *values.available_from;  // kNoTime is before all times
  if (values.available_until)
    window.last = *values.available_until == kNoTime ? Window{}.last : *values.available_until - 1;
  if (window == old) return false;
  reach(windows_, item, Window{});
  windows_[item] = window;
  return true;
}

bool ItemColumns::set_removed(ItemHandle item, bool removed) {
  const std::size_t word = item / kGroup;
  if (word >= removed_.size()) {
    if (!removed) return false;
    removed_.resize(word + 1);
  }
  const std::uint64_t bit = std::uint64_t{1} << (item % kGroup);
  const bool was = (removed_[word] & bit) != 0;
  removed_[word] = removed ? removed_[word] | bit : removed_[word] & ~bit;
  return was != removed;
}

void ItemColumns::log(ItemHandle item) noexcept {
  const std::uint64_t change = changes_.load(std::memory_order_relaxed);
  if (log_.size() < kLogged) {
    log_.push_back(item);
  } else {
    log_[change % kLogged] = item;
  }
  changes_.store(change + 1, std::memory_order_release);
}

ItemColumns::Live ItemColumns::live(std::size_t group, Timestamp at) const noexcept {
  Live live{~std::uint64_t{0}, Window{}.first, Window{}.last};
  if (group < removed_.size()) live.items = ~removed_[group];
  if (group >= windows_.size() / kGroup) return live;
  for (std::size_t i = 0; i < kGroup; ++i) {
    const auto [first, last] = windows_[group * kGroup + i];
    if (first <= at && at <= last) {
      live.first = std::max(live.first, first);
      live.last = std::min(live.last, last);
      continue;
    }
    live.items &= ~(std::uint64_t{1} << i);
    if (at < first) live.last = std::min(live.last, first - 1);
    if (at > last) live.first = std::max(live.first, last + 1);
  }
  return live;
}

const double* ItemColumns::numbers(std::size_t field, std::size_t group) const noexcept {
  const std::vector<double>& column = columns_[field].numbers;
  return group < column.size() / kGroup ? column.data() + group * kGroup : nullptr;
}

const std::uint32_t* ItemColumns::sets(std::size_t field, std::size_t group) const noexcept {
  const std::vector<std::uint32_t>& column = columns_[field].sets;
  return group < column.size() / kGroup ? column.data() + group * kGroup : nullptr;
}

}  // namespace attune::inline v0_1::detail
