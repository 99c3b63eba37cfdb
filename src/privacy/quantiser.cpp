// SPDX-License-Identifier: Apache-2.0
#include "attune/privacy/quantiser.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <string>

#include "attune/detail/dropout.hpp"
#include "attune/error.hpp"

namespace attune::inline v0_1 {
namespace {

constexpr std::uint64_t kMostOfClient = std::uint64_t{1} << 52, kMostOfSum = std::uint64_t{1} << 62;

[[noreturn]] void refuse(const std::string& problem) {
  throw Error(ErrorCode::invalid_config, "QuantiserOptions::" + problem);
}

}  // namespace

Quantiser::Quantiser(QuantiserOptions options) : options_(options) {
  const auto& [clip, value_bits, max_weight, max_clients] = options_;
  if (!(clip > 0) || !std::isfinite(clip))
    refuse("clip: expected a finite number above 0, found " + std::to_string(clip));
  if (value_bits < 2 || value_bits > 32) {
    refuse("value_bits: expected 2 to 32, found " + std::to_string(value_bits));
  }
  const std::uint64_t largest = std::uint64_t{1} << (value_bits - 1);
  if (max_weight == 0 || max_weight > kMostOfClient / largest) {
    refuse("max_weight: expected 1 to " + std::to_string(kMostOfClient / largest) + " with " +
           std::to_string(value_bits) + " value_bits, found " + std::to_string(max_weight));
  }
  const std::uint64_t of_client = largest * max_weight;
  if (max_clients == 0 || max_clients > kMostOfSum / of_client) {
    refuse("max_clients: expected 1 to " + std::to_string(kMostOfSum / of_client) +
           " with such values and weights, found " + std::to_string(max_clients));
  }
  step_ = clip / static_cast<double>(largest);
  max_magnitude_ = static_cast<std::int64_t>(of_client);
  max_sum_ = static_cast<std::int64_t>(of_client * max_clients);
  sum_bits_ = static_cast<unsigned>(std::bit_width(static_cast<std::uint64_t>(max_sum_))) + 1;
}

std::vector<std::int64_t> Quantiser::encode(std::span<const float> values, std::uint64_t weight,
                                            std::uint64_t seed) const {
  if (weight == 0 || weight > options_.max_weight) {
    throw Error(ErrorCode::invalid_argument, "quantiser: expected a weight of 1 to " +
                                                 std::to_string(options_.max_weight) + ", found " +
                                                 std::to_string(weight));
  }
  const double steps = static_cast<double>(weight) / step_;
  const double largest = static_cast<double>(weight) * std::ldexp(1.0, static_cast<int>(options_.value_bits) - 1);
  std::vector<std::int64_t> integers;
  integers.reserve(values.size() + 1);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (!std::isfinite(values[i])) {
      throw Error(ErrorCode::non_finite,
                  "quantiser: expected finite values, found one that is not at " + std::to_string(i));
    }
    const double exact = std::clamp(static_cast<double>(values[i]) * steps, -largest, largest),
                 below = std::floor(exact);
    const std::uint64_t drawn = detail::stream_of(seed, detail::Purpose::rounding, i) >> 11;
    const bool up = static_cast<double>(drawn) * 0x1p-53 < exact - below;
    integers.push_back(static_cast<std::int64_t>(below) + up);
  }
  integers.push_back(static_cast<std::int64_t>(weight));
  return integers;
}

std::vector<float> Quantiser::mean(std::span<const std::int64_t> sums) const {
  const auto require = [](bool holds, const char* problem) {
    if (!holds) throw Error(ErrorCode::invalid_argument, std::string("quantiser: expected ") + problem);
  };
  require(!sums.empty(), "sums with the sum of weights last, found none");
  const std::int64_t weight = sums.back();
  require(weight > 0, "a sum of weights above 0");
  require(static_cast<double>(weight) <=
              static_cast<double>(options_.max_weight) * static_cast<double>(options_.max_clients),
          "a sum of weights that max_clients clients can have");
  std::vector<float> means;
  means.reserve(sums.size() - 1);
  for (const std::int64_t sum : sums.first(sums.size() - 1)) {
    require(sum >= -max_sum_ && sum <= max_sum_, "sums that max_clients clients can have");
    means.push_back(static_cast<float>(step_ * static_cast<double>(sum) / static_cast<double>(weight)));
  }
  return means;
}

}  // namespace attune::inline v0_1
