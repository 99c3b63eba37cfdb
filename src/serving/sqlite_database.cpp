// SPDX-License-Identifier: Apache-2.0
#include "serving/sqlite_database.hpp"

#include <sqlite3.h>

#include <filesystem>
#include <utility>

#include "attune/error.hpp"

namespace attune::inline v0_1 {
namespace {

ErrorCode code_of(int sqlite_code) noexcept {
  switch (sqlite_code & 0xff) {
    case SQLITE_CORRUPT:
    case SQLITE_NOTADB: return ErrorCode::corrupt_file;
    case SQLITE_NOMEM: return ErrorCode::limit_exceeded;
    default: return ErrorCode::io_error;
  }
}

// SQLite takes some names for something else than a file; an absolute path is none of them.
std::string file_of(const std::string& path) {
  if (path.empty() || path.find('\0') != std::string::npos) {
    throw Error(ErrorCode::invalid_argument, "event store: expected the path of a file, found \"" + path + "\"");
  }
  return std::filesystem::absolute(path).string();
}

}  // namespace

SqliteDatabase::SqliteDatabase(const std::string& path) : path_(path) {
  constexpr int kFlags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX | SQLITE_OPEN_PRIVATECACHE;
  const int code = ::sqlite3_open_v2(file_of(path).c_str(), &handle_, kFlags, nullptr);
  try {
    if (code != SQLITE_OK) fail(code);
    ::sqlite3_extended_result_codes(handle_, 1);
    ::sqlite3_db_config(handle_, SQLITE_DBCONFIG_DEFENSIVE, 1, nullptr);
    execute("PRAGMA locking_mode = EXCLUSIVE");
    execute("PRAGMA temp_store = MEMORY");
    execute("PRAGMA trusted_schema = OFF");
    execute("PRAGMA cell_size_check = ON");
    const auto note_pages = [](void* database, sqlite3*, const char*, int pages) {
      static_cast<SqliteDatabase*>(database)->log_pages_ = pages;
      return SQLITE_OK;
    };
    ::sqlite3_wal_hook(handle_, note_pages, this);  // instead of SQLite's own, which forgets what fails
  } catch (...) {
    ::sqlite3_close(handle_);
    throw;
  }
}

SqliteDatabase::~SqliteDatabase() { ::sqlite3_close(handle_); }

void SqliteDatabase::execute(const char* sql) {
  SqliteStatement statement(*this, sql);
  while (statement.next()) {
  }
}

std::int64_t SqliteDatabase::number(const char* sql) {
  SqliteStatement statement(*this, sql);
  return statement.next() ? statement.number(0) : 0;
}

std::string SqliteDatabase::text(const char* sql) {
  SqliteStatement statement(*this, sql);
  return statement.next() ? std::string(statement.text(0)) : std::string();
}

bool SqliteDatabase::read_only() const noexcept { return ::sqlite3_db_readonly(handle_, "main") == 1; }
std::int64_t SqliteDatabase::changes() const noexcept { return ::sqlite3_changes64(handle_); }
std::int64_t SqliteDatabase::last_row_id() const noexcept { return ::sqlite3_last_insert_rowid(handle_); }

void SqliteDatabase::keep_log() noexcept { ::sqlite3_db_config(handle_, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, nullptr); }

void SqliteDatabase::fail(int code) const {
  std::string reason = handle_ != nullptr ? ::sqlite3_errmsg(handle_) : ::sqlite3_errstr(code);
  if ((code & 0xff) == SQLITE_BUSY) reason = "another process, or another store of this one, has it open";
  throw Error(code_of(code), "event store \"" + path_ + "\": " + reason);
}

SqliteStatement::SqliteStatement(SqliteDatabase& database, const char* sql) : database_(database) {
  check(::sqlite3_prepare_v3(database.handle_, sql, -1, 0, &statement_, nullptr));
}

SqliteStatement::~SqliteStatement() { ::sqlite3_finalize(statement_); }

void SqliteStatement::check(int code) const {
  if (code != SQLITE_OK) database_.fail(code);
}

SqliteStatement& SqliteStatement::bind(int parameter, std::int64_t number) {
  check(::sqlite3_bind_int64(statement_, parameter + 1, number));
  return *this;
}

SqliteStatement& SqliteStatement::bind(int parameter, double number) {
  check(::sqlite3_bind_double(statement_, parameter + 1, number));
  return *this;
}

SqliteStatement& SqliteStatement::bind(int parameter, std::string_view text) {
  const char* const begin = text.data() != nullptr ? text.data() : "";
  check(::sqlite3_bind_text64(statement_, parameter + 1, begin, text.size(), SQLITE_STATIC, SQLITE_UTF8));
  return *this;
}

SqliteStatement& SqliteStatement::bind(int parameter, const Id& id) {
  return id.is_number() ? bind(parameter, id.number()) : bind(parameter, id.text());
}

SqliteStatement& SqliteStatement::bind_optional(int parameter, std::string_view text) {
  if (!text.empty()) return bind(parameter, text);
  check(::sqlite3_bind_null(statement_, parameter + 1));
  return *this;
}

void SqliteStatement::run() {
  while (next()) {
  }
}

bool SqliteStatement::next() {
  const int code = ::sqlite3_step(statement_);
  if (code == SQLITE_ROW) return true;
  if (code != SQLITE_DONE) {
    try {
      database_.fail(code);
    } catch (...) {
      reset();  // which changes the message of the connection
      throw;
    }
  }
  reset();
  return false;
}

void SqliteStatement::reset() noexcept { ::sqlite3_reset(statement_); }

std::int64_t SqliteStatement::number(int column) const noexcept { return ::sqlite3_column_int64(statement_, column); }
double SqliteStatement::real(int column) const noexcept { return ::sqlite3_column_double(statement_, column); }

std::string_view SqliteStatement::text(int column) const {
  const auto* const begin = reinterpret_cast<const char*>(::sqlite3_column_text(statement_, column));
  if (begin == nullptr) {
    if (::sqlite3_column_type(statement_, column) != SQLITE_NULL) database_.fail(SQLITE_NOMEM);
    return {};
  }
  return {begin, static_cast<std::size_t>(::sqlite3_column_bytes(statement_, column))};
}

Id SqliteStatement::id(int column) const {
  return ::sqlite3_column_type(statement_, column) == SQLITE_INTEGER ? Id(number(column)) : Id(text(column));
}

void SqliteTransaction::commit() {
  database_.execute("COMMIT");
  open_ = false;
}

SqliteTransaction::~SqliteTransaction() {
  if (!open_) return;
  try {
    database_.execute("ROLLBACK");
  } catch (...) {  // a failed write has rolled back already
  }
}

}  // namespace attune::inline v0_1
