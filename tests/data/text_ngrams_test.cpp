// SPDX-License-Identifier: Apache-2.0
#include "data/text_ngrams.hpp"

#include <algorithm>

#include "catch.hpp"

using namespace attune;
using namespace attune::detail;

namespace {

using Hashes = std::vector<std::uint64_t>;
constexpr NgramRange kNone{}, kSingle{1, 1};

// Sorted.
Hashes ngrams(std::string_view text, NgramRange words = kSingle, NgramRange characters = kNone) {
  Hashes hashes;
  TextNgrams().append(text, words, characters, hashes);
  std::ranges::sort(hashes);
  return hashes;
}

std::size_t shared(std::string_view a, std::string_view b, NgramRange words = kSingle, NgramRange characters = kNone) {
  Hashes both;
  std::ranges::set_intersection(ngrams(a, words, characters), ngrams(b, words, characters), std::back_inserter(both));
  return both.size();
}

}  // namespace

TEST_CASE("Text is cut into words, whatever their case and what stands between them", "[data][text]") {
  CHECK(ngrams("The Sea, the SEA!").size() == 4);
  CHECK(ngrams("The Sea, the SEA!") == ngrams("sea\tthe--sea\nTHE"));
  CHECK(ngrams("").empty());
  CHECK(ngrams(" ,.;!?'\" ").empty());
  CHECK(ngrams("8 1/2") == ngrams("2 8 1"));
  CHECK(shared("Jaws", "Claws") == 0);
}

TEST_CASE("n-grams of words keep their order", "[data][text]") {
  CHECK(ngrams("a b c", {1, 2}).size() == 5);
  CHECK(ngrams("a b c", {2, 2}).size() == 2);
  CHECK(ngrams("a b c", {4, 8}).empty());
  CHECK(shared("man bites dog", "dog bites man", {1, 1}) == 3);
  CHECK(shared("man bites dog", "dog bites man", {2, 2}) == 0);
  CHECK(shared("man bites dog", "a man bites", {2, 2}) == 1);
}

TEST_CASE("n-grams of characters know where a word ends", "[data][text]") {
  CHECK(ngrams("cat", kNone, {3, 5}).size() == 3 + 2 + 1);  // <cat>
  CHECK(ngrams("a", kNone, {3, 3}).size() == 1);
  CHECK(shared("cat", "category", kNone, {3, 3}) == 2);  // <ca, cat
  CHECK(shared("cat", "tomcat", kNone, {3, 3}) == 2);    // cat, at>
  CHECK(shared("cat dog", "dog cat", kNone, {3, 5}) == 12);
  CHECK(shared("cat", "cat", kSingle, kNone) + shared("cat", "cat", kNone, {3, 5}) ==
        ngrams("cat", kSingle, {3, 5}).size());
}

TEST_CASE("The hash is the same everywhere", "[data][text]") {
  CHECK(mixed(1) == 0xB456BCFC34C2CB2C);
  CHECK(hashed(kHashBasis, 'a') == 0xAF63DC4C8601EC8C);  // FNV-1a of "a"
  const std::uint64_t word = mixed(hashed(hashed(kHashBasis, 'a'), 'b'));
  CHECK(ngrams("AB") == Hashes{mixed(hashed(hashed(kHashBasis, 'w'), word))});
  std::uint64_t characters = hashed(kHashBasis, 'c');
  for (const unsigned c : {0x3Cu, 0x62u, 0x3Eu}) characters = hashed(characters, c);  // <b>
  CHECK(ngrams("b", kNone, {3, 3}) == Hashes{mixed(characters)});
}

