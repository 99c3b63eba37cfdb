// SPDX-License-Identifier: Apache-2.0
#pragma once

// The alternation of iALS: the vectors of all users given those of the items, and the other way round. The same bits
// for any number of threads.

#include <cstddef>
#include <span>
#include <vector>

#include "attune/executor.hpp"
#include "attune/model/ials_model.hpp"
#include "model/item_sets.hpp"

namespace attune::inline v0_1::detail {

class IalsTrainer {
 public:
  IalsTrainer(const Histories& histories, const IalsOptions& options, Executor& executor);

  void update_users() { update(users_, items_of_, items_); }
  void update_items() { update(items_, users_of_, users_); }

  const std::vector<float>& users() const noexcept { return users_; }  // [users, D]; zero before the first update
  const std::vector<float>& items() const noexcept { return items_; }  // [items, D]

 private:
  void update(std::vector<float>& solved, const Groups& observed, const std::vector<float>& given);

  const IalsOptions& options_;
  Executor& executor_;
  Groups items_of_, users_of_;  // an entry per event
  std::vector<float> users_, items_;
  std::vector<Buffer<float>> scratch_;  // of each worker
};

}  // namespace attune::inline v0_1::detail
