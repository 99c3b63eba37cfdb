// SPDX-License-Identifier: Apache-2.0
#include "attune/model/featurizer.hpp"

#include <algorithm>
#include <chrono>
#include <numbers>
#include <numeric>
#include <utility>

#include "attune/error.hpp"
#include "data/text_ngrams.hpp"
#include "model/feature_values.hpp"
#include "model/learned_feature.hpp"

namespace attune::inline v0_1 {
namespace {

using detail::LearnedFeature;
using Record = std::span<const FieldValue>;

constexpr std::size_t kMostPairs = 65'536;  // of a cross in one record

struct Block {
  std::vector<std::uint32_t> columns;
  std::vector<float> values;
  FeatureBlock view() const noexcept { return {columns, values}; }
};

void scale_to_unit_length(std::span<float> values) {
  double squares = 0;
  for (const float value : values) squares += double{value} * value;
  if (squares == 0) return;
  const double scale = 1 / std::sqrt(squares);
  for (float& value : values) value = static_cast<float>(value * scale);
}

float standardised(double number, const LearnedFeature& feature) noexcept {
  const double clip = feature.spec.clip;
  return static_cast<float>(std::clamp((number - feature.mean) / feature.deviation, -clip, clip));
}

// How much of a period has gone by, in [0, 1): of the year, of the week from Monday on, of the day.
double phase_of(double milliseconds, TimePeriod period) {
  using namespace std::chrono;
  constexpr double kDay = 86'400'000;
  const double day_of_epoch = std::floor(milliseconds / kDay), within_day = milliseconds / kDay - day_of_epoch;
  const sys_days date{days(static_cast<int>(day_of_epoch))};
  switch (period) {
    case TimePeriod::day: return within_day;
    case TimePeriod::week: return (weekday(date).iso_encoding() - 1 + within_day) / 7;
    case TimePeriod::year: break;
  }
  const year in = year_month_day(date).year();
  const sys_days first = in / January / 1, next = (in + years(1)) / January / 1;
  const auto count = [](days all) { return static_cast<double>(all.count()); };
  return (count(date - first) + within_day) / count(next - first);
}

// Makes the blocks of one record after another.
class RowMaker {
 public:
  explicit RowMaker(std::span<const LearnedFeature> features) : features_(features), blocks_(features.size()) {}

  void append_to(FeatureTable& table, Record record) {
    std::vector<FeatureBlock> views;
    for (std::size_t f = 0; f < features_.size(); ++f) {
      blocks_[f].columns.clear();
      blocks_[f].values.clear();
      make(features_[f], record, blocks_[f]);
    }
    for (std::size_t f = 0; f < features_.size(); ++f) {
      if (features_[f].spec.kind == FeatureKind::cross) make_cross(features_[f], blocks_[f]);
    }
    for (const Block& block : blocks_) views.push_back(block.view());
    table.add_row(views);
  }

 private:
  void make(const LearnedFeature& feature, Record record, Block& block) {
    switch (feature.spec.kind) {
      case FeatureKind::category: return make_names(feature, record, block);
      case FeatureKind::number: return make_number(feature, record, block);
      case FeatureKind::time: return make_time(feature, record, block);
      case FeatureKind::text: return make_text(feature, record, block);
      case FeatureKind::vector: return make_vector(feature, record, block);
      case FeatureKind::cross: return;
    }
  }

  static void make_names(const LearnedFeature& feature, Record record, Block& block) {
    detail::for_each_name_of(record, feature.spec, [&](std::string_view name) {
      const std::size_t known = feature.names.find(name);
      block.columns.push_back(known == feature.names.size() ? 0 : static_cast<std::uint32_t>(known + 1));
    });
    std::ranges::sort(block.columns);
    block.columns.erase(std::unique(block.columns.begin(), block.columns.end()), block.columns.end());
    block.values.assign(block.columns.size(), 1.0f);
    scale_to_unit_length(block.values);
  }

