// SPDX-License-Identifier: Apache-2.0
#include "attune/data/feature_table.hpp"

#include <cmath>
#include <limits>

#include "attune/error.hpp"
#include "catch.hpp"
#include "temporary_directory.hpp"

using namespace attune;
using namespace attune::test;
using Catch::Matchers::Contains;

namespace {

using Texts = std::vector<std::string>;

constexpr const char* kSchema = R"({
  "items": [
    {"name": "genres", "type": "category", "min_count": 2},
    {"name": "people", "type": "category", "columns": ["directors", "actors"], "separator": ", ", "max_names": 500},
    {"name": "year", "type": "number", "buckets": 8},
    {"name": "price", "type": "number", "clip": 3.5},
    {"name": "released", "type": "time", "periods": ["year", "week", "day"]},
    {"name": "plot", "type": "text", "columns": ["title", "plot"], "all_lines": true, "dimensions": 4096, "words": [1, 3], "characters": []},
    {"name": "colours", "type": "vector", "columns": "c0..c3", "scale": "standard"},
    {"name": "poster", "type": "vector", "file": "posters.npy", "ids": "posters.txt"},
    {"name": "sound", "type": "vector", "file": "sounds.safetensors", "ids": "sounds.txt", "tensor": "mean"},
    {"name": "genre_decade", "type": "cross", "of": ["genres", "year"], "dimensions": 1024}],
  "users": [{"name": "gender", "type": "category"}, {"name": "age", "type": "number"}]})";

std::string complaint(const std::string& json) {
  try {
    FeatureSchema::parse(json, "schema.json");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::invalid_config);
    return error.what();
  }
  return "";
}
std::string complaint_of_item(const std::string& feature) { return complaint(R"({"items": [)" + feature + "]}"); }

// A feature with these fields beside its name.
std::string with(const std::string& fields) { return R"({"name": "x", )" + fields + "}"; }

}  // namespace

TEST_CASE("A schema says what features there are", "[data][features]") {
  const FeatureSchema schema = FeatureSchema::parse(kSchema, "schema.json");
  REQUIRE(schema.items.size() == 10);
  REQUIRE(schema.users.size() == 2);
  CHECK(schema.items[0].min_count == 2);
  CHECK(schema.items[0].fields().front() == "genres");
  CHECK(schema.items[1].columns == Texts{"directors", "actors"});
  CHECK(schema.items[1].separator == ", ");
  CHECK(schema.items[1].max_names == 500);
  CHECK(schema.items[2].buckets == 8);
  CHECK(schema.items[3].clip == 3.5);
  CHECK(schema.items[4].periods == std::vector{TimePeriod::year, TimePeriod::week, TimePeriod::day});
  CHECK(schema.items[5].all_lines);
  CHECK(schema.items[5].words == NgramRange{1, 3});
  CHECK(schema.items[5].characters == NgramRange{});
  CHECK(schema.items[6].columns == Texts{"c0", "c1", "c2", "c3"});
  CHECK(schema.items[6].scale == VectorScale::standard);
  CHECK(schema.items[8].tensor == "mean");
  CHECK(schema.items[9].of == Texts{"genres", "year"});
  CHECK(schema.items[9].kind == FeatureKind::cross);
  CHECK(FeatureSchema::parse("{}", "empty") == FeatureSchema{});
}

TEST_CASE("A schema is written as it was read", "[data][features]") {
  const FeatureSchema schema = FeatureSchema::parse(kSchema, "schema.json");
  CHECK(FeatureSchema::parse(schema.to_json(), "again") == schema);
  CHECK(FeatureSchema::parse(R"({"users": [{"name": "age", "type": "number"}]})", "short").to_json() ==
        R"({"users":[{"name":"age","type":"number"}]})");
}

TEST_CASE("Columns may be given as a range", "[data][features]") {
  const auto columns = [](const std::string& text) {
    return FeatureSchema::parse(R"({"items": [{"name": "v", "type": "vector", "columns": )" + text + "}]}", "s")
        .items[0]
        .columns;
  };
  CHECK(columns(R"("i8..i11")") == Texts{"i8", "i9", "i10", "i11"});
  CHECK(columns(R"(["a", "v1..v2", "b"])") == Texts{"a", "v1", "v2", "b"});
  CHECK(columns(R"("7..8")") == Texts{"7", "8"});
  for (const char* name : {"a..b", "a1..b2", "a3..a2", "..", "a..", "a0..a999999999"}) {
    CHECK(columns('"' + std::string(name) + '"') == Texts{name});
  }
}

