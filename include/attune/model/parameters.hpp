// SPDX-License-Identifier: Apache-2.0
#pragma once

// The dense weights of a model as one array with named, shaped parts. Layers register what they need while they are
// built; files, optimisers, gradients and tests then see the same list.

#include <cassert>
#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "attune/version.hpp"

namespace attune::inline v0_1 {

// How a parameter starts. normal: deviation 0.02, cut at two deviations; xavier: uniform within sqrt(6 / (in + out)) of
// an [in, out] matrix (Glorot & Bengio 2010).
enum class Initial { zero, one, normal, xavier };

struct Parameter {
  std::string name;                // "blocks.0.attention.qkv.weight"
  std::vector<std::size_t> shape;  // row-major
  std::size_t offset = 0;          // of its first element in the dense array
  std::size_t size = 0;
  Initial initial = Initial::zero;
  bool decay = false;  // whether weight decay may touch it
};

class ParameterList {
 public:
  // Returns the offset of the new part.
  std::size_t add(std::string name, std::vector<std::size_t> shape, Initial initial, bool decay = false) {
    std::size_t size = 1;
    for (const std::size_t extent : shape) size *= extent;
    const std::size_t offset = total_;
    list_.push_back({std::move(name), std::move(shape), offset, size, initial, decay});
    total_ += size;
    return offset;
  }
  std::span<const Parameter> list() const noexcept { return list_; }
  std::size_t total() const noexcept { return total_; }
  // The part that holds element `index` of the dense array: for messages. Precondition: index < total().
  const Parameter& owner(std::size_t index) const noexcept {
    assert(index < total_);
    std::size_t i = 0;
    while (index >= list_[i].offset + list_[i].size) ++i;
    return list_[i];
  }

 private:
  std::vector<Parameter> list_;
  std::size_t total_ = 0;
};

}  // namespace attune::inline v0_1
