// SPDX-License-Identifier: Apache-2.0
#include "serving/event_tables.hpp"

#include <set>
#include <unordered_map>

#include "attune/error.hpp"
#include "data/id_table.hpp"
#include "serving/event_clock.hpp"

namespace attune::inline v0_1 {
namespace {

constexpr std::int64_t kApplicationId = 0x6174746E;  // "attn"
constexpr std::int64_t kFormat = 2;                  // 1 has no profiles

constexpr const char* kProfiles = "CREATE TABLE profiles(user INTEGER PRIMARY KEY, profile TEXT NOT NULL)";
constexpr const char* kSchema[] = {
    "CREATE TABLE meta(key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID",
    "CREATE TABLE users(user INTEGER PRIMARY KEY, id)",
    "CREATE TABLE items(item INTEGER PRIMARY KEY, id NOT NULL)",
    "CREATE TABLE kinds(kind INTEGER PRIMARY KEY, name NOT NULL)",
    R"(CREATE TABLE events(seq INTEGER PRIMARY KEY, user INT NOT NULL, item INT NOT NULL, time INT NOT NULL,
                           kind INT NOT NULL, value REAL NOT NULL, event_id TEXT))",
    kProfiles,
    "CREATE TABLE forgotten(hash INTEGER PRIMARY KEY)",
    "CREATE TABLE erasures(user INTEGER PRIMARY KEY)",
    "INSERT INTO meta VALUES('salt', random())",
};

constexpr const char* kItems = "SELECT item, id FROM items";
constexpr const char* kColumns = "SELECT user, item, time, kind, value, event_id FROM events ";

}  // namespace

std::int64_t IdNumbers::find(const Id& id) const {
  if (id.is_number()) {
    const auto found = of_numbers_.find(id.number());
    return found == of_numbers_.end() ? 0 : found->second;
  }
  const auto found = of_texts_.find(id.text());
  return found == of_texts_.end() ? 0 : found->second;
}

void IdNumbers::insert(const Id& id, std::int64_t number) {
  if (id.is_number()) {
    of_numbers_.emplace(id.number(), number);
  } else {
    of_texts_.emplace(id.text(), number);
  }
  advance_to(number);
}

void IdNumbers::erase(const Id& id) {
  if (id.is_number()) {
    of_numbers_.erase(id.number());
  } else if (const auto found = of_texts_.find(id.text()); found != of_texts_.end()) {
    of_texts_.erase(found);
  }
}

void IdNumbers::clear() noexcept {
  of_texts_.clear();
  of_numbers_.clear();
  last_ = 0;
}

std::vector<Id> IdNumbers::ids() const {
  std::vector<Id> ids(static_cast<std::size_t>(last_) + 1);
  for (const auto& [text, number] : of_texts_) ids[static_cast<std::size_t>(number)] = Id(text);
  for (const auto& [id, number] : of_numbers_) ids[static_cast<std::size_t>(number)] = Id(id);
  return ids;
}

struct EventTables::Insertions {
  explicit Insertions(SqliteDatabase& database)
      : event(database, "INSERT INTO events(user, item, time, kind, value, event_id) VALUES(?, ?, ?, ?, ?, ?)"),
        user(database, "INSERT INTO users VALUES(?, ?)"),
        item(database, "INSERT INTO items VALUES(?, ?)"),
        kind(database, "INSERT INTO kinds VALUES(?, ?)") {}
  SqliteStatement event, user, item, kind;
};

EventTables::EventTables(const std::string& path) : database_(path) {
  if (database_.read_only()) {
    throw Error(ErrorCode::io_error, "event store \"" + path +
                                         "\": expected a file that may be written, found one "
                                         "that may only be read");
  }
  const bool fresh = is_new();
  if (!fresh) check_format();
  if (const std::string mode = database_.text("PRAGMA journal_mode = WAL"); mode != "wal") {
    throw Error(ErrorCode::io_error, "event store \"" + path + "\": expected a log of the mode wal, found " + mode);
  }
  database_.execute("PRAGMA synchronous = FULL");
  database_.execute("PRAGMA secure_delete = ON");
  database_.execute("PRAGMA journal_size_limit = 67108864");
  if (fresh) create();
  if (const std::string found = database_.text("PRAGMA quick_check(1)"); found != "ok") {
    throw Error(ErrorCode::corrupt_file, "event store \"" + path + "\": " + found);
  }
  salt_ = database_.number("SELECT value FROM meta WHERE key = 'salt'");
  finish_pruning();
  finish_erasures();
  insertions_ = std::make_unique<Insertions>(database_);
  load_numbers();
}

