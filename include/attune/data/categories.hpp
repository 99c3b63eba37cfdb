// SPDX-License-Identifier: Apache-2.0
#pragma once

// Sets of names, one set per item or user: genres, providers, groups. Not synchronised: const members are safe from any
// number of threads while nobody adds.

#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "attune/data/id_map.hpp"
#include "attune/data/reader.hpp"

namespace attune::inline v0_1 {

class ATTUNE_EXPORT Categories {
 public:
  // Appends the row of the next handle: "Drama|War", or "" for one that has none. Blanks around a name and repeated
  // names do not count.
  void add(std::string_view names);

  std::size_t size() const noexcept { return offsets_.size() - 1; }  // rows
  // Numbers of the names of a row, ascending; none for a row beyond size().
  std::span<const std::uint32_t> of(std::size_t row) const noexcept {
    if (row >= size()) return {};
    return std::span(values_).subspan(offsets_[row], offsets_[row + 1] - offsets_[row]);
  }
  // By number, in the order of first appearance.
  const std::vector<std::string>& names() const noexcept { return names_; }

 private:
  std::vector<std::size_t> offsets_{0};  // [rows + 1]
  std::vector<std::uint32_t> values_;
  std::vector<std::string> names_;
  std::map<std::string, std::uint32_t, std::less<>> numbers_;
};

// The rows of the handles of `ids`, one set for each of `columns`, from a delimited file with one record per item or
// user: `id_column` names it, the others hold its names separated by `|`. What the file does not mention has none, and
// what stands in it twice counts where it stands first. Reads to the end. Throws Error as DelimitedReader does, and
// invalid_data for a missing column or field.
ATTUNE_EXPORT std::vector<Categories> read_categories(DelimitedReader& reader, std::string_view id_column,
                                                      std::span<const std::string> columns, const IdMap& ids);

}  // namespace attune::inline v0_1
