// SPDX-License-Identifier: Apache-2.0
#include "data/known_tables.hpp"

#include "attune/data/reader.hpp"
#include "attune/error.hpp"
#include "catch.hpp"
#include "data/compression.hpp"
#include "data/reading.hpp"

using namespace attune;
using namespace attune::test;

namespace {

const std::string kAtomic = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n";

ReadOptions skipping() { return {.bad_value = BadValue::skip}; }

struct Table {
  std::vector<std::string> columns;
  Records records;
};

Table read_table(const std::string& name, const std::string& bytes, const ReadOptions& options = {}) {
  const TemporaryDirectory directory;
  write_text(directory / name, bytes);
  DelimitedReader reader(directory / name, options);
  return {reader.columns(), read_records(directory / name, options)};
}

}  // namespace

TEST_CASE("The header of an atomic file names columns and their types", "[data][known_tables]") {
  const Loaded loaded = load(kAtomic + "u1\ti1\t3.5\t881250949\nu2\ti1\t1\t881250950.0\n");
  REQUIRE(loaded.pairs() == std::vector<std::string>{"u1 i1", "u2 i1"});
  REQUIRE(loaded.values() == std::vector<float>{3.5f, 1});
  REQUIRE(loaded.times() == std::vector<Timestamp>{881'250'949'000, 881'250'950'000});
  REQUIRE(loaded.report.form == "atomic");
  REQUIRE(loaded.report.columns == std::vector<std::string>{"user", "item", "rating", "timestamp"});
  REQUIRE(loaded.report.header_lines == 1);
  REQUIRE(load("session_id:token\titem_id:token\ns\ti\n").pairs() == std::vector<std::string>{"s i"});
  REQUIRE(load("user,item\nu,i\n").report.form == "delimited");
}

TEST_CASE("An atomic file of items keeps its columns, sequences as they are", "[data][known_tables]") {
  const Table table =
      read_table("ml-100k.item",
                 "\xEF\xBB\xBFitem_id:token\tmovie_title:token_seq\trelease_year:token\tvector:float_seq\r\n"
                 "1\tToy Story\t1995\t0.5 1\r\n");
  REQUIRE(table.columns == std::vector<std::string>{"item", "movie_title", "release_year", "vector"});
  REQUIRE(table.records == Records{{"1", "Toy Story", "1995", "0.5 1"}});
  const Table commas = read_table("x.user", "user_id:token,age:token\n1,24\n");
  REQUIRE(commas.columns == std::vector<std::string>{"user", "age"});
}

TEST_CASE("An atomic header in which a type is missing or unknown is refused", "[data][known_tables]") {
  for (const std::string header : {"user_id:token\titem_id", "user_id:token\titem_id:text", "user_id:token\t:token"}) {
    const Failure failure = failure_of_loading(header + "\nu\ti\n", skipping());
    REQUIRE(failure.code == ErrorCode::invalid_data);
    REQUIRE(
        failure.says("events.csv:1: expected a colon and the type token, token_seq, float or float_seq behind each "
                     "name, found another end of name 2"));
  }
  REQUIRE(
      failure_of_loading("user_id:token\tuser:token\titem_id:token\nu\tv\ti\n").says("one column 'user', found two"));
  REQUIRE(load("user:x,item:y,user,item\n1,2,u,i\n").pairs() == std::vector<std::string>{"u i"});
}

TEST_CASE("Bad lines of an atomic file are named or counted as those of any other", "[data][known_tables]") {
  using namespace std::string_literals;
  const Failure number = failure_of_loading(kAtomic + "u\ti\thigh\t1\n");
  REQUIRE(number.says("events.csv:2: column 'rating': expected a finite number, found 'high'"));
  REQUIRE(failure_of_loading(kAtomic + "u\ti\t1\tx\n").says("events.csv:2: column 'timestamp'"));
  REQUIRE(failure_of_loading(kAtomic + "u\ti\t1\n").says("events.csv:2: expected 4 fields, found 3"));
  REQUIRE(
      failure_of_loading(kAtomic + "u\ti\0\t1\t1\n"s).says("events.csv:2: column 'item': expected text without NUL"));
  const Loaded loaded = load(kAtomic + "u\ti\t1\t1\r\nu\ti\t-\t1\r\nu\ti\r\n\tj\t1\t1\r\n", skipping());
  REQUIRE(loaded.log.size() == 1);
  REQUIRE(loaded.report.dropped.size() == 3);
}

