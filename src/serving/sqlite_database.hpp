// SPDX-License-Identifier: Apache-2.0
#pragma once

// SQLite as the event store uses it: errors as attune::Error that names the file, statements that clean up after
// themselves. Not synchronised.

#include <cstdint>
#include <string>
#include <string_view>

#include "attune/types.hpp"

struct sqlite3;
struct sqlite3_stmt;

namespace attune::inline v0_1 {

class SqliteStatement;

class SqliteDatabase {
 public:
  // Opens or creates the file, for this process alone. Throws Error.
  explicit SqliteDatabase(const std::string& path);
  SqliteDatabase(SqliteDatabase&&) = delete;
  ~SqliteDatabase();

  void execute(const char* sql);
  std::int64_t number(const char* sql);  // the first column of the first row; 0 for no row and for null
  std::string text(const char* sql);     // the same; ""
  bool read_only() const noexcept;
  std::int64_t changes() const noexcept;      // rows that the last statement changed
  std::int64_t last_row_id() const noexcept;  // that the last insertion made
  // How many pages the log had after the last transaction. It grows until somebody empties it.
  int log_pages() const noexcept { return log_pages_; }
  // What is in the log goes into the file when that is closed, unless this says no.
  void keep_log() noexcept;
  [[noreturn]] void fail(int code) const;
  const std::string& path() const noexcept { return path_; }

 private:
  friend class SqliteStatement;
  std::string path_;
  sqlite3* handle_ = nullptr;
  int log_pages_ = 0;
};

// Columns and parameters count from 0.
class SqliteStatement {
 public:
  SqliteStatement(SqliteDatabase& database, const char* sql);
  SqliteStatement(SqliteStatement&&) = delete;
  ~SqliteStatement();

  // What is bound must outlive run(). "" of an optional text is null.
  SqliteStatement& bind(int parameter, std::int64_t number);
  SqliteStatement& bind(int parameter, double number);
  SqliteStatement& bind(int parameter, std::string_view text);
  SqliteStatement& bind(int parameter, const Id& id);
  SqliteStatement& bind_optional(int parameter, std::string_view text);
  // For a statement without rows.
  void run();
  // False after the last row, and then the statement may be bound and run anew.
  bool next();
  // The views are valid until next().
  std::int64_t number(int column) const noexcept;
  double real(int column) const noexcept;
  std::string_view text(int column) const;
  Id id(int column) const;
  void reset() noexcept;

 private:
  void check(int code) const;
  SqliteDatabase& database_;
  sqlite3_stmt* statement_ = nullptr;
};

// Rolled back unless it is committed.
class SqliteTransaction {
 public:
  explicit SqliteTransaction(SqliteDatabase& database) : database_(database) { database_.execute("BEGIN"); }
  SqliteTransaction(SqliteTransaction&&) = delete;
  ~SqliteTransaction();
  void commit();

 private:
  SqliteDatabase& database_;
  bool open_ = true;
};

}  // namespace attune::inline v0_1
