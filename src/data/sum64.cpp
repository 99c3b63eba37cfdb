// SPDX-License-Identifier: Apache-2.0
#include "data/sum64.hpp"

#include <algorithm>
#include <cstring>

namespace attune::inline v0_1::detail {
namespace {

constexpr std::uint64_t kOdd = 0x9E3779B97F4A7C15u;

// A bijection of both of its arguments.
constexpr std::uint64_t step(std::uint64_t chain, std::uint64_t word) noexcept {
  chain = (chain ^ word) * kOdd;
  return chain ^ (chain >> 32);
}

}  // namespace

std::uint64_t sum64_of(std::span<const std::byte> bytes) noexcept {
  Sum64 sum;
  sum.add(bytes);
  return sum.value();
}

Sum64::Sum64() noexcept {
  for (std::size_t i = 0; i < chains_.size(); ++i) chains_[i] = i * kOdd;
}

void Sum64::step_all(const Words& words) noexcept {
  for (std::size_t i = 0; i < chains_.size(); ++i) chains_[i] = step(chains_[i], words[i]);
}

void Sum64::add(std::span<const std::byte> bytes) noexcept {
  Words words;
  const std::size_t begun = size_ % sizeof(Words);
  size_ += bytes.size();
  if (begun != 0) {
    const std::size_t taken = std::min(bytes.size(), sizeof(Words) - begun);
    std::copy_n(bytes.begin(), taken, rest_.begin() + begun);
    bytes = bytes.subspan(taken);
    if (begun + taken < sizeof(Words)) return;
    std::memcpy(&words, rest_.data(), sizeof(Words));
    step_all(words);
    rest_.fill(std::byte{0});
  }
  const std::size_t whole = bytes.size() / sizeof(Words) * sizeof(Words);
  // In registers: members would be stored in every step.
  Words chains = chains_;
  for (std::size_t done = 0; done < whole; done += sizeof(Words)) {
    std::memcpy(&words, bytes.data() + done, sizeof(Words));
    for (std::size_t i = 0; i < chains.size(); ++i) chains[i] = step(chains[i], words[i]);
  }
  chains_ = chains;
  std::ranges::copy(bytes.subspan(whole), rest_.begin());
}

std::uint64_t Sum64::value() const noexcept {
  Sum64 last = *this;
  Words words;
  std::memcpy(&words, rest_.data(), sizeof(Words));
  last.step_all(words);
  std::uint64_t sum = step(size_, 0);
  for (const std::uint64_t chain : last.chains_) sum = step(sum, chain);
  return sum;
}

std::string hex_of(std::uint64_t sum64) {
  std::string text(16, '0');
  for (std::size_t i = 0; i < 16; ++i) text[i] = "0123456789abcdef"[sum64 >> (60 - 4 * i) & 0xF];
  return text;
}

}  // namespace attune::inline v0_1::detail