TEST_CASE("Files of a schema lie beside it", "[data][features]") {
  const TemporaryDirectory directory;
  write_text(directory / "schema.json", kSchema);
  const FeatureSchema schema = FeatureSchema::load((directory / "schema.json").string());
  CHECK(schema.items[7].file == (directory / "posters.npy").string());
  CHECK(schema.items[7].ids == (directory / "posters.txt").string());
  CHECK(schema.items[0].file.empty());
  CHECK_THROWS_WITH(FeatureSchema::load((directory / "none.json").string()), Contains("none.json"));
  write_text(directory / "bad.json", "{\"items\": 3}");
  CHECK_THROWS_WITH(FeatureSchema::load((directory / "bad.json").string()),
                    Contains("bad.json: items: expected a list"));
}

TEST_CASE("A schema that says something else is refused by field", "[data][features]") {
  CHECK_THAT(complaint("[1]"), Contains("schema.json: expected a JSON object"));
  CHECK_THAT(complaint(R"({"films": []})"), Contains("field films: no such field; expected items and users"));
  CHECK_THAT(complaint(R"({"items": [], "items": []})"), Contains("items stands there twice"));
  CHECK_THAT(complaint_of_item("7"), Contains("expected a feature"));
  CHECK_THAT(complaint_of_item(R"({"type": "text"})"), Contains("expected a feature with a name"));
  CHECK_THAT(complaint_of_item(R"({"name": "x"})"), Contains("feature \"x\": field type is missing"));
  CHECK_THAT(complaint_of_item(with(R"("type": "genre")")),
             Contains("field type: expected one of category, number, time, text, vector, cross, found \"genre\""));
  CHECK_THAT(complaint_of_item(with(R"("type": "number", "bucket": 8)")),
             Contains("feature \"x\": field bucket: no such field"));
  CHECK_THAT(complaint_of_item(with(R"("type": "category", "buckets": 8)")), Contains("field buckets: no such field"));
  CHECK_THAT(complaint_of_item(with(R"("type": "number", "type": "number")")), Contains("type stands there twice"));
  CHECK_THAT(complaint_of_item(with(R"("type": "number", "buckets": -1)")),
             Contains("field buckets: expected an integer of at least 0, found -1"));
  CHECK_THAT(complaint_of_item(with(R"("type": "number", "clip": "4")")),
             Contains("field clip: expected a number, found \"4\""));
  CHECK_THAT(complaint_of_item(with(R"("type": "time", "periods": ["month"])")),
             Contains("expected one of year, week, day"));
  CHECK_THAT(complaint_of_item(with(R"("type": "text", "words": [1])")),
             Contains("field words: expected [first, last]"));
  CHECK_THAT(complaint_of_item(with(R"("type": "text", "all_lines": 1)")),
             Contains("all_lines: expected true or false"));
  CHECK_THAT(complaint_of_item(with(R"("type": "text", "columns": [1])")), Contains("field columns: expected a name"));
  CHECK_THAT(complaint_of_item(with(R"("type": "vector", "scale": 2)")),
             Contains("expected one of unit, standard, none"));
}

TEST_CASE("Features that do not fit together are refused", "[data][features]") {
  CHECK_THAT(complaint_of_item(with(R"("type": "text"}, {"name": "x", "type": "number")")),
             Contains("feature \"x\": expected every name once"));
  CHECK_THAT(complaint_of_item(with(R"("type": "number", "buckets": 1)")),
             Contains("field buckets: expected 0, or 2 to"));
  CHECK_THAT(complaint_of_item(with(R"("type": "number", "clip": 0)")),
             Contains("field clip: expected a number above 0"));
  CHECK_THAT(complaint_of_item(with(R"("type": "number", "columns": ["a", "b"])")),
             Contains("field columns: expected one column, found 2"));
  CHECK_THAT(complaint_of_item(with(R"("type": "text", "columns": ["a", ""])")),
             Contains("expected names, found an empty one"));
  CHECK_THAT(complaint_of_item(with(R"("type": "text", "dimensions": 0)")),
             Contains("field dimensions: expected 1 to 16777216"));
  CHECK_THAT(complaint_of_item(with(R"("type": "text", "words": [2, 1])")),
             Contains("field words: expected 1 <= first <= last <= 8"));
  CHECK_THAT(complaint_of_item(with(R"("type": "text", "characters": [3, 9])")),
             Contains("field characters: expected 1 <="));
  CHECK_THAT(complaint_of_item(with(R"("type": "text", "words": [], "characters": [])")), Contains("found neither"));
  CHECK_THAT(complaint_of_item(with(R"("type": "category", "separator": "")")), Contains("field separator"));
  CHECK_THAT(complaint_of_item(with(R"("type": "category", "min_count": 0)")),
             Contains("field min_count: expected at least 1"));
  CHECK_THAT(complaint_of_item(with(R"("type": "vector", "ids": "ids.txt")")), Contains("field ids: expected none"));
  CHECK_THAT(complaint_of_item(with(R"("type": "cross", "of": ["x"])")),
             Contains("field of: expected 2 features, found 1"));
  CHECK_THAT(complaint_of_item(with(R"("type": "cross", "of": ["a", "b"])")),
             Contains("field of: expected a feature, found \"a\""));
  CHECK_THAT(complaint_of_item(with(R"("type": "number"}, {"name": "y", "type": "cross", "of": ["x", "x"])")),
             Contains("expected a category or a number in buckets, found \"x\", a number"));
  CHECK_THAT(complaint_of_item(with(R"("type": "cross", "of": ["x", "x"])")), Contains("found \"x\", a cross"));
}

