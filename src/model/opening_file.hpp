// SPDX-License-Identifier: Apache-2.0
#pragma once

// opening.safetensors of a model directory: what opening a model would have to compute from the other files, found
// ready and used where it is. Nothing in it is a fact of its own: without it a model opens as well, and slower.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "attune/data/id_map.hpp"
#include "attune/detail/checked_blocks.hpp"
#include "attune/model/row_codes.hpp"
#include "attune/model/sequence_encoder.hpp"

namespace attune::inline v0_1::detail {

struct Opening {
  std::shared_ptr<const void> owner;  // of what the spans show
  // Of the ids, as IdMap::view takes it.
  std::uint64_t ids_seed = 0;
  std::span<const std::uint64_t> ids_slots, ids_offsets;
  // Of the encoder's items, a bit each: rows that are not all zeros, and those that a scorer can return. Empty where
  // there is no encoder, or none that is mapped, like what follows.
  std::span<const std::uint64_t> nonzero, scorable;
  std::span<const std::uint64_t> weights_sums;  // of the blocks of weights.safetensors
  std::optional<RowCodes::Stored> codes;        // none for a catalogue too small for them

  // Set by those who load a model: what of the weights is still to be checked. The rest is of an encoder's items if
  // these blocks hold them.
  std::shared_ptr<const CheckedBlocks> weights;
  bool fits(const SequenceEncoder<float>& encoder) const noexcept {
    return weights != nullptr && encoder.items().mapped() == weights.get();
  }
};

// `weights` are the bytes of weights.safetensors; the encoder is null where nothing will be mapped of it.
std::vector<std::byte> opening_bytes(const IdMap& ids, const SequenceEncoder<float>* encoder,
                                     std::span<const std::byte> weights);
// Throws Error(corrupt_file) for tensors that are missing, misaligned, or do not fit `num_items`.
Opening parse_opening(std::span<const std::byte> bytes, std::shared_ptr<const void> owner, const std::string& name,
                      std::size_t num_items, bool has_rows);

}  // namespace attune::inline v0_1::detail
