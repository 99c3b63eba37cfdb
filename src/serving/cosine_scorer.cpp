// SPDX-License-Identifier: Apache-2.0
#include "attune/serving/cosine_scorer.hpp"

namespace attune::inline v0_1 {

template class CosineScorer<float>;
template class CosineScorer<std::int8_t>;
template class CosineScorer<Int4>;
template class CosineScorer<Clustered>;

}  // namespace attune::inline v0_1
