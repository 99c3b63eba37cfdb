// SPDX-License-Identifier: Apache-2.0
#include "model/safetensors_header.hpp"

#include <algorithm>
#include <array>
#include <limits>
#include <optional>
#include <tuple>
#include <utility>

#include "data/json_scanner.hpp"
#include "data/little_endian.hpp"

namespace attune::inline v0_1::detail {
namespace {

// Every element type of the format; those without `dtype` cannot be loaded.
struct KnownType {
  std::string_view name;
  unsigned bits;
  std::optional<DType> dtype = std::nullopt;
};
constexpr std::array kTypes{KnownType{"F32", 32, DType::f32},
                            KnownType{"F16", 16, DType::f16},
                            KnownType{"BF16", 16, DType::bf16},
                            KnownType{"I8", 8, DType::i8},
                            KnownType{"U8", 8, DType::u8},
                            KnownType{"I32", 32, DType::i32},
                            KnownType{"U32", 32, DType::u32},
                            KnownType{"I64", 64, DType::i64},
                            KnownType{"U64", 64, DType::u64},
                            KnownType{"BOOL", 8, DType::boolean},
                            KnownType{"I16", 16},
                            KnownType{"U16", 16},
                            KnownType{"F64", 64},
                            KnownType{"C64", 64},
                            KnownType{"F4", 4},
                            KnownType{"F6_E2M3", 6},
                            KnownType{"F6_E3M2", 6},
                            KnownType{"F8_E5M2", 8},
                            KnownType{"F8_E4M3", 8},
                            KnownType{"F8_E8M0", 8},
                            KnownType{"F8_E4M3FNUZ", 8},
                            KnownType{"F8_E5M2FNUZ", 8}};

// The shortest text of a tensor is `"":{"dtype":"U8","shape":[],"data_offsets":[0,0]}`: a header of n bytes holds less
// than n / kShortestEntry + 1 of them.
constexpr std::size_t kShortestEntry = 48;

// a * b, or nothing when that is beyond 64 bits.
std::optional<std::uint64_t> product(std::uint64_t a, std::uint64_t b) noexcept {
  if (a != 0 && b > std::numeric_limits<std::uint64_t>::max() / a) return std::nullopt;
  return a * b;
}

class HeaderParser {
 public:
  HeaderParser(std::string_view json, std::uint64_t data_size, const std::string& file)
      : scanner_(json, '"' + file + "\": ", "header"), data_size_(data_size) {
    header_.tensors.reserve(std::min(kMaxTensors, json.size() / kShortestEntry + 1));
  }

  SafetensorsHeader parse() {
    scanner_.members(kMaxNameBytes, [this](std::string name) {
      if (name == kMetadataKey) return metadata();
      if (header_.tensors.size() == kMaxTensors) {
        scanner_.fail("more than " + std::to_string(kMaxTensors) + " tensors", ErrorCode::limit_exceeded);
      }
      header_.tensors.push_back(tensor(std::move(name)));
    });
    scanner_.end();
    check_names();
    check_tiling();
    if (!unsupported_.empty()) scanner_.fail_whole(unsupported_, ErrorCode::unsupported);
    return std::move(header_);
  }

 private:
  void metadata() {
    if (std::exchange(has_metadata_, true)) scanner_.fail("duplicate key \"__metadata__\"");
    std::size_t bytes = 0;
    scanner_.members(kMaxMetadataBytes, [&](std::string key) {
      std::string value = scanner_.string(kMaxMetadataBytes);
      bytes += key.size() + value.size();
      if (bytes > kMaxMetadataBytes || header_.metadata.size() == kMaxMetadataEntries) {
        scanner_.fail("more than " + std::to_string(kMaxMetadataEntries) + " metadata entries or " +
                          std::to_string(kMaxMetadataBytes) + " bytes of metadata",
                      ErrorCode::limit_exceeded);
      }
      if (!header_.metadata.emplace(key, std::move(value)).second) {
        scanner_.fail("duplicate key " + in_quotes(key) + " in \"__metadata__\"");
      }
    });
  }

  TensorInfo tensor(std::string name) {
    if (name.find('\0') != std::string::npos) scanner_.fail("NUL in the name of tensor " + in_quotes(name));
    TensorInfo info;
    info.name = std::move(name);
    const KnownType* type = nullptr;
    bool has_shape = false, has_offsets = false;
    scanner_.members(kMaxNameBytes, [&](const std::string& field) {
      if (field == "dtype" && type == nullptr) {
        type = &known_type(info.name);
      } else if (field == "shape" && !std::exchange(has_shape, true)) {
        info.shape = shape();
      } else if (field == "data_offsets" && !std::exchange(has_offsets, true)) {
        scanner_.expect('[');
        info.begin = scanner_.number();
        scanner_.expect(',');
        info.end = scanner_.number();
        scanner_.expect(']');
      } else {
        scanner_.fail("unknown or duplicate field " + in_quotes(field) + " of tensor " + in_quotes(info.name));
      }
    });
    if (type == nullptr || !has_shape || !has_offsets) {
      const std::string_view missing = type == nullptr ? "dtype" : !has_shape ? "shape" : "data_offsets";
      scanner_.fail("tensor " + in_quotes(info.name) + " has no field " + in_quotes(missing));
    }
    check_size(info, *type);
    return info;
  }

