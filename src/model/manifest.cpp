// SPDX-License-Identifier: Apache-2.0
#include "model/manifest.hpp"

#include <zlib.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <set>

#include "attune/detail/dropout.hpp"
#include "attune/error.hpp"
#include "attune/model/checkpoint.hpp"
#include "model/config_json.hpp"
#include "model/count_json.hpp"
#include "model/ranker_json.hpp"

namespace attune::inline v0_1::detail {
namespace {

constexpr std::string_view kFormat = "attune-model";

// What a reader must know to understand a model. A model lists what it needs; later ones may need more.
constexpr std::string_view kSasrecEncoder = "encoder.sasrec";
constexpr std::string_view kHstuEncoder = "encoder.hstu";
constexpr std::string_view kHstuFeedForward = "encoder.hstu.feed_forward";
constexpr std::string_view kMaskToken = "encoder.mask_token";
constexpr std::string_view kServedEncoder = "encoder.served";  // of those that training knows nothing of
constexpr std::string_view kInt8Weights = "weights.int8";
constexpr std::string_view kMarkovBlend = "blend.markov";
constexpr std::string_view kPopularityWindow = "popularity.window";
constexpr std::string_view kLinearRanker = "ranker.linear";
constexpr std::string_view kUserPrior = "users.prior";
constexpr std::array kKnownFeatures{kSasrecEncoder, kHstuEncoder, kHstuFeedForward,  kMaskToken,    kServedEncoder,
                                    kInt8Weights,   kMarkovBlend, kPopularityWindow, kLinearRanker, kUserPrior};

std::string_view name_of(IdKind kind) { return kind == IdKind::string ? "string" : "int64"; }

Json json_of(const Manifest::Ids& ids) { return {{"count", ids.count}, {"ids", name_of(ids.kind)}}; }

// Over everything but itself, in the order of the file, however it is indented.
std::string checksum_of(Json json) {
  json.erase("checksum");
  const std::string text = text_of(json);
  return hex_of(crc32_of(std::as_bytes(std::span(text))));
}

// Typed access to the fields of an object of the manifest.
class Fields {
 public:
  Fields(const Json& object, std::string path) : object_(object), path_(std::move(path)) {
    if (!object.is_object()) fail("", "an object", object);
  }

  const Json& any(const char* key) const {
    const auto found = object_.find(key);
    if (found == object_.end()) throw Error(ErrorCode::corrupt_file, path_ + key + " is missing");
    return *found;
  }
  std::string text(const char* key) const {
    if (!any(key).is_string()) fail(key, "text", any(key));
    return any(key).get<std::string>();
  }
  std::uint64_t count(const char* key) const {
    if (!any(key).is_number_unsigned()) fail(key, "an integer of at least 0", any(key));
    return any(key).get<std::uint64_t>();
  }
  double number(const char* key) const {
    if (!any(key).is_number()) fail(key, "a number", any(key));
    return any(key).get<double>();
  }
  bool flag(const char* key) const {
    if (!any(key).is_boolean()) fail(key, "true or false", any(key));
    return any(key).get<bool>();
  }
  Fields object(const char* key) const { return Fields(any(key), path_ + key + '.'); }
  const Json& json() const noexcept { return object_; }
  const std::string& path() const noexcept { return path_; }

  [[noreturn]] void fail(const std::string& key, const std::string& expected, const Json& found) const {
    throw Error(ErrorCode::corrupt_file, path_ + key + ": expected " + expected + ", found " + text_of(found));
  }

