// SPDX-License-Identifier: Apache-2.0
#include "data/json_lines.hpp"

#include "attune/data/reader.hpp"
#include "attune/error.hpp"
#include "catch.hpp"
#include "data/compression.hpp"
#include "data/json_scanner.hpp"
#include "data/reading.hpp"

using namespace attune;
using namespace attune::test;

namespace {

ReadOptions with_columns(std::vector<std::string> columns) { return {.columns = std::move(columns)}; }
ReadOptions skipping() { return {.bad_value = BadValue::skip}; }

const std::string kGood = R"({"user":"u","item":"a","rating":3})"
                          "\n";

// What is said of a second line, behind the name of the file.
std::string complaint(const std::string& line, const ReadOptions& options = {}) {
  const Failure failure = failure_of_loading(kGood + line + "\n", options);
  CHECK(failure.code == ErrorCode::invalid_data);
  const std::size_t file = failure.message.find("events.csv");
  return file == std::string::npos ? failure.message : failure.message.substr(file + 10);
}

}  // namespace

TEST_CASE("Objects of JSON lines are records whose columns the first one names", "[data][json_lines]") {
  const Loaded loaded = load(R"({"user":"u1","item":"i1","rating":4.5,"timestamp":1700000000,"event":"buy"})"
                             "\n"
                             R"({"user":"u2","item":"i2","rating":-1,"timestamp":1700000001,"event":"view"})");
  REQUIRE(loaded.pairs() == std::vector<std::string>{"u1 i1", "u2 i2"});
  REQUIRE(loaded.values() == std::vector<float>{4.5f, -1});
  REQUIRE(loaded.times() == std::vector<Timestamp>{1'700'000'000'000, 1'700'000'001'000});
  REQUIRE(loaded.log.event_kinds() == std::vector<std::string>{"", "buy", "view"});
  REQUIRE(loaded.report.form == "json_lines");
  REQUIRE(loaded.report.separator.empty());
  REQUIRE(loaded.report.columns == std::vector<std::string>{"user", "item", "rating", "timestamp", "event"});
  REQUIRE(loaded.report.lines == 2);
  REQUIRE(loaded.report.records == 2);
  REQUIRE(loaded.report.header_lines == 0);
}

TEST_CASE("Numbers of JSON lines keep the digits that they are written with", "[data][json_lines]") {
  REQUIRE(parse_records(R"({"a":123456789012345678901,"b":1.50,"c":-0,"d":2E+5,"e":0.1e-7})") ==
          Records{{"123456789012345678901", "1.50", "-0", "2E+5", "0.1e-7"}});
  REQUIRE(parse_records(R"({"a":true,"b":false,"c":null,"d":"null"})") == Records{{"true", "false", "", "null"}});
  ReadOptions numbers;
  numbers.user_ids = numbers.item_ids = IdKind::int64;
  const Loaded loaded = load(R"({"user":9148955329465708066,"item":"-7"})", numbers);
  REQUIRE(loaded.pairs() == std::vector<std::string>{"9148955329465708066 -7"});
}

TEST_CASE("Text of JSON lines is unescaped", "[data][json_lines]") {
  REQUIRE(parse_records(R"({"a\u0041":"x\"y\\\/\b\f\n\r\t","b":"\u00e9\u20AC\ud83d\ude00","c":""})") ==
          Records{{"x\"y\\/\b\f\n\r\t", "\xC3\xA9\xE2\x82\xAC\xF0\x9F\x98\x80", ""}});
  REQUIRE(parse_records(R"( { "a" : "{,}" , "b" : 5 } )") == Records{{"{,}", "5"}});
}

TEST_CASE("Fields of JSON lines come in any order, and those that are missing or null are empty",
          "[data][json_lines]") {
  REQUIRE(parse_records(R"({"a":1,"b":2,"c":3})"
                        "\n"
                        R"({"c":6,"a":4})"
                        "\n"
                        R"({"b":8,"a":null,"c":9})"
                        "\n{}\n") == Records{{"1", "2", "3"}, {"4", "", "6"}, {"", "8", "9"}, {"", "", ""}});
}

