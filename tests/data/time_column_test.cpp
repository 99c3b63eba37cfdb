// SPDX-License-Identifier: Apache-2.0
#include "data/time_column.hpp"

#include "attune/data/reader.hpp"
#include "attune/error.hpp"
#include "catch.hpp"
#include "data/reading.hpp"

using namespace attune;
using attune::test::failure_of;
using detail::TimeColumn;

namespace {

struct Parsed {
  std::vector<Timestamp> times;
  std::string unit;
};

Parsed parse(TimeColumn::Kind kind, const std::vector<std::string>& texts) {
  TimeColumn column(kind);
  Parsed parsed;
  for (const std::string& text : texts) parsed.times.push_back(column.parse(text, parsed.times.size() + 2));
  column.finish(parsed.times, "file.csv");
  parsed.unit = column.unit();
  return parsed;
}

Parsed parse(const std::vector<std::string>& texts) { return parse(TimeColumn::Kind::timestamp, texts); }

using Times = std::vector<Timestamp>;

}  // namespace

TEST_CASE("ISO-8601 text is read with fraction and offset", "[data][time_column]") {
  REQUIRE(parse_iso8601("1970-01-01") == 0);
  REQUIRE(parse_iso8601("2024-05-01") == 1'714'521'600'000);
  REQUIRE(parse_iso8601("2024-05-01T12:30:00Z") == 1'714'566'600'000);
  REQUIRE(parse_iso8601("2024-05-01 12:30") == 1'714'566'600'000);
  REQUIRE(parse_iso8601("2024-05-01t12:30:15.5z") == 1'714'566'615'500);
  REQUIRE(parse_iso8601("2024-05-01T12:30:15,123987") == 1'714'566'615'123);
  REQUIRE(parse_iso8601("2024-05-01T12:30:00+02:00") == 1'714'559'400'000);
  REQUIRE(parse_iso8601("2024-05-01T12:30:00-0530") == 1'714'586'400'000);
  REQUIRE(parse_iso8601("2024-05-01T12:30:00.25+02") == 1'714'559'400'250);
  REQUIRE(parse_iso8601("1969-12-31T23:59:59.750Z") == -250);
  REQUIRE(parse_iso8601("2024-02-29") == 1'709'164'800'000);
  REQUIRE(parse_iso8601("0001-01-01") == -62'135'596'800'000);
}

TEST_CASE("What is not an ISO-8601 time is none", "[data][time_column]") {
  for (const char* text : {"",
                           "2024",
                           "2024-5-1",
                           "2024-13-01",
                           "2024-00-01",
                           "2024-02-30",
                           "2023-02-29",
                           "20240501",
                           "2024-05-01T",
                           "2024-05-01T24:00",
                           "2024-05-01T12:60",
                           "2024-05-01T12:30:61",
                           "2024-05-01T12:30:00.",
                           "2024-05-01T12:30:00X",
                           "2024-05-01T12:30:00+24:00",
                           "2024-05-01T12:30:00+",
                           "2024-05-01T12:30:00Z ",
                           "x2024-05-01",
                           "-024-05-01",
                           "2024/05/01",
                           "2024-05-01T12:30:00+02:0",
                           "1714566600"}) {
    INFO(text);
    REQUIRE(parse_iso8601(text) == kNoTime);
  }
}

