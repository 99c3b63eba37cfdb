// SPDX-License-Identifier: Apache-2.0
#pragma once

// WordPiece (Wu et al. 2016) as the tokenizers of BERT checkpoints apply it: text becomes words, words become the
// longest pieces that the vocabulary has. Immutable, safe from any number of threads.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "attune/version.hpp"

namespace attune::inline v0_1::detail {

struct WordPieceOptions {
  bool clean_text = true;             // drop control characters and U+FFFD
  bool split_ideographs = true;       // each CJK ideograph is a word
  bool lower_case = true;             // character by character
  std::optional<bool> strip_accents;  // unless given, as lower_case
  std::string unknown = "[UNK]", first = "[CLS]", last = "[SEP]", continuation = "##";
  std::size_t longest_word = 100;  // characters; longer ones are unknown
};

class WordPiece {
 public:
  struct TextHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept { return std::hash<std::string_view>{}(text); }
  };
  using Vocabulary = std::unordered_map<std::string, std::uint32_t, TextHash, std::equal_to<>>;

  // Throws Error(invalid_data) where one of the three special tokens is missing. `file` is the vocabulary's name.
  WordPiece(const Vocabulary& vocabulary, const WordPieceOptions& options, const std::string& file);

  // Appends [CLS], the pieces of the text, [SEP]: at most max_length >= 2 in all. False where pieces were left out.
  // What is written like a special token is text. Bytes that are not UTF-8 are U+FFFD.
  bool tokenize(std::vector<std::uint32_t>& tokens, std::string_view text, std::size_t max_length) const;

 private:
  class Words;
  // False where `end` tokens are too few for the pieces.
  bool add_word(std::vector<std::uint32_t>& tokens, const Words& words, std::size_t end) const;
  bool add_character(Words& words, std::int32_t character, std::vector<std::uint32_t>& tokens, std::size_t end) const;
  bool is_dropped(std::int32_t character) const noexcept;

  WordPieceOptions options_;
  Vocabulary starts_, continuations_;  // pieces that begin a word, and the others without their prefix
  std::size_t longest_piece_ = 0;      // bytes
  std::uint32_t unknown_, first_, last_;
};

}  // namespace attune::inline v0_1::detail