EventTables::~EventTables() = default;

// Throws where it is something else.
bool EventTables::is_new() {
  const std::int64_t id = database_.number("PRAGMA application_id");
  if (id == kApplicationId) return false;
  if (id == 0 && database_.number("SELECT count(*) FROM sqlite_schema") == 0) return true;
  throw Error(ErrorCode::invalid_argument,
              "event store \"" + database_.path() + "\": expected an event store, found another SQLite database");
}

void EventTables::create() {
  SqliteTransaction transaction(database_);
  for (const char* const sql : kSchema) database_.execute(sql);
  SqliteStatement(database_, "INSERT INTO meta VALUES('format', ?)").bind(0, kFormat).run();
  const std::string identify = "PRAGMA application_id = " + std::to_string(kApplicationId);
  database_.execute(identify.c_str());
  transaction.commit();
}

void EventTables::check_format() {
  const std::int64_t format = database_.number("SELECT value FROM meta WHERE key = 'format'");
  const std::string name = "event store \"" + database_.path() + "\": ";
  if (format > kFormat) {
    throw Error(ErrorCode::unsupported_version, name + "format version " + std::to_string(format) +
                                                    ", this attune reads up to " + std::to_string(kFormat));
  }
  if (format < 1) throw Error(ErrorCode::corrupt_file, name + "format version " + std::to_string(format));
  if (format == kFormat) return;
  SqliteTransaction transaction(database_);
  database_.execute(kProfiles);
  SqliteStatement(database_, "UPDATE meta SET value = ? WHERE key = 'format'").bind(0, kFormat).run();
  transaction.commit();
}

void EventTables::load(IdNumbers& numbers, const char* sql) {
  numbers.clear();
  SqliteStatement rows(database_, sql);
  while (rows.next()) {
    if (rows.number(0) < 1) {
      throw Error(ErrorCode::corrupt_file,
                  "event store \"" + database_.path() + "\": an id has the number " + std::to_string(rows.number(0)));
    }
    const Id id = rows.id(1);
    id.empty() ? numbers.advance_to(rows.number(0)) : numbers.insert(id, rows.number(0));
  }
}

void EventTables::load_numbers() {
  load(users_, "SELECT user, id FROM users");
  load(items_, kItems);
  load(kinds_, "SELECT kind, name FROM kinds");
}

std::int64_t EventTables::number_of(const Id& id, IdNumbers& numbers, SqliteStatement& insertion) {
  if (const std::int64_t number = numbers.find(id); number != 0) return number;
  const std::int64_t number = numbers.last() + 1;
  insertion.bind(0, number).bind(1, id).run();
  numbers.insert(id, number);
  return number;
}

void EventTables::append(const Interaction& event, std::int64_t user) {
  const std::int64_t item = number_of(event.item, items_, insertions_->item);
  const std::int64_t kind = event.event.empty() ? 0 : number_of(Id(event.event), kinds_, insertions_->kind);
  insertions_->event.bind(0, user).bind(1, item).bind(2, event.timestamp).bind(3, kind);
  insertions_->event.bind(4, static_cast<double>(event.value)).bind_optional(5, event.event_id).run();
}

void EventTables::write(const QueuedEvents& events) {
  SqliteTransaction transaction(database_);
  for (std::size_t i = 0; i < events.size(); ++i) {
    const Interaction event = events[i];
    append(event, number_of(event.user, users_, insertions_->user));
  }
  transaction.commit();
}

void EventTables::shorten_log() {
  constexpr int kManyPages = 400;
  if (database_.log_pages() >= kManyPages) database_.execute("PRAGMA wal_checkpoint(PASSIVE)");
}