TEST_CASE("Letters of every script are folded and keep their marks", "[data][text]") {
  CHECK(ngrams("\u00C9COLE") == ngrams("e\u0301cole"));  // composed or not
  CHECK(ngrams("e\u0301", kNone, {3, 3}).size() == 1);
  CHECK(ngrams("STRASSE") == ngrams("stra\u00DFe"));  // full case folding
  CHECK(ngrams("\uFF21\uFF22") == ngrams("ab"));      // full width
  CHECK(ngrams("\u041C\u0418\u0420") == ngrams("\u043C\u0438\u0440"));
  CHECK(shared("\u00E9cole", "ecole") == 0);
  CHECK(shared("Les \u00E9coles", "les") == 1);  // whatever else the text has
  // Arabic: two words, one of them shared; a vowel mark is part of its word, a joiner that nobody sees is not.
  const char *lost = "\u0627\u0644\u0628\u062D\u0631 \u0627\u0644\u0636\u0627\u0626\u0639",
             *sea = "\u0627\u0644\u0628\u062D\u0631";
  CHECK(ngrams(lost).size() == 2);
  CHECK(shared(lost, sea) == 1);
  CHECK(ngrams("\u0628\u064E\u062D\u0631").size() == 1);
  CHECK(shared("\u0628\u064E\u062D\u0631", "\u0628\u062D\u0631") == 0);
  CHECK(ngrams("\u0645\u06CC\u200C\u062E\u0648\u0627\u0647\u0645") ==
        ngrams("\u0645\u06CC\u062E\u0648\u0627\u0647\u0645"));
  CHECK(ngrams("\u0939\u093F\u0928\u094D\u0926\u0940").size() == 1);  // Devanagari
  CHECK(ngrams("\uD55C\uAD6D \uC601\uD654").size() == 2);             // Hangul
}

TEST_CASE("Characters of scripts without blanks are words", "[data][text]") {
  const char *hero = "\u82F1\u96C4", *heroine = "\u5973\u82F1\u96C4";  // "hero", "heroine"
  CHECK(ngrams(hero).size() == 2);
  CHECK(ngrams(hero, {1, 2}, {3, 5}).size() == 3);  // no characters within them
  CHECK(shared(hero, heroine, {1, 2}) == 3);
  CHECK(ngrams("Kill\u82F1\u96C4Bill").size() == 4);
  CHECK(ngrams("\u3082\u306E\u306E\u3051").size() == 4);                          // kana
  CHECK(ngrams("\u0E20\u0E32\u0E1E\u0E22\u0E19\u0E15\u0E23\u0E4C").size() == 7);  // Thai, a mark with its letter
}

TEST_CASE("Emoji are words", "[data][text]") {
  CHECK(ngrams("\U0001F988\U0001F30A").size() == 2);
  CHECK(shared("Jaws \U0001F988", "\U0001F988 attack") == 1);
  CHECK(ngrams("\U0001F988\uFE0F") == ngrams("\U0001F988"));
  CHECK(ngrams("\U0001F44D\U0001F3FD") == ngrams("\U0001F44D"));          // whatever the skin
  CHECK(ngrams("\U0001F1E9\U0001F1EA\U0001F1EB\U0001F1F7").size() == 2);  // two flags
  CHECK(shared("\U0001F1E9\U0001F1EA", "\U0001F1E9\U0001F1F0") == 0);
  CHECK(ngrams("\U0001F468\u200D\U0001F469\u200D\U0001F467").size() == 3);  // a family, by its members
}

TEST_CASE("Bytes that are not UTF-8 separate words", "[data][text]") {
  CHECK(ngrams("big\xFF"
               "fish") == ngrams("big fish"));
  CHECK(ngrams("big\xC3") == ngrams("big"));
  CHECK(ngrams("\xE2\x82"
               "a") == ngrams("a"));
  CHECK(ngrams("a\xED\xA0\x80"
               "b") == ngrams("a b"));  // half of a surrogate pair
  CHECK(ngrams("caf\xE9 noir\xE9") == ngrams("caf noir"));
  CHECK(ngrams("\xFF\xFE\xFD").empty());
  CHECK(ngrams(std::string_view("a\0b", 3)) == ngrams("a b"));
  CHECK(ngrams("\uFFFD").empty());
  CHECK(ngrams("\uFDFA\uFDFA\uFDFA\uFDFA").size() > 4);  // each becomes 18 characters
}

TEST_CASE("A text's n-grams do not depend on what was read before it", "[data][text]") {
  TextNgrams reused;
  Hashes first, second;
  reused.append("Some \u00E9 long title \U0001F988 of a film", {1, 2}, {3, 5}, first);
  reused.append("Jaws", {1, 2}, {3, 5}, second);
  std::ranges::sort(second);
  CHECK(second == ngrams("Jaws", {1, 2}, {3, 5}));
}
