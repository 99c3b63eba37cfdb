// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <filesystem>
#include <map>
#include <utility>

#include "attune/error.hpp"
#include "attune/model/featurizer.hpp"
#include "data/text.hpp"
#include "model/feature_values.hpp"
#include "model/vector_file.hpp"
#include "platform/files.hpp"

namespace attune::inline v0_1 {
namespace {

using Specs = std::vector<const FeatureSpec*>;

class FeatureReader {
 public:
  FeatureReader(std::span<const FeatureSpec> features, const IdMap& ids, const FeatureReadOptions& options)
      : features_(features), ids_(ids), options_(options), records_(ids.size()) {
    check_features(features, "features");
    for (const FeatureSpec& spec : features) report_.features.push_back({.name = spec.name});
  }

  void read(DelimitedReader& reader) {
    std::map<std::string, Specs> by_file;
    by_file[""];
    for (const FeatureSpec& spec : features_) {
      if (spec.kind == FeatureKind::cross) continue;
      if (!spec.file.empty() && (!spec.ids.empty() || detail::holds_vectors(spec.file))) {
        read_vectors_of(spec);
      } else {
        by_file[spec.file].push_back(&spec);
      }
    }
    for (const auto& [file, specs] : by_file) {
      if (file.empty()) {
        std::tie(report_.records, report_.matched) = read_columns(reader, specs);
      } else {
        DelimitedReader other(file, options_.files);
        read_columns(other, specs);
      }
    }
  }

  FeatureRecords take_records() { return std::move(records_); }
  FeatureReport take_report() {
    for (std::size_t f = 0; f < features_.size(); ++f) {
      for (std::size_t row = 0; row < ids_.size(); ++row) {
        report_.features[f].missing += is_missing(features_[f], records_.of(row)) ? 1 : 0;
      }
    }
    return std::move(report_);
  }

 private:
  // A column that features other than vectors read, and who they are.
  struct Column {
    std::string name;
    std::size_t field;
    Specs readers;
    bool all_lines;
  };
  struct VectorColumns {
    const FeatureSpec* spec;
    std::vector<std::size_t> fields;
  };
  struct Plan {
    std::size_t id = 0, last = 0;  // fields; the last one that must be there
    std::vector<Column> columns;
    std::vector<VectorColumns> vectors;
  };

  Plan plan_of(const DelimitedReader& reader, const Specs& specs) const {
    Plan plan;
    plan.id = plan.last = reader.required_column(options_.id_column);
    for (const FeatureSpec* const spec : specs) {
      const bool is_vector = spec->kind == FeatureKind::vector;
      if (is_vector) plan.vectors.push_back({spec, {}});
      for (const std::string& name : spec->fields()) {
        const std::size_t field = reader.required_column(name);
        plan.last = std::max(plan.last, field);
        if (is_vector) {
          plan.vectors.back().fields.push_back(field);
          continue;
        }
        auto known = std::ranges::find(plan.columns, name, &Column::name);
        if (known == plan.columns.end()) known = plan.columns.insert(known, {name, field, {}, spec->all_lines});
        if (known->all_lines != spec->all_lines) {
          throw Error(ErrorCode::invalid_config,
                      "feature " + detail::in_quotes(spec->name, '"') +
                          ": field all_lines: expected the same for all features of column " +
                          detail::in_quotes(name, '"') + ", found both");
        }
        known->readers.push_back(spec);
      }
    }
    return plan;
  }

  // How many records there are, and how many of them are the first of an id.
  std::pair<std::size_t, std::size_t> read_columns(DelimitedReader& reader, const Specs& specs) {
    const Plan plan = plan_of(reader, specs);
    std::vector<bool> seen(ids_.size());
    std::vector<std::string_view> fields;
    std::size_t records = 0, matched = 0;
    for (; reader.next(fields); ++records) {
      if (fields.size() <= plan.last) {
        throw Error(ErrorCode::invalid_data, reader.place() + "expected " + std::to_string(reader.columns().size()) +
                                                 " fields, found " + std::to_string(fields.size()));
      }
      const std::uint32_t row = ids_.find(detail::id_of(fields[plan.id], ids_.kind()));
      if (row == kNoHandle) continue;
      const bool first = !seen[row];
      seen[row] = true;
      for (const Column& column : plan.columns) {
        if (first || column.all_lines) add_column(row, column, fields[column.field], reader);
      }
      if (!first) continue;
      ++matched;
      for (const VectorColumns& vector : plan.vectors) add_vector(row, vector, fields, reader);
    }
    return {records, matched};
  }

  void add_column(std::uint32_t row, const Column& column, std::string_view text, const DelimitedReader& reader) {
    const FieldValue value(column.name, text);
    bool good = !detail::without_outer_blanks(text).empty();
    for (const FeatureSpec* const spec : column.readers) {
      good &= accepts(*spec, reader, [&] {
        if (spec->kind != FeatureKind::number && spec->kind != FeatureKind::time) return;
        if (is_id(text) && !detail::parse_number<double>(text)) detail::refuse(*spec, "a number or a time", "an id");
        spec->kind == FeatureKind::number ? detail::number_of(value, *spec) : detail::time_of(value, *spec);
      });
    }
    if (good) records_.add(row, value);
  }

