// SPDX-License-Identifier: Apache-2.0

// The ranks of MPI keep what Communicator promises: mpirun -n N mpi_test. Ends all of them at the first broken promise.

#include "attune/interop/mpi.hpp"

#include <cstddef>
#include <cstdint>
#include <iostream>
#include <span>
#include <vector>

namespace {

void require(bool kept, const char* promise) {
  if (kept) return;
  std::cerr << "broken: " << promise << std::endl;
  MPI_Abort(MPI_COMM_WORLD, 1);
}

// Of a rank, so that the order of additions shows.
float term(std::size_t rank, std::size_t element) {
  const auto mixed = static_cast<std::uint32_t>((rank + 1) * 2654435761u ^ (element + 7) * 40503u);
  return static_cast<float>(mixed) * 1e-3f;
}

void sums(attune::MpiCommunicator& ranks, std::size_t count) {
  std::vector<float> values(count);
  for (std::size_t i = 0; i < count; ++i) values[i] = term(ranks.rank(), i);
  ranks.sum(values);
  std::vector<float> terms(ranks.size());
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t r = 0; r < terms.size(); ++r) terms[r] = term(r, i);
    attune::add_by_neighbours(terms.size(), [&](std::size_t into, std::size_t from) { terms[into] += terms[from]; });
    require(values[i] == terms[0], "sum() adds neighbours first, to the same bits at all ranks");
  }
}

void gathers(attune::MpiCommunicator& ranks) {
  const std::vector<std::byte> own(ranks.rank() * 1000, std::byte(ranks.rank()));  // of rank 0: nothing
  const auto all = ranks.gather(own);
  require(all.size() == ranks.size(), "gather() has something of every rank");
  for (std::size_t r = 0; r < all.size(); ++r) {
    require(all[r] == std::vector<std::byte>(r * 1000, std::byte(r)), "gather() has what every rank gave, by rank");
  }
}

void broadcasts(attune::MpiCommunicator& ranks, std::size_t count) {
  std::vector<std::byte> values(count, std::byte(ranks.rank() + 1));
  ranks.broadcast(values);
  require(values == std::vector<std::byte>(count, std::byte(1)), "broadcast() gives all what rank 0 has");
}

}  // namespace

int main(int argc, char** argv) {
  MPI_Init(&argc, &argv);
  {
    attune::MpiCommunicator ranks;
    for (const std::size_t count : {std::size_t{0}, std::size_t{1}, std::size_t{5}, std::size_t{10'007}}) {
      sums(ranks, count);
      broadcasts(ranks, count);
    }
    // More than travels at once.
    sums(ranks, (std::size_t{1} << 24) + 3);
    broadcasts(ranks, (std::size_t{1} << 24) + 3);
    gathers(ranks);
  }
  MPI_Finalize();
}
