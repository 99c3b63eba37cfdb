// SPDX-License-Identifier: Apache-2.0
#include "model/spherical_k_means.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "attune/detail/dropout.hpp"
#include "attune/detail/kernels.hpp"
#include "attune/model/workspace.hpp"

namespace attune::inline v0_1 {
namespace {

constexpr std::size_t kRounds = 8;
constexpr std::size_t kRowsPerCentroid = 64;  // of the sample

// Different scorable rows in the order of a hash, normalised: [n][stride].
std::vector<float> draw_sample(const ScorerRows<float>& rows, std::size_t most, std::uint64_t seed) {
  std::vector<ItemHandle> items;
  for (ItemHandle item = 0; item < rows.size(); ++item) {
    if (rows.scorable(item)) items.push_back(item);
  }
  const auto rank = [&](ItemHandle item) { return detail::stream_of(seed, detail::Purpose::clusters, item); };
  const auto by_rank = [&](ItemHandle a, ItemHandle b) { return rank(a) < rank(b); };
  const std::size_t drawn = std::min(most, items.size());
  std::nth_element(items.begin(), items.begin() + static_cast<std::ptrdiff_t>(drawn) - 1, items.end(), by_rank);
  items.resize(drawn);
  std::sort(items.begin(), items.end(), by_rank);
  std::vector<float> sample(drawn * rows.stride());
  for (std::size_t i = 0; i < drawn; ++i) {
    const float* const row = rows.row(items[i]);
    double squares = 0;
    for (std::size_t d = 0; d < rows.dim(); ++d) squares += static_cast<double>(row[d]) * static_cast<double>(row[d]);
    const double inverse = 1 / std::sqrt(squares);
    for (std::size_t d = 0; d < rows.dim(); ++d) {
      sample[i * rows.stride() + d] = static_cast<float>(static_cast<double>(row[d]) * inverse);
    }
  }
  return sample;
}

// centroid = sum / |sum|; left as it is where the sum has no direction.
void set_direction(float* centroid, std::span<const double> sum) {
  double squares = 0;
  for (const double x : sum) squares += x * x;
  if (squares < 1e-12) return;
  const double inverse = 1 / std::sqrt(squares);
  for (std::size_t d = 0; d < sum.size(); ++d) centroid[d] = static_cast<float>(sum[d] * inverse);
}

// Index of the largest, the first of several.
std::uint32_t largest(float* products, std::size_t count, const detail::KernelTable<float>& kernels) {
  constexpr std::size_t kGroup = 64;
  const float best = kernels.max(products, count);
  for (std::size_t i = 0; i < count; i += kGroup) {
    const std::uint64_t found = kernels.finish_scores(products + i, 1.0f, nullptr, best, std::min(kGroup, count - i));
    if (found != 0) return static_cast<std::uint32_t>(i + static_cast<std::size_t>(std::countr_zero(found)));
  }
  return 0;
}

}  // namespace

std::vector<std::uint32_t> nearest_centroids(const float* rows, std::size_t count, std::size_t stride,
                                             std::span<const float> centroids, Executor& executor) {
  constexpr std::size_t kTask = 4096, kTogether = 64;
  const auto& kernels = detail::float_kernels();
  const std::size_t lists = centroids.size() / stride;
  std::vector<std::uint32_t> nearest(count);
  std::vector<Buffer<float>> products(executor.concurrency());
  executor.run((count + kTask - 1) / kTask, [&](std::size_t task, std::size_t worker) {
    float* const scores = products[worker].take(kTogether * lists).data();
    const std::size_t end = std::min(count, (task + 1) * kTask);
    for (std::size_t first = task * kTask; first < end; first += kTogether) {
      const std::size_t some = std::min(kTogether, end - first);
      kernels.matmul_nt(scores, lists, rows + first * stride, stride, centroids.data(), stride, some, lists, stride,
                        false);
      for (std::size_t i = 0; i < some; ++i) nearest[first + i] = largest(scores + i * lists, lists, kernels);
    }
  });
  return nearest;
}

std::vector<float> spherical_k_means(const ScorerRows<float>& rows, std::size_t count, std::uint64_t seed,
                                     Executor& executor) {
  const std::size_t stride = rows.stride();
  const std::vector<float> sample = draw_sample(rows, count * kRowsPerCentroid, seed);
  const std::size_t drawn = sample.size() / stride;
  std::vector<float> centroids(sample.begin(), sample.begin() + static_cast<std::ptrdiff_t>(count * stride));
  std::vector<double> sums(count * stride);
  for (std::size_t round = 0; round < kRounds; ++round) {
    const auto nearest = nearest_centroids(sample.data(), drawn, stride, centroids, executor);
    std::ranges::fill(sums, 0.0);
    for (std::size_t i = 0; i < drawn; ++i) {
      double* const sum = sums.data() + nearest[i] * stride;
      for (std::size_t d = 0; d < stride; ++d) sum[d] += static_cast<double>(sample[i * stride + d]);
    }
    for (std::size_t list = 0; list < count; ++list) {
      set_direction(centroids.data() + list * stride, {sums.data() + list * stride, stride});
    }
  }
  return centroids;
}

}  // namespace attune::inline v0_1
