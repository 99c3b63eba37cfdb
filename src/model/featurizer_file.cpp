// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <utility>

#include "attune/error.hpp"
#include "data/feature_json.hpp"
#include "data/text.hpp"
#include "model/learned_feature.hpp"

namespace attune::inline v0_1 {

using detail::Json;
using detail::LearnedFeature;

namespace {

constexpr const char* kFeatures = ".features";  // JSON, as bytes

std::string prefix_of(const std::string& prefix, std::size_t feature) {
  return std::string(prefix).append(".").append(std::to_string(feature)).append(".");
}

bool is_standardised(const FeatureSpec& spec) {
  return spec.kind == FeatureKind::time || (spec.kind == FeatureKind::number && spec.buckets == 0);
}

// The declaration, and what was learned of it that is no tensor.
Json json_of(const LearnedFeature& feature) {
  Json json = detail::json_of(feature.spec);
  if (feature.spec.kind == FeatureKind::vector) json["width"] = feature.shape.width;
  if (feature.spec.kind == FeatureKind::number && feature.spec.buckets != 0) json["edges"] = feature.edges;
  if (is_standardised(feature.spec)) {
    json["mean"] = feature.mean;
    json["deviation"] = feature.deviation;
  }
  return json;
}

std::span<const std::int8_t> bytes_of(const std::string& text) {
  return {reinterpret_cast<const std::int8_t*>(text.data()), text.size()};
}

class FeaturizerReader {
 public:
  FeaturizerReader(const SafetensorsFile& file, const std::string& prefix) : file_(file), prefix_(prefix) {}

  std::vector<LearnedFeature> read() {
    const std::string name = prefix_ + kFeatures;
    Json json = detail::parse_object(text(name), "tensor " + detail::in_quotes(name, '"'), ErrorCode::corrupt_file);
    if (json.size() != 1 || !json.contains("features") || !json["features"].is_array()) {
      fail(name, "expected one list, features");
    }
    std::vector<LearnedFeature> features;
    for (Json& entry : json["features"]) {
      try {
        features.push_back(feature(entry, features.size()));
      } catch (const Json::exception&) {
        fail(name, "feature " + std::to_string(features.size()) + ": expected what a featurizer writes");
      }
    }
    finish();
    check(features, name);
    return features;
  }

 private:
  LearnedFeature feature(Json& json, std::size_t number) {
    const std::string name = prefix_ + kFeatures;
    const auto take = [&](const char* field) {
      if (!json.is_object() || !json.contains(field)) {
        fail(name, "feature " + std::to_string(number) + ": field " + field + " is missing");
      }
      Json taken = std::move(json[field]);
      json.erase(field);
      return taken;
    };
    const auto expect = [&](bool holds, const char* expected) {
      if (!holds) fail(name, "feature " + std::to_string(number) + ": expected " + expected);
    };
    LearnedFeature learned{};
    // The declaration refuses what is none of its own, so that this goes first.
    const Json type = json.is_object() && json.contains("type") ? json["type"] : Json();
    const bool is_vector = type == "vector", in_buckets = type == "number" && json.contains("buckets");
    if (is_vector) learned.shape = {take("width").get<std::size_t>(), true};
    if (in_buckets) learned.edges = take("edges").get<std::vector<double>>();
    if (type == "time" || (type == "number" && !in_buckets)) {
      learned.mean = take("mean").get<double>();
      learned.deviation = take("deviation").get<double>();
    }
    learned.spec = detail::feature_of(json, "tensor " + detail::in_quotes(name, '"'), ErrorCode::corrupt_file);
    const std::size_t most = std::size_t{1} << 24;
    expect(!is_vector || (learned.shape.width >= 1 && learned.shape.width <= most), "a width of 1 to 2^24");
    expect(!in_buckets || learned.edges.size() < learned.spec.buckets, "fewer edges than buckets");
    expect(std::ranges::adjacent_find(learned.edges, std::greater_equal<>()) == learned.edges.end() &&
               std::ranges::all_of(learned.edges, [](double edge) { return std::isfinite(edge); }),
           "finite edges in ascending order");
    expect(std::isfinite(learned.mean) && std::isfinite(learned.deviation) && learned.deviation > 0,
           "a mean, and a deviation above 0");
    read_tensors(learned, prefix_of(prefix_, number));
    return learned;
  }

