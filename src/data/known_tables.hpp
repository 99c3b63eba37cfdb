// SPDX-License-Identifier: Apache-2.0
#pragma once

// What others call their columns: RecBole in the header lines of its atomic files, GroupLens in the documentation of
// MovieLens 100K.

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "attune/data/reader.hpp"

namespace attune::inline v0_1::detail {

// With the columns of u.data, u.item or u.user, which have no header line, and the encoding of u.item, where a file has
// that name (and perhaps .gz or .xz behind it) and no columns are named.
ReadOptions with_known_columns(const std::filesystem::path& path, ReadOptions options);

// Whether the names are those of an atomic file: one of them at least is a name, a colon and a type.
bool is_atomic_header(const std::vector<std::string>& names) noexcept;
// The columns of such names: without the types, and user, item and session for user_id, item_id and session_id. Throws
// Error(invalid_data) where a type is missing or unknown; `place` is for the message.
std::vector<std::string> columns_of_atomic_header(const std::vector<std::string>& names, const std::string& place);
// The other way round: user is user_id:token, rating is rating:float.
std::string atomic_name(std::string_view column);

// Whether a column holds a number by its name: a time, a value or a rating.
bool is_number_column(std::string_view column) noexcept;

}  // namespace attune::inline v0_1::detail
