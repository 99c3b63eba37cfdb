// SPDX-License-Identifier: Apache-2.0
#pragma once

// What interactions are like: how they were read, how many and how dense, how long the tail of items is and the
// histories are, how long users pause.

#include <functional>
#include <string>

#include "attune/data/interaction_log.hpp"
#include "cli/console.hpp"
#include "cli/html.hpp"

namespace attune::cli {

// Adds a section. `load`: load_json() of the interactions. `title`: of an item.
void add_data_profile(HtmlPage& page, const Json& load, const Histories& histories,
                      const std::function<std::string(ItemHandle)>& title);

}  // namespace attune::cli
