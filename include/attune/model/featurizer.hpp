// SPDX-License-Identifier: Apache-2.0
#pragma once

// From raw records to rows of numbers: what is learned of the training set (vocabularies, quantiles, means, inverse
// document frequencies) and what files say of items and users. Immutable: safe from any number of threads.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "attune/data/feature_table.hpp"
#include "attune/data/id_map.hpp"
#include "attune/data/reader.hpp"
#include "attune/model/safetensors.hpp"

namespace attune::inline v0_1 {

class ATTUNE_EXPORT Featurizer {
 public:
  Featurizer();  // of no features
  // Learns from the given rows of the records, or from all of them. The order of rows does not matter. Throws Error:
  // invalid_config (see check_features), invalid_data for a value that is none of its feature's, vectors of different
  // widths and a feature that all rows lack, invalid_argument for a row beyond the records.
  static Featurizer fit(std::vector<FeatureSpec> features, const FeatureRecords& records);
  static Featurizer fit(std::vector<FeatureSpec> features, const FeatureRecords& records,
                        std::span<const std::uint32_t> rows);

  // Appends the row of a record to a table of shapes(). A field that is not there, an empty text and NaN are missing; a
  // category takes a number as its decimal digits, a number and a time text that says one. Numbers of times are
  // milliseconds, texts ISO-8601, seconds or milliseconds. Fields that no feature reads do not count. Throws
  // Error(invalid_data) naming the feature, expected and found for a value that is none of its feature's (text that is
  // no number, an infinite one, a vector of another width); the table is then as it was.
  void apply(std::span<const FieldValue> record, FeatureTable& table) const;
  FeatureTable table(const FeatureRecords& records) const;

  std::size_t num_features() const noexcept;
  std::size_t width(std::size_t feature) const noexcept;  // columns
  const std::string& name(std::size_t feature) const noexcept;
  // Without the files they came from.
  const std::vector<FeatureSpec>& features() const noexcept;
  const std::vector<FeatureShape>& shapes() const noexcept;
  // For explanations: "genres=Drama", "year in [1990, 1995)", "plot: bucket 17", "poster: 3".
  std::string column_name(std::size_t feature, std::size_t column) const;

  // Adds tensors whose names begin with the prefix; the featurizer must live until writer.bytes().
  void write(SafetensorsWriter& writer, const std::string& prefix) const;
  // What write() added. Throws Error (corrupt_file, unsupported, non_finite) naming the tensor; takes memory in
  // proportion to the file.
  static Featurizer read(const SafetensorsFile& file, const std::string& prefix);

 private:
  struct Impl;
  explicit Featurizer(std::shared_ptr<const Impl> impl);
  std::shared_ptr<const Impl> impl_;
};

struct FeatureReadOptions {
  std::string id_column = "item";
  // A value that is none of its feature's: stop with file, line and feature, or count it and take it as missing.
  BadValue bad_value = BadValue::error;
  ReadOptions files = {};  // for the files that features name
};

struct FeatureReport {
  struct Feature {
    std::string name;
    std::size_t missing = 0;  // of the rows
    std::size_t bad = 0;      // of the values that were read
  };
  std::size_t records = 0;  // of the file of items or users
  std::size_t matched = 0;  // rows that it has a record for
  std::vector<Feature> features;
};

// What the file of items or users and the files that features name say of the ids, by handle. Reads to the end; what
// stands in a file twice counts where it stands first. Throws Error as DelimitedReader does, and invalid_data naming
// file and line, feature, expected and found: a missing column or field, a bad value, an image where numbers are
// expected, vectors of the wrong width, a file of ids that does not fit; corrupt_file and unsupported for .npy, .npz
// and safetensors files.
ATTUNE_EXPORT FeatureRecords read_feature_records(DelimitedReader& reader, std::span<const FeatureSpec> features,
                                                  const IdMap& ids, const FeatureReadOptions& options = {},
                                                  FeatureReport* report = nullptr);

}  // namespace attune::inline v0_1
