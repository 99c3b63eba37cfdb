// SPDX-License-Identifier: Apache-2.0
#include "attune/training/search_space.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <optional>
#include <string_view>
#include <utility>

#include "attune/detail/dropout.hpp"
#include "attune/error.hpp"
#include "training/trainer_json.hpp"

namespace attune::inline v0_1 {

namespace {

using detail::Json;
using detail::text_of;
using Path = std::vector<std::string>;

constexpr std::pair<std::string_view, Distribution> kDistributions[] = {{"uniform", Distribution::uniform},
                                                                        {"log_uniform", Distribution::log_uniform},
                                                                        {"integer", Distribution::integer},
                                                                        {"log_integer", Distribution::log_integer},
                                                                        {"choice", Distribution::choice}};

// What trials are compared by, what makes them repeatable, and what is chosen behind the epochs.
constexpr std::string_view kSameForAll[] = {"epochs",
                                            "time_budget_seconds",
                                            "max_validation_queries",
                                            "exclude_seen",
                                            "encoder.request_time",
                                            "counts_alone",
                                            "seed",
                                            "blend",
                                            "compare_counts",
                                            "calibrate",
                                            "rerank",
                                            "rerank_candidates",
                                            "refit"};

bool whole(Distribution distribution) {
  return distribution == Distribution::integer || distribution == Distribution::log_integer;
}
bool logarithmic(Distribution distribution) {
  return distribution == Distribution::log_uniform || distribution == Distribution::log_integer;
}

std::string dotted(const Path& path) {
  std::string field;
  for (const std::string& key : path) field += (field.empty() ? "" : ".") + key;
  return field;
}

std::optional<Distribution> distribution_named(const std::string& name) {
  const auto* found = std::ranges::find(kDistributions, name, &std::pair<std::string_view, Distribution>::first);
  if (found == std::end(kDistributions)) return std::nullopt;
  return found->second;
}

// Puts a value into an object of objects.
void put(Json& object, const Path& path, Json value) {
  Json* at = &object;
  for (const std::string& key : path) at = &(*at)[key];
  *at = std::move(value);
}

Json number(double value, Distribution distribution) {
  if (!whole(distribution)) return value;
  if (value < 0) return static_cast<std::int64_t>(value);
  return static_cast<std::uint64_t>(value);
}

// Reads the ranges of a file and keeps the rest.
class SpaceReader {
 public:
  SpaceReader(const std::string& name, std::vector<SearchParameter>& parameters, Json& fixed)
      : name_(name), parameters_(parameters), fixed_(fixed) {}

  void read(const Json& object, const Path& path = {}) {
    for (const auto& [key, value] : object.items()) {
      Path field = path;
      field.push_back(key);
      if (distribution_named(key)) refuse(path, key + " to stand alone", object);
      if (!value.is_object() || value.empty()) {
        check_type(field, value);
        put(fixed_, field, value);
      } else if (const auto distribution = distribution_named(value.begin().key()); distribution && value.size() == 1) {
        parameters_.push_back(parameter(field, *distribution, value.begin().value()));
      } else {
        read(value, field);
      }
    }
  }

 private:
  SearchParameter parameter(const Path& path, Distribution distribution, const Json& given) const {
    SearchParameter parameter{.path = path, .distribution = distribution};
    if (distribution == Distribution::choice) {
      if (!given.is_array() || given.empty()) refuse(path, "a choice of at least one value", given);
      for (const Json& choice : given) {
        check_value(path, choice);
        parameter.choices.push_back(text_of(choice));
      }
      return parameter;
    }
    read_range(parameter, given);
    check_value(path, number(parameter.low, distribution));
    check_value(path, number(parameter.high, distribution));
    return parameter;
  }

  void read_range(SearchParameter& parameter, const Json& given) const {
    const bool integers = whole(parameter.distribution);
    const auto fits = [integers](const Json& end) { return integers ? end.is_number_integer() : end.is_number(); };
    if (!given.is_array() || given.size() != 2 || !fits(given[0]) || !fits(given[1])) {
      refuse(parameter.path, integers ? "two integers [low, high]" : "two numbers [low, high]", given);
    }
    parameter.low = given[0].get<double>();
    parameter.high = given[1].get<double>();
    if (!(parameter.low < parameter.high)) refuse(parameter.path, "the low end below the high end", given);
    if (integers && std::max(-parameter.low, parameter.high) > kMostExact) {
      refuse(parameter.path, "integers of at most 2^53", given);
    }
    if (logarithmic(parameter.distribution) && !(parameter.low > 0)) {
      refuse(parameter.path, "a logarithmic range that begins above 0", given);
    }
  }

