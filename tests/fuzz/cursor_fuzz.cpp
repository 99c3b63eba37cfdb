// SPDX-License-Identifier: Apache-2.0
#include <cstdint>
#include <string>

#include "attune/error.hpp"
#include "attune/serving/cursor.hpp"
#include "serving/cursor_token.hpp"

namespace {

// Whatever is a token comes back as it was, and so does the token of what follows it.
void read(const std::string& token) {
  using attune::Cursor;
  using attune::ErrorCode;
  try {
    Cursor cursor = Cursor::from_token(token);
    if (cursor.token() != token || cursor.shown().size() != cursor.num_shown()) __builtin_trap();
    cursor.advance(7);
    cursor.add("next");
    if (Cursor::from_token(cursor.token()).shown() != cursor.shown()) __builtin_trap();
  } catch (const attune::Error& error) {
    if (error.code() != ErrorCode::invalid_argument && error.code() != ErrorCode::unsupported_version) __builtin_trap();
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string bytes(reinterpret_cast<const char*>(data), size);
  read(bytes);
  read(attune::test::sealed_token(bytes));
  return 0;
}
