// SPDX-License-Identifier: Apache-2.0
#include <cstdlib>
#include <filesystem>

#include "attune/error.hpp"
#include "attune/model/featurizer.hpp"
#include "catch.hpp"
#include "temporary_directory.hpp"

using namespace attune;
using namespace attune::test;
using Catch::Matchers::Contains;

namespace {

using Numbers = std::vector<float>;

// Files in a folder, and what is read of them for the items a, b, c.
class Files {
 public:
  explicit Files(const std::string& items) { write("items.csv", items); }
  void write(const std::string& name, const std::string& text) const { write_text(directory_ / name, text); }
  void write(const std::string& name, const SafetensorsWriter& writer) const {
    write_bytes(directory_ / name, writer.bytes());
  }

  FeatureRecords read(const std::string& features, FeatureReport* report = nullptr,
                      BadValue bad_value = BadValue::error) const {
    write("schema.json", R"({"items": [)" + features + "]}");
    const FeatureSchema schema = FeatureSchema::load((directory_ / "schema.json").string());
    IdMap ids(kind);
    for (const Id& id : known) ids.insert(id);
    DelimitedReader reader((directory_ / "items.csv").string());
    return read_feature_records(reader, schema.items, ids, {.bad_value = bad_value}, report);
  }
  std::string complaint(const std::string& features) const {
    try {
      read(features);
    } catch (const Error& error) {
      return error.what();
    }
    return "";
  }

  IdKind kind = IdKind::string;
  std::vector<Id> known{"a", "b", "c"};

 private:
  TemporaryDirectory directory_;
};

std::string text_of(const FeatureRecords& records, std::size_t row, std::string_view field) {
  for (const FieldValue& value : records.of(row)) {
    if (value.field() == field) return std::string(value.names());
  }
  return "-";
}
Numbers vector_of(const FeatureRecords& records, std::size_t row, std::string_view field) {
  for (const FieldValue& value : records.of(row)) {
    if (value.field() == field) return {value.vector().begin(), value.vector().end()};
  }
  return {};
}

const std::string kGenres = R"({"name": "genres", "type": "category"})",
                  kYear = R"({"name": "year", "type": "number"})",
                  kPoster = R"({"name": "poster", "type": "vector", "columns": "f0..f1"})";

}  // namespace

TEST_CASE("Records are read into the rows of the ids", "[model][features]") {
  const Files files("genres,year,item,other\nWar|Drama,1990,c,1\n,,x,2\nDrama, ,a,3\nComedy,1970,a,4\n");
  FeatureReport report;
  const FeatureRecords records = files.read(kGenres + "," + kYear, &report);
  CHECK(records.rows() == 3);
  CHECK(text_of(records, 0, "genres") == "Drama");  // where it stands first
  CHECK(text_of(records, 0, "year") == "-");
  CHECK(records.of(1).empty());
  CHECK(text_of(records, 2, "genres") == "War|Drama");
  CHECK(text_of(records, 2, "year") == "1990");
  CHECK(text_of(records, 2, "other") == "-");
  CHECK(report.records == 4);
  CHECK(report.matched == 2);
  REQUIRE(report.features.size() == 2);
  CHECK(report.features[0].name == "genres");
  CHECK(report.features[0].missing == 1);
  CHECK(report.features[1].missing == 2);
  CHECK(report.features[1].bad == 0);
}

TEST_CASE("Ids that are numbers are read as numbers", "[model][features]") {
  Files files("item,genres\n07,War\nseven,Drama\n");
  files.kind = IdKind::int64;
  files.known = {7};
  CHECK(text_of(files.read(kGenres), 0, "genres") == "War");
}

TEST_CASE("Vectors are read from columns, or a field with several numbers", "[model][features]") {
  const Files files("item,f1,f0,list\na,2,1,1|2.5|-3\nb,,,\nc,4,3e1,4|5|6\n");
  FeatureReport report;
  const FeatureRecords records =
      files.read(kPoster + R"(, {"name": "sound", "type": "vector", "columns": "list"})", &report);
  CHECK(vector_of(records, 0, "poster") == Numbers{1, 2});
  CHECK(vector_of(records, 2, "poster") == Numbers{30, 4});
  CHECK(records.of(1).empty());
  CHECK(vector_of(records, 0, "sound") == Numbers{1, 2.5f, -3});
  CHECK(report.features[0].missing == 1);
}

