// SPDX-License-Identifier: Apache-2.0
#pragma once

// Bytes that lie in a mapped file and are compared with their checksums when they are first touched: nothing damaged is
// ever used. Safe from any number of threads; a block that was good once is not looked at again.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "attune/version.hpp"

namespace attune::inline v0_1::detail {

class ATTUNE_EXPORT CheckedBlocks {
 public:
  static constexpr std::size_t kBlockBytes = 4096;

  // `sums` has one number per block, the last of which may be shorter. Both must stay valid, which is what `owner` is
  // for. `name` is for messages.
  CheckedBlocks(std::span<const std::byte> bytes, std::span<const std::uint64_t> sums,
                std::shared_ptr<const void> owner, std::string name);
  static std::vector<std::uint64_t> sums_of(std::span<const std::byte> bytes);

  std::span<const std::byte> bytes() const noexcept { return bytes_; }
  // These bytes hold floats, aligned, and none but finite ones are good: what was required of them is forgotten.
  // Precondition: nobody else uses the blocks yet.
  void expect_finite(std::size_t begin, std::size_t end) noexcept;
  // Precondition: the bytes are there. Throws Error: corrupt_file for a block with another checksum, non_finite.
  void require(std::size_t begin, std::size_t size) const;

 private:
  void check(std::size_t block) const;

  std::span<const std::byte> bytes_;
  std::span<const std::uint64_t> sums_;
  std::shared_ptr<const void> owner_;
  std::string name_;
  std::size_t finite_begin_ = 0, finite_end_ = 0;
  mutable std::vector<std::uint64_t> good_;  // a bit per block; words are atomic
};

}  // namespace attune::inline v0_1::detail
