// SPDX-License-Identifier: Apache-2.0
#include "data/time_column.hpp"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdlib>

#include "attune/data/reader.hpp"
#include "attune/error.hpp"
#include "data/text.hpp"

namespace attune::inline v0_1 {

namespace {

constexpr std::int64_t kFirstMilliseconds = 100'000'000'000;   // 10^11: 1973 as milliseconds, 5138 as seconds
constexpr std::int64_t kFirstSeconds = 100'000'000;            // 10^8: 1973 as seconds
constexpr std::int64_t kTooLarge = 1000 * kFirstMilliseconds;  // 10^14: 5138 as milliseconds
constexpr std::int64_t kThousand = 1000;

constexpr bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

// Reads text from left to right; once something does not fit, nothing more does.
class Cursor {
 public:
  explicit Cursor(std::string_view text) noexcept : text_(text) {}

  bool skip(std::string_view any_of) noexcept {
    if (text_.empty() || any_of.find(text_.front()) == std::string_view::npos) return false;
    text_.remove_prefix(1);
    return true;
  }
  // Exactly `digits` of them, at most `max`.
  std::int64_t number(std::size_t digits, std::int64_t max = 9999) noexcept {
    std::int64_t value = 0;
    for (std::size_t i = 0; i < digits; ++i) {
      if (text_.empty() || !is_digit(text_.front())) return fail();
      value = 10 * value + (text_.front() - '0');
      text_.remove_prefix(1);
    }
    return value <= max ? value : fail();
  }
  // Any number of digits; only the first three count.
  std::int64_t thousandths() noexcept {
    if (!starts_with_digit()) return fail();
    std::int64_t value = 0;
    for (std::int64_t weight = 100; starts_with_digit(); weight /= 10) value += weight * number(1);
    return value;
  }
  bool starts_with_digit() const noexcept { return !text_.empty() && is_digit(text_.front()); }
  void expect(std::string_view any_of) noexcept {
    if (!skip(any_of)) fail();
  }
  bool ends_well() const noexcept { return good_ && text_.empty(); }
  bool at_end() const noexcept { return text_.empty(); }

 private:
  std::int64_t fail() noexcept {
    good_ = false;
    text_ = {};
    return 0;
  }

