// SPDX-License-Identifier: Apache-2.0
#include "attune/model/safetensors.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "data/little_endian.hpp"
#include "model/safetensors_header.hpp"
#include "platform/files.hpp"

namespace attune::inline v0_1 {
namespace {

using detail::load_number;

// IEEE half precision; subnormal numbers are m * 2^-24.
float from_f16(std::uint16_t half) noexcept {
  const std::uint32_t sign = (half & 0x8000u) << 16;
  const std::uint32_t exponent = half >> 10 & 0x1Fu;
  const std::uint32_t mantissa = half & 0x3FFu;
  if (exponent == 0) {
    const float value = std::ldexp(static_cast<float>(mantissa), -24);
    return sign != 0 ? -value : value;
  }
  const std::uint32_t wide = exponent == 0x1F ? 0xFFu : exponent + 112;
  return std::bit_cast<float>(sign | wide << 23 | mantissa << 13);
}

float from_bf16(std::uint16_t upper) noexcept { return std::bit_cast<float>(std::uint32_t{upper} << 16); }

// out[i] = convert(number i of type Number)
template <class Number, class Out, class Convert>
void convert_all(std::vector<Out>& out, std::span<const std::byte> bytes, Convert convert) {
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = convert(load_number<Number>(&bytes[i * sizeof(Number)]));
}

std::string shape_text(std::span<const std::size_t> shape) {
  std::string text = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) text += (i == 0 ? "" : ", ") + std::to_string(shape[i]);
  return text + "]";
}

}  // namespace

std::string_view to_string(DType dtype) noexcept {
  switch (dtype) {
    case DType::f32: return "F32";
    case DType::f16: return "F16";
    case DType::bf16: return "BF16";
    case DType::i8: return "I8";
    case DType::u8: return "U8";
    case DType::i32: return "I32";
    case DType::i64: return "I64";
    case DType::u64: return "U64";
    case DType::u32: return "U32";
    case DType::boolean: return "BOOL";
  }
  return "unknown";
}

std::size_t size_of(DType dtype) noexcept {
  switch (dtype) {
    case DType::i8:
    case DType::u8:
    case DType::boolean: return 1;
    case DType::f16:
    case DType::bf16: return 2;
    case DType::f32:
    case DType::i32:
    case DType::u32: return 4;
    case DType::i64:
    case DType::u64: return 8;
  }
  return 0;
}

// The header is read and checked before memory is taken for the data.
SafetensorsFile SafetensorsFile::open(const std::string& path) {
  platform::RegularFile file(path);
  SafetensorsFile result;
  result.name_ = path;
  const auto prefix = file.read(std::min<std::uint64_t>(file.size(), sizeof(std::uint64_t)));
  const std::uint64_t length = detail::header_length(prefix, file.size(), result.name_);
  const std::uint64_t data_size = file.size() - prefix.size() - length;
  const auto text = file.read(length);
  auto header =
      detail::parse_header({reinterpret_cast<const char*>(text.data()), text.size()}, data_size, result.name_);
  result.tensors_ = std::move(header.tensors);
  result.metadata_ = std::move(header.metadata);
  const auto bytes = std::make_shared<const std::vector<std::byte>>(file.read(data_size));
  result.bytes_ = *bytes;
  result.owner_ = bytes;
  return result;
}

SafetensorsFile SafetensorsFile::parse(std::vector<std::byte> bytes, const std::string& name_for_messages) {
  const auto owner = std::make_shared<const std::vector<std::byte>>(std::move(bytes));
  return view(*owner, owner, name_for_messages);
}

