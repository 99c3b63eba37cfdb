// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a host says of an item besides its id, as text for other hosts.

#include <string>
#include <string_view>
#include <vector>

#include "attune/types.hpp"

namespace attune::inline v0_1 {

// {"fields":[["genre","Drama|War"],["year",1999],["age",null],["poster",[0.5,1]]],"from":...,"until":...}: null is a
// missing number or time, and what is not set is not there. What is not UTF-8 becomes U+FFFD.
std::string to_json(const Item& item);

class AnnouncedItem {
 public:
  // Throws Error(invalid_data) for text that to_json does not make.
  AnnouncedItem(const Id& id, std::string_view json);
  const Item& item() const noexcept { return item_; }  // valid as long as this object and its id

 private:
  std::vector<std::string> texts_;
  std::vector<std::vector<float>> vectors_;
  Item item_;
};

}  // namespace attune::inline v0_1