TEST_CASE("A feature may come from a file of its own", "[model][features]") {
  const Files files("item,genres\na,War\n");
  files.write("plots.csv", "item,plot\nb,The sea.\na,The war.\n");
  FeatureReport report;
  const FeatureRecords records = files.read(kGenres + R"(, {"name": "plot", "type": "text", "file": "plots.csv"},
                   {"name": "both", "type": "cross", "of": ["genres", "genres"]})",
                                            &report);
  CHECK(text_of(records, 0, "genres") == "War");
  CHECK(text_of(records, 0, "plot") == "The war.");
  CHECK(text_of(records, 1, "plot") == "The sea.");
  CHECK(report.records == 1);
  CHECK(report.features[1].missing == 1);
  CHECK(report.features[2].missing == 2);
}

TEST_CASE("Everything that a file says of an id may count", "[model][features]") {
  const Files files("item\na\n");
  files.write("reviews.csv", "user,item,review,stars\nu,a,Great sea,5\nu,b,Dull,1\nv,a,Great fish,4\n");
  const std::string reviews =
      R"({"name": "reviews", "type": "text", "file": "reviews.csv", "columns": "review", "all_lines": true})";
  const FeatureRecords records =
      files.read(reviews + R"(, {"name": "stars", "type": "category", "file": "reviews.csv"})");
  CHECK(records.of(0).size() == 3);
  CHECK(text_of(records, 0, "stars") == "5");
  FeatureSpec spec = FeatureSchema::parse(R"({"items": [)" + reviews + "]}", "schema").items[0];
  CHECK(spec.all_lines);
  spec.words = {1, 1};
  spec.characters = {};
  const auto featurizer = Featurizer::fit({spec}, records);
  CHECK(featurizer.table(records).of(0, 0).columns.size() == 3);  // great, sea, fish
  CHECK_THAT(
      files.complaint(reviews + R"(, {"name": "again", "type": "text", "file": "reviews.csv", "columns": "review"})"),
      Contains("feature \"again\": field all_lines: expected the same"));
}

TEST_CASE("Vectors of a file of tensors go to the ids of its list", "[model][features]") {
  const Files files("item\na\n");
  const Numbers numbers{1, 2, 3, 4, 5, 6};
  SafetensorsWriter writer;
  writer.add("posters", {3, 2}, std::span(numbers));
  files.write("v.safetensors", writer);
  files.write("ids.txt", "c\r\nunknown\r\na\r\n");
  const std::string feature = R"({"name": "poster", "type": "vector", "file": "v.safetensors", "ids": "ids.txt"})";
  const FeatureRecords records = files.read(feature);
  CHECK(vector_of(records, 0, "poster") == Numbers{5, 6});
  CHECK(vector_of(records, 2, "poster") == Numbers{1, 2});
  CHECK(records.of(1).empty());
  files.write("ids.txt", "c\nunknown\na");
  CHECK(vector_of(files.read(feature), 0, "poster") == Numbers{5, 6});
  files.write("ids.txt", "c\na\n");
  CHECK_THAT(files.complaint(feature), Contains("ids.txt: expected 3 lines") && Contains("found 2"));
  CHECK_THAT(files.complaint(R"({"name": "poster", "type": "vector", "file": "v.safetensors"})"),
             Contains("feature \"poster\": field ids: expected the file with the id of each row"));
  CHECK_THAT(files.complaint(R"({"name": "poster", "type": "vector", "file": "items.csv", "ids": "ids.txt"})"),
             Contains("items.csv: expected .npy or safetensors, found neither"));
  CHECK_THAT(files.complaint(R"({"name": "poster", "type": "vector", "file": "none.npy", "ids": "ids.txt"})"),
             Contains("none.npy"));
}

TEST_CASE("A schema that does not fit the file is refused", "[model][features]") {
  const Files files("item,genres,f0\na,War,1\nb\n");
  CHECK_THAT(files.complaint(kYear), Contains("items.csv: expected a column 'year', found none"));
  CHECK_THAT(files.complaint(kPoster), Contains("expected a column 'f1', found none"));
  CHECK_THAT(files.complaint(kGenres), Contains("items.csv:3: expected 3 fields, found 1"));
  CHECK_THAT(Files("id,genres\na,War\n").complaint(kGenres), Contains("expected a column 'item', found none"));
}

