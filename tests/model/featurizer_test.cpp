// SPDX-License-Identifier: Apache-2.0
#include "attune/model/featurizer.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <numeric>
#include <random>

#include "attune/error.hpp"
#include "catch.hpp"

using namespace attune;
using Catch::Matchers::Contains;

namespace {

using Texts = std::vector<std::string>;
using Numbers = std::vector<float>;
using Columns = std::vector<std::uint32_t>;

FeatureSpec make(const std::string& name, FeatureKind kind) {
  FeatureSpec spec;
  spec.name = name;
  spec.kind = kind;
  return spec;
}

// One record per value of one field.
template <class Value>
FeatureRecords records_of(const std::string& field, const std::vector<Value>& values) {
  FeatureRecords records(values.size());
  for (std::size_t row = 0; row < values.size(); ++row) records.add(row, {field, values[row]});
  return records;
}

struct Row {
  FeatureTable table;
  Columns columns(std::size_t f = 0) const { return {table.of(0, f).columns.begin(), table.of(0, f).columns.end()}; }
  Numbers values(std::size_t f = 0) const { return {table.of(0, f).values.begin(), table.of(0, f).values.end()}; }
};

Row row_of(const Featurizer& featurizer, const std::vector<FieldValue>& record) {
  Row row{FeatureTable(featurizer.shapes())};
  featurizer.apply(record, row.table);
  return row;
}

double squared_length(const Numbers& values) {
  return std::inner_product(values.begin(), values.end(), values.begin(), 0.0);
}

std::string complaint(const Featurizer& featurizer, const FieldValue& value) {
  FeatureTable table(featurizer.shapes());
  try {
    featurizer.apply(std::vector{value}, table);
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::invalid_data);
    CHECK(table.rows() == 0);
    return error.what();
  }
  return "";
}

// Every kind of feature, and records that lack some of them.
std::vector<FeatureSpec> every_kind() {
  std::vector<FeatureSpec> features{make("genres", FeatureKind::category), make("year", FeatureKind::number),
                                    make("price", FeatureKind::number),    make("released", FeatureKind::time),
                                    make("title", FeatureKind::text),      make("poster", FeatureKind::vector),
                                    make("sound", FeatureKind::vector),    make("genre_year", FeatureKind::cross)};
  features[1].buckets = 4;
  features[3].periods = {TimePeriod::year, TimePeriod::week, TimePeriod::day};
  features[4].dimensions = 512;
  features[6].scale = VectorScale::standard;
  features[7].of = {"genres", "year"};
  features[7].dimensions = 64;
  return features;
}

FeatureRecords every_record(const std::vector<std::uint32_t>& order) {
  FeatureRecords records(order.size());
  for (std::size_t row = 0; row < order.size(); ++row) {
    std::mt19937 random(order[row]);
    const char* const genres[] = {"Drama", "Drama|War", "Comedy", "", "War|Comedy"};
    const char* const words[] = {"sea", "of", "war", "love", "the", "lost"};
    std::string title;
    for (int i = 0; i < 4; ++i) title += std::string(words[random() % 6]) + " ";
    const Numbers poster{float(random() % 9), float(random() % 9), 1};
    records.add(row, {"genres", genres[random() % 5]});
    if (random() % 4 != 0) records.add(row, {"year", 1950 + random() % 60});
    if (random() % 4 != 0) records.add(row, {"price", 0.25 * double(random() % 100)});
    if (random() % 4 != 0) records.add(row, {"released", 1e12 + 1e9 * double(random() % 300)});
    if (random() % 4 != 0) records.add(row, {"title", title});
    if (random() % 4 != 0) records.add(row, {"poster", poster});
    if (random() % 4 != 0) records.add(row, {"sound", std::span(poster).first(2)});
  }
  return records;
}

std::vector<std::uint32_t> numbered(std::size_t rows) {
  std::vector<std::uint32_t> all(rows);
  std::iota(all.begin(), all.end(), 0u);
  return all;
}

