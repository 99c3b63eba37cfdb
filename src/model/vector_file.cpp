// SPDX-License-Identifier: Apache-2.0
#include "model/vector_file.hpp"

#include <algorithm>
#include <cmath>
#include <optional>
#include <string_view>

#include "attune/error.hpp"
#include "attune/model/safetensors.hpp"
#include "data/little_endian.hpp"
#include "data/text.hpp"
#include "model/model_files.hpp"
#include "model/zip_archive.hpp"
#include "platform/files.hpp"

namespace attune::inline v0_1::detail {
namespace {

constexpr std::string_view kNumpy = "\x93NUMPY", kZip = "PK\x03\x04";

// The dictionary of a .npy file: {'descr': '<f4', 'fortran_order': False, 'shape': (3, 64), }, as numpy writes it.
class NumpyHeader {
 public:
  NumpyHeader(std::string_view text, const std::string& file) : text_(text), file_(file) {}

  std::string_view value(std::string_view key) const {
    const std::size_t at = text_.find(std::string("'").append(key).append("':"));
    if (at == std::string_view::npos) fail("a header with " + std::string(key), in_quotes(text_, '"'));
    std::string_view rest = text_.substr(at + key.size() + 3);
    rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
    const std::size_t end = rest.starts_with('(') ? rest.find(')') + 1 : rest.find_first_of(",}");
    return rest.substr(0, end == 0 ? 0 : end);
  }
  // Bytes of a number.
  std::size_t number_bytes() const {
    const std::string_view type = value("descr");
    if (type == "'<f4'") return 4;
    if (type == "'<f8'") return 8;
    fail("numbers of the type '<f4' or '<f8'", in_quotes(type, '"'));
  }
  void expect_rows_first() const {
    if (value("fortran_order") != "False") fail("rows one after another (C order)", "fortran_order");
  }
  // Two extents whose product of bytes is what the file has.
  VectorFile shape(std::size_t bytes_of_number, std::uint64_t bytes) const {
    const std::string_view shape = value("shape");
    const auto fail_shape = [&] { fail("the shape (rows, columns)", in_quotes(shape, '"')); };
    const std::size_t comma = shape.find(',');
    if (comma == std::string_view::npos || !shape.starts_with('(') || !shape.ends_with(')')) fail_shape();
    const auto rows = parse_number<std::size_t>(shape.substr(1, comma - 1));
    const auto width = parse_number<std::size_t>(shape.substr(comma + 1, shape.size() - comma - 2));
    if (!rows || !width || *rows == 0 || *width == 0) fail_shape();
    const std::uint64_t numbers = bytes / bytes_of_number;
    if (bytes % bytes_of_number != 0 || numbers % *rows != 0 || numbers / *rows != *width) {
      fail("numbers of the shape " + std::string(shape), std::to_string(bytes) + " bytes");
    }
    return {*rows, *width, {}};
  }

