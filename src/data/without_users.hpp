// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <functional>
#include <memory>

#include "attune/data/interaction_log.hpp"

namespace attune::inline v0_1::detail {

// The histories of all users but those that `leave_out` names, in their order.
std::shared_ptr<const Histories> without_users(const Histories& histories,
                                               const std::function<bool(const Id&)>& leave_out);

}  // namespace attune::inline v0_1::detail