void check_same(const FeatureTable& a, std::size_t row_a, const FeatureTable& b, std::size_t row_b) {
  for (std::size_t f = 0; f < a.num_features(); ++f) {
    const FeatureBlock of_a = a.of(row_a, f), of_b = b.of(row_b, f);
    CHECK(std::ranges::equal(of_a.columns, of_b.columns));
    REQUIRE(of_a.values.size() == of_b.values.size());
    if (!of_a.missing()) CHECK(std::memcmp(of_a.values.data(), of_b.values.data(), of_a.values.size_bytes()) == 0);
  }
}

std::vector<std::byte> bytes_of(const Featurizer& featurizer) {
  SafetensorsWriter writer;
  featurizer.write(writer, "items");
  return writer.bytes();
}

Featurizer featurizer_of(std::vector<std::byte> bytes) {
  return Featurizer::read(SafetensorsFile::parse(std::move(bytes), "features.safetensors"), "items");
}

}  // namespace

TEST_CASE("Categories are sets of known names, of unit length", "[model][features]") {
  const auto featurizer = Featurizer::fit({make("genres", FeatureKind::category)},
                                          records_of("genres", Texts{"War|Drama", "Drama", "", "Comedy"}));
  CHECK(featurizer.num_features() == 1);
  CHECK(featurizer.name(0) == "genres");
  CHECK(featurizer.width(0) == 4);
  CHECK(featurizer.column_name(0, 1) == "genres=Comedy");
  CHECK(featurizer.column_name(0, 3) == "genres=War");
  CHECK(row_of(featurizer, {{"genres", " War | Drama |War"}}).columns() == Columns{2, 3});
  CHECK(row_of(featurizer, {{"genres", "War|Drama"}}).values()[0] == Approx(std::sqrt(0.5)));
  CHECK(row_of(featurizer, {{"genres", ""}}).table.of(0, 0).missing());
  CHECK(row_of(featurizer, {{"genre", "War"}}).table.of(0, 0).missing());
}

TEST_CASE("Names that are unknown, rare or too many share a place", "[model][features]") {
  FeatureSpec spec = make("genres", FeatureKind::category);
  spec.min_count = 2;
  const auto records = records_of("genres", Texts{"War|War", "Drama", "Drama|Noir", "Noir", "Noir", "Comedy|Drama"});
  const auto featurizer = Featurizer::fit({spec}, records);
  CHECK(featurizer.width(0) == 3);
  CHECK(featurizer.column_name(0, 0) == "genres=?");
  CHECK(row_of(featurizer, {{"genres", "War"}}).columns() == Columns{0});
  CHECK(row_of(featurizer, {{"genres", "Opera|War|Noir"}}).columns() == Columns{0, 2});
  spec.max_names = 1;
  const auto one = Featurizer::fit({spec}, records);  // as frequent as Drama, but behind it
  CHECK(one.width(0) == 2);
  CHECK(one.column_name(0, 1) == "genres=Drama");
}

TEST_CASE("A category may have several columns, a separator of its own, and numbers", "[model][features]") {
  FeatureSpec spec = make("people", FeatureKind::category);
  spec.columns = {"directors", "actors"};
  spec.separator = ", ";
  FeatureRecords records(1);
  records.add(0, {"directors", "Lasseter"});
  records.add(0, {"actors", "Hanks, Allen"});
  const auto featurizer = Featurizer::fit({spec}, records);
  CHECK(featurizer.width(0) == 4);
  CHECK(row_of(featurizer, {{"actors", "Hanks"}, {"directors", "Allen"}}).columns() == Columns{1, 2});
  const auto ages = Featurizer::fit({make("age", FeatureKind::category)}, records_of("age", Texts{"25", "1.5"}));
  CHECK(row_of(ages, {{"age", 25}}).columns() == row_of(ages, {{"age", "25"}}).columns());
  CHECK(row_of(ages, {{"age", 1.5}}).columns() == Columns{1});
  CHECK(row_of(ages, {{"age", std::nan("")}}).table.of(0, 0).missing());
}

