// SPDX-License-Identifier: Apache-2.0
#include <clocale>
#include <limits>

#include "attune/data/reader.hpp"
#include "attune/error.hpp"
#include "catch.hpp"
#include "data/compression.hpp"
#include "data/reading.hpp"

using namespace attune;
using namespace attune::test;

namespace {

using Texts = std::vector<std::string>;
using Times = std::vector<Timestamp>;

}  // namespace

TEST_CASE("A file of events becomes a log and a report", "[data][interaction_loader]") {
  const std::string text = "user,item,rating,timestamp\nu1,a,5,1700000000\nu2,b,3.5,1700000001\nu1,b,1,1600000000\n";
  const Loaded loaded = load(text);
  REQUIRE(loaded.pairs() == Texts{"u1 a", "u2 b", "u1 b"});
  REQUIRE(loaded.times() == Times{1'700'000'000'000, 1'700'000'001'000, 1'600'000'000'000});
  REQUIRE(loaded.values() == std::vector<float>{5.0f, 3.5f, 1.0f});
  const LoadReport& report = loaded.report;
  REQUIRE(report.file.ends_with("events.csv"));
  REQUIRE(report.compression == "none");
  REQUIRE(report.separator == ",");
  REQUIRE(report.time_unit == "seconds");
  REQUIRE(report.columns == Texts{"user", "item", "rating", "timestamp"});
  REQUIRE(report.bytes == text.size());
  REQUIRE(report.lines == 4);
  REQUIRE(report.header_lines == 1);
  REQUIRE(report.blank_lines == 0);
  REQUIRE(report.records == 3);
  REQUIRE(report.interactions == 3);
  REQUIRE(report.dropped.empty());
  REQUIRE(report.users == 2);
  REQUIRE(report.items == 2);
  REQUIRE(report.first_time == 1'600'000'000'000);
  REQUIRE(report.last_time == 1'700'000'001'000);
}

TEST_CASE("Compressed events load like plain ones", "[data][interaction_loader]") {
  const std::string text = "user,item\r\nu,a\r\nu,b\r\n";
  for (const std::string& bytes : {text, gzip(text), xz(text), xz("user,item\r\nu,a\r\n") + xz("u,b\r\n")}) {
    const Loaded loaded = load(bytes);
    REQUIRE(loaded.pairs() == Texts{"u a", "u b"});
    REQUIRE(loaded.report.bytes == text.size());
  }
  REQUIRE(load(gzip(text)).report.compression == "gzip");
  REQUIRE(load(xz(text)).report.compression == "xz");
}

TEST_CASE("Every physical line is accounted for", "[data][interaction_loader]") {
  ReadOptions options;
  options.bad_value = BadValue::skip;
  const Loaded loaded = load(
      "\nuser,item,rating,event_id\n"
      "u,a,5,1\n"
      "\n"
      "u,b\n"
      "u,\"c\nd\",4,2\n"
      "u,a,-,3\n"
      "u,a,5,1\n"
      "u,a,5,6,7\n"
      ",a,5,8\n"
      "u,,5,9\n"
      "u,\"x\"y,5,10\n"
      "u,e,-,11\n"
      "   \n"
      "v,f,3,12",
      options);
  const LoadReport& report = loaded.report;
  REQUIRE(loaded.pairs() == Texts{"u a", "u c\nd", "v f"});
  REQUIRE(report.lines == 16);
  REQUIRE(report.header_lines == 1);
  REQUIRE(report.blank_lines == 3);
  REQUIRE(report.records == 11);
  REQUIRE(report.interactions == 3);
  std::vector<std::string> dropped;
  for (const auto& entry : report.dropped) {
    dropped.push_back(entry.reason + " " + std::to_string(entry.lines) + " " + std::to_string(entry.first_line));
  }
  REQUIRE(dropped == Texts{"too few fields 1 5", "bad number in rating 2 8", "repeated event_id 1 9",
                           "too many fields 1 10", "empty user 1 11", "empty item 1 12",
                           "text behind a closing quote 1 13"});
  REQUIRE(report.users == 2);
  REQUIRE(report.items == 3);
}

TEST_CASE("A session stands for a user, and `user` goes before it", "[data][interaction_loader]") {
  REQUIRE(load("session,item\ns1,a\n").pairs() == Texts{"s1 a"});
  REQUIRE(load("session,user,item\ns1,u1,a\n").pairs() == Texts{"u1 a"});
}

