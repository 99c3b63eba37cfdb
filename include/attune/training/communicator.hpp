// SPDX-License-Identifier: Apache-2.0
#pragma once

// Processes that train one model together. Each is a rank: it runs the same program on the same data and calls
// Trainer::fit() with the same settings. mpi.hpp has those that mpirun starts; others derive from Communicator.

#include <cstddef>
#include <span>
#include <vector>

#include "attune/version.hpp"

namespace attune::inline v0_1 {

// All ranks call the same members in the same order, with spans of the same lengths (but for gather), and each call
// returns once the others have made it. What fails there throws, and the ranks cannot go on: end them all. One caller
// at a time.
class ATTUNE_EXPORT Communicator {
 public:
  virtual ~Communicator() = default;
  virtual std::size_t rank() const noexcept = 0;  // of this process, below size()
  virtual std::size_t size() const noexcept = 0;
  // `values` of rank 0 at all ranks.
  virtual void broadcast(std::span<std::byte> values) = 0;
  // What every rank gave, by rank, at all ranks.
  virtual std::vector<std::vector<std::byte>> gather(std::span<const std::byte> own) = 0;
  // Element by element the sum over the ranks, at all ranks the same bits: neighbours first, then pairs of neighbours,
  // ((0 + 1) + (2 + 3)) + ..., and a rank without a neighbour waits for the next round.
  virtual void sum(std::span<float> values) = 0;
};

// Calls add(into, from) for every two of `count` parts in the order of Communicator::sum; the sum is then in part 0.
template <class Add>
void add_by_neighbours(std::size_t count, const Add& add) {
  for (std::size_t stride = 1; stride < count; stride *= 2) {
    for (std::size_t into = 0; into + stride < count; into += 2 * stride) add(into, into + stride);
  }
}

}  // namespace attune::inline v0_1
