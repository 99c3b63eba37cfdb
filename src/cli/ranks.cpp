// SPDX-License-Identifier: Apache-2.0
#include "cli/ranks.hpp"

#include <algorithm>
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
  std::size_t most = 1;
  // Open MPI; MPICH and those that come from it; srun, which may start processes that are no ranks.
  for (const char* name : {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS"}) {
    const char* const value = std::getenv(name);
    if (!value || (name == std::string_view("SLURM_STEP_NUM_TASKS") && !std::getenv("PMIX_RANK"))) continue;
    const std::string_view text = value;
    std::size_t processes = 1;
    std::from_chars(text.data(), text.data() + text.size(), processes);
    most = std::max(most, processes);
  }
  return most;
}

#if defined(ATTUNE_WITH_MPI)

Ranks::Ranks() {
  const std::size_t launched = launched_processes();
  if (launched == 1) return;
  int provided = 0;
  MPI_Init_thread(nullptr, nullptr, MPI_THREAD_FUNNELED, &provided);  // this thread alone talks to the others
  communicator_ = std::make_unique<MpiCommunicator>();
  if (communicator_->size() == launched) return;
  const std::size_t found = communicator_->size();
  MPI_Finalize();
  throw UsageError("expected the MPI of the launcher, which has started " + std::to_string(launched) +
                   " processes, found one that knows of " + std::to_string(found));
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
