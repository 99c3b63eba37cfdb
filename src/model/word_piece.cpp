// SPDX-License-Identifier: Apache-2.0
#include "model/word_piece.hpp"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <span>
#include <utility>

#include "attune/error.hpp"
#include "data/json_scanner.hpp"
#include "data/text.hpp"

namespace attune::inline v0_1::detail {
namespace {

constexpr std::int32_t kReplacement = 0xFFFD;

bool is_white_space(std::int32_t character) noexcept {
  if ((character >= '\t' && character <= '\r') || character == ' ' || character == 0x85) return true;
  const auto category = utf8proc_category(character);
  return category >= UTF8PROC_CATEGORY_ZS && category <= UTF8PROC_CATEGORY_ZP;
}

// Of ASCII everything that is neither letter, digit, blank nor control counts, as in "$" and "^".
bool is_punctuation(std::int32_t character) noexcept {
  if (character < 0x80) {
    return (character >= 33 && character <= 47) || (character >= 58 && character <= 64) ||
           (character >= 91 && character <= 96) || (character >= 123 && character <= 126);
  }
  const auto category = utf8proc_category(character);
  return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

bool is_ideograph(std::int32_t character) noexcept {
  using Range = std::pair<std::int32_t, std::int32_t>;
  static constexpr std::array<Range, 8> kRanges = {{{0x4E00, 0x9FFF},
                                                    {0x3400, 0x4DBF},
                                                    {0x20000, 0x2A6DF},
                                                    {0x2A700, 0x2B73F},
                                                    {0x2B740, 0x2B81F},
                                                    {0x2B820, 0x2CEAF},
                                                    {0xF900, 0xFAFF},
                                                    {0x2F800, 0x2FA1F}}};
  return std::ranges::any_of(kRanges,
                             [=](const Range& range) { return character >= range.first && character <= range.second; });
}

// The canonical decomposition of one character.
class Decomposition {
 public:
  explicit Decomposition(std::int32_t character) noexcept {
    int boundary = 0;
    const auto size = utf8proc_decompose_char(character, parts_.data(), static_cast<utf8proc_ssize_t>(parts_.size()),
                                              UTF8PROC_DECOMPOSE, &boundary);
    size_ = static_cast<std::size_t>(size);
  }
  std::span<const std::int32_t> parts() const noexcept { return std::span(parts_).first(size_); }

 private:
  std::array<std::int32_t, 8> parts_;  // Unicode has none longer than 4
  std::size_t size_;
};

// The next character of a text, which it leaves. A byte that begins none is U+FFFD.
std::int32_t take_character(std::string_view& text) noexcept {
  std::int32_t character = 0;
  const auto size = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(text.data()),
                                     static_cast<utf8proc_ssize_t>(text.size()), &character);
  text.remove_prefix(size > 0 ? static_cast<std::size_t>(size) : 1);
  return size > 0 ? character : kReplacement;
}

}  // namespace

// The word at hand, in UTF-8, and where each of its characters begins. One that is too long is only counted.
class WordPiece::Words {
 public:
  explicit Words(std::size_t longest) noexcept : longest_(longest) {}
  bool empty() const noexcept { return size_ == 0; }
  bool too_long() const noexcept { return size_ > longest_; }
  void add(std::int32_t character) {
    if (++size_ > longest_) return;
    begins_.push_back(text_.size());
    append_utf8(text_, static_cast<std::uint32_t>(character));
  }
  void clear() noexcept {
    size_ = 0;
    text_.clear();
    begins_.clear();
  }
  std::string_view text() const noexcept { return text_; }
  std::span<const std::size_t> begins() const noexcept { return begins_; }

