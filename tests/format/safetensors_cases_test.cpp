// SPDX-License-Identifier: Apache-2.0
// The catalogue of malformed and unusual safetensors files: S01 to S58, each with its one defined outcome. (S59 to S61
// are about files as the system sees them: safetensors_files_test.cpp; S62 to S64 about model directories:
// model/checkpoint_test.cpp.)
#include <cmath>
#include <limits>
#include <optional>

#include "attune/model/safetensors.hpp"
#include "catch.hpp"
#include "format/allocation_meter.hpp"
#include "format/safetensors_bytes.hpp"

using namespace attune;
using namespace attune::test;
using namespace std::string_literals;

namespace {

struct Case {
  std::string name;
  std::string file;
  std::string message = "";  // a part of it; "" must load
  ErrorCode code = ErrorCode::corrupt_file;
};

std::string f32(std::string_view name, std::string_view shape, std::string_view offsets) {
  return entry(name, "F32", shape, offsets);
}

// A file whose only tensor has this shape text, this offsets text and so many bytes of data.
std::string shaped(std::string_view shape, std::string_view offsets = "[0,4]", std::size_t data = 4) {
  return file_of(object({f32("w", shape, offsets)}), data);
}

// A file whose only tensor has this text between its braces.
std::string tensor(std::string_view fields, std::size_t data = 4) {
  return file_of(object({std::string("\"w\":").append(object({fields}))}), data);
}

std::string metadata(std::string_view members) {
  return file_of(object({std::string("\"__metadata__\":").append(object({members}))}));
}

std::string repeated(std::string_view text, std::size_t count) {
  std::string all;
  for (std::size_t i = 0; i < count; ++i) all += text;
  return all;
}

std::string many_tensors(std::size_t count) {
  std::string members;
  for (std::size_t i = 0; i < count; ++i)
    members.append(i == 0 ? "" : ",").append(entry(std::to_string(i), "U8", "[0]", "[0,0]"));
  return file_of(object({members}));
}

// A well-formed file but for the name of its tensor.
std::string named(std::string_view name) { return file_of(object({f32(name, "[1]", "[0,4]")}), 4); }

const std::string kFields = R"("dtype":"F32","shape":[1],"data_offsets":[0,4])";
const std::string kValid = shaped("[1]");

void check(const std::vector<Case>& cases) {
  for (const Case& c : cases) {
    DYNAMIC_SECTION(c.name) {
      std::optional<Error> error;
      Bytes bytes = to_bytes(c.file);
      std::size_t largest = 0, peak = 0;
      {
        const AllocationMeter meter;
        try {
          read_everything(SafetensorsFile::parse(std::move(bytes), "case.safetensors"));
        } catch (const Error& caught) {
          error = caught;
        }
        largest = meter.largest();
        peak = meter.peak();
      }
      CHECK(largest <= 2 * c.file.size() + (1 << 20));
      CHECK(peak <= 2 * c.file.size() + (1 << 20));
      if (c.message.empty()) {
        INFO((error ? error->what() : ""));
        CHECK(!error);
      } else {
        REQUIRE(error);
        CHECK(error->code() == c.code);
        const std::string what = error->what();
        INFO(what);
        CHECK(what.starts_with("\"case.safetensors\": "));
        CHECK(what.find(c.message) != std::string::npos);
      }
    }
  }
}

}  // namespace

TEST_CASE("Safetensors cases S01 to S12: the length of the header", "[format][safetensors]") {
  check({
      {"S01 empty file", "", "too small"},
      {"S02 seven bytes", "\2\0\0\0\0\0\0"s, "too small"},
      {"S03 eight zero bytes", length_prefix(0), "empty header"},
      {"S04 nothing behind the length", length_prefix(0x3C), "beyond the end of the file"},
      {"S05 length with high bytes set", "\x3C\0\0\0\0\xFF\xFF\xFF{}"s, "header too large"},
      {"S06 length 2^64 - 1", length_prefix(~std::uint64_t{0}) + "{}", "header too large"},
      {"S07 length 2^64 - 8", length_prefix(~std::uint64_t{7}) + "{}", "header too large"},
      {"S08 length 2^63", length_prefix(std::uint64_t{1} << 63) + "{}", "header too large"},
      {"S09 length one beyond the format's limit", length_prefix(100'000'001) + "{}", "header too large"},
      {"S10 length at the format's limit in a file of 20 bytes", length_prefix(100'000'000) + std::string(12, ' '),
       "beyond the end of the file"},
      {"S11 length one beyond the file", length_prefix(kValid.size() - 7) + kValid.substr(8),
       "beyond the end of the file"},
      {"S12 length in the other byte order", "\0\0\0\0\0\0\0\2{}"s, "header too large"},
  });
}