  std::string_view text_;
  bool good_ = true;
};

// Minutes east of UTC: "Z", "+02:00", "-0530", "+01"; nothing is UTC.
std::int64_t read_offset(Cursor& cursor) noexcept {
  if (cursor.at_end() || cursor.skip("Zz")) return 0;
  const bool west = cursor.skip("-");
  if (!west) cursor.expect("+");
  std::int64_t minutes = 60 * cursor.number(2, 23);
  if (!cursor.at_end()) {
    cursor.skip(":");
    minutes += cursor.number(2, 59);
  }
  return west ? -minutes : minutes;
}

}  // namespace

Timestamp parse_iso8601(std::string_view text) noexcept {
  Cursor cursor(text);
  const auto year = static_cast<int>(cursor.number(4));
  cursor.expect("-");
  const auto month = static_cast<unsigned>(cursor.number(2));
  cursor.expect("-");
  const auto day = static_cast<unsigned>(cursor.number(2));
  std::int64_t milliseconds = 0;
  if (!cursor.at_end()) {
    cursor.expect("Tt ");
    milliseconds = cursor.number(2, 23) * 3'600'000;
    cursor.expect(":");
    milliseconds += cursor.number(2, 59) * 60'000;
    if (cursor.skip(":")) {
      milliseconds += cursor.number(2, 60) * 1'000;
      if (cursor.skip(".,")) milliseconds += cursor.thousandths();
    }
    milliseconds -= read_offset(cursor) * 60'000;
  }
  const std::chrono::year_month_day date{std::chrono::year(year), std::chrono::month(month), std::chrono::day(day)};
  if (!cursor.ends_well() || !date.ok()) return kNoTime;
  const auto days = std::chrono::sys_days(date).time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(days).count() + milliseconds;
}

Timestamp from_seconds_or_milliseconds(std::int64_t number) noexcept {
  return number > -kFirstMilliseconds && number < kFirstMilliseconds ? number * kThousand : number;
}

namespace detail {

namespace {

// A whole number however it is written, as in 3, 3.0 and 3e0; kNoTime for what is none.
Timestamp parse_whole(std::string_view text) noexcept {
  if (const auto digits = parse_number<Timestamp>(text)) return *digits;
  constexpr double kExactUpTo = std::int64_t{1} << 53;
  const auto number = parse_number<double>(text);
  return number && std::abs(*number) <= kExactUpTo && std::trunc(*number) == *number ? static_cast<Timestamp>(*number)
                                                                                     : kNoTime;
}

}  // namespace

Timestamp TimeColumn::parse(std::string_view text, std::size_t line) noexcept {
  text = without_outer_blanks(text);
  if (kind_ == Kind::position) return parse_whole(text);
  if (form_ != Form::iso_8601) {
    const Timestamp time = parse_number(text, line);
    if (time != kNoTime) form_ = Form::number;
    if (time != kNoTime || form_ == Form::number || kind_ == Kind::timestamp_ms) return time;
  }
  const Timestamp time = parse_iso8601(text);
  if (time != kNoTime) form_ = Form::iso_8601;
  return time;
}

// In thousandths of the unit, still unknown: as milliseconds, if it turns out to be seconds.
Timestamp TimeColumn::parse_number(std::string_view text, std::size_t line) noexcept {
  constexpr std::size_t kMostDigits = 18;  // that an int64 holds whatever they are
  const bool negative = text.starts_with('-');
  if (negative) text.remove_prefix(1);
  std::int64_t whole = 0;
  std::size_t digits = 0;
  for (const std::size_t most = std::min(text.size(), kMostDigits); digits < most && is_digit(text[digits]); ++digits) {
    whole = 10 * whole + (text[digits] - '0');
  }
  if (digits == 0 || whole >= kTooLarge) return kNoTime;
  std::int64_t fraction = 0;
  if (text.find_first_of("eE") != std::string_view::npos) {
    const auto number = detail::parse_number<double>(text);
    if (!number || !(*number < static_cast<double>(kTooLarge))) return kNoTime;
    whole = static_cast<std::int64_t>(*number);
    fraction = std::llround((*number - static_cast<double>(whole)) * static_cast<double>(kThousand));
  } else if (digits < text.size()) {
    Cursor cursor(text.substr(digits));
    cursor.expect(".");
    fraction = cursor.thousandths();
    if (!cursor.ends_well()) return kNoTime;
  }
  note_unit(whole, line);
  const std::int64_t thousandths = whole * kThousand + fraction;
  return negative ? -thousandths : thousandths;
}

Timestamp TimeColumn::parse(std::int64_t number, std::size_t line) noexcept {
  if (kind_ == Kind::position) return number;
  if (form_ == Form::iso_8601 || number >= kTooLarge) return kNoTime;
  form_ = Form::number;
  note_unit(number, line);
  return number * kThousand;
}

void TimeColumn::note_unit(std::int64_t whole, std::size_t line) noexcept {
  if (whole >= kFirstMilliseconds) {
    if (first_milliseconds_line_ == 0) first_milliseconds_line_ = line;
  } else if (whole >= kFirstSeconds && first_seconds_line_ == 0) {
    first_seconds_line_ = line;
  }
}

const char* TimeColumn::expected() const noexcept {
  if (kind_ == Kind::position) return "a whole number";
  if (kind_ == Kind::timestamp_ms) return "milliseconds since 1970, before the year 5138";
  if (form_ == Form::iso_8601) return "an ISO-8601 time, as before";
  if (form_ == Form::number) return "seconds or milliseconds since 1970, before the year 5138";
  return "seconds or milliseconds since 1970, or an ISO-8601 time";
}

bool TimeColumn::in_milliseconds() const noexcept {
  return kind_ == Kind::timestamp_ms || (form_ == Form::number && first_milliseconds_line_ != 0);
}

bool TimeColumn::mixes_units() const noexcept {
  return kind_ == Kind::timestamp && first_milliseconds_line_ != 0 && first_seconds_line_ != 0;
}

void TimeColumn::finish(std::span<Timestamp> times, const std::string& file) const {
  if (mixes_units()) {
    throw Error(ErrorCode::invalid_data,
                file + ": column 'timestamp': expected one unit, found seconds (first in line " +
                    std::to_string(first_seconds_line_) + ") and milliseconds (first in line " +
                    std::to_string(first_milliseconds_line_) + "); a column named 'timestamp_ms' is milliseconds");
  }
  if (!in_milliseconds()) return;
  for (Timestamp& time : times) time = time / kThousand - (time % kThousand < 0 ? 1 : 0);
}

const char* TimeColumn::unit() const noexcept {
  if (kind_ == Kind::none) return "none";
  if (kind_ == Kind::position) return "position";
  if (form_ == Form::iso_8601) return "iso-8601";
  return in_milliseconds() ? "milliseconds" : "seconds";
}

}  // namespace detail

}  // namespace attune::inline v0_1
