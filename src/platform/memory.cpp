// SPDX-License-Identifier: Apache-2.0
#include "platform/memory.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <fstream>
#include <string>
#include <string_view>

namespace attune::inline v0_1::platform {
namespace {

namespace fs = std::filesystem;
using Bytes = std::optional<std::uint64_t>;

Bytes number_in(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(" \t"), text.size()));
  std::uint64_t number = 0;
  if (std::from_chars(text.data(), text.data() + text.size(), number).ec != std::errc{}) return std::nullopt;
  return number;
}

// The number behind `name` at the beginning of a line.
Bytes value_of(const fs::path& file, std::string_view name) {
  std::ifstream lines(file);
  for (std::string line; std::getline(lines, line);) {
    if (std::string_view(line).starts_with(name)) return number_in(std::string_view(line).substr(name.size()));
  }
  return std::nullopt;
}

Bytes smaller(Bytes a, Bytes b) { return a && b ? std::min(*a, *b) : a ? a : b; }

// What the files of a control group are called.
struct GroupFiles {
  const char *limit, *usage, *freeable;  // the last within memory.stat
};
constexpr GroupFiles kVersion1{"memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file "};
constexpr GroupFiles kVersion2{"memory.max", "memory.current", "inactive_file "};

// The least that is left in a group and in those around it. A group without a limit says nothing.
Bytes left_in_group(const fs::path& top, std::string_view group, const GroupFiles& files) {
  Bytes left;
  for (fs::path inner = fs::path(group).relative_path();; inner = inner.parent_path()) {
    const fs::path folder = top / inner;
    const Bytes limit = value_of(folder / files.limit, ""), usage = value_of(folder / files.usage, "");
    if (limit && usage) {
      const std::uint64_t freeable = value_of(folder / "memory.stat", files.freeable).value_or(0);
      const std::uint64_t used = *usage - std::min(*usage, freeable);
      left = smaller(left, *limit - std::min(*limit, used));
    }
    if (inner.empty()) return left;
  }
}

}  // namespace

Bytes available_memory(const fs::path& root) {
  constexpr std::uint64_t kKibibyte = 1024;
  Bytes available = value_of(root / "proc/meminfo", "MemAvailable:");
  if (available) *available *= kKibibyte;
  const fs::path groups = root / "sys/fs/cgroup";
  std::ifstream lines(root / "proc/self/cgroup");
  for (std::string line; std::getline(lines, line);) {  // <number>:<controllers>:<group>
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string::npos) continue;
    const std::string_view controllers = std::string_view(line).substr(first + 1, second - first - 1),
                           group = std::string_view(line).substr(second + 1);
    if (controllers.empty()) available = smaller(available, left_in_group(groups, group, kVersion2));
    if (controllers == "memory") available = smaller(available, left_in_group(groups / "memory", group, kVersion1));
  }
  return available;
}

void prefer_large_pages(void* memory, std::size_t bytes) noexcept {
#ifdef MADV_HUGEPAGE
  const auto page = static_cast<std::uintptr_t>(::sysconf(_SC_PAGESIZE));
  const auto begin = reinterpret_cast<std::uintptr_t>(memory);
  const std::uintptr_t first = (begin + page - 1) / page * page, end = (begin + bytes) / page * page;
  if (first < end) ::madvise(reinterpret_cast<void*>(first), end - first, MADV_HUGEPAGE);
#else
  static_cast<void>(memory), static_cast<void>(bytes);
#endif
}

}  // namespace attune::inline v0_1::platform
