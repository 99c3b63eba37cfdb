// SPDX-License-Identifier: Apache-2.0
#include "model/sum64.hpp"

#include <array>
#include <cstring>

namespace attune::inline v0_1::detail {
namespace {

constexpr std::size_t kChains = 8;
constexpr std::uint64_t kOdd = 0x9E3779B97F4A7C15u;

// A bijection of both of its arguments.
constexpr std::uint64_t step(std::uint64_t chain, std::uint64_t word) noexcept {
  chain = (chain ^ word) * kOdd;
  return chain ^ (chain >> 32);
}

}  // namespace

std::uint64_t sum64_of(std::span<const std::byte> bytes) noexcept {
  using Words = std::array<std::uint64_t, kChains>;
  Words chains, words;
  for (std::size_t i = 0; i < kChains; ++i) chains[i] = i * kOdd;
  std::size_t done = 0;
  for (; bytes.size() - done >= sizeof(Words); done += sizeof(Words)) {
    std::memcpy(&words, bytes.data() + done, sizeof(Words));
    for (std::size_t i = 0; i < kChains; ++i) chains[i] = step(chains[i], words[i]);
  }
  words.fill(0);
  if (done < bytes.size()) std::memcpy(&words, bytes.data() + done, bytes.size() - done);
  for (std::size_t i = 0; i < kChains; ++i) chains[i] = step(chains[i], words[i]);
  std::uint64_t sum = step(bytes.size(), 0);
  for (const std::uint64_t chain : chains) sum = step(sum, chain);
  return sum;
}

}  // namespace attune::inline v0_1::detail
