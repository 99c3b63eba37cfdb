// SPDX-License-Identifier: Apache-2.0
#include "attune/data/reader.hpp"

#include <lzma.h>
#include <zlib.h>

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "attune/detail/dropout.hpp"
#include "attune/error.hpp"
#include "catch.hpp"
#include "temporary_directory.hpp"

using attune::BadValue;
using attune::DelimitedReader;
using attune::Error;
using attune::ErrorCode;
using attune::Id;
using attune::IdKind;
using attune::InteractionLog;
using attune::kNoTime;
using attune::LoadReport;
using attune::read_interactions;
using attune::ReadOptions;
using attune::test::TemporaryDirectory;
using attune::test::write_text;

namespace {

InteractionLog read(const std::string& text, const ReadOptions& options = {}, LoadReport* report = nullptr) {
  const TemporaryDirectory directory;
  write_text(directory / "events.csv", text);
  return read_interactions((directory / "events.csv").string(), options, report);
}

void check_refused(const std::string& text, ErrorCode code, const std::vector<std::string>& words,
                   const ReadOptions& options = {}) {
  CAPTURE(text.substr(0, 200));
  try {
    read(text, options);
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(error.code() == code);
    CHECK_THAT(error.what(), Catch::Contains("events.csv"));
    for (const std::string& word : words) CHECK_THAT(error.what(), Catch::Contains(word));
  }
}

void check_accounted(const LoadReport& report) {
  std::size_t dropped = 0;
  for (const auto& entry : report.dropped) dropped += entry.lines;
  CHECK(report.records == report.interactions + dropped);
}

std::string gzip(const std::string& text) {
  z_stream stream{};
  REQUIRE(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) == Z_OK);
  std::string packed(text.size() + 1000, '\0');
  std::string input = text;
  stream.next_in = reinterpret_cast<Bytef*>(input.data());
  stream.avail_in = static_cast<uInt>(input.size());
  stream.next_out = reinterpret_cast<Bytef*>(packed.data());
  stream.avail_out = static_cast<uInt>(packed.size());
  REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  packed.resize(stream.total_out);
  deflateEnd(&stream);
  return packed;
}

std::string xz(const std::string& text) {
  std::string packed(text.size() + 1000, '\0');
  std::size_t size = 0;
  REQUIRE(lzma_easy_buffer_encode(1, LZMA_CHECK_CRC64, nullptr, reinterpret_cast<const std::uint8_t*>(text.data()),
                                  text.size(), reinterpret_cast<std::uint8_t*>(packed.data()), &size,
                                  packed.size()) == LZMA_OK);
  packed.resize(size);
  return packed;
}

std::string many_lines() {
  std::string text = "user,item,timestamp\n";
  for (int i = 0; i < 5000; ++i) {
    text +=
        "u" + std::to_string(i % 70) + ",i" + std::to_string(i % 300) + "," + std::to_string(1'600'000'000 + i) + "\n";
  }
  return text;
}

}  // namespace

TEST_CASE("a plain file is read and every line is accounted for", "[data][reader]") {
  LoadReport report;
  const InteractionLog log =
      read("user,item,rating,timestamp\nu1,i1,4.5,1362062307\n\nu1,i2,3,1362062308\nu2,i1,5,1362062309", {}, &report);
  REQUIRE(log.size() == 3);
  CHECK(log.values()[0] == 4.5f);
  CHECK(log.times()[2] == 1'362'062'309'000);
  CHECK(report.lines == 5);
  CHECK(report.header_lines == 1);
  CHECK(report.blank_lines == 1);
  CHECK(report.records == 3);
  CHECK(report.interactions == 3);
  CHECK(report.users == 2);
  CHECK(report.items == 2);
  CHECK(report.separator == ",");
  CHECK(report.compression == "none");
  CHECK(report.time_unit == "seconds");
  CHECK(report.first_time == 1'362'062'307'000);
}

TEST_CASE("separators are found out, or named", "[data][reader]") {
  for (const std::string separator : {",", "\t", ";", "::", "|", " "}) {
    CAPTURE(separator);
    const std::string line = "u" + separator + "i" + separator + "5\n";
    LoadReport report;
    CHECK(read("user" + separator + "item" + separator + "rating\n" + line, {}, &report).size() == 1);
    CHECK(report.separator == separator);
    CHECK(read(line + line, {.columns = {"user", "item", "rating"}}).size() == 2);
    CHECK(read(line, {.columns = {"user", "item", "rating"}, .separator = separator}).size() == 1);
  }
}

