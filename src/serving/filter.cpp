// SPDX-License-Identifier: Apache-2.0
#include "serving/filter.hpp"

#include <array>
#include <cmath>

#include "serving/filter_parser.hpp"

namespace attune::inline v0_1::detail {
namespace {

// The bits of a group for which test(i) is true.
template <class Test>
std::uint64_t bits_where(Test&& test) {
  std::uint64_t bits = 0;
  for (std::size_t i = 0; i < ItemColumns::kGroup; ++i) bits |= static_cast<std::uint64_t>(test(i)) << i;
  return bits;
}

}  // namespace

Filter::Filter(std::string_view text, std::span<const ItemField> fields, std::string_view rule) {
  for (const ItemField& field : fields) types_.push_back(field.type);
  FilterParser(*this, text, fields, rule).parse();
}

void Filter::find_names(const ItemColumns& columns, std::vector<std::uint32_t>& names) const {
  names.clear();
  for (std::size_t i = 0; i < names_.size(); ++i) names.push_back(columns.names_of(name_fields_[i]).name(names_[i]));
}

std::uint64_t Filter::matches(const ItemColumns& columns, std::size_t group,
                              std::span<const std::uint32_t> names) const {
  std::array<std::uint64_t, 2 * kDeepest + 3> stack;  // every level has an `or` and an `and` that wait
  std::size_t size = 0;
  for (const Step& step : steps_) {
    switch (step.kind) {
      case Kind::both: --size, stack[size - 1] &= stack[size]; break;
      case Kind::either: --size, stack[size - 1] |= stack[size]; break;
      case Kind::negation: stack[size - 1] = ~stack[size - 1]; break;
      default: stack[size++] = compare(step, columns, group, names);
    }
  }
  return stack[0];
}

std::uint64_t Filter::compare(const Step& step, const ItemColumns& columns, std::size_t group,
                              std::span<const std::uint32_t> names) const {
  if (types_[step.field] == FieldType::category) {
    const std::uint32_t* const sets = columns.sets(step.field, group);
    if (step.kind == Kind::present)
      return sets == nullptr ? 0 : bits_where([&](std::size_t i) { return sets[i] != 0; });
    std::uint64_t bits = 0;
    const NameSets& held = columns.names_of(step.field);
    for (const std::uint32_t name : names.subspan(step.first, step.count)) {
      if (sets == nullptr || name == kNoHandle) continue;
      bits |= bits_where([&](std::size_t i) { return held.contains(sets[i], name); });
    }
    return step.kind == Kind::equal ? bits : ~bits;
  }
  const double* const numbers = columns.numbers(step.field, group);
  if (numbers == nullptr) return 0;
  if (step.kind == Kind::present) return bits_where([&](std::size_t i) { return !std::isnan(numbers[i]); });
  const double value = numbers_[step.first];
  switch (step.kind) {
    case Kind::not_equal: return bits_where([&](std::size_t i) { return numbers[i] < value || numbers[i] > value; });
    case Kind::less: return bits_where([&](std::size_t i) { return numbers[i] < value; });
    case Kind::at_most: return bits_where([&](std::size_t i) { return numbers[i] <= value; });
    case Kind::more: return bits_where([&](std::size_t i) { return numbers[i] > value; });
    case Kind::at_least: return bits_where([&](std::size_t i) { return numbers[i] >= value; });
    default: break;
  }
  std::uint64_t bits = 0;
  for (const double one : std::span(numbers_).subspan(step.first, step.count)) {
    bits |= bits_where([&](std::size_t i) { return numbers[i] == one; });
  }
  return bits;
}

}  // namespace attune::inline v0_1::detail
