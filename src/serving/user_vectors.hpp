// SPDX-License-Identifier: Apache-2.0
#pragma once

// The encoder's vectors of users, as rows to be searched; nobody has one until somebody asks. Safe from any number of
// threads. Its lock is taken before those of UserStates.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <shared_mutex>
#include <span>
#include <vector>

#include "attune/data/id_map.hpp"
#include "attune/executor.hpp"
#include "attune/serving/cosine_scorer.hpp"
#include "attune/serving/people.hpp"
#include "attune/serving/user_state.hpp"
#include "serving/request_scratch.hpp"
#include "serving/snapshot.hpp"

namespace attune::inline v0_1 {

class UserVectors {
 public:
  UserVectors(IdKind kind, std::size_t budget_bytes)
      : budget_bytes_(budget_bytes), ids_(kind), pending_(kind), later_(kind) {}

  // Whether there may be vectors: then a user is to be used (UserStates::find) after his history has changed.
  bool asked() const noexcept { return asked_.load(std::memory_order_relaxed); }
  // Makes those that are missing, or of another history or model.
  void refresh(const Snapshot& now, const UserStates& users, Executor& executor, ScratchPool& pool);
  // Best first, the k users whose vectors have the largest cosine with that of the user, to which `close` add their
  // closeness times a weight; without direct friends unless those are included. Nothing for a user without a vector.
  // The ids are those of `names`.
  std::optional<std::vector<SimilarUser>> nearest(const Id& user, const SimilarUsersOptions& options,
                                                  std::span<const Friendships::Closeness> close, Workspace& workspace,
                                                  IdMap& names) const;
  // From then on there is no vector of the user, until refresh() finds one of that id.
  void erase(const Id& user);
  // The same of all whom nobody knows any more, at once: looks at everybody.
  void erase_unknown(const UserStates& users);

 private:
  struct Made {
    std::vector<float> vector;  // empty: none, or that of before
    std::uint64_t stamp = 0;
    bool changed = false;
  };
  void start_anew(std::uint64_t generation);
  Made make(const Snapshot& now, const UserStates& users, const Id& user, ScratchPool& pool) const;
  void keep(const Id& user, const Made& made);
  bool has_room(std::size_t dim) const noexcept;
  // Rows in ascending order, whose places others take.
  void remove(std::span<const std::uint32_t> gone);

  const std::size_t budget_bytes_;
  std::atomic<bool> asked_ = false;
  mutable std::shared_mutex mutex_;
  std::uint64_t generation_ = 0;
  std::vector<std::uint64_t> mark_;          // of UserStates::used_since
  IdMap ids_;                                // of the rows, in order; rows beyond them are zero
  std::vector<std::uint64_t> stamps_;        // of the histories that the rows are of
  std::optional<CosineScorer<float>> rows_;  // once there is a first vector
  IdMap pending_;                            // who may have changed, from next_ on
  std::uint32_t next_ = 0;
  IdMap later_;  // who may have changed since pending_ began
};

}  // namespace attune::inline v0_1
