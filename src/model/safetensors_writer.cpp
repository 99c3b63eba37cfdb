// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <limits>
#include <tuple>
#include <utility>

#include "attune/model/safetensors.hpp"
#include "data/json_scanner.hpp"
#include "data/little_endian.hpp"
#include "model/safetensors_header.hpp"

namespace attune::inline v0_1 {
namespace {

void append_string(std::string& out, std::string_view text) {
  constexpr std::string_view kHex = "0123456789abcdef";
  out += '"';
  for (const char c : text) {
    const auto byte = static_cast<unsigned char>(c);
    if (c == '"' || c == '\\') {
      out += {'\\', c};
    } else if (byte < 0x20) {
      out += {'\\', 'u', '0', '0', kHex[byte >> 4], kHex[byte & 0xF]};
    } else {
      out += c;
    }
  }
  out += '"';
}

void append_numbers(std::string& out, std::span<const std::size_t> numbers) {
  char separator = '[';
  for (const std::size_t number : numbers) {
    out += std::exchange(separator, ',');
    out += std::to_string(number);
  }
  out += numbers.empty() ? "[]" : "]";
}

[[noreturn]] void refuse(const std::string& what, const std::string& why) {
  throw Error(ErrorCode::invalid_argument, what + " cannot be written: " + why);
}

bool fits(std::span<const std::size_t> shape, std::size_t element_bytes, std::size_t bytes) noexcept {
  std::uint64_t size = element_bytes;
  for (const std::size_t extent : shape) {
    if (extent != 0 && size > std::numeric_limits<std::uint64_t>::max() / extent) return false;
    size *= extent;
  }
  return size == bytes;
}

}  // namespace

void SafetensorsWriter::metadata(std::string key, std::string value) {
  if (!detail::is_utf8(key) || !detail::is_utf8(value)) refuse("metadata", "it is not UTF-8");
  metadata_.insert_or_assign(std::move(key), std::move(value));
  std::size_t bytes = 0;
  for (const auto& [name, text] : metadata_) bytes += name.size() + text.size();
  if (metadata_.size() > detail::kMaxMetadataEntries || bytes > detail::kMaxMetadataBytes) {
    refuse("metadata", "more than 1024 entries or 1 MiB");
  }
}

void SafetensorsWriter::add(std::string name, std::vector<std::size_t> shape, std::span<const float> data) {
  add_bytes(std::move(name), DType::f32, std::move(shape), std::as_bytes(data));
}
void SafetensorsWriter::add(std::string name, std::vector<std::size_t> shape, std::span<const std::int8_t> data) {
  add_bytes(std::move(name), DType::i8, std::move(shape), std::as_bytes(data));
}
void SafetensorsWriter::add(std::string name, std::vector<std::size_t> shape, std::span<const std::uint32_t> data) {
  add_bytes(std::move(name), DType::u32, std::move(shape), std::as_bytes(data));
}
void SafetensorsWriter::add(std::string name, std::vector<std::size_t> shape, std::span<const std::uint64_t> data) {
  add_bytes(std::move(name), DType::u64, std::move(shape), std::as_bytes(data));
}
void SafetensorsWriter::add(std::string name, std::vector<std::size_t> shape, std::span<const std::int64_t> data) {
  add_bytes(std::move(name), DType::i64, std::move(shape), std::as_bytes(data));
}

void SafetensorsWriter::add_bytes(std::string name, DType dtype, std::vector<std::size_t> shape,
                                  std::span<const std::byte> data) {
  const std::string what = "tensor " + detail::in_quotes(name);
  if (!detail::is_utf8(name) || name.find('\0') != std::string::npos || name.size() > detail::kMaxNameBytes ||
      name == detail::kMetadataKey) {
    refuse(what, "the name is not allowed");
  }
  if (std::ranges::find(entries_, name, &Entry::name) != entries_.end()) refuse(what, "given twice");
  if (shape.size() > detail::kMaxRank) refuse(what, "more than 8 dimensions");
  if (!fits(shape, size_of(dtype), data.size())) {
    refuse(what, std::to_string(data.size()) + " bytes do not fit its shape");
  }
  entries_.push_back({std::move(name), dtype, std::move(shape), data});
}

// Wide elements first, so that every element is aligned to its size without a hole between tensors.
std::vector<std::byte> SafetensorsWriter::bytes() const {
  std::vector<const Entry*> ordered;
  for (const Entry& entry : entries_) ordered.push_back(&entry);
  std::ranges::sort(ordered, {}, [](const Entry* entry) {
    return std::tuple(detail::kDataAlignment - size_of(entry->dtype), std::string_view(entry->name));
  });

  std::string header = "{";
  append_string(header, detail::kMetadataKey);
  header += ":{";
  char separator = ' ';
  for (const auto& [key, value] : metadata_) {
    header += std::exchange(separator, ',');
    append_string(header, key);
    header += ':';
    append_string(header, value);
  }
  header += '}';
  std::size_t end = 0;
  for (const Entry* entry : ordered) {
    const std::size_t begin = end;
    end += entry->data.size();
    header += ',';
    append_string(header, entry->name);
    header += ":{\"dtype\":";
    append_string(header, to_string(entry->dtype));
    header += ",\"shape\":";
    append_numbers(header, entry->shape);
    header += ",\"data_offsets\":";
    append_numbers(header, std::array{begin, end});
    header += '}';
  }
  header += '}';
  while ((sizeof(std::uint64_t) + header.size()) % detail::kDataAlignment != 0) header += ' ';
  if (ordered.size() > detail::kMaxTensors || header.size() > detail::kMaxHeaderBytes) {
    refuse("the file", "more than 100000 tensors or 16 MiB of names");
  }

  std::vector<std::byte> out;
  out.reserve(sizeof(std::uint64_t) + header.size() + end);
  detail::append_number(out, std::uint64_t{header.size()});
  detail::append_array(out, std::span<const char>(header));
  for (const Entry* entry : ordered) detail::append_array(out, entry->data);
  return out;
}

}  // namespace attune::inline v0_1