void EventTables::visit_rows(SqliteStatement& rows, const Visitor& visit) {
  const std::vector<Id> users = users_.ids(), items = items_.ids(), kinds = kinds_.ids();
  const auto id_of = [&](const std::vector<Id>& ids, std::int64_t number) -> const Id& {
    if (number > 0 && number < std::ssize(ids) && !ids[static_cast<std::size_t>(number)].empty()) {
      return ids[static_cast<std::size_t>(number)];
    }
    throw Error(ErrorCode::corrupt_file, "event store \"" + database_.path() + "\": an event has the number " +
                                             std::to_string(number) + " of no user, item or kind");
  };
  while (rows.next()) {
    const std::string_view kind = rows.number(3) == 0 ? std::string_view() : id_of(kinds, rows.number(3)).text();
    visit({id_of(users, rows.number(0)), id_of(items, rows.number(1)), rows.number(2), kind,
           static_cast<float>(rows.real(4)), rows.text(5)});
  }
}

void EventTables::visit_all(const Visitor& visit) {
  SqliteStatement rows(database_, (std::string(kColumns) + "WHERE user <> 0 ORDER BY seq").c_str());
  visit_rows(rows, visit);
}

void EventTables::visit(const Id& user, const Visitor& visit) {
  SqliteStatement rows(database_, (std::string(kColumns) + "WHERE user = ? ORDER BY seq").c_str());
  const std::int64_t number = users_.find(user);
  if (number != 0) visit_rows(rows.bind(0, number), visit);
}

std::int64_t EventTables::hash_of(const Id& user) const noexcept {
  const auto salt = static_cast<std::uint64_t>(salt_);
  return static_cast<std::int64_t>(user.is_number() ? detail::hash(user.number(), salt)
                                                    : detail::hash(user.text(), salt));
}

std::vector<std::int64_t> EventTables::forgotten() {
  std::vector<std::int64_t> hashes;
  SqliteStatement rows(database_, "SELECT hash FROM forgotten");
  while (rows.next()) hashes.push_back(rows.number(0));
  return hashes;
}

void EventTables::put_profile(const Id& user, std::string_view profile) {
  SqliteTransaction transaction(database_);
  const std::int64_t number = number_of(user, users_, insertions_->user);
  if (profile.empty()) {
    SqliteStatement(database_, "DELETE FROM profiles WHERE user = ?").bind(0, number).run();
  } else {
    SqliteStatement(database_, "INSERT OR REPLACE INTO profiles VALUES(?, ?)").bind(0, number).bind(1, profile).run();
  }
  transaction.commit();
}

void EventTables::visit_profiles(const std::function<void(const Id&, std::string_view)>& visit) {
  const std::vector<Id> users = users_.ids();
  SqliteStatement rows(database_, "SELECT user, profile FROM profiles");
  while (rows.next()) {
    const std::int64_t user = rows.number(0);
    if (user < 1 || user >= std::ssize(users) || users[static_cast<std::size_t>(user)].empty()) {
      throw Error(ErrorCode::corrupt_file, "event store \"" + database_.path() + "\": a profile has the number " +
                                               std::to_string(user) + " of no user");
    }
    visit(users[static_cast<std::size_t>(user)], rows.text(1));
  }
}

void EventTables::begin_erasure(const Id& user) {
  SqliteStatement(database_, "INSERT OR IGNORE INTO forgotten VALUES(?)").bind(0, hash_of(user)).run();
  const std::int64_t number = users_.find(user);
  if (number == 0) return;
  SqliteStatement(database_, "INSERT INTO erasures VALUES(?)").bind(0, number).run();
}

void EventTables::erase(const Id& user) {
  SqliteTransaction transaction(database_);
  begin_erasure(user);
  transaction.commit();
  users_.erase(user);
  finish_erasures();
}

