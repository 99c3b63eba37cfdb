// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_map>
#include <utility>

#include "attune/error.hpp"
#include "data/text_ngrams.hpp"
#include "model/feature_values.hpp"
#include "model/learned_feature.hpp"

namespace attune::inline v0_1::detail {
namespace {

struct Rows {
  const FeatureRecords& records;
  std::span<const std::uint32_t> numbers;

  // Calls use(record) for each; what it complains of is told with the number of the record. use() says whether the
  // record has a value; how many do comes back.
  template <class Use>
  std::size_t count(Use&& use) const {
    std::size_t present = 0;
    for (const std::uint32_t row : numbers) {
      try {
        present += use(records.of(row)) ? 1 : 0;
      } catch (const Error& error) {
        throw Error(error.code(), "record " + std::to_string(row) + ", " + error.what());
      }
    }
    return present;
  }
};

// Sums in ascending order, so that the order of records does not matter.
std::pair<double, double> mean_and_deviation(std::vector<double>& numbers) {
  std::ranges::sort(numbers);
  const auto count = static_cast<double>(numbers.size());
  const double mean = std::accumulate(numbers.begin(), numbers.end(), 0.0) / count;
  double squares = 0;
  for (const double number : numbers) squares += (number - mean) * (number - mean);
  const double deviation = std::sqrt(squares / count);
  return {mean, deviation > 0 && std::isfinite(deviation) ? deviation : 1};
}

std::size_t learn_names(LearnedFeature& feature, const Rows& rows) {
  std::unordered_map<std::string, std::size_t> counts;
  std::vector<std::string> names;
  const std::size_t present = rows.count([&](std::span<const FieldValue> record) {
    names.clear();
    for_each_name_of(record, feature.spec, [&](std::string_view name) { names.emplace_back(name); });
    std::ranges::sort(names);
    names.erase(std::unique(names.begin(), names.end()), names.end());
    for (const std::string& name : names) ++counts[name];
    return !names.empty();
  });
  using Counted = std::pair<std::size_t, std::string_view>;
  std::vector<Counted> known;
  for (const auto& [name, count] : counts) {
    if (count >= feature.spec.min_count) known.emplace_back(count, name);
  }
  if (known.size() > feature.spec.max_names) {
    std::ranges::sort(known, [](const Counted& a, const Counted& b) {
      return a.first > b.first || (a.first == b.first && a.second < b.second);
    });
    known.resize(feature.spec.max_names);
  }
  std::ranges::sort(known, {}, &Counted::second);
  for (const Counted& name : known) feature.names.append(name.second);
  return present;
}

std::size_t learn_numbers(LearnedFeature& feature, const Rows& rows) {
  std::vector<double> numbers;
  const bool is_time = feature.spec.kind == FeatureKind::time;
  rows.count([&](std::span<const FieldValue> record) {
    const FieldValue* const value = find_field(record, feature.spec.fields().front());
    if (value == nullptr) return false;
    const auto number = is_time ? time_of(*value, feature.spec) : number_of(*value, feature.spec);
    if (number) numbers.push_back(*number);
    return number.has_value();
  });
  if (numbers.empty()) return 0;
  std::tie(feature.mean, feature.deviation) = mean_and_deviation(numbers);
  for (std::size_t i = 1; i < feature.spec.buckets; ++i) {
    const double edge = numbers[i * numbers.size() / feature.spec.buckets];
    if (edge > (feature.edges.empty() ? numbers.front() : feature.edges.back())) feature.edges.push_back(edge);
  }
  return numbers.size();
}

// Smoothed, as if one more record had every column: ln((1 + n) / (1 + n(column))) + 1.
std::size_t learn_texts(LearnedFeature& feature, const Rows& rows) {
  TextNgrams ngrams;
  std::vector<std::uint64_t> hashes;
  std::vector<std::uint32_t> columns, counts(feature.spec.dimensions);
  const std::size_t present = rows.count([&](std::span<const FieldValue> record) {
    text_columns(record, feature.spec, ngrams, hashes, columns);
    columns.erase(std::unique(columns.begin(), columns.end()), columns.end());
    for (const std::uint32_t column : columns) ++counts[column];
    return !columns.empty();
  });
  feature.idf.reserve(counts.size());
  for (const std::uint32_t count : counts) {
    feature.idf.push_back(static_cast<float>(std::log(static_cast<double>(1 + present) / (1.0 + count)) + 1));
  }
  return present;
}

std::size_t learn_vectors(LearnedFeature& feature, const Rows& rows) {
  std::vector<std::span<const float>> vectors;
  const std::size_t present = rows.count([&](std::span<const FieldValue> record) {
    const FieldValue* const value = find_field(record, feature.spec.name);
    if (value == nullptr) return false;
    const auto vector = vector_of(*value, feature.spec, vectors.empty() ? 0 : vectors.front().size());
    if (!vector.empty()) vectors.push_back(vector);
    return !vector.empty();
  });
  if (vectors.empty()) return 0;
  feature.shape.width = vectors.front().size();
  if (feature.spec.scale != VectorScale::standard) return present;
  std::vector<double> column(vectors.size());
  for (std::size_t c = 0; c < feature.shape.width; ++c) {
    std::ranges::transform(vectors, column.begin(), [&](std::span<const float> vector) { return vector[c]; });
    const auto [mean, deviation] = mean_and_deviation(column);
    feature.means.push_back(static_cast<float>(mean));
    feature.deviations.push_back(static_cast<float>(deviation));
  }
  return present;
}

}  // namespace

std::size_t Vocabulary::find(std::string_view name) const noexcept {
  std::size_t first = 0, last = size();
  while (first < last) {
    const std::size_t middle = first + (last - first) / 2;
    if ((*this)[middle] < name) {
      first = middle + 1;
    } else {
      last = middle;
    }
  }
  return first < size() && (*this)[first] == name ? first : size();
}

std::size_t width_of(const LearnedFeature& feature) noexcept {
  switch (feature.spec.kind) {
    case FeatureKind::category: return feature.names.size() + 1;
    case FeatureKind::number: return feature.spec.buckets == 0 ? 1 : feature.edges.size() + 1;
    case FeatureKind::time: return 2 * feature.spec.periods.size() + 1;
    case FeatureKind::text:
    case FeatureKind::cross: return feature.spec.dimensions;
    case FeatureKind::vector: break;
  }
  return feature.shape.width;
}

void link_crosses(std::span<LearnedFeature> features) {
  for (LearnedFeature& feature : features) {
    for (std::size_t i = 0; i < feature.spec.of.size() && feature.spec.kind == FeatureKind::cross; ++i) {
      const auto named = [&](const LearnedFeature& other) { return other.spec.name == feature.spec.of[i]; };
      feature.of[i] = static_cast<std::size_t>(std::ranges::find_if(features, named) - features.begin());
    }
  }
}

void text_columns(std::span<const FieldValue> record, const FeatureSpec& feature, TextNgrams& ngrams,
                  std::vector<std::uint64_t>& hashes, std::vector<std::uint32_t>& columns) {
  hashes.clear();
  for_each_value(record, feature, [&](const FieldValue& value) {
    ngrams.append(text_of(value, feature), feature.words, feature.characters, hashes);
  });
  columns.clear();
  for (const std::uint64_t hash : hashes) columns.push_back(column_of(hash, feature.dimensions));
  std::ranges::sort(columns);
}

LearnedFeature learn(const FeatureSpec& spec, const FeatureRecords& records, std::span<const std::uint32_t> numbers) {
  LearnedFeature feature{.spec = spec, .shape = {.dense = spec.kind == FeatureKind::vector}};
  feature.spec.file.clear();
  feature.spec.ids.clear();
  feature.spec.tensor.clear();
  const Rows rows{records, numbers};
  std::size_t present = 0;
  switch (spec.kind) {
    case FeatureKind::category: present = learn_names(feature, rows); break;
    case FeatureKind::number:
    case FeatureKind::time: present = learn_numbers(feature, rows); break;
    case FeatureKind::text: present = learn_texts(feature, rows); break;
    case FeatureKind::vector: present = learn_vectors(feature, rows); break;
    case FeatureKind::cross: present = 1; break;  // if those it is of are there
  }
  if (present == 0) {
    refuse(spec, "a value in at least one of " + std::to_string(numbers.size()) + " records", "none");
  }
  feature.shape.width = width_of(feature);
  return feature;
}

}  // namespace attune::inline v0_1::detail
