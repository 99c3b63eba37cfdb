// SPDX-License-Identifier: Apache-2.0
#pragma once

// The one exception of the library. It is thrown while loading, saving, configuring and training, never while serving:
// there an unknown user, an unknown item or an empty history has a defined answer.

#include <stdexcept>
#include <string>

#include "attune/version.hpp"

namespace attune::inline v0_1 {

enum class ErrorCode {
  invalid_argument,     // a value passed by the caller
  invalid_config,       // a hyper-parameter, option or configuration file
  invalid_data,         // the content of an interaction or item file
  io_error,             // the operating system refused: missing file, permission, disk full
  corrupt_file,         // a file of ours (or a safetensors file) is damaged or malformed
  unsupported_version,  // written by a newer attune
  unsupported,          // well-formed, but this build cannot do it
  non_finite,           // a weight, loss or gradient is NaN or infinite
  limit_exceeded,       // a documented limit, stated in the message
  cancelled,            // the progress callback asked to stop before anything usable existed
};

ATTUNE_EXPORT const char* to_string(ErrorCode code) noexcept;

// what() names the file, line or field, what was expected and what was found. User ids never appear in it.
class ATTUNE_EXPORT Error : public std::runtime_error {
 public:
  Error(ErrorCode code, const std::string& message) : std::runtime_error(message), code_(code) {}
  ErrorCode code() const noexcept { return code_; }

 private:
  ErrorCode code_;
};

}  // namespace attune::inline v0_1