TEST_CASE("A minimum looks at the rating, whatever column gives the value", "[data][interaction_loader]") {
  ReadOptions options;
  options.min_rating = 3.0f;
  const std::string text = "user,item,Rating,value,event_id\nu,a,2,9,e\nu,b,3,1,e\nu,c,5,1,f\nv,d,1,1,g\n";
  const Loaded both = load(text, options);
  REQUIRE(both.pairs() == Texts{"u b", "u c"});
  REQUIRE(both.values() == std::vector<float>{1, 1});
  REQUIRE(both.report.dropped.size() == 1);
  REQUIRE(both.report.dropped[0].reason == "below the minimum rating");
  REQUIRE(both.report.dropped[0].lines == 2);
  REQUIRE(both.report.dropped[0].first_line == 2);
  REQUIRE(both.report.users == 1);
  REQUIRE(load("user,item,VALUE\nu,a,2\nu,b,3\n", options).pairs() == Texts{"u b"});
  REQUIRE(failure_of_loading("user,item,rating,value\nu,a,-,9\n", options).says("column 'rating'"));
  REQUIRE(failure_of_loading("user,item\nu,a\n", options).says("missing column 'rating' (or 'value')"));
  REQUIRE(failure_of_loading("user,item,rating\nu,a,1\n", options).says("line 2: below the minimum rating"));
}

TEST_CASE("Values come from `value`, else `rating`, else are one", "[data][interaction_loader]") {
  REQUIRE(load("user,item,rating,value\nu,a,2,3\n").values() == std::vector<float>{3});
  REQUIRE(load("user,item,rating\nu,a,2\n").values() == std::vector<float>{2});
  REQUIRE(load("user,item\nu,a\n").values() == std::vector<float>{1});
  REQUIRE(load("user,item,value\nu,a,-1.25e2\nu,a, 7 \nu,a,.5\n").values() == std::vector<float>{-125, 7, 0.5f});
}

TEST_CASE("Numbers do not depend on the locale", "[data][interaction_loader]") {
  const std::string before = std::setlocale(LC_ALL, nullptr);
  for (const char* name : {"de_DE.UTF-8", "tr_TR.UTF-8", "fr_FR.UTF-8"}) {
    std::setlocale(LC_ALL, name);
    REQUIRE(load("user,item,rating,timestamp\nu,a,3.5,1700000000.5\n").values() == std::vector<float>{3.5f});
    REQUIRE(load("user,ITEM,rating\nu,a,3.5\n").values() == std::vector<float>{3.5f});
  }
  std::setlocale(LC_ALL, before.c_str());
}

TEST_CASE("Kinds of events are kept by name", "[data][interaction_loader]") {
  const Loaded loaded = load("user,item,event\nu,a,view\nu,b,buy\nu,c,\nu,d,view\n");
  REQUIRE(loaded.log.event_kinds() == Texts{"", "view", "buy"});
  REQUIRE(loaded.log.kinds()[2] == 0);
  REQUIRE(loaded.log.kinds()[3] == 1);
}

TEST_CASE("A repeated event id of a user is dropped under every policy, but no id at all is not one",
          "[data][interaction_loader]") {
  const Loaded loaded = load("user,item,event_id\nu,a,x\nu,b,x\nu,c,\nu,d,\nv,e,y\nv,f,x\nv,g,x\n");
  REQUIRE(loaded.pairs() == Texts{"u a", "u c", "u d", "v e", "v f"});
  REQUIRE(loaded.report.dropped[0].reason == "repeated event_id");
  REQUIRE(loaded.report.dropped[0].first_line == 3);
}

TEST_CASE("Equal times keep the order of the file (UR-34)", "[data][interaction_loader]") {
  Loaded loaded = load("user,item,timestamp\nu,c,5\nv,z,5\nu,a,5\nv,y,5\nu,b,5\nu,0,4\n");
  const Histories histories = group_by_user(std::move(loaded.log));
  std::string items;
  for (const ItemHandle item : histories.of(0).items) items += histories.item_ids->id(item).text();
  REQUIRE(items == "0cab");
}

