// SPDX-License-Identifier: Apache-2.0
#include "attune/model/safetensors.hpp"

#include <cmath>
#include <functional>
#include <limits>
#include <numeric>

#include "catch.hpp"

using namespace attune;
using namespace std::string_literals;

namespace {

std::vector<std::byte> file_of(const std::string& header, std::span<const std::byte> data) {
  std::vector<std::byte> bytes;
  for (int i = 0; i < 8; ++i) bytes.push_back(static_cast<std::byte>(header.size() >> (8 * i) & 0xFF));
  const auto text = std::as_bytes(std::span(header));
  bytes.insert(bytes.end(), text.begin(), text.end());
  bytes.insert(bytes.end(), data.begin(), data.end());
  return bytes;
}

// A file with the one tensor "w" of a type that the writer does not write.
template <class Number>
SafetensorsFile loaded(const std::string& dtype, const std::vector<Number>& values) {
  const std::string count = std::to_string(values.size());
  const std::string end = std::to_string(values.size() * sizeof(Number));
  std::string header = R"({"w":{"dtype":")";
  header.append(dtype).append(R"(","shape":[)").append(count).append(R"(],"data_offsets":[0,)").append(end);
  return SafetensorsFile::parse(file_of(header.append("]}}"), std::as_bytes(std::span(values))), "test");
}

void check_error(ErrorCode code, const std::string& message, const std::function<void()>& call) {
  try {
    call();
    FAIL("no error: " << message);
  } catch (const Error& error) {
    CHECK(error.code() == code);
    CHECK(error.what() == message);
  }
}

}  // namespace

