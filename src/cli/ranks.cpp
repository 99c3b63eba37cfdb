// SPDX-License-Identifier: Apache-2.0
#include "cli/ranks.hpp"

#include <charconv>
#include <cstdlib>
#include <string_view>

#include "cli/arguments.hpp"

#if defined(ATTUNE_WITH_MPI)
#include <iostream>
#include <string>

#include "attune/interop/mpi.hpp"
#endif

namespace attune::cli {

std::size_t launched_processes() {
  std::size_t processes = 1;
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE"}) {  // Open MPI; MPICH and those that come from it
    const char* const value = std::getenv(name);
    if (!value) continue;
    const std::string_view text = value;
    std::from_chars(text.data(), text.data() + text.size(), processes);
  }
  return processes;
}

#if defined(ATTUNE_WITH_MPI)

Ranks::Ranks() {
  if (launched_processes() == 1) return;
  MPI_Init(nullptr, nullptr);
  communicator_ = std::make_unique<MpiCommunicator>();
}

Ranks::~Ranks() {
  if (communicator_) MPI_Finalize();
}

void Ranks::end(const std::exception& error) const {
  if (!communicator_) return;
  const std::string rank = "rank " + std::to_string(communicator_->rank());
  std::cerr << ("attune: " + rank + ": " + error.what() + '\n') << std::flush;
  MPI_Abort(MPI_COMM_WORLD, kFailed);
}

#else

Ranks::Ranks() {
  const std::size_t processes = launched_processes();
  if (processes == 1) return;
  throw UsageError("expected to be started alone, found " + std::to_string(processes) +
                   " processes: this attune was built without MPI");
}

Ranks::~Ranks() = default;
void Ranks::end(const std::exception&) const {}

#endif

}  // namespace attune::cli
