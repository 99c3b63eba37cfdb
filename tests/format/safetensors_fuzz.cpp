// SPDX-License-Identifier: Apache-2.0
// Feeds the safetensors reader with mutants of well-formed files and of its own grammar. Two forms:
//
//   the suite   a Catch2 case: 200,000 mutants, the same ones every time, in about two seconds
//   a fuzzer    for hours, guided by coverage; clang++ only, from the root of the repository, all on one line:
//                 clang++ -std=c++20 -O1 -g -fsanitize=fuzzer,address,undefined -DATTUNE_LIBFUZZER -Iinclude -Isrc
//                   -Itests tests/format/safetensors_fuzz.cpp tests/format/safetensors_bytes.cpp
//                   src/data/json_scanner.cpp src/model/safetensors*.cpp src/platform/files.cpp
//                   src/platform/process.cpp -o safetensors_fuzz
//                 ./safetensors_fuzz -max_len=4096 -max_total_time=3600
//
// Whatever the input: an attune::Error, or a file whose every accessor stays in bounds.
#include <cstdint>
#include <span>

#include "attune/model/safetensors.hpp"
#include "format/safetensors_bytes.hpp"

namespace {

// Whether the bytes load.
bool accept(std::span<const std::byte> bytes) {
  try {
    attune::test::read_everything(attune::SafetensorsFile::parse({bytes.begin(), bytes.end()}, "fuzz"));
    return true;
  } catch (const attune::Error&) {
    return false;
  }
}

// The same with the length of the header set right, so that mutants reach what is behind that check.
bool accept_as_header(std::span<const std::byte> header, std::size_t data) {
  const std::string_view text(reinterpret_cast<const char*>(header.data()), header.size());
  return accept(attune::test::to_bytes(attune::test::file_of(text, data)));
}

}  // namespace

#ifdef ATTUNE_LIBFUZZER

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const auto bytes = std::as_bytes(std::span(data, size));
  accept(bytes);
  if (size > 0) accept_as_header(bytes.subspan(1), data[0]);
  return 0;
}

#else

#include <random>

#include "catch.hpp"

namespace {

using attune::test::Bytes;
using Random = std::mt19937_64;

std::size_t below(Random& random, std::size_t bound) { return static_cast<std::size_t>(random() % bound); }

// One small change: a bit, a byte, a piece moved, doubled or dropped, or a word of the grammar put somewhere.
void mutate(Bytes& bytes, Random& random) {
  static constexpr std::string_view kWords[] = {"{",
                                                "}",
                                                "[",
                                                "]",
                                                ",",
                                                ":",
                                                "\"",
                                                "\\u0000",
                                                "\\ud83c\\udfb5",
                                                "0",
                                                "-1",
                                                "1e3",
                                                "18446744073709551615",
                                                "4294967296",
                                                "\"w\"",
                                                "\"dtype\"",
                                                "\"F32\"",
                                                "\"U8\"",
                                                "\"I64\"",
                                                "\"F4\"",
                                                "\"shape\"",
                                                "\"data_offsets\"",
                                                "[0,0]",
                                                "[]",
                                                "\"__metadata__\"",
                                                "null",
                                                " ",
                                                "\xE2\x82\xAC"};
  const std::size_t at = below(random, bytes.size() + 1);
  const auto position = bytes.begin() + static_cast<std::ptrdiff_t>(at);
  const auto piece = static_cast<std::ptrdiff_t>(below(random, std::min<std::size_t>(bytes.size() - at, 64) + 1));
  switch (below(random, 5)) {
    case 0:
      if (at < bytes.size()) *position ^= static_cast<std::byte>(1u << below(random, 8));
      break;
    case 1:
      if (at < bytes.size()) *position = static_cast<std::byte>(random());
      break;
    case 2: bytes.erase(position, position + piece); break;
    case 3: {
      const Bytes copy(position, position + piece);
      const auto target = static_cast<std::ptrdiff_t>(below(random, bytes.size() + 1));
      bytes.insert(bytes.begin() + target, copy.begin(), copy.end());
      break;
    }
    default: {
      const auto word = std::as_bytes(std::span(kWords[below(random, std::size(kWords))]));
      bytes.insert(position, word.begin(), word.end());
    }
  }
}

}  // namespace

TEST_CASE("Mutants of a safetensors file give an error or a file within bounds", "[format][safetensors]") {
  const Bytes whole = attune::test::small_file();
  const std::string header =
      attune::test::object({attune::test::entry("a", "F32", "[2,1]", "[0,8]"),
                            attune::test::entry("b", "U8", "[4]", "[8,12]"), R"("__metadata__":{"k":"v"})"});
  Random random(20240501);
  std::size_t loaded = 0;
  for (int round = 0; round < 100'000; ++round) {
    Bytes file = whole, text = attune::test::to_bytes(header);
    for (std::size_t changes = below(random, 4) + 1; changes > 0; --changes) {
      mutate(file, random);
      mutate(text, random);
    }
    loaded += accept(file);
    loaded += accept_as_header(text, 12);
  }
  CHECK(loaded > 100);
}

#endif
