// SPDX-License-Identifier: Apache-2.0
#include <random>

#include "attune/data/reader.hpp"
#include "attune/error.hpp"
#include "catch.hpp"
#include "data/compression.hpp"
#include "data/reading.hpp"

using namespace attune;
using namespace attune::test;

namespace {

using Random = std::mt19937_64;
using Texts = std::vector<std::string>;

std::size_t below(Random& random, std::size_t limit) { return static_cast<std::size_t>(random() % limit); }

// A character of a field: mostly plain, often one that means something.
char random_char(Random& random) {
  constexpr std::string_view kSpecial = ",;|\t: \"\"\r\n'";
  constexpr std::string_view kPlain = "abcXYZ0123456789-_.\xC3\xA9";
  return below(random, 4) == 0 ? kSpecial[below(random, kSpecial.size())] : kPlain[below(random, kPlain.size())];
}

std::string random_field(Random& random) {
  std::string field;
  const std::size_t length = below(random, 30) == 0 ? below(random, 3000) : below(random, 8);
  for (std::size_t i = 0; i < length; ++i) field += random_char(random);
  return field;
}

// With quotes where they are needed, and sometimes where they are not.
std::string encoded(const std::string& field, const std::string& separator, bool alone, Random& random) {
  const bool needs_quotes = field.find_first_of("\r\n") != std::string::npos ||
                            field.find(separator) != std::string::npos || field.starts_with('"') ||
                            (alone && field.find_first_not_of(' ') == std::string::npos);
  if (!needs_quotes && below(random, 3) != 0) return field;
  std::string text = "\"";
  for (const char c : field) text += c == '"' ? std::string("\"\"") : std::string(1, c);
  return text + "\"";
}

std::string encoded(const Records& records, const std::string& separator, Random& random) {
  const std::string line_end = std::vector<std::string>{"\n", "\r\n", "\r"}[below(random, 3)];
  std::string text;
  for (std::size_t row = 0; row < records.size(); ++row) {
    while (below(random, 10) == 0) text += line_end;
    for (std::size_t column = 0; column < records[row].size(); ++column) {
      if (column > 0) text += separator;
      text += encoded(records[row][column], separator, records[row].size() == 1, random);
    }
    if (row + 1 < records.size() || below(random, 2) == 0) text += line_end;
  }
  return text;
}

Records random_records(Random& random) {
  Records records(1 + below(random, 60), std::vector<std::string>(1 + below(random, 6)));
  for (auto& record : records) {
    for (auto& field : record) field = random_field(random);
  }
  return records;
}

// A field as files have it, and as they should not.
std::string random_of(Random& random, std::initializer_list<std::string> usual,
                      std::initializer_list<std::string> rare) {
  const auto& texts = below(random, 40) == 0 ? rare : usual;
  return texts.begin()[below(random, texts.size())];
}

Records random_events(Random& random, std::size_t lines) {
  const auto number = [&](std::size_t limit) { return std::to_string(below(random, limit)); };
  Records records{{"user", "item", "rating", "timestamp", "event", "event_id", "ignored"}};
  for (std::size_t i = 0; i < lines; ++i) {
    const std::string time = std::to_string(1'600'000'000 + below(random, 100'000'000));
    records.push_back(
        {random_of(random, {number(50), "u" + number(50)}, {"", "007", "00", "-1", "12345678901234567890"}),
         random_of(random, {number(9000), number(9)}, {"01", "4194304", "4194303", "a b", " 7", "+7"}),
         random_of(random, {number(6), "3.5"}, {"", "1e3", "16777217", "99999999999999999999", "nan", "x"}),
         random_of(random, {time}, {time + ".25", "-5", "", "100000000000", "soon", "2024-05-01"}),
         random_of(random, {"", "view"}, {"buy"}), random_of(random, {""}, {"e1", "e2", number(99)}),
         random_of(random, {"", "x\"y", "12"}, {"9\"9"})});
  }
  return records;
}

std::string quoted(const std::string& field) {
  std::string text = "\"";
  for (const char c : field) text += c == '"' ? std::string("\"\"") : std::string(1, c);
  return text + '"';
}

std::string lines_of(const Records& records, bool quote_first, const std::string& line_end) {
  std::string text;
  for (const auto& record : records) {
    for (std::size_t i = 0; i < record.size(); ++i) {
      text += (i == 0 ? "" : ",") + (i == 0 && quote_first ? quoted(record[i]) : record[i]);
    }
    text += line_end;
  }
  return text;
}

// All that came of a file.
std::string account_of(const std::string& text, const ReadOptions& options) {
  try {
    const Loaded loaded = load(text, options);
    std::string account = loaded.report.time_unit + ' ' + std::to_string(loaded.report.lines);
    for (const auto& entry : loaded.report.dropped) {
      account += '\n' + entry.reason + ' ' + std::to_string(entry.lines) + ' ' + std::to_string(entry.first_line);
    }
    const auto pairs = loaded.pairs();
    for (std::size_t row = 0; row < pairs.size(); ++row) {
      account += '\n' + pairs[row] + ' ' + std::to_string(loaded.times()[row]) + ' ' +
                 std::to_string(loaded.values()[row]) + ' ' + loaded.log.event_kinds()[loaded.log.kinds()[row]];
    }
    return account;
  } catch (const Error& error) {
    const std::string message = error.what();
    return message.substr(message.find("events.csv"));
  }
}

}  // namespace

TEST_CASE("Random records written with random quoting are read back equal", "[data][delimited_reader]") {
  Random random(11);
  const TemporaryDirectory directory;
  for (int round = 0; round < 400; ++round) {
    const std::string separator = std::vector<std::string>{",", ";", "\t", "|"}[below(random, 4)];
    const Records records = random_records(random);
    ReadOptions options;
    options.separator = separator;
    options.columns.assign(records[0].size(), "never in the data");
    const std::string text = encoded(records, separator, random);
    const std::size_t packing = below(random, 3);
    write_text(directory / "file", packing == 0 ? text : packing == 1 ? gzip(text) : xz(text));
    INFO("round " << round << "\n" << text);
    REQUIRE(read_records(directory / "file", options) == records);
  }
}

TEST_CASE("Random events written as CSV are loaded equal", "[data][interaction_loader]") {
  Random random(12);
  const TemporaryDirectory directory;
  for (int round = 0; round < 100; ++round) {
    Records records;
    const std::size_t events = 1 + below(random, 200);
    for (std::size_t i = 0; i < events; ++i) {
      records.push_back({"u" + random_field(random), std::to_string(1'600'000'000 + below(random, 100'000'000)),
                         "i" + random_field(random), std::to_string(below(random, 11)) + ".5"});
    }
    records.insert(records.begin(), {"user", "timestamp", "item", "rating"});
    write_text(directory / "file", encoded(records, ",", random));
    LoadReport report;
    const InteractionLog log = read_interactions(directory / "file", {}, &report);
    REQUIRE(log.size() == events);
    for (std::size_t row = 0; row < events; ++row) {
      const auto& record = records[row + 1];
      REQUIRE(log.user_ids().id(log.users()[row]).text() == record[0]);
      REQUIRE(log.times()[row] == 1000 * std::stoll(record[1]));
      REQUIRE(log.item_ids().id(log.items()[row]).text() == record[2]);
      REQUIRE(log.values()[row] == std::stof(record[3]));
    }
    REQUIRE(report.records == report.interactions);
  }
}

TEST_CASE("Mutated files load with every line accounted for or fail with an error", "[data][interaction_loader]") {
  Random random(13);
  const TemporaryDirectory directory;
  std::string original = "user,item,rating,timestamp,event,event_id\n";
  for (int i = 0; i < 60; ++i) {
    original += "u" + std::to_string(i % 7) + ",\"item \"\"" + std::to_string(i % 11) + "\"\"\"," +
                std::to_string(i % 5) + ".5," + std::to_string(1'700'000'000 + i) + ",view,e" + std::to_string(i) +
                "\r\n";
  }
  std::size_t loaded = 0, failed = 0;
  for (int round = 0; round < 3000; ++round) {
    std::string text = original;
    for (std::size_t changes = 1 + below(random, 6); changes > 0; --changes) {
      const std::size_t at = below(random, text.size());
      switch (below(random, 5)) {
        case 0: text[at] = static_cast<char>(below(random, 256)); break;
        case 1: text.erase(at, 1 + below(random, 20)); break;
        case 2: text.insert(at, 1, random_char(random)); break;
        case 3: text.insert(at, text.substr(below(random, text.size()), below(random, 40))); break;
        default: text.resize(at + 1);
      }
    }
    const std::size_t packing = below(random, 4);
    if (packing == 0) text = gzip(text);
    if (packing == 1) text = xz(text);
    if (packing < 2 && below(random, 2) == 0)
      text[below(random, text.size())] ^= static_cast<char>(1 << below(random, 8));
    write_text(directory / "file", text);
    ReadOptions options;
    options.bad_value = below(random, 2) == 0 ? BadValue::skip : BadValue::error;
    options.user_ids = below(random, 4) == 0 ? IdKind::int64 : IdKind::string;
    LoadReport report;
    try {
      const InteractionLog log = read_interactions(directory / "file", options, &report);
      ++loaded;
      std::size_t dropped = 0;
      for (const auto& entry : report.dropped) dropped += entry.lines;
      REQUIRE(report.records == report.interactions + dropped);
      REQUIRE(report.lines >= report.header_lines + report.blank_lines + report.records);
      REQUIRE(log.size() == report.interactions);
    } catch (const Error& error) {
      ++failed;
      REQUIRE(std::string(error.what()).find("file") != std::string::npos);
    }
  }
  REQUIRE(loaded > 200);
  REQUIRE(failed > 200);
}

TEST_CASE("Lines load equal whether quotes make them take the careful way or not", "[data][interaction_loader]") {
  Random random(14);
  for (int round = 0; round < 300; ++round) {
    Records records = random_events(random, round % 10 == 0 ? 4000 : 1 + below(random, 120));
    ReadOptions options;
    options.bad_value = round % 3 == 0 ? BadValue::error : BadValue::skip;
    options.user_ids = round % 2 == 0 ? IdKind::string : IdKind::int64;
    options.item_ids = round % 4 < 2 ? IdKind::string : IdKind::int64;
    if (round % 5 == 0) options.min_rating = 3;
    if (round % 7 == 0) records[1][3] = "2024-05-01";
    const std::string line_end = std::vector<std::string>{"\n", "\r\n", "\r"}[below(random, 3)];
    INFO("round " << round);
    REQUIRE(account_of(lines_of(records, false, line_end), options) ==
            account_of(lines_of(records, true, line_end), options));
  }
}

TEST_CASE("Two colons, a file without a last line end and a digit as separator load like commas",
          "[data][interaction_loader]") {
  const Texts expected{"1 10", "1 11", "2 10", "1 11"};
  ReadOptions options;
  REQUIRE(load("user,item\n1,10\n1,11\n2,10\n1,11").pairs() == expected);
  REQUIRE(load("user::item::note\n1::10::a:b\n1::11::\n2::10::c:\n1::11::d\n").pairs() == expected);
  options.separator = "0";
  REQUIRE(load("user0item\n1013\n1011\n2013\n1011\n", options).pairs() == Texts{"1 13", "1 11", "2 13", "1 11"});
}
