// SPDX-License-Identifier: Apache-2.0
#include "attune/serving/cursor.hpp"

#include <limits>
#include <random>

#include "attune/error.hpp"
#include "catch.hpp"
#include "serving/cursor_token.hpp"

using namespace attune;

namespace {

Cursor cursor_of(const std::vector<Id>& items, std::size_t k) {
  Cursor cursor;
  cursor.advance(k);
  for (const Id& item : items) cursor.add(item);
  return cursor;
}

// Whether it is refused, with an error of the right kind and nothing else.
bool refused(const std::string& token) {
  try {
    Cursor::from_token(token);
    return false;
  } catch (const Error& error) {
    CHECK((error.code() == ErrorCode::invalid_argument || error.code() == ErrorCode::unsupported_version));
    return true;
  }
}

}  // namespace

TEST_CASE("A cursor comes back from its token with ids of both kinds", "[serving][cursor]") {
  using namespace std::string_literals;
  const std::string odd = "with\0nul and \xC3\xA9 and | and \""s;
  for (const std::vector<Id>& items :
       {std::vector<Id>{}, std::vector<Id>{"a"}, std::vector<Id>{"i1", "i22", odd, std::string_view(odd).substr(0, 1)},
        std::vector<Id>{0, 1, -1, 63, -64, 64, std::numeric_limits<std::int64_t>::max(),
                        std::numeric_limits<std::int64_t>::min()},
        std::vector<Id>{7, "seven"}}) {
    for (const std::size_t k : {1u, 10u, 4'000'000'000u}) {
      const Cursor cursor = cursor_of(items, k);
      const std::string token = cursor.token();
      CHECK(token.find_first_not_of("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_") ==
            std::string::npos);
      const Cursor back = Cursor::from_token(token);
      CHECK(back.position() == k);
      CHECK(back.num_shown() == items.size());
      CHECK_FALSE(back.ended());
      CHECK(back.shown() == items);
      CHECK(back.token() == token);
    }
  }
}

TEST_CASE("The cursor before the first page has an empty token", "[serving][cursor]") {
  CHECK(Cursor().token().empty());
  const Cursor first = Cursor::from_token("");
  CHECK(first.position() == 0);
  CHECK(first.shown().empty());
  CHECK_FALSE(first.ended());
}

TEST_CASE("A cursor ends before its token grows beyond what it may have", "[serving][cursor]") {
  const std::string id(GENERATE(1u, 10u, 31u, 500u, 40'000u), 'x');
  Cursor cursor;
  std::size_t items = 0;
  while (!cursor.ended()) {
    REQUIRE(++items <= Cursor::kMostItems + 1);
    cursor.advance(1);
    cursor.add(id);
    const std::string token = cursor.token();
    REQUIRE(token.size() <= Cursor::kMostTokenBytes);
    if (items % 97 == 1 || cursor.ended()) REQUIRE(Cursor::from_token(token).token() == token);
  }
  CHECK(Cursor::from_token(cursor.token()).ended());
  CHECK(cursor.num_shown() == 0);
  cursor.add("more");
  CHECK(cursor.shown().empty());
  if (id.size() <= 10) CHECK(items == Cursor::kMostItems + 1);
  for (int i = 0; i < 3; ++i) cursor.advance(std::numeric_limits<std::size_t>::max());
  CHECK(cursor.position() == Cursor::kMostPosition);
  CHECK(Cursor::from_token(cursor.token()).position() == Cursor::kMostPosition);
}

TEST_CASE("A token that is cut, changed or made up is refused", "[serving][cursor]") {
  const std::string token = cursor_of({"i1", "i22", 5, "i333"}, 4).token();
  REQUIRE_FALSE(refused(token));
  for (std::size_t size = 1; size < token.size(); ++size) CHECK(refused(token.substr(0, size)));
  const std::string letters = "AZaz09-_ +/=\n.";
  for (std::size_t i = 0; i < token.size(); ++i) {
    for (const char letter : letters) {
      std::string changed = token;
      if (changed[i] == letter) continue;
      changed[i] = letter;
      CHECK(refused(changed));
      changed.insert(i, 1, token[i]);
      CHECK(refused(changed));
    }
  }
  std::mt19937_64 random(1);
  for (std::size_t round = 0; round < 20'000; ++round) {
    std::string bytes(1 + random() % 40, '\0');
    for (char& byte : bytes) byte = round % 2 == 0 ? static_cast<char>(random()) : letters[random() % 8];
    REQUIRE(refused(bytes));
  }
  CHECK(refused(std::string(Cursor::kMostTokenBytes + 1, 'A')));
  CHECK(refused(std::string("A\0A", 3)));
}

TEST_CASE("Content that no cursor has is refused though its sum is right", "[serving][cursor]") {
  using namespace std::string_literals;
  using test::sealed_token;
  CHECK_FALSE(refused(sealed_token("\x01\0\x0A\x02\x02i1\0\x03"s)));  // ten places, "i1" and -2
  CHECK(Cursor::from_token(sealed_token("\x01\0\x0A\x02\x02i1\0\x03"s)).shown() == std::vector<Id>{"i1", -2});
  CHECK_FALSE(refused(sealed_token("\x01\x01\x0A\0"s)));  // ended
  for (const std::string& bytes :
       {"\x02\0\x0A\0"s, "\0\0\x0A\0"s,                       // another version
        "\x01"s, "\x01\0"s, "\x01\0\x0A"s, "\x01\0\x8A"s,     // cut
        "\x01\x02\x0A\0"s, "\x01\0\x8A\0\0"s, "\x01\0\0\0"s,  // not the only way to write it
        "\x01\0\x0A\x02\x02i1"s, "\x01\0\x0A\x01\x03i1"s, "\x01\0\x0A\x01\0"s, "\x01\0\x0A\x01\x02i1!"s,
        "\x01\0\x0A\x01\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x7F!"s, "\x01\0\x0A\xE9\x07"s + std::string(2002, '\x01'),
        "\x01\0\x81\x80\x80\x80\x10\0"s}) {  // one place too many
    CHECK(refused(sealed_token(bytes)));
  }
  std::mt19937_64 random(2);
  std::size_t taken = 0;
  for (std::size_t round = 0; round < 20'000; ++round) {
    std::string bytes("\x01\0\x0A\x02\x02i1\0\x03"s);
    for (std::size_t changes = 1 + random() % 3; changes-- > 0;) {
      const auto at = static_cast<std::ptrdiff_t>(random() % bytes.size());
      switch (random() % 3) {
        case 0: bytes[static_cast<std::size_t>(at)] = static_cast<char>(random()); break;
        case 1: bytes.insert(bytes.begin() + at, static_cast<char>(random() % 6)); break;
        default: bytes.erase(bytes.begin() + at); break;
      }
      if (bytes.empty()) bytes.push_back('\x01');
    }
    const std::string token = sealed_token(bytes);
    if (refused(token)) continue;
    ++taken;
    REQUIRE(Cursor::from_token(token).token() == token);
  }
  CHECK(taken > 100);
}

TEST_CASE("What is refused says what was expected and what was found", "[serving][cursor]") {
  CHECK_THROWS_WITH(Cursor::from_token("AQA!"), Catch::Contains("expected a token") && Catch::Contains("4 bytes"));
  CHECK_THROWS_WITH(Cursor::from_token("AgAAAAAAAAAAAAAA"),
                    Catch::Contains("version 1") && Catch::Contains("version 2"));
  try {
    Cursor::from_token("AgAAAAAAAAAAAAAA");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::unsupported_version);
  }
}

TEST_CASE("What has no id is not shown", "[serving][cursor]") {
  const Cursor cursor = cursor_of({"a", "", Id(), "b"}, 4);
  CHECK(cursor.shown() == std::vector<Id>{"a", "b"});
  CHECK(Cursor::from_token(cursor.token()).shown() == cursor.shown());
}
