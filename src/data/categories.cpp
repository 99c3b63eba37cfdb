// SPDX-License-Identifier: Apache-2.0
#include "attune/data/categories.hpp"

#include <algorithm>
#include <optional>

#include "attune/data/reader.hpp"
#include "attune/error.hpp"
#include "data/text.hpp"

namespace attune::inline v0_1 {

void Categories::add(std::string_view names) {
  const std::size_t first = values_.size();
  for (std::size_t begin = 0, end; begin <= names.size(); begin = end + 1) {
    end = std::min(names.find('|', begin), names.size());
    const std::string_view name = detail::without_outer_blanks(names.substr(begin, end - begin));
    if (name.empty()) continue;
    auto known = numbers_.find(name);
    if (known == numbers_.end()) {
      known = numbers_.emplace(name, static_cast<std::uint32_t>(names_.size())).first;
      names_.emplace_back(name);
    }
    values_.push_back(known->second);
  }
  const auto row = values_.begin() + static_cast<std::ptrdiff_t>(first);
  std::sort(row, values_.end());
  values_.erase(std::unique(row, values_.end()), values_.end());
  offsets_.push_back(values_.size());
}

Categories read_categories(const std::string& file, std::string_view id_column, std::string_view column,
                           const IdMap& ids) {
  DelimitedReader reader{file};
  const auto find = [&](std::string_view name) {
    const std::size_t found = reader.column(name);
    if (found != DelimitedReader::npos) return found;
    throw Error(ErrorCode::invalid_data, file + ": expected a column '" + std::string(name) + "', found none");
  };
  const std::size_t id_field = find(id_column), names_field = find(column);
  std::vector<std::optional<std::string>> rows(ids.size());
  std::vector<std::string_view> fields;
  while (reader.next(fields)) {
    if (fields.size() <= std::max(id_field, names_field)) {
      throw Error(ErrorCode::invalid_data, file + ":" + std::to_string(reader.line()) + ": expected " +
                                               std::to_string(reader.columns().size()) + " fields, found " +
                                               std::to_string(fields.size()));
    }
    Id id = fields[id_field];
    if (ids.kind() == IdKind::int64) {
      const auto number = detail::parse_number<std::int64_t>(fields[id_field]);
      id = number ? Id(*number) : Id();
    }
    const std::uint32_t handle = ids.find(id);
    if (handle != kNoHandle && !rows[handle]) rows[handle] = std::string(fields[names_field]);
  }
  Categories categories;
  for (const auto& row : rows) categories.add(row ? std::string_view(*row) : std::string_view());
  return categories;
}

}  // namespace attune::inline v0_1
