// SPDX-License-Identifier: Apache-2.0
#pragma once

// Text of any language as hashes of its n-grams; the same on every machine.
//
// Text is folded (NFKC_Casefold of Unicode; a byte that is not UTF-8 separates words) and cut into words: runs of
// letters and digits with their marks; characters of scripts that put no blanks between words, and symbols such as
// emoji, are words of their own. docs/features.md has the hash.

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "attune/data/feature_table.hpp"

namespace attune::inline v0_1::detail {

// What mixes the bits of a 64-bit number (the finaliser of MurmurHash3).
constexpr std::uint64_t mixed(std::uint64_t bits) noexcept {
  bits = (bits ^ (bits >> 33)) * 0xFF51AFD7ED558CCD;
  bits = (bits ^ (bits >> 33)) * 0xC4CEB9FE1A85EC53;
  return bits ^ (bits >> 33);
}

// FNV-1a with numbers in place of bytes.
inline constexpr std::uint64_t kHashBasis = 0xCBF29CE484222325, kHashPrime = 0x100000001B3;
constexpr std::uint64_t hashed(std::uint64_t hash, std::uint64_t number) noexcept {
  return (hash ^ number) * kHashPrime;
}

// Holds memory from text to text; one per thread.
class TextNgrams {
 public:
  // Appends a hash for each n-gram, as often as it is there: of words, in their order, and of characters within a
  // spelled word, with '<' before and '>' behind it.
  void append(std::string_view text, NgramRange words, NgramRange characters, std::vector<std::uint64_t>& hashes);

 private:
  struct Word {
    std::size_t begin, end;  // in folded_
    bool spelled;            // of letters, where their order within the word says something
  };
  void fold(std::string_view text);
  void repair(std::string_view text);
  void cut();
  void append_words(NgramRange range, std::vector<std::uint64_t>& hashes);
  void append_characters(NgramRange range, std::vector<std::uint64_t>& hashes);

  std::string repaired_;
  std::vector<std::int32_t> folded_;  // code points
  std::vector<Word> words_;
  std::vector<std::uint64_t> word_hashes_;
};

}  // namespace attune::inline v0_1::detail
