// SPDX-License-Identifier: Apache-2.0
#pragma once

// How the options of count models are refused, and how their histories fade.

#include <cstddef>
#include <string>

#include "attune/error.hpp"
#include "attune/types.hpp"

namespace attune::inline v0_1::detail {

// Throws Error(invalid_config). Conditions are written so that NaN is refused.
inline void require_option(bool fits, const std::string& field, const std::string& allowed, const std::string& found) {
  if (!fits) throw Error(ErrorCode::invalid_config, "config: " + field + " must be " + allowed + ", found " + found);
}

inline void require_decay(double decay, const std::string& field) {
  require_option(decay > 0 && decay <= 1, field, "above 0 and at most 1", std::to_string(decay));
}

// Calls visit(item, decay^k) for the k-th newest event that knows(item), k from 0, as long as the weight matters: what
// is left then adds up to less than a thousandth of the whole for every decay up to 0.9.
template <class Knows, class Visit>
void for_each_faded(HistoryView history, double decay, Knows&& knows, Visit&& visit) {
  constexpr double kLeastWeight = 1e-4;
  double weight = 1;
  for (std::size_t i = history.size(); i-- > 0 && weight >= kLeastWeight;) {
    if (!knows(history.items[i])) continue;
    visit(history.items[i], static_cast<float>(weight));
    weight *= decay;
  }
}

}  // namespace attune::inline v0_1::detail
