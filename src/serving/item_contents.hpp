// SPDX-License-Identifier: Apache-2.0
#pragma once

// What hosts said of items besides their ids, kept so that every model to come can make vectors of it. Not
// synchronised.

#include <cstddef>
#include <span>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "attune/types.hpp"

namespace attune::inline v0_1 {

class ItemContents {
 public:
  // The values of a field, which may stand there several times, take the place of earlier ones, and what is missing
  // (NaN, "", no numbers) takes a field away.
  void set(ItemHandle item, std::span<const FieldValue> changes);
  // Valid until set().
  std::vector<FieldValue> of(ItemHandle item) const;
  std::vector<ItemHandle> items() const;  // of which something is known

 private:
  struct Field {
    std::string name;
    std::variant<std::string, double, std::vector<float>> value;
  };
  std::unordered_map<ItemHandle, std::vector<Field>> items_;
};

}  // namespace attune::inline v0_1
