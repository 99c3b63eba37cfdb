// SPDX-License-Identifier: Apache-2.0
#include "attune/serving/experiment.hpp"

#include <algorithm>
#include <cmath>
#include <string>

#include "attune/error.hpp"

namespace attune::inline v0_1 {
namespace {

// FNV-1a, 64 bits, going on from `hash`.
std::uint64_t hashed(std::uint64_t hash, std::string_view bytes) noexcept {
  for (const char byte : bytes) hash = (hash ^ static_cast<unsigned char>(byte)) * 0x100000001b3u;
  return hash;
}

// FNV-1a leaves the high bits of short texts alike; the finalizer of MurmurHash3 spreads them.
std::uint64_t spread(std::uint64_t hash) noexcept {
  hash = (hash ^ (hash >> 33)) * 0xff51afd7ed558ccdu;
  hash = (hash ^ (hash >> 33)) * 0xc4ceb9fe1a85ec53u;
  return hash ^ (hash >> 33);
}

}  // namespace

Experiment::Experiment(std::string_view name, std::span<const double> shares)
    : seed_(spread(hashed(0xcbf29ce484222325u, name))) {
  double sum = 0;
  for (std::size_t i = 0; i < shares.size(); ++i) {
    if (!(shares[i] >= 0) || !std::isfinite(shares[i])) {
      throw Error(ErrorCode::invalid_argument, "experiment \"" + std::string(name) + "\": share " + std::to_string(i) +
                                                   " must be at least 0 and finite, found " +
                                                   std::to_string(shares[i]));
    }
    bounds_.push_back(sum += shares[i]);
  }
  if (!(sum > 0) || !std::isfinite(sum)) {
    throw Error(
        ErrorCode::invalid_argument,
        "experiment \"" + std::string(name) + "\": the shares must have a positive sum, found " + std::to_string(sum));
  }
  for (double& bound : bounds_) bound /= sum;
}

std::size_t Experiment::arm(const Id& user) const noexcept {
  if (user.empty()) return 0;
  std::uint64_t hash = hashed(seed_, user.is_text() ? "t" : "n");
  if (user.is_text()) {
    hash = hashed(hash, user.text());
  } else {
    const auto number = static_cast<std::uint64_t>(user.number());
    for (int shift = 0; shift < 64; shift += 8) {
      const auto byte = static_cast<char>(number >> shift & 0xff);
      hash = hashed(hash, {&byte, 1});
    }
  }
  const double place = static_cast<double>(spread(hash) >> 11) * 0x1p-53;  // [0, 1)
  const auto arm = std::upper_bound(bounds_.begin(), bounds_.end() - 1, place);
  return static_cast<std::size_t>(arm - bounds_.begin());
}

}  // namespace attune::inline v0_1
