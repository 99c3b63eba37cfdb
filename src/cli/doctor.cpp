// SPDX-License-Identifier: Apache-2.0

// attune doctor: what a report of a problem should begin with.

#include <algorithm>
#include <nlohmann/json.hpp>
#include <ostream>
#include <thread>

#include "attune/model/checkpoint.hpp"
#include "attune/version.hpp"
#include "cli/build.hpp"
#include "cli/input.hpp"
#include "cli/verbs.hpp"
#include "kernels/levels.hpp"

namespace attune::cli {
namespace {

#if defined(ATTUNE_WITH_SQLITE)
constexpr bool kWithSqlite = true;
#else
constexpr bool kWithSqlite = false;
#endif
#if defined(ATTUNE_WITH_REDIS)
constexpr bool kWithRedis = true;
#else
constexpr bool kWithRedis = false;
#endif
#if defined(ATTUNE_WITH_SODIUM)
constexpr bool kWithSodium = true;
#else
constexpr bool kWithSodium = false;
#endif
#if defined(ATTUNE_WITH_GMP)
constexpr bool kWithGmp = true;
#else
constexpr bool kWithGmp = false;
#endif

#if defined(ATTUNE_WITH_MPI)
constexpr bool kWithMpi = true;
#else
constexpr bool kWithMpi = false;
#endif

void print_build(std::ostream& out, const Json& result) {
  out << "attune " << result["version"].get<std::string>() << ", built with "
      << result["build"]["compiler"].get<std::string>() << '\n';
  std::vector<std::vector<std::string>> rows{{"instruction set", "compiled", "supported here", "active"}};
  const Json& simd = result["simd"];
  const auto mark = [](bool yes) { return yes ? "yes" : "-"; };
  for (const Json& level : simd["compiled"]) {
    const bool supported = std::count(simd["supported"].begin(), simd["supported"].end(), level) != 0;
    rows.push_back({level, mark(true), mark(supported), mark(level == simd["active"])});
  }
  print_table(out, rows, "l");
  for (const auto& [part, here] : result["parts"].items()) {
    out << "  " << part << ": " << (here.get<bool>() ? "built in" : "not built in") << '\n';
  }
  out << "  processors: " << result["build"]["processors"] << ", model format " << result["build"]["model_format"]
      << '\n';
}

}  // namespace

void run(const DoctorOptions& options, Console& console) {
  check_config(options.common);
  const Json result{
      {"version", version()},
      {"build",
       {{"compiler", compiler()},
        {"processors", std::thread::hardware_concurrency()},
        {"model_format", kModelFormatVersion}}},
      {"simd",
       {{"active", simd_level()}, {"compiled", detail::compiled_levels()}, {"supported", detail::supported_levels()}}},
      {"parts",
       {{"gzip", true},
        {"xz", true},
        {"sqlite", kWithSqlite},
        {"redis", kWithRedis},
        {"sodium", kWithSodium},
        {"gmp", kWithGmp},
        {"mpi", kWithMpi}}}};
  if (console.json()) return console.object(result);
  print_build(console.text(), result);
}

}  // namespace attune::cli