  static void make_number(const LearnedFeature& feature, Record record, Block& block) {
    const FieldValue* const value = detail::find_field(record, feature.spec.fields().front());
    const auto number = value == nullptr ? std::nullopt : detail::number_of(*value, feature.spec);
    if (!number) return;
    const bool in_buckets = feature.spec.buckets != 0;
    const auto bucket = std::ranges::upper_bound(feature.edges, *number) - feature.edges.begin();
    block.columns.push_back(in_buckets ? static_cast<std::uint32_t>(bucket) : 0);
    block.values.push_back(in_buckets ? 1.0f : standardised(*number, feature));
  }

  static void make_time(const LearnedFeature& feature, Record record, Block& block) {
    const FieldValue* const value = detail::find_field(record, feature.spec.fields().front());
    const auto time = value == nullptr ? std::nullopt : detail::time_of(*value, feature.spec);
    if (!time) return;
    for (const TimePeriod period : feature.spec.periods) {
      const double angle = 2 * std::numbers::pi * phase_of(*time, period);
      block.values.push_back(static_cast<float>(std::sin(angle)));
      block.values.push_back(static_cast<float>(std::cos(angle)));
    }
    block.values.push_back(standardised(*time, feature));
    block.columns.resize(block.values.size());
    std::iota(block.columns.begin(), block.columns.end(), 0u);
  }

  // 1 + ln(times it is there), times the inverse document frequency.
  void make_text(const LearnedFeature& feature, Record record, Block& block) {
    detail::text_columns(record, feature.spec, ngrams_, hashes_, columns_);
    for (std::size_t begin = 0, end; begin < columns_.size(); begin = end) {
      end = begin + 1;
      while (end < columns_.size() && columns_[end] == columns_[begin]) ++end;
      const float frequency = end == begin + 1 ? 1.0f : 1.0f + std::log(static_cast<float>(end - begin));
      block.columns.push_back(columns_[begin]);
      block.values.push_back(frequency * feature.idf[columns_[begin]]);
    }
    scale_to_unit_length(block.values);
  }

  static void make_vector(const LearnedFeature& feature, Record record, Block& block) {
    const FieldValue* const value = detail::find_field(record, feature.spec.name);
    if (value == nullptr) return;
    const auto vector = detail::vector_of(*value, feature.spec, feature.shape.width);
    block.values.assign(vector.begin(), vector.end());
    if (feature.spec.scale == VectorScale::unit) scale_to_unit_length(block.values);
    if (feature.spec.scale != VectorScale::standard) return;
    for (std::size_t c = 0; c < block.values.size(); ++c) {
      block.values[c] = (block.values[c] - feature.means[c]) / feature.deviations[c];
    }
  }

  // A pair is worth the product of its members; pairs of one column are added up.
  void make_cross(const LearnedFeature& feature, Block& block) const {
    const Block &first = blocks_[feature.of[0]], &second = blocks_[feature.of[1]];
    const std::size_t count = first.columns.size() * second.columns.size();
    if (count > kMostPairs) {
      detail::refuse(feature.spec, "at most " + std::to_string(kMostPairs) + " pairs", std::to_string(count));
    }
    std::vector<std::pair<std::uint32_t, float>> pairs;
    for (std::size_t i = 0; i < first.columns.size(); ++i) {
      for (std::size_t j = 0; j < second.columns.size(); ++j) {
        const std::uint64_t hash =
            detail::hashed(detail::hashed(detail::kHashBasis, first.columns[i]), second.columns[j]);
        pairs.emplace_back(detail::column_of(detail::mixed(hash), feature.shape.width),
                           first.values[i] * second.values[j]);
      }
    }
    std::ranges::sort(pairs);
    for (const auto& [column, value] : pairs) {
      if (block.columns.empty() || block.columns.back() != column) {
        block.columns.push_back(column);
        block.values.push_back(0);
      }
      block.values.back() += value;
    }
    scale_to_unit_length(block.values);
  }

