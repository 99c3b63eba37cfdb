// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a request may return, applied in the scan: the live items at its time, without seen ones, under its rules. For
// as long as it lives it works in the scratch. Without rules it is work for the items left out, not for the catalogue.

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "attune/recommender.hpp"
#include "serving/compiled_policy.hpp"
#include "serving/request_scratch.hpp"
#include "serving/snapshot.hpp"
#include "serving/user_record.hpp"

namespace attune::inline v0_1 {

// When a request happens: now, else at the last event.
inline Timestamp time_of(Timestamp now, HistoryView history) noexcept {
  return now != kNoTime || history.times.empty() ? now : history.times.back();
}

inline Context context_of(const Request& request, const UserView& user) noexcept {
  return {.now = request.now,
          .features = request.features,
          .user = request.user,
          .disliked = user.disliked,
          .profile = user.profile};
}

// Of a user's items those that a request leaves out, as seen or disliked: ascending, in its scratch or where they are.
std::span<const ItemHandle> seen_items(const Request& request, const UserView& user, RequestScratch& scratch);

// Of what was found, best first, the items that score enough.
inline std::span<const ScoredHandle> scoring_enough(std::span<const ScoredHandle> found, float min_score) noexcept {
  const auto end = std::ranges::find_if(found, [&](const ScoredHandle& item) { return item.score < min_score; });
  return found.first(static_cast<std::size_t>(end - found.begin()));
}

class Eligibility {
 public:
  using SharedPolicy = std::shared_ptr<const detail::CompiledPolicy>;

  // `seen` must outlive it and may hold any handles, each once. `policy` is the request's, or null; of the request it
  // reads `allow` and `deny`.
  Eligibility(RequestScratch& scratch, const Snapshot& snapshot, const Request& request, const SharedPolicy& policy,
              Timestamp at, std::span<const ItemHandle> seen);
  // No rules; live is what was live in this scratch before.
  Eligibility(RequestScratch& scratch, const Snapshot& snapshot, std::span<const ItemHandle> seen);
  Eligibility(const Eligibility&) = delete;
  Eligibility& operator=(const Eligibility&) = delete;
  ~Eligibility();

  std::span<const std::uint64_t> bits() const noexcept { return bits_; }
  bool has(ItemHandle item) const noexcept {
    return item / 64 < bits_.size() && (bits_[item / 64] >> (item % 64) & 1u) != 0;
  }
  // What the policy adds to scores, by handle; empty: nothing.
  std::span<const float> boosts() const noexcept { return boosts_; }
  // How many an answer of this source can hold at most.
  std::size_t size(Source source) const noexcept { return eligible_.of(source); }
  // What this keeps out of answers of this source.
  Shortfall shortfall(Source source) const noexcept;

 private:
  // Items, and those of them that the model can return.
  struct Count {
    std::size_t listed = 0, scorable = 0;
    std::size_t of(Source source) const noexcept { return source == Source::model ? scorable : listed; }
  };

  void make_current(const SharedPolicy& policy, Timestamp at);
  void take_copy();
  void leave_out_seen();
  void leave_out(ItemHandle item);
  void allow(std::span<const Id> ids);
  void find(std::span<const Id> ids);
  void expand_boosts(const SharedPolicy& policy);

  RequestScratch& scratch_;
  const Snapshot& snapshot_;
  std::vector<std::uint64_t>& bits_;
  const std::span<const ItemHandle> seen_;
  const bool foreign_;  // the policy is of another recommender
  const bool rules_;
  std::span<const float> boosts_;
  Count unseen_, eligible_;
};

}  // namespace attune::inline v0_1
