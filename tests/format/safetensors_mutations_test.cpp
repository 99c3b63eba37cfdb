// SPDX-License-Identifier: Apache-2.0
// Every truncation and every flipped bit: either one Error, or a file whose every accessor stays in bounds.
#include "attune/model/safetensors.hpp"
#include "catch.hpp"
#include "format/safetensors_bytes.hpp"

using namespace attune;
using namespace attune::test;

namespace {

// Whether the bytes load. Anything but an Error, or a broken promise of the reader, fails the test.
bool loads(const Bytes& bytes) {
  try {
    read_everything(SafetensorsFile::parse(bytes, "mutant"));
    return true;
  } catch (const Error& error) {
    if (std::string(error.what()).find("\"mutant\": ") != 0) throw std::logic_error("a message that names no file");
    return false;
  }
}

std::size_t header_end(const Bytes& bytes) {
  return 8 + static_cast<std::size_t>(bytes[0]) + (static_cast<std::size_t>(bytes[1]) << 8);
}

}  // namespace

TEST_CASE("No truncation of a file loads", "[format][safetensors]") {
  const Bytes whole = small_file();
  REQUIRE(loads(whole));
  REQUIRE(whole.size() > 1800);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    INFO(size << " of " << whole.size() << " bytes");
    if (loads({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)})) FAIL("loaded");
  }
}

TEST_CASE("Every flipped bit of a header gives an error or a file within bounds", "[format][safetensors]") {
  Bytes bytes = small_file();
  std::size_t loaded = 0;
  const std::size_t end = header_end(bytes);
  for (std::size_t i = 0; i < end; ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      bytes[i] ^= static_cast<std::byte>(1 << bit);
      loaded += loads(bytes);
      bytes[i] ^= static_cast<std::byte>(1 << bit);
    }
  }
  // A letter of a name or of the metadata may become another one; most flips must be noticed.
  CHECK(loaded > 0);
  CHECK(loaded < end * 4);
}