TEST_CASE("Times keep steps of one second and one millisecond up to the histories (UR-31)",
          "[data][interaction_loader]") {
  for (const std::int64_t start : {std::int64_t{1'700'000'000}, std::int64_t{1'700'000'000'000}}) {
    std::string text = "user,item,timestamp\n";
    for (std::int64_t i = 200; i >= 0; --i) text += "u," + std::to_string(i) + "," + std::to_string(start + i) + "\n";
    Loaded loaded = load(text);
    const Histories histories = group_by_user(std::move(loaded.log));
    for (std::size_t i = 0; i <= 200; ++i) {
      REQUIRE(histories.item_ids->id(histories.items[i]).text() == std::to_string(i));
    }
  }
}

TEST_CASE("Positions order the events of each user, which have no time", "[data][interaction_loader]") {
  const Loaded loaded = load("user,item,position,rating\nu,c,2,3\nv,z,0,1\nu,a,0,1\nu,b,1,2\nv,w,-1,5\nu,b2,1,4\n");
  REQUIRE(loaded.pairs() == Texts{"u a", "v w", "u b", "u b2", "v z", "u c"});
  REQUIRE(loaded.values() == std::vector<float>{1, 5, 2, 4, 1, 3});
  REQUIRE(loaded.times() == Times(6, kNoTime));
  REQUIRE(loaded.report.time_unit == "position");
  REQUIRE(loaded.report.first_time == kNoTime);
  REQUIRE(group_by_user(loaded.log).times.empty());
}

TEST_CASE("A time goes before a position, and milliseconds before a guess", "[data][interaction_loader]") {
  REQUIRE(load("user,item,position,timestamp\nu,a,1,5\n").times() == Times{5000});
  REQUIRE(load("user,item,timestamp,timestamp_ms\nu,a,1,5\n").times() == Times{5});
  REQUIRE(load("user,item\nu,a\n").report.time_unit == "none");
  const Loaded iso = load("user,item,timestamp\nu,a,2024-05-01T12:30:00Z\n");
  REQUIRE(iso.report.time_unit == "iso-8601");
  REQUIRE(iso.times() == Times{1'714'566'600'000});
}

TEST_CASE("Text ids are kept as they are written", "[data][interaction_loader]") {
  const Loaded loaded = load(
      "user,item\n-1,\"a,b\"\n2147483648,\"say \"\"hi\"\"\"\n9223372036854775807,H\xC3\xA9l\xC3\xA8ne\n"
      "9148955329465708066,007\n007,7\n a , b\n");
  REQUIRE(loaded.pairs() == Texts{"-1 a,b", "2147483648 say \"hi\"", "9223372036854775807 H\xC3\xA9l\xC3\xA8ne",
                                  "9148955329465708066 007", "007 7", " a   b"});
}

TEST_CASE("Numeric ids span all of 64 bits where they are asked for (UR-50)", "[data][interaction_loader]") {
  ReadOptions options;
  options.user_ids = options.item_ids = IdKind::int64;
  const Loaded loaded = load("user,item\n-1,2147483648\n9223372036854775807,-9223372036854775808\n-1, 5 \n", options);
  REQUIRE(loaded.log.user_ids().id(0).number() == -1);
  REQUIRE(loaded.log.item_ids().id(0).number() == std::int64_t{1} << 31);
  REQUIRE(loaded.log.user_ids().id(1).number() == std::numeric_limits<std::int64_t>::max());
  REQUIRE(loaded.log.item_ids().id(1).number() == std::numeric_limits<std::int64_t>::min());
  REQUIRE(loaded.log.users()[2] == 0);
  REQUIRE(loaded.log.item_ids().id(2).number() == 5);
}

TEST_CASE("Files of the usual kinds load as they come", "[data][interaction_loader]") {
  ReadOptions movielens;
  movielens.columns = {"user", "item", "rating", "timestamp"};
  REQUIRE(load("1::1193::5::978300760\n1::661::3::978302109\n", movielens).pairs() == Texts{"1 1193", "1 661"});
  REQUIRE(load("196\t242\t3\t881250949\n186\t302\t3\t891717742\n", movielens).report.separator == "\t");
  ReadOptions pairs;
  pairs.columns = {"user", "item"};
  REQUIRE(load("1 5\n1 6\n2 5", pairs).pairs() == Texts{"1 5", "1 6", "2 5"});
  ReadOptions ignoring;
  ignoring.columns = {"user", "", "item"};
  REQUIRE(load("u,5,a\nu,6,b\n", ignoring).pairs() == Texts{"u a", "u b"});
}

TEST_CASE("One user, one item and one event are enough", "[data][interaction_loader]") {
  const Loaded loaded = load("user,item,timestamp\nu,a,5");
  REQUIRE(loaded.pairs() == Texts{"u a"});
  std::string text = "user,item,timestamp\n";
  for (int i = 0; i < 5; ++i) text += "u" + std::to_string(i) + ",a," + std::to_string(i) + "\n";
  REQUIRE(load(text).report.items == 1);
}
