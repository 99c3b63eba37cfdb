// SPDX-License-Identifier: Apache-2.0
#include <array>
#include <cstddef>
#include <cstdlib>
#include <string>

#include "attune/detail/kernels.hpp"
#include "attune/error.hpp"
#include "kernels/cpu.hpp"
#include "kernels/families.hpp"
#include "kernels/levels.hpp"

namespace attune::inline v0_1::detail {
namespace {

struct Level {
  const char* name;
  const char* needs;  // of the CPU and the operating system
  bool (*runs_on)(const CpuFeatures& features);
  std::array<Fill*, 7> families;  // what it replaces of the level before it; none where not compiled for this platform
  bool (*granted)() = nullptr;    // asks the operating system for what it does not give unasked
};

constexpr bool on_every_cpu(const CpuFeatures&) { return true; }

// Slowest first. Each of a platform's levels asks for all that those before it do; what needs another platform is known
// by name alone.
constexpr Level kLevels[] = {
    {"scalar",
     "nothing",
     on_every_cpu,
     {scalar::fill_matmul, scalar::fill_attention, scalar::fill_rows, scalar::fill_elementwise, scalar::fill_scoring,
      scalar::fill_bounds, scalar::fill_softmax_table}},
#if ATTUNE_X86_KERNELS
    {"avx2",
     "AVX2, FMA and F16C",
     [](const CpuFeatures& features) { return features.has_avx2(); },
     {avx2::fill_matmul, avx2::fill_attention, avx2::fill_rows, avx2::fill_elementwise, avx2::fill_scoring,
      avx2::fill_bounds, avx2::fill_softmax_table}},
    {"avx512",
     "AVX-512 F, BW, DQ and VL",
     [](const CpuFeatures& features) { return features.has_avx512(); },
     {avx512::fill_matmul, avx512::fill_attention, avx512::fill_rows, avx512::fill_elementwise, avx512::fill_scoring,
      avx512::fill_bounds, avx512::fill_softmax_table}},
    {"avx512vnni",
     "AVX-512 VNNI and BF16",
     [](const CpuFeatures& features) { return features.has_avx512vnni(); },
     {avx512vnni::fill_matmul, avx512vnni::fill_bounds, avx512vnni::fill_softmax_table}},
    {"amx",
     "AMX-TILE, AMX-BF16 and AMX-INT8 with the kernel's permission, or AVX-512 VNNI and BF16",
     [](const CpuFeatures& features) { return features.has_amx(); },
     {amx::fill_matmul, amx::fill_bounds, amx::fill_softmax_table},
     tiles_granted},
#else
    {"avx2", "x86-64", nullptr, {}},
    {"avx512", "x86-64", nullptr, {}},
    {"avx512vnni", "x86-64", nullptr, {}},
    {"amx", "x86-64", nullptr, {}},
#endif
#if ATTUNE_NEON_KERNELS
    {"neon",
     "nothing",
     on_every_cpu,
     {neon::fill_matmul, neon::fill_attention, neon::fill_rows, neon::fill_elementwise, neon::fill_scoring,
      neon::fill_bounds, neon::fill_softmax_table}},
#else
    {"neon", "aarch64", nullptr, {}},
#endif
};
constexpr std::size_t kNumLevels = std::size(kLevels);

bool compiled(const Level& level) { return level.families[0] != nullptr; }
bool fits_the_cpu(const Level& level) { return compiled(level) && level.runs_on(cpu_features()); }
bool supported(const Level& level) { return fits_the_cpu(level) && (level.granted == nullptr || level.granted()); }

// One table per level, empty where it does not fit the CPU. Asks for nothing.
const std::array<KernelTable<float>, kNumLevels>& tables() {
  static const auto all = [] {
    std::array<KernelTable<float>, kNumLevels> made{};
    KernelTable<float> table{};
    for (std::size_t i = 0; i < kNumLevels; ++i) {
      if (!fits_the_cpu(kLevels[i])) continue;
      table.level = kLevels[i].name;
      for (Fill* fill : kLevels[i].families) {
        if (fill) fill(table);
      }
      made[i] = table;
    }
    return made;
  }();
  return all;
}

std::vector<std::string_view> names_of(bool (*wanted)(const Level&)) {
  std::vector<std::string_view> names;
  for (const Level& level : kLevels) {
    if (wanted(level)) names.push_back(level.name);
  }
  return names;
}

}  // namespace

std::vector<std::string_view> compiled_levels() { return names_of(compiled); }
std::vector<std::string_view> supported_levels() { return names_of(supported); }

const KernelTable<float>& kernels_of_level(std::string_view name) {
  std::string known;
  for (std::size_t i = 0; i < kNumLevels; ++i) {
    const Level& level = kLevels[i];
    known += (i == 0 ? "" : ", ") + std::string(level.name);
    if (name != level.name) continue;
    if (supported(level)) return tables()[i];
    throw Error(ErrorCode::unsupported, "ATTUNE_SIMD=" + std::string(name) + ": this " +
                                            (compiled(level) ? "CPU" : "build") + " lacks " + level.needs);
  }
  throw Error(ErrorCode::invalid_argument, "ATTUNE_SIMD=" + std::string(name) + ": expected one of " + known);
}

const KernelTable<float>& float_kernels() {
  static const KernelTable<float>& active = []() -> const KernelTable<float>& {
    const char* forced = std::getenv("ATTUNE_SIMD");
    return kernels_of_level(forced && *forced ? std::string_view(forced) : supported_levels().back());
  }();
  return active;
}

}  // namespace attune::inline v0_1::detail
