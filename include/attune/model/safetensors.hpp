// SPDX-License-Identifier: Apache-2.0
#pragma once

// A strict reader and a writer of safetensors files. Every number is checked before it sizes anything: a damaged or
// hostile file gives one Error, without allocating more than twice its size.

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "attune/error.hpp"
#include "attune/version.hpp"

namespace attune::inline v0_1 {

// Element types that can be loaded. Others of the format are recognised and refused as unsupported.
enum class DType : std::uint8_t { f32, f16, bf16, i8, u8, i32, i64, u64, u32, boolean };
ATTUNE_EXPORT std::string_view to_string(DType dtype) noexcept;  // "F32", ...
ATTUNE_EXPORT std::size_t size_of(DType dtype) noexcept;         // bytes

struct TensorInfo {
  std::string name;
  DType dtype = DType::f32;
  std::vector<std::size_t> shape;  // empty: a scalar
  std::size_t begin = 0, end = 0;  // bytes in the data area
  std::size_t elements() const noexcept {
    std::size_t count = 1;
    for (const std::size_t extent : shape) count *= extent;
    return count;
  }
};

class ATTUNE_EXPORT SafetensorsFile {
 public:
  // Limits: header 16 MiB, 100,000 tensors, names 1 KiB, rank 8, 1,024 metadata entries of 1 MiB in all.
  // Every tensor lies within the data, none overlaps another, and nothing lies between or behind them.
  // Throws Error: io_error, corrupt_file, unsupported (element type), limit_exceeded; the message names the file.
  static SafetensorsFile open(const std::string& file);
  static SafetensorsFile parse(std::vector<std::byte> bytes, const std::string& name_for_messages);
  // Of bytes that stay where they are; only the header is looked at. `owner` keeps them alive.
  static SafetensorsFile view(std::span<const std::byte> bytes, std::shared_ptr<const void> owner,
                              const std::string& name_for_messages);

  const std::string& name() const noexcept { return name_; }                    // for messages
  const std::vector<TensorInfo>& tensors() const noexcept { return tensors_; }  // in file order of their data
  const std::map<std::string, std::string, std::less<>>& metadata() const noexcept { return metadata_; }

  const TensorInfo* find(std::string_view name) const noexcept;  // null when absent
  // Throws Error(corrupt_file) naming the tensor when it is absent or its shape differs.
  const TensorInfo& require(std::string_view name, std::span<const std::size_t> shape) const;
  // Copies; `tensor` is one of tensors(); the data need not be aligned. floats converts F32, F16 and BF16, integers
  // converts I8 to U64; other element types and, with `finite`, NaN or infinity throw Error naming the tensor.
  std::vector<float> floats(const TensorInfo& tensor, bool finite = true) const;
  std::vector<std::int64_t> integers(const TensorInfo& tensor) const;
  std::span<const std::byte> bytes(const TensorInfo& tensor) const noexcept;

 private:
  [[noreturn]] void fail(ErrorCode code, const TensorInfo& tensor, const std::string& what) const;

  std::string name_;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, std::string, std::less<>> metadata_;
  std::span<const std::byte> bytes_;
  std::shared_ptr<const void> owner_;  // of the bytes
  std::size_t data_begin_ = 0;
};

// Collects views of tensors, then gives the file. Data begins at a multiple of 64 bytes.
class ATTUNE_EXPORT SafetensorsWriter {
 public:
  void metadata(std::string key, std::string value);
  // The data must stay alive until bytes(). Throws Error(invalid_argument) for a name given twice or a size that does
  // not fit the shape.
  void add(std::string name, std::vector<std::size_t> shape, std::span<const float> data);
  void add(std::string name, std::vector<std::size_t> shape, std::span<const std::int8_t> data);
  void add(std::string name, std::vector<std::size_t> shape, std::span<const std::uint32_t> data);
  void add(std::string name, std::vector<std::size_t> shape, std::span<const std::uint64_t> data);
  void add(std::string name, std::vector<std::size_t> shape, std::span<const std::int64_t> data);
  std::vector<std::byte> bytes() const;

 private:
  struct Entry {
    std::string name;
    DType dtype;
    std::vector<std::size_t> shape;
    std::span<const std::byte> data;
  };
  void add_bytes(std::string name, DType dtype, std::vector<std::size_t> shape, std::span<const std::byte> data);
  std::map<std::string, std::string, std::less<>> metadata_;
  std::vector<Entry> entries_;
};

}  // namespace attune::inline v0_1