TEST_CASE("What the writer writes is read back bit for bit, and begins at a multiple of 64", "[model][safetensors]") {
  std::vector<float> weights(1000);
  std::iota(weights.begin(), weights.end(), 0.5f);
  const std::vector<std::int64_t> numbers{-5, 0, std::numeric_limits<std::int64_t>::max()};
  const std::vector<std::uint32_t> columns{1, 4'000'000'000u};
  const std::vector<std::int8_t> codes{-128, 0, 127};
  const std::vector<std::uint64_t> counts{3};
  for (std::size_t padding = 0; padding < 70; ++padding) {
    SafetensorsWriter writer;
    writer.metadata("note", std::string(padding, 'x'));
    writer.add("codes", {1, 3}, std::span<const std::int8_t>(codes));
    writer.add("columns", {2}, std::span<const std::uint32_t>(columns));
    writer.add("weights \"quoted\"\n", {10, 100}, std::span<const float>(weights));
    writer.add("numbers", {3, 1}, std::span<const std::int64_t>(numbers));
    writer.add("count", {}, std::span<const std::uint64_t>(counts));
    writer.add("empty", {7, 0}, std::span<const float>());
    const std::vector<std::byte> bytes = writer.bytes();
    const std::size_t data = 3 + 2 * 4 + 1000 * 4 + 3 * 8 + 8;
    REQUIRE((bytes.size() - data) % 64 == 0);

    const auto file = SafetensorsFile::parse(bytes, "test");
    REQUIRE(file.metadata().at("note").size() == padding);
    for (const TensorInfo& tensor : file.tensors()) REQUIRE(tensor.begin % size_of(tensor.dtype) == 0);
    REQUIRE(file.floats(file.require("weights \"quoted\"\n", std::array<std::size_t, 2>{10, 100})) == weights);
    REQUIRE(file.integers(file.require("numbers", std::array<std::size_t, 2>{3, 1})) == numbers);
    REQUIRE(file.integers(*file.find("codes")) == std::vector<std::int64_t>{-128, 0, 127});
    REQUIRE(file.integers(*file.find("columns")) == std::vector<std::int64_t>{1, 4'000'000'000});
    REQUIRE(file.integers(file.require("count", {})) == std::vector<std::int64_t>{3});
    REQUIRE(file.floats(*file.find("empty")).empty());
  }
}

TEST_CASE("The same tensors give the same bytes in whatever order they are added", "[model][safetensors]") {
  const std::vector<float> a{1, 2}, b{3};
  SafetensorsWriter one, other;
  one.add("a", {2}, std::span<const float>(a));
  one.add("b", {1}, std::span<const float>(b));
  other.add("b", {1}, std::span<const float>(b));
  other.add("a", {2}, std::span<const float>(a));
  CHECK(one.bytes() == other.bytes());
}

TEST_CASE("A file without tensors is a file", "[model][safetensors]") {
  const auto file = SafetensorsFile::parse(SafetensorsWriter().bytes(), "empty");
  CHECK(file.tensors().empty());
  CHECK(file.metadata().empty());
}

TEST_CASE("Half precision becomes the float of the same value", "[model][safetensors]") {
  const std::vector<std::uint16_t> halves{0x3C00, 0xC000, 0x7BFF, 0x0400, 0x0001, 0x83FF, 0x0000, 0x8000, 0x3555};
  const auto file = loaded("F16", halves);
  const auto values = file.floats(file.tensors()[0]);
  const std::vector<float> expected{1.0f,           -2.0f, 65504.0f, 6.103515625e-5f, 5.9604644775390625e-8f,
                                    -6.0975552e-5f, 0.0f,  -0.0f,    0.333251953125f};
  REQUIRE(values == expected);
  CHECK(std::signbit(values[7]));
  const auto special = loaded("F16", std::vector<std::uint16_t>{0x7C00, 0xFC00, 0x7E00});
  const auto read = special.floats(special.tensors()[0], false);
  CHECK(read[0] == std::numeric_limits<float>::infinity());
  CHECK(read[1] == -std::numeric_limits<float>::infinity());
  CHECK(std::isnan(read[2]));
  CHECK_THROWS_AS(special.floats(special.tensors()[0]), Error);
}

TEST_CASE("bfloat16 is the upper half of a float", "[model][safetensors]") {
  const auto file = loaded("BF16", std::vector<std::uint16_t>{0x3F80, 0xC000, 0x7F7F});
  CHECK(file.floats(file.tensors()[0]) == std::vector<float>{1.0f, -2.0f, 3.3895313892515355e38f});
}

TEST_CASE("Integers of every width keep their value", "[model][safetensors]") {
  const auto read = [](const SafetensorsFile& file) { return file.integers(file.tensors()[0]); };
  using Numbers = std::vector<std::int64_t>;
  CHECK(read(loaded("I8", std::vector<std::int8_t>{-128, 127})) == Numbers{-128, 127});
  CHECK(read(loaded("U8", std::vector<std::uint8_t>{0, 255})) == Numbers{0, 255});
  CHECK(read(loaded("I32", std::vector<std::int32_t>{-7, INT32_MIN})) == Numbers{-7, INT32_MIN});
  CHECK(read(loaded("U32", std::vector<std::uint32_t>{UINT32_MAX})) == Numbers{UINT32_MAX});
  CHECK(read(loaded("I64", std::vector<std::int64_t>{INT64_MIN})) == Numbers{INT64_MIN});
  CHECK(read(loaded("U64", std::vector<std::uint64_t>{INT64_MAX})) == Numbers{INT64_MAX});
  const auto beyond = loaded("U64", std::vector<std::uint64_t>{std::uint64_t{1} << 63});
  check_error(ErrorCode::unsupported, "\"test\": tensor \"w\": a number beyond 2^63 - 1", [&] { read(beyond); });
}

TEST_CASE("Asking for the wrong thing names the tensor, what was expected and what was found", "[model][safetensors]") {
  const auto numbers = loaded("I32", std::vector<std::int32_t>{1, 2});
  const auto weights = loaded("F32", std::vector<float>{1, 2});
  check_error(ErrorCode::unsupported, "\"test\": tensor \"w\": expected F32, F16 or BF16, found I32",
              [&] { numbers.floats(numbers.tensors()[0]); });
  check_error(ErrorCode::unsupported, "\"test\": tensor \"w\": expected integers, found F32",
              [&] { weights.integers(weights.tensors()[0]); });
  check_error(ErrorCode::corrupt_file, "\"test\": tensor \"w\": expected shape [1, 2], found [2]", [&] {
    weights.require("w", std::array<std::size_t, 2>{1, 2});
  });
  check_error(ErrorCode::corrupt_file, "\"test\": tensor \"v\" is missing", [&] { weights.require("v", {}); });
  CHECK(weights.find("v") == nullptr);
}

TEST_CASE("A name in a message is shortened and stays on its line", "[model][safetensors]") {
  const std::string name = "a\nb" + std::string(76, 'x') + "\xE2\x82\xAC and more";
  check_error(ErrorCode::corrupt_file, "\"test\": tensor \"a?b" + std::string(76, 'x') + "...\" is missing",
              [&] { loaded("F32", std::vector<float>{1}).require(name, {}); });
}

TEST_CASE("The writer refuses what its reader would", "[model][safetensors]") {
  const std::vector<float> two{1, 2};
  const std::span<const float> data(two);
  SafetensorsWriter writer;
  writer.add("w", {2}, data);
  const ErrorCode invalid = ErrorCode::invalid_argument;
  check_error(invalid, "tensor \"w\" cannot be written: given twice", [&] { writer.add("w", {2}, data); });
  check_error(invalid, "tensor \"v\" cannot be written: 8 bytes do not fit its shape",
              [&] { writer.add("v", {3}, data); });
  check_error(invalid, "tensor \"v\" cannot be written: 8 bytes do not fit its shape", [&] {
    writer.add("v", {std::size_t{1} << 63, 4}, data);
  });
  check_error(invalid, "tensor \"v\" cannot be written: more than 8 dimensions", [&] {
    writer.add("v", {1, 1, 1, 1, 1, 1, 1, 1, 2}, data);
  });
  for (const std::string& name : {"a\0b"s, "\xFF"s, std::string(1025, 'n'), "__metadata__"s}) {
    CHECK_THROWS_AS(writer.add(name, {2}, data), Error);
  }
  CHECK_THROWS_AS(writer.metadata("\xFF", ""), Error);
  CHECK_THROWS_AS(writer.metadata("key", std::string(1 << 20, 'v')), Error);
}
