// SPDX-License-Identifier: Apache-2.0
#pragma once

// What ends a fuzzer with a finding.

#include "attune/error.hpp"

namespace attune::test {

inline void require(bool holds) {
  if (!holds) __builtin_trap();
}

// True where the call goes through. Otherwise it has to refuse, with `refusal` or as of a newer version.
template <class Call>
bool accepted(Call&& call, ErrorCode refusal = ErrorCode::invalid_data) {
  try {
    call();
    return true;
  } catch (const Error& error) {
    require(error.code() == refusal || error.code() == ErrorCode::unsupported_version);
    return false;
  }
}

}  // namespace attune::test
