// SPDX-License-Identifier: Apache-2.0
#pragma once

// Ranks that mpirun starts. Header only: the program finds MPI itself (3.0, its C interface).

// The C interface alone: the one in C++ is long gone from MPI.
#ifndef OMPI_SKIP_MPICXX
#define OMPI_SKIP_MPICXX 1
#endif
#ifndef MPICH_SKIP_MPICXX
#define MPICH_SKIP_MPICXX 1
#endif
#include <mpi.h>

#include <algorithm>
#include <cstddef>
#include <span>
#include <vector>

#include "attune/training/communicator.hpp"

namespace attune::inline v0_1 {

// The processes of an MPI communicator, which must outlive it, as MPI must (MPI_THREAD_FUNNELED
// where the training has threads). Not for several threads at once. Errors go
// to the communicator's error handler, which by default ends all its processes.
class MpiCommunicator final : public Communicator {
 public:
  // Between MPI_Init() and MPI_Finalize().
  explicit MpiCommunicator(MPI_Comm processes = MPI_COMM_WORLD) : processes_(processes) {
    MPI_Comm_rank(processes_, &rank_);
    MPI_Comm_size(processes_, &size_);
  }

  std::size_t rank() const noexcept override { return static_cast<std::size_t>(rank_); }
  std::size_t size() const noexcept override { return static_cast<std::size_t>(size_); }

  void broadcast(std::span<std::byte> values) override {
    for (; !values.empty(); values = values.subspan(std::min(values.size(), kPiece))) {
      MPI_Bcast(values.data(), static_cast<int>(std::min(values.size(), kPiece)), MPI_BYTE, 0, processes_);
    }
  }

  std::vector<std::vector<std::byte>> gather(std::span<const std::byte> own) override {
    std::vector<unsigned long long> sizes(size());
    const unsigned long long own_size = own.size();
    MPI_Allgather(&own_size, 1, MPI_UNSIGNED_LONG_LONG, sizes.data(), 1, MPI_UNSIGNED_LONG_LONG, processes_);
    std::vector<std::vector<std::byte>> all(size());
    for (std::size_t r = 0; r < size(); ++r) {
      all[r].resize(sizes[r]);
      if (r == rank()) std::ranges::copy(own, all[r].begin());
      for (std::size_t at = 0; at < sizes[r]; at += kPiece) {
        const std::size_t count = std::min<std::size_t>(sizes[r] - at, kPiece);
        MPI_Bcast(all[r].data() + at, static_cast<int>(count), MPI_BYTE, static_cast<int>(r), processes_);
      }
    }
    return all;
  }

  // Every rank adds up one part of the values, in the order that all agree on, and gives it to the others.
  void sum(std::span<float> values) override {
    for (; !values.empty(); values = values.subspan(std::min(values.size(), kPiece))) {
      sum_piece(values.first(std::min(values.size(), kPiece)));
    }
  }

 private:
  static constexpr std::size_t kPiece = std::size_t{1} << 24;  // MPI counts in int

  void sum_piece(std::span<float> values) {
    const auto begin = [&](std::size_t r) { return static_cast<int>(values.size() * r / size()); };
    std::vector<int> counts(size()), places(size()), own_counts(size()), own_places(size());
    const int own_begin = begin(rank()), own_count = begin(rank() + 1) - own_begin;
    for (std::size_t r = 0; r < size(); ++r) {
      places[r] = begin(r);
      counts[r] = begin(r + 1) - places[r];
      own_counts[r] = own_count;
      own_places[r] = static_cast<int>(r) * own_count;
    }
    const auto part = static_cast<std::size_t>(own_count);
    received_.resize(part * size());
    MPI_Alltoallv(values.data(), counts.data(), places.data(), MPI_FLOAT, received_.data(), own_counts.data(),
                  own_places.data(), MPI_FLOAT, processes_);
    add_by_neighbours(size(), [&](std::size_t into, std::size_t from) {
      float* const sum = received_.data() + into * part;
      const float* const other = received_.data() + from * part;
      for (std::size_t i = 0; i < part; ++i) sum[i] += other[i];
    });
    std::copy_n(received_.data(), part, values.data() + own_begin);
    MPI_Allgatherv(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, values.data(), counts.data(), places.data(), MPI_FLOAT,
                   processes_);
  }

  MPI_Comm processes_;
  int rank_ = 0, size_ = 1;
  std::vector<float> received_;  // a part [size, part]
};

}  // namespace attune::inline v0_1
