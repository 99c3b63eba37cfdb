// SPDX-License-Identifier: Apache-2.0
#include "attune/model/row_clusters.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "attune/detail/dropout.hpp"
#include "attune/detail/kernels.hpp"
#include "attune/detail/top_k.hpp"
#include "attune/error.hpp"
#include "attune/executor.hpp"
#include "attune/model/workspace.hpp"
#include "model/spherical_k_means.hpp"

namespace attune::inline v0_1 {
namespace {

constexpr std::size_t kGroup = detail::kCodedGroup;
constexpr double kUnitRoundoff = 0x1p-24;  // of float
constexpr std::size_t kSampleRows = 128;   // that stand in for queries
constexpr std::size_t kSampleBest = 10;
constexpr double kStandardErrors = 2;  // that the recall of the samples must be above what is asked
constexpr float kInfinity = std::numeric_limits<float>::infinity();

float above(double x) noexcept { return std::nextafter(static_cast<float>(x), kInfinity); }
float below(double x) noexcept { return std::nextafter(static_cast<float>(x), -kInfinity); }

double dot(const float* x, const float* y, std::size_t dim) noexcept {
  double sum = 0;
  for (std::size_t d = 0; d < dim; ++d) sum += static_cast<double>(x[d]) * static_cast<double>(y[d]);
  return sum;
}

// The sine of an angle, no smaller for what rounding does to its cosine.
float sine_above(float cosine) noexcept {
  const auto c = static_cast<double>(cosine);
  return above(std::sqrt(std::max(0.0, 1 - c * c) + 1e-14));
}

RowClusters::Cone cone_of(double cosine, double norm) noexcept {
  RowClusters::Cone cone;
  cone.low = below(cosine - 1e-12);
  cone.high = above(cosine + 1e-12);
  cone.sine_low = sine_above(cone.low);
  cone.sine_high = sine_above(cone.high);
  cone.norm = above(norm);
  return cone;
}

}  // namespace

void RowClusters::Cone::widen(const Cone& other) noexcept {
  if (other.low < low || high < low) {
    if (high < low) high = other.high, sine_high = other.sine_high;
    low = other.low;
    sine_low = other.sine_low;
  }
  if (other.high > high) {
    high = other.high;
    sine_high = other.sine_high;
  }
  norm = std::max(norm, other.norm);
}

// Everything but the codes, whose order it decides.
struct RowClusters::Build {
  Build(const ScorerRows<float>& rows_, const ClusterOptions& options_);

  struct Sample {
    double norm = 0, least = 0;       // of the query; what the last of its best has as a dot product
    std::vector<float> products;      // with the centroids; none without a query
    std::vector<double> confidences;  // one for each of the best
  };
  struct Recall {
    double mean, error;
  };

  void sort_rows(std::span<const std::uint32_t> nearest);
  bool best_of_sample(std::size_t q, Buffer<float>& prepared, std::vector<ScoredHandle>& best) const;
  Sample make_sample(std::size_t q, std::span<const std::uint32_t> group_of, Buffer<float>& prepared) const;
  static Recall recall_of(std::span<const Sample> samples, double at);
  double share_read(const Sample& sample, double at) const;
  void calibrate();
  void drop_lists();