 private:
  const Json& object_;
  std::string path_;
};

// Markov counts came first and need no feature of their own.
std::string counts_feature(CountKind kind) { return "counts." + std::string(to_string(kind)); }

bool is_known(const std::string& feature) {
  if (std::ranges::find(kKnownFeatures, feature) != kKnownFeatures.end()) return true;
  return std::ranges::any_of(names_of(CountKind{}), [&](const auto& named) {
    return named.second != CountKind::markov && feature == counts_feature(named.second);
  });
}

Json features_of(const Manifest& manifest) {
  Json features = Json::array();
  if (manifest.encoder) {
    const bool hstu = manifest.encoder->block == BlockKind::hstu;
    features.push_back(hstu ? kHstuEncoder : kSasrecEncoder);
    if (hstu && manifest.encoder->feed_forward) features.push_back(kHstuFeedForward);
    if (manifest.encoder->mask_token) features.push_back(kMaskToken);
    if (!manifest.encoder->trainable()) features.push_back(kServedEncoder);
    if (manifest.weight_storage == WeightStorage::int8) features.push_back(kInt8Weights);
  }
  if (manifest.popularity && manifest.popularity->window_days != 0) features.push_back(kPopularityWindow);
  if (!manifest.ranker.empty()) features.push_back(kLinearRanker);
  if (manifest.user_prior) features.push_back(kUserPrior);
  if (!manifest.counts) return features;
  const CountKind kind = kind_of(*manifest.counts);
  if (kind != CountKind::markov) {
    features.push_back(counts_feature(kind));
  } else if (manifest.blend_weight != 0) {
    features.push_back(kMarkovBlend);
  }
  return features;
}

template <class Options>
Json json_of(const Options& options) {
  Json json = Json::object();
  visit_options(options, ConfigWriter(json));
  return json;
}

// "popularity" and "markov" stand where attune 0.1.0 looks for them.
void write_counts(Json& json, const Manifest& manifest) {
  json["popularity"] = manifest.popularity.has_value();
  if (manifest.popularity && manifest.popularity->window_days != 0) {
    json["popularity_options"] = json_of(*manifest.popularity);
  }
  const auto* const markov = manifest.counts ? std::get_if<MarkovOptions>(&*manifest.counts) : nullptr;
  json["markov"] = markov != nullptr ? json_of(*markov) : Json();
  if (!manifest.counts || markov != nullptr) return;
  json["counts"] = {{"model", to_string(kind_of(*manifest.counts))},
                    {"options", std::visit([](const auto& options) { return json_of(options); }, *manifest.counts)}};
}

template <class Options>
Options read_options(ConfigReader& reader, const char* name) {
  Options options;
  reader.group(name, [&](auto& inner) { visit_options(options, inner); });
  options.validate();
  return options;
}

CountOptions read_options(ConfigReader& reader, const char* name, CountKind kind) {
  switch (kind) {
    case CountKind::markov: return read_options<MarkovOptions>(reader, name);
    case CountKind::item_knn: return read_options<ItemKnnOptions>(reader, name);
    case CountKind::ease: return read_options<EaseOptions>(reader, name);
    case CountKind::ials: return read_options<IalsOptions>(reader, name);
    case CountKind::repeat: return read_options<RepeatOptions>(reader, name);
    case CountKind::popularity: break;
  }
  return read_options<PopularityOptions>(reader, name);
}

void read_counts(Manifest& manifest, Json& json, const Fields& fields, const std::string& path) {
  ConfigReader reader(json, path);
  if (fields.flag("popularity")) {
    manifest.popularity = read_options<PopularityOptions>(reader, "popularity_options");
  }
  if (!fields.any("markov").is_null()) manifest.counts = read_options<MarkovOptions>(reader, "markov");
  if (!json.contains("counts")) return;
  if (manifest.counts) fields.fail("counts", "no second count model", json["counts"]);
  const Fields given = fields.object("counts");
  given.any("options");
  if (given.text("model") == to_string(CountKind::popularity) && !manifest.popularity) {
    fields.fail("popularity", "true", fields.any("popularity"));
  }
  CountKind kind{};
  reader.group("counts", [&](auto& inner) {
    inner("model", kind);
    manifest.counts = read_options(inner, "options", kind);
  });
}

// Version and features before anything else: what comes behind them may have another meaning.
void check_readable(const Fields& fields) {
  if (fields.text("format") != kFormat) fields.fail("format", std::string(kFormat), fields.any("format"));
  const std::uint64_t version = fields.count("format_version");
  if (version > kModelFormatVersion) {
    throw Error(ErrorCode::unsupported_version, fields.path() + "the model has format version " +
                                                    std::to_string(version) + ", this attune reads up to " +
                                                    std::to_string(kModelFormatVersion));
  }
  if (version == 0) fields.fail("format_version", "at least 1", fields.any("format_version"));
  const Json& features = fields.any("required_features");
  if (!features.is_array()) fields.fail("required_features", "a list", features);
  for (const Json& feature : features) {
    if (!feature.is_string()) fields.fail("required_features", "texts", features);
    if (!is_known(feature.get_ref<const std::string&>())) {
      throw Error(ErrorCode::unsupported, fields.path() + "the model requires the feature " + text_of(feature) +
                                              ", which this attune does not know");
    }
  }
  const std::string checksum = checksum_of(fields.json());
  if (fields.text("checksum") != checksum) fields.fail("checksum", checksum, fields.any("checksum"));
}

Manifest::Ids read_ids(const Fields& fields) {
  Manifest::Ids ids{fields.count("count")};
  const std::string kind = fields.text("ids");
  if (kind == name_of(IdKind::int64)) {
    ids.kind = IdKind::int64;
  } else if (kind != name_of(IdKind::string)) {
    fields.fail("ids", "string or int64", fields.any("ids"));
  }
  return ids;
}

std::vector<float> read_numbers(const Fields& fields, const char* key) {
  const Json& list = fields.any(key);
  if (!list.is_array()) fields.fail(key, "a list of numbers", list);
  std::vector<float> numbers;
  for (const Json& number : list) {
    if (!number.is_number()) fields.fail(key, "numbers", number);
    numbers.push_back(number.get<float>());
  }
  return numbers;
}

Calibration read_calibration(const Fields& fields, const std::string& name) {
  Calibration calibration{read_numbers(fields, "scores"), read_numbers(fields, "probabilities")};
  try {
    calibration.validate();
  } catch (const Error& error) {
    throw Error(ErrorCode::corrupt_file, name + ": " + error.what());
  }
  return calibration;
}

// By the names of the features, which another version may have others of.
LearnedRanker read_ranker(const Fields& fields, const std::string& name) {
  LearnedRanker ranker{fields.count("candidates"), {}};
  const Fields weights = fields.object("weights");
  for (const std::string_view feature : LearnedRanker::feature_names()) {
    ranker.weights.push_back(static_cast<float>(weights.number(std::string(feature).c_str())));
  }
  if (weights.json().size() != ranker.weights.size()) {
    fields.fail("weights", std::to_string(ranker.weights.size()) + " features", weights.json());
  }
  try {
    ranker.validate();
  } catch (const Error& error) {
    throw Error(ErrorCode::corrupt_file, name + ": " + error.what());
  }
  return ranker;
}

bool is_bare_name(std::string_view name) noexcept {
  return !name.empty() && name.front() != '.' && name.find_first_of("/\\:") == std::string_view::npos &&
         name.find('\0') == std::string_view::npos;
}

template <class Number>
Number read_hex(const Fields& fields, const char* key, const char* expected) {
  const std::string text = fields.text(key);
  if (text.size() != 2 * sizeof(Number) || text.find_first_not_of("0123456789abcdef") != std::string::npos) {
    fields.fail(key, expected, fields.any(key));
  }
  Number number = 0;
  std::from_chars(text.data(), text.data() + text.size(), number, 16);
  return number;
}

std::map<std::string, Manifest::File> read_files(const Fields& fields) {
  std::map<std::string, Manifest::File> files;
  for (const auto& [name, entry] : fields.json().items()) {
    if (!is_bare_name(name)) {
      throw Error(ErrorCode::corrupt_file, fields.path() + ": expected a bare file name, found " + text_of(name));
    }
    const Fields file(entry, fields.path() + name + '.');
    files[name] = {file.count("size"), read_hex<std::uint32_t>(file, "crc32", "eight hexadecimal digits")};
    if (!entry.contains("sum64")) continue;
    files[name].sum64 = read_hex<std::uint64_t>(file, "sum64", "sixteen hexadecimal digits");
  }
  return files;
}

}  // namespace

std::string manifest_text(const Manifest& manifest) {
  Json json{{"format", kFormat}, {"format_version", kModelFormatVersion}, {"required_features", features_of(manifest)}};
  json["written_by"] = std::string("attune ") + attune::version();
  json["version"] = manifest.version;
  json["items"] = json_of(manifest.items);
  json["users"] = manifest.users ? json_of(*manifest.users) : Json();
  json["encoder"] = Json();
  if (manifest.encoder) {
    json["encoder"] = Json::object();
    visit_encoder(*manifest.encoder, ConfigWriter(json["encoder"]));
  }
  write_counts(json, manifest);
  json["blend_weight"] = manifest.blend_weight;
  if (!manifest.calibration.empty()) {
    json["calibration"] = {{"scores", manifest.calibration.scores},
                           {"probabilities", manifest.calibration.probabilities}};
  }
  if (!manifest.ranker.empty()) json["ranker"] = json_of(manifest.ranker);
  json["notes"] = manifest.notes;
  json["files"] = Json::object();
  for (const auto& [name, file] : manifest.files) {
    json["files"][name] = {{"size", file.size}, {"crc32", hex_of(file.crc32)}};
    if (file.sum64) json["files"][name]["sum64"] = hex_of(*file.sum64);
  }
  try {
    json["checksum"] = checksum_of(json);
    const std::string text = json.dump(2) + '\n';
    if (text.size() > kMaxManifestBytes) throw Error(ErrorCode::limit_exceeded, "the notes of a model: at most 1 MiB");
    return text;
  } catch (const Json::exception&) {
    throw Error(ErrorCode::invalid_argument, "the version or a note of the model is not UTF-8");
  }
}

Manifest parse_manifest(std::string_view text, const std::string& name) {
  Json json = parse_object(text, name, ErrorCode::corrupt_file);
  const Fields fields(json, name + ": ");
  check_readable(fields);

  Manifest manifest;
  manifest.version = fields.text("version");
  manifest.items = read_ids(fields.object("items"));
  if (!fields.any("users").is_null()) manifest.users = read_ids(fields.object("users"));
  manifest.blend_weight = fields.number("blend_weight");
  if (json.contains("calibration")) manifest.calibration = read_calibration(fields.object("calibration"), name);
  if (json.contains("ranker")) manifest.ranker = read_ranker(fields.object("ranker"), name);
  for (const auto& [key, note] : fields.object("notes").json().items()) {
    manifest.notes[key] = fields.object("notes").text(key.c_str());
  }
  manifest.files = read_files(fields.object("files"));
  const Json& required = fields.any("required_features");
  manifest.user_prior = std::ranges::find(required, kUserPrior) != required.end();

  ConfigReader reader(json, name + ": ");
  if (!fields.any("encoder").is_null()) {
    manifest.encoder.emplace();
    reader.group("encoder", [&](auto& inner) { visit_encoder(*manifest.encoder, inner); });
    // Earlier versions let through what drops nothing.
    for (double* const rate : {&manifest.encoder->dropout, &manifest.encoder->attention_dropout}) {
      if (*rate > 0.0 && *rate < Dropout::kLeastRate) *rate = 0.0;
    }
    manifest.encoder->validate();
    const Json& features = fields.any("required_features");
    const bool int8 = std::ranges::find(features, kInt8Weights) != features.end();
    manifest.weight_storage = int8 ? WeightStorage::int8 : WeightStorage::float32;
  }
  read_counts(manifest, json, fields, name + ": ");
  return manifest;
}

bool is_manifest(std::string_view text) {
  try {
    const Json json = parse_object(text, kManifestFile);
    return json.contains("format") && json["format"] == kFormat;
  } catch (const Error&) {
    return false;
  }
}

std::uint32_t crc32_of(std::span<const std::byte> bytes, std::uint32_t before) noexcept {
  return static_cast<std::uint32_t>(
      ::crc32_z(before, reinterpret_cast<const unsigned char*>(bytes.data()), bytes.size()));
}

std::string hex_of(std::uint32_t crc32) { return hex_of(std::uint64_t{crc32}).substr(8); }

}  // namespace attune::inline v0_1::detail
