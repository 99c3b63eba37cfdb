// SPDX-License-Identifier: Apache-2.0
// The data sets under ATTUNE_DATA_DIR and those of the repository, against the counts that were published with them.
#include <cstdlib>
#include <filesystem>

#include "attune/data/reader.hpp"
#include "attune/data/split.hpp"
#include "catch.hpp"

using namespace attune;

namespace {

struct Published {
  const char* file;
  std::size_t rows, users, items;
  const char* time_unit;
  Timestamp first, last;  // in that unit
};

void require_as_published(const std::filesystem::path& folder, const Published& expected) {
  INFO(expected.file);
  LoadReport report;
  const InteractionLog log = read_interactions(folder / expected.file, {}, &report);
  REQUIRE(report.interactions == expected.rows);
  REQUIRE(report.lines == expected.rows + 1);
  REQUIRE(report.dropped.empty());
  REQUIRE(report.users == expected.users);
  REQUIRE(report.items == expected.items);
  REQUIRE(report.time_unit == expected.time_unit);
  if (report.time_unit == "position") return;
  const Timestamp scale = report.time_unit == "seconds" ? 1000 : 1;
  REQUIRE(report.first_time == expected.first * scale);
  REQUIRE(report.last_time == expected.last * scale);
}

constexpr Published kBundled[] = {
    {"movietweetings-10core.interactions.csv.xz", 44'613, 2'059, 1'099, "seconds", 1'362'063'653, 1'378'067'256},
    {"online-retail-core.interactions.csv.xz", 269'320, 1'916, 1'358, "seconds", 1'291'191'960, 1'323'435'000}};

constexpr Published kMeasured[] = {
    {"ml-1m.interactions.csv.xz", 1'000'209, 6'040, 3'706, "seconds", 956'703'932, 1'046'454'590},
    {"ml-100k.interactions.csv.xz", 100'000, 943, 1'682, "seconds", 874'724'710, 893'286'638},
    {"movietweetings-100k.interactions.csv.xz", 100'000, 16'554, 10'506, "seconds", 1'362'062'307, 1'378'067'265},
    {"online-retail.interactions.csv.xz", 406'829, 4'372, 3'684, "seconds", 1'291'191'960, 1'323'435'000},
    {"amazon-beauty.interactions.csv.xz", 198'502, 22'363, 12'101, "position", 0, 0},
    {"amazon-instruments.interactions.csv.xz", 10'261, 1'429, 900, "seconds", 1'095'465'600, 1'405'987'200},
    {"amazon-electronics-newusers.interactions.csv.xz", 41'357, 8'845, 9'374, "seconds", 1'388'620'800, 1'406'073'600},
    {"retailrocket-sessions.interactions.csv.xz", 685'984, 126'168, 36'968, "position", 0, 0},
    {"taobao-sample.events.csv.xz", 10'000, 114, 7'623, "seconds", 1'511'513'157, 1'512'316'768},
    {"yoochoose-sample.events.csv.xz", 7'954, 279, 1'686, "milliseconds", 1'411'956'907'366, 1'412'044'780'514},
    {"bundle/otto-sample.events.csv.xz", 862, 20, 510, "milliseconds", 1'659'304'800'025, 1'661'723'997'885}};

}  // namespace

TEST_CASE("The bundled data load with the published counts", "[data][interaction_loader]") {
  for (const Published& expected : kBundled) require_as_published(ATTUNE_SOURCE_DIR "/data", expected);
}

TEST_CASE("Large data sets load with the published counts", "[data][interaction_loader]") {
  const char* const folder = std::getenv("ATTUNE_DATA_DIR");
  if (folder == nullptr || *folder == '\0') {
    WARN("skipped: ATTUNE_DATA_DIR is not set");
    return;
  }
  for (const Published& expected : kMeasured) require_as_published(folder, expected);
}