TEST_CASE("Safetensors cases S13 to S22: the text of the header", "[format][safetensors]") {
  check({
      {"S13 a byte that is not UTF-8", file_of("\xFF"), "not UTF-8"},
      {"S14 only an opening brace", file_of("{"), "expected a string"},
      {"S15 an array", file_of("[]"), "expected '{'"},
      {"S15 null", file_of("null"), "expected '{'"},
      {"S15 a number", file_of("7"), "expected '{'"},
      {"S15 a string", file_of("\"x\""), "expected '{'"},
      {"S16 white space before the object", file_of("\t\n\r {}")},
      {"S16 other space before the object", file_of("\v{}"), "expected '{'"},
      {"S17 a byte order mark", file_of("\xEF\xBB\xBF{}"), "expected '{'"},
      {"S18 spaces behind the object", file_of("{}      ")},
      {"S18 NULs behind the object", file_of("{}\0\0\0"s), "expected the end of the header"},
      {"S19 two objects", file_of("{}{}"), "expected the end of the header"},
      {"S19 a letter behind the object", file_of("{} x"), "expected the end of the header"},
      {"S20 overlong UTF-8", named("\xC0\xAF"), "not UTF-8"},
      {"S20 a surrogate in UTF-8", named("\xED\xA0\x80"), "not UTF-8"},
      {"S20 UTF-8 beyond U+10FFFF", named("\xF4\x90\x80\x80"), "not UTF-8"},
      {"S20 UTF-8 cut short", file_of("{}\xE2\x82"), "not UTF-8"},
      {"S21 a lone high surrogate", named("\\ud800"), "lone surrogate"},
      {"S21 a lone low surrogate", named("\\udc00"), "lone surrogate"},
      {"S21 a high surrogate and a letter", named("\\ud800\\u0041"), "lone surrogate"},
      {"S21 a pair of surrogates", named("\\ud83c\\udfb5")},
      {"S21 an escape that is none", named("\\x41"), "unknown escape"},
      {"S21 an escape cut short", file_of("{\"\\u00"), "ends inside a string"},
      {"S21 an escape of other letters", named("\\u00G0"), "hexadecimal"},
      {"S22 NUL in a name", named("a\\u0000b"), "NUL in the name"},
      {"S22 a control character in a name", named("a\nb"), "control character"},
  });
}

TEST_CASE("Safetensors cases S23 to S31: keys and fields", "[format][safetensors]") {
  const std::string w = f32("w", "[1]", "[0,4]");
  check({
      {"S23 a name twice", file_of(object({entry("w", "U8", "[4]", "[0,4]"), f32("w", "[1]", "[0,4]")}), 4),
       "duplicate tensor \"w\""},
      {"S24 a name twice, once escaped", file_of(object({w, f32("\\u0077", "[1]", "[0,4]")}), 4),
       "duplicate tensor \"w\""},
      {"S25 metadata twice", file_of("{\"__metadata__\":{},\"__metadata__\":{}}"), "duplicate key \"__metadata__\""},
      {"S25 metadata twice, once escaped", file_of("{\"__metadata__\":{},\"\\u005f_metadata__\":{}}"),
       "duplicate key \"__metadata__\""},
      {"S25 a key of the metadata twice", metadata(R"("a":"1","\u0061":"2")"), "duplicate key \"a\""},
      {"S26 dtype twice", tensor(R"("dtype":"F32",)" + kFields), "duplicate field \"dtype\""},
      {"S26 shape twice", tensor(R"("shape":[1],)" + kFields), "duplicate field \"shape\""},
      {"S26 data_offsets twice", tensor(R"("data_offsets":[0,4],)" + kFields), "duplicate field \"data_offsets\""},
      {"S27 a number in the metadata", metadata(R"("a":1)"), "expected a string"},
      {"S27 null in the metadata", metadata(R"("a":null)"), "expected a string"},
      {"S27 an object in the metadata", metadata(R"("a":{})"), "expected a string"},
      {"S27 metadata of text", metadata(R"("a":"b","c":"")")},
      {"S28 a tensor in the metadata", metadata(w), "expected a string"},
      {"S29 no dtype", tensor(R"("shape":[1],"data_offsets":[0,4])"), "no field \"dtype\""},
      {"S29 no shape", tensor(R"("dtype":"F32","data_offsets":[0,4])"), "no field \"shape\""},
      {"S29 no offsets", tensor(R"("dtype":"F32","shape":[1])"), "no field \"data_offsets\""},
      {"S30 a field that is none", tensor(kFields + R"(,"x":1)"), "field \"x\""},
      {"S31 dtype in small letters", tensor(R"("dtype":"f32","shape":[1],"data_offsets":[0,4])"), "unknown dtype"},
      {"S31 dtype F31", tensor(R"("dtype":"F31","shape":[1],"data_offsets":[0,4])"), "unknown dtype"},
      {"S31 dtype empty", tensor(R"("dtype":"","shape":[1],"data_offsets":[0,4])"), "unknown dtype"},
      {"S31 dtype a number", tensor(R"("dtype":7,"shape":[1],"data_offsets":[0,4])"), "expected a string"},
  });
}

