// SPDX-License-Identifier: Apache-2.0

// attune convert: a table of interactions, items or users in another form.

#include <zlib.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <new>
#include <nlohmann/json.hpp>
#include <ostream>
#include <span>
#include <string>
#include <string_view>

#include "attune/data/reader.hpp"
#include "attune/error.hpp"
#include "cli/input.hpp"
#include "cli/table_writer.hpp"
#include "cli/verbs.hpp"
#include "platform/clock.hpp"
#include "platform/files.hpp"

namespace attune::cli {
namespace {

// Text into a file, compressed or not. What is in it counts after finish().
class TextOutput {
 public:
  TextOutput(platform::OutputFile& file, bool compress) : file_(file), compress_(compress) {
    constexpr int kGzip = 16 + MAX_WBITS, kDefaultMemory = 8;
    if (compress_ &&
        deflateInit2(&stream_, Z_DEFAULT_COMPRESSION, Z_DEFLATED, kGzip, kDefaultMemory, Z_DEFAULT_STRATEGY) != Z_OK) {
      throw std::bad_alloc();
    }
  }
  ~TextOutput() {
    if (compress_) deflateEnd(&stream_);
  }
  TextOutput(const TextOutput&) = delete;
  TextOutput& operator=(const TextOutput&) = delete;

  void write(std::string_view text) {
    if (!compress_) return file_.write(std::as_bytes(std::span(text)));
    for (; !text.empty(); text.remove_prefix(std::min(text.size(), kPart))) deflate(text.substr(0, kPart), Z_NO_FLUSH);
  }
  void finish() {
    if (compress_) deflate({}, Z_FINISH);
  }

 private:
  static constexpr std::size_t kPart = std::size_t{1} << 30;  // zlib counts in 32 bits

  void deflate(std::string_view text, int flush) {
    stream_.next_in = reinterpret_cast<z_const Bytef*>(const_cast<char*>(text.data()));
    stream_.avail_in = static_cast<uInt>(text.size());
    std::array<std::byte, 65536> bytes;
    do {
      stream_.next_out = reinterpret_cast<Bytef*>(bytes.data());
      stream_.avail_out = static_cast<uInt>(bytes.size());
      ::deflate(&stream_, flush);
      file_.write(std::span(bytes).first(bytes.size() - stream_.avail_out));
    } while (stream_.avail_out == 0);
  }

  platform::OutputFile& file_;
  bool compress_;
  z_stream stream_{};
};

// A table says what it is about in its columns. Without one of these names they may be a line of data.
void check_columns(const DelimitedReader& reader, const DataOptions& options) {
  for (const char* const name : {"user", "session", "item"}) {
    if (reader.column(name) != DelimitedReader::npos) return;
  }
  const LoadReport read = reader.report();
  const char* const advice = !options.columns.empty()    ? ""
                             : read.form == "json_lines" ? "; name the fields in their order (--columns)"
                             : read.form == "atomic"     ? "; give the columns other names (--columns)"
                                                     : "; where there is no header line, name the columns (--columns)";
  throw Error(ErrorCode::invalid_data, read.file + ": expected a column 'user', 'session' or 'item', found " +
                                           plural(read.columns.size(), "column", "columns") + " of other names" +
                                           advice);
}

void fail_if_empty(const LoadReport& load, std::size_t written) {
  if (written != 0) return;
  std::string problem =
      load.file + ": expected records, found none that can be written in " + std::to_string(load.records);
  if (!load.dropped.empty()) {
    problem += "; first dropped in line " + std::to_string(load.dropped[0].first_line) + ": " + load.dropped[0].reason;
  }
  throw Error(ErrorCode::invalid_data, problem);
}

}  // namespace

void run(const ConvertOptions& options, Console& console) {
  check_standard_input({{"--config", options.common.config}, {"input", options.data.interactions}});
  const TableForm form = TableForm::of(options.output);
  check_config(options.common);
  const auto start = platform::Clock::now();
  DelimitedReader reader(options.data.interactions, reading_of(options.data));
  check_columns(reader, options.data);
  const TableLines table(form.kind, reader.report(), !options.data.columns.empty(), options.output);
  std::size_t written = 0;
  platform::replace_file(options.output, platform::Access::by_umask, [&](platform::OutputFile& file) {
    TextOutput out(file, form.gzip);
    written = write_table(reader, table, {}, [&](std::string_view text) { out.write(text); });
    out.finish();
    fail_if_empty(reader.report(), written);
  });

  LoadReport load = reader.report();
  load.seconds = platform::seconds_since(start);
  if (console.json()) {
    return console.object(
        {{"load", records_json(load)}, {"written", written}, {"form", form.name()}, {"output", options.output}});
  }
  console.text() << load.file << ": ";
  print_records(console.text(), load);
  print_dropped(console.text(), load);
  console.text() << plural(written, "record", "records") << " written to " << options.output << '\n';
}

}  // namespace attune::cli