  // Of an item or a user, whom no message names: it is out of place where the fields of a line are in another order.
  bool is_id(std::string_view text) const { return ids_.find(detail::id_of(text, ids_.kind())) != kNoHandle; }

  // Numbers of all its columns, several in a field where '|' separates them; none at all is a missing vector.
  void add_vector(std::uint32_t row, const VectorColumns& columns, std::span<const std::string_view> fields,
                  const DelimitedReader& reader) {
    const FeatureSpec& spec = *columns.spec;
    std::size_t& width = widths_[spec.name];
    const bool good = accepts(spec, reader, [&] {
      numbers_.clear();
      std::size_t empty = 0;
      for (const std::size_t field : columns.fields) {
        const std::size_t before = numbers_.size();
        detail::for_each_name(fields[field], [&](std::string_view text) {
          const auto number = detail::parse_number<float>(text);
          if (!number) detail::refuse(spec, "numbers", is_id(text) ? "an id" : detail::in_quotes(text, '"'));
          numbers_.push_back(*number);
        });
        empty += numbers_.size() == before ? 1 : 0;
      }
      if (numbers_.empty()) return;
      if (empty != 0) {
        detail::refuse(spec, "a number in each of " + std::to_string(columns.fields.size()) + " columns",
                       std::to_string(empty) + " empty ones");
      }
      detail::vector_of({spec.name, std::span<const float>(numbers_)}, spec, width);
      width = numbers_.size();
    });
    if (good && !numbers_.empty()) records_.add(row, {spec.name, std::span<const float>(numbers_)});
  }

  // False for a bad value, counted, unless that is an error.
  template <class Check>
  bool accepts(const FeatureSpec& spec, const DelimitedReader& reader, Check&& check) {
    try {
      check();
      return true;
    } catch (const Error& error) {
      if (options_.bad_value == BadValue::error) throw Error(error.code(), reader.place() + error.what());
      ++report_.features[static_cast<std::size_t>(&spec - features_.data())].bad;
      return false;
    }
  }

  void read_vectors_of(const FeatureSpec& spec) {
    if (spec.ids.empty()) {
      throw Error(ErrorCode::invalid_config, "feature " + detail::in_quotes(spec.name, '"') +
                                                 ": field ids: expected the file with the id of each row of " +
                                                 spec.file + ", found none");
    }
    if (!detail::holds_vectors(spec.file)) {
      throw Error(ErrorCode::invalid_data, spec.file + ": expected .npy or safetensors, found neither");
    }
    const detail::VectorFile vectors = detail::read_vectors(spec.file, spec.tensor);
    const std::vector<std::byte> bytes = platform::read_file(spec.ids);
    std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
    std::vector<std::string_view> lines;
    for (std::size_t end; !text.empty(); text.remove_prefix(std::min(end + 1, text.size()))) {
      end = std::min(text.find('\n'), text.size());
      const std::string_view line = text.substr(0, end);
      lines.push_back(line.substr(0, line.size() - (line.ends_with('\r') ? 1 : 0)));
    }
    if (lines.size() != vectors.rows) {
      throw Error(ErrorCode::invalid_data, spec.ids + ": expected " + std::to_string(vectors.rows) +
                                               " lines, an id for each row of " + spec.file + ", found " +
                                               std::to_string(lines.size()));
    }
    std::vector<bool> seen(ids_.size());
    for (std::size_t i = 0; i < lines.size(); ++i) {
      const std::uint32_t row = ids_.find(detail::id_of(lines[i], ids_.kind()));
      if (row == kNoHandle || seen[row]) continue;
      seen[row] = true;
      records_.add(row, {spec.name, vectors.of(i)});
    }
  }

  bool is_missing(const FeatureSpec& spec, std::span<const FieldValue> record) const {
    const auto lacks = [&](const std::string& field) { return detail::find_field(record, field) == nullptr; };
    if (spec.kind == FeatureKind::vector) return lacks(spec.name);
    if (spec.kind != FeatureKind::cross) return std::ranges::all_of(spec.fields(), lacks);
    return std::ranges::any_of(spec.of, [&](const std::string& name) {
      return is_missing(*std::ranges::find(features_, name, &FeatureSpec::name), record);
    });
  }

  std::span<const FeatureSpec> features_;
  const IdMap& ids_;
  const FeatureReadOptions& options_;
  FeatureRecords records_;
  FeatureReport report_;
  std::map<std::string, std::size_t> widths_;  // of vectors, once one was read
  std::vector<float> numbers_;
};

}  // namespace

FeatureRecords read_feature_records(DelimitedReader& reader, std::span<const FeatureSpec> features, const IdMap& ids,
                                    const FeatureReadOptions& options, FeatureReport* report) {
  FeatureReader all(features, ids, options);
  all.read(reader);
  if (report != nullptr) *report = all.take_report();
  return all.take_records();
}

}  // namespace attune::inline v0_1