TEST_CASE("Names given for the fields of JSON lines replace them, and a field without one may hold anything",
          "[data][json_lines]") {
  const std::string text = R"({"uid":"u","context":{"a":[1,{"b":"}"}],"c":[]},"movie":"i"})"
                           "\n"
                           R"({"movie":"j","uid":"v","context":[[],"]",null]})";
  const Loaded loaded = load(text, with_columns({"user", "", "item"}));
  REQUIRE(loaded.pairs() == std::vector<std::string>{"u i", "v j"});
  const Failure few = failure_of_loading(text, with_columns({"user", "item"}));
  REQUIRE(few.code == ErrorCode::invalid_data);
  REQUIRE(few.says("events.csv:1: expected 2 fields, one for each column, found 3"));
  const Failure unknown = failure_of_loading(R"({"uid":"u","movie":"i"})");
  REQUIRE(unknown.says("missing column 'user' (or 'session') and 'item'; found 2 columns, none of a known name"));
  REQUIRE(unknown.says("where its fields have other names"));
}

TEST_CASE("JSON lines are known by their first bytes, behind blank lines and a byte order mark, compressed too",
          "[data][json_lines]") {
  const std::string text = "\xEF\xBB\xBF\n \r\n{ \"user\": 1, \"item\": 2}\r\n\r\n{\"user\":3,\"item\":4}\r\n";
  for (const std::string& bytes : {text, gzip(text), xz(text)}) {
    const Loaded loaded = load(bytes);
    REQUIRE(loaded.pairs() == std::vector<std::string>{"1 2", "3 4"});
    REQUIRE(loaded.report.lines == 5);
    REQUIRE(loaded.report.blank_lines == 3);
  }
  REQUIRE(load("\t{\"user\":1,\"item\":2}\n\t\n\t{\"user\":3,\"item\":4}\t\n").pairs() ==
          std::vector<std::string>{"1 2", "3 4"});
  for (const char* json : {"{}", " {\n \"a\"", "{\"a\":1", "[ {\"a\"", "[\n{\"a\":1", "[{\"a\":1},\n", "[{}]\n",
                           "\t{\"a\":1} \t\r\n1,2"}) {
    INFO(json);
    REQUIRE(detail::begins_with_json(json, false));
  }
  for (const char* other :
       {"", "{", "{a}", "{\xC3\xA9", "[1", "user,item\n{\"", "\"{\"\"a\"", "{\"a\"},b\n{\"c\":1}", "[{a}],b\n"}) {
    INFO(other);
    REQUIRE_FALSE(detail::begins_with_json(other, false));
  }
  REQUIRE_FALSE(detail::begins_with_json("{\"a\":1", true));
  ReadOptions comma;
  comma.separator = ",";
  comma.columns = {"user", "item"};
  REQUIRE(load("{\"a\",{\"b\"}\n", comma).pairs() == std::vector<std::string>{"{\"a\" {\"b\"}"});
}

