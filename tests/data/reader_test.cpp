// SPDX-License-Identifier: Apache-2.0
#include <utility>

#include "attune/data/reader.hpp"
#include "attune/error.hpp"
#include "catch.hpp"
#include "data/compression.hpp"
#include "data/reading.hpp"

using namespace attune;
using namespace attune::test;

namespace {

ReadOptions separated_by(const char* separator, std::vector<std::string> columns = {}) {
  ReadOptions options;
  options.separator = separator;
  options.columns = std::move(columns);
  return options;
}

ReadOptions skipping() {
  ReadOptions options;
  options.bad_value = BadValue::skip;
  return options;
}

}  // namespace

TEST_CASE("Lines may end in LF, CRLF or CR, and the last one in nothing", "[data][reader]") {
  const Records expected{{"1", "2"}, {"3", "4"}};
  REQUIRE(parse_records("a,b\n1,2\n3,4\n") == expected);
  REQUIRE(parse_records("a,b\r\n1,2\r\n3,4\r\n") == expected);
  REQUIRE(parse_records("a,b\r1,2\r3,4\r") == expected);
  REQUIRE(parse_records("a,b\n1,2\n3,4") == expected);
  REQUIRE(parse_records("a,b\r\n1,2\n3,4\r") == expected);
}

TEST_CASE("Fields may be empty, also the last one", "[data][reader]") {
  REQUIRE(parse_records("a,b,c\n,,\n1,,\n,,3\n\"\",\"\",\n") ==
          Records{{"", "", ""}, {"1", "", ""}, {"", "", "3"}, {"", "", ""}});
}

TEST_CASE("Quoted fields hold separators, quotes and line breaks", "[data][reader]") {
  REQUIRE(parse_records("a,b\n\"x,y\",\"say \"\"hi\"\"\"\n\"two\nlines\",\"\"\"\"\n\"cr\r\nlf\rcr\",z\n") ==
          Records{{"x,y", "say \"hi\""}, {"two\nlines", "\""}, {"cr\r\nlf\rcr", "z"}});
  REQUIRE(parse_records("a;b\n\"1;2\";3\n") == Records{{"1;2", "3"}});
  REQUIRE(parse_records("a\tb\n\"1\t2\"\t3\n") == Records{{"1\t2", "3"}});
}

TEST_CASE("A quote inside a plain field is just a quote", "[data][reader]") {
  REQUIRE(parse_records("a,b\n5\" pipe,x\"\"y\n") == Records{{"5\" pipe", "x\"\"y"}});
  REQUIRE(parse_records("a::b\n\"Great\" Cats::\"\n") == Records{{"\"Great\" Cats", "\""}});
}

TEST_CASE("A byte order mark is no part of the first name", "[data][reader]") {
  const TemporaryDirectory directory;
  write_text(directory / "file", "\xEF\xBB\xBFuser,item\n1,2\n");
  DelimitedReader reader(directory / "file");
  REQUIRE(reader.columns() == std::vector<std::string>{"user", "item"});
  REQUIRE(reader.column("USER") == 0);
  REQUIRE(reader.column("rating") == DelimitedReader::npos);
}

TEST_CASE("Column names lose the blanks around them and the quotes", "[data][reader]") {
  const TemporaryDirectory directory;
  write_text(directory / "file", "user, item ,\"rating\"\n1,2,3\n");
  REQUIRE(DelimitedReader(directory / "file").columns() == std::vector<std::string>{"user", "item", "rating"});
}

TEST_CASE("Separators of two characters need both", "[data][reader]") {
  REQUIRE(parse_records("a::b\n1:2::3\n:::4\n::\n", separated_by("::")) == Records{{"1:2", "3"}, {"", ":4"}, {"", ""}});
}

TEST_CASE("Several blanks separate like one, also around the line", "[data][reader]") {
  REQUIRE(parse_records("a b\n1  2\n 3 4 \n   5     6\n\"7 8\" 9\n", separated_by(" ")) ==
          Records{{"1", "2"}, {"3", "4"}, {"5", "6"}, {"7 8", "9"}});
}

TEST_CASE("Blank lines are passed, lines of separators are records", "[data][reader]") {
  REQUIRE(parse_records("\n\na,b\n\n1,2\n   \n\r\n,\n\n") == Records{{"1", "2"}, {"", ""}});
  REQUIRE(parse_records("a\n\"\"\nx\n") == Records{{""}, {"x"}});
}

TEST_CASE("Names given in place of a header make the first line a record", "[data][reader]") {
  REQUIRE(parse_records("1,2\n3,4\n", separated_by("", {"user", "item"})) == Records{{"1", "2"}, {"3", "4"}});
  REQUIRE(parse_records("\nUser,Item\n3,4\n", separated_by("", {"user", "item"})) == Records{{"3", "4"}});
  ReadOptions renamed = separated_by("", {"user", "item"});
  renamed.skip_header = true;
  REQUIRE(parse_records("userId,movieId\n3,4\n", renamed) == Records{{"3", "4"}});
}

