// SPDX-License-Identifier: Apache-2.0
#include "data/known_tables.hpp"

#include <algorithm>

#include "data/separator.hpp"
#include "data/text.hpp"

namespace attune::inline v0_1::detail {

namespace {

struct Name {
  std::string_view bare, type;  // no type: none that is known
};

Name divide_name(std::string_view name) noexcept {
  name = without_outer_blanks(name);
  const std::size_t colon = name.rfind(':');
  if (colon == std::string_view::npos || colon == 0) return {name, {}};
  const std::string_view type = name.substr(colon + 1);
  const bool known = type == "token" || type == "token_seq" || type == "float" || type == "float_seq";
  return known ? Name{without_outer_blanks(name.substr(0, colon)), type} : Name{name, {}};
}

template <class Member>
const AtomicName* find_atomic_name(std::string_view name, Member member) noexcept {
  const auto found = std::find_if(kAtomicNames.begin(), kAtomicNames.end(),
                                  [&](const AtomicName& entry) { return equals_ignoring_case(entry.*member, name); });
  return found == kAtomicNames.end() ? nullptr : &*found;
}

// The name of a file of MovieLens 100K that begins as those do, else "".
std::string known_name(const std::filesystem::path& path, std::string_view start) {
  std::filesystem::path name = path.filename();
  if (name.extension() == ".gz" || name.extension() == ".xz") name = name.stem();
  return !start.empty() && start[0] >= '0' && start[0] <= '9' ? name.string() : "";
}

}  // namespace

std::vector<std::string> known_columns(const std::filesystem::path& path, std::string_view start) {
  const std::string name = known_name(path, start);
  if (name == "u.data") return {"user", "item", "rating", "timestamp"};
  if (name == "u.user") return {"user", "age", "gender", "occupation", "zip"};
  if (name != "u.item") return {};
  return {"item",      "title",      "released", "video_released", "url",         "unknown",  "Action",  "Adventure",
          "Animation", "Children's", "Comedy",   "Crime",          "Documentary", "Drama",    "Fantasy", "Film-Noir",
          "Horror",    "Musical",    "Mystery",  "Romance",        "Sci-Fi",      "Thriller", "War",     "Western"};
}

Encoding known_encoding(const std::filesystem::path& path, std::string_view start) {
  return known_name(path, start) == "u.item" ? Encoding::latin_1 : Encoding::utf_8;
}

bool is_atomic_header(const std::vector<std::string_view>& names) noexcept {
  std::size_t typed = 0;
  bool typed_id = false, own_name = false;
  for (const std::string_view text : names) {
    const Name name = divide_name(text);
    typed += name.type.empty() ? 0 : 1;
    typed_id |= !name.type.empty() && find_atomic_name(name.bare, &AtomicName::atomic) != nullptr;
    own_name |= find_atomic_name(name.bare, &AtomicName::column) != nullptr && name.type.empty();
  }
  return (typed != 0 && typed == names.size()) || (typed_id && !own_name);
}

AtomicHeader divide_atomic_header(const std::vector<std::string_view>& names) {
  AtomicHeader header;
  for (const std::string_view text : names) {
    const Name name = divide_name(text);
    const AtomicName* const known = find_atomic_name(name.bare, &AtomicName::atomic);
    header.columns.emplace_back(known ? known->column : name.bare);
    header.types.emplace_back(name.type);
  }
  return header;
}

}  // namespace attune::inline v0_1::detail
