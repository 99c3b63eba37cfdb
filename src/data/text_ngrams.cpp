// SPDX-License-Identifier: Apache-2.0
#include "data/text_ngrams.hpp"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <utility>

namespace attune::inline v0_1::detail {
namespace {

constexpr std::int32_t kReplacement = 0xFFFD;

enum class CharacterClass : std::uint8_t { separator, letter, mark, alone };

constexpr bool is_ascii_letter(std::int32_t c) noexcept {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
}

// Scripts that put no blanks between words: Thai, Lao, Burmese, Khmer, Han, kana.
constexpr bool is_unspaced(std::int32_t c) noexcept {
  constexpr std::pair<std::int32_t, std::int32_t> kRanges[] = {
      {0x0E00, 0x0EFF}, {0x1000, 0x109F}, {0x1780, 0x17FF}, {0x2E80, 0x2FDF},   {0x3005, 0x3007},
      {0x3021, 0x3029}, {0x3040, 0x30FF}, {0x31F0, 0x31FF}, {0x3400, 0x4DBF},   {0x4E00, 0x9FFF},
      {0xA9E0, 0xA9FF}, {0xAA60, 0xAA7F}, {0xF900, 0xFAFF}, {0x1B000, 0x1B2FF}, {0x20000, 0x3FFFF}};
  return std::ranges::any_of(kRanges, [&](const auto& range) { return c >= range.first && c <= range.second; });
}

constexpr bool is_regional_indicator(std::int32_t c) noexcept { return c >= 0x1F1E6 && c <= 0x1F1FF; }

CharacterClass class_of(std::int32_t c) noexcept {
  using enum CharacterClass;
  if (c < 0x80) return is_ascii_letter(c) ? letter : separator;
  switch (utf8proc_category(c)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_NO: return is_unspaced(c) ? alone : letter;
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME: return mark;
    case UTF8PROC_CATEGORY_SO: return c == kReplacement ? separator : alone;
    default: return separator;
  }
}

}  // namespace

void TextNgrams::append(std::string_view text, NgramRange words, NgramRange characters,
                        std::vector<std::uint64_t>& hashes) {
  fold(text);
  cut();
  append_words(words, hashes);
  append_characters(characters, hashes);
}

void TextNgrams::fold(std::string_view text) {
  folded_.clear();
  if (std::ranges::all_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x80; })) {
    for (const char c : text) folded_.push_back(c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c);
    return;
  }
  repair(text);
  constexpr auto kFold = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT |
                                                        UTF8PROC_CASEFOLD | UTF8PROC_IGNORE);
  const auto decompose = [&] {
    return utf8proc_decompose(reinterpret_cast<const utf8proc_uint8_t*>(repaired_.data()), std::ssize(repaired_),
                              folded_.data(), std::ssize(folded_), kFold);
  };
  folded_.resize(repaired_.size());
  auto length = decompose();
  if (length > std::ssize(folded_)) {
    folded_.resize(static_cast<std::size_t>(length));
    length = decompose();
  }
  if (length > 0) length = utf8proc_normalize_utf32(folded_.data(), length, kFold);
  folded_.resize(static_cast<std::size_t>(std::max<utf8proc_ssize_t>(length, 0)));
}

// Each byte that is not UTF-8 becomes U+FFFD.
void TextNgrams::repair(std::string_view text) {
  repaired_.clear();
  const auto* bytes = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  for (std::size_t at = 0; at < text.size();) {
    utf8proc_int32_t code_point = -1;
    const auto length = utf8proc_iterate(bytes + at, std::ssize(text) - static_cast<std::ptrdiff_t>(at), &code_point);
    if (length > 0) {
      repaired_.append(text.substr(at, static_cast<std::size_t>(length)));
    } else {
      repaired_.append("\xEF\xBF\xBD");
    }
    at += static_cast<std::size_t>(std::max<utf8proc_ssize_t>(length, 1));
  }
}

void TextNgrams::cut() {
  using enum CharacterClass;
  words_.clear();
  bool open = false;  // the last word goes on
  bool flag = false;  // it is the first half of one
  for (std::size_t i = 0; i < folded_.size(); ++i) {
    const CharacterClass type = class_of(folded_[i]);
    const bool second_half = flag && is_regional_indicator(folded_[i]);
    if (type == separator) {
      open = flag = false;
    } else if (type == mark || second_half || (type == letter && open && words_.back().spelled)) {
      if (open) words_.back().end = i + 1;
      flag = false;
    } else {
      words_.push_back({i, i + 1, type == letter});
      open = true;
      flag = is_regional_indicator(folded_[i]);
    }
  }
}

void TextNgrams::append_words(NgramRange range, std::vector<std::uint64_t>& hashes) {
  if (range.last == 0) return;
  word_hashes_.clear();
  for (const Word& word : words_) {
    std::uint64_t hash = kHashBasis;
    for (std::size_t i = word.begin; i < word.end; ++i) hash = hashed(hash, static_cast<std::uint32_t>(folded_[i]));
    word_hashes_.push_back(mixed(hash));
  }
  for (std::size_t first = 0; first < word_hashes_.size(); ++first) {
    std::uint64_t hash = hashed(kHashBasis, 'w');
    const std::size_t most = std::min(range.last, word_hashes_.size() - first);
    for (std::size_t n = 1; n <= most; ++n) {
      hash = hashed(hash, word_hashes_[first + n - 1]);
      if (n >= range.first) hashes.push_back(mixed(hash));
    }
  }
}

void TextNgrams::append_characters(NgramRange range, std::vector<std::uint64_t>& hashes) {
  if (range.last == 0) return;
  for (const Word& word : words_) {
    if (!word.spelled) continue;
    const std::size_t length = word.end - word.begin + 2;
    const auto character = [&](std::size_t i) -> std::uint32_t {
      if (i == 0) return '<';
      return i + 1 == length ? std::uint32_t{'>'} : static_cast<std::uint32_t>(folded_[word.begin + i - 1]);
    };
    for (std::size_t first = 0; first < length; ++first) {
      std::uint64_t hash = hashed(kHashBasis, 'c');
      const std::size_t most = std::min(range.last, length - first);
      for (std::size_t n = 1; n <= most; ++n) {
        hash = hashed(hash, character(first + n - 1));
        if (n >= range.first) hashes.push_back(mixed(hash));
      }
    }
  }
}

}  // namespace attune::inline v0_1::detail