TEST_CASE("Upper and lower case and blanks in the header of an atomic file do not count, and its types are reported",
          "[data][known_tables]") {
  const Loaded loaded = load("User_ID:token\tITEM_ID :token\t Rating:float \nu\ti\t2\n");
  REQUIRE(loaded.pairs() == std::vector<std::string>{"u i"});
  REQUIRE(loaded.report.columns == std::vector<std::string>{"user", "item", "Rating"});
  REQUIRE(loaded.report.types == std::vector<std::string>{"token", "token", "float"});
  REQUIRE(load("user,item\nu,i\n").report.types.empty());
}

TEST_CASE("One name with a type does not make an atomic file", "[data][known_tables]") {
  for (const std::string header : {"user,item,weight:float", "user,item,user_id:token", "item_id:token,item,user",
                                   "user,item,item_id:token,a:b"}) {
    INFO(header);
    const Table table = read_table("x.csv", header + "\n" + header + "\n");
    REQUIRE(table.columns == table.records.at(0));
  }
  REQUIRE(load("user,item,weight:float\nu,i,1\n").report.form == "delimited");
  REQUIRE(read_table("x.item", "name:token\tsize:float\na\t1\n").columns == std::vector<std::string>{"name", "size"});
}

TEST_CASE("Columns that are named replace those of an atomic header, which is no event", "[data][known_tables]") {
  for (const std::string header : {"user_id:token\titem_id:token", "user_id:token\titem_id", "a:token\tb:float_seq"}) {
    INFO(header);
    const Loaded loaded = load(header + "\nu\ti\n", {.columns = {"item", " user "}});
    REQUIRE(loaded.pairs() == std::vector<std::string>{"i u"});
    REQUIRE(loaded.report.header_lines == 1);
    REQUIRE(load(header + "\nu\ti\n", {.columns = {"item", "user"}, .skip_header = true}).log.size() == 1);
  }
}

TEST_CASE("A file that bears the name of one of MovieLens 100K is one only if it begins with a digit",
          "[data][known_tables]") {
  using Columns = std::vector<std::string>;
  CHECK(read_table("u.user", "user,gender,age\nu,f,1\n").columns == Columns{"user", "gender", "age"});
  CHECK(read_table("u.item", "item_id:token\ttitle:token\n1\tCaf\xC3\xA9\n").records == Records{{"1", "Caf\xC3\xA9"}});
  CHECK(read_table("u.item.gz", gzip("item,title\n1,Caf\xC3\xA9\n")).records == Records{{"1", "Caf\xC3\xA9"}});
  CHECK(read_table("u.data", "{\"user\":1,\"item\":2}\n").columns == Columns{"user", "item"});
}

TEST_CASE("What is asked for decides the encoding of u.item, then a byte order mark, then its name",
          "[data][known_tables]") {
  const std::string mark = "\xEF\xBB\xBF", latin = "1|Caf\xE9\n", utf_8 = "1|Caf\xC3\xA9\n";
  const Records expected{{"1", "Caf\xC3\xA9"}};
  ReadOptions options{.columns = {"item", "title"}};
  CHECK(read_table("u.item", latin, options).records == expected);
  CHECK(read_table("u.item", mark + utf_8, options).records == expected);
  CHECK(read_table("u.item", "1\n").columns.size() == 24);
  CHECK(read_table("u.item", mark + "1\n").columns.size() == 24);
  options.encoding = Encoding::utf_8;
  CHECK(read_table("u.item", utf_8, options).records == expected);
  options.encoding = Encoding::latin_1;
  CHECK(read_table("movies", latin, options).records == expected);
  const Failure failure = failure_of([&] { read_table("movies", mark + utf_8, options); });
  CHECK(failure.code == ErrorCode::invalid_data);
  CHECK(failure.says("movies: expected Latin-1, found the byte order mark of UTF-8"));
}

