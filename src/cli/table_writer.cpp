// SPDX-License-Identifier: Apache-2.0
#include "cli/table_writer.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

#include "attune/error.hpp"
#include "cli/arguments.hpp"
#include "cli/console.hpp"
#include "data/json_scanner.hpp"
#include "data/known_tables.hpp"
#include "data/text.hpp"

namespace attune::cli {
namespace {

using Kind = TableForm::Kind;

// A field alone in its line is quoted where the line would be a blank one.
void append_field(std::string_view field, char separator, bool alone, std::string& line) {
  const char special[] = {separator, '"', '\r', '\n'};
  const bool blank = field.find_first_not_of(' ') == std::string_view::npos;
  if (field.find_first_of(std::string_view(special, sizeof(special))) == std::string_view::npos && !(alone && blank)) {
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

std::string in_column(const std::string& name) { return "column '" + name + "': "; }

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

TableLines::TableLines(Kind form, std::vector<std::string> columns, const std::string& file)
    : form_(form), columns_(std::move(columns)) {
  const auto fail = [&](const std::string& problem) { throw Error(ErrorCode::invalid_data, file + ": " + problem); };
  std::set<std::string> known;
  for (const std::string& column : columns_) {
    numbers_.push_back(detail::is_number_column(column));
    if (form_ == Kind::json_lines && !detail::is_utf8(column)) fail("expected names of columns in UTF-8, found others");
    names_.push_back(form_ == Kind::json_lines ? Json(column).dump() + ':'
                     : form_ == Kind::atomic   ? detail::atomic_name(column)
                                               : column);
    if (column.empty()) continue;
    ++written_;
    const bool is_new = known.insert(names_.back()).second;
    if (is_new || form_ == Kind::csv || form_ == Kind::tsv) continue;
    fail("expected columns of different names, found '" + column + "' twice");
  }
}

std::string TableLines::header() const {
  std::string line;
  if (form_ != Kind::json_lines) append_delimited({names_.begin(), names_.end()}, line);
  return line;
}

Unwritable TableLines::append(const std::vector<std::string_view>& fields, std::string& lines) const {
  if (form_ == Kind::json_lines) return append_object(fields, lines);
  for (std::size_t i = 0; form_ == Kind::atomic && i < fields.size(); ++i) {
    if (!numbers_[i] || !is_written(i)) continue;
    if (const auto number = detail::parse_number<double>(fields[i]); number && std::isfinite(*number)) continue;
    return {"bad number in " + columns_[i], in_column(columns_[i]) + "expected a finite number, found " +
                                                (fields[i].empty() ? "nothing" : "other text")};
  }
  append_delimited(fields, lines);
  return {};
}

Unwritable TableLines::append_object(const std::vector<std::string_view>& fields, std::string& lines) const {
  const std::size_t begin = lines.size();
  char before = '{';
  for (std::size_t i = 0; i < fields.size(); ++i) {
    if (!is_written(i)) continue;
    const bool number = numbers_[i] && !fields[i].empty() && detail::json_number_size(fields[i]) == fields[i].size();
    if (!detail::is_utf8(fields[i])) {
      lines.resize(begin);
      return {"not UTF-8", in_column(columns_[i]) + "expected UTF-8, found other bytes (--encoding)"};
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
    if (!std::exchange(first, false)) lines += separator;
    append_field(fields[i], separator, written_ == 1, lines);
  }
  lines += '\n';
}

}  // namespace attune::cli
