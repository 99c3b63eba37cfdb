// SPDX-License-Identifier: Apache-2.0
#include "model/vector_file.hpp"

#include <zlib.h>

#include <limits>
#include <string>
#include <utility>
#include <vector>
#include <xtensor/xarray.hpp>
#include <xtensor/xnpy.hpp>

#include "attune/error.hpp"
#include "attune/model/safetensors.hpp"
#include "catch.hpp"
#include "temporary_directory.hpp"

using namespace attune;
using namespace attune::test;
using Catch::Matchers::Contains;

namespace {

using Numbers = std::vector<float>;

constexpr const char* kHeader = "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }";

// A .npy file of version 1 with any header.
template <class Number = float>
std::string numpy(const std::string& header, const std::vector<Number>& numbers) {
  std::string bytes = "\x93NUMPY\x01";
  bytes += '\0';
  bytes += static_cast<char>(header.size() % 256);
  bytes += static_cast<char>(header.size() / 256);
  bytes += header;
  bytes.append(reinterpret_cast<const char*>(numbers.data()), numbers.size() * sizeof(Number));
  return bytes;
}

// A zip archive, as the format's specification has it.
std::string zip(const std::vector<std::pair<std::string, std::string>>& members, bool deflated) {
  const auto number = [](std::size_t value, std::size_t bytes) {
    std::string text;
    for (; bytes > 0; --bytes, value /= 256) text += static_cast<char>(value % 256);
    return text;
  };
  std::string archive, directory;
  for (const auto& [name, content] : members) {
    std::string packed = content;
    if (deflated) {
      packed.assign(content.size() + 100, '\0');
      z_stream stream{};
      REQUIRE(deflateInit2(&stream, 9, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY) == Z_OK);
      stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(content.data()));
      stream.avail_in = static_cast<uInt>(content.size());
      stream.next_out = reinterpret_cast<Bytef*>(packed.data());
      stream.avail_out = static_cast<uInt>(packed.size());
      REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
      packed.resize(stream.total_out);
      deflateEnd(&stream);
    }
    const auto checksum = crc32_z(0, reinterpret_cast<const Bytef*>(content.data()), content.size());
    const std::string common = number(20, 2) + number(0, 2) + number(deflated ? 8 : 0, 2) + number(0, 4) +
                               number(checksum, 4) + number(packed.size(), 4) + number(content.size(), 4) +
                               number(name.size(), 2) + number(0, 2);
    directory += "PK\x01\x02" + number(20, 2) + common + number(0, 10) + number(archive.size(), 4) + name;
    archive += "PK\x03\x04" + common + name + packed;
  }
  return archive + directory + "PK\x05\x06" + number(0, 4) + number(members.size(), 2) + number(members.size(), 2) +
         number(directory.size(), 4) + number(archive.size(), 4) + number(0, 2);
}

struct Failure {
  ErrorCode code = ErrorCode::io_error;
  std::string what;
};

Failure failure(const std::string& bytes, const std::string& name = "v.npy", const std::string& tensor = "") {
  const TemporaryDirectory directory;
  write_text(directory / name, bytes);
  try {
    if (!detail::holds_vectors((directory / name).string())) return {ErrorCode::io_error, "no vectors"};
    detail::read_vectors((directory / name).string(), tensor);
  } catch (const Error& error) {
    const std::string what = error.what();
    CHECK_THAT(what, Contains(name));
    return {error.code(), what};
  }
  return {};
}

}  // namespace

TEST_CASE("Arrays that xtensor wrote are read", "[model][features]") {
  const TemporaryDirectory directory;
  const std::string path = (directory / "v.npy").string();
  const xt::xarray<double> wide{{1.5, -2.0, 3.25}, {4.0, 0.0, 1e-3}};
  xt::dump_npy(path, wide);
  CHECK(detail::holds_vectors(path));
  const detail::VectorFile of_double = detail::read_vectors(path, "");
  CHECK(of_double.rows == 2);
  CHECK(of_double.width == 3);
  CHECK(of_double.values == Numbers{1.5f, -2.0f, 3.25f, 4.0f, 0.0f, 1e-3f});
  CHECK(of_double.of(1)[0] == 4);
  const xt::xarray<float> narrow{{7.0f, 8.0f}, {9.0f, 10.0f}, {11.0f, 12.0f}};
  xt::dump_npy(path, narrow);
  CHECK(detail::read_vectors(path, "").values == Numbers{7, 8, 9, 10, 11, 12});
}

