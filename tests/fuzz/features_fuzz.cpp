// SPDX-License-Identifier: Apache-2.0
#include <unistd.h>

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "attune/error.hpp"
#include "attune/model/featurizer.hpp"
#include "fuzz/verdict.hpp"
#include "model/vector_file.hpp"

namespace {

using namespace attune;
using test::require;

// Calls use(); an Error is an answer too.
template <class Use>
void try_to(Use&& use) {
  try {
    use();
  } catch (const Error&) {
    return;
  }
}

// What is a schema is written and read as the same.
void read_schema(std::string_view text) {
  const FeatureSchema schema = FeatureSchema::parse(text, "fuzz");
  require(FeatureSchema::parse(schema.to_json(), "again") == schema);
}

// What is a featurizer is written and read as the same, and takes any record whose fields are of the kind it wants.
void read_featurizer(std::span<const std::byte> bytes, std::string_view text) {
  const auto featurizer = Featurizer::read(SafetensorsFile::view(bytes, nullptr, "fuzz"), "items");
  SafetensorsWriter writer;
  featurizer.write(writer, "items");
  const auto written = writer.bytes();
  const auto again = Featurizer::read(SafetensorsFile::view(written, nullptr, "again"), "items");
  require(again.features() == featurizer.features() && again.shapes() == featurizer.shapes());
  std::vector<FieldValue> record;
  for (const FeatureSpec& spec : featurizer.features()) {
    for (const std::string& field : spec.fields()) {
      if (spec.kind == FeatureKind::category || spec.kind == FeatureKind::text) record.emplace_back(field, text);
      if (spec.kind == FeatureKind::number) record.emplace_back(field, 3.5);
      if (spec.kind == FeatureKind::time) record.emplace_back(field, 1e12);
    }
  }
  FeatureTable table(featurizer.shapes());
  try_to([&] { featurizer.apply(record, table); });
  for (std::size_t f = 0; f < featurizer.num_features() && table.rows() == 1; ++f) {
    for (const std::uint32_t column : table.of(0, f).columns) require(!featurizer.column_name(f, column).empty());
  }
}

void read_vectors(const std::string& path, std::string_view bytes) {
  std::ofstream(path, std::ios::binary).write(bytes.data(), std::ssize(bytes));
  const detail::VectorFile vectors = detail::read_vectors(path, "");
  require(vectors.values.size() == vectors.rows * vectors.width && vectors.width > 0);
  for (const float value : vectors.values) require(std::isfinite(value));
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const std::string path =
      (std::filesystem::temp_directory_path() / ("attune_vectors_" + std::to_string(::getpid()))).string();
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  try_to([&] { read_schema(text); });
  try_to([&] { read_featurizer(std::as_bytes(std::span(data, size)), text); });
  try_to([&] { read_vectors(path, text); });
  return 0;
}
