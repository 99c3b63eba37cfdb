// SPDX-License-Identifier: Apache-2.0
#pragma once

// Files that hold one vector after another: .npy (versions 1 to 3, '<f4' or '<f8', C order), .npz and safetensors.

#include <cstddef>
#include <span>
#include <string>
#include <vector>

#include "attune/version.hpp"

namespace attune::inline v0_1::detail {

struct VectorFile {
  std::size_t rows = 0, width = 0;
  std::vector<float> values;  // [rows, width], all finite
  std::span<const float> of(std::size_t row) const noexcept {
    return std::span<const float>(values).subspan(row * width, width);
  }
};

// Whether a file is to be read by read_vectors(), and not line by line: by its first bytes, and safetensors by its
// name. Throws Error(invalid_data) for an image, Error(unsupported) for .npz.
bool holds_vectors(const std::string& file);

// `tensor` names one of a safetensors or .npz file, "" the only one. Throws Error: io_error, corrupt_file, unsupported,
// invalid_data; the message names the file. Takes memory in proportion to the file.
VectorFile read_vectors(const std::string& file, const std::string& tensor);

}  // namespace attune::inline v0_1::detail
