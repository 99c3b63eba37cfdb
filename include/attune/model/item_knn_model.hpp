// SPDX-License-Identifier: Apache-2.0
#pragma once

// Which items share their users: nearest neighbours by the cosine of two items' sets of users (Sarwar et al. 2001),
// with a history that fades.

#include <cstdint>
#include <vector>

#include "attune/data/interaction_log.hpp"
#include "attune/model/count_model.hpp"

namespace attune::inline v0_1 {

class Executor;

struct ItemKnnOptions {
  std::size_t neighbours = 500;  // kept of each item: more finds more, and costs memory and time per request
  double decay = 0.7;            // weight of the k-th newest known event is decay^k, down to 1e-4

  // Throws Error(invalid_config) naming the field, what is allowed and what was given.
  ATTUNE_EXPORT void validate() const;
};

// score(y) = sum over the events x_k of a history of decay^k * cosine(x_k, y), where y is among the neighbours of x_k,
// plus 1e-6 times y's share of all users, so that items that are nobody's neighbours have an order.
// cosine(x, y) = |users of both| / sqrt(|users of x| |users of y|).
class ATTUNE_EXPORT ItemKnnModel final : public CountModel {
 public:
  ItemKnnModel() = default;
  // The same for any number of threads. Time grows with the sum over users of their distinct items squared. Throws
  // Error(invalid_config). Without an executor the calling thread works.
  static ItemKnnModel fit(const Histories& histories, const ItemKnnOptions& options = {}, Executor* executor = nullptr);

  // Sparse rows: neighbours of item x are columns[offsets[x] .. offsets[x + 1]) with their cosines.
  struct Neighbours {
    std::vector<std::uint64_t> offsets;  // [items + 1]
    std::vector<std::uint32_t> columns;  // ascending within a row
    std::vector<float> similarities;
    std::vector<std::uint64_t> users;  // [items]: users that have the item
  };
  // Throws Error: corrupt_file when the parts do not fit together, invalid_config.
  ItemKnnModel(Neighbours neighbours, const ItemKnnOptions& options);

  std::string_view name() const noexcept override { return "item-knn"; }
  std::size_t num_items() const noexcept override { return neighbours_.users.size(); }
  bool knows(ItemHandle item) const noexcept override { return item < num_items() && neighbours_.users[item] > 0; }
  const Neighbours& neighbours() const noexcept { return neighbours_; }
  const ItemKnnOptions& options() const noexcept { return options_; }

  void score_all(HistoryView history, std::span<float> scores, Workspace& workspace) const override;
  using CountModel::score_all;

 private:
  Neighbours neighbours_;
  ItemKnnOptions options_;
  std::vector<float> base_;  // [items]: the score of an item that is nobody's neighbour
};

}  // namespace attune::inline v0_1
