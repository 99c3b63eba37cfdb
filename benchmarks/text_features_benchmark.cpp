// SPDX-License-Identifier: Apache-2.0

// How many titles does one thread turn into rows of a text feature per second? Words of 1 to 2 and characters of 3 to
// 5, 32,768 columns, TF-IDF, unit length. Generated titles of five words; in Latin letters, in letters with accents, in
// Arabic, in Chinese characters. And a plot of a hundred words.

#include <benchmark/benchmark.h>

#include <attune/model/featurizer.hpp>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

namespace {

constexpr std::size_t kTitles = 10'000, kVocabulary = 5'000;

const std::vector<std::string> kLatin{"a", "e", "i", "o", "u", "n", "r", "s", "t", "l", "m", "d", "B", "K", "P"};
const std::vector<std::string> kAccents{"a", "e", "\u00E9", "\u00FC", "\u00C5", "n", "r", "s", "t", "l", "\u00E7", "d"};
const std::vector<std::string> kArabic{"\u0627", "\u0628", "\u062D", "\u0631", "\u0644", "\u0645", "\u0646", "\u0648"};

std::vector<std::string> words_of(const std::vector<std::string>& letters) {
  std::mt19937 random(1);
  std::vector<std::string> words(kVocabulary);
  for (std::string& word : words) {
    for (std::size_t length = 2 + random() % 8; length > 0; --length) word += letters[random() % letters.size()];
  }
  return words;
}

// Characters from U+4E00 on.
std::vector<std::string> chinese_words() {
  std::mt19937 random(1);
  std::vector<std::string> words(kVocabulary);
  for (std::string& word : words) {
    for (int i = 0; i < 2; ++i) {
      const auto code_point = static_cast<unsigned>(0x4E00 + random() % 3000);
      word += static_cast<char>(0xE0 | (code_point >> 12));
      word += static_cast<char>(0x80 | ((code_point >> 6) & 0x3F));
      word += static_cast<char>(0x80 | (code_point & 0x3F));
    }
  }
  return words;
}

// Frequent words are the first ones.
attune::FeatureRecords texts_of(const std::vector<std::string>& words, std::size_t length) {
  std::mt19937 random(2);
  attune::FeatureRecords records(kTitles);
  for (std::size_t row = 0; row < kTitles; ++row) {
    std::string text;
    for (std::size_t i = 0; i < length; ++i) {
      text += words[random() % (1 + random() % words.size())];
      text += ' ';
    }
    records.add(row, {"title", text});
  }
  return records;
}

void featurize(benchmark::State& state, const std::vector<std::string>& words, std::size_t length) {
  const attune::FeatureRecords records = texts_of(words, length);
  attune::FeatureSpec title;
  title.name = "title";
  title.kind = attune::FeatureKind::text;
  const auto featurizer = attune::Featurizer::fit({title}, records);
  std::size_t values = 0;
  for (auto _ : state) {
    const attune::FeatureTable table = featurizer.table(records);
    for (std::size_t row = 0; row < table.rows(); ++row) values += table.of(row, 0).values.size();
  }
  const auto titles = static_cast<double>(state.iterations()) * static_cast<double>(kTitles);
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kTitles));
  state.counters["columns_of_one"] = static_cast<double>(values) / titles;
}

BENCHMARK_CAPTURE(featurize, latin_titles, words_of(kLatin), 5)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(featurize, accented_titles, words_of(kAccents), 5)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(featurize, arabic_titles, words_of(kArabic), 5)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(featurize, chinese_titles, chinese_words(), 5)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(featurize, latin_plots, words_of(kLatin), 100)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
