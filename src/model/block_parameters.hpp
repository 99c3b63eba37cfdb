// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

#include "attune/model/config.hpp"
#include "attune/model/parameters.hpp"

namespace attune::inline v0_1::detail {

// What block `index` of an encoder will be made of: to see that all of it is in a file before memory is taken for it.
ParameterList block_parameters(const EncoderConfig& config, std::size_t index);

}  // namespace attune::inline v0_1::detail
