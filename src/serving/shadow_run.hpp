// SPDX-License-Identifier: Apache-2.0
#pragma once

// A candidate that is being measured, and what was found so far. Safe from any number of threads.

#include <cstddef>
#include <memory>
#include <mutex>
#include <span>

#include "attune/recommender.hpp"
#include "attune/serving/experiment.hpp"
#include "attune/serving/shadow.hpp"
#include "serving/request_scratch.hpp"
#include "serving/snapshot.hpp"

namespace attune::inline v0_1 {

class ShadowRun {
 public:
  // Throws Error(invalid_argument) for a share outside (0, 1] and for k = 0.
  ShadowRun(std::shared_ptr<const Snapshot> candidate, const ShadowOptions& options);

  bool samples(const Id& user) const noexcept { return sample_.arm(user) == 1; }
  const std::shared_ptr<const Snapshot>& candidate() const noexcept { return candidate_; }
  const ShadowOptions& options() const noexcept { return options_; }
  ScratchPool& pool() noexcept { return pool_; }  // of the candidate's requests

  // What both would have shown before an event on `item`.
  void add(const Id& item, std::span<const Recommendation> served, std::span<const Recommendation> candidate);
  void add_failure();
  ShadowReport report() const;

 private:
  const std::shared_ptr<const Snapshot> candidate_;
  const ShadowOptions options_;
  const Experiment sample_;
  ScratchPool pool_;

  mutable std::mutex mutex_;
  std::size_t events_ = 0, failures_ = 0;
  double hits_ = 0, candidate_hits_ = 0, ndcg_ = 0, candidate_ndcg_ = 0, gain_squares_ = 0, overlap_ = 0;
};

}  // namespace attune::inline v0_1