  const ScorerRows<float>& rows;
  const ClusterOptions& options;
  InlineExecutor own_executor;
  Executor& executor;
  std::vector<float> centroids;
  std::vector<Cone> lists, groups;
  std::vector<std::size_t> first_groups;
  std::vector<ItemHandle> order;
  double rounding, confidence = 1, recall = 1, share = 1;
};

RowClusters::Build::Build(const ScorerRows<float>& rows_, const ClusterOptions& options_)
    : rows(rows_), options(options_), executor(options_.executor ? *options_.executor : own_executor) {
  if (!(options.recall > 0 && options.recall <= 1)) {
    throw Error(ErrorCode::invalid_argument,
                "ClusterOptions::recall: expected more than 0 and at most 1, found " + std::to_string(options.recall));
  }
  if (options.queries.size() % rows.dim() != 0) {
    throw Error(ErrorCode::invalid_argument, "ClusterOptions::queries: expected vectors of " +
                                                 std::to_string(rows.dim()) + " elements, found " +
                                                 std::to_string(options.queries.size()) + " in all");
  }
  // Additions of a dot product as in RowCodes; the centroids' norms; scale and term.
  const std::size_t additions = rows.stride() / detail::kLanes + 5;
  rounding = (static_cast<double>(additions) * 1.001 + 8) * kUnitRoundoff;
  const auto root = static_cast<std::size_t>(std::sqrt(static_cast<double>(rows.num_scorable())));
  const std::size_t per_list = options.rows_per_list != 0 ? options.rows_per_list : std::max(root, kGroup);
  if (rows.num_scorable() < per_list) return;
  rows.make_all();
  centroids = spherical_k_means(rows, rows.num_scorable() / per_list, options.seed, executor);
  sort_rows(nearest_centroids(rows.row(0), rows.size(), rows.stride(), centroids, executor));
  calibrate();
  if (share > options.largest_share) drop_lists();
}

void RowClusters::Build::drop_lists() {
  centroids.clear();
  lists.clear();
  groups.clear();
  first_groups.clear();
  order.clear();
  confidence = recall = share = 1;
}

void RowClusters::Build::sort_rows(std::span<const std::uint32_t> nearest) {
  const std::size_t stride = rows.stride(), count = centroids.size() / stride;
  struct Member {
    double cosine;
    ItemHandle item;
  };
  std::vector<std::vector<Member>> members(count);
  for (ItemHandle item = 0; item < rows.size(); ++item) {
    if (!rows.scorable(item)) continue;
    const float *const row = rows.row(item), *const centroid = centroids.data() + nearest[item] * stride;
    const double norms = std::sqrt(dot(row, row, stride) * dot(centroid, centroid, stride));
    members[nearest[item]].push_back({dot(row, centroid, stride) / norms, item});
  }
  for (std::vector<Member>& list : members) {
    std::sort(list.begin(), list.end(), [](const Member& a, const Member& b) {
      return a.cosine > b.cosine || (a.cosine == b.cosine && a.item < b.item);
    });
    first_groups.push_back(groups.size());
    lists.emplace_back();
    for (std::size_t i = 0; i < list.size(); ++i) {
      if (i % kGroup == 0) groups.emplace_back();
      const float* const row = rows.row(list[i].item);
      groups.back().widen(cone_of(list[i].cosine, std::sqrt(dot(row, row, stride)) * (1 + 1e-12)));
      order.push_back(list[i].item);
    }
    for (std::size_t group = first_groups.back(); group < groups.size(); ++group) lists.back().widen(groups[group]);
    order.resize(groups.size() * kGroup, kNoHandle);
  }
  first_groups.push_back(groups.size());
}

// Sample query `q`, prepared, and its best rows; false where it has none. Rows stand in for queries that nobody gave.
bool RowClusters::Build::best_of_sample(std::size_t q, Buffer<float>& prepared, std::vector<ScoredHandle>& best) const {
  const std::size_t dim = rows.dim();
  ItemHandle own = kNoHandle;
  std::span<const float> query;
  if (options.queries.empty()) {
    const std::uint64_t drawn = detail::stream_of(options.seed, detail::Purpose::clusters, ~q);
    own = static_cast<ItemHandle>(drawn % rows.size());
    query = {rows.row(own), dim};
  } else {
    query = options.queries.subspan(q * dim, dim);
  }
  if (!rows.prepare(query, prepared)) return false;
  detail::TopK top(best, std::min(kSampleBest, rows.num_scorable()));
  const float* const vector = prepared.take(rows.stride()).data();
  std::array<float, kGroup> scores;
  for (std::size_t first = 0; first < rows.size(); first += kGroup) {
    const std::size_t count = std::min(kGroup, rows.size() - first);
    rows.dot(scores.data(), vector, first, count);
    const std::uint64_t passed =
        detail::float_kernels().finish_scores(scores.data(), 1.0f, nullptr, top.threshold(), count);
    detail::for_each_bit(passed & rows.scorable_bits()[first / kGroup], [&](std::size_t bit) {
      if (first + bit != own) top.push({static_cast<ItemHandle>(first + bit), scores[bit]});
    });
  }
  top.finish();
  return !best.empty();
}

// What it takes to find the best of sample query `q`: of each the least confidence with which its group is read. A
// search finds no less, because its threshold is never above the score of the last of them.
RowClusters::Build::Sample RowClusters::Build::make_sample(std::size_t q, std::span<const std::uint32_t> group_of,
                                                           Buffer<float>& prepared) const {
  Sample sample;
  std::vector<ScoredHandle> best;
  if (!best_of_sample(q, prepared, best)) return sample;
  const float* const query = prepared.take(rows.stride()).data();
  sample.norm = std::sqrt(dot(query, query, rows.stride()));
  sample.least = static_cast<double>(best.back().score);
  sample.products.resize(lists.size());
  detail::float_kernels().dot_rows(sample.products.data(), query, centroids.data(), rows.stride(), rows.stride(),
                                   lists.size());
  for (const ScoredHandle& item : best) {
    const std::uint32_t group = group_of[item.item];
    const auto list = std::ranges::upper_bound(first_groups, group) - first_groups.begin() - 1;
    double unread = 0, read = 1;
    for (int halving = 0; halving < 30; ++halving) {
      const double middle = (unread + read) / 2;
      const Sight seen = sight(sample.products[static_cast<std::size_t>(list)], sample.norm, middle, rounding);
      (seen.bound(groups[group]) >= sample.least ? read : unread) = middle;
    }
    sample.confidences.push_back(read);
  }
  return sample;
}

// The mean share of a sample's best that are found, and its standard error.
RowClusters::Build::Recall RowClusters::Build::recall_of(std::span<const Sample> samples, double at) {
  double sum = 0, squares = 0, count = 0;
  for (const Sample& sample : samples) {
    if (sample.confidences.empty()) continue;
    const auto found = std::ranges::count_if(sample.confidences, [&](double needed) { return needed <= at; });
    const double share = static_cast<double>(found) / static_cast<double>(sample.confidences.size());
    sum += share;
    squares += share * share;
    ++count;
  }
  if (count == 0) return {1, 0};
  const double mean = sum / count;
  return {mean, std::sqrt(std::max(0.0, squares / count - mean * mean) / count)};
}

// The share of the rows that a search reads.
double RowClusters::Build::share_read(const Sample& sample, double at) const {
  std::size_t read = 0;
  for (std::size_t list = 0; list < lists.size() && !sample.products.empty(); ++list) {
    const Sight seen = sight(sample.products[list], sample.norm, at, rounding);
    for (std::size_t group = first_groups[list]; group < first_groups[list + 1]; ++group) {
      read += seen.bound(groups[group]) >= sample.least ? 1u : 0u;
    }
  }
  return static_cast<double>(read) / static_cast<double>(groups.size());
}

void RowClusters::Build::calibrate() {
  std::vector<Sample> samples(options.queries.empty() ? kSampleRows : options.queries.size() / rows.dim());
  std::vector<std::uint32_t> group_of(rows.size());
  for (std::size_t i = 0; i < order.size(); ++i) {
    if (order[i] != kNoHandle) group_of[order[i]] = static_cast<std::uint32_t>(i / kGroup);
  }
  std::vector<Buffer<float>> prepared(executor.concurrency());
  executor.run(samples.size(),
               [&](std::size_t q, std::size_t worker) { samples[q] = make_sample(q, group_of, prepared[worker]); });
  if (options.recall < 1) {
    std::vector<double> all;
    for (const Sample& sample : samples) all.insert(all.end(), sample.confidences.begin(), sample.confidences.end());
    std::ranges::sort(all);
    const auto too_low = [&](double at) {
      const Recall found = recall_of(samples, at);
      return found.mean - kStandardErrors * found.error < options.recall;
    };
    const auto chosen = std::ranges::partition_point(all, too_low);
    if (chosen != all.end()) confidence = *chosen;
  }
  recall = confidence < 1 ? recall_of(samples, confidence).mean : 1;
  std::vector<double> shares(samples.size());
  executor.run(samples.size(), [&](std::size_t q, std::size_t) { shares[q] = share_read(samples[q], confidence); });
  share = std::accumulate(shares.begin(), shares.end(), 0.0) / static_cast<double>(shares.size());
}

RowClusters::Sight RowClusters::sight(float product, double norm, double confidence, double rounding) noexcept {
  const double along = static_cast<double>(product) / norm;
  const double across = std::sqrt(std::max(0.0, 1 - along * along) + 2 * rounding + rounding * rounding);
  const double believed = confidence * across;
  return {along, believed, std::sqrt(along * along + believed * believed) * (1 + 1e-15), norm, 2 * rounding};
}

RowClusters::RowClusters(const ScorerRows<float>& rows, const ClusterOptions& options)
    : RowClusters(Build(rows, options)) {}

RowClusters::RowClusters(Build build)
    : stride_(build.rows.stride()),
      centroids_(std::move(build.centroids)),
      lists_(std::move(build.lists)),
      groups_(std::move(build.groups)),
      first_groups_(std::move(build.first_groups)),
      order_(std::move(build.order)),
      codes_(build.rows, 4, order_),
      rounding_(build.rounding),
      confidence_(build.confidence),
      sample_recall_(build.recall),
      sample_share_(build.share) {}

void RowClusters::compare(std::span<float> products, const float* prepared) const noexcept {
  detail::float_kernels().dot_rows(products.data(), prepared, centroids_.data(), stride_, stride_, num_lists());
}

void RowClusters::loosen(ItemHandle row) {
  if (loose_bits_.size() <= row / 64) loose_bits_.resize(row / 64 + 1);
  std::uint64_t& word = loose_bits_[row / 64];
  const std::uint64_t bit = std::uint64_t{1} << (row % 64);
  if ((word & bit) != 0) return;
  loose_.push_back(row);
  word |= bit;
}

std::size_t RowClusters::memory_bytes() const noexcept {
  return codes_.memory_bytes() + centroids_.size() * sizeof(float) + (lists_.size() + groups_.size()) * sizeof(Cone) +
         first_groups_.size() * sizeof(std::size_t) + order_.size() * sizeof(ItemHandle) +
         loose_.size() * sizeof(ItemHandle) + loose_bits_.size() * 8;
}

}  // namespace attune::inline v0_1
