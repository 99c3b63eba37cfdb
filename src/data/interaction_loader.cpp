// SPDX-License-Identifier: Apache-2.0
#include "data/interaction_loader.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <utility>

#include "attune/error.hpp"
#include "data/row_groups.hpp"
#include "data/separator.hpp"
#include "data/short_text.hpp"
#include "data/text.hpp"

namespace attune::inline v0_1::detail {

namespace {

constexpr std::size_t kNone = DelimitedReader::npos;

// No id if the text is not of that kind.
Id to_id(std::string_view text, IdKind kind) noexcept {
  if (kind == IdKind::string) return text;
  const auto number = parse_number<std::int64_t>(text);
  return number ? Id(*number) : Id();
}

// Not finite if that is not what the text says.
float plain_value(const PlainField& field) noexcept {
  constexpr std::int64_t kExactInFloat = 1 << 24;
  if (field.is_number() && field.number <= kExactInFloat) return static_cast<float>(field.number);
  return parse_number<float>(field.text).value_or(std::numeric_limits<float>::quiet_NaN());
}

}  // namespace

InteractionLoader::InteractionLoader(const std::filesystem::path& path, const ReadOptions& options, InteractionLog& log)
    : file_(path, options),
      min_rating_(options.min_rating),
      log_(log),
      user_{"user",   find_column("user"), log_.user_ids(), options.user_ids, options.user_ids == IdKind::string, {},
            kNoHandle},
      item_{"item", find_column("item"), log_.item_ids(), options.item_ids, false, {}, kNoHandle},
      value_(find_column("value")),
      rating_(find_column("rating")),
      event_(find_column("event")),
      event_id_(find_column("event_id")),
      time_(find_time_column()),
      plain_(file_.columns().size()) {
  if (user_.index == kNone) user_.index = find_column(user_.name = "session");
  if (value_ == kNone) value_ = rating_;
  if (rating_ == kNone) rating_ = value_;
  require_columns(!options.columns.empty());
}

std::size_t InteractionLoader::find_column(std::string_view name) const {
  const auto& columns = file_.columns();
  const auto same = [&](const std::string& column) { return equals_ignoring_case(column, name); };
  if (std::count_if(columns.begin(), columns.end(), same) > 1) {
    throw Error(ErrorCode::invalid_data,
                file_.scanner().file() + ": expected one column '" + std::string(name) + "', found two");
  }
  return file_.column(name);
}

TimeColumn::Kind InteractionLoader::find_time_column() {
  for (const auto& [name, kind] :
       {std::pair("timestamp_ms", TimeColumn::Kind::timestamp_ms), std::pair("timestamp", TimeColumn::Kind::timestamp),
        std::pair("position", TimeColumn::Kind::position)}) {
    time_index_ = find_column(name);
    if (time_index_ != kNone) return kind;
  }
  return TimeColumn::Kind::none;
}

void InteractionLoader::require_columns(bool are_named) const {
  std::string missing;
  const auto require = [&](std::size_t column, const char* names) {
    if (column == kNone) missing += (missing.empty() ? "" : " and ") + std::string(names);
  };
  require(user_.index, "'user' (or 'session')");
  require(item_.index, "'item'");
  if (min_rating_) require(rating_, "'rating' (or 'value')");
  if (missing.empty()) return;

  const std::string& separator = file_.scanner().separator();
  const char* const naming = are_named ? ""
                             : separator.empty()
                                 ? "; where its fields have other names, name the columns in their order (--columns)"
                                 : "; where there is no header line, name the columns (--columns)";
  const std::string separating = separator.empty() ? ""
                                                   : "; where fields are not separated by " +
                                                         (separator == "\t" ? "a tab" : "'" + separator + "'") +
                                                         ", name the separator";
  throw Error(ErrorCode::invalid_data, file_.scanner().file() + ": missing column " + missing + "; found " +
                                           found_columns() + naming + separating);
}

// The names only where one of them is known: else they may be a line of data, with the id of a user in it.
std::string InteractionLoader::found_columns() const {
  const auto known = [this](const char* name) { return file_.column(name) != kNone; };
  const auto names = {"user",     "session", "item",   "timestamp", "timestamp_ms",
                      "position", "value",   "rating", "event",     "event_id"};
  const auto& columns = file_.columns();
  if (std::none_of(names.begin(), names.end(), known)) {
    return std::to_string(columns.size()) + (columns.size() == 1 ? " column" : " columns") + ", none of a known name";
  }
  std::string found;
  for (const std::string& column : columns) found += (found.empty() ? "columns: " : ", ") + column;
  return found;
}

bool InteractionLoader::load_up_to(std::size_t most) {
  Fields fields;
  most_ = most;
  while (log_.size() < most) {
    if (!file_.next(fields)) return false;
    load_record(fields);
    while (log_.size() < most && load_plain()) continue;
  }
  return true;
}

void InteractionLoader::load(LoadReport& report) {
  load_up_to(most_);
  if (log_.empty()) {
    std::string problem = file_.scanner().file() + ": expected interactions, found none in " +
                          std::to_string(file_.records()) + " records";
    if (const auto& dropped = file_.dropped(); !dropped.empty()) {
      problem += "; first dropped in line " + std::to_string(dropped[0].first_line) + ": " + dropped[0].reason;
    }
    throw Error(ErrorCode::invalid_data, problem);
  }
  times().finish(log_.times_, file_.scanner().file());
  if (time_.kind() == TimeColumn::Kind::position) order_by_position();
  report = this->report();
  report.interactions = log_.size();
  report.users = log_.user_ids().size();
  report.items = log_.item_ids().size();
  report.first_time = report.last_time = log_.times_.front();
  for (const Timestamp time : log_.times_) {
    report.first_time = std::min(report.first_time, time);
    report.last_time = std::max(report.last_time, time);
  }
}

const TimeColumn& InteractionLoader::times() const {
  time_.finish({}, file_.scanner().file());
  return time_;
}

LoadReport InteractionLoader::report() const {
  LoadReport report = file_.report();
  report.time_unit = time_.unit();
  return report;
}

void InteractionLoader::swap_events(InteractionLog& log, EventColumns& events) noexcept {
  log.users_.swap(events.users);
  log.items_.swap(events.items);
  log.times_.swap(events.times);
  log.kinds_.swap(events.kinds);
  log.values_.swap(events.values);
}

bool InteractionLoader::load_plain() {
  if (!file_.peek_plain(plain_)) return false;
  const std::uint32_t user = find(user_, plain_[user_.index]);
  const std::uint32_t item = find(item_, plain_[item_.index]);
  if (user == kNoHandle || item == kNoHandle) return false;
  const float value = value_ == kNone ? 1.0f : plain_value(plain_[value_]);
  if (!std::isfinite(value)) return false;
  if (min_rating_ && !(plain_value(plain_[rating_]) >= *min_rating_)) return false;
  if (event_id_ != kNone && !plain_[event_id_].text.empty()) return false;
  std::size_t kind = 0;
  if (event_ != kNone) {
    const auto& kinds = log_.event_kinds();
    while (kind < kinds.size() && kinds[kind] != plain_[event_].text) ++kind;
    if (kind == kinds.size()) return false;
  }
  Timestamp time = kNoTime;
  if (time_index_ != kNone) {
    const PlainField& field = plain_[time_index_];
    const std::size_t line = file_.scanner().lines() + 1;
    time = field.is_number() ? time_.parse(field.number, line) : time_.parse(field.text, line);
    if (time == kNoTime) return false;
  }
  file_.take_plain();
  append(user, item, time, static_cast<std::uint8_t>(kind), value);
  return true;
}

bool InteractionLoader::load_record(const Fields& fields) {
  if (!file_.is_whole(fields)) return false;
  const std::uint32_t known_user = find(user_, fields[user_.index]);
  const std::uint32_t known_item = find(item_, fields[item_.index]);
  if (known_user == kNoHandle && !accepts(user_, fields)) return false;
  if (known_item == kNoHandle && !accepts(item_, fields)) return false;
  const auto value = parse_value(value_, fields);
  if (!value) return false;
  const auto time = parse_time(fields);
  if (!time) return false;
  if (min_rating_) {
    const auto rating = rating_ == value_ ? value : parse_value(rating_, fields);
    if (!rating) return false;
    if (*rating < *min_rating_) return file_.drop("below the minimum rating");
  }
  const std::uint8_t kind = event_kind(fields);
  const auto event = event_id(fields);
  if (!event) return false;
  const UserHandle user = known_user != kNoHandle ? known_user : insert(user_, fields);
  if (*event != kNoHandle && !log_.claim_event_id(*event, user)) return file_.drop("repeated event_id");
  append(user, known_item != kNoHandle ? known_item : insert(item_, fields), *time, kind, *value);
  return true;
}

// Small numbers, and texts that are one in the only way to write it, have a table of their own.
std::uint32_t InteractionLoader::find(IdColumn& column, const PlainField& field) {
  constexpr std::int64_t kMostNumbers = std::int64_t{1} << 22;
  const bool alone = column.kind == IdKind::int64 || field.text.size() == 1 || !field.text.starts_with('0');
  if (!field.is_number() || field.number >= kMostNumbers || !alone) return find(column, field.text);
  const auto number = static_cast<std::size_t>(field.number);
  auto& handles = column.handles_of_numbers;
  if (number >= handles.size()) handles.resize(std::bit_ceil(number + 1), kNoHandle);
  if (handles[number] == kNoHandle) handles[number] = find(column, field.text);
  return handles[number];
}

std::uint32_t InteractionLoader::find(IdColumn& column, std::string_view field) {
  if (column.remembers_last && same_text(column.last_text, field)) return column.last_handle;
  const std::uint32_t handle = column.ids.find(to_id(field, column.kind));
  if (column.remembers_last && handle != kNoHandle) {
    column.last_handle = handle;
    column.last_text = column.ids.id(handle).text();
  }
  return handle;
}

// No message shows a user who is out of place, as in a line whose fields are in another order.
bool InteractionLoader::is_user(const Fields& fields, std::size_t column) const {
  const std::string_view field = fields[column];
  return field == fields[user_.index] || user_.ids.find(to_id(field, user_.kind)) != kNoHandle;
}

std::string InteractionLoader::shown(const Fields& fields, std::size_t column) const {
  if (fields[column].empty()) return "nothing";
  return is_user(fields, column) ? "the id of a user" : in_quotes(fields[column], '\'');
}

bool InteractionLoader::accepts(const IdColumn& column, const Fields& fields) {
  const std::string_view field = fields[column.index];
  const IdKind kind = column.kind;
  if (column.ids.accepts(to_id(field, kind))) return true;
  if (field.empty()) {
    return file_.refuse(std::string("empty ") + column.name, in_column(column.name) + "expected an id, found nothing");
  }
  const char* const expected = kind == IdKind::string ? "text without NUL" : "a 64-bit integer";
  const std::string found =
      &column == &user_ ? std::to_string(field.size()) + " other characters" : shown(fields, column.index);
  return file_.refuse(std::string("bad id in ") + column.name,
                      in_column(column.name) + "expected " + expected + ", found " + found);
}

std::uint32_t InteractionLoader::insert(IdColumn& column, const Fields& fields) {
  return column.ids.insert(to_id(fields[column.index], column.kind));
}

std::optional<float> InteractionLoader::parse_value(std::size_t column, const Fields& fields) {
  if (column == kNone) return 1.0f;
  const std::string_view field = fields[column];
  if (field.size() == 1 && field[0] >= '0' && field[0] <= '9') return static_cast<float>(field[0] - '0');
  const auto value = parse_number<float>(field);
  if (value && std::isfinite(*value)) return value;
  const std::string& name = file_.columns()[column];
  file_.refuse("bad number in " + name, in_column(name) + "expected a finite number, found " + shown(fields, column));
  return std::nullopt;
}

std::optional<Timestamp> InteractionLoader::parse_time(const Fields& fields) {
  if (time_index_ == kNone) return kNoTime;
  const Timestamp time = time_.parse(fields[time_index_], file_.scanner().line());
  if (time != kNoTime) return time;
  const std::string& name = file_.columns()[time_index_];
  file_.refuse("bad time in " + name,
               in_column(name) + "expected " + time_.expected() + ", found " + shown(fields, time_index_));
  return std::nullopt;
}

std::uint8_t InteractionLoader::event_kind(const Fields& fields) {
  if (event_ == kNone) return 0;
  try {
    return log_.event_kind(fields[event_]);
  } catch (const Error& error) {
    const std::string of_user = "event: expected a kind of event, found the id of a user";
    throw Error(error.code(), file_.place() + (is_user(fields, event_) ? of_user : error.what()));
  }
}

std::optional<std::uint32_t> InteractionLoader::event_id(const Fields& fields) {
  if (event_id_ == kNone || fields[event_id_].empty()) return kNoHandle;
  const Id id = fields[event_id_];
  if (log_.event_ids_.accepts(id)) return log_.event_ids_.insert(id);
  file_.refuse("bad event_id", in_column("event_id") + "expected text without NUL");
  return std::nullopt;
}

// After some events, makes room for those of the whole file if they go on like that, and for an eighth more, as far as
// the log is to have them.
void InteractionLoader::append(UserHandle user, ItemHandle item, Timestamp time, std::uint8_t kind, float value) {
  constexpr std::size_t kEnoughToTell = 1024;
  log_.append(user, item, time, kind, value);
  if (log_.size() != kEnoughToTell) return;
  const RecordScanner& scanner = file_.scanner();
  const std::uint64_t expected = scanner.expected_bytes() / (scanner.scanned_bytes() / kEnoughToTell);
  log_.reserve(std::min<std::uint64_t>(expected + expected / 8, most_));
}

// Within the places that a user's events have in the log, so that other users keep theirs.
void InteractionLoader::order_by_position() {
  const auto position = std::span<const Timestamp>(log_.times_);
  RowGroups by_user(log_.users_, log_.user_ids_.size());
  std::vector<std::size_t> sorted(log_.size());
  const auto before = [&](std::size_t a, std::size_t b) { return position[a] < position[b]; };
  for (std::size_t user = 0; user < log_.user_ids_.size(); ++user) {
    const auto places = by_user.of(user);
    std::vector<std::size_t> rows(places.begin(), places.end());
    std::stable_sort(rows.begin(), rows.end(), before);
    for (std::size_t i = 0; i < rows.size(); ++i) sorted[places[i]] = rows[i];
  }
  const auto reorder = [&](auto& column) {
    const auto old = column;
    for (std::size_t row = 0; row < sorted.size(); ++row) column[row] = old[sorted[row]];
  };
  reorder(log_.items_);
  reorder(log_.kinds_);
  reorder(log_.values_);
  std::fill(log_.times_.begin(), log_.times_.end(), kNoTime);
}

}  // namespace attune::inline v0_1::detail