TEST_CASE("A line that is no object of such fields is named by line and column", "[data][json_lines]") {
  CHECK(complaint(R"({"user":"u","item":"a")") == ":2: object, byte 22: expected '}', found the end of the object");
  CHECK(complaint(R"({"user":"u","item":"a)") == ":2: object, byte 21: the object ends inside a string");
  CHECK(complaint(R"({"user":"u","item":"a"}x)") == ":2: object, byte 23: expected the end of the object, found 'x'");
  CHECK(complaint(R"({"user":"u","item":'a'})") ==
        ":2: object, byte 19: expected text, a number, true, false or null, found '''");
  CHECK(complaint(R"({"user":"u","item":})").find("found '}'") != std::string::npos);
  CHECK(complaint(R"({"user":"u","item":01})").find("byte 20: expected '}', found '1'") != std::string::npos);
  CHECK(complaint(R"({"user":"u","item":nul})").find("byte 19") != std::string::npos);
  CHECK(complaint(R"(["u","a",3])") == ":2: object, byte 0: expected '{', found '['");
  CHECK(complaint("u,a,3") == ":2: object, byte 0: expected '{', found 'u'");
  CHECK(complaint(R"({"user":"u","item":"\x"})").find("unknown escape") != std::string::npos);
  CHECK(complaint(R"({"user":"u","item":"\ud800"})").find("lone surrogate") != std::string::npos);
  CHECK(complaint("{\"user\":\"u\",\"item\":\"M\xE9\"}") ==
        ":2: column 'item': expected UTF-8, found other bytes (--encoding)");
  CHECK(complaint("{\"user\":\"u\",\"M\xE9\":1}") == ":2: expected UTF-8, found other bytes (--encoding)");
  CHECK(complaint(std::string("{\"user\":\"u\",\"item\":\"a\0b\"}", 25)).find("control character") !=
        std::string::npos);
  CHECK(complaint(R"({"user":"u","item":"a","item":"b"})") == ":2: column 'item': expected one field, found two");
  CHECK(complaint(R"({"user":"u","item":"a","secret-user":1})") ==
        ":2: expected the fields of the first line, found another one");
  CHECK(complaint(R"({"user":"u","item":{"id":"a"}})") ==
        ":2: column 'item': expected text, a number, true, false or null, found an object");
  CHECK(complaint(R"({"user":"u","item":"a","rating":[1]})") ==
        ":2: column 'rating': expected text, a number, true, false or null, found an array");
}

TEST_CASE("A field of JSON lines that is no id, number or time is a bad value as in any file", "[data][json_lines]") {
  CHECK(complaint(R"({"user":"u","item":"a","rating":"high"})") ==
        ":2: column 'rating': expected a finite number, found 'high'");
  CHECK(complaint(R"({"user":"u","item":"a","rating":1e99})") ==
        ":2: column 'rating': expected a finite number, found '1e99'");
  CHECK(complaint(R"({"user":"u","item":"a"})") == ":2: column 'rating': expected a finite number, found nothing");
  CHECK(complaint(R"({"user":"u","rating":3})") == ":2: column 'item': expected an id, found nothing");
  CHECK(complaint(R"({"user":null,"item":"a","rating":3})") == ":2: column 'user': expected an id, found nothing");
  CHECK(complaint(R"({"user":"u","item":"a\u0000","rating":3})") ==
        ":2: column 'item': expected text without NUL, found 'a?'");
}

TEST_CASE("Bad lines of JSON are counted and skipped where that is asked for", "[data][json_lines]") {
  const Loaded loaded = load(kGood + "{\n" + R"({"user":"v","item":["b"],"rating":1})" + "\n" +
                                 R"({"user":"v","item":"b","rating":1,"rating":2})" + "\n" +
                                 R"({"user":"v","item":"b","rating":1,"more":{})" + "\nnull\n\n\"open\n" + kGood +
                                 R"({"user":"w","item":"c","rating)",
                             skipping());
  REQUIRE(loaded.pairs() == std::vector<std::string>{"u a", "u a"});
  REQUIRE(loaded.report.records == 9);
  REQUIRE(loaded.report.blank_lines == 1);
  std::vector<std::string> dropped;
  for (const auto& [reason, lines, first] : loaded.report.dropped) {
    dropped.push_back(reason + " " + std::to_string(lines) + " " + std::to_string(first));
  }
  REQUIRE(dropped == std::vector<std::string>{"not a JSON object 4 2", "nested value 1 3", "repeated field 1 4",
                                              "unknown field 1 5"});
}

TEST_CASE("Bytes that are not UTF-8 and fields that are too deep have reasons of their own", "[data][json_lines]") {
  ReadOptions options = with_columns({"user", "item", ""});
  options.bad_value = BadValue::skip;
  const std::string deep = R"({"user":"v","item":"b","more":)" + std::string(33, '[') + std::string(33, ']') + "}\n";
  const Loaded loaded = load(R"({"user":"u","item":"a","more":1})"
                             "\n" +
                                 deep + "{\"user\":\"v\",\"item\":\"\xE9\"}\n",
                             options);
  REQUIRE(loaded.pairs() == std::vector<std::string>{"u a"});
  REQUIRE(loaded.report.dropped.size() == 2);
  REQUIRE(loaded.report.dropped[0].reason == "nested too deep");
  REQUIRE(loaded.report.dropped[1].reason == "not UTF-8");
  options.bad_value = BadValue::error;
  const Failure failure = failure_of_loading(R"({"user":"u","item":"a","more":1})"
                                             "\n" +
                                                 deep,
                                             options);
  REQUIRE(failure.says("events.csv:2: expected at most 32 objects and arrays in one another, found more"));
  const Failure first = failure_of_loading("{\"user\":\"u\",\"item\":\"\xE9\"}\n");
  REQUIRE(first.code == ErrorCode::invalid_data);
  REQUIRE(first.says("events.csv:1: expected UTF-8, found other bytes (--encoding)"));
}

TEST_CASE("Names of fields in JSON lines have no blanks around them, and there is no header to skip",
          "[data][json_lines]") {
  REQUIRE(load(R"({" user":"u","item ":"i"})"
               "\n"
               R"({"item ":"j"," user":"v"})")
              .pairs() == std::vector<std::string>{"u i", "v j"});
  const Failure failure = failure_of_loading(kGood, {.columns = {"user", "item", "rating"}, .skip_header = true});
  REQUIRE(failure.code == ErrorCode::invalid_data);
  REQUIRE(failure.says("events.csv: expected a header line to skip, found JSON lines"));
}