TEST_CASE("A bad value is an error with file, line and feature", "[model][features]") {
  const auto complaint = [](const std::string& line, const std::string& feature) {
    return Files("item,year,f0,f1,released\na,1,1,1,2000-01-01\n" + line + "\n").complaint(feature);
  };
  CHECK_THAT(complaint("b,nan,1,1,", kYear),
             Contains("items.csv:3: feature \"year\": expected a finite number, found \"nan\""));
  CHECK_THAT(complaint("b,inf,1,1,", kYear), Contains("found \"inf\""));
  CHECK_THAT(complaint("b,MCM,1,1,", kYear), Contains("found \"MCM\""));
  CHECK_THAT(complaint("b,1,1,1,soon", R"({"name": "released", "type": "time"})"),
             Contains("items.csv:3: feature \"released\": expected a time"));
  CHECK_THAT(complaint("b,1,1,x,", kPoster),
             Contains("items.csv:3: feature \"poster\": expected numbers, found \"x\""));
  CHECK_THAT(complaint("b,1,1,,", kPoster),
             Contains("items.csv:3: feature \"poster\": expected a number in each of 2 columns, found 1 empty ones"));
  CHECK_THAT(complaint("b,1,1,1|2,", kPoster),
             Contains("items.csv:3: feature \"poster\": expected 2 numbers, found 3"));
  CHECK_THAT(complaint("b,1,nan,1,", kPoster),
             Contains("expected finite numbers, found a NaN or infinite one in place 0"));
  CHECK(complaint("x,MCM,1,1,", kYear).empty());  // of nobody that we know
}

TEST_CASE("Bad values may be counted and left out", "[model][features]") {
  const Files files("item,year,f0,f1\na,1990,1,1\nb,MCM,1,\nc,inf,1,2\n");
  FeatureReport report;
  const FeatureRecords records = files.read(kYear + "," + kPoster, &report, BadValue::skip);
  CHECK(report.features[0].bad == 2);
  CHECK(report.features[0].missing == 2);
  CHECK(report.features[1].bad == 1);
  CHECK(text_of(records, 1, "year") == "-");
  CHECK(vector_of(records, 2, "poster") == Numbers{1, 2});
}

TEST_CASE("A picture in place of a file of features is refused", "[model][features]") {
  const Files files("item\na\n");
  files.write("poster.png", "\x89PNG\r\n\x1A\n rest");
  files.write("ids.txt", "a\n");
  CHECK_THAT(files.complaint(R"({"name": "poster", "type": "vector", "file": "poster.png", "ids": "ids.txt"})"),
             Contains("poster.png: expected numbers") && Contains("found a picture"));
  CHECK_THAT(files.complaint(R"({"name": "poster", "type": "vector", "file": "poster.png"})"),
             Contains("found a picture"));
}

TEST_CASE("Films of MovieLens-1M get text, posters, genres and years", "[model][features]") {
  const char* const folder = std::getenv("ATTUNE_DATA_DIR");
  const std::filesystem::path data = folder == nullptr ? "" : folder;
  if (!std::filesystem::exists(data / "ml-1m.item_text.csv.xz")) {
    WARN("skipped: ATTUNE_DATA_DIR does not name a folder with MovieLens-1M");
    return;
  }
  std::vector<FeatureSpec> features = FeatureSchema::parse(R"({"items": [
      {"name": "genres", "type": "category", "separator": ", "}, {"name": "year", "type": "number", "buckets": 8},
      {"name": "plot", "type": "text", "columns": ["title", "plot"]},
      {"name": "poster", "type": "vector", "columns": "f0..f63"}]})",
                                                           "schema")
                                          .items;
  features[3].file = (data / "ml-1m.image_features.csv.xz").string();
  DelimitedReader items((data / "ml-1m.items.csv.xz").string());
  IdMap ids;
  std::vector<std::string_view> fields;
  while (items.next(fields)) ids.insert(fields[0]);
  DelimitedReader reader((data / "ml-1m.item_text.csv.xz").string());
  FeatureReport report;
  const FeatureRecords records = read_feature_records(reader, features, ids, {}, &report);
  CHECK(report.records == 3'881);
  CHECK(report.matched == 3'881);
  CHECK(report.features[3].missing == 3'883 - 3'256);
  const auto featurizer = Featurizer::fit(features, records);
  const FeatureTable table = featurizer.table(records);
  CHECK(table.rows() == 3'883);
  CHECK(table.shape(3).width == 64);
  CHECK(featurizer.width(1) == 8);
}
