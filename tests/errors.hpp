// SPDX-License-Identifier: Apache-2.0
#pragma once

// What calls throw.

#include <optional>
#include <string>

#include "attune/error.hpp"
#include "catch.hpp"

namespace attune::test {

template <class Call>
std::optional<Error> error_of(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error;
  }
  return std::nullopt;
}

// Of a call that has to throw.
template <class Call>
ErrorCode code_of(Call&& call, std::string* message = nullptr) {
  const std::optional<Error> error = error_of(call);
  if (!error) FAIL("expected an error");
  if (message) *message = error->what();
  return error->code();
}

// The message of which has to contain `part`.
template <class Call>
ErrorCode code_of(Call&& call, const std::string& part) {
  std::string message;
  const ErrorCode code = code_of(call, &message);
  INFO(message);
  CHECK(message.find(part) != std::string::npos);
  return code;
}

}  // namespace attune::test
