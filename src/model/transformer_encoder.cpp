// SPDX-License-Identifier: Apache-2.0
#include "attune/model/transformer_encoder.hpp"

namespace attune::inline v0_1 {

template class EmbeddingTable<float>;
template class SasrecBlock<float>;
template class TransformerEncoder<float, SasrecBlock>;

}  // namespace attune::inline v0_1
