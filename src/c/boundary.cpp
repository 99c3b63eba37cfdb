// SPDX-License-Identifier: Apache-2.0
#include "c/boundary.hpp"

#include <cstdlib>

#include "attune/version.hpp"
#include "data/json_object.hpp"
#include "data/text.hpp"

namespace attune::c {
namespace {

// Of plain memory: setting it cannot fail, and a thread that ends has nothing to free.
thread_local char last_error[1024] = "";

}  // namespace

attune_status failed(attune_status status, std::string_view message) noexcept {
  std::size_t size = std::min(message.size(), sizeof last_error - 1);
  if (size < message.size()) {
    while (size > 0 && (static_cast<unsigned char>(message[size]) & 0xC0) == 0x80) --size;
  }
  std::copy_n(message.begin(), size, last_error);
  last_error[size] = '\0';
  return status;
}

attune_status status_of(ErrorCode code) noexcept {
  static_assert(static_cast<int>(ErrorCode::invalid_argument) + 1 == ATTUNE_INVALID_ARGUMENT);
  static_assert(static_cast<int>(ErrorCode::cancelled) + 1 == ATTUNE_CANCELLED);
  return static_cast<attune_status>(static_cast<int>(code) + 1);
}

void hand_over(std::string_view text, char** to) {
  auto* const copy = static_cast<char*>(std::malloc(text.size() + 1));
  if (copy == nullptr) throw std::bad_alloc();
  std::copy(text.begin(), text.end(), copy);
  copy[text.size()] = '\0';
  *to = copy;
}

Json object_of(const char* text, const char* name) {
  return detail::parse_object(text, name, ErrorCode::invalid_argument);
}

void refuse(const std::string& where, const std::string& expected, const Json& found) {
  throw Error(ErrorCode::invalid_argument,
              where + ": expected " + expected + ", found " + detail::in_quotes(text_of(found), '\''));
}

std::string text_of(const Json& json) { return json.dump(-1, ' ', false, Json::error_handler_t::replace); }

}  // namespace attune::c

const char* attune_version(void) { return attune::version(); }

uint32_t attune_abi_version(void) { return ATTUNE_ABI_VERSION; }

attune_status attune_simd_level(const char** level) {
  return attune::c::guarded([&] { *attune::c::required(level, "level") = attune::simd_level(); });
}

const char* attune_last_error(void) { return attune::c::last_error; }

const char* attune_status_name(int status) {
  if (status >= ATTUNE_INVALID_ARGUMENT && status <= ATTUNE_CANCELLED) {
    return attune::to_string(static_cast<attune::ErrorCode>(status - 1));
  }
  switch (status) {
    case ATTUNE_OK: return "ok";
    case ATTUNE_BUFFER_TOO_SMALL: return "buffer_too_small";
    case ATTUNE_OUT_OF_MEMORY: return "out_of_memory";
    case ATTUNE_INTERNAL_ERROR: return "internal_error";
    default: return "unknown";
  }
}

void attune_free(char* text) { std::free(text); }