TEST_CASE("The files of MovieLens 100K are known by their names", "[data][known_tables]") {
  const Table data = read_table("u.data", "196\t242\t3\t881250949\n186\t302\t3\t891717742\n");
  REQUIRE(data.columns == std::vector<std::string>{"user", "item", "rating", "timestamp"});
  REQUIRE(data.records == Records{{"196", "242", "3", "881250949"}, {"186", "302", "3", "891717742"}});
  const std::string flags = "|0|0|0|0|0|0|0|0|1|0|0|0|0|0|0|0|0|0|0\n";
  for (const std::string name : {"u.item", "u.item.gz"}) {
    const std::string text = "1|Mis\xE9rables, Les (1995)|01-Jan-1995||http://x/%20|" + flags.substr(1);
    const Table items = read_table(name, name == "u.item" ? text : gzip(text));
    REQUIRE(items.columns.size() == 24);
    REQUIRE(items.columns[1] == "title");
    REQUIRE(items.records.at(0).size() == 24);
    REQUIRE(items.records[0][1] == "Mis\xC3\xA9rables, Les (1995)");
  }
  REQUIRE(read_table("u.user", "1|24|M|technician|85711\n").columns.front() == "user");
  REQUIRE(read_table("u.data", "user\titem\trating\ttimestamp\n1\t2\t3\t4\n").records == Records{{"1", "2", "3", "4"}});
  const Table named = read_table("u.data", "1\t2\n", {.columns = {"item", "user"}});
  REQUIRE(named.columns == std::vector<std::string>{"item", "user"});
  REQUIRE(read_table("data", "user\titem\n1\t2\n").columns == std::vector<std::string>{"user", "item"});
}

TEST_CASE("Damaged files of MovieLens 100K are refused by line", "[data][known_tables]") {
  const TemporaryDirectory directory;
  const auto says = [&](const std::string& text, const std::string& part) {
    write_text(directory / "u.data", text);
    const Failure failure = failure_of([&] { read_interactions(directory / "u.data"); });
    INFO(failure.message);
    return failure.code == ErrorCode::invalid_data && failure.says(part);
  };
  CHECK(says("1\t2\t3\t4\n1\t2\t3\n", "u.data:2: expected 4 fields, found 3"));
  CHECK(says("1\t2\tx\t4\n", "u.data:1: column 'rating'"));
  CHECK(says("1::2::3::4\n1,2\n", "u.data:2: expected 4 fields, found 1"));
}

TEST_CASE("Latin-1 becomes UTF-8 where a file is said to be in it", "[data][known_tables]") {
  ReadOptions options;
  options.encoding = Encoding::latin_1;
  options.columns = {"item", "title"};
  std::string all, expected;
  for (int byte = 0x20; byte < 0x100; ++byte) {
    if (byte == '"' || byte == ':') continue;
    all += static_cast<char>(byte);
    if (byte >= 0x80) expected += static_cast<char>(0xC0 | byte >> 6);
    expected += static_cast<char>(byte < 0x80 ? byte : 0x80 | (byte & 0x3F));
  }
  for (std::size_t shift = 0; shift < 4; ++shift) {
    const std::string title = std::string(65'500 + shift, '\xFC') + all;
    const Table table = read_table("movies.dat", "1::" + title + "\n2::x\n", options);
    REQUIRE(table.records.size() == 2);
    REQUIRE(table.records[0][1].size() == 2 * (65'500 + shift) + expected.size());
    REQUIRE(table.records[0][1].ends_with(expected));
    REQUIRE(table.records[1] == std::vector<std::string>{"2", "x"});
  }
}
