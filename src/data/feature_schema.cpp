// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <array>
#include <cmath>
#include <concepts>
#include <filesystem>
#include <utility>

#include "attune/error.hpp"
#include "data/feature_json.hpp"
#include "data/text.hpp"
#include "platform/files.hpp"

namespace attune::inline v0_1 {
namespace detail {
namespace {

constexpr std::size_t kMostColumns = std::size_t{1} << 24;  // of a feature
constexpr std::size_t kMostMembers = 8;                     // of an n-gram
constexpr std::size_t kMostNumbers = 100'000;               // of a range of columns

template <class Enum>
struct Named {
  std::string_view name;
  Enum value;
};
constexpr Named<FeatureKind> kKinds[] = {{"category", FeatureKind::category}, {"number", FeatureKind::number},
                                         {"time", FeatureKind::time},         {"text", FeatureKind::text},
                                         {"vector", FeatureKind::vector},     {"cross", FeatureKind::cross}};
constexpr Named<TimePeriod> kPeriods[] = {
    {"year", TimePeriod::year}, {"week", TimePeriod::week}, {"day", TimePeriod::day}};
constexpr Named<VectorScale> kScales[] = {
    {"unit", VectorScale::unit}, {"standard", VectorScale::standard}, {"none", VectorScale::none}};

constexpr std::span<const Named<FeatureKind>> names_of(FeatureKind) { return kKinds; }
constexpr std::span<const Named<TimePeriod>> names_of(TimePeriod) { return kPeriods; }
constexpr std::span<const Named<VectorScale>> names_of(VectorScale) { return kScales; }

template <class Enum>
std::string_view name_of(Enum value) noexcept {
  return std::ranges::find(names_of(value), value, &Named<Enum>::value)->name;
}

// Every option of a feature once: visit(name, value).
template <class Spec, class Visit>
void visit_options(Spec& spec, Visit&& visit) {
  if (spec.kind != FeatureKind::cross) {
    visit("columns", spec.columns);
    visit("file", spec.file);
  }
  switch (spec.kind) {
    case FeatureKind::category:
      visit("all_lines", spec.all_lines);
      visit("separator", spec.separator);
      visit("min_count", spec.min_count);
      visit("max_names", spec.max_names);
      break;
    case FeatureKind::number:
      visit("buckets", spec.buckets);
      visit("clip", spec.clip);
      break;
    case FeatureKind::time:
      visit("periods", spec.periods);
      visit("clip", spec.clip);
      break;
    case FeatureKind::text:
      visit("all_lines", spec.all_lines);
      visit("dimensions", spec.dimensions);
      visit("words", spec.words);
      visit("characters", spec.characters);
      break;
    case FeatureKind::vector:
      visit("ids", spec.ids);
      visit("tensor", spec.tensor);
      visit("scale", spec.scale);
      break;
    case FeatureKind::cross:
      visit("of", spec.of);
      visit("dimensions", spec.dimensions);
      break;
  }
}

template <class Value>
Json json_of_value(const Value& value) {
  if constexpr (std::is_enum_v<Value>) {
    return name_of(value);
  } else if constexpr (std::same_as<Value, NgramRange>) {
    return value.last == 0 ? Json::array() : Json::array({value.first, value.last});
  } else if constexpr (std::same_as<Value, std::vector<TimePeriod>>) {
    Json list = Json::array();
    for (const TimePeriod period : value) list.push_back(name_of(period));
    return list;
  } else {
    return value;
  }
}

// "i0..i63": the columns i0, i1 and so on to i63. Anything else names one column.
std::vector<std::string> columns_of(const std::string& text) {
  const std::size_t dots = text.find("..");
  if (dots == std::string::npos) return {text};
  const std::string_view first = std::string_view(text).substr(0, dots), last = std::string_view(text).substr(dots + 2);
  const std::size_t stem = first.find_last_not_of("0123456789") + 1;
  if (first.size() == stem || last.substr(0, std::min(stem, last.size())) != first.substr(0, stem)) return {text};
  const auto begin = parse_number<std::size_t>(first.substr(stem)), end = parse_number<std::size_t>(last.substr(stem));
  if (!begin || !end || *begin > *end || *end - *begin >= kMostNumbers) return {text};
  std::vector<std::string> columns;
  for (std::size_t i = *begin; i <= *end; ++i) columns.emplace_back(first.substr(0, stem)).append(std::to_string(i));
  return columns;
}

// Takes the fields of an object one by one; what is left was unknown.
class FieldReader {
 public:
  FieldReader(Json& object, std::string place, ErrorCode code)
      : object_(object), place_(std::move(place)), code_(code) {}

  template <class Value>
  void operator()(const char* name, Value& value) {
    const auto found = object_.find(name);
    if (found == object_.end()) return;
    read(name, *found, value);
    object_.erase(found);
  }
  void finish() const {
    if (!object_.empty()) throw Error(code_, place_ + ": field " + object_.begin().key() + ": no such field");
  }