  std::span<const LearnedFeature> features_;
  std::vector<Block> blocks_;  // [features]
  detail::TextNgrams ngrams_;
  std::vector<std::uint64_t> hashes_;
  std::vector<std::uint32_t> columns_;
};

std::string bucket_name(const LearnedFeature& feature, std::size_t column) {
  const std::vector<double>& edges = feature.edges;
  if (edges.empty()) return feature.spec.name + " known";
  if (column == 0) return feature.spec.name + " < " + detail::digits_of(edges.front());
  if (column == edges.size()) return feature.spec.name + " >= " + detail::digits_of(edges.back());
  return feature.spec.name + " in [" + detail::digits_of(edges[column - 1]) + ", " + detail::digits_of(edges[column]) +
         ")";
}

std::string time_name(const LearnedFeature& feature, std::size_t column) {
  if (column == 2 * feature.spec.periods.size()) return feature.spec.name;
  const char* name = "";
  switch (feature.spec.periods[column / 2]) {
    case TimePeriod::year: name = ": year, "; break;
    case TimePeriod::week: name = ": week, "; break;
    case TimePeriod::day: name = ": day, "; break;
  }
  return feature.spec.name + name + (column % 2 == 0 ? "sine" : "cosine");
}

}  // namespace

Featurizer::Featurizer() : Featurizer(std::make_shared<const Impl>(std::vector<LearnedFeature>{})) {}
Featurizer::Featurizer(std::shared_ptr<const Impl> impl) : impl_(std::move(impl)) {}

Featurizer Featurizer::fit(std::vector<FeatureSpec> features, const FeatureRecords& records) {
  std::vector<std::uint32_t> rows(records.rows());
  std::iota(rows.begin(), rows.end(), 0u);
  return fit(std::move(features), records, rows);
}

Featurizer Featurizer::fit(std::vector<FeatureSpec> features, const FeatureRecords& records,
                           std::span<const std::uint32_t> rows) {
  check_features(features, "features");
  const auto beyond = std::ranges::find_if(rows, [&](std::uint32_t row) { return row >= records.rows(); });
  if (beyond != rows.end()) {
    throw Error(ErrorCode::invalid_argument, "Featurizer::fit: expected rows below " + std::to_string(records.rows()) +
                                                 ", found " + std::to_string(*beyond));
  }
  std::vector<LearnedFeature> learned;
  for (const FeatureSpec& spec : features) learned.push_back(detail::learn(spec, records, rows));
  return Featurizer(std::make_shared<const Impl>(std::move(learned)));
}

void Featurizer::apply(Record record, FeatureTable& table) const { RowMaker(impl_->learned).append_to(table, record); }

FeatureTable Featurizer::table(const FeatureRecords& records) const {
  FeatureTable table(impl_->shapes);
  RowMaker rows(impl_->learned);
  for (std::size_t row = 0; row < records.rows(); ++row) {
    try {
      rows.append_to(table, records.of(row));
    } catch (const Error& error) {
      throw Error(error.code(), "record " + std::to_string(row) + ", " + error.what());
    }
  }
  return table;
}

std::size_t Featurizer::num_features() const noexcept { return impl_->specs.size(); }
std::size_t Featurizer::width(std::size_t feature) const noexcept { return impl_->shapes[feature].width; }
const std::string& Featurizer::name(std::size_t feature) const noexcept { return impl_->specs[feature].name; }
const std::vector<FeatureSpec>& Featurizer::features() const noexcept { return impl_->specs; }
const std::vector<FeatureShape>& Featurizer::shapes() const noexcept { return impl_->shapes; }

std::string Featurizer::column_name(std::size_t f, std::size_t column) const {
  const LearnedFeature& feature = impl_->learned[f];
  const std::string& name = feature.spec.name;
  switch (feature.spec.kind) {
    case FeatureKind::category: return name + "=" + (column == 0 ? "?" : std::string(feature.names[column - 1]));
    case FeatureKind::number: return feature.spec.buckets == 0 ? name : bucket_name(feature, column);
    case FeatureKind::time: return time_name(feature, column);
    case FeatureKind::text:
    case FeatureKind::cross: return name + ": bucket " + std::to_string(column);
    case FeatureKind::vector: break;
  }
  return name + ": " + std::to_string(column);
}

}  // namespace attune::inline v0_1
