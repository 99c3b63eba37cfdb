// SPDX-License-Identifier: Apache-2.0
#include "attune/version.hpp"

#include "attune/detail/kernels.hpp"

#define ATTUNE_TEXT_OF(x) #x
#define ATTUNE_TEXT(x) ATTUNE_TEXT_OF(x)

namespace attune::inline v0_1 {

const char* version() noexcept {
  return ATTUNE_TEXT(ATTUNE_VERSION_MAJOR) "." ATTUNE_TEXT(ATTUNE_VERSION_MINOR) "." ATTUNE_TEXT(ATTUNE_VERSION_PATCH);
}

const char* simd_level() { return detail::float_kernels().level; }

}  // namespace attune::inline v0_1