TEST_CASE("Blank lines before the first record do not hide what a file is, however many", "[data][json_lines]") {
  for (const std::size_t size : {65'530u, 65'535u, 65'536u, 65'537u, 200'000u}) {
    INFO(size);
    const std::string blank = std::string(size, '\n');
    const Loaded json = load(blank + kGood);
    REQUIRE(json.pairs() == std::vector<std::string>{"u a"});
    REQUIRE(json.report.blank_lines == size);
    REQUIRE(json.report.lines == size + 1);
    const Loaded tabs = load(blank + "user\titem\nu\ta\n");
    REQUIRE(tabs.report.separator == "\t");
    REQUIRE(tabs.report.header_lines == 1);
    REQUIRE(tabs.report.lines == size + 2);
    REQUIRE(load(std::string(size, ' ') + "\r\n \r" + kGood).report.blank_lines == 2);
  }
  REQUIRE(failure_of_loading(std::string(70'000, '\n') + "u,i\nv,j,k\n", {.columns = {"user", "item"}})
              .says("events.csv:70002: expected 2 fields, found 3"));
  REQUIRE(failure_of_loading(std::string(70'000, ' ')).says("found only blank lines"));
}

TEST_CASE("A first line that names no columns is an error whatever is asked for", "[data][json_lines]") {
  const auto says = [](const std::string& text, const std::string& part) {
    const Failure failure = failure_of_loading(text, skipping());
    INFO(failure.message);
    CHECK(failure.code == ErrorCode::invalid_data);
    return failure.says(part);
  };
  CHECK(says("{\"user\":\"u\",\"item\"}\n" + kGood,
             "events.csv:1: object, byte 18: expected ':', found '}'; where this is no JSON, name what separates its "
             "fields (--separator)"));
  CHECK(says(R"([{"user":"u","item":"a"}])", "events.csv:1: object, byte 0: expected '{', found '['"));
  CHECK(says("{\n  \"user\": \"u\",\n  \"item\": \"a\"\n}\n", "events.csv:1: object, byte 1: expected a string"));
  CHECK(says(R"({"user":"u","item":"a","item":"b"})", "events.csv:1: expected fields of different names"));
  CHECK(says("{}\n", "missing column"));
}

TEST_CASE("JSON lines lie across every boundary of the buffer", "[data][json_lines]") {
  for (std::size_t shift = 0; shift < 40; ++shift) {
    const Records records = parse_records("{\"a\":\"" + std::string(65'490 + shift, 'x') +
                                          "\",\"b\":\"\\n\"}\r\n{\"b\":2,\"a\":1}\r\n{\"a\":3}");
    REQUIRE(records.size() == 3);
    REQUIRE(records[0][0].size() == 65'490 + shift);
    REQUIRE(records[0][1] == "\n");
    REQUIRE(records[1] == std::vector<std::string>{"1", "2"});
    REQUIRE(records[2] == std::vector<std::string>{"3", ""});
  }
}

TEST_CASE("A JSON line of some megabytes is read, one above the limit and one too deep are refused",
          "[data][json_lines]") {
  REQUIRE(parse_records("{\"a\":\"" + std::string(5'000'000, 'x') + "\"}")[0][0].size() == 5'000'000);
  const auto failure = failure_of([] { parse_records("{\"a\":1}\n{\"a\":\"" + std::string(17 << 20, 'x')); });
  REQUIRE(failure.code == ErrorCode::limit_exceeded);
  REQUIRE(failure.says("file.csv:2: expected a record of at most 16 MiB"));
  const auto deep = failure_of([] { parse_records("{\"a\":" + std::string(1'000'000, '[') + "}"); });
  REQUIRE(deep.code == ErrorCode::limit_exceeded);
  std::string wide = "{";
  for (int i = 0; i < 66'000; ++i) wide += "\"f" + std::to_string(i) + "\":1,";
  wide.back() = '}';
  REQUIRE(failure_of([&] { parse_records(wide); }).says("expected at most 65536 fields"));
}

TEST_CASE("Whether a text is a number of JSON is told by the grammar", "[data][json_scanner]") {
  for (const std::string text : {"0", "-0", "10", "-1.5", "0.25e+10", "1E5", "123456789012345678901234567890"}) {
    CHECK(detail::json_number_size(text) == text.size());
  }
  for (const std::string text : {"", "-", "+1", ".5", "e5", "x", "NaN", " 1"}) {
    CHECK(detail::json_number_size(text) == 0);
  }
  CHECK(detail::json_number_size("01") == 1);
  CHECK(detail::json_number_size("1.") == 1);
  CHECK(detail::json_number_size("1e") == 1);
  CHECK(detail::json_number_size("1.5e+") == 3);
}
