// SPDX-License-Identifier: Apache-2.0
#pragma once

// The times of one file. The unit is a property of the file, so that reading can never change the order of events.

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>

#include "attune/types.hpp"

namespace attune::inline v0_1::detail {

class TimeColumn {
 public:
  // `timestamp` (unit found out), `timestamp_ms`, `position`.
  enum class Kind { none, timestamp, timestamp_ms, position };
  explicit TimeColumn(Kind kind) : kind_(kind) {}

  // A number that grows with time, to be turned into milliseconds by finish(); kNoTime if the text is none. `line` is
  // for messages. All texts of a `timestamp` column are numbers or all are ISO-8601, as the first good one is.
  Timestamp parse(std::string_view text, std::size_t line) noexcept;
  // The same of a text that says nothing but `number`, which is not negative.
  Timestamp parse(std::int64_t number, std::size_t line) noexcept;
  // What parse() wants to see, for messages.
  const char* expected() const noexcept;

  // The numbers that parse() gave, in place, to milliseconds; positions stay what they are. Numbers are seconds unless
  // one of them is 10^11 or more in absolute value. Throws Error(invalid_data) if there are both, milliseconds and
  // numbers that can only be seconds (10^8 to 10^11: 1973 and later as seconds, before that as milliseconds).
  void finish(std::span<Timestamp> times, const std::string& file) const;
  // What finish() refuses.
  bool mixes_units() const noexcept;
  Kind kind() const noexcept { return kind_; }
  // "none", "seconds", "milliseconds", "iso-8601", "position".
  const char* unit() const noexcept;

 private:
  enum class Form { unknown, number, iso_8601 };
  bool in_milliseconds() const noexcept;
  Timestamp parse_number(std::string_view text, std::size_t line) noexcept;
  void note_unit(std::int64_t whole, std::size_t line) noexcept;

  Kind kind_;
  Form form_ = Form::unknown;
  std::size_t first_milliseconds_line_ = 0, first_seconds_line_ = 0;  // 0: none
};

}  // namespace attune::inline v0_1::detail
