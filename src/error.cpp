// SPDX-License-Identifier: Apache-2.0
#include "attune/error.hpp"

namespace attune::inline v0_1 {

const char* to_string(ErrorCode code) noexcept {
  switch (code) {
    case ErrorCode::invalid_argument: return "invalid_argument";
    case ErrorCode::invalid_config: return "invalid_config";
    case ErrorCode::invalid_data: return "invalid_data";
    case ErrorCode::io_error: return "io_error";
    case ErrorCode::corrupt_file: return "corrupt_file";
    case ErrorCode::unsupported_version: return "unsupported_version";
    case ErrorCode::unsupported: return "unsupported";
    case ErrorCode::non_finite: return "non_finite";
    case ErrorCode::limit_exceeded: return "limit_exceeded";
    case ErrorCode::cancelled: return "cancelled";
  }
  return "unknown";
}

}  // namespace attune::inline v0_1
