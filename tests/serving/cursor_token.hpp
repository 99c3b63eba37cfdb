// SPDX-License-Identifier: Apache-2.0
#pragma once

// Tokens of any content with the sum that belongs to it, so that the checks behind the sum are reached.

#include <cstdint>
#include <string>

#include "data/sum64.hpp"

namespace attune::test {

inline std::string sealed_token(std::string bytes) {
  const std::uint64_t sum = detail::sum64_of(std::as_bytes(std::span(bytes.data(), bytes.size())));
  for (unsigned i = 0; i < 4; ++i) bytes += static_cast<char>(sum >> 8 * i & 0xFF);
  std::string token, bits;
  for (const char byte : bytes) {
    for (unsigned i = 8; i-- > 0;) bits += (static_cast<unsigned char>(byte) >> i & 1) != 0 ? '1' : '0';
  }
  while (bits.size() % 6 != 0) bits += '0';
  for (std::size_t i = 0; i < bits.size(); i += 6) {
    std::size_t value = 0;
    for (std::size_t j = 0; j < 6; ++j) value = 2 * value + (bits[i + j] == '1');
    token += "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"[value];
  }
  return token;
}

}  // namespace attune::test
