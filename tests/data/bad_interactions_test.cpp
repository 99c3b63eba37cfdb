// SPDX-License-Identifier: Apache-2.0
#include "attune/data/reader.hpp"
#include "attune/error.hpp"
#include "catch.hpp"
#include "data/compression.hpp"
#include "data/reading.hpp"

using namespace attune;
using namespace attune::test;

namespace {

ReadOptions with_columns(std::vector<std::string> columns, std::string separator = "") {
  ReadOptions options;
  options.columns = std::move(columns);
  options.separator = std::move(separator);
  return options;
}

ReadOptions skipping() {
  ReadOptions options;
  options.bad_value = BadValue::skip;
  return options;
}

void require_bad_line(const std::string& text, const std::string& message, const ReadOptions& options = {}) {
  const Failure failure = failure_of_loading(text, options);
  INFO(failure.message);
  REQUIRE(failure.code == ErrorCode::invalid_data);
  REQUIRE(failure.message.ends_with("events.csv" + message));
}

}  // namespace

TEST_CASE("A missing column is named beside those that are there", "[data][interaction_loader]") {
  const Failure no_user = failure_of_loading("uid,item,rating\n1,2,3\n");
  REQUIRE(no_user.code == ErrorCode::invalid_data);
  REQUIRE(no_user.says("events.csv: missing column 'user' (or 'session'); found columns: uid, item, rating"));
  REQUIRE(no_user.says("--columns"));
  REQUIRE(failure_of_loading("user,product\n1,2\n").says("missing column 'item'; found columns: user, product"));
  REQUIRE(failure_of_loading("a,b\n1,2\n").says("missing column 'user' (or 'session') and 'item'"));
  REQUIRE(failure_of_loading("1,2\n1,3\n", with_columns({"user", "product"})).says("missing column 'item'"));
}

TEST_CASE("A line of data in place of a header is not shown", "[data][interaction_loader]") {
  const Failure numbers = failure_of_loading("4711,1193,5\n1,2,3\n");
  REQUIRE(numbers.says("found 3 columns, none of a known name"));
  REQUIRE_FALSE(numbers.says("4711"));
  const Failure texts = failure_of_loading("anna@example.org,B00X,five\nb,c,d\n");
  REQUIRE(texts.says("found 3 columns, none of a known name"));
  REQUIRE_FALSE(texts.says("anna"));
}

TEST_CASE("A wrong separator shows in the columns that are found", "[data][interaction_loader]") {
  const Failure failure = failure_of_loading("user;item\n1;2\n", with_columns({}, ","));
  REQUIRE(failure.code == ErrorCode::invalid_data);
  REQUIRE(failure.says("found 1 column, none of a known name"));
  REQUIRE(failure.says("not separated by ',', name the separator"));
  require_bad_line("1;2\n", ":1: expected 2 fields, found 1", with_columns({"user", "item"}, ","));
}

TEST_CASE("A column that is there twice is an error", "[data][interaction_loader]") {
  REQUIRE(failure_of_loading("user,item,User\n1,2,3\n").says("expected one column 'user', found two"));
}

TEST_CASE("Files without events are an error", "[data][interaction_loader]") {
  REQUIRE(failure_of_loading("").says("empty file"));
  REQUIRE(failure_of_loading("user,item\n").says("expected interactions, found none in 0 records"));
  REQUIRE(
      failure_of_loading("user,item\nu\nv\n", skipping()).says("none in 2 records; first dropped in line 2: too few"));
  REQUIRE(failure_of_loading("user,item\n").code == ErrorCode::invalid_data);
}

TEST_CASE("Lines with too few or too many fields are named by number", "[data][interaction_loader]") {
  require_bad_line("user,item,rating\nu,a,1\n\nu,b\n", ":4: expected 3 fields, found 2");
  require_bad_line("user,item\nu,a,1\n", ":2: expected 2 fields, found 3");
  require_bad_line("user,item\nu,\"a\"b\n", ":2: expected a separator behind a closing quote, found other text");
}

TEST_CASE("A bad number is named by line, column and text (UR-41)", "[data][interaction_loader]") {
  for (const std::string text : {"-", "abc", "1,5", "nan", "inf", "-inf", "1e99", "0x1p3", "1 2", "5stars"}) {
    const std::string field = text == "1,5" ? "\"1,5\"" : text;
    require_bad_line("user,item,rating\nu,a,1\nu,b," + field + "\n",
                     ":3: column 'rating': expected a finite number, found '" + text + "'");
  }
  require_bad_line("user,item,value\nu,b,\n", ":2: column 'value': expected a finite number, found nothing");
  require_bad_line("user,item,value\nu,b," + std::string(90, 'z') + "\n",
                   ":2: column 'value': expected a finite number, found '" + std::string(80, 'z') + "...'");
}

