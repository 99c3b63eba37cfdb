// SPDX-License-Identifier: Apache-2.0
#pragma once

// The epochs of a training: as they pass, and in the result.

#include <vector>

#include "attune/training/trainer.hpp"
#include "cli/console.hpp"

namespace attune::cli {

// A line per epoch, a bar within it. The console must outlive it.
Progress progress_on(Console& console);
Json epochs_json(const std::vector<EpochReport>& epochs);

}  // namespace attune::cli