  // A value that the field may be given: of its type, and of a field that may vary.
  void check_value(const Path& path, const Json& value) const {
    check_type(path, value);
    check_varies(path, value);
  }
  void check_type(const Path& path, const Json& value) const {
    Json overrides;
    put(overrides, path, value);
    TrainerConfig config;
    detail::apply_fields(config, std::move(overrides), name_ + ": ");
  }
  void check_varies(const Path& path, const Json& value) const {
    const std::string field = dotted(path);
    if (std::ranges::find(kSameForAll, field) != std::end(kSameForAll)) {
      refuse(path, "one value, the same for all trials", value);
    }
    if (!value.is_object()) return;
    for (const auto& [key, inner] : value.items()) {
      Path deeper = path;
      deeper.push_back(key);
      check_varies(deeper, inner);
    }
  }

  [[noreturn]] void refuse(const Path& path, const std::string& expected, const Json& found) const {
    throw Error(ErrorCode::invalid_config, name_ + ": " + (path.empty() ? "the space" : dotted(path)) + ": expected " +
                                               expected + ", found " + text_of(found));
  }

  static constexpr double kMostExact = 9007199254740992.0;  // integers up to here are exact as double
  const std::string& name_;
  std::vector<SearchParameter>& parameters_;
  Json& fixed_;
};

double four_digits(double value) {
  std::array<char, 32> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), value, std::chars_format::general, 4);
  std::from_chars(text.data(), end.ptr, value);
  return value;
}

// u in [0, 1).
std::string drawn(const SearchParameter& parameter, double u) {
  if (parameter.distribution == Distribution::choice) {
    return parameter.choices[static_cast<std::size_t>(u * static_cast<double>(parameter.choices.size()))];
  }
  // Each integer has the same share: that from half below it to half above it.
  const double margin = whole(parameter.distribution) ? 0.5 : 0.0;
  double low = parameter.low - margin, high = parameter.high + margin;
  if (logarithmic(parameter.distribution)) {
    low = std::log(low);
    high = std::log(high);
  }
  double value = low + u * (high - low);
  if (logarithmic(parameter.distribution)) value = std::exp(value);
  value = whole(parameter.distribution) ? std::round(value) : four_digits(value);
  return text_of(number(std::clamp(value, parameter.low, parameter.high), parameter.distribution));
}

}  // namespace

std::string SearchParameter::field() const { return dotted(path); }

SearchSpace SearchSpace::from_json(const std::string& text, const std::string& name_for_messages) {
  const Json json = detail::parse_object(text, name_for_messages);
  SearchSpace space;
  Json fixed = Json::object();
  SpaceReader(name_for_messages, space.parameters_, fixed).read(json);
  if (space.parameters_.empty()) {
    throw Error(ErrorCode::invalid_config,
                name_for_messages +
                    ": expected a field with a uniform, log_uniform, integer, log_integer or "
                    "choice of values, found none");
  }
  space.text_ = text_of(json);
  space.fixed_ = text_of(fixed);
  return space;
}

std::vector<std::string> SearchSpace::sample(std::uint64_t seed, std::uint64_t number) const {
  const std::uint64_t stream = detail::stream_of(seed, detail::Purpose::search, number);
  std::vector<std::string> values;
  for (const SearchParameter& parameter : parameters_) {
    const std::uint64_t bits = detail::mix(stream, values.size());
    values.push_back(drawn(parameter, static_cast<double>(bits >> 11) * 0x1p-53));
  }
  return values;
}

std::string SearchSpace::overrides(const std::vector<std::string>& values) const {
  Json json = detail::parse_object(fixed_, "search space");
  for (std::size_t i = 0; i < parameters_.size(); ++i) put(json, parameters_[i].path, Json::parse(values[i]));
  return text_of(json);
}

std::string SearchSpace::named(const std::vector<std::string>& values) const {
  Json json = Json::object();
  for (std::size_t i = 0; i < parameters_.size(); ++i) json[parameters_[i].field()] = Json::parse(values[i]);
  return text_of(json);
}

}  // namespace attune::inline v0_1