TEST_CASE("Numbers in buckets have as many records in each", "[model][features]") {
  FeatureSpec spec = make("year", FeatureKind::number);
  spec.buckets = 4;
  std::vector<int> years;
  for (int i = 0; i < 100; ++i) years.push_back(1900 + i);
  const auto featurizer = Featurizer::fit({spec}, records_of("year", years));
  CHECK(featurizer.width(0) == 4);
  CHECK(row_of(featurizer, {{"year", 1924}}).columns() == Columns{0});
  CHECK(row_of(featurizer, {{"year", 1925}}).columns() == Columns{1});
  CHECK(row_of(featurizer, {{"year", " 1925.5 "}}).columns() == Columns{1});
  CHECK(row_of(featurizer, {{"year", -1e300}}).columns() == Columns{0});
  CHECK(row_of(featurizer, {{"year", 2525}}).columns() == Columns{3});
  CHECK(row_of(featurizer, {{"year", 2525}}).values() == Numbers{1});
  CHECK(row_of(featurizer, {{"year", std::nan("")}}).table.of(0, 0).missing());
  CHECK(featurizer.column_name(0, 0) == "year < 1925");
  CHECK(featurizer.column_name(0, 1) == "year in [1925, 1950)");
  CHECK(featurizer.column_name(0, 3) == "year >= 1975");
  const auto same = Featurizer::fit({spec}, records_of("year", std::vector<int>(9, 7)));
  CHECK(same.width(0) == 1);
  CHECK(row_of(same, {{"year", 8}}).columns() == Columns{0});
}

TEST_CASE("Numbers are standardised and clipped", "[model][features]") {
  const auto featurizer =
      Featurizer::fit({make("price", FeatureKind::number)}, records_of("price", std::vector{1.0, 3.0, 5.0}));
  const double deviation = std::sqrt(8.0 / 3);
  const auto value = [&](double price) { return row_of(featurizer, {{"price", price}}).values().at(0); };
  CHECK(featurizer.width(0) == 1);
  CHECK(value(3) == 0);
  CHECK(row_of(featurizer, {{"price", 3}}).columns() == Columns{0});  // zero is not missing
  CHECK(value(4) == Approx(1 / deviation));
  CHECK(value(1e30) == 4);
  CHECK(value(-1e30) == -4);
  CHECK(featurizer.column_name(0, 0) == "price");
  const auto same = Featurizer::fit({make("price", FeatureKind::number)}, records_of("price", std::vector<int>(5, 7)));
  CHECK(row_of(same, {{"price", 7}}).values() == Numbers{0});
  CHECK(row_of(same, {{"price", 9}}).values() == Numbers{2});
}

