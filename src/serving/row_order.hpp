// SPDX-License-Identifier: Apache-2.0
#pragma once

// Brings the rows of a model into the order of the catalogue, so that a handle is a row whatever order the model was
// trained in. Handles that are no item of the model get empty rows.

#include <cstddef>
#include <memory>
#include <span>
#include <vector>

#include "attune/model/count_model.hpp"
#include "attune/model/transformer_encoder.hpp"
#include "attune/types.hpp"

namespace attune::inline v0_1 {

class RowOrder {
 public:
  // Row i of the model belongs to handles[i].
  explicit RowOrder(std::span<const ItemHandle> handles);

  std::size_t size() const noexcept { return rows_.size(); }  // rows in catalogue order
  bool identity() const noexcept { return identity_; }

  // The model itself where its order is the catalogue's already.
  std::shared_ptr<const SequenceEncoder<float>> apply(std::shared_ptr<const SequenceEncoder<float>> encoder) const;
  // Counts keep their rows and are asked in them. Null stays null.
  std::shared_ptr<const CountModel> apply(std::shared_ptr<const CountModel> counts) const;

 private:
  std::span<const ItemHandle> handles_;
  std::vector<ItemHandle> rows_;  // of a handle, kNoHandle where the model has none
  bool identity_ = true;
};

}  // namespace attune::inline v0_1
