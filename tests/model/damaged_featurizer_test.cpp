// SPDX-License-Identifier: Apache-2.0
#include <random>

#include "attune/error.hpp"
#include "attune/model/featurizer.hpp"
#include "catch.hpp"

using namespace attune;
using Catch::Matchers::Contains;

namespace {

using Names = std::vector<std::uint64_t>;
using Numbers = std::vector<float>;

// A file of one feature, as it says.
struct File {
  std::string json;
  std::string names = {};
  Names offsets = {};
  Numbers idf = {}, means = {}, deviations = {};
  std::string further = {};

  std::string complaint() const {
    const auto bytes_of = [](const std::string& text) {
      return std::span(reinterpret_cast<const std::int8_t*>(text.data()), text.size());
    };
    SafetensorsWriter writer;
    writer.add("items.features", {json.size()}, bytes_of(json));
    if (!offsets.empty()) writer.add("items.0.offsets", {offsets.size()}, std::span(offsets));
    if (!offsets.empty()) writer.add("items.0.names", {names.size()}, bytes_of(names));
    if (!idf.empty()) writer.add("items.0.idf", {idf.size()}, std::span(idf));
    if (!means.empty()) writer.add("items.0.means", {means.size()}, std::span(means));
    if (!deviations.empty()) writer.add("items.0.deviations", {deviations.size()}, std::span(deviations));
    if (!further.empty()) writer.add(further, {further.size()}, bytes_of(further));
    try {
      Featurizer::read(SafetensorsFile::parse(writer.bytes(), "features.safetensors"), "items");
    } catch (const Error& error) {
      const ErrorCode code = error.code();
      CHECK((code == ErrorCode::corrupt_file || code == ErrorCode::non_finite || code == ErrorCode::unsupported));
      return error.what();
    }
    return "";
  }
};

std::string json_of(const std::string& fields) { return R"({"features":[{"name":"x",)" + fields + "}]}"; }

}  // namespace

TEST_CASE("What is no featurizer is refused", "[model][features]") {
  CHECK(File{R"({"features":[]})"}.complaint().empty());
  CHECK_THAT(File{"[]"}.complaint(), Contains("items.features"));
  CHECK_THAT(File{R"({"features":[], "more": 1})"}.complaint(), Contains("expected one list, features"));
  CHECK_THAT(File{R"({"features":7})"}.complaint(), Contains("expected one list, features"));
  CHECK_THAT(File{R"({"features":[7]})"}.complaint(), Contains("expected a feature"));
  CHECK_THAT(File{json_of(R"("type":"name")")}.complaint(), Contains("expected one of category"));
  CHECK_THAT(File{json_of(R"("type":"number","mean":1,"deviation":1,"size":2)")}.complaint(), Contains("size"));
  CHECK_THAT((File{.json = R"({"features":[]})", .further = "items.9.idf"}.complaint()),
             Contains("expected 1 tensors, found 2"));
  CHECK((File{.json = R"({"features":[]})", .further = "users.9.idf"}.complaint()).empty());
}

TEST_CASE("Statistics that cannot be are refused", "[model][features]") {
  CHECK(File{json_of(R"("type":"number","mean":1,"deviation":1)")}.complaint().empty());
  CHECK_THAT(File{json_of(R"("type":"number","mean":1)")}.complaint(), Contains("field deviation is missing"));
  CHECK_THAT(File{json_of(R"("type":"number","mean":1,"deviation":0)")}.complaint(), Contains("deviation above 0"));
  CHECK_THAT(File{json_of(R"("type":"number","mean":"1","deviation":1)")}.complaint(),
             Contains("what a featurizer writes"));
  CHECK(File{json_of(R"("type":"number","buckets":3,"edges":[1,2])")}.complaint().empty());
  CHECK_THAT(File{json_of(R"("type":"number","buckets":3,"edges":[2,1])")}.complaint(), Contains("ascending order"));
  CHECK_THAT(File{json_of(R"("type":"number","buckets":3,"edges":[1,2,3])")}.complaint(),
             Contains("fewer edges than buckets"));
  CHECK_THAT(File{json_of(R"("type":"number","buckets":3)")}.complaint(), Contains("field edges is missing"));
  CHECK_THAT(File{json_of(R"("type":"vector","width":0)")}.complaint(), Contains("a width of 1 to"));
  CHECK_THAT(File{json_of(R"("type":"vector","width":99999999999)")}.complaint(), Contains("a width of 1 to"));
  CHECK_THAT(File{json_of(R"("type":"cross","of":["x","y"])")}.complaint(), Contains("field of"));
  const std::string standard = json_of(R"("type":"vector","width":2,"scale":"standard")");
  CHECK((File{.json = standard, .means = {1, 2}, .deviations = {1, 2}}.complaint()).empty());
  CHECK_THAT((File{.json = standard, .means = {1}, .deviations = {1, 2}}.complaint()), Contains("items.0.means"));
  CHECK_THAT((File{.json = standard, .means = {1, 2}, .deviations = {1, 0}}.complaint()),
             Contains("expected numbers above 0"));
  const std::string text = json_of(R"("type":"text","dimensions":2)");
  CHECK((File{.json = text, .idf = {1, 2}}.complaint()).empty());
  CHECK_THAT((File{.json = text, .idf = {1, 2, 3}}.complaint()), Contains("items.0.idf"));
  CHECK_THAT((File{.json = json_of(R"("type":"text","dimensions":16777216)"), .idf = {1}}.complaint()),
             Contains("items.0.idf"));
}

TEST_CASE("Names that cannot be are refused", "[model][features]") {
  const auto complaint = [](const std::string& names, const Names& offsets) {
    return File{.json = json_of(R"("type":"category")"), .names = names, .offsets = offsets}.complaint();
  };
  CHECK(complaint("ab", {0, 1, 2}).empty());
  CHECK(complaint("", {0}).empty());
  CHECK_THAT(complaint("ab", {}), Contains("is missing"));
  CHECK_THAT(complaint("ab", {0, 1}), Contains("expected ascending offsets from 0 to 2"));
  CHECK_THAT(complaint("ab", {1, 2}), Contains("expected ascending offsets from 0 to 2"));
  CHECK_THAT(complaint("ab", {0, 0, 2}), Contains("expected ascending offsets"));
  CHECK_THAT(complaint("ab", {0, 3, 2}), Contains("expected ascending offsets"));
  CHECK_THAT(complaint("ab", {0, 1, ~std::uint64_t{0}}), Contains("items.0.offsets"));
  CHECK_THAT(complaint("ba", {0, 1, 2}), Contains("expected names in ascending order"));
  CHECK_THAT(complaint("aa", {0, 1, 2}), Contains("expected names in ascending order"));
}
