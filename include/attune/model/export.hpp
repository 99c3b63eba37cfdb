// SPDX-License-Identifier: Apache-2.0
#pragma once

// The encoder of a model in the forms that other programs read: RecBole's tensors, an ONNX graph, and vectors of items
// and users whose products are its scores. The bytes of a file each; const access alone, safe from any thread.

#include <cstddef>
#include <span>
#include <vector>

#include "attune/model/checkpoint.hpp"

namespace attune::inline v0_1 {

// The encoder as a safetensors file with the names and shapes of RecBole's SASRec, its hyper-parameters as metadata;
// row 0 of the items, padding there, is zeros. import_model() gives back the same weights, bit for bit, with a hop
// of 1. Throws Error(unsupported) naming what RecBole has no place for: an encoder of another kind, by the field of its
// configuration that differs, or counts that are blended in.
ATTUNE_EXPORT std::vector<std::byte> export_recbole(const TrainedModel& model);

// The encoder as an ONNX graph (opset 17, standard operators, float): the input "events" is a list of 1 to
// max_sequence_length rows of items (int64, from 0, oldest first), the output "user_vector" [D]. Its metadata has
// "max_sequence_length" and "score". Throws Error(unsupported) for encoders that are not causal SASRec, and
// Error(limit_exceeded) beyond 2^28 weights.
ATTUNE_EXPORT std::vector<std::byte> export_onnx(const TrainedModel& model);

// Vectors [rows, D] in float. The encoder's score of an item for a user is the product of their rows, whatever the
// score kind; counts that the model blends in are left out. Zeros stand for items that have no score, and users of whom
// the encoder knows no event.
struct ExportedVectors {
  std::size_t width = 0;
  std::vector<float> values;
};
// In order of the item ids. Throws Error(unsupported) for a model without an encoder.
ATTUNE_EXPORT ExportedVectors export_item_vectors(const TrainedModel& model);
// Of the histories the model serves, in their order, as if each asked at its last event. The same, and
// Error(unsupported) for a model without histories.
ATTUNE_EXPORT ExportedVectors export_user_vectors(const TrainedModel& model);

// A file of version 1.0 of NumPy's format, '<f4', C order. Precondition: width divides the number of values.
ATTUNE_EXPORT std::vector<std::byte> npy_bytes(std::span<const float> values, std::size_t width);

}  // namespace attune::inline v0_1
