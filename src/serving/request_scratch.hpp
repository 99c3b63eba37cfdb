// SPDX-License-Identifier: Apache-2.0
#pragma once

// Memory that requests work in, kept from one to the next, so that a warm recommender allocates nothing.

#include <cstdint>
#include <memory>
#include <mutex>
#include <vector>

#include "attune/data/feature_table.hpp"
#include "attune/model/ranker.hpp"
#include "attune/model/workspace.hpp"
#include "attune/types.hpp"
#include "serving/compiled_policy.hpp"
#include "serving/live_items.hpp"
#include "serving/selection.hpp"

namespace attune::inline v0_1 {

struct RequestScratch {
  Workspace workspace;
  LiveItems live;
  bool eligible_in_use = true;  // false: `workspace.eligible` equals `live`
  // What a policy adds to scores, by item, and as of when.
  struct Boosts {
    std::weak_ptr<const detail::CompiledPolicy> policy;
    std::uint64_t changes = 0, edition = 0;
    Buffer<float> terms;
  } boosts;
  std::vector<ItemHandle> handles;  // of the ids in a request
  std::vector<ItemHandle> listed;   // of those that it allows or denies
  std::vector<ItemHandle> distinct;
  std::vector<ItemHandle> left_out;  // seen within the time that a request says, or disliked
  std::vector<Timestamp> times;
  std::vector<float> scores;          // of candidates, the host's or a ranker's
  std::vector<Candidate> candidates;  // of a ranker
  std::vector<ItemHandle> shown;      // on earlier pages
  std::vector<PinnedSlot> pins;       // of a request, with their places
  std::vector<float> item_vector;     // [dim]
  Selector selector;
  Explorer explorer;
  std::shared_ptr<const FeatureTable> profile;  // of the user, while he is answered
  std::vector<ScoredHandle> ranked;             // what the engine answers, as a ranker orders it
  struct Failures {  // that kept the answer from what it should be, however often it was asked for
    bool damage = false, ranker = false;
    bool any() const noexcept { return damage || ranker; }
  } failures;
};

// As many as requests ever ran at once. Outlives its leases.
class ScratchPool {
 public:
  struct GiveBack {
    ScratchPool* pool;
    void operator()(RequestScratch* scratch) const noexcept {
      scratch->profile.reset();
      const std::lock_guard lock(pool->mutex_);
      pool->free_.emplace_back(scratch);
    }
  };
  using Lease = std::unique_ptr<RequestScratch, GiveBack>;

  Lease take() {
    const std::lock_guard lock(mutex_);
    if (free_.empty()) {
      free_.reserve(made_ + 1);  // giving back never allocates
      free_.push_back(std::make_unique<RequestScratch>());
      ++made_;
    }
    Lease lease(free_.back().release(), GiveBack{this});
    free_.pop_back();
    lease->failures = {};
    return lease;
  }

 private:
  std::mutex mutex_;
  std::vector<std::unique_ptr<RequestScratch>> free_;
  std::size_t made_ = 0;
};

}  // namespace attune::inline v0_1
