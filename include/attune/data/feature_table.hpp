// SPDX-License-Identifier: Apache-2.0
#pragma once

// What items and users have besides their events: a schema that declares features, raw records of them, and the table
// of numbers that training reads (model/featurizer.hpp makes it of records). Not synchronised: const members are safe
// from any number of threads while nobody changes the object.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "attune/types.hpp"

namespace attune::inline v0_1 {

// category: names, as many as there are. number: in quantile buckets, or standardised. time: cyclical and linear. text:
// hashed n-grams. vector: numbers of a host's own, dense. cross: pairs of the members of two features.
enum class FeatureKind : std::uint8_t { category, number, time, text, vector, cross };
enum class TimePeriod : std::uint8_t { year, week, day };
// unit: each vector to length 1. standard: each column to mean 0 and deviation 1 of the training set. none: as they
// are.
enum class VectorScale : std::uint8_t { unit, standard, none };

// n-grams of first to last members; last 0: none.
struct NgramRange {
  std::size_t first = 0, last = 0;
  friend bool operator==(const NgramRange&, const NgramRange&) = default;
};

// One feature. docs/features.md has every option as it stands in a schema.
struct FeatureSpec {
  std::string name;
  FeatureKind kind = FeatureKind::category;
  // The fields of a record that it is read from; empty: the one of its name. Of a vector, which is given to a record
  // under the name of the feature: the columns of its file.
  std::vector<std::string> columns = {};
  std::string file = {};    // where the columns are, if not in the file of items or users
  std::string ids = {};     // vector in .npy, .npz or safetensors: the file with the id of each of its rows, one a line
  std::string tensor = {};  // vector in .npz or safetensors: its name; "": the only one

  // category, text: everything that the file says of an id counts, as of reviews; else where it stands first.
  bool all_lines = false;
  std::string separator = "|";            // category: between names
  std::size_t min_count = 1;              // category: a name of fewer records counts as unknown
  std::size_t max_names = 100'000;        // category: the most frequent ones; others count as unknown
  std::size_t buckets = 0;                // number: how many; 0: standardised
  double clip = 4;                        // number, time: the most deviations from the mean that count
  std::vector<TimePeriod> periods = {};   // time
  std::size_t dimensions = 32'768;        // text, cross: columns; fewer take less memory and confuse more
  NgramRange words = {1, 2};              // text
  NgramRange characters = {3, 5};         // text: within a word and its two ends
  VectorScale scale = VectorScale::unit;  // vector
  std::vector<std::string> of = {};       // cross: a category or a number in buckets, two of them

  std::span<const std::string> fields() const noexcept {
    return columns.empty() ? std::span<const std::string>(&name, 1) : std::span<const std::string>(columns);
  }
  friend bool operator==(const FeatureSpec&, const FeatureSpec&) = default;
};

// Throws Error(invalid_config), "<place>: <why>", unless the features fit together: names that are there once, options
// within their limits, crosses of discrete features.
ATTUNE_EXPORT void check_features(std::span<const FeatureSpec> features, const std::string& place);

struct ATTUNE_EXPORT FeatureSchema {
  std::vector<FeatureSpec> items = {}, users = {};

  // Files that the schema names without a folder of their own are in the schema's. Throws Error: io_error,
  // invalid_config naming file, feature, field, expected and found; unknown and repeated fields are refused.
  static FeatureSchema load(const std::string& file);
  static FeatureSchema parse(std::string_view json, const std::string& name_for_messages);
  std::string to_json() const;  // only what differs from the defaults; parse() reads it
  friend bool operator==(const FeatureSchema&, const FeatureSchema&) = default;
};

// What records say, row by row: texts, numbers and vectors, as they came.
class ATTUNE_EXPORT FeatureRecords {
 public:
  explicit FeatureRecords(std::size_t rows = 0);
  ~FeatureRecords();
  FeatureRecords(FeatureRecords&&) noexcept;
  FeatureRecords& operator=(FeatureRecords&&) noexcept;

  // Copies what the value points to. Rows up to `row` come into being.
  void add(std::size_t row, const FieldValue& value);
  std::size_t rows() const noexcept;
  // None beyond rows(). Valid while the records live and nothing is added.
  std::span<const FieldValue> of(std::size_t row) const noexcept;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// A feature of a row. Sparse: ascending columns and their values. Dense: `columns` is empty, and there is a value for
// each column. Missing: both are empty, which is not the same as zeros.
struct FeatureBlock {
  std::span<const std::uint32_t> columns = {};
  std::span<const float> values = {};
  bool missing() const noexcept { return values.empty(); }
};

// How many columns a feature has, and whether its blocks are dense.
struct FeatureShape {
  std::size_t width = 0;
  bool dense = false;
  friend bool operator==(const FeatureShape&, const FeatureShape&) = default;
};

// Rows of features; row r is the handle r of an item or user.
class ATTUNE_EXPORT FeatureTable {
 public:
  explicit FeatureTable(std::vector<FeatureShape> shapes = {});

  // Copies the blocks of a row, [num_features()]. Throws Error(invalid_argument) for what does not fit the shapes.
  void add_row(std::span<const FeatureBlock> blocks);
  void clear() noexcept;  // no rows; keeps the memory

  std::size_t rows() const noexcept { return rows_; }
  std::size_t num_features() const noexcept { return shapes_.size(); }
  const FeatureShape& shape(std::size_t feature) const noexcept { return shapes_[feature]; }
  // All of a row beyond rows() is missing. Valid until the table changes.
  FeatureBlock of(std::size_t row, std::size_t feature) const noexcept {
    if (row >= rows_) return {};
    const Column& column = columns_[feature];
    const std::size_t begin = column.offsets[row], count = column.offsets[row + 1] - begin;
    const std::span<const std::uint32_t> indices(column.indices);
    return {shapes_[feature].dense ? indices : indices.subspan(begin, count),
            std::span(column.values).subspan(begin, count)};
  }
  std::size_t memory_bytes() const noexcept;

 private:
  struct Column {
    std::vector<std::size_t> offsets{0};  // [rows + 1]
    std::vector<std::uint32_t> indices;   // empty if dense
    std::vector<float> values;
  };
  std::vector<FeatureShape> shapes_;
  std::vector<Column> columns_;  // [features]
  std::size_t rows_ = 0;
};

}  // namespace attune::inline v0_1
