// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <string>

#include "attune/types.hpp"

namespace attune::inline v0_1::detail {

// Rewrites the histories of a model directory without this user, durably, and removes what saves that were killed have
// left beside it. The other files stay; whoever has them open or mapped notices nothing. Throws Error.
void erase_user(const std::string& directory, const Id& user);

}  // namespace attune::inline v0_1::detail