TEST_CASE("Single numbers are told apart by magnitude", "[data][time_column]") {
  REQUIRE(from_seconds_or_milliseconds(1'700'000'000) == 1'700'000'000'000);
  REQUIRE(from_seconds_or_milliseconds(1'700'000'000'000) == 1'700'000'000'000);
  REQUIRE(from_seconds_or_milliseconds(99'999'999'999) == 99'999'999'999'000);
  REQUIRE(from_seconds_or_milliseconds(100'000'000'000) == 100'000'000'000);
  REQUIRE(from_seconds_or_milliseconds(-5) == -5000);
  REQUIRE(from_seconds_or_milliseconds(0) == 0);
  REQUIRE(from_seconds_or_milliseconds(kNoTime) == kNoTime);
}

TEST_CASE("A column of numbers has one unit", "[data][time_column]") {
  const Parsed seconds = parse({"1700000000", "0", "-5", "956703932"});
  REQUIRE(seconds.unit == "seconds");
  REQUIRE(seconds.times == Times{1'700'000'000'000, 0, -5'000, 956'703'932'000});
  const Parsed milliseconds = parse({"0", "1700000000123", "-5", "7"});
  REQUIRE(milliseconds.unit == "milliseconds");
  REQUIRE(milliseconds.times == Times{0, 1'700'000'000'123, -5, 7});
  REQUIRE(parse({"99999999999"}).unit == "seconds");
  REQUIRE(parse({"100000000000"}).unit == "milliseconds");
}

TEST_CASE("Seconds among milliseconds are an error that names both lines", "[data][time_column]") {
  const auto failure = failure_of([] { parse({"5", "1700000000123", "1700000001"}); });
  REQUIRE(failure.code == ErrorCode::invalid_data);
  REQUIRE(failure.says("file.csv: column 'timestamp'"));
  REQUIRE(failure.says("seconds (first in line 4)"));
  REQUIRE(failure.says("milliseconds (first in line 3)"));
  const Parsed named = parse(TimeColumn::Kind::timestamp_ms, {"5", "1700000000123", "1700000001"});
  REQUIRE(named.times == Times{5, 1'700'000'000'123, 1'700'000'001});
}

TEST_CASE("Fractions count as far as milliseconds go", "[data][time_column]") {
  REQUIRE(parse({"1362063653.0", "1362063653.25", "1362063653.1239", "-1.5"}).times ==
          Times{1'362'063'653'000, 1'362'063'653'250, 1'362'063'653'123, -1'500});
  REQUIRE(parse({"1700000000123.0", "1700000000123.9", "-1.5"}).times ==
          Times{1'700'000'000'123, 1'700'000'000'123, -2});
}

TEST_CASE("Numbers with an exponent are times, and whole numbers with a fraction positions", "[data][time_column]") {
  REQUIRE(parse({"1.7e9", "8.81250949E8", "1.3620636532500e+09", "-15e-1", "5e2"}).times ==
          Times{1'700'000'000'000, 881'250'949'000, 1'362'063'653'250, -1'500, 500'000});
  REQUIRE(parse({"1.700000000123e12", "1e3"}).times == Times{1'700'000'000'123, 1'000});
  REQUIRE(parse({"1.7e12", "1.7e12"}).unit == "milliseconds");
  REQUIRE(parse(TimeColumn::Kind::position, {"1.0", "2e0", "-3.", "9007199254740992.0", "1e3"}).times ==
          Times{1, 2, -3, 9'007'199'254'740'992, 1'000});
}

TEST_CASE("Steps of one second or millisecond keep their order", "[data][time_column]") {
  std::vector<std::string> seconds, milliseconds;
  for (std::int64_t i = 0; i <= 200; ++i) {
    seconds.push_back(std::to_string(1'700'000'000 + i));
    milliseconds.push_back(std::to_string(1'700'000'000'000 + i));
  }
  const Parsed a = parse(seconds), b = parse(milliseconds);
  for (std::int64_t i = 0; i <= 200; ++i) {
    REQUIRE(a.times[static_cast<std::size_t>(i)] == 1'700'000'000'000 + 1'000 * i);
    REQUIRE(b.times[static_cast<std::size_t>(i)] == 1'700'000'000'000 + i);
  }
}

TEST_CASE("What is not a time is none, whatever its column", "[data][time_column]") {
  for (const char* text : {"",
                           "-",
                           "NaN",
                           "1e14",
                           "1e999",
                           "e9",
                           "1e",
                           "1.7e+09x",
                           "1.7e+ 9",
                           "--5e3",
                           "0x10",
                           "12.",
                           ".5",
                           "1 2",
                           "+5",
                           "--5",
                           "100000000000000",
                           "9223372036854775807",
                           "99999999999999999999",
                           "1700000000,5",
                           "inf"}) {
    INFO(text);
    for (const auto kind : {TimeColumn::Kind::timestamp, TimeColumn::Kind::timestamp_ms}) {
      TimeColumn column(kind);
      REQUIRE(column.parse(text, 1) == kNoTime);
    }
  }
  TimeColumn position(TimeColumn::Kind::position);
  for (const char* text : {"", "-", "1.5", "9223372036854775808", "x", "1e-1", "1e17", "inf", "nan", "1.0x"}) {
    INFO(text);
    REQUIRE(position.parse(text, 1) == kNoTime);
  }
  REQUIRE(position.parse("9223372036854775807", 1) == 9'223'372'036'854'775'807);
  REQUIRE(position.parse(" -3 ", 1) == -3);
}

TEST_CASE("Numbers and ISO-8601 do not mix in one column", "[data][time_column]") {
  TimeColumn numbers(TimeColumn::Kind::timestamp), dates(TimeColumn::Kind::timestamp);
  REQUIRE(numbers.parse("1700000000", 1) != kNoTime);
  REQUIRE(numbers.parse("2024-05-01", 2) == kNoTime);
  REQUIRE(dates.parse("2024-05-01", 1) != kNoTime);
  REQUIRE(dates.parse("1700000000", 2) == kNoTime);
  REQUIRE(std::string(dates.unit()) == "iso-8601");
  REQUIRE(std::string(dates.expected()).find("ISO-8601") != std::string::npos);
  TimeColumn named(TimeColumn::Kind::timestamp_ms);
  REQUIRE(named.parse("2024-05-01", 1) == kNoTime);
}
