// SPDX-License-Identifier: Apache-2.0
#pragma once

// A condition on the fields of items, compiled from text (the language: serving/policy.hpp) and evaluated for 64 items
// at once. Immutable.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "attune/types.hpp"
#include "serving/item_columns.hpp"

namespace attune::inline v0_1::detail {

class Filter {
 public:
  static constexpr std::size_t kMostBytes = 65'536, kDeepest = 64;

  // Throws Error(invalid_argument); `rule` says in the message which text is meant.
  Filter(std::string_view text, std::span<const ItemField> fields, std::string_view rule);

  // The numbers that the names it speaks of have now, for matches().
  void find_names(const ItemColumns& columns, std::vector<std::uint32_t>& names) const;
  // Which items of a group of ItemColumns::kGroup it matches. `columns` have the fields it was compiled for.
  std::uint64_t matches(const ItemColumns& columns, std::size_t group, std::span<const std::uint32_t> names) const;

 private:
  friend class FilterParser;
  enum class Kind : std::uint8_t { equal, not_equal, less, at_most, more, at_least, present, both, either, negation };
  // In postfix order. A comparison is with `count` values from `first` on of the type of the field.
  struct Step {
    Kind kind;
    std::uint32_t field = 0, first = 0, count = 0;
  };
  std::uint64_t compare(const Step& step, const ItemColumns& columns, std::size_t group,
                        std::span<const std::uint32_t> names) const;

  std::vector<Step> steps_;
  std::vector<double> numbers_;
  std::vector<std::string> names_;
  std::vector<std::uint32_t> name_fields_;  // whose names they are
  std::vector<FieldType> types_;            // [fields]
};

}  // namespace attune::inline v0_1::detail
