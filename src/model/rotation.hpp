// SPDX-License-Identifier: Apache-2.0
#pragma once

// One fixed orthogonal matrix per width, stored nowhere: rounds of random signs, each followed by a Hadamard transform
// of the largest power of two of the elements, the first and the last of them in turn. It spreads whatever a vector
// holds over all elements (Ailon & Chazelle 2009).

#include <span>

#include "attune/version.hpp"

namespace attune::inline v0_1 {

// In place, in O(n log n).
void rotate(std::span<double> vector) noexcept;

// What rounding may add to rotate's result, in units of its norm: each of at most 4 * (log2 n + 2) steps rounds each
// element once.
inline constexpr double kRotationError = 1e-13;

}  // namespace attune::inline v0_1
