// SPDX-License-Identifier: Apache-2.0
#include "cli/input.hpp"

#include <algorithm>
#include <array>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <ostream>
#include <span>

#include "attune/data/prepared.hpp"
#include "cli/report.hpp"
#include "data/text.hpp"
#include "data/time_column.hpp"
#include "platform/clock.hpp"
#include "platform/files.hpp"

namespace attune::cli {
namespace {

// What was dropped by reading, and by cleaning, where no line is known.
LoadReport with_cleaning(const ReadingReport& interactions) {
  LoadReport load = interactions.load;
  const CleaningReport& cleaning = interactions.cleaning;
  if (cleaning.duplicates != 0) load.dropped.push_back({"duplicate", cleaning.duplicates, 0});
  if (cleaning.outside_core != 0) load.dropped.push_back({"outside the k-core", cleaning.outside_core, 0});
  return load;
}

// The times of an option, recognised together, as those of a file.
std::vector<Timestamp> parse_times(const std::vector<std::string>& texts, const std::string& option) {
  detail::TimeColumn column(detail::TimeColumn::Kind::timestamp);
  std::vector<Timestamp> times;
  for (const std::string& text : texts) {
    times.push_back(column.parse(text, times.size() + 1));
    if (times.back() == kNoTime) {
      throw UsageError(option + ": expected " + column.expected() + ", found '" + text + "'");
    }
  }
  if (column.mixes_units()) throw UsageError(option + ": expected one unit, found seconds and milliseconds");
  column.finish(times, option);
  const auto later = std::is_sorted_until(times.begin(), times.end());
  if (later != times.end()) {
    throw UsageError(option + ": expected times in order, oldest first, found '" +
                     texts[static_cast<std::size_t>(later - times.begin())] + "' behind a later one");
  }
  return times;
}

// What says how a file is read, or asks for more than its events one by one, has been settled when a folder was
// prepared.
void check_prepared_options(const DataOptions& options, const EvaluationProtocol& protocol) {
  const auto refuse = [&](bool given, const char* option) {
    if (!given) return;
    throw UsageError(std::string(option) + ": expected a file of interactions, found " + options.interactions +
                     ", a folder");
  };
  refuse(!options.columns.empty(), "--columns");
  refuse(!options.separator.empty(), "--separator");
  refuse(options.encoding.has_value(), "--encoding");
  refuse(options.skip_bad_lines, "--skip-bad-lines");
  refuse(protocol.k_core > 1, "--k-core");
}

GroupedInteractions open_prepared(const std::string& folder, EvaluationProtocol& protocol, IdKind items) {
  PreparedHistories prepared = PreparedHistories::open(folder);
  const auto shown = [](std::optional<float> rating) { return rating ? Json(*rating).dump() : std::string("any"); };
  if (protocol.min_rating && protocol.min_rating != prepared.min_rating) {
    throw Error(ErrorCode::invalid_data, folder + ": expected interactions of the minimum rating " +
                                             shown(protocol.min_rating) + ", found those of " +
                                             shown(prepared.min_rating));
  }
  if (prepared.histories.item_ids->kind() != items) {
    throw Error(ErrorCode::invalid_data, folder + ": expected items with " +
                                             (items == IdKind::string ? "text" : "numbers") +
                                             " for ids, as the model has them, found others");
  }
  protocol.min_rating = prepared.min_rating;
  GroupedInteractions result;
  result.histories = std::move(prepared.histories);
  const std::size_t events = result.histories.num_events();
  result.cleaning = {
      .before = events, .after = events, .users = result.histories.num_users(), .items = result.histories.num_items()};
  result.load.file = folder;
  result.load.form = "prepared";
  result.load.compression = "none";
  result.load.time_unit = result.histories.times.empty() ? "none" : "milliseconds";
  result.load.records = result.load.interactions = events;
  result.load.users = result.histories.num_users();
  result.load.items = result.histories.num_items();
  result.load.first_time = prepared.first_time;
  result.load.last_time = prepared.last_time;
  return result;
}

}  // namespace

ReadOptions reading_of(const DataOptions& options) {
  ReadOptions reading;
  reading.columns = options.columns;
  reading.skip_header = options.skip_header;
  reading.separator = options.separator;
  reading.bad_value = options.skip_bad_lines ? BadValue::skip : BadValue::error;
  reading.encoding = options.encoding;
  return reading;
}

Interactions read_interactions(const DataOptions& options, const EvaluationProtocol& protocol, IdKind items,
                               Console& console, IdKind users) {
  console.line("reading " + (options.interactions == "-" ? "standard input" : options.interactions));
  ReadOptions reading = reading_of(options);
  reading.item_ids = items;
  reading.user_ids = users;
  reading.min_rating = protocol.min_rating;
  Interactions result;
  const InteractionLog log = attune::read_interactions(options.interactions, reading, &result.load);
  try {
    result.log = clean(log, {.k_core = protocol.k_core}, &result.cleaning);
  } catch (const Error& error) {
    throw Error(error.code(), options.interactions + ": " + error.what());
  }
  return result;
}

GroupedInteractions read_histories(const DataOptions& options, EvaluationProtocol& protocol, IdKind items,
                                   Console& console) {
  if (std::error_code unknown; std::filesystem::is_directory(options.interactions, unknown)) {
    check_prepared_options(options, protocol);
    console.line("opening " + options.interactions);
    const auto start = platform::Clock::now();
    GroupedInteractions result = open_prepared(options.interactions, protocol, items);
    result.load.seconds = platform::seconds_since(start);
    return result;
  }
  Interactions interactions = read_interactions(options, protocol, items, console);
  return {{std::move(interactions.load), interactions.cleaning}, group_by_user(std::move(interactions.log))};
}

Json records_json(const LoadReport& load) {
  Json json{{"file", load.file},
            {"form", load.form},
            {"compression", load.compression},
            {"separator", load.separator},
            {"columns", load.columns},
            {"bytes", load.bytes},
            {"lines", load.lines},
            {"header_lines", load.header_lines},
            {"blank_lines", load.blank_lines},
            {"records", load.records},
            {"dropped", Json::array()},
            {"seconds", load.seconds}};
  for (const LoadReport::Dropped& drop : load.dropped) {
    Json entry{{"reason", drop.reason}, {"lines", drop.lines}};
    if (drop.first_line != 0) entry["first_line"] = drop.first_line;
    json["dropped"].push_back(std::move(entry));
  }
  return json;
}

Json load_json(const ReadingReport& interactions) {
  const LoadReport load = with_cleaning(interactions);
  Json json = records_json(load);
  json.update({{"time_unit", load.time_unit},
               {"interactions", interactions.cleaning.after},
               {"users", interactions.cleaning.users},
               {"items", interactions.cleaning.items},
               {"first_time", load.first_time == kNoTime ? Json() : Json(load.first_time)},
               {"last_time", load.last_time == kNoTime ? Json() : Json(load.last_time)}});
  return json;
}

void print_records(std::ostream& out, const LoadReport& load) {
  if (load.form == "prepared") {
    out << "prepared before\n";
    return;
  }
  out << grouped(load.lines) << " lines: " << plural(load.records, "record", "records") << ", "
      << grouped(load.header_lines) << " header, " << grouped(load.blank_lines) << " blank; ";
  if (load.form == "json_lines") {
    out << "JSON lines";
  } else {
    out << "separator " << (load.separator == "\t" ? "tab" : "'" + load.separator + "'");
  }
  if (!load.time_unit.empty()) out << "; times: " << load.time_unit;
  out << '\n';
}

void print_dropped(std::ostream& out, const LoadReport& load) {
  for (const LoadReport::Dropped& drop : load.dropped) {
    out << "  " << grouped(drop.lines) << " dropped: " << drop.reason;
    if (drop.first_line != 0) out << ", first in line " << drop.first_line;
    out << '\n';
  }
}

void print_load(std::ostream& out, const ReadingReport& interactions) {
  const LoadReport load = with_cleaning(interactions);
  out << load.file << ": " << plural(interactions.cleaning.after, "interaction", "interactions") << " of "
      << plural(interactions.cleaning.users, "user", "users") << " with "
      << plural(interactions.cleaning.items, "item", "items");
  if (load.first_time != kNoTime) out << ", " << date(load.first_time) << " to " << date(load.last_time);
  out << "\n  ";
  print_records(out, load);
  print_dropped(out, load);
}

std::map<std::string, std::string> read_titles(const std::string& file) {
  DelimitedReader reader{file};
  const std::size_t item = reader.required_column("item"), title = reader.required_column("title");
  std::map<std::string, std::string> titles;
  std::vector<std::string_view> fields;
  while (reader.next(fields)) {
    if (fields.size() <= std::max(item, title)) {
      throw Error(ErrorCode::invalid_data, reader.place() + "expected " + std::to_string(reader.columns().size()) +
                                               " fields, found " + std::to_string(fields.size()));
    }
    titles.emplace(fields[item], fields[title]);
  }
  return titles;
}

ItemCategories read_item_categories(const ItemOptions& options, const IdMap& ids,
                                    const std::optional<std::string>& provider) {
  ItemCategories result;
  if (options.file.empty()) return result;
  DelimitedReader reader{options.file};
  const std::string column = options.categories.value_or("genres");
  std::vector<std::string> columns;
  if (options.categories || reader.column(column) != DelimitedReader::npos) columns.push_back(column);
  const bool has_categories = !columns.empty();
  if (provider) columns.push_back(*provider);
  if (columns.empty()) return result;
  std::vector<Categories> all = read_categories(reader, "item", columns, ids);
  if (has_categories) result.categories = std::move(all.front());
  if (provider) result.providers = std::move(all.back());
  return result;
}

void check_standard_input(std::initializer_list<InputOption> inputs) {
  const InputOption* first = nullptr;
  for (const InputOption& input : inputs) {
    if (input.file != "-") continue;
    if (first != nullptr) {
      throw UsageError(std::string(input.option) + ": expected a file, found standard input, which " + first->option +
                       " reads");
    }
    first = &input;
  }
}

TrainerConfig trainer_config(const std::string& preset, const CommonOptions& options) {
  TrainerConfig config;
  try {
    config = TrainerConfig::preset(preset);
  } catch (const Error& error) {
    throw UsageError(std::string("--preset: ") + error.what());
  }
  if (!options.config.empty()) config.apply_json(read_text(options.config), options.config);
  if (options.seed) config.seed = *options.seed;
  config.validate();
  return config;
}

void check_config(const CommonOptions& options) { trainer_config("default", options); }

std::unique_ptr<Executor> make_executor(const CommonOptions& options) {
  return std::make_unique<ThreadPool>(options.threads);
}

std::string read_text(const std::string& file) {
  platform::InputFile input{file};
  std::string text;
  std::array<char, 65536> buffer;
  while (const std::size_t count = input.read(std::as_writable_bytes(std::span(buffer)))) {
    text.append(buffer.data(), count);
  }
  return text;
}

Id id_of(const std::string& text, IdKind kind) {
  if (kind == IdKind::string) return text;
  const auto number = detail::parse_number<std::int64_t>(text);
  return number ? Id(*number) : Id(text);
}

bool is_heading_of_ids(std::string_view line) {
  if (line == kPaddingId) return true;
  for (std::size_t begin = 0; begin <= line.size();) {
    const std::size_t end = std::min(line.find_first_of(",\t;|", begin), line.size());
    if (detail::without_outer_blanks(line.substr(begin, end - begin)) == "item") return true;
    begin = end + 1;
  }
  return false;
}

std::vector<Id> History::ids(IdKind kind) const {
  std::vector<Id> all;
  all.reserve(text.size());
  for (const std::string& item : text) all.push_back(id_of(item, kind));
  return all;
}

History read_history(const HistoryOptions& options) {
  History history;
  if (options.items == "-") {
    const std::string lines = read_text("-");
    for (std::size_t begin = 0, end; begin < lines.size(); begin = end + 1) {
      end = std::min(lines.find('\n', begin), lines.size());
      std::string item = lines.substr(begin, end - begin);
      if (!item.empty() && item.back() == '\r') item.pop_back();
      if (!item.empty()) history.text.push_back(std::move(item));
    }
  } else if (options.items && !options.items->empty()) {
    history.text = split_commas(*options.items);
  }
  if (!options.timestamps.empty() && options.timestamps.size() != history.text.size()) {
    throw UsageError("--timestamps: expected one for each of the " + std::to_string(history.text.size()) +
                     " items of --history, found " + std::to_string(options.timestamps.size()));
  }
  history.times = parse_times(options.timestamps, "--timestamps");
  if (!options.now.empty()) history.now = parse_times({options.now}, "--now").front();
  return history;
}

}  // namespace attune::cli