TEST_CASE("Lines are counted as an editor does", "[data][reader]") {
  const TemporaryDirectory directory;
  write_text(directory / "file", "a,b\n\n1,2\n\"x\ny\r\nz\",3\r\n4,5\r6,7");
  DelimitedReader reader(directory / "file");
  std::vector<std::string_view> fields;
  std::vector<std::size_t> lines;
  while (reader.next(fields)) lines.push_back(reader.line());
  REQUIRE(lines == std::vector<std::size_t>{3, 4, 7, 8});
}

TEST_CASE("A quote that is never closed is found by the line where it opens", "[data][reader]") {
  const auto failure = failure_of([] { parse_records("a,b\n1,2\n\"x\ny\",\"z\n5,6\n"); });
  REQUIRE(failure.code == ErrorCode::invalid_data);
  REQUIRE(failure.says("file.csv:4: expected a closing quote"));
  REQUIRE(failure_of([] { parse_records("a,b\n1,\""); }).says("file.csv:2: "));
  REQUIRE(failure_of([] { parse_records("\"a,b\n"); }).says("file.csv:1: "));
}

TEST_CASE("Text behind a closing quote is an error, or its line is skipped", "[data][reader]") {
  const std::string text = "a,b\n1,2\n\"The \"best\" film\",5\n3,4\n";
  const auto failure = failure_of([&] { parse_records(text); });
  REQUIRE(failure.code == ErrorCode::invalid_data);
  REQUIRE(failure.says("file.csv:3: expected a separator behind a closing quote"));
  REQUIRE(parse_records(text, skipping()) == Records{{"1", "2"}, {"3", "4"}});
  REQUIRE(failure_of([] { parse_records("\"a\"x,b\n1,2\n"); }).says("file.csv:1: "));
}

TEST_CASE("Records lie across every boundary of the buffer", "[data][reader]") {
  for (std::size_t shift = 0; shift < 40; ++shift) {
    std::string text = "a,b\n" + std::string(65'500 + shift, 'x') + ",\"q\"\"\r\n,\"\r\n";
    text += "1,2\r\n3,\"4\"\n";
    const Records records = parse_records(text);
    REQUIRE(records.size() == 3);
    REQUIRE(records[0][0].size() == 65'500 + shift);
    REQUIRE(records[0][1] == "q\"\r\n,");
    REQUIRE(records[1] == std::vector<std::string>{"1", "2"});
    REQUIRE(records[2] == std::vector<std::string>{"3", "4"});
    const Records colons =
        parse_records("a::b\n" + std::string(65'520 + shift, 'x') + "::y\r\n1::2", separated_by("::"));
    REQUIRE(colons[0][1] == "y");
    REQUIRE(colons[1] == std::vector<std::string>{"1", "2"});
  }
}

TEST_CASE("A record of some megabytes is read, one above the limit is refused", "[data][reader]") {
  REQUIRE(parse_records("a,b\n1," + std::string(5'000'000, 'x'))[0][1].size() == 5'000'000);
  const auto failure = failure_of([] { parse_records("a,b\n\n1," + std::string(17 << 20, 'x')); });
  REQUIRE(failure.code == ErrorCode::limit_exceeded);
  REQUIRE(failure.says("file.csv:3: expected a record of at most 16 MiB"));
  const auto open_quote = failure_of([] { parse_records("a,b\n1,2\n3,\"" + std::string(17 << 20, '\n')); });
  REQUIRE(open_quote.says("the quote opened in line 3"));
  const auto wide = failure_of([] { parse_records("a,b\n" + std::string(70'000, ',')); });
  REQUIRE(wide.code == ErrorCode::limit_exceeded);
  REQUIRE(wide.says("65536 fields"));
}

TEST_CASE("An empty file is said to be empty", "[data][reader]") {
  for (const std::string text : {"", "\xEF\xBB\xBF"}) {
    const auto failure = failure_of([&] { parse_records(text); });
    REQUIRE(failure.code == ErrorCode::invalid_data);
    REQUIRE(failure.says("file.csv: expected lines of text, found an empty file"));
  }
  REQUIRE(failure_of([] { parse_records(gzip("")); }).says("empty file"));
  REQUIRE(failure_of([] { parse_records("\n \n"); }).says("only blank lines"));
}

TEST_CASE("A separator with a quote or a line break in it is refused", "[data][reader]") {
  for (const char* separator : {"\"", "\n", "a\r"}) {
    const auto failure = failure_of([&] { parse_records("a,b\n", separated_by(separator)); });
    REQUIRE(failure.code == ErrorCode::invalid_argument);
  }
}

TEST_CASE("A reader can be moved", "[data][reader]") {
  const TemporaryDirectory directory;
  write_text(directory / "file", "a,b\n1,2\n3,4\n");
  DelimitedReader first(directory / "file");
  std::vector<std::string_view> fields;
  REQUIRE(first.next(fields));
  DelimitedReader second(std::move(first));
  REQUIRE(second.next(fields));
  REQUIRE(fields == std::vector<std::string_view>{"3", "4"});
  REQUIRE_FALSE(second.next(fields));
  REQUIRE_FALSE(second.next(fields));
}
