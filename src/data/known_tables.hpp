// SPDX-License-Identifier: Apache-2.0
#pragma once

// What others call their columns: RecBole in the header lines of its atomic files, GroupLens in the documentation of
// MovieLens 100K.

#include <array>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "attune/data/reader.hpp"

namespace attune::inline v0_1::detail {

// The columns of u.data, u.item or u.user, which have no header line, where a file has that name (and perhaps .gz or
// .xz behind it) and begins with a digit, as they do; else none. `start` is what is behind a byte order mark.
std::vector<std::string> known_columns(const std::filesystem::path& path, std::string_view start);
// The same of what a file is in: Latin-1 for u.item, else UTF-8.
Encoding known_encoding(const std::filesystem::path& path, std::string_view start);

struct AtomicName {
  std::string_view atomic, column;
};
inline constexpr std::array<AtomicName, 3> kAtomicNames{
    {{"user_id", "user"}, {"item_id", "item"}, {"session_id", "session"}}};

// Whether the names are those of an atomic file: each is a name, a colon and a type, or one of kAtomicNames is and none
// is a column's own.
bool is_atomic_header(const std::vector<std::string_view>& names) noexcept;
struct AtomicHeader {
  std::vector<std::string> columns, types;
};
// Such names in two: columns with the names of kAtomicNames, and types, "" where one is missing or unknown.
AtomicHeader divide_atomic_header(const std::vector<std::string_view>& names);

}  // namespace attune::inline v0_1::detail
