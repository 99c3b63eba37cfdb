// SPDX-License-Identifier: Apache-2.0
#include "serving/shadow_run.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <string>
#include <utility>

#include "attune/error.hpp"

namespace attune::inline v0_1 {
namespace {

double share_of(const ShadowOptions& options) {
  if (!(options.share > 0 && options.share <= 1)) {
    throw Error(ErrorCode::invalid_argument,
                "ShadowOptions::share: expected more than 0 and at most 1, found " + std::to_string(options.share));
  }
  if (options.k == 0) throw Error(ErrorCode::invalid_argument, "ShadowOptions::k: expected at least 1, found 0");
  return options.share;
}

Experiment sample_of(double share) { return Experiment("shadow", std::array{1 - share, share}); }

// ndcg@k of a list for one relevant item; 0 where it is not there.
double gain_of(std::span<const Recommendation> list, const Id& item) {
  const auto found = std::ranges::find(list, item, &Recommendation::item);
  return found == list.end() ? 0 : 1 / std::log2(static_cast<double>(found - list.begin()) + 2);
}

}  // namespace

ShadowRun::ShadowRun(std::shared_ptr<const Snapshot> candidate, const ShadowOptions& options)
    : candidate_(std::move(candidate)), options_(options), sample_(sample_of(share_of(options))) {}

void ShadowRun::add(const Id& item, std::span<const Recommendation> served, std::span<const Recommendation> candidate) {
  const double before = gain_of(served, item), after = gain_of(candidate, item);
  const auto both = std::ranges::count_if(served, [&](const Recommendation& shown) {
    return std::ranges::find(candidate, shown.item, &Recommendation::item) != candidate.end();
  });
  const std::lock_guard lock(mutex_);
  ++events_;
  hits_ += before > 0;
  candidate_hits_ += after > 0;
  ndcg_ += before;
  candidate_ndcg_ += after;
  gain_squares_ += (after - before) * (after - before);
  overlap_ += static_cast<double>(both) / static_cast<double>(options_.k);
}

void ShadowRun::add_failure() {
  const std::lock_guard lock(mutex_);
  ++failures_;
}

ShadowReport ShadowRun::report() const {
  const std::lock_guard lock(mutex_);
  ShadowReport report{.events = events_, .failures = failures_};
  if (events_ == 0) return report;
  const auto n = static_cast<double>(events_);
  report.hit_rate = hits_ / n;
  report.candidate_hit_rate = candidate_hits_ / n;
  report.ndcg = ndcg_ / n;
  report.candidate_ndcg = candidate_ndcg_ / n;
  report.overlap = overlap_ / n;
  const double gain = report.candidate_ndcg - report.ndcg;
  const double variance = std::max(0.0, gain_squares_ / n - gain * gain);
  const double half = 1.96 * std::sqrt(variance / n);
  report.ndcg_gain = {gain - half, gain + half};
  return report;
}

}  // namespace attune::inline v0_1
