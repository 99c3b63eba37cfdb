// SPDX-License-Identifier: Apache-2.0
#pragma once

// Matrices of weights.safetensors in 8 bits: codes of a shape [rows, columns] beside a tensor of scales, one for each
// row ([rows, 1]) or for each column ([1, columns]). An element is its code times its scale.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "attune/model/safetensors.hpp"
#include "attune/types.hpp"

namespace attune::inline v0_1::detail {

// Whether a tensor of this shape is kept in codes: matrices are, vectors are not.
bool has_codes(WeightStorage storage, std::span<const std::size_t> shape) noexcept;
std::string scale_name(const std::string& tensor);  // "<tensor>.scale"

// Decoded elements differ from `matrix` [rows, columns] by at most half a scale, zero stays zero, a row or column that
// is not all zeros stays so, and the codes of what was decoded are the same codes. Precondition: `matrix` is finite.
struct WeightCodes {
  WeightCodes(const std::string& tensor, std::span<const std::size_t> shape, std::span<const float> matrix);

  std::vector<std::int8_t> codes;  // [rows, columns], in [-127, 127]
  std::vector<float> scales;       // positive
  std::vector<std::size_t> scale_shape;
};

// The elements of a tensor of the file, decoded where it has codes. `name` is that of the file, for messages. Throws
// Error: corrupt_file (also for codes and scales that are none), unsupported, non_finite.
std::vector<float> read_weights(const SafetensorsFile& file, const TensorInfo& tensor, WeightStorage storage,
                                const std::string& name);

}  // namespace attune::inline v0_1::detail