TEST_CASE("A .npy file that says something else is refused", "[model][features]") {
  const Numbers six{1, 2, 3, 4, 5, 6};
  CHECK(failure(numpy(kHeader, six)).what.empty());
  const auto complaint = [&](const std::string& header, const Numbers& numbers) {
    const Failure found = failure(numpy(header, numbers));
    CHECK(found.code == ErrorCode::corrupt_file);
    return found.what;
  };
  CHECK_THAT(complaint(kHeader, {1, 2, 3, 4, 5}), Contains("expected numbers of the shape (2, 3), found 20 bytes"));
  CHECK_THAT(complaint(kHeader, {1, 2, 3, 4, 5, 6, 7}), Contains("found 28 bytes"));
  CHECK_THAT(complaint("{'descr': '<i8', 'fortran_order': False, 'shape': (2, 3), }", six),
             Contains("expected numbers of the type '<f4' or '<f8', found \"'<i8'\""));
  CHECK_THAT(complaint("{'descr': '>f4', 'fortran_order': False, 'shape': (2, 3), }", six), Contains("'>f4'"));
  CHECK_THAT(complaint("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 3), }", six), Contains("C order"));
  for (const char* shape :
       {"(6,)", "(2, 3, 1)", "(0, 3)", "(2, -3)", "(2, 3", "6", "(a, b)", "(2, 99999999999999999999)"}) {
    CHECK_THAT(complaint("{'descr': '<f4', 'fortran_order': False, 'shape': " + std::string(shape) + ", }", six),
               Contains("expected the shape (rows, columns)"));
  }
  CHECK_THAT(complaint("{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4), }", six),
             Contains("found 24 bytes"));
  CHECK_THAT(complaint("{'fortran_order': False, 'shape': (2, 3), }", six), Contains("a header with descr"));
  CHECK_THAT(complaint("", six), Contains("a header with fortran_order"));
  CHECK_THAT(complaint("'shape':", six), Contains("a header with fortran_order"));
}

TEST_CASE("A .npy file that ends too early is refused", "[model][features]") {
  const std::string whole = numpy(kHeader, Numbers{1, 2, 3, 4, 5, 6});
  for (std::size_t size = 6; size < whole.size(); ++size) {
    CHECK(failure(whole.substr(0, size)).code == ErrorCode::corrupt_file);
  }
  std::string newer = whole;
  newer[6] = 4;
  CHECK_THAT(failure(newer).what, Contains("expected version 1 to 3 of .npy, found 4"));
  std::string version_2 = whole;
  version_2[6] = 2;
  version_2.insert(10, 2, '\0');
  CHECK(failure(version_2).what.empty());
}

TEST_CASE("Numbers that are none are refused with their place", "[model][features]") {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  const Failure found = failure(numpy(kHeader, Numbers{1, 2, 3, 4, nan, 6}));
  CHECK(found.code == ErrorCode::invalid_data);
  CHECK_THAT(found.what, Contains("row 1, column 1: expected a finite number"));
  const std::string wide = "{'descr': '<f8', 'fortran_order': False, 'shape': (1, 1), }";
  CHECK_THAT(failure(numpy<double>(wide, {1e300})).what, Contains("row 0, column 0: expected a finite number"));
}

