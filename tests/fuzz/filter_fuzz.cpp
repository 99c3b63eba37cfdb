// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "attune/error.hpp"
#include "serving/filter.hpp"

namespace {

using namespace attune::detail;

const std::vector<attune::ItemField>& fields() {
  static const std::vector<attune::ItemField> all{{"genre", attune::FieldType::category},
                                                  {"b", attune::FieldType::category},
                                                  {"price", attune::FieldType::number},
                                                  {"y", attune::FieldType::number}};
  return all;
}

const ItemColumns& columns() {
  static const ItemColumns* const made = [] {
    auto* const columns = new ItemColumns(fields());
    const char* const names[] = {"", "Drama", "Drama|War", "a|b|it's", "\"|\\"};
    for (attune::ItemHandle item = 0; item < 60; ++item) {
      columns->set(item, {.id = {}, .fields = {{"genre", names[item % 5]}, {"price", item % 7}}});
      if (item % 3 != 0) columns->set(item, {.id = {}, .fields = {{"b", names[item % 4]}, {"y", 1990.0 + item}}});
    }
    return columns;
  }();
  return *made;
}

std::uint64_t matches(const std::string& text, std::size_t group) {
  const Filter filter(text, fields(), "filter");
  std::vector<std::uint32_t> names;
  filter.find_names(columns(), names);
  return filter.matches(columns(), group, names);
}

}  // namespace

// Whatever is a filter matches what its negation does not.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string text(reinterpret_cast<const char*>(data), size);
  try {
    for (const std::size_t group : {std::size_t{0}, std::size_t{1}}) {
      const std::uint64_t bits = matches(text, group);
      if (matches(" " + text + "\n", group) != bits) __builtin_trap();
      if (matches("not (" + text + ")", group) != ~bits) __builtin_trap();
      if (matches("(" + text + ") or not (" + text + ")", group) != ~std::uint64_t{0}) __builtin_trap();
    }
  } catch (const attune::Error& error) {
    if (error.code() != attune::ErrorCode::invalid_argument) __builtin_trap();
  }
  return 0;
}
