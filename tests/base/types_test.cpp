// SPDX-License-Identifier: Apache-2.0
#include "attune/types.hpp"

#include <array>
#include <cstdint>
#include <limits>
#include <string>
#include <string_view>
#include <type_traits>

#include "catch.hpp"

namespace attune {
namespace {

TEST_CASE("an id takes literals, strings, views and integers of every width", "[base][types]") {
  const std::string text = "i7";
  CHECK(Id("i7") == Id(text));
  CHECK(Id(std::string_view(text)) == Id(text));
  CHECK(Id(7) == Id(std::int64_t{7}));
  CHECK(Id(std::uint8_t{200}).number() == 200);
  CHECK(Id(7u).is_number());
  CHECK(Id("7").is_text());
  CHECK_FALSE(Id("7") == Id(7));
}

TEST_CASE("a truth value or a single character is no id", "[base][types]") {
  STATIC_REQUIRE_FALSE(std::is_constructible_v<Id, bool>);
  STATIC_REQUIRE_FALSE(std::is_constructible_v<Id, char>);
  STATIC_REQUIRE_FALSE(std::is_constructible_v<Id, double>);
}

TEST_CASE("the extreme integers stay themselves and one beyond is unknown", "[base][types]") {
  constexpr auto kLargest = std::numeric_limits<std::int64_t>::max();
  CHECK(Id(kLargest).number() == kLargest);
  CHECK(to_string(Id(kLargest)) == "9223372036854775807");
  CHECK(to_string(Id(std::numeric_limits<std::int64_t>::min())) == "-9223372036854775808");
  CHECK(to_string(Id(-1)) == "-1");
  CHECK(to_string(Id(2147483648LL)) == "2147483648");
  CHECK(Id(static_cast<std::uint64_t>(kLargest)).number() == kLargest);
  CHECK(Id(static_cast<std::uint64_t>(kLargest) + 1).empty());
}

TEST_CASE("the ways of storing weights have names", "[base][types]") {
  CHECK(to_string(WeightStorage::float32) == "float32");
  CHECK(to_string(WeightStorage::int8) == "int8");
}

TEST_CASE("no id and an empty text are empty, zero is not", "[base][types]") {
  CHECK(Id().empty());
  CHECK(Id("").empty());
  CHECK_FALSE(Id(0).empty());
  CHECK_FALSE(Id() == Id(0));
  CHECK(to_string(Id()).empty());
  CHECK(to_string(Id("a b")) == "a b");
}

TEST_CASE("a history is cut in all its columns, and absent columns stay absent", "[base][types]") {
  const std::array<ItemHandle, 4> items{3, 1, 4, 1};
  const std::array<Timestamp, 4> times{10, 20, 30, 40};
  const HistoryView history{.items = items, .times = times};
  const HistoryView middle = history.subview(1, 2);
  REQUIRE(middle.size() == 2);
  CHECK(middle.items[0] == 1);
  CHECK(middle.times[1] == 30);
  CHECK(middle.kinds.empty());
  CHECK(middle.weights.empty());
  CHECK(history.first(3).times.size() == 3);
  CHECK(history.first(0).empty());
}

TEST_CASE("a larger score ranks first and equal scores go to the lower handle", "[base][types]") {
  CHECK(ranks_before({9, 2.0f}, {1, 1.0f}));
  CHECK(ranks_before({1, 1.0f}, {2, 1.0f}));
  CHECK_FALSE(ranks_before({2, 1.0f}, {1, 1.0f}));
  CHECK_FALSE(ranks_before({1, 1.0f}, {1, 1.0f}));
}

TEST_CASE("an event may have no time, or one from 1970 to the year 9999", "[base][types]") {
  STATIC_REQUIRE(is_event_time(kNoTime));
  STATIC_REQUIRE(is_event_time(0));
  STATIC_REQUIRE(is_event_time(253'402'300'799'999));
  STATIC_REQUIRE_FALSE(is_event_time(-1));
  STATIC_REQUIRE_FALSE(is_event_time(kNoTime + 1));
  STATIC_REQUIRE_FALSE(is_event_time(253'402'300'800'000));
}

TEST_CASE("score kinds and sources have the names that answers show", "[base][types]") {
  CHECK(to_string(ScoreKind::cosine) == "cosine");
  CHECK(to_string(ScoreKind::dot) == "dot");
  CHECK(to_string(ScoreKind::blend) == "blend");
  CHECK(to_string(ScoreKind::count) == "count");
  CHECK(to_string(Source::model) == "model");
  CHECK(to_string(Source::content) == "content");
  CHECK(to_string(Source::profile) == "profile");
  CHECK(to_string(Source::neighbours) == "neighbours");
  CHECK(to_string(Source::counts) == "counts");
  CHECK(to_string(Source::popularity) == "popularity");
}

}  // namespace
}  // namespace attune
