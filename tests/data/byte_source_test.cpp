// SPDX-License-Identifier: Apache-2.0
#include "data/byte_source.hpp"

#include <cstdlib>

#include "attune/error.hpp"
#include "catch.hpp"
#include "data/compression.hpp"
#include "data/reading.hpp"

using namespace attune;
using namespace attune::test;

namespace {

std::string content(const std::filesystem::path& path, std::size_t chunk = 1000) {
  const auto source = detail::open_byte_source(path);
  std::string text;
  std::string buffer(chunk, '\0');
  std::size_t got = chunk;
  while (got == chunk) {
    got = source->read(std::as_writable_bytes(std::span(buffer)));
    text.append(buffer, 0, got);
  }
  return text;
}

std::string content_of(const std::string& bytes, std::size_t chunk = 1000) {
  const TemporaryDirectory directory;
  write_text(directory / "file", bytes);
  return content(directory / "file", chunk);
}

Failure failure_of_content(const std::string& bytes) {
  return failure_of([&] { content_of(bytes); });
}

// Not easy to compress, and longer than every buffer on the way.
std::string long_text() {
  std::string text;
  for (std::uint32_t i = 0, x = 1; i < 60'000; ++i, x = x * 1664525u + 1013904223u) text += std::to_string(x) + "\n";
  return text;
}

}  // namespace

TEST_CASE("Bytes that were looked at are read again", "[data][byte_source]") {
  const TemporaryDirectory directory;
  const std::string text = long_text().substr(0, 100'000);
  for (const std::string& bytes : {text, gzip(text)}) {
    write_text(directory / "file", bytes);
    for (const std::size_t looked : {std::size_t{0}, std::size_t{3}, std::size_t{99'999}, std::size_t{100'001}}) {
      auto source = detail::open_byte_source(directory / "file");
      REQUIRE(detail::peek(source, looked) == text.substr(0, looked));
      REQUIRE(detail::peek(source, 1) == text.substr(0, 1));
      std::string read(200'000, '\0');
      REQUIRE(source->read(std::as_writable_bytes(std::span(read).first(2))) == 2);
      const std::size_t rest = source->read(std::as_writable_bytes(std::span(read).subspan(2)));
      REQUIRE(read.substr(0, 2 + rest) == text);
    }
  }
}

TEST_CASE("What a file is compressed with is seen in its bytes", "[data][byte_source]") {
  const std::string text = long_text();
  for (const std::size_t chunk : {std::size_t{1} << 20, std::size_t{70'001}, std::size_t{4096}}) {
    REQUIRE(content_of(text, chunk) == text);
    REQUIRE(content_of(gzip(text), chunk) == text);
    REQUIRE(content_of(xz(text), chunk) == text);
  }
  const TemporaryDirectory directory;
  write_text(directory / "file", xz("x"));
  REQUIRE(detail::open_byte_source(directory / "file")->compression() == "xz");
  write_text(directory / "file", gzip("x"));
  REQUIRE(detail::open_byte_source(directory / "file")->compression() == "gzip");
  write_text(directory / "file", "x");
  REQUIRE(detail::open_byte_source(directory / "file")->compression() == "none");
}

TEST_CASE("Short and empty files are read as they are", "[data][byte_source]") {
  for (const std::string text : {"", "a", "\xFD",
                                 "\xFD"
                                 "7z",
                                 "\x1F"})
    REQUIRE(content_of(text) == text);
  REQUIRE(content_of(gzip("")).empty());
  REQUIRE(content_of(xz("")).empty());
}

TEST_CASE("Compressed streams behind one another are one file", "[data][byte_source]") {
  const std::string text = long_text();
  REQUIRE(content_of(gzip(text) + gzip("") + gzip("end")) == text + "end");
  REQUIRE(content_of(xz(text) + xz("end")) == text + "end");
}

TEST_CASE("Zeros may pad a compressed file", "[data][byte_source]") {
  REQUIRE(content_of(gzip("text") + std::string(100'000, '\0')) == "text");
  REQUIRE(content_of(xz("text") + std::string(8, '\0')) == "text");
}

TEST_CASE("Other bytes behind a compressed stream are damage", "[data][byte_source]") {
  for (const std::string& stream : {gzip("text"), xz("text")}) {
    const auto failure = failure_of_content(stream + "trailing");
    REQUIRE(failure.code == ErrorCode::corrupt_file);
    REQUIRE(failure.says("file: the "));
  }
}

TEST_CASE("A compressed stream that is cut off anywhere is damage", "[data][byte_source]") {
  const std::string text = "user,item\nu,a\n";
  for (const std::string& stream : {gzip(text), xz(text)}) {
    for (std::size_t size = 6; size < stream.size(); ++size) {
      const auto failure = failure_of_content(stream.substr(0, size));
      REQUIRE(failure.code == ErrorCode::corrupt_file);
      REQUIRE(failure.says("cut off"));
    }
  }
  const std::string large = long_text();
  REQUIRE(failure_of_content(gzip(large).substr(0, 200'000)).says("the gzip stream is cut off"));
  REQUIRE(failure_of_content(xz(large).substr(0, 200'000)).says("the xz stream is cut off"));
}

TEST_CASE("A flipped bit in compressed text is damage", "[data][byte_source]") {
  const std::string text = long_text();
  for (std::string stream : {gzip(text), xz(text)}) {
    stream[stream.size() / 2] = static_cast<char>(stream[stream.size() / 2] ^ 4);
    REQUIRE(failure_of_content(stream).code == ErrorCode::corrupt_file);
  }
}

TEST_CASE("Formats that cannot be read are named", "[data][byte_source]") {
  using namespace std::string_literals;
  REQUIRE(failure_of_content("PK\3\4rest"s).says("zip"));
  REQUIRE(failure_of_content("\x28\xB5\x2F\xFDrest"s).says("zstd"));
  REQUIRE(failure_of_content("\xFF\xFEu\0s\0"s).says("UTF-16"));
  REQUIRE(failure_of_content("\xFE\xFF\0u\0s"s).code == ErrorCode::unsupported);
}

TEST_CASE("A file that is not there is named with the reason", "[data][byte_source]") {
  const TemporaryDirectory directory;
  const auto failure = failure_of([&] { detail::open_byte_source(directory / "missing.csv"); });
  REQUIRE(failure.code == ErrorCode::io_error);
  REQUIRE(failure.says("missing.csv"));
  REQUIRE(failure_of([&] { content(directory.path()); }).code == ErrorCode::io_error);
}