TEST_CASE("Records keep copies of what they were given", "[data][features]") {
  FeatureRecords records(2);
  {
    std::string field = "a title that is not short", text = "some text that is not short";
    std::vector<float> numbers{1, 2, 3};
    records.add(1, {field, text});
    records.add(1, {"poster", numbers});
    field.assign(field.size(), '?');
    text.assign(text.size(), '?');
    numbers.assign(3, 0);
  }
  for (std::size_t row = 0; row < 200; ++row) records.add(row, {"year", 1990 + row});
  CHECK(records.rows() == 200);
  CHECK(records.of(0).size() == 1);
  REQUIRE(records.of(1).size() == 3);
  CHECK(records.of(1)[0].field() == "a title that is not short");
  CHECK(records.of(1)[0].names() == "some text that is not short");
  CHECK(records.of(1)[1].type() == FieldType::vector);
  CHECK(records.of(1)[1].vector()[2] == 3);
  CHECK(records.of(199)[0].number() == 2189);
  CHECK(records.of(200).empty());
  CHECK(FeatureRecords(FeatureRecords(7)).rows() == 7);
}

TEST_CASE("A table gives the blocks of its rows", "[data][features]") {
  FeatureTable table({{10, false}, {2, true}});
  const std::vector<std::uint32_t> columns{3, 9};
  const std::vector<float> values{0.5f, -1.0f}, vector{7, 8};
  table.add_row(std::vector<FeatureBlock>{{columns, values}, {}});
  table.add_row(std::vector<FeatureBlock>{{}, {{}, vector}});
  CHECK(table.rows() == 2);
  CHECK(table.num_features() == 2);
  CHECK(table.shape(0) == FeatureShape{10, false});
  REQUIRE(table.of(0, 0).columns.size() == 2);
  CHECK(table.of(0, 0).columns[1] == 9);
  CHECK(table.of(0, 0).values[1] == -1.0f);
  CHECK(table.of(0, 1).missing());
  CHECK(table.of(1, 0).missing());
  CHECK(table.of(1, 1).columns.empty());
  CHECK(table.of(1, 1).values[1] == 8);
  CHECK(table.of(2, 0).missing());
  CHECK(table.memory_bytes() > 0);
  table.clear();
  CHECK(table.rows() == 0);
  table.add_row(std::vector<FeatureBlock>{{}, {{}, vector}});
  CHECK(table.of(0, 0).missing());
  CHECK(table.of(0, 1).values[0] == 7);
}

TEST_CASE("A table refuses rows that do not fit its shapes", "[data][features]") {
  FeatureTable table({{10, false}, {2, true}});
  const std::vector<std::uint32_t> beyond{3, 10}, twice{3, 3}, good{3, 9};
  const std::vector<float> two{1, 2}, three{1, 2, 3};
  const auto refused = [&](const FeatureBlock& sparse, const FeatureBlock& dense) {
    CHECK_THROWS_AS(table.add_row(std::vector{sparse, dense}), Error);
  };
  refused({beyond, two}, {});
  refused({twice, two}, {});
  refused({good, three}, {});
  refused({{}, two}, {});
  refused({}, {{}, three});
  refused({}, {good, two});
  CHECK_THROWS_AS(table.add_row(std::vector<FeatureBlock>(1)), Error);
  CHECK(table.rows() == 0);
}