  const KnownType& known_type(const std::string& tensor) {
    const std::string name = scanner_.string(kMaxNameBytes);
    const auto* const type = std::ranges::find(kTypes, name, &KnownType::name);
    if (type == kTypes.end())
      scanner_.fail("tensor " + in_quotes(tensor) + " has the unknown dtype " + in_quotes(name));
    return *type;
  }

  std::vector<std::size_t> shape() {
    std::vector<std::size_t> shape;
    scanner_.expect('[');
    if (scanner_.accept(']')) return shape;
    do {
      if (shape.size() == kMaxRank) {
        scanner_.fail("more than " + std::to_string(kMaxRank) + " dimensions", ErrorCode::limit_exceeded);
      }
      shape.push_back(scanner_.number());
    } while (scanner_.accept(','));
    scanner_.expect(']');
    return shape;
  }

  void check_size(TensorInfo& info, const KnownType& type) {
    std::optional<std::uint64_t> bits = 1;
    for (const std::uint64_t extent : info.shape) bits = bits ? product(*bits, extent) : bits;
    bits = bits ? product(*bits, type.bits) : bits;
    if (!bits) scanner_.fail("overflow: the size of tensor " + in_quotes(info.name) + " is beyond 64 bits");
    if (*bits % 8 != 0) scanner_.fail("tensor " + in_quotes(info.name) + " does not end at a whole byte");
    if (info.begin > info.end) scanner_.fail("tensor " + in_quotes(info.name) + " ends before it begins");
    if (info.end - info.begin != *bits / 8) {
      scanner_.fail("size mismatch: tensor " + in_quotes(info.name) + " needs " + std::to_string(*bits / 8) +
                    " bytes, its data_offsets give " + std::to_string(info.end - info.begin));
    }
    if (type.dtype) {
      info.dtype = *type.dtype;
    } else if (unsupported_.empty()) {
      unsupported_ =
          "tensor " + in_quotes(info.name) + " has the dtype " + in_quotes(type.name) + ", which is not supported";
    }
  }

  // Sorts by name on the way.
  void check_names() {
    std::ranges::sort(header_.tensors, {}, &TensorInfo::name);
    const auto twice = std::ranges::adjacent_find(header_.tensors, {}, &TensorInfo::name);
    if (twice != header_.tensors.end()) scanner_.fail_whole("duplicate tensor " + in_quotes(twice->name));
  }

  void check_tiling() {
    std::ranges::sort(header_.tensors, {}, [](const auto& info) { return std::tie(info.begin, info.end, info.name); });
    std::uint64_t expected = 0;
    for (const TensorInfo& info : header_.tensors) {
      if (info.begin != expected) {
        scanner_.fail_whole((info.begin < expected ? "overlap: tensor " : "hole: tensor ") + in_quotes(info.name) +
                            " begins at byte " + std::to_string(info.begin) + " of the data, expected " +
                            std::to_string(expected));
      }
      expected = info.end;
    }
    if (expected != data_size_) {
      scanner_.fail_whole((expected < data_size_ ? "trailing data: " : "short data: ") + std::to_string(data_size_) +
                          " bytes, the tensors need " + std::to_string(expected));
    }
  }

  JsonScanner scanner_;
  std::uint64_t data_size_;
  SafetensorsHeader header_;
  bool has_metadata_ = false;
  std::string unsupported_;  // what is to be said about the first tensor that cannot be loaded
};

}  // namespace

std::uint64_t header_length(std::span<const std::byte> prefix, std::uint64_t file_size, const std::string& file) {
  const auto fail = [&](const std::string& what, ErrorCode code = ErrorCode::corrupt_file) {
    throw Error(code, "\"" + file + "\": " + what);
  };
  if (prefix.size() < sizeof(std::uint64_t)) {
    fail("too small for a safetensors file: " + std::to_string(prefix.size()) + " bytes");
  }
  const auto length = load_number<std::uint64_t>(prefix.data());
  const std::string stated = std::to_string(length) + " bytes";
  if (length > kFormatHeaderBytes) fail("header too large: " + stated + ", the format allows 100000000");
  if (length > file_size - sizeof(length)) fail("header beyond the end of the file: " + stated);
  if (length > kMaxHeaderBytes) {
    fail("header of " + stated + ", the limit is " + std::to_string(kMaxHeaderBytes), ErrorCode::limit_exceeded);
  }
  if (length == 0) fail("empty header");
  return length;
}

SafetensorsHeader parse_header(std::string_view json, std::uint64_t data_size, const std::string& file) {
  return HeaderParser(json, data_size, file).parse();
}

}  // namespace attune::inline v0_1::detail
