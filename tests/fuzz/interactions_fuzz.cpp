// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <string>

#include "attune/data/reader.hpp"
#include "attune/error.hpp"

namespace {

// Every line of the file is accounted for.
void check(const attune::LoadReport& report, std::size_t interactions) {
  const std::size_t dropped =
      std::accumulate(report.dropped.begin(), report.dropped.end(), std::size_t{0},
                      [](std::size_t sum, const attune::LoadReport::Dropped& reason) { return sum + reason.lines; });
  if (report.records != report.interactions + dropped) __builtin_trap();
  if (report.interactions != interactions) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::string path =
      (std::filesystem::temp_directory_path() / ("attune_fuzz_" + std::to_string(::getpid()))).string();
  std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  try {
    attune::LoadReport report;
    const attune::ReadOptions options{.bad_value = attune::BadValue::skip};
    const auto log = attune::read_interactions(path, options, &report);
    check(report, log.size());
  } catch (const attune::Error&) {
    return 0;
  }
  return 0;
}
