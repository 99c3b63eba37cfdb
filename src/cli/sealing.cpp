// SPDX-License-Identifier: Apache-2.0

// attune privacy key, seal, unseal and pseudonymise: what a host does with its key.

#include "attune/error.hpp"
#include "cli/verbs.hpp"

#if defined(ATTUNE_WITH_SODIUM)

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <ostream>
#include <span>
#include <string_view>

#include "attune/privacy/pseudonyms.hpp"
#include "cli/input.hpp"
#include "cli/table_writer.hpp"
#include "data/separator.hpp"
#include "data/text.hpp"
#include "platform/files.hpp"

namespace attune::cli {
namespace {

void tell(Console& console, const Json& result, const std::string& text) {
  if (console.json()) return console.object(result);
  console.text() << text << '\n';
}

// The column of users, which must be one: what is in another would stay as it is.
std::size_t user_column(const DelimitedReader& reader, const std::string& file) {
  const std::vector<std::string>& columns = reader.columns();
  const std::size_t found = reader.column("user");
  const std::size_t user = found != DelimitedReader::npos ? found : reader.column("session");
  if (user == DelimitedReader::npos) return reader.required_column("user");
  const auto same = [&](const std::string& name) { return detail::equals_ignoring_case(name, columns[user]); };
  if (std::ranges::count_if(columns, same) > 1) {
    throw Error(ErrorCode::invalid_data, file + ": expected one column '" + columns[user] + "', found two");
  }
  return user;
}

}  // namespace

void run(const PrivacyKeyOptions& options, Console& console) {
  check_config(options.common);
  HostKey::generate().save(options.output);
  tell(console, {{"output", options.output}}, "a new key written to " + options.output);
}

void run(const PrivacySealOptions& options, Console& console) {
  check_config(options.common);
  const HostKey key = HostKey::from_file(options.key_file);
  const bool model = std::filesystem::is_directory(options.input);
  (model ? seal_model : seal_file)(options.input, options.output, key);
  tell(console, {{"content", model ? "model" : "file"}, {"output", options.output}}, "sealed to " + options.output);
}

void run(const PrivacyUnsealOptions& options, Console& console) {
  if (options.input == "-") throw UsageError("--input: expected a file, found standard input");
  check_config(options.common);
  const HostKey key = HostKey::from_file(options.key_file);
  const bool model = sealed_content(options.input) == SealedContent::model;
  (model ? unseal_model : unseal_file)(options.input, options.output, key);
  tell(console, {{"content", model ? "model" : "file"}, {"output", options.output}}, "unsealed to " + options.output);
}

void run(const PrivacyPseudonymiseOptions& options, Console& console) {
  check_standard_input({{"--config", options.common.config}, {"--interactions", options.data.interactions}});
  check_config(options.common);
  const Pseudonyms pseudonyms(HostKey::from_file(options.key_file));
  DelimitedReader reader(options.data.interactions, reading_of(options.data));
  const std::size_t user = user_column(reader, options.data.interactions);
  const TableLines table(TableForm::Kind::csv, reader.report(), !options.data.columns.empty(), options.output);
  std::string pseudonym;
  const auto change = [&](std::vector<std::string_view>& fields) {
    if (fields[user].empty()) {
      throw Error(ErrorCode::invalid_data,
                  reader.place() + detail::in_column(reader.columns()[user]) + "expected an id, found nothing");
    }
    fields[user] = pseudonym = pseudonyms.of(fields[user]);
  };
  std::size_t records = 0;
  platform::replace_file(options.output, platform::Access::by_umask, [&](platform::OutputFile& file) {
    records =
        write_table(reader, table, change, [&](std::string_view text) { file.write(std::as_bytes(std::span(text))); });
  });
  tell(console, {{"records", records}, {"output", options.output}},
       plural(records, "record", "records") + " written to " + options.output);
}

}  // namespace attune::cli

#else

namespace attune::cli {
namespace {

[[noreturn]] void fail() {
  throw Error(ErrorCode::unsupported,
              "this attune is built without libsodium: install it and configure with -DATTUNE_WITH_SODIUM=ON");
}

}  // namespace

void run(const PrivacyKeyOptions&, Console&) { fail(); }
void run(const PrivacySealOptions&, Console&) { fail(); }
void run(const PrivacyUnsealOptions&, Console&) { fail(); }
void run(const PrivacyPseudonymiseOptions&, Console&) { fail(); }

}  // namespace attune::cli

#endif
