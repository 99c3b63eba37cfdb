// SPDX-License-Identifier: Apache-2.0
#include "model/weight_codes.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <limits>

#include "model/model_files.hpp"
#include "model/safetensors_header.hpp"

namespace attune::inline v0_1::detail {
namespace {

constexpr int kLargestCode = 127;

// Vectors are multiplied by a matrix, whose output channels are its columns; tables are looked up by row.
bool is_table(const std::string& tensor) noexcept {
  return tensor == kItemsTensor || tensor == kOutputsTensor || tensor == kPositionsTensor ||
         !tensor.ends_with(".weight");
}

// 17 of the 24 significant bits, so that a code times its scale is exact and the largest element has the code 127: what
// is decoded has the same scales again. The least one is not so small that a product could lose bits.
float scale_of(float largest) noexcept {
  const auto bits = std::bit_cast<std::uint32_t>(largest / float{kLargestCode});
  return std::max(std::bit_cast<float>(bits & ~0x7Fu), std::numeric_limits<float>::min());
}

// Visits element i of row r and column c: use(i, r, c).
template <class Use>
void each_element(std::span<const std::size_t> shape, Use use) {
  for (std::size_t row = 0, i = 0; row < shape[0]; ++row) {
    for (std::size_t column = 0; column < shape[1]; ++column, ++i) use(i, row, column);
  }
}

[[noreturn]] void fail(const std::string& name, const std::string& tensor, const std::string& problem) {
  throw Error(ErrorCode::corrupt_file, "\"" + name + "\": tensor " + in_quotes(tensor) + ": " + problem);
}

std::vector<float> read_scales(const SafetensorsFile& file, const TensorInfo& scales, const std::string& name) {
  std::vector<float> values = file.floats(scales);
  const auto bad = std::ranges::find_if_not(
      values, [](float scale) { return scale > 0 && std::isfinite(scale * float{kLargestCode}); });
  if (bad == values.end()) return values;
  fail(name, scales.name,
       "element " + std::to_string(bad - values.begin()) +
           ": expected a positive scale that 127 codes of do not overflow, found " + std::to_string(*bad));
}

}  // namespace

bool has_codes(WeightStorage storage, std::span<const std::size_t> shape) noexcept {
  return storage == WeightStorage::int8 && shape.size() == 2;
}

std::string scale_name(const std::string& tensor) { return tensor + ".scale"; }

WeightCodes::WeightCodes(const std::string& tensor, std::span<const std::size_t> shape, std::span<const float> matrix)
    : codes(matrix.size()) {
  const bool by_row = is_table(tensor);
  scale_shape = by_row ? std::vector{shape[0], std::size_t{1}} : std::vector{std::size_t{1}, shape[1]};
  scales.resize(by_row ? shape[0] : shape[1]);
  each_element(shape, [&](std::size_t i, std::size_t row, std::size_t column) {
    float& largest = scales[by_row ? row : column];
    largest = std::max(largest, std::abs(matrix[i]));
  });
  std::ranges::transform(scales, scales.begin(), scale_of);
  each_element(shape, [&](std::size_t i, std::size_t row, std::size_t column) {
    const double scale = double{scales[by_row ? row : column]};
    codes[i] = static_cast<std::int8_t>(std::lround(double{matrix[i]} / scale));
  });
}

std::vector<float> read_weights(const SafetensorsFile& file, const TensorInfo& tensor, WeightStorage storage,
                                const std::string& name) {
  if (!has_codes(storage, tensor.shape)) return file.floats(tensor);
  if (tensor.dtype != DType::i8) {
    fail(name, tensor.name, "expected I8, found " + std::string(to_string(tensor.dtype)));
  }
  const TensorInfo* const found = file.find(scale_name(tensor.name));
  const bool by_column =
      found != nullptr && std::ranges::equal(found->shape, std::array{std::size_t{1}, tensor.shape[1]});
  const TensorInfo& scale_tensor =
      by_column ? *found : file.require(scale_name(tensor.name), std::array{tensor.shape[0], std::size_t{1}});
  const std::vector<float> scales = read_scales(file, scale_tensor, name);
  const std::span<const std::byte> codes = file.bytes(tensor);
  std::vector<float> values(tensor.elements());
  each_element(tensor.shape, [&](std::size_t i, std::size_t row, std::size_t column) {
    const auto code = static_cast<std::int8_t>(codes[i]);
    if (code < -kLargestCode) {
      fail(name, tensor.name, "element " + std::to_string(i) + ": expected a code from -127 to 127, found -128");
    }
    values[i] = static_cast<float>(code) * scales[by_column ? column : row];
  });
  return values;
}

}  // namespace attune::inline v0_1::detail