 private:
  void read(const std::string& name, const Json& json, std::string& text) const {
    if (!json.is_string()) refuse(name, "text", json);
    text = json.get<std::string>();
  }
  void read(const std::string& name, const Json& json, std::size_t& number) const {
    if (!json.is_number_unsigned()) refuse(name, "an integer of at least 0", json);
    number = json.get<std::size_t>();
  }
  void read(const std::string& name, const Json& json, bool& flag) const {
    if (!json.is_boolean()) refuse(name, "true or false", json);
    flag = json.get<bool>();
  }
  void read(const std::string& name, const Json& json, double& number) const {
    if (!json.is_number()) refuse(name, "a number", json);
    number = json.get<double>();
  }
  void read(const std::string& name, const Json& json, std::vector<std::string>& names) const {
    names.clear();
    for (const Json& entry : json.is_array() ? json : Json::array({json})) {
      if (!entry.is_string()) refuse(name, "a name or a list of names", json);
      const auto more =
          name == "columns" ? columns_of(entry.get<std::string>()) : std::vector{entry.get<std::string>()};
      names.insert(names.end(), more.begin(), more.end());
    }
  }
  void read(const std::string& name, const Json& json, NgramRange& range) const {
    const auto is_number = [](const Json& entry) { return entry.is_number_unsigned(); };
    const bool none = json.is_array() && json.empty();
    if (!none && (!json.is_array() || json.size() != 2 || !std::ranges::all_of(json, is_number))) {
      refuse(name, "[first, last], or [] for none", json);
    }
    range = none ? NgramRange{} : NgramRange{json[0].get<std::size_t>(), json[1].get<std::size_t>()};
  }
  void read(const std::string& name, const Json& json, std::vector<TimePeriod>& periods) const {
    if (!json.is_array()) refuse(name, "a list of periods", json);
    periods.clear();
    for (const Json& entry : json) read(name, entry, periods.emplace_back());
  }
  template <class Enum>
  requires std::is_enum_v<Enum>
  void read(const std::string& name, const Json& json, Enum& value) const {
    std::string allowed;
    for (const auto& known : names_of(value)) {
      if (json.is_string() && json.get_ref<const std::string&>() == known.name) {
        value = known.value;
        return;
      }
      allowed += (allowed.empty() ? "" : ", ") + std::string(known.name);
    }
    refuse(name, "one of " + allowed, json);
  }
  [[noreturn]] void refuse(const std::string& name, const std::string& expected, const Json& found) const {
    throw Error(code_, place_ + ": field " + name + ": expected " + expected + ", found " + in_quotes_of(found));
  }
  static std::string in_quotes_of(const Json& found) {
    const std::string text = text_of(found);
    return text.size() <= 80 ? text : in_quotes(text, '\'');
  }

