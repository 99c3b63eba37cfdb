// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a featurizer knows of each feature.

#include <array>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "attune/data/feature_table.hpp"
#include "attune/model/featurizer.hpp"

namespace attune::inline v0_1 {
namespace detail {

// Distinct names in ascending order of their bytes, one behind the other.
struct Vocabulary {
  std::string text;
  std::vector<std::uint64_t> offsets{0};  // [size() + 1]

  std::size_t size() const noexcept { return offsets.size() - 1; }
  std::string_view operator[](std::size_t i) const noexcept {
    return std::string_view(text).substr(offsets[i], offsets[i + 1] - offsets[i]);
  }
  void append(std::string_view name) {
    text += name;
    offsets.push_back(text.size());
  }
  std::size_t find(std::string_view name) const noexcept;  // size(): unknown
};

// Column 0 of a category stands for unknown names, column i + 1 for names[i].
struct LearnedFeature {
  FeatureSpec spec;  // without its files
  FeatureShape shape;
  Vocabulary names = {};               // category
  std::vector<double> edges = {};      // number in buckets: where a bucket but the first begins, ascending
  double mean = 0, deviation = 1;      // number, time (milliseconds)
  std::vector<float> idf = {};         // text, [width]
  std::vector<float> means = {};       // vector that is standardised, [width]
  std::vector<float> deviations = {};  // the same
  std::array<std::size_t, 2> of = {};  // cross: numbers of features
};

// How many columns a feature has that knows this much, but for a vector, whose own width it is.
std::size_t width_of(const LearnedFeature& feature) noexcept;
// Fills `of` of crosses. Precondition: check_features() took them.
void link_crosses(std::span<LearnedFeature> features);

// A column of a hash.
constexpr std::uint32_t column_of(std::uint64_t hash, std::size_t dimensions) noexcept {
  return static_cast<std::uint32_t>(((hash >> 32) * dimensions) >> 32);
}
// The columns of a text's n-grams, ascending, each as often as it is there.
class TextNgrams;
void text_columns(std::span<const FieldValue> record, const FeatureSpec& feature, TextNgrams& ngrams,
                  std::vector<std::uint64_t>& hashes, std::vector<std::uint32_t>& columns);

// Learns one feature, but for crosses, from these rows. Throws Error(invalid_data).
LearnedFeature learn(const FeatureSpec& spec, const FeatureRecords& records, std::span<const std::uint32_t> rows);

}  // namespace detail

struct Featurizer::Impl {
  explicit Impl(std::vector<detail::LearnedFeature> all);
  std::vector<detail::LearnedFeature> learned;
  std::vector<FeatureSpec> specs;
  std::vector<FeatureShape> shapes;
  std::string json;  // of the file: what is no tensor
};

}  // namespace attune::inline v0_1
