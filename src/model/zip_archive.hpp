// SPDX-License-Identifier: Apache-2.0
#pragma once

// As much of zip as .npz files have: members that are stored or deflated, none of them encrypted or beyond 4 GiB.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "attune/version.hpp"

namespace attune::inline v0_1::detail {

class ZipArchive {
 public:
  struct Member {
    std::string_view name;
    unsigned method;
    std::uint32_t checksum;
    std::size_t packed, size, header;  // bytes, bytes unpacked, where its local header begins
  };

  // Reads the directory. Bytes and `file`, which is for messages, must outlive the archive. Throws Error: corrupt_file,
  // unsupported.
  ZipArchive(std::span<const std::byte> bytes, const std::string& file);

  const std::vector<Member>& members() const noexcept { return members_; }
  // Takes memory in proportion to the member's packed bytes, as far as these can be unpacked.
  std::vector<std::byte> unpack(const Member& member) const;

 private:
  // At a place, or an error.
  template <class Number>
  Number number(std::size_t at) const;
  std::span<const std::byte> part(std::size_t at, std::size_t size) const;
  std::size_t find_end() const;
  std::vector<std::byte> inflate(std::span<const std::byte> packed, std::size_t size) const;
  [[noreturn]] void fail(const std::string& what) const;

  std::span<const std::byte> bytes_;
  const std::string& file_;
  std::vector<Member> members_;
};

}  // namespace attune::inline v0_1::detail
