// SPDX-License-Identifier: Apache-2.0
#pragma once

// How much of an item the chosen ones show already. Items are named by their places in a list; those that joined are
// kept up to date with every choice, which costs a cosine for each of them, and for dpp as many steps as there are
// directions among the chosen ones. Allocates nothing once its memory has grown.

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "attune/types.hpp"

namespace attune::inline v0_1 {

// What items have in the fields that are capped: the same number for the same name under the same cap.
class ItemValues {
 public:
  void clear() noexcept {
    values_.clear();
    ends_.clear();
  }
  // Of the next item, in any order, each once; then end_item().
  void add(std::size_t cap, std::uint32_t value) { values_.push_back(std::uint64_t{cap} << 32 | value); }
  void end_item() { ends_.push_back(values_.size()); }

  std::span<const std::uint64_t> of(std::size_t i) const noexcept {
    const std::size_t begin = i == 0 ? 0 : ends_[i - 1];
    return std::span(values_).subspan(begin, ends_[i] - begin);
  }
  static std::size_t cap_of(std::uint64_t value) noexcept { return value >> 32; }

 private:
  std::vector<std::uint64_t> values_;
  std::vector<std::size_t> ends_;
};

// What a selection asks of items.
class ItemRelations {
 public:
  virtual ~ItemRelations() = default;
  // cosines [others]: of the vector of `item` with that of each other one, 0 where either has none.
  virtual void similarities(ItemHandle item, std::span<const ItemHandle> others, std::span<float> cosines) = 0;
  // Adds each item's values under every cap, and ends it.
  virtual void read_values(std::span<const ItemHandle> items, ItemValues& values) = 0;
};

class Redundancy {
 public:
  // Begins anew: nothing joined, nothing chosen. Keeps references to both.
  void start(DiversityMethod method, std::span<const ItemHandle> items, ItemRelations& relations);
  // The items [0, count) are compared with all chosen ones, those of before and those to come.
  void join(std::size_t count);
  // Precondition: item i joined and is not chosen.
  void choose(std::size_t i);
  // Of an item that joined. mmr: the largest cosine with a chosen one, 0 while none is (Carbonell & Goldstein, SIGIR
  // 1998). dpp: minus the logarithm of what choosing it multiplies the determinant of the chosen ones' cosines by,
  // found with one more row of their Cholesky factor (Chen, Zhang & Zhou, NeurIPS 2018); at most kNone, where vectors
  // already chosen make up all of its own.
  double of(std::size_t i) const noexcept;

  static constexpr double kNone = 13.815510557964274;  // -log(1e-6)

 private:
  struct Direction {
    std::size_t chosen;  // an item
    double length;       // of what others had left of it
  };
  // Compares items [begin, end) with a chosen one.
  void compare(std::size_t chosen, std::size_t begin, std::size_t end);
  void take_away(std::size_t direction, std::size_t begin, std::size_t end);

  DiversityMethod method_ = DiversityMethod::mmr;
  std::span<const ItemHandle> items_;
  ItemRelations* relations_ = nullptr;
  std::size_t joined_ = 0;
  std::vector<std::size_t> chosen_;  // mmr
  std::vector<float> cosines_;       // of one comparison
  std::vector<double> state_;        // [items] mmr: the largest cosine; dpp: the squared length that is left
  std::vector<Direction> directions_;
  std::vector<double> factor_;  // [directions, items]: rows of the Cholesky factor
};

}  // namespace attune::inline v0_1
