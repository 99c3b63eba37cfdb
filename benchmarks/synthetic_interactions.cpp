// SPDX-License-Identifier: Apache-2.0

// synthetic_interactions EVENTS [USERS ITEMS [FIRST]]: a table of made-up events on standard output, to see what
// attune prepare takes. Items are popular by the cube of a uniform number, times ascend. Event FIRST + i is the same
// whatever else is asked for, so that several runs make several files of one stream.

#include <array>
#include <charconv>
#include <cstdint>
#include <cstdio>
#include <cstdlib>

namespace {

constexpr std::uint64_t mix(std::uint64_t x) noexcept {
  x = (x ^ (x >> 30)) * 0xBF58476D1CE4E5B9u;
  x = (x ^ (x >> 27)) * 0x94D049BB133111EBu;
  return x ^ (x >> 31);
}

double uniform(std::uint64_t x) noexcept { return static_cast<double>(mix(x) >> 11) * 0x1p-53; }

char* put(char* out, char letter, std::uint64_t number) noexcept {
  *out++ = letter;
  return std::to_chars(out, out + 20, number).ptr;
}

}  // namespace

int main(int argc, char** argv) {
  const auto argument = [&](int i, std::uint64_t otherwise) {
    return argc > i ? std::strtoull(argv[i], nullptr, 10) : otherwise;
  };
  const std::uint64_t events = argument(1, 0), users = argument(2, 2'000'000), items = argument(3, 500'000);
  const std::uint64_t first = argument(4, 0);
  if (events == 0 || users == 0 || items == 0) {
    std::fputs("expected synthetic_interactions EVENTS [USERS ITEMS [FIRST]]\n", stderr);
    return 2;
  }
  std::puts("user,item,timestamp");
  std::array<char, 96> line;
  for (std::uint64_t i = first; i < first + events; ++i) {
    const double popular = uniform(2 * i + 1);
    char* out = put(line.data(), 'u', mix(2 * i) % users);
    *out++ = ',';
    out = put(out, 'i', static_cast<std::uint64_t>(popular * popular * popular * static_cast<double>(items)));
    *out++ = ',';
    out = std::to_chars(out, out + 20, 1'600'000'000 + i / 4).ptr;
    *out++ = '\n';
    if (std::fwrite(line.data(), 1, static_cast<std::size_t>(out - line.data()), stdout) == 0) return 1;
  }
  return std::fflush(stdout) == 0 ? 0 : 1;
}
