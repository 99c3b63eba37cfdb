// SPDX-License-Identifier: Apache-2.0
#include "attune/model/transformer_encoder.hpp"

#include "attune/error.hpp"
#include "model/block_parameters.hpp"

namespace attune::inline v0_1 {

template class EmbeddingTable<float>;
template class SequenceEncoder<float>;
template class SasrecBlock<float>;
template class HstuBlock<float>;
template class TransformerEncoder<float, SasrecBlock>;
template class TransformerEncoder<float, HstuBlock>;

std::unique_ptr<SequenceEncoder<float>> make_encoder(const EncoderConfig& config, std::size_t num_items) {
  switch (config.block) {
    case BlockKind::sasrec: return std::make_unique<SasrecEncoder>(config, num_items);
    case BlockKind::hstu: return std::make_unique<HstuEncoder>(config, num_items);
    case BlockKind::custom: break;
  }
  throw Error(ErrorCode::invalid_config, "config: block must be sasrec or hstu, found a host's own");
}

ParameterList detail::block_parameters(const EncoderConfig& config, std::size_t index) {
  ParameterList parameters;
  if (config.block == BlockKind::hstu) {
    HstuBlock<float>(config, index, parameters);
  } else {
    SasrecBlock<float>(config, index, parameters);
  }
  return parameters;
}

}  // namespace attune::inline v0_1
