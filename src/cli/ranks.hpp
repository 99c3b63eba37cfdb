// SPDX-License-Identifier: Apache-2.0
#pragma once

// The processes that a launcher, such as mpirun, has started beside this one.

#include <cstddef>
#include <exception>
#include <memory>

#include "attune/training/communicator.hpp"

namespace attune::cli {

// How many processes there are, with this one; 1 without a launcher. Asks the environment alone.
std::size_t launched_processes();

// All of them in one group, for the time of its life. Throws UsageError where there are several and this attune was
// built without MPI.
class Ranks {
 public:
  Ranks();
  ~Ranks();
  Ranks(const Ranks&) = delete;
  Ranks& operator=(const Ranks&) = delete;

  Communicator* communicator() const noexcept { return communicator_.get(); }  // null: there is one
  bool leads() const noexcept { return !communicator_ || communicator_->rank() == 0; }
  // What went wrong here would leave the others waiting: says it and ends them all. Does nothing where there is one.
  void end(const std::exception& error) const;

 private:
  std::unique_ptr<Communicator> communicator_;
};

}  // namespace attune::cli
