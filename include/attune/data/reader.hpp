// SPDX-License-Identifier: Apache-2.0
#pragma once

// Files of records, read in one pass with bounded memory: delimited (RFC 4180; CSV, TSV, `::`), RecBole's atomic files,
// JSON lines; plain, .gz or .xz; "-" is standard input. Every line is accounted for: kept, or counted under a reason in
// the report.

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

enum class Encoding : std::uint8_t { utf_8, latin_1 };  // what a file is in; what is read is UTF-8

// JSON lines are told by their first bytes unless a separator is named: each is an object of text, numbers, true, false
// and null (which is an empty field, as is one that is not there). The fields of the first are the columns, in its
// order. Atomic files are told by their header line: `rating:float` is the column rating; user_id, item_id and
// session_id are user, item and session. u.data, u.item and u.user of MovieLens 100K are known by these names and a
// digit at the beginning.
struct ReadOptions {
  // Names of the columns when the file has no header line, in order; "" for a column to ignore. Upper and lower case
  // are alike. A first line that repeats them, or is that of an atomic file, is a header. Of JSON lines: other names
  // for the fields of the first.
  std::vector<std::string> columns = {};
  bool skip_header = false;    // with `columns`: the first record is a header, which they replace
  std::string separator = {};  // "" finds it out: comma, tab, semicolon, `::`, `|` or blank
  IdKind user_ids = IdKind::string;
  IdKind item_ids = IdKind::string;
  BadValue bad_value = BadValue::error;
  // Events with a lower `rating` (a lower `value` where there is no column of ratings) are dropped and counted.
  std::optional<float> min_rating = {};
  // None finds it out: Latin-1 is what u.item is in unless it begins with a byte order mark, UTF-8 everything else.
  std::optional<Encoding> encoding = {};
};

struct LoadReport {
  struct Dropped {
    std::string reason;  // "too few fields", "bad number in rating", ...
    std::size_t lines = 0;
    std::size_t first_line = 0;  // 1-based, as an editor counts
  };
  std::string file;
  std::string form;         // "delimited", "atomic", "json_lines"
  std::string compression;  // "none", "gzip", "xz"
  std::string separator;    // "" in JSON lines
  std::string time_unit;    // "seconds", "milliseconds", "iso-8601", "position", "none"
  std::vector<std::string> columns;
  std::vector<std::string> types;  // of the columns of an atomic file: token, token_seq, float, float_seq
  std::size_t bytes = 0;           // as UTF-8, after decompression
  std::size_t lines = 0;  // physical lines: header + blank + records (a quoted line break makes a record span several)
  std::size_t header_lines = 0, blank_lines = 0, records = 0;
  std::size_t interactions = 0;  // of read_interactions(): records = interactions + all that is dropped
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

// One record after another of any such file, header handled. Fields are unquoted views, valid until next().
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

  // False at the end. A record of a delimited file may have any number of fields; is_whole() is for the caller to ask.
  // Throws Error as read_interactions does; bad values are text behind a closing quote, and lines that are no object of
  // JSON with fields of the first, each once and none of them an object or array.
  bool next(std::vector<std::string_view>& fields);
  // Whether the record that next() gave has a field for each column; one that has not is refused.
  bool is_whole(const std::vector<std::string_view>& fields);
  // What the caller cannot use of the record that next() gave: under BadValue::error throws Error(invalid_data), else
  // counts the record as dropped.
  void refuse(const std::string& reason, const std::string& expected_and_found);
  // Of what was read so far; nothing of times, users and items, which this reader does not look at.
  LoadReport report() const;
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