void EventTables::merge(const Id& from, const Id& to, std::span<const Interaction> further) {
  SqliteTransaction transaction(database_);
  const std::int64_t source = users_.find(from), target = number_of(to, users_, insertions_->user);
  for (const Interaction& event : further) append(event, target);
  if (source != 0) {
    SqliteStatement(database_,
                    "INSERT INTO events(user, item, time, kind, value, event_id) "
                    "SELECT ?, item, time, kind, value, event_id FROM events WHERE user = ? ORDER BY seq")
        .bind(0, target)
        .bind(1, source)
        .run();
  }
  begin_erasure(from);
  transaction.commit();
  users_.erase(from);
  finish_erasures();
}

// The names of those that only users who are being erased had; whether there were any. One scan takes less than a query
// that says this.
bool EventTables::erase_items() {
  enum : std::uint8_t { kLeaves = 1, kStays = 2 };
  std::set<std::int64_t> leaving;
  SqliteStatement users(database_, "SELECT user FROM erasures");
  while (users.next()) leaving.insert(users.number(0));
  std::unordered_map<std::int64_t, std::uint8_t> had;  // numbers may leave gaps
  SqliteStatement rows(database_, "SELECT user, item FROM events WHERE user <> 0");
  while (rows.next()) had[rows.number(1)] |= leaving.contains(rows.number(0)) ? kLeaves : kStays;
  SqliteStatement erasure(database_, "UPDATE items SET id = '' WHERE item = ?");
  bool any = false;
  for (const auto& [item, whose] : had) {
    if (whose != kLeaves) continue;
    erasure.bind(0, item).run();
    any = true;
  }
  return any;
}

void EventTables::finish_erasures() {
  if (database_.number("SELECT count(*) FROM erasures") != 0) {
    SqliteTransaction transaction(database_);
    const bool without_items = erase_items();
    database_.execute(
        "UPDATE events SET user = 0, item = 0, time = 0, kind = 0, value = 0, event_id = NULL "
        "WHERE user IN (SELECT user FROM erasures)");
    database_.execute("DELETE FROM profiles WHERE user IN (SELECT user FROM erasures)");
    database_.execute("UPDATE users SET id = NULL WHERE user IN (SELECT user FROM erasures)");
    database_.execute("DELETE FROM erasures");
    transaction.commit();
    if (without_items) load(items_, kItems);
  }
  empty_log();
}

// What was overwritten stands in the log until then.
void EventTables::empty_log() {
  if (database_.number("PRAGMA wal_checkpoint(TRUNCATE)") == 0) return;
  throw Error(ErrorCode::io_error, "event store \"" + database_.path() + "\": the log cannot be emptied");
}

Timestamp EventTables::now() {
  EventClock clock;
  std::int64_t ahead = 0;
  for (int i = 0; i < 2; ++i) {  // the newest event, and that of all other users
    SqliteStatement row(database_,
                        "SELECT user, time FROM events WHERE user <> 0 AND user <> ? ORDER BY time DESC LIMIT 1");
    if (!row.bind(0, ahead).next()) break;
    ahead = row.number(0);
    clock.see(static_cast<std::uint64_t>(ahead), row.number(1));
  }
  return clock.now();
}

std::size_t EventTables::prune(Timestamp before) {
  SqliteTransaction transaction(database_);
  database_.execute("DELETE FROM events WHERE user = 0");
  std::int64_t removed = database_.changes();
  SqliteStatement(database_, "DELETE FROM events WHERE time < ? AND time <> ?").bind(0, before).bind(1, kNoTime).run();
  const std::int64_t pruned = database_.changes();
  database_.execute(
      "DELETE FROM users WHERE user NOT IN (SELECT user FROM events) AND user NOT IN (SELECT user FROM profiles)");
  removed += pruned + database_.changes();
  if (removed != 0) database_.execute("INSERT OR IGNORE INTO meta VALUES('vacuum', 1)");
  transaction.commit();
  finish_pruning();
  load_numbers();
  return static_cast<std::size_t>(pruned);
}

// What was deleted has left copies of other rows behind.
void EventTables::finish_pruning() {
  if (database_.number("SELECT count(*) FROM meta WHERE key = 'vacuum'") == 0) return;
  database_.execute("VACUUM");
  database_.execute("DELETE FROM meta WHERE key = 'vacuum'");
  empty_log();
}

}  // namespace attune::inline v0_1
