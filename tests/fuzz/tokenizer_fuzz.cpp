// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "attune/error.hpp"
#include "model/word_piece_file.hpp"
#include "temporary_directory.hpp"

namespace {

using namespace attune::detail;

constexpr std::size_t kRows = 64;

// Whatever the text is: two tokens at least, no more than asked for, each with a row; and the same again.
void tokenize(const WordPiece& tokenizer, std::string_view text) {
  for (const std::size_t most : {2u, 3u, 9u, 512u}) {
    std::vector<std::uint32_t> tokens, again;
    const bool whole = tokenizer.tokenize(tokens, text, most);
    if (tokens.size() < 2 || tokens.size() > most) __builtin_trap();
    if (std::ranges::any_of(tokens, [](std::uint32_t token) { return token >= kRows; })) __builtin_trap();
    if (!whole && tokens.size() != most) __builtin_trap();
    if (tokenizer.tokenize(again, text, most) != whole || again != tokens) __builtin_trap();
  }
}

}  // namespace

// A file of a tokenizer, and a text that it is to cut.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const attune::test::TemporaryDirectory directory;
  const std::string text(reinterpret_cast<const char*>(data), size);
  attune::test::write_text(directory / "vocab.txt", "[UNK]\n[CLS]\n[SEP]\na\nb\n##a\n##b\nab\n##ba\n!\n\xE4\xB8\xAD\n");
  tokenize(load_word_piece(directory.path(), kRows), text);
  for (const char* name : {"vocab.txt", "tokenizer_config.json", "tokenizer.json"}) {
    attune::test::write_text(directory / name, text);
    try {
      tokenize(load_word_piece(directory.path(), kRows), text);
    } catch (const attune::Error&) {
    }
    std::filesystem::remove(directory / name);
    attune::test::write_text(directory / "vocab.txt", "[UNK]\n[CLS]\n[SEP]\na\n##a\n");
  }
  return 0;
}
