// SPDX-License-Identifier: Apache-2.0
#pragma once

// Reads the bytes of a file from front to back. What does not fit is Error(corrupt_file) with the name of the file.

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "attune/error.hpp"
#include "data/little_endian.hpp"

namespace attune::inline v0_1::detail {

class ByteReader {
 public:
  // Keeps a reference to `name`.
  ByteReader(std::span<const std::byte> bytes, const std::string& name) : bytes_(bytes), name_(name) {}

  std::size_t left() const noexcept { return bytes_.size(); }
  std::span<const std::byte> take(std::uint64_t size) {
    if (size > bytes_.size()) {
      fail("expected " + std::to_string(size) + " more bytes, found " + std::to_string(bytes_.size()));
    }
    const auto taken = bytes_.first(size);
    bytes_ = bytes_.subspan(size);
    return taken;
  }
  std::span<const std::byte> rest() { return take(left()); }

  template <class Number>
  Number number() {
    return load_number<Number>(take(sizeof(Number)).data());
  }
  template <class Number>
  std::vector<Number> array(std::uint64_t count) {
    if (count > left() / sizeof(Number)) {
      fail("expected " + std::to_string(count) + " numbers, found " + std::to_string(left()) + " bytes");
    }
    std::vector<Number> numbers(count);
    const auto data = take(count * sizeof(Number));
    if (count > 0) std::memcpy(numbers.data(), data.data(), data.size());
    return numbers;
  }
  // Valid as long as the bytes are.
  std::string_view text(std::uint64_t size) {
    const auto data = take(size);
    return {reinterpret_cast<const char*>(data.data()), data.size()};
  }

  void require(bool holds, const std::string& problem) const {
    if (!holds) fail(problem);
  }
  [[noreturn]] void fail(const std::string& problem) const {
    throw Error(ErrorCode::corrupt_file, name_ + ": " + problem);
  }

 private:
  std::span<const std::byte> bytes_;
  const std::string& name_;
};

}  // namespace attune::inline v0_1::detail
