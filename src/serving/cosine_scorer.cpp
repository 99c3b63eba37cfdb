// SPDX-License-Identifier: Apache-2.0
#include "attune/serving/cosine_scorer.hpp"

namespace attune::inline v0_1 {

template class CosineScorer<float>;

}  // namespace attune::inline v0_1
