// SPDX-License-Identifier: Apache-2.0
#include "data/known_tables.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "attune/error.hpp"
#include "data/separator.hpp"

namespace attune::inline v0_1::detail {

namespace {

struct Renamed {
  std::string_view atomic, column;
};
constexpr std::array<Renamed, 3> kRenamed{{{"user_id", "user"}, {"item_id", "item"}, {"session_id", "session"}}};

// The colon in front of a type; npos where a name does not end in one.
std::size_t colon_of(std::string_view name) noexcept {
  const std::size_t colon = name.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return std::string_view::npos;
  const std::string_view type = name.substr(colon + 1);
  const bool known = type == "token" || type == "token_seq" || type == "float" || type == "float_seq";
  return known ? colon : std::string_view::npos;
}

}  // namespace

ReadOptions with_known_columns(const std::filesystem::path& path, ReadOptions options) {
  if (!options.columns.empty() || options.skip_header) return options;
  std::filesystem::path name = path.filename();
  if (name.extension() == ".gz" || name.extension() == ".xz") name = name.stem();
  if (name == "u.data") {
    options.columns = {"user", "item", "rating", "timestamp"};
  } else if (name == "u.user") {
    options.columns = {"user", "age", "gender", "occupation", "zip"};
  } else if (name == "u.item") {
    options.columns = {"item",        "title",     "released",  "video_released", "url",    "unknown",
                       "Action",      "Adventure", "Animation", "Children's",     "Comedy", "Crime",
                       "Documentary", "Drama",     "Fantasy",   "Film-Noir",      "Horror", "Musical",
                       "Mystery",     "Romance",   "Sci-Fi",    "Thriller",       "War",    "Western"};
    options.encoding = Encoding::latin_1;
  }
  return options;
}

bool is_atomic_header(const std::vector<std::string>& names) noexcept {
  return std::any_of(names.begin(), names.end(),
                     [](const std::string& name) { return colon_of(name) != std::string_view::npos; });
}

std::vector<std::string> columns_of_atomic_header(const std::vector<std::string>& names, const std::string& place) {
  std::vector<std::string> columns;
  for (const std::string& name : names) {
    const std::size_t colon = colon_of(name);
    if (colon == std::string_view::npos) {
      throw Error(ErrorCode::invalid_data, place + "expected a colon and the type token, token_seq, float or " +
                                               "float_seq behind each name, found another end of name " +
                                               std::to_string(columns.size() + 1));
    }
    const std::string_view bare = std::string_view(name).substr(0, colon);
    const auto renamed =
        std::find_if(kRenamed.begin(), kRenamed.end(), [&](const Renamed& r) { return r.atomic == bare; });
    columns.emplace_back(renamed == kRenamed.end() ? bare : renamed->column);
  }
  return columns;
}

std::string atomic_name(std::string_view column) {
  const auto renamed = std::find_if(kRenamed.begin(), kRenamed.end(),
                                    [&](const Renamed& r) { return equals_ignoring_case(r.column, column); });
  return std::string(renamed == kRenamed.end() ? column : renamed->atomic) +
         (is_number_column(column) ? ":float" : ":token");
}

bool is_number_column(std::string_view column) noexcept {
  constexpr std::array<std::string_view, 5> kNumbers{"timestamp", "timestamp_ms", "position", "value", "rating"};
  return std::any_of(kNumbers.begin(), kNumbers.end(),
                     [&](std::string_view name) { return equals_ignoring_case(name, column); });
}

}  // namespace attune::inline v0_1::detail