 private:
  [[noreturn]] void fail(const std::string& expected, const std::string& found) const {
    throw Error(ErrorCode::corrupt_file, file_ + ": expected " + expected + ", found " + found);
  }
  std::string_view text_;
  const std::string& file_;
};

VectorFile numpy_of(std::span<const std::byte> bytes, const std::string& name) {
  const auto fail = [&](const std::string& what) { throw Error(ErrorCode::corrupt_file, name + ": " + what); };
  if (bytes.size() < 12 || !detail::as_text(bytes).starts_with(kNumpy))
    fail("expected the header of a .npy file, found none");
  const auto version = static_cast<unsigned>(bytes[kNumpy.size()]);
  if (version < 1 || version > 3) fail("expected version 1 to 3 of .npy, found " + std::to_string(version));
  const std::size_t length =
      version == 1 ? load_number<std::uint16_t>(&bytes[8]) : load_number<std::uint32_t>(&bytes[8]);
  bytes = bytes.subspan(version == 1 ? 10 : 12);
  if (length > bytes.size()) {
    fail("expected a header of " + std::to_string(length) + " bytes, found " + std::to_string(bytes.size()));
  }
  const NumpyHeader header(detail::as_text(bytes.first(length)), name);
  bytes = bytes.subspan(length);
  header.expect_rows_first();
  const std::size_t bytes_of_number = header.number_bytes();
  VectorFile vectors = header.shape(bytes_of_number, bytes.size());
  vectors.values.resize(vectors.rows * vectors.width);
  for (std::size_t i = 0; i < vectors.values.size(); ++i) {
    const std::byte* const at = bytes.data() + i * bytes_of_number;
    vectors.values[i] = bytes_of_number == 4 ? load_number<float>(at) : static_cast<float>(load_number<double>(at));
  }
  return vectors;
}

// The member `name`.npy, or the only one.
VectorFile read_zip(std::span<const std::byte> bytes, const std::string& path, const std::string& name) {
  const ZipArchive archive(bytes, path);
  const auto& members = archive.members();
  if (name.empty() && members.size() != 1) {
    throw Error(ErrorCode::invalid_data, path + ": expected one array, or its name in the field tensor, found " +
                                             std::to_string(members.size()));
  }
  const auto named = [&](const ZipArchive::Member& member) { return name.empty() || member.name == name + ".npy"; };
  const auto member = std::ranges::find_if(members, named);
  if (member == members.end()) {
    throw Error(ErrorCode::invalid_data, path + ": expected an array " + in_quotes(name, '"') + ", found none");
  }
  return numpy_of(archive.unpack(*member), path + ", " + in_quotes(member->name, '"'));
}

VectorFile read_safetensors(const std::string& path, const std::string& name) {
  const SafetensorsFile file = SafetensorsFile::open(path);
  if (name.empty() && file.tensors().size() != 1) {
    throw Error(ErrorCode::invalid_data, path + ": expected one tensor, or its name in the field tensor, found " +
                                             std::to_string(file.tensors().size()));
  }
  const TensorInfo* const tensor = name.empty() ? &file.tensors().front() : file.find(name);
  if (tensor == nullptr) {
    throw Error(ErrorCode::invalid_data, path + ": expected a tensor " + in_quotes(name, '"') + ", found none");
  }
  if (tensor->shape.size() != 2 || tensor->elements() == 0) {
    throw Error(ErrorCode::invalid_data, path + ": tensor " + in_quotes(tensor->name, '"') +
                                             ": expected the shape [rows, columns], found " +
                                             std::to_string(tensor->shape.size()) + " dimensions or no numbers");
  }
  return {tensor->shape[0], tensor->shape[1], file.floats(*tensor, false)};
}

}  // namespace

bool holds_vectors(const std::string& path) {
  platform::RegularFile file(path);
  const auto bytes = file.read(std::min<std::uint64_t>(file.size(), 8));
  const std::string_view start = detail::as_text(bytes);
  using namespace std::string_view_literals;
  for (const std::string_view image : {"\x89PNG"sv, "\xFF\xD8\xFF"sv, "GIF8"sv, "RIFF"sv}) {
    if (start.starts_with(image)) {
      throw Error(ErrorCode::invalid_data, path +
                                               ": expected numbers (.npy, safetensors or columns), found a picture "
                                               "or sound; a model outside has to make vectors of it first");
    }
  }
  return start.starts_with(kNumpy) || start.starts_with(kZip) || path.ends_with(".safetensors");
}

VectorFile read_vectors(const std::string& path, const std::string& tensor) {
  const auto read = [&]() -> VectorFile {
    if (path.ends_with(".safetensors")) return read_safetensors(path, tensor);
    const std::vector<std::byte> bytes = platform::read_file(path);
    return detail::as_text(bytes).starts_with(kZip) ? read_zip(bytes, path, tensor) : numpy_of(bytes, path);
  };
  const VectorFile vectors = read();
  const auto bad = std::ranges::find_if_not(vectors.values, [](float value) { return std::isfinite(value); });
  if (bad != vectors.values.end()) {
    const auto place = static_cast<std::size_t>(bad - vectors.values.begin());
    throw Error(ErrorCode::invalid_data, path + ": row " + std::to_string(place / vectors.width) + ", column " +
                                             std::to_string(place % vectors.width) +
                                             ": expected a finite number, found a NaN or infinite one");
  }
  return vectors;
}

}  // namespace attune::inline v0_1::detail