TEST_CASE("Bad numbers are counted and skipped where that is asked for (UR-41)", "[data][interaction_loader]") {
  const Loaded loaded = load("user,item,rating\nu,a,1\nu,b,-\nx,c,-\nu,d,2\n", skipping());
  REQUIRE(loaded.pairs() == std::vector<std::string>{"u a", "u d"});
  REQUIRE(loaded.report.dropped.size() == 1);
  REQUIRE(loaded.report.dropped[0].reason == "bad number in rating");
  REQUIRE(loaded.report.dropped[0].lines == 2);
  REQUIRE(loaded.report.dropped[0].first_line == 3);
  REQUIRE(loaded.report.users == 1);
}

TEST_CASE("A bad time says what would be good", "[data][interaction_loader]") {
  require_bad_line(
      "user,item,timestamp\nu,a,-\n",
      ":2: column 'timestamp': expected seconds or milliseconds since 1970, or an ISO-8601 time, found '-'");
  require_bad_line("user,item,timestamp\nu,a,5\nu,a,2024-05-01\n",
                   ":3: column 'timestamp': expected seconds or milliseconds since 1970, before the year 5138, found "
                   "'2024-05-01'");
  require_bad_line("user,item,timestamp_ms\nu,a,\n",
                   ":2: column 'timestamp_ms': expected milliseconds since 1970, before the year 5138, found nothing");
  require_bad_line("user,item,position\nu,a,1.5\n", ":2: column 'position': expected a whole number, found '1.5'");
  REQUIRE(failure_of_loading("user,item,timestamp\nu,a,1700000000\nu,a,1700000000000\n").says("expected one unit"));
}

TEST_CASE("Bad ids are named, but those of users are not shown", "[data][interaction_loader]") {
  using namespace std::string_literals;
  require_bad_line("user,item\n,a\n", ":2: column 'user': expected an id, found nothing");
  require_bad_line("user,item\nu,\n", ":2: column 'item': expected an id, found nothing");
  require_bad_line("session,item\n,a\n", ":2: column 'session': expected an id, found nothing");
  require_bad_line("user,item\nu,a\0b\n"s, ":2: column 'item': expected text without NUL, found 'a?b'");
  ReadOptions numbers;
  numbers.user_ids = numbers.item_ids = IdKind::int64;
  for (const std::string item : {"x", "1.0", "9223372036854775808", "-9223372036854775809", "1e3", "0x5"}) {
    require_bad_line("user,item\n1," + item + "\n",
                     ":2: column 'item': expected a 64-bit integer, found '" + item + "'", numbers);
  }
  require_bad_line("user,item\nsecret,1\n", ":2: column 'user': expected a 64-bit integer, found 6 other characters",
                   numbers);
  require_bad_line("user,item\n1,1\n,1\n", ":3: column 'user': expected an id, found nothing", numbers);
}

TEST_CASE("More than 256 kinds of events are refused", "[data][interaction_loader]") {
  std::string text = "user,item,event\n";
  for (int i = 0; i < 256; ++i) text += "u,a,kind" + std::to_string(i) + "\n";
  const Failure failure = failure_of_loading(text);
  REQUIRE(failure.code == ErrorCode::limit_exceeded);
  REQUIRE(failure.says("events.csv:257: event"));
}

TEST_CASE("Damaged compression is an error, however many events came before", "[data][interaction_loader]") {
  std::string text = "user,item\n";
  for (int i = 0; i < 50'000; ++i) text += std::to_string(i * 7919 % 10'007) + "," + std::to_string(i) + "\n";
  for (const std::string& bytes : {gzip(text), xz(text)}) {
    const Failure failure = failure_of_loading(bytes.substr(0, bytes.size() / 2), skipping());
    REQUIRE(failure.code == ErrorCode::corrupt_file);
    REQUIRE(failure.says("events.csv: "));
  }
}

TEST_CASE("A report stays as it was when loading fails", "[data][interaction_loader]") {
  const TemporaryDirectory directory;
  write_text(directory / "file", "user,item,rating\nu,a,1\nu,b,-\n");
  LoadReport report;
  report.records = 77;
  REQUIRE_THROWS_AS(read_interactions(directory / "file", {}, &report), Error);
  REQUIRE(report.records == 77);
}
