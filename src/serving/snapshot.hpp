// SPDX-License-Identifier: Apache-2.0
#pragma once

// One immutable version of what is served. A request takes one and uses nothing else, so that answers never mix models.

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "attune/detail/engine_interface.hpp"
#include "attune/error.hpp"
#include "attune/model/checkpoint.hpp"
#include "attune/model/content_tower.hpp"
#include "attune/model/ranker.hpp"
#include "attune/model/user_prior.hpp"
#include "attune/recommender.hpp"
#include "attune/serving/catalogue.hpp"
#include "serving/content_rows.hpp"

namespace attune::inline v0_1 {

// Weights that are checked when they are used, and what was found first.
struct MappedWeights {
  explicit MappedWeights(std::shared_ptr<const detail::CheckedBlocks> checked) : blocks(std::move(checked)) {}
  // Whether it is the first.
  bool note(const Error& found) {
    const std::lock_guard lock(mutex);
    const bool first = damage.empty();
    if (first) damage = found.what();
    return first;
  }
  std::string first_damage() {
    const std::lock_guard lock(mutex);
    return damage;
  }
  const std::shared_ptr<const detail::CheckedBlocks> blocks;

 private:
  std::mutex mutex;
  std::string damage;
};

// What a model, or a host's engine, brings to what is served.
struct ServedModel {
  std::shared_ptr<const detail::EngineInterface> engine;
  std::string version;
  Calibration calibration = {};                         // of the engine's scores; empty: none
  std::shared_ptr<const Ranker> ranker = nullptr;       // null: none
  std::shared_ptr<MappedWeights> weights = nullptr;     // null: all is checked
  double search_recall = 1;                             // of sample users' best, found at least
  std::shared_ptr<const ContentTower> tower = nullptr;  // null: content says nothing of vectors
  std::shared_ptr<const UserPrior> prior = nullptr;     // of users with few events, in the model's rows; null: none
};

struct Snapshot : ServedModel {
  std::shared_ptr<Catalogue> catalogue;
  std::uint64_t generation = 0;                // from 1, counts reloads
  std::uint64_t edition = 0;                   // no two snapshots of a recommender have the same
  std::shared_ptr<const ContentRows> content;  // of items without a vector in the model; null: there is no tower
  std::shared_ptr<const std::vector<std::uint64_t>> of_model;  // `listed`, but for those that content alone lists

  // Bitmaps over handles [0, engine->size()), and how many bits they have set.
  std::vector<std::uint64_t> listed;    // items of this version
  std::vector<std::uint64_t> scorable;  // of those, what the engine's model can return
  std::size_t num_listed = 0, num_scorable = 0;

  ScoreKind score_kind(const EngineAnswer& found) const noexcept {
    if (found.blended) return ScoreKind::blend;
    return found.source == Source::model ? engine->kind() : ScoreKind::count;
  }
  bool takes_content(ItemHandle item) const noexcept {
    const bool has_vector = item / 64 < scorable.size() && (scorable[item / 64] >> (item % 64) & 1u) != 0;
    return !has_vector || content->has(item);
  }
  bool lists(ItemHandle item) const noexcept {
    return item < engine->size() && (listed[item / 64] >> (item % 64) & 1u) != 0;
  }
};

// `handles` are those of the version's items; `edition` is above 0.
std::shared_ptr<const Snapshot> make_snapshot(std::shared_ptr<Catalogue> catalogue, ServedModel model,
                                              std::span<const ItemHandle> handles, std::uint64_t generation,
                                              std::uint64_t edition);
// The same, ready for content. Precondition: there is a tower.
std::shared_ptr<const Snapshot> with_no_content(const Snapshot& snapshot,
                                                std::shared_ptr<const std::atomic<std::size_t>> events);
// The same where items, each there once, have vectors [n, dim of the tower] and facts [n] as ContentRows says. It has
// `edition` where an item comes or goes. Preconditions: there is a tower, and takes_content(item) for each.
std::shared_ptr<const Snapshot> with_content(const Snapshot& snapshot, std::span<const ItemHandle> items,
                                             std::span<const float> vectors, std::span<const ContentFacts> facts,
                                             std::uint64_t edition);

// What a trained model whose row i is the catalogue's handles[i] brings.
ServedModel make_served(const TrainedModel& model, std::span<const ItemHandle> handles,
                        const RecommenderOptions& options);

}  // namespace attune::inline v0_1
