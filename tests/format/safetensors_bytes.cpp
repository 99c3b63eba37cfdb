// SPDX-License-Identifier: Apache-2.0
#include "format/safetensors_bytes.hpp"

#include <numeric>
#include <span>
#include <stdexcept>

namespace attune::test {

using namespace attune;

std::string length_prefix(std::uint64_t length) {
  std::string text;
  for (int i = 0; i < 8; ++i) text += static_cast<char>(length >> (8 * i) & 0xFF);
  return text;
}

std::string file_of(std::string_view header, std::size_t data) {
  return length_prefix(header.size()).append(header).append(data, '\1');
}

std::string object(std::initializer_list<std::string_view> members) {
  std::string text;
  for (const std::string_view member : members) text.append(text.empty() ? "{" : ",").append(member);
  return text.append(members.size() == 0 ? "{}" : "}");
}

std::string entry(std::string_view name, std::string_view dtype, std::string_view shape, std::string_view offsets) {
  std::string text = "\"";
  text.append(name).append("\":{\"dtype\":\"").append(dtype).append("\",\"shape\":").append(shape);
  return text.append(",\"data_offsets\":").append(offsets).append("}");
}

Bytes to_bytes(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text));
  return {bytes.begin(), bytes.end()};
}

Bytes small_file() {
  std::vector<float> weights(375);
  std::iota(weights.begin(), weights.end(), -187.0f);
  const std::vector<std::uint32_t> columns{1, 2, 3};
  const std::vector<std::uint64_t> counts{7};
  const std::vector<std::int64_t> numbers{-1, 5};
  SafetensorsWriter writer;
  writer.metadata("format", "test");
  writer.metadata("quote \" backslash \\ line\n", "\x01\x1f and \xE2\x82\xAC");
  writer.add("blocks.0.attention.qkv.weight", {25, 15}, std::span<const float>(weights));
  writer.add("a \"name\"\t\xF0\x9F\x8E\xB5", {3}, std::span<const std::uint32_t>(columns));
  writer.add("scalar", {}, std::span<const std::uint64_t>(counts));
  writer.add("numbers", {2, 1}, std::span<const std::int64_t>(numbers));
  writer.add("empty", {0, 5}, std::span<const float>());
  return writer.bytes();
}

void read_everything(const SafetensorsFile& file) {
  const auto promise = [](bool kept, const char* what) {
    if (!kept) throw std::logic_error(what);
  };
  unsigned checksum = 0;
  std::size_t expected = 0;
  for (const TensorInfo& tensor : file.tensors()) {
    promise(tensor.begin == expected, "tensors stand back to back");
    expected = tensor.end;
    const auto bytes = file.bytes(tensor);
    promise(bytes.size() == tensor.elements() * size_of(tensor.dtype), "the bytes of a tensor fit its shape");
    for (const std::byte byte : bytes) checksum += static_cast<unsigned>(byte);
    promise(file.find(tensor.name) == &tensor, "a tensor is found by its name");
    promise(&file.require(tensor.name, tensor.shape) == &tensor, "a tensor has the shape it has");
    try {
      promise(file.floats(tensor, false).size() == tensor.elements(), "as many floats as elements");
    } catch (const Error& error) {
      promise(error.code() == ErrorCode::unsupported, "integers are refused as unsupported");
      try {
        promise(file.integers(tensor).size() == tensor.elements(), "as many integers as elements");
      } catch (const Error& beyond) {
        promise(tensor.dtype == DType::u64 && beyond.code() == ErrorCode::unsupported, "only U64 can be too large");
      }
    }
  }
  promise(checksum < ~0u, "every byte was read");
}

}  // namespace attune::test
