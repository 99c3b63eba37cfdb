// SPDX-License-Identifier: Apache-2.0
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "attune/error.hpp"
#include "attune/model/safetensors.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  try {
    const auto file = attune::SafetensorsFile::parse({bytes.begin(), bytes.end()}, "input");
    for (const auto& tensor : file.tensors()) {
      if (file.bytes(tensor).size() != tensor.elements() * attune::size_of(tensor.dtype)) __builtin_trap();
      try {
        static_cast<void>(file.floats(tensor));
      } catch (const attune::Error&) {
        static_cast<void>(file.bytes(tensor));
      }
    }
  } catch (const attune::Error&) {
    return 0;
  }
  return 0;
}