SafetensorsFile SafetensorsFile::view(std::span<const std::byte> all, std::shared_ptr<const void> owner,
                                      const std::string& name_for_messages) {
  SafetensorsFile result;
  result.name_ = name_for_messages;
  result.bytes_ = all;
  result.owner_ = std::move(owner);
  const std::size_t prefix = sizeof(std::uint64_t);
  const std::uint64_t length = detail::header_length(all.first(std::min(all.size(), prefix)), all.size(), result.name_);
  result.data_begin_ = prefix + length;
  auto header = detail::parse_header({reinterpret_cast<const char*>(all.data()) + prefix, length},
                                     all.size() - result.data_begin_, result.name_);
  result.tensors_ = std::move(header.tensors);
  result.metadata_ = std::move(header.metadata);
  return result;
}

const TensorInfo* SafetensorsFile::find(std::string_view name) const noexcept {
  const auto found = std::ranges::find(tensors_, name, &TensorInfo::name);
  return found == tensors_.end() ? nullptr : &*found;
}

const TensorInfo& SafetensorsFile::require(std::string_view name, std::span<const std::size_t> shape) const {
  const TensorInfo* const tensor = find(name);
  if (tensor == nullptr) {
    throw Error(ErrorCode::corrupt_file, "\"" + name_ + "\": tensor " + detail::in_quotes(name) + " is missing");
  }
  if (!std::ranges::equal(tensor->shape, shape)) {
    throw Error(ErrorCode::corrupt_file, "\"" + name_ + "\": tensor " + detail::in_quotes(name) + ": expected shape " +
                                             shape_text(shape) + ", found " + shape_text(tensor->shape));
  }
  return *tensor;
}

std::vector<float> SafetensorsFile::floats(const TensorInfo& tensor, bool finite) const {
  std::vector<float> values(tensor.elements());
  const auto data = bytes(tensor);
  switch (tensor.dtype) {
    case DType::f32: convert_all<float>(values, data, [](float value) { return value; }); break;
    case DType::f16: convert_all<std::uint16_t>(values, data, from_f16); break;
    case DType::bf16: convert_all<std::uint16_t>(values, data, from_bf16); break;
    default:
      fail(ErrorCode::unsupported, tensor, "expected F32, F16 or BF16, found " + std::string(to_string(tensor.dtype)));
  }
  if (finite) {
    const auto bad = std::ranges::find_if_not(values, [](float value) { return std::isfinite(value); });
    if (bad != values.end()) {
      fail(ErrorCode::non_finite, tensor, "element " + std::to_string(bad - values.begin()) + " is NaN or infinite");
    }
  }
  return values;
}

std::vector<std::int64_t> SafetensorsFile::integers(const TensorInfo& tensor) const {
  std::vector<std::int64_t> values(tensor.elements());
  const auto data = bytes(tensor);
  const auto widen = [](auto value) { return static_cast<std::int64_t>(value); };
  switch (tensor.dtype) {
    case DType::i8: convert_all<std::int8_t>(values, data, widen); break;
    case DType::u8: convert_all<std::uint8_t>(values, data, widen); break;
    case DType::i32: convert_all<std::int32_t>(values, data, widen); break;
    case DType::u32: convert_all<std::uint32_t>(values, data, widen); break;
    case DType::i64: convert_all<std::int64_t>(values, data, widen); break;
    case DType::u64:
      convert_all<std::uint64_t>(values, data, [&](std::uint64_t value) {
        if (value > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max())) {
          fail(ErrorCode::unsupported, tensor, "a number beyond 2^63 - 1");
        }
        return widen(value);
      });
      break;
    default: fail(ErrorCode::unsupported, tensor, "expected integers, found " + std::string(to_string(tensor.dtype)));
  }
  return values;
}

std::span<const std::byte> SafetensorsFile::bytes(const TensorInfo& tensor) const noexcept {
  return bytes_.subspan(data_begin_ + tensor.begin, tensor.end - tensor.begin);
}

void SafetensorsFile::fail(ErrorCode code, const TensorInfo& tensor, const std::string& what) const {
  throw Error(code, "\"" + name_ + "\": tensor " + detail::in_quotes(tensor.name) + ": " + what);
}

}  // namespace attune::inline v0_1
