// SPDX-License-Identifier: Apache-2.0
#pragma once

// Delimited files (RFC 4180; CSV, TSV, `::`; plain, .gz or .xz; "-" is standard input) read in one pass with bounded
// memory. Every line is accounted for: kept, or counted under a reason in the report.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "attune/data/interaction_log.hpp"

namespace attune::inline v0_1 {

enum class BadValue { error, skip };  // a line that cannot be used: stop with file and line, or count it and go on

struct ReadOptions {
  // Names of the columns when the file has no header line, in order; "" for a column to ignore. Upper and lower case
  // are alike. A first line that repeats them is a header.
  std::vector<std::string> columns = {};
  bool skip_header = false;    // with `columns`: the first record is a header, which they replace
  std::string separator = {};  // "" finds it out: comma, tab, semicolon, `::`, `|` or blank
  IdKind user_ids = IdKind::string;
  IdKind item_ids = IdKind::string;
  BadValue bad_value = BadValue::error;
  // Events with a lower `rating` (a lower `value` where there is no column of ratings) are dropped and counted.
  std::optional<float> min_rating = {};
};

struct LoadReport {
  struct Dropped {
    std::string reason;  // "too few fields", "bad number in rating", ...
    std::size_t lines = 0;
    std::size_t first_line = 0;  // 1-based, as an editor counts
  };
  std::string file;
  std::string compression;  // "none", "gzip", "xz"
  std::string separator;
  std::string time_unit;  // "seconds", "milliseconds", "iso-8601", "position", "none"
  std::vector<std::string> columns;
  std::size_t bytes = 0;  // after decompression
  std::size_t lines = 0;  // physical lines: header + blank + records (a quoted line break makes a record span several)
  std::size_t header_lines = 0, blank_lines = 0, records = 0, interactions = 0;  // records = interactions + dropped
  std::vector<Dropped> dropped;
  std::size_t users = 0, items = 0;
  Timestamp first_time = kNoTime, last_time = kNoTime;
  double seconds = 0;
};

// Columns: `user` (else `session`) and `item`; optionally `timestamp_ms`, else `timestamp`, else `position`; `value`,
// else `rating`; `event`; `event_id`. Others are ignored. An empty or unreadable field of these is a bad value.
// `timestamp` is seconds, milliseconds or ISO-8601, one of them for the whole file, which the report names; numbers are
// seconds unless one is 10^11 or more. `position` orders the events of each user, which then have no time.
// An event_id that repeats an earlier one of the user is dropped and counted.
// Throws Error: io_error (cannot open or read), invalid_data (empty file, missing column, wrong separator, a bad line
// under BadValue::error, times in two units, a quote left open, no event left), corrupt_file (damaged compression),
// unsupported (zip, zstd, UTF-16), limit_exceeded (a record of more than 16 MiB, more than 256 kinds of events). The
// message names file, line, expected and found.
ATTUNE_EXPORT InteractionLog read_interactions(const std::string& file, const ReadOptions& options = {},
                                               LoadReport* report = nullptr);

// One record after another of any delimited file, header handled. Fields are unquoted views, valid until next().
class ATTUNE_EXPORT DelimitedReader {
 public:
  explicit DelimitedReader(const std::string& file, const ReadOptions& options = {});
  ~DelimitedReader();
  DelimitedReader(DelimitedReader&&) noexcept;

  const std::vector<std::string>& columns() const noexcept;
  // Index of a column, or npos.
  std::size_t column(std::string_view name) const noexcept;
  // The same, but throws Error(invalid_data) naming file and column where there is none.
  std::size_t required_column(std::string_view name) const;
  static constexpr std::size_t npos = static_cast<std::size_t>(-1);

  // False at the end. A record may have any number of fields; comparing with columns().size() is the caller's. Throws
  // Error as read_interactions does; text behind a closing quote is a bad value.
  bool next(std::vector<std::string_view>& fields);
  std::size_t line() const noexcept;  // of the record that next() gave, 1-based
  std::string place() const;          // the same as "FILE:LINE: ", for messages

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

// Milliseconds from ISO-8601 text ("2024-05-01", "2024-05-01T12:30:00Z", with fraction and offset); kNoTime if it is
// not.
ATTUNE_EXPORT Timestamp parse_iso8601(std::string_view text) noexcept;
// Seconds or milliseconds by magnitude: below 10^11 in absolute value are seconds (years up to 5138).
ATTUNE_EXPORT Timestamp from_seconds_or_milliseconds(std::int64_t number) noexcept;

}  // namespace attune::inline v0_1