  void read_tensors(LearnedFeature& learned, const std::string& prefix) {
    const FeatureSpec& spec = learned.spec;
    const auto positive = [&](const std::string& name, std::size_t size) {
      std::vector<float> values = file_.floats(take(name, size));
      if (!std::ranges::all_of(values, [](float value) { return value > 0; })) fail(name, "expected numbers above 0");
      return values;
    };
    if (spec.kind == FeatureKind::category) read_names(learned.names, prefix);
    if (spec.kind == FeatureKind::text) learned.idf = positive(prefix + "idf", spec.dimensions);
    if (spec.kind == FeatureKind::vector && spec.scale == VectorScale::standard) {
      learned.means = file_.floats(take(prefix + "means", learned.shape.width));
      learned.deviations = positive(prefix + "deviations", learned.shape.width);
    }
    learned.shape.width = width_of(learned);
  }

  void read_names(detail::Vocabulary& names, const std::string& prefix) {
    names.text = text(prefix + "names");
    const std::string name = prefix + "offsets";
    const std::vector<std::int64_t> offsets = file_.integers(take(name, length(name)));
    const auto size = static_cast<std::int64_t>(names.text.size());
    if (offsets.empty() || offsets.front() != 0 || offsets.back() != size ||
        std::ranges::adjacent_find(offsets, std::greater_equal<>()) != offsets.end()) {
      fail(name, "expected ascending offsets from 0 to " + std::to_string(size));
    }
    names.offsets.assign(offsets.begin(), offsets.end());
    for (std::size_t i = 1; i < names.size(); ++i) {
      if (!(names[i - 1] < names[i])) fail(prefix + "names", "expected names in ascending order");
    }
  }

  std::string text(const std::string& name) {
    const TensorInfo& tensor = take(name, length(name));
    if (tensor.dtype != DType::i8) fail(name, "expected I8, found " + std::string(to_string(tensor.dtype)));
    const auto bytes = file_.bytes(tensor);
    return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
  }
  std::size_t length(const std::string& name) const {
    const TensorInfo* const found = file_.find(name);
    return found == nullptr ? 0 : found->elements();
  }
  const TensorInfo& take(const std::string& name, std::size_t size) {
    ++taken_;
    return file_.require(name, std::array{size});
  }

  void finish() const {
    const auto ours = [&](const TensorInfo& tensor) { return tensor.name.starts_with(prefix_ + "."); };
    const auto found = static_cast<std::size_t>(std::ranges::count_if(file_.tensors(), ours));
    if (found != taken_) {
      fail(prefix_ + ".*", "expected " + std::to_string(taken_) + " tensors, found " + std::to_string(found));
    }
  }
  static void check(const std::vector<LearnedFeature>& features, const std::string& name) {
    std::vector<FeatureSpec> specs;
    for (const LearnedFeature& learned : features) specs.push_back(learned.spec);
    try {
      check_features(specs, "tensor " + detail::in_quotes(name, '"'));
    } catch (const Error& error) {
      throw Error(ErrorCode::corrupt_file, error.what());
    }
  }
  [[noreturn]] static void fail(const std::string& tensor, const std::string& what) {
    throw Error(ErrorCode::corrupt_file, "tensor " + detail::in_quotes(tensor, '"') + ": " + what);
  }

  const SafetensorsFile& file_;
  const std::string& prefix_;
  std::size_t taken_ = 0;
};

}  // namespace

Featurizer::Impl::Impl(std::vector<LearnedFeature> all) : learned(std::move(all)) {
  detail::link_crosses(learned);
  Json features = Json::array();
  for (const LearnedFeature& feature : learned) {
    specs.push_back(feature.spec);
    shapes.push_back(feature.shape);
    features.push_back(json_of(feature));
  }
  json = detail::text_of(Json{{"features", std::move(features)}});
}

void Featurizer::write(SafetensorsWriter& writer, const std::string& prefix) const {
  writer.add(prefix + kFeatures, {impl_->json.size()}, bytes_of(impl_->json));
  for (std::size_t f = 0; f < impl_->learned.size(); ++f) {
    const LearnedFeature& feature = impl_->learned[f];
    const std::string of_feature = prefix_of(prefix, f);
    const auto add = [&](const char* name, const auto& numbers) {
      writer.add(of_feature + name, {numbers.size()}, std::span(numbers));
    };
    if (feature.spec.kind == FeatureKind::category) {
      add("names", bytes_of(feature.names.text));
      add("offsets", feature.names.offsets);
    }
    if (feature.spec.kind == FeatureKind::text) add("idf", feature.idf);
    if (!feature.means.empty()) {
      add("means", feature.means);
      add("deviations", feature.deviations);
    }
  }
}

Featurizer Featurizer::read(const SafetensorsFile& file, const std::string& prefix) {
  return Featurizer(std::make_shared<const Impl>(FeaturizerReader(file, prefix).read()));
}

}  // namespace attune::inline v0_1