TEST_CASE("quoted fields may hold separators, quotes and line breaks", "[data][reader]") {
  LoadReport report;
  const InteractionLog log =
      read("user,item\r\n\"a,b\",\"say \"\"hi\"\"\"\r\nu,\"two\r\nlines\"\r\nu,last", {}, &report);
  REQUIRE(log.size() == 3);
  CHECK(log.user_ids().find("a,b") == 0);
  CHECK(log.item_ids().find("say \"hi\"") == 0);
  CHECK(log.item_ids().find("two\r\nlines") == 1);
  CHECK(report.lines == 5);
  CHECK(report.records == 3);
}

TEST_CASE("a byte order mark, CRLF and lone CR change nothing", "[data][reader]") {
  CHECK(read("\xef\xbb\xbfuser,item\r\nu,i\r\n").size() == 1);
  CHECK(read("user,item\ru,i\ru,j\r").size() == 2);
}

TEST_CASE("ids are text as it stands, in any language", "[data][reader]") {
  const InteractionLog log = read("user,item\n007,caf\xc3\xa9\n7,-1\n2147483648,9223372036854775807\n");
  CHECK(log.user_ids().size() == 3);
  CHECK(log.item_ids().find("caf\xc3\xa9") == 0);
  CHECK(log.item_ids().find("-1") == 1);
  CHECK(log.item_ids().find("9223372036854775807") == 2);
}

TEST_CASE("numeric ids are read when asked for, beyond 64 bits they are bad", "[data][reader]") {
  const ReadOptions options{.item_ids = IdKind::int64};
  const InteractionLog log = read("user,item\nu,-1\nu,2147483648\nu,9223372036854775807\n", options);
  CHECK(log.item_ids().find(-1) == 0);
  CHECK(log.item_ids().find(std::int64_t{1} << 31) == 1);
  CHECK(log.item_ids().find(std::numeric_limits<std::int64_t>::max()) == 2);
  check_refused("user,item\nu,1\nu,9223372036854775808\n", ErrorCode::invalid_data, {":3", "item", "64-bit"}, options);
  check_refused("user,item\nu,1.0\n", ErrorCode::invalid_data, {":2", "item", "1.0"}, options);
}