TEST_CASE("Safetensors cases S32 to S40: numbers", "[format][safetensors]") {
  check({
      {"S32 dimension -1", shaped("[-1]"), "bad number"},
      {"S32 dimension 1.0", shaped("[1.0]"), "bad number"},
      {"S32 dimension 1e0", shaped("[1e0]"), "bad number"},
      {"S32 dimension in quotes", shaped("[\"1\"]"), "bad number"},
      {"S32 dimension null", shaped("[null]"), "bad number"},
      {"S32 dimension true", shaped("[true]"), "bad number"},
      {"S32 dimension 01", shaped("[01]"), "bad number"},
      {"S32 dimension +1", shaped("[+1]"), "bad number"},
      {"S32 a comma behind the last dimension", shaped("[1,]"), "bad number"},
      {"S32 a shape that is a number", shaped("1"), "expected '['"},
      {"S33 dimension 2^64", shaped("[18446744073709551616]"), "bad number"},
      {"S33 dimension 10^20", shaped("[100000000000000000000]"), "bad number"},
      {"S34 size wraps to 16", file_of(object({entry("w", "I32", "[2,18446744073709551614]", "[0,16]")}), 16),
       "overflow"},
      {"S35 size wraps", file_of(object({entry("w", "I32", "[2,9223372036854775807]", "[0,16]")}), 16), "overflow"},
      {"S36 overflow before a zero", shaped("[65536,65536,65536,65536,0]", "[0,0]", 0), "overflow"},
      {"S36 a zero before what would overflow", shaped("[0,18446744073709551615,2]", "[0,0]", 0)},
      {"S37 a million dimensions", shaped("["s.append(repeated("1,", 999'999)).append("1]")), "more than 8 dimensions",
       ErrorCode::limit_exceeded},
      {"S37 nine dimensions", shaped("[1,1,1,1,1,1,1,1,1]"), "more than 8 dimensions", ErrorCode::limit_exceeded},
      {"S37 eight dimensions", shaped("[1,1,1,1,1,1,1,1]")},
      {"S38 one offset", shaped("[1]", "[4]"), "expected ','"},
      {"S38 three offsets", shaped("[1]", "[0,4,8]"), "expected ']'"},
      {"S39 offsets in the wrong order", shaped("[4]", "[16,0]", 16), "ends before it begins"},
      {"S40 a negative offset", shaped("[1]", "[-4,0]"), "bad number"},
  });
}

TEST_CASE("Safetensors cases S41 to S54: the tiling of the data", "[format][safetensors]") {
  const auto pair = [](std::string_view first, std::string_view second, std::size_t data) {
    return file_of(object({first, second}), data);
  };
  std::string ten;
  for (int i = 0; i < 10; ++i) ten.append(i == 0 ? "" : ",").append(f32(std::to_string(i), "[4]", "[0,16]"));
  check({
      {"S41 nothing at the front", shaped("[1]", "[4,8]", 8), "hole"},
      {"S42 nothing between two tensors", pair(f32("a", "[1]", "[0,4]"), f32("b", "[1]", "[8,12]"), 12), "hole"},
      {"S43 two tensors overlap", pair(f32("a", "[2]", "[0,8]"), f32("b", "[2]", "[4,12]"), 12), "overlap"},
      {"S44 ten tensors on the same bytes", file_of(object({ten}), 16), "overlap"},
      {"S45 one tensor inside another", pair(f32("a", "[4]", "[0,16]"), f32("b", "[1]", "[4,8]"), 16), "overlap"},
      {"S46 shape larger than the offsets", file_of(object({entry("w", "I32", "[2,2]", "[0,4]")}), 4), "size mismatch"},
      {"S47 a megabyte promised, four bytes given", shaped("[1000,1000]", "[0,4]"), "size mismatch"},
      {"S47 the same with offsets to match", shaped("[1000,1000]", "[0,4000000]"), "short data"},
      {"S48 text behind the data", kValid + "extra_bogus", "trailing data"},
      {"S49 two bytes missing", kValid.substr(0, kValid.size() - 2), "short data"},
      {"S50 an empty tensor beside a full one", pair(f32("a", "[0]", "[0,0]"), f32("b", "[1]", "[0,4]"), 4)},
      {"S50 an empty tensor behind a full one", pair(f32("a", "[1]", "[0,4]"), f32("b", "[0,3]", "[4,4]"), 4)},
      {"S50 an empty tensor inside a full one", pair(f32("a", "[0]", "[2,2]"), f32("b", "[1]", "[0,4]"), 4), "overlap"},
      {"S51 a scalar", file_of(object({entry("w", "I32", "[]", "[0,4]")}), 4)},
      {"S52 no tensor, no data", file_of("{}")},
      {"S52 no tensor, a byte of data", file_of("{}", 1), "trailing data"},
      {"S53 half a byte too many", file_of(object({entry("w", "F4", "[1,3]", "[0,2]")}), 2), "whole byte"},
      {"S53 two values in a byte", file_of(object({entry("w", "F4", "[1,2]", "[0,1]")}), 1), "not supported",
       ErrorCode::unsupported},
      {"S53 double precision", file_of(object({entry("w", "F64", "[1]", "[0,8]")}), 8), "\"F64\"",
       ErrorCode::unsupported},
      {"S54 data that is not aligned", file_of(object({f32("w", "[1]", "[0,4]")}) + "   ", 4)},
  });
}

TEST_CASE("Safetensors cases S56 to S58: sizes that are an attack", "[format][safetensors]") {
  const ErrorCode limit = ErrorCode::limit_exceeded;
  check({
      {"S56 a hundred thousand brackets", tensor(R"("shape":)" + std::string(100'000, '[')), "bad number"},
      {"S56 a hundred thousand objects", file_of(repeated("{\"a\":", 100'000)), "field \"a\""},
      {"S57 a header beyond our limit", file_of(std::string((16 << 20) + 1, ' ')), "the limit is 16777216", limit},
      {"S57 more tensors than our limit", many_tensors(100'001), "more than 100000 tensors", limit},
      {"S58 a name of 15 MB", named(std::string(15'000'000, 'n')), "longer than 1024 bytes", limit},
      {"S58 a name one byte too long", named(std::string(1025, 'n')), "longer than 1024 bytes", limit},
      {"S58 the longest name", named(std::string(1024, 'n'))},
      {"S58 a megabyte of metadata and a byte", metadata("\"k\":\""s.append(1 << 20, 'v').append("\"")), "metadata",
       limit},
  });
}

TEST_CASE("Safetensors case S57: as many tensors as allowed load", "[format][safetensors]") {
  const auto file = SafetensorsFile::parse(to_bytes(many_tensors(100'000)), "many");
  REQUIRE(file.tensors().size() == 100'000);
}

TEST_CASE("Safetensors case S55: values may be anything, but whoever wants finite ones is told",
          "[format][safetensors]") {
  const std::vector<float> values{1.0f, std::numeric_limits<float>::quiet_NaN(),
                                  -std::numeric_limits<float>::infinity(), std::numeric_limits<float>::denorm_min()};
  SafetensorsWriter writer;
  writer.add("w", {4}, std::span<const float>(values));
  const auto file = SafetensorsFile::parse(writer.bytes(), "values");
  const auto read = file.floats(file.tensors()[0], false);
  CHECK(read[0] == 1.0f);
  CHECK(std::isnan(read[1]));
  CHECK(read[2] == values[2]);
  CHECK(read[3] == values[3]);
  try {
    file.floats(file.tensors()[0]);
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::non_finite);
    CHECK(error.what() == "\"values\": tensor \"w\": element 1 is NaN or infinite"s);
  }
}
