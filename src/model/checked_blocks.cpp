// SPDX-License-Identifier: Apache-2.0
#include "attune/detail/checked_blocks.hpp"

#include <algorithm>
#include <atomic>
#include <cassert>
#include <cmath>
#include <utility>

#include "attune/error.hpp"
#include "data/little_endian.hpp"
#include "data/sum64.hpp"

namespace attune::inline v0_1::detail {

CheckedBlocks::CheckedBlocks(std::span<const std::byte> bytes, std::span<const std::uint64_t> sums,
                             std::shared_ptr<const void> owner, std::string name)
    : bytes_(bytes), sums_(sums), owner_(std::move(owner)), name_(std::move(name)), good_((sums.size() + 63) / 64) {
  assert(sums.size() == (bytes.size() + kBlockBytes - 1) / kBlockBytes);
}

std::vector<std::uint64_t> CheckedBlocks::sums_of(std::span<const std::byte> bytes) {
  std::vector<std::uint64_t> sums;
  for (std::size_t begin = 0; begin < bytes.size(); begin += kBlockBytes) {
    sums.push_back(sum64_of(bytes.subspan(begin, std::min(kBlockBytes, bytes.size() - begin))));
  }
  return sums;
}

void CheckedBlocks::expect_finite(std::size_t begin, std::size_t end) noexcept {
  finite_begin_ = begin;
  finite_end_ = end;
  for (std::size_t block = begin / kBlockBytes; block * kBlockBytes < end; ++block) {
    good_[block / 64] &= ~(std::uint64_t{1} << (block % 64));
  }
}

void CheckedBlocks::require(std::size_t begin, std::size_t size) const {
  if (size == 0) return;
  for (std::size_t block = begin / kBlockBytes; block <= (begin + size - 1) / kBlockBytes; ++block) {
    const std::atomic_ref word(good_[block / 64]);
    if ((word.load(std::memory_order_relaxed) >> (block % 64) & 1u) == 0) check(block);
  }
}

void CheckedBlocks::check(std::size_t block) const {
  const std::size_t begin = block * kBlockBytes, end = std::min(begin + kBlockBytes, bytes_.size());
  if (sum64_of(bytes_.subspan(begin, end - begin)) != sums_[block]) {
    throw Error(ErrorCode::corrupt_file, name_ + ": bytes " + std::to_string(begin) + " to " + std::to_string(end) +
                                             " have another checksum than the model directory says");
  }
  for (std::size_t at = std::max(begin, finite_begin_); at < std::min(end, finite_end_); at += sizeof(float)) {
    if (std::isfinite(load_number<float>(bytes_.data() + at))) continue;
    throw Error(ErrorCode::non_finite, name_ + ": the number at byte " + std::to_string(at) + " is NaN or infinite");
  }
  std::atomic_ref(good_[block / 64]).fetch_or(std::uint64_t{1} << (block % 64), std::memory_order_relaxed);
}

}  // namespace attune::inline v0_1::detail