TEST_CASE("Vectors of a safetensors file are found by their name", "[model][features]") {
  const Numbers six{1, 2, 3, 4, 5, 6};
  SafetensorsWriter writer;
  writer.add("a", {2, 3}, std::span(six));
  const auto text = [](const SafetensorsWriter& file) {
    const auto bytes = file.bytes();
    return std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  };
  CHECK(failure(text(writer), "v.safetensors").what.empty());
  CHECK(failure(text(writer), "v.safetensors", "a").what.empty());
  CHECK_THAT(failure(text(writer), "v.safetensors", "b").what, Contains("expected a tensor \"b\", found none"));
  writer.add("b", {6}, std::span(six));
  CHECK_THAT(failure(text(writer), "v.safetensors").what, Contains("expected one tensor"));
  CHECK_THAT(failure(text(writer), "v.safetensors", "b").what, Contains("expected the shape [rows, columns]"));
  CHECK(failure("{}", "v.safetensors").code == ErrorCode::corrupt_file);
}

TEST_CASE("Arrays of a .npz file are found by their name", "[model][features]") {
  const Numbers six{1, 2, 3, 4, 5, 6};
  const std::string array = numpy(kHeader, six);
  for (const bool deflated : {false, true}) {
    const std::string one = zip({{"posters.npy", array}}, deflated);
    CHECK(failure(one, "v.npz").what.empty());
    CHECK(failure(one, "v.npz", "posters").what.empty());
    CHECK_THAT(failure(one, "v.npz", "sounds").what, Contains("expected an array \"sounds\", found none"));
    const std::string two = zip({{"a.npy", "not an array"}, {"b.npy", array}}, deflated);
    CHECK_THAT(failure(two, "v.npz").what, Contains("expected one array"));
    CHECK(failure(two, "v.npz", "b").what.empty());
    CHECK_THAT(failure(two, "v.npz", "a").what, Contains("\"a.npy\": expected the header of a .npy file"));
  }
  const TemporaryDirectory directory;
  write_text(directory / "v.npz", zip({{"b.npy", array}}, true));
  CHECK(detail::read_vectors((directory / "v.npz").string(), "b").values == six);
}

TEST_CASE("A damaged .npz file is refused", "[model][features]") {
  const std::string array = numpy(kHeader, Numbers{1, 2, 3, 4, 5, 6});
  for (const bool deflated : {false, true}) {
    const std::string whole = zip({{"posters.npy", array}}, deflated);
    for (std::size_t size = 4; size < whole.size(); ++size) {
      CHECK(failure(whole.substr(0, size), "v.npz").code == ErrorCode::corrupt_file);
    }
    const std::size_t begin = whole.find("posters.npy") + 11, end = whole.find("PK\x01\x02");
    for (std::size_t at = 4; at < whole.size(); ++at) {
      std::string damaged = whole;
      damaged[at] = static_cast<char>(damaged[at] ^ 0x40);
      const bool refused = !failure(damaged, "v.npz").what.empty();
      // Elsewhere are times and versions, which nobody looks at, and what fills up the last byte of deflate.
      if (at >= begin && at + (deflated ? 1 : 0) < end) CHECK(refused);
    }
    std::string large = whole;
    large.replace(whole.rfind("PK\x01\x02") + 24, 4, "\xFE\xFF\xFF\xFF");
    CHECK(failure(large, "v.npz").code == ErrorCode::corrupt_file);
    large.replace(whole.rfind("PK\x01\x02") + 24, 4, "\xFF\xFF\xFF\xFF");
    CHECK(failure(large, "v.npz").code == ErrorCode::unsupported);
    std::string other = whole;
    other[whole.rfind("PK\x01\x02") + 10] = 14;  // LZMA
    CHECK_THAT(failure(other, "v.npz").what, Contains("stored or deflated"));
  }
}

TEST_CASE("A picture where numbers are expected is called one", "[model][features]") {
  for (const std::string start : {"\x89PNG\r\n\x1A\n", "\xFF\xD8\xFF\xE0", "GIF89a"}) {
    const Failure found = failure(start + "more", "poster.npy");
    CHECK(found.code == ErrorCode::invalid_data);
    CHECK_THAT(found.what, Contains("expected numbers (.npy, safetensors or columns), found a picture"));
  }
  CHECK(failure("item,f0\na,1\n", "v.csv").what == "no vectors");
  CHECK(failure("", "v.csv").what == "no vectors");
}
