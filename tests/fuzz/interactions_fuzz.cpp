// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

#include "attune/data/reader.hpp"
#include "attune/error.hpp"
#include "data/json_scanner.hpp"
#include "fuzz/verdict.hpp"

namespace {

using attune::test::require;

// Every record of the file is accounted for.
void check(const attune::LoadReport& report, std::size_t taken) {
  const std::size_t dropped =
      std::accumulate(report.dropped.begin(), report.dropped.end(), std::size_t{0},
                      [](std::size_t sum, const attune::LoadReport::Dropped& reason) { return sum + reason.lines; });
  require(report.records == taken + dropped);
}

void read_as_interactions(const std::string& path) {
  attune::LoadReport report;
  const auto log = attune::read_interactions(path, {.bad_value = attune::BadValue::skip}, &report);
  require(report.interactions == log.size());
  check(report, log.size());
}

// Whatever the table is about: a record of JSON has a field for each column, and of Latin-1 the bytes of UTF-8.
void read_as_table(const std::string& path, attune::Encoding encoding) {
  attune::DelimitedReader reader(path, {.bad_value = attune::BadValue::skip, .encoding = encoding});
  const bool json = reader.report().form == "json_lines";
  std::size_t records = 0;
  for (std::vector<std::string_view> fields; reader.next(fields); ++records) {
    require(!json || fields.size() == reader.columns().size());
    for (const std::string_view field : fields) {
      require(encoding == attune::Encoding::utf_8 || attune::detail::is_utf8(field));
    }
  }
  check(reader.report(), records);
}

template <class Read>
void attempt(Read&& read) {
  try {
    read();
  } catch (const attune::Error&) {
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::string path =
      (std::filesystem::temp_directory_path() / ("attune_fuzz_" + std::to_string(::getpid()))).string();
  std::ofstream(path, std::ios::binary).write(reinterpret_cast<const char*>(data), static_cast<std::streamsize>(size));
  attempt([] { read_as_interactions(path); });
  for (const auto encoding : {attune::Encoding::utf_8, attune::Encoding::latin_1}) {
    attempt([=] { read_as_table(path, encoding); });
  }
  return 0;
}
