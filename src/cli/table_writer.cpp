// SPDX-License-Identifier: Apache-2.0
#include "cli/table_writer.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <utility>

#include "attune/error.hpp"
#include "cli/arguments.hpp"
#include "cli/console.hpp"
#include "data/json_scanner.hpp"
#include "data/known_tables.hpp"
#include "data/record_scanner.hpp"
#include "data/separator.hpp"
#include "data/text.hpp"

namespace attune::cli {
namespace {

using Kind = TableForm::Kind;

// Where a field stands in its line. One that is alone there is quoted where the line would be a blank one, the first
// where the file could be taken for JSON, or for one with a byte order mark.
struct Place {
  bool first, alone;
};

bool is_quoted(std::string_view field, char separator, Place place) noexcept {
  const char special[] = {separator, '"', '\r', '\n'};
  if (field.find_first_of(std::string_view(special, sizeof(special))) != std::string_view::npos) return true;
  const std::size_t begin = field.find_first_not_of(" \t");
  if (begin == std::string_view::npos) return place.alone;
  const bool marked = detail::without_byte_order_mark(field).size() < field.size();
  return place.first && (field[begin] == '{' || field[begin] == '[' || marked);
}

void append_field(std::string_view field, char separator, Place place, std::string& line) {
  if (!is_quoted(field, separator, place)) {
    line += field;
    return;
  }
  line += '"';
  for (const char c : field) {
    if (c == '"') line += '"';
    line += c;
  }
  line += '"';
}

// Whether a column holds a number by its name: a time, a value or a rating.
bool is_number_column(std::string_view column) noexcept {
  constexpr std::array<std::string_view, 5> kNumbers{"timestamp", "timestamp_ms", "position", "value", "rating"};
  return std::any_of(kNumbers.begin(), kNumbers.end(),
                     [&](std::string_view name) { return detail::equals_ignoring_case(name, column); });
}

// user is user_id:token, rating is rating:float, and a type that is known stays.
std::string atomic_name(std::string_view column, const std::string& type) {
  const auto known =
      std::find_if(detail::kAtomicNames.begin(), detail::kAtomicNames.end(),
                   [&](const detail::AtomicName& name) { return detail::equals_ignoring_case(name.column, column); });
  const std::string name(known == detail::kAtomicNames.end() ? column : known->atomic);
  return name + ':' + (!type.empty() ? type : is_number_column(column) ? "float" : "token");
}

void require_names(const LoadReport& read) {
  const auto unnamed = std::find(read.columns.begin(), read.columns.end(), "");
  if (unnamed == read.columns.end()) return;
  throw Error(ErrorCode::invalid_data, read.file + ": expected a name for each column, found none for column " +
                                           std::to_string(unnamed - read.columns.begin() + 1) +
                                           "; name the columns (--columns), and leave out those without a name");
}

}  // namespace

TableForm TableForm::of(const std::string& file) {
  std::filesystem::path path(file);
  TableForm form;
  form.gzip = path.extension() == ".gz";
  if (form.gzip) path = path.stem();
  const std::string ending = path.extension().string();
  if (ending == ".csv") return form;
  form.kind = Kind::tsv;
  if (ending == ".tsv") return form;
  form.kind = Kind::json_lines;
  if (ending == ".jsonl" || ending == ".ndjson") return form;
  form.kind = Kind::atomic;
  if (ending == ".inter" || ending == ".item" || ending == ".user") return form;
  throw UsageError("output: expected a name that ends in .csv, .tsv, .jsonl, .ndjson, .inter, .item or .user, and " +
                   std::string("perhaps .gz behind it, found '") + file + "'");
}

std::string TableForm::name() const {
  switch (kind) {
    case Kind::csv: return "csv";
    case Kind::tsv: return "tsv";
    case Kind::json_lines: return "json_lines";
    case Kind::atomic: break;
  }
  return "atomic";
}

TableLines::TableLines(Kind form, const LoadReport& read, bool leaves_out_unnamed, const std::string& file)
    : form_(form), columns_(read.columns) {
  const auto fail = [&](const std::string& problem) { throw Error(ErrorCode::invalid_data, file + ": " + problem); };
  if (!leaves_out_unnamed) require_names(read);
  std::map<std::string, std::string> known;  // columns by what they are called there
  for (std::size_t i = 0; i < columns_.size(); ++i) {
    const std::string& column = columns_[i];
    const std::string type = i < read.types.size() ? read.types[i] : "";
    numbers_.push_back(is_number_column(column) && (form_ != Kind::atomic || type.empty() || type == "float"));
    if (form_ == Kind::json_lines && !detail::is_utf8(column)) fail("expected names of columns in UTF-8, found others");
    names_.push_back(form_ == Kind::json_lines ? Json(column).dump() + ':'
                     : form_ == Kind::atomic   ? atomic_name(column, type)
                                               : column);
    if (column.empty()) continue;
    ++written_;
    const auto [same, is_new] = known.emplace(names_.back(), column);
    if (is_new || form_ == Kind::csv || form_ == Kind::tsv) continue;
    fail("expected columns of different names, found " +
         (same->second == column
              ? "'" + column + "' twice"
              : "'" + same->second + "' and '" + column + "', which are both '" + names_.back() + "' there"));
  }
}

std::string TableLines::header() const {
  std::string line;
  if (form_ != Kind::json_lines) append_delimited({names_.begin(), names_.end()}, line);
  return line;
}

Unwritable TableLines::append(const std::vector<std::string_view>& fields, std::string& lines) const {
  const std::size_t begin = lines.size();
  for (std::size_t i = 0; form_ == Kind::atomic && i < fields.size(); ++i) {
    if (!numbers_[i] || !is_written(i)) continue;
    if (const auto number = detail::parse_number<double>(fields[i]); number && std::isfinite(*number)) continue;
    return {"bad number in " + columns_[i], detail::in_column(columns_[i]) + "expected a finite number, found " +
                                                (fields[i].empty() ? "nothing" : "other text")};
  }
  if (form_ != Kind::json_lines) {
    append_delimited(fields, lines);
  } else if (Unwritable problem = append_object(fields, lines); !problem.reason.empty()) {
    return problem;
  }
  constexpr std::size_t kMost = detail::RecordScanner::kMaxRecordBytes;
  if (lines.size() - begin <= kMost) return {};
  lines.resize(begin);
  return {"too long",
          "expected a record of at most " + std::to_string(kMost >> 20) + " MiB as it is written, found a longer one"};
}

Unwritable TableLines::append_object(const std::vector<std::string_view>& fields, std::string& lines) const {
  const std::size_t begin = lines.size();
  char before = '{';
  for (std::size_t i = 0; i < fields.size(); ++i) {
    if (!is_written(i)) continue;
    const bool number = numbers_[i] && !fields[i].empty() && detail::json_number_size(fields[i]) == fields[i].size();
    if (!detail::is_utf8(fields[i])) {
      lines.resize(begin);
      return {"not UTF-8", detail::in_column(columns_[i]) + "expected UTF-8, found other bytes (--encoding)"};
    }
    (lines += before) += names_[i];
    lines += number ? std::string(fields[i]) : Json(fields[i]).dump();
    before = ',';
  }
  lines += before == '{' ? "{}\n" : "}\n";
  return {};
}

void TableLines::append_delimited(const std::vector<std::string_view>& fields, std::string& lines) const {
  const char separator = form_ == Kind::csv ? ',' : '\t';
  bool first = true;
  for (std::size_t i = 0; i < fields.size(); ++i) {
    if (!is_written(i)) continue;
    if (!first) lines += separator;
    append_field(fields[i], separator, {first, written_ == 1}, lines);
    first = false;
  }
  lines += '\n';
}

std::size_t write_table(DelimitedReader& reader, const TableLines& table,
                        const std::function<void(std::vector<std::string_view>& fields)>& change,
                        const std::function<void(std::string_view text)>& write) {
  constexpr std::size_t kWrittenAtOnce = std::size_t{1} << 16;
  std::string lines = table.header();
  std::size_t written = 0;
  for (std::vector<std::string_view> fields; reader.next(fields);) {
    if (!reader.is_whole(fields)) continue;
    if (change) change(fields);
    if (const Unwritable problem = table.append(fields, lines); !problem.reason.empty()) {
      reader.refuse(problem.reason, problem.expected_and_found);
      continue;
    }
    ++written;
    if (lines.size() < kWrittenAtOnce) continue;
    write(lines);
    lines.clear();
  }
  write(lines);
  return written;
}

}  // namespace attune::cli