  Json& object_;
  std::string place_;
  ErrorCode code_;
};

std::vector<FeatureSpec> features_of(const Json& list, const std::string& place) {
  if (!list.is_array()) throw Error(ErrorCode::invalid_config, place + ": expected a list of features");
  std::vector<FeatureSpec> features;
  for (const Json& entry : list) features.push_back(feature_of(entry, place, ErrorCode::invalid_config));
  check_features(features, place);
  return features;
}

// What check_features() asks of one feature.
void check_options(const FeatureSpec& spec, const std::string& place) {
  const auto expect = [&](bool holds, const char* field, const std::string& expected) {
    if (!holds) throw Error(ErrorCode::invalid_config, place + ": field " + field + ": expected " + expected);
  };
  const auto is_range = [](NgramRange range) {
    return range == NgramRange{} || (range.first >= 1 && range.first <= range.last && range.last <= kMostMembers);
  };
  const std::string members = "1 <= first <= last <= " + std::to_string(kMostMembers) + ", or none";
  const bool many =
      spec.kind == FeatureKind::category || spec.kind == FeatureKind::text || spec.kind == FeatureKind::vector;
  expect(many || spec.columns.size() <= 1, "columns", "one column, found " + std::to_string(spec.columns.size()));
  expect(std::ranges::find(spec.columns, "") == spec.columns.end(), "columns", "names, found an empty one");
  expect(spec.ids.empty() || !spec.file.empty(), "ids", "none, as there is no file of vectors");
  expect(!spec.separator.empty(), "separator", "text that stands between names, found none");
  expect(spec.min_count >= 1, "min_count", "at least 1");
  expect(spec.max_names >= 1 && spec.max_names < kMostColumns, "max_names", "1 to " + std::to_string(kMostColumns - 1));
  expect(spec.buckets != 1 && spec.buckets <= kMostColumns, "buckets", "0, or 2 to " + std::to_string(kMostColumns));
  expect(spec.clip > 0 && std::isfinite(spec.clip), "clip", "a number above 0");
  expect(spec.dimensions >= 1 && spec.dimensions <= kMostColumns, "dimensions", "1 to " + std::to_string(kMostColumns));
  expect(is_range(spec.words), "words", members);
  expect(is_range(spec.characters), "characters", members);
  expect(spec.words.last + spec.characters.last > 0, "words", "n-grams of words or characters, found neither");
}

}  // namespace

std::string_view to_string(FeatureKind kind) noexcept { return name_of(kind); }

Json json_of(const FeatureSpec& feature) {
  Json json{{"name", feature.name}, {"type", name_of(feature.kind)}};
  FeatureSpec defaults;
  defaults.kind = feature.kind;
  Json usual = Json::object();
  visit_options(std::as_const(defaults),
                [&](const char* name, const auto& value) { usual[name] = json_of_value(value); });
  visit_options(feature, [&](const char* name, const auto& value) {
    if (Json written = json_of_value(value); written != usual[name]) json[name] = std::move(written);
  });
  return json;
}

FeatureSpec feature_of(Json json, const std::string& place, ErrorCode code) {
  if (!json.is_object()) throw Error(code, place + ": expected a feature, {\"name\": ..., \"type\": ...}");
  FeatureSpec feature;
  FieldReader nameless(json, place, code);
  nameless("name", feature.name);
  if (feature.name.empty()) throw Error(code, place + ": expected a feature with a name, found one without");
  const std::string named = place + ", feature " + in_quotes(feature.name, '"');
  FieldReader fields(json, named, code);
  if (!json.contains("type")) throw Error(code, named + ": field type is missing");
  fields("type", feature.kind);
  visit_options(feature, fields);
  fields.finish();
  return feature;
}

}  // namespace detail

void check_features(std::span<const FeatureSpec> features, const std::string& place) {
  for (std::size_t f = 0; f < features.size(); ++f) {
    const FeatureSpec& spec = features[f];
    const auto fail = [&](const std::string& what) {
      throw Error(ErrorCode::invalid_config, place + ", feature " + detail::in_quotes(spec.name, '"') + ": " + what);
    };
    if (spec.name.empty()) fail("expected a name, found none");
    if (std::ranges::find(features.first(f), spec.name, &FeatureSpec::name) != features.begin() + std::ptrdiff_t(f)) {
      fail("expected every name once, found it twice");
    }
    detail::check_options(spec, place + ", feature " + detail::in_quotes(spec.name, '"'));
    if (spec.kind != FeatureKind::cross) continue;
    if (spec.of.size() != 2) fail("field of: expected 2 features, found " + std::to_string(spec.of.size()));
    for (const std::string& name : spec.of) {
      const auto found = std::ranges::find(features, name, &FeatureSpec::name);
      if (found == features.end()) fail("field of: expected a feature, found " + detail::in_quotes(name, '"'));
      const bool discrete =
          found->kind == FeatureKind::category || (found->kind == FeatureKind::number && found->buckets != 0);
      if (!discrete) {
        fail("field of: expected a category or a number in buckets, found " + detail::in_quotes(name, '"') + ", a " +
             std::string(detail::to_string(found->kind)));
      }
    }
  }
}

FeatureSchema FeatureSchema::parse(std::string_view json, const std::string& name_for_messages) {
  detail::Json object = detail::parse_object(json, name_for_messages);
  FeatureSchema schema;
  const auto take = [&](const char* side, std::vector<FeatureSpec>& features) {
    if (!object.contains(side)) return;
    features = detail::features_of(object[side], name_for_messages + ": " + side);
    object.erase(side);
  };
  take("items", schema.items);
  take("users", schema.users);
  if (!object.empty()) {
    throw Error(ErrorCode::invalid_config,
                name_for_messages + ": field " + object.begin().key() + ": no such field; expected items and users");
  }
  return schema;
}

FeatureSchema FeatureSchema::load(const std::string& file) {
  constexpr std::uint64_t kMostBytes = std::uint64_t{1} << 24;
  const std::vector<std::byte> bytes = platform::read_file(file, kMostBytes);
  FeatureSchema schema = parse({reinterpret_cast<const char*>(bytes.data()), bytes.size()}, file);
  const auto folder = std::filesystem::path(file).parent_path();
  for (std::vector<FeatureSpec>* const side : {&schema.items, &schema.users}) {
    for (FeatureSpec& feature : *side) {
      for (std::string* const path : {&feature.file, &feature.ids}) {
        if (!path->empty()) *path = (folder / *path).string();
      }
    }
  }
  return schema;
}

std::string FeatureSchema::to_json() const {
  detail::Json json = detail::Json::object();
  const auto add = [&](const char* side, const std::vector<FeatureSpec>& features) {
    if (features.empty()) return;
    json[side] = detail::Json::array();
    for (const FeatureSpec& feature : features) json[side].push_back(detail::json_of(feature));
  };
  add("items", items);
  add("users", users);
  return detail::text_of(json);
}

}  // namespace attune::inline v0_1