 private:
  std::size_t longest_, size_ = 0;
  std::string text_;
  std::vector<std::size_t> begins_;
};

WordPiece::WordPiece(const Vocabulary& vocabulary, const WordPieceOptions& options, const std::string& file)
    : options_(options) {
  const auto special = [&](const std::string& token) {
    const auto found = vocabulary.find(token);
    if (found == vocabulary.end()) {
      throw Error(ErrorCode::invalid_data, file + ": expected the token " + token + ", found none");
    }
    return found->second;
  };
  unknown_ = special(options.unknown);
  first_ = special(options.first);
  last_ = special(options.last);
  const std::string& prefix = options.continuation;
  for (const auto& [token, row] : vocabulary) {
    const bool continues = token.size() > prefix.size() && token.starts_with(prefix);
    if (continues) continuations_.emplace(token.substr(prefix.size()), row);
    if (!continues || prefix.empty()) starts_.emplace(token, row);
    longest_piece_ = std::max(longest_piece_, token.size());
  }
}

bool WordPiece::is_dropped(std::int32_t character) const noexcept {
  if (!options_.clean_text) return false;
  if (character == 0 || character == kReplacement) return true;
  if (character == '\t' || character == '\n' || character == '\r') return false;
  const auto category = utf8proc_category(character);
  return category == UTF8PROC_CATEGORY_CN || category >= UTF8PROC_CATEGORY_CC;
}

bool WordPiece::add_word(std::vector<std::uint32_t>& tokens, const Words& words, std::size_t end) const {
  const std::string_view word = words.text();
  const std::span<const std::size_t> begins = words.begins();
  const std::size_t before = tokens.size();
  const auto unknown = [&] {
    tokens.resize(before);
    if (before == end) return false;
    tokens.push_back(unknown_);
    return true;
  };
  if (words.too_long()) return unknown();
  for (std::size_t from = 0; from < begins.size();) {
    const Vocabulary& pieces = from == 0 ? starts_ : continuations_;
    std::size_t to = std::min(begins.size(), from + longest_piece_);
    auto found = pieces.end();
    for (; to > from; --to) {
      const std::size_t stop = to < begins.size() ? begins[to] : word.size();
      if (stop - begins[from] > longest_piece_) continue;
      found = pieces.find(word.substr(begins[from], stop - begins[from]));
      if (found != pieces.end()) break;
    }
    if (found == pieces.end()) return unknown();
    tokens.push_back(found->second);
    from = to;
  }
  if (tokens.size() <= end) return true;
  tokens.resize(end);
  return false;
}

// What a character of the normalised text does: end a word, be one, or belong to one.
bool WordPiece::add_character(Words& words, std::int32_t character, std::vector<std::uint32_t>& tokens,
                              std::size_t end) const {
  const auto finish = [&] {
    const bool whole = words.empty() || add_word(tokens, words, end);
    words.clear();
    return whole;
  };
  if (is_white_space(character)) return finish();
  if (!is_punctuation(character)) return words.add(character), true;
  if (!finish()) return false;
  words.add(character);
  return finish();
}

bool WordPiece::tokenize(std::vector<std::uint32_t>& tokens, std::string_view text, std::size_t max_length) const {
  const std::size_t end = tokens.size() + max_length - 1;
  const bool strip = options_.strip_accents.value_or(options_.lower_case);
  tokens.push_back(first_);
  Words words(options_.longest_word);
  const auto add = [&](std::int32_t character) { return add_character(words, character, tokens, end); };
  const auto add_normalised = [&](std::int32_t character) {
    if (strip && utf8proc_category(character) == UTF8PROC_CATEGORY_MN) return true;
    if (!options_.lower_case) return add(character);
    // The one character whose lower case is two.
    if (character == 0x130) return add('i') && add(0x307);
    return add(utf8proc_tolower(character));
  };
  const auto add_all = [&] {
    while (!text.empty()) {
      const std::int32_t character = take_character(text);
      if (is_dropped(character)) continue;
      const bool alone = options_.split_ideographs && is_ideograph(character);
      if (alone && !add(' ')) return false;
      if (!strip) {
        if (!add_normalised(character)) return false;
      } else {
        const Decomposition decomposition(character);
        if (!std::ranges::all_of(decomposition.parts(), add_normalised)) return false;
      }
      if (alone && !add(' ')) return false;
    }
    return add(' ');
  };
  const bool whole = add_all();
  tokens.push_back(last_);
  return whole;
}

}  // namespace attune::inline v0_1::detail