TEST_CASE("times are seconds, milliseconds, ISO-8601 or positions, and the report says which", "[data][reader]") {
  const auto unit_of = [](const std::string& column, const std::string& value, attune::Timestamp expected) {
    LoadReport report;
    const InteractionLog log = read("user,item," + column + "\nu,i," + value + "\n", {}, &report);
    CHECK(log.times()[0] == expected);
    return report.time_unit;
  };
  CHECK(unit_of("timestamp", "1700000000", 1'700'000'000'000) == "seconds");
  CHECK(unit_of("timestamp", "1700000000.5", 1'700'000'000'500) == "seconds");
  CHECK(unit_of("timestamp", "1700000000123", 1'700'000'000'123) == "milliseconds");
  CHECK(unit_of("timestamp_ms", "1700", 1'700) == "milliseconds");
  CHECK(unit_of("timestamp", "2023-11-14T22:13:20Z", 1'700'000'000'000) == "iso-8601");
  CHECK(unit_of("timestamp", "2023-11-14", 1'699'920'000'000) == "iso-8601");
  CHECK(unit_of("position", "3", kNoTime) == "position");
}

TEST_CASE("two units in one column are refused, since their order would be wrong", "[data][reader]") {
  check_refused("user,item,timestamp\nu,i,1700000000\nu,j,1700000000123\n", ErrorCode::invalid_data,
                {"timestamp", "line 2", "line 3"});
}

TEST_CASE("positions order the events of each user", "[data][reader]") {
  const attune::Histories histories = group_by_user(read("session,item,position\ns,c,3\nt,x,1\ns,a,1\ns,b,2\n"));
  CHECK(histories.times.empty());
  std::vector<std::string> items;
  for (const auto item : histories.of(0).items) items.push_back(attune::to_string(histories.item_ids->id(item)));
  CHECK(items == std::vector<std::string>{"a", "b", "c"});
}

TEST_CASE("ISO-8601 is read with fractions and offsets, and nothing else is", "[data][reader]") {
  using attune::parse_iso8601;
  CHECK(parse_iso8601("1970-01-01") == 0);
  CHECK(parse_iso8601("1970-01-01T00:00:01.250Z") == 1250);
  CHECK(parse_iso8601("1970-01-01 02:00:00+02:00") == 0);
  CHECK(parse_iso8601("1969-12-31T23:59:59Z") == -1000);
  for (const char* text : {"", "1970", "1970-13-01", "1970-02-30", "1970-01-01T25:00", "1970-01-01x", "01/02/1970"}) {
    CHECK(parse_iso8601(text) == kNoTime);
  }
  CHECK(attune::from_seconds_or_milliseconds(99'999'999'999) == 99'999'999'999'000);
  CHECK(attune::from_seconds_or_milliseconds(100'000'000'000) == 100'000'000'000);
}

TEST_CASE("events, their ids and their values are kept, an event id counts once", "[data][reader]") {
  LoadReport report;
  const InteractionLog log =
      read("user,item,event,event_id,value\nu,i,view,e1,1\nu,i,buy,e2,2\nu,i,view,e1,1\n", {}, &report);
  REQUIRE(log.size() == 2);
  CHECK(log.event_kinds() == std::vector<std::string>{"", "view", "buy"});
  CHECK(log.values()[1] == 2.0f);
  REQUIRE(report.dropped.size() == 1);
  CHECK(report.dropped[0].reason == "repeated event_id");
  CHECK(report.dropped[0].first_line == 4);
  check_accounted(report);
}

TEST_CASE("bad files are refused with file, line, expected and found", "[data][reader]") {
  check_refused("", ErrorCode::invalid_data, {"empty"});
  check_refused("\n\n", ErrorCode::invalid_data, {});
  check_refused("user,item\n", ErrorCode::invalid_data, {"found none"});
  check_refused("user,title\nu,i\n", ErrorCode::invalid_data, {"missing column", "'item'", "title", "--columns"});
  check_refused("1,2,5,978300760\n", ErrorCode::invalid_data, {"missing column", "--columns"});
  check_refused("user;item\nu;i\n", ErrorCode::invalid_data, {"missing column", "separator"}, {.separator = ","});
  check_refused("user,item,rating\nu,i,5\nu,i\n", ErrorCode::invalid_data, {":3", "expected 3 fields, found 2"});
  check_refused("user,item\nu,i,5\n", ErrorCode::invalid_data, {":2", "expected 2 fields, found 3"});
  check_refused("user,item,rating\nu,i,-\n", ErrorCode::invalid_data, {":2", "rating", "'-'"});
  check_refused("user,item,rating\nu,i,nan\n", ErrorCode::invalid_data, {":2", "rating"});
  check_refused("user,item,rating\nu,i,\n", ErrorCode::invalid_data, {":2", "rating", "nothing"});
  check_refused("user,item,timestamp\nu,i,-\n", ErrorCode::invalid_data, {":2", "timestamp", "'-'"});
  check_refused("user,item\n,i\n", ErrorCode::invalid_data, {":2", "user"});
  check_refused("user,item\nu,\n", ErrorCode::invalid_data, {":2", "item"});
  check_refused("user,item\nu,\"open\nu,j\n", ErrorCode::invalid_data, {":2", "quote"});
  check_refused("user,item\nu,\"a\"b\n", ErrorCode::invalid_data, {":2", "quote"});
  check_refused("user,item,item\nu,i,j\n", ErrorCode::invalid_data, {"item", "two"});
}

TEST_CASE("bad lines are counted and skipped when asked for (UR-41)", "[data][reader]") {
  LoadReport report;
  const InteractionLog log =
      read("user,item,rating\nu,i,-\nu,i\nu,i,4\nu,i,x\n,i,5\n", {.bad_value = BadValue::skip}, &report);
  CHECK(log.size() == 1);
  CHECK(report.records == 5);
  check_accounted(report);
  REQUIRE(report.dropped.size() == 3);
  CHECK(report.dropped[0].reason == "bad number in rating");
  CHECK(report.dropped[0].lines == 2);
  CHECK(report.dropped[0].first_line == 2);
  CHECK(report.dropped[1].reason == "too few fields");
}

TEST_CASE("a user's id never appears in a message", "[data][reader]") {
  try {
    read("user,item,rating\nsecret-user,i,-\n");
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK_THAT(error.what(), !Catch::Contains("secret-user"));
  }
}

TEST_CASE("a file that cannot be opened is an input error with its path", "[data][reader]") {
  const TemporaryDirectory directory;
  for (const std::string& path : {(directory / "missing.csv").string(), directory.path().string()}) {
    try {
      read_interactions(path);
      FAIL("accepted");
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::io_error);
      CHECK_THAT(error.what(), Catch::Contains(path));
    }
  }
}

TEST_CASE("gzip and xz are recognised by their content", "[data][reader]") {
  const std::string text = many_lines();
  for (const auto& [packed, name] : {std::pair(gzip(text), "gzip"), std::pair(xz(text), "xz"),
                                     std::pair(gzip(text.substr(0, 777)) + gzip(text.substr(777)), "gzip")}) {
    LoadReport report;
    CHECK(read(packed, {}, &report).size() == 5000);
    CHECK(report.compression == name);
    CHECK(report.bytes == text.size());
  }
}

TEST_CASE("a truncated or damaged compressed file is refused", "[data][reader]") {
  for (const std::string& packed : {gzip(many_lines()), xz(many_lines())}) {
    check_refused(packed.substr(0, packed.size() / 2), ErrorCode::corrupt_file, {});
    check_refused(packed.substr(0, packed.size() - 3), ErrorCode::corrupt_file, {});
    std::string damaged = packed;
    damaged[damaged.size() / 2] = static_cast<char>(damaged[damaged.size() / 2] ^ 0x10);
    check_refused(damaged, ErrorCode::corrupt_file, {}, {.bad_value = BadValue::skip});  // no line may hide it
  }
}

TEST_CASE("a record of more than 16 MiB is refused instead of kept in memory", "[data][reader]") {
  check_refused("user,item\nu," + std::string(std::size_t{17} << 20, 'x') + "\n", ErrorCode::limit_exceeded, {":2"});
}

TEST_CASE("records come back as they were written, whatever was quoted", "[data][reader]") {
  using attune::detail::mix;
  const std::vector<std::string> pieces{"a", "b,c", "\"", "\n", "\r\n", " ", "\xc3\xa9", "::", "0"};
  std::vector<std::vector<std::string>> written;
  std::string text = "user,item,note\n";
  for (std::uint64_t record = 0; record < 2000; ++record) {
    std::vector<std::string> fields;
    for (std::uint64_t field = 0; field < 3; ++field) {
      std::string value = field < 2 ? "x" : "";
      for (std::uint64_t i = 0; i < mix(record, field) % 4; ++i)
        value += pieces[mix(record * 3 + field, i) % pieces.size()];
      std::string quoted;
      for (const char c : value) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
      const bool needs_quotes = value.find_first_of(",\"\r\n") != std::string::npos;
      text += (field ? "," : "") + (needs_quotes || mix(record, field + 9) % 3 == 0 ? '"' + quoted + '"' : value);
      fields.push_back(value);
    }
    text += record % 2 == 0 ? "\n" : "\r\n";
    written.push_back(fields);
  }
  const TemporaryDirectory directory;
  write_text(directory / "events.csv", text);
  DelimitedReader reader((directory / "events.csv").string());
  CHECK(reader.column("note") == 2);
  CHECK(reader.column("none") == DelimitedReader::npos);
  std::vector<std::string_view> fields;
  for (const auto& expected : written) {
    REQUIRE(reader.next(fields));
    CHECK(std::vector<std::string>(fields.begin(), fields.end()) == expected);
  }
  CHECK_FALSE(reader.next(fields));
}

TEST_CASE("mutated files give an error or a log, never anything else", "[data][reader]") {
  using attune::detail::mix;
  const std::string seed = "user,item,rating,timestamp\nu1,\"i,1\",4,1362062307\nu2,i2,3.5,1362062308\r\n";
  for (std::uint64_t round = 0; round < 3000; ++round) {
    std::string text = seed;
    for (std::uint64_t change = 0; change <= round % 5; ++change) {
      text[mix(round, change) % text.size()] = static_cast<char>(mix(round, change + 100));
    }
    try {
      LoadReport report;
      const InteractionLog log = read(text, {.bad_value = BadValue::skip}, &report);
      CHECK(log.size() == report.interactions);
      check_accounted(report);
    } catch (const Error& error) {
      CHECK(error.what() != std::string());
    }
  }
}
