// SPDX-License-Identifier: Apache-2.0
#include "attune/data/categories.hpp"

#include <algorithm>

#include "attune/error.hpp"
#include "data/text.hpp"

namespace attune::inline v0_1 {

void Categories::add(std::string_view names) {
  const std::size_t first = values_.size();
  detail::for_each_name(names, [&](std::string_view name) {
    auto known = numbers_.find(name);
    if (known == numbers_.end()) {
      known = numbers_.emplace(name, static_cast<std::uint32_t>(names_.size())).first;
      names_.emplace_back(name);
    }
    values_.push_back(known->second);
  });
  const auto row = values_.begin() + static_cast<std::ptrdiff_t>(first);
  std::sort(row, values_.end());
  values_.erase(std::unique(row, values_.end()), values_.end());
  offsets_.push_back(values_.size());
}

std::vector<Categories> read_categories(DelimitedReader& reader, std::string_view id_column,
                                        std::span<const std::string> columns, const IdMap& ids) {
  const std::size_t id_field = reader.required_column(id_column);
  std::size_t last = id_field;
  std::vector<std::size_t> of_column;
  for (const std::string& column : columns) {
    of_column.push_back(reader.required_column(column));
    last = std::max(last, of_column.back());
  }
  std::vector<std::vector<std::string>> rows(ids.size());  // empty: not mentioned
  std::vector<std::string_view> fields;
  while (reader.next(fields)) {
    if (fields.size() <= last) {
      throw Error(ErrorCode::invalid_data, reader.place() + "expected " + std::to_string(reader.columns().size()) +
                                               " fields, found " + std::to_string(fields.size()));
    }
    const std::uint32_t handle = ids.find(detail::id_of(fields[id_field], ids.kind()));
    if (handle == kNoHandle || !rows[handle].empty()) continue;
    for (const std::size_t field : of_column) rows[handle].emplace_back(fields[field]);
  }
  std::vector<Categories> all(columns.size());
  for (const auto& row : rows) {
    for (std::size_t c = 0; c < all.size(); ++c) all[c].add(row.empty() ? "" : row[c]);
  }
  return all;
}

}  // namespace attune::inline v0_1
