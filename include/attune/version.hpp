// SPDX-License-Identifier: Apache-2.0
#pragma once

// Version of the library and of its binary interface. CMake reads the three numbers from here.

#define ATTUNE_VERSION_MAJOR 0
#define ATTUNE_VERSION_MINOR 1
#define ATTUNE_VERSION_PATCH 0

#if defined(_WIN32) && defined(ATTUNE_SHARED)
#if defined(ATTUNE_BUILDING)
#define ATTUNE_EXPORT __declspec(dllexport)
#else
#define ATTUNE_EXPORT __declspec(dllimport)
#endif
#elif defined(__GNUC__)
#define ATTUNE_EXPORT __attribute__((visibility("default")))
#else
#define ATTUNE_EXPORT
#endif

namespace attune::inline v0_1 {

// "0.1.0", of the compiled library (not of the headers a host was built with).
ATTUNE_EXPORT const char* version() noexcept;

// The active instruction-set level: "scalar", "avx2", "avx512", "avx512vnni" or "amx", "neon" on aarch64. Chosen once
// per process; ATTUNE_SIMD in the environment forces one. Throws Error(unsupported) when that names a level this build
// or this CPU lacks.
ATTUNE_EXPORT const char* simd_level();

}  // namespace attune::inline v0_1
