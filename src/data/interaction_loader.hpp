// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the fields of an interaction file mean: records in, a log and an account of every line out.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <limits>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "attune/data/reader.hpp"
#include "data/delimited_file.hpp"
#include "data/time_column.hpp"

namespace attune::inline v0_1::detail {

// The columns of a log without its ids.
struct EventColumns {
  std::vector<UserHandle> users;
  std::vector<ItemHandle> items;
  std::vector<Timestamp> times;
  std::vector<std::uint8_t> kinds;
  std::vector<float> values;

  void clear() noexcept {
    users.clear();
    items.clear();
    times.clear();
    kinds.clear();
    values.clear();
  }
};

class InteractionLoader {
 public:
  // Appends to `log`, which may hold events of other files. Throws Error(invalid_data) if a column is missing or there
  // twice.
  InteractionLoader(const std::filesystem::path& path, const ReadOptions& options, InteractionLog& log);
  // All of the file, into a log that had nothing in it. Throws Error(invalid_data) where no event is in it.
  void load(LoadReport& report);
  // For files that are read piece by piece. Events until the log has `most`: their times are as the file has them, to
  // be finished by times() once false says that there are no more.
  bool load_up_to(std::size_t most);
  // Throws Error(invalid_data) for times in two units.
  const TimeColumn& times() const;
  // Of what was read so far; nothing of interactions, users, items and times.
  LoadReport report() const;
  static void swap_events(InteractionLog& log, EventColumns& events) noexcept;

 private:
  using Fields = std::vector<std::string_view>;

  struct IdColumn {
    const char* name;
    std::size_t index;
    IdMap& ids;
    IdKind kind;
    bool remembers_last;  // text that often repeats from line to line
    std::string_view last_text;
    std::uint32_t last_handle;
    std::vector<std::uint32_t> handles_of_numbers = {};  // of the small ones met so far, or kNoHandle
  };

  std::size_t find_column(std::string_view name) const;
  TimeColumn::Kind find_time_column();
  void require_columns(bool are_named) const;
  std::string found_columns() const;

  // Appends the event of the next record if that is a plain line with nothing new, wrong or rare in it. Else false, and
  // load_record() has the word, from the beginning.
  bool load_plain();
  bool load_record(const Fields& fields);
  // kNoHandle if the id is new.
  static std::uint32_t find(IdColumn& column, const PlainField& field);
  static std::uint32_t find(IdColumn& column, std::string_view field);
  bool is_user(const Fields& fields, std::size_t column) const;
  std::string shown(const Fields& fields, std::size_t column) const;  // in messages
  bool accepts(const IdColumn& column, const Fields& fields);
  static std::uint32_t insert(IdColumn& column, const Fields& fields);
  std::optional<float> parse_value(std::size_t column, const Fields& fields);
  std::optional<Timestamp> parse_time(const Fields& fields);
  std::uint8_t event_kind(const Fields& fields);
  // Its number in the log, kNoHandle if the event has none.
  std::optional<std::uint32_t> event_id(const Fields& fields);

  void append(UserHandle user, ItemHandle item, Timestamp time, std::uint8_t kind, float value);

  void order_by_position();

  DelimitedFile file_;
  std::optional<float> min_rating_;
  InteractionLog& log_;
  std::size_t most_ = std::numeric_limits<std::size_t>::max();  // events that the log is to have
  IdColumn user_, item_;
  std::size_t value_, rating_, event_, event_id_, time_index_ = DelimitedReader::npos;  // npos: no such column
  TimeColumn time_;
  std::vector<PlainField> plain_;  // of the line that load_plain() looks at
};

}  // namespace attune::inline v0_1::detail