TEST_CASE("Times go in circles and on", "[model][features]") {
  FeatureSpec spec = make("released", FeatureKind::time);
  spec.periods = {TimePeriod::year, TimePeriod::week, TimePeriod::day};
  const auto featurizer = Featurizer::fit({spec}, records_of("released", Texts{"2000-01-01", "2000-01-03"}));
  CHECK(featurizer.width(0) == 7);
  const auto at = [&](const FieldValue& value) { return row_of(featurizer, {value}).values(); };
  const Numbers noon = at({"released", "2001-07-02T12:00:00Z"});  // a Monday, half way through a year of 365 days
  CHECK(noon[0] == Approx(0).margin(1e-5));
  CHECK(noon[1] == Approx(-1));
  CHECK(noon[2] == Approx(std::sin(2 * 3.14159265358979 / 14)));  // half a day of seven
  CHECK(noon[4] == Approx(0).margin(1e-6));
  CHECK(noon[5] == Approx(-1));
  CHECK(noon[6] == 4);
  CHECK(at({"released", "2000-01-02"})[6] == 0);
  CHECK(at({"released", "1969-12-29"})[3] == Approx(1));  // Monday, before 1970
  CHECK(at({"released", 978'307'200'000}) == at({"released", "978307200"}));
  CHECK(at({"released", "978307200000"}) == at({"released", "2001-01-01T00:00:00"}));
  CHECK(featurizer.column_name(0, 0) == "released: year, sine");
  CHECK(featurizer.column_name(0, 5) == "released: day, cosine");
  CHECK(featurizer.column_name(0, 6) == "released");
  CHECK_THAT(complaint(featurizer, {"released", "yesterday"}), Contains("feature \"released\": expected a time"));
  CHECK_THAT(complaint(featurizer, {"released", 1e15}), Contains("before the year 10000"));
}

TEST_CASE("Texts that share a word share columns", "[model][features]") {
  FeatureSpec spec = make("title", FeatureKind::text);
  const Texts titles{"Jaws", "\u5973\u82F1\u96C4",
                     "\u0627\u0644\u0628\u062D\u0631 \u0627\u0644\u0636\u0627\u0626\u0639", "\U0001F988 attack"};
  const Texts words{"jaws", "\u82F1\u96C4", "\u0627\u0644\u0628\u062D\u0631", "\U0001F988"};
  const auto featurizer = Featurizer::fit({spec}, records_of("title", titles));
  for (std::size_t i = 0; i < titles.size(); ++i) {
    const Row title = row_of(featurizer, {{"title", titles[i]}});
    CHECK(squared_length(title.values()) == Approx(1));
    for (std::size_t j = 0; j < words.size(); ++j) {
      const Columns a = title.columns(), b = row_of(featurizer, {{"title", words[j]}}).columns();
      Columns both;
      std::ranges::set_intersection(a, b, std::back_inserter(both));
      CHECK(both.empty() == (i != j));
    }
  }
  CHECK(row_of(featurizer, {{"title", "\xFF!"}}).table.of(0, 0).missing());
  CHECK(featurizer.column_name(0, 17) == "title: bucket 17");
}

TEST_CASE("Rare words of a text weigh more, repeated ones a little more", "[model][features]") {
  FeatureSpec spec = make("plot", FeatureKind::text);
  spec.columns = {"title", "plot"};
  spec.words = {1, 1};
  spec.characters = {};
  FeatureRecords records(3);
  for (std::size_t row = 0; row < 3; ++row) records.add(row, {"plot", row == 0 ? "the sea" : "the"});
  const auto featurizer = Featurizer::fit({spec}, records);
  const auto weight = [&](const std::string& text, const std::string& of) {
    const Row row = row_of(featurizer, {{"title", text}});
    const std::uint32_t column = row_of(featurizer, {{"plot", of}}).columns().at(0);
    const Columns columns = row.columns();
    return row.values()[static_cast<std::size_t>(std::ranges::find(columns, column) - columns.begin())];
  };
  CHECK(weight("the sea", "sea") / weight("the sea", "the") ==
        Approx((std::log(4.0 / 2) + 1) / (std::log(4.0 / 4) + 1)));
  CHECK(weight("sea sea the", "sea") / weight("sea the", "sea") > 1);
  CHECK(weight("the the war", "the") / weight("the the war", "war") ==
        Approx((1 + std::log(2.0)) / (std::log(4.0) + 1)));
  CHECK(row_of(featurizer, {{"title", "sea"}, {"plot", "the"}}).columns().size() == 2);
}

TEST_CASE("Vectors are scaled as their feature says", "[model][features]") {
  const std::vector<Numbers> vectors{{3, 4}, {5, 0}, {1, 2}};
  FeatureRecords records(4);
  for (std::size_t row = 0; row < 3; ++row) records.add(row, {"poster", vectors[row]});
  FeatureSpec spec = make("poster", FeatureKind::vector);
  const auto unit = Featurizer::fit({spec}, records);
  CHECK(unit.shapes()[0] == FeatureShape{2, true});
  CHECK(row_of(unit, {{"poster", vectors[0]}}).values() == Numbers{0.6f, 0.8f});
  CHECK(row_of(unit, {{"poster", Numbers{0, 0}}}).values() == Numbers{0, 0});
  CHECK(row_of(unit, {}).table.of(0, 0).missing());
  CHECK(unit.column_name(0, 1) == "poster: 1");
  spec.scale = VectorScale::none;
  CHECK(row_of(Featurizer::fit({spec}, records), {{"poster", vectors[0]}}).values() == vectors[0]);
  spec.scale = VectorScale::standard;
  const Numbers standard = row_of(Featurizer::fit({spec}, records), {{"poster", vectors[1]}}).values();
  CHECK(standard[0] == Approx((5 - 3) / std::sqrt(8.0 / 3)));
  CHECK(standard[1] == Approx((0 - 2) / std::sqrt(8.0 / 3)));
  const Numbers wide{1, 2, 3}, bad{1, std::numeric_limits<float>::quiet_NaN()};
  CHECK_THAT(complaint(unit, {"poster", wide}), Contains("feature \"poster\": expected 2 numbers, found 3"));
  CHECK_THAT(complaint(unit, {"poster", bad}),
             Contains("expected finite numbers, found a NaN or infinite one in place 1"));
  CHECK_THAT(complaint(unit, {"poster", 3}), Contains("expected a vector, found a number"));
}

TEST_CASE("Crosses tell pairs apart", "[model][features]") {
  std::vector<FeatureSpec> features{make("genres", FeatureKind::category), make("year", FeatureKind::number),
                                    make("both", FeatureKind::cross)};
  features[1].buckets = 2;
  features[2].of = {"genres", "year"};
  FeatureRecords records(4);
  for (std::size_t row = 0; row < 4; ++row) {
    records.add(row, {"genres", row % 2 == 0 ? "War" : "Drama"});
    records.add(row, {"year", 1990 + row});
  }
  const auto featurizer = Featurizer::fit(features, records);
  const auto pairs = [&](const char* genres, int year) {
    return row_of(featurizer, {{"genres", genres}, {"year", year}}).columns(2);
  };
  CHECK(featurizer.width(2) == 32'768);
  CHECK(pairs("War", 1990).size() == 1);
  CHECK(pairs("War", 1990) == pairs("War", 1980));
  CHECK(pairs("War", 1990) != pairs("War", 2000));
  CHECK(pairs("War", 1990) != pairs("Drama", 1990));
  CHECK(pairs("War|Drama", 1990).size() == 2);
  CHECK(row_of(featurizer, {{"genres", "War|Drama"}, {"year", 1990}}).values(2)[0] == Approx(std::sqrt(0.5)));
  CHECK(row_of(featurizer, {{"genres", "War"}}).table.of(0, 2).missing());
  features[2].dimensions = 1;  // all pairs in one column
  const auto narrow = Featurizer::fit(features, records);
  CHECK(row_of(narrow, {{"genres", "War|Drama"}, {"year", 1990}}).values(2) == Numbers{1});
}

TEST_CASE("A cross of more pairs than a record may have is refused with its name", "[model][features]") {
  std::vector<FeatureSpec> features{make("cast", FeatureKind::category), make("tags", FeatureKind::category),
                                    make("both", FeatureKind::cross)};
  features[2].of = {"cast", "tags"};
  const auto names = [](std::size_t count) {
    std::string all;
    for (std::size_t i = 0; i < count; ++i) all.append("n").append(std::to_string(i)).append("|");
    return all;
  };
  const std::string most = names(256), more = names(257);
  FeatureRecords records(1);
  records.add(0, {"cast", more});
  records.add(0, {"tags", more});
  const auto featurizer = Featurizer::fit(features, records);
  const Row row = row_of(featurizer, {{"cast", most}, {"tags", most}});
  CHECK(row.columns(2).size() > 10'000);
  CHECK(squared_length(row.values(2)) == Approx(1));
  FeatureTable table(featurizer.shapes());
  CHECK_THROWS_WITH(featurizer.apply(std::vector<FieldValue>{{"cast", more}, {"tags", most}}, table),
                    "feature \"both\": expected at most 65536 pairs, found 65792");
  CHECK(table.rows() == 0);
  CHECK_THROWS_WITH(featurizer.table(records), "record 0, feature \"both\": expected at most 65536 pairs, found 66049");
}

TEST_CASE("The order of records does not matter, bit for bit", "[model][features]") {
  const std::vector<std::uint32_t> order = numbered(200);
  std::vector<std::uint32_t> shuffled = order;
  std::shuffle(shuffled.begin(), shuffled.end(), std::mt19937(5));
  const FeatureRecords records = every_record(order), other = every_record(shuffled);
  const auto a = Featurizer::fit(every_kind(), records), b = Featurizer::fit(every_kind(), other);
  CHECK(bytes_of(a) == bytes_of(b));
  const FeatureTable of_a = a.table(records), of_b = b.table(other);
  REQUIRE(of_a.rows() == 200);
  for (std::size_t row = 0; row < 200; ++row) check_same(of_a, shuffled[row], of_b, row);
}

TEST_CASE("A row does not depend on the rows before it", "[model][features]") {
  const FeatureRecords records = every_record(numbered(50));
  const auto featurizer = Featurizer::fit(every_kind(), records);
  const FeatureTable all = featurizer.table(records);
  FeatureTable one(featurizer.shapes());
  for (std::size_t row = 0; row < records.rows(); ++row) {
    one.clear();
    featurizer.apply(records.of(row), one);
    check_same(one, 0, all, row);
  }
}

TEST_CASE("Only the rows that are named are learned from", "[model][features]") {
  const FeatureRecords records = every_record(numbered(60));
  const FeatureRecords half = every_record(numbered(30));
  CHECK(bytes_of(Featurizer::fit(every_kind(), records, numbered(30))) ==
        bytes_of(Featurizer::fit(every_kind(), half)));
  const std::vector<std::uint32_t> beyond{60};
  CHECK_THROWS_WITH(Featurizer::fit(every_kind(), records, beyond), Contains("expected rows below 60, found 60"));
}

TEST_CASE("A feature that nobody has is an error that names it", "[model][features]") {
  FeatureRecords records(3);
  records.add(0, {"year", 1990});
  records.add(1, {"title", " ! "});
  records.add(2, {"genres", "|"});
  for (const auto& spec : every_kind()) {
    if (spec.name == "year" || spec.kind == FeatureKind::cross) continue;
    CHECK_THROWS_WITH(Featurizer::fit({spec}, records),
                      "feature \"" + spec.name + "\": expected a value in at least one of 3 records, found none");
  }
  CHECK_THROWS_AS(Featurizer::fit(every_kind(), FeatureRecords()), Error);
  CHECK(Featurizer::fit({}, records).num_features() == 0);
  CHECK(Featurizer().table(records).rows() == 3);
}

TEST_CASE("Values that are none of their feature's are refused with the record", "[model][features]") {
  const auto refused = [](const FeatureSpec& spec, const FeatureRecords& records) -> std::string {
    try {
      Featurizer::fit({spec}, records);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  };
  const FeatureSpec year = make("year", FeatureKind::number), title = make("title", FeatureKind::text);
  CHECK(refused(year, records_of("year", Texts{"1990", "MCM"})) ==
        "record 1, feature \"year\": expected a finite number, found \"MCM\"");
  CHECK_THAT(refused(year, records_of("year", Texts{"nan"})), Contains("found \"nan\""));
  CHECK_THAT(refused(year, records_of("year", Texts{"inf"})), Contains("found \"inf\""));
  CHECK_THAT(refused(year, records_of("year", std::vector{1.0, std::numeric_limits<double>::infinity()})),
             Contains("record 1, feature \"year\": expected a finite number, found an infinite one"));
  CHECK_THAT(refused(title, records_of("title", std::vector{1.0})), Contains("expected text, found a number"));
  FeatureRecords vectors(2);
  vectors.add(0, {"poster", Numbers{1, 2}});
  vectors.add(1, {"poster", Numbers{1, 2, 3}});
  CHECK(refused(make("poster", FeatureKind::vector), vectors) ==
        "record 1, feature \"poster\": expected 2 numbers, found 3");
  CHECK_THAT(refused(make("title", FeatureKind::vector), records_of("title", Texts{"abc"})),
             Contains("expected a vector, found text"));
  FeatureSpec crossed = make("both", FeatureKind::cross);
  CHECK_THAT(refused(crossed, vectors), Contains("field of: expected 2 features, found 0"));
}

TEST_CASE("A row that is refused leaves the table as it was", "[model][features]") {
  const FeatureRecords records = every_record(numbered(20));
  const auto featurizer = Featurizer::fit(every_kind(), records);
  FeatureTable table = featurizer.table(records);
  const Numbers wide{1, 2, 3, 4};
  CHECK_THROWS_AS(featurizer.apply(std::vector<FieldValue>{{"genres", "War"}, {"sound", wide}}, table), Error);
  CHECK(table.rows() == 20);
  featurizer.apply(records.of(3), table);
  check_same(table, 20, table, 3);
}

TEST_CASE("A featurizer comes back from a file as it was", "[model][features]") {
  const FeatureRecords records = every_record(numbered(80));
  const auto featurizer = Featurizer::fit(every_kind(), records);
  const auto bytes = bytes_of(featurizer);
  const auto again = featurizer_of(bytes);
  CHECK(bytes_of(again) == bytes);
  CHECK(again.features() == featurizer.features());
  CHECK(again.shapes() == featurizer.shapes());
  CHECK(again.column_name(1, 1) == featurizer.column_name(1, 1));
  const FeatureTable before = featurizer.table(records), after = again.table(records);
  for (std::size_t row = 0; row < records.rows(); ++row) check_same(before, row, after, row);
  CHECK(featurizer_of(bytes_of(Featurizer())).num_features() == 0);
}

TEST_CASE("A featurizer may share a file with others", "[model][features]") {
  const auto items = Featurizer::fit({make("genres", FeatureKind::category)}, records_of("genres", Texts{"War"}));
  const auto users = Featurizer::fit({make("age", FeatureKind::number)}, records_of("age", std::vector{25}));
  SafetensorsWriter writer;
  items.write(writer, "items");
  users.write(writer, "users");
  const Numbers weights{1, 2};
  writer.add("weights", {2}, std::span(weights));
  const auto file = SafetensorsFile::parse(writer.bytes(), "model");
  CHECK(Featurizer::read(file, "items").name(0) == "genres");
  CHECK(Featurizer::read(file, "users").name(0) == "age");
  CHECK_THROWS_WITH(Featurizer::read(file, "films"), Contains("films.features"));
}

TEST_CASE("A category of rare names alone has its one place, also in a file", "[model][features]") {
  FeatureSpec spec = make("genres", FeatureKind::category);
  spec.min_count = 9;
  const auto featurizer = Featurizer::fit({spec}, records_of("genres", Texts{"War"}));
  CHECK(featurizer_of(bytes_of(featurizer)).width(0) == 1);
}

TEST_CASE("The names of files do not get into a model", "[model][features]") {
  FeatureSpec spec = make("poster", FeatureKind::vector);
  spec.file = "secret/posters.npy";
  spec.ids = "secret/ids.txt";
  FeatureRecords records(1);
  records.add(0, {"poster", Numbers{1}});
  const auto bytes = bytes_of(Featurizer::fit({spec}, records));
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  CHECK(text.find("secret") == std::string_view::npos);
}
