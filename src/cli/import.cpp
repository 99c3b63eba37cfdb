// SPDX-License-Identifier: Apache-2.0

// attune import: weights that were trained elsewhere as a model directory.

#include "attune/model/import.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <ostream>
#include <utility>

#include "attune/data/reader.hpp"
#include "attune/error.hpp"
#include "cli/input.hpp"
#include "cli/verbs.hpp"
#include "data/json_object.hpp"
#include "data/text.hpp"

namespace attune::cli {
namespace {

// The ids of rows 1, 2, ... as they come, with the place of each for messages.
class RowIds {
 public:
  explicit RowIds(const std::string& file) : file_(file) {}
  void add(std::string_view id, const std::string& place) {
    if (id.empty()) throw Error(ErrorCode::invalid_data, place + "item: expected an id, found none");
    const std::size_t before = ids_->size();
    ids_->insert(std::string(id));
    if (ids_->size() > before) return;
    throw Error(ErrorCode::invalid_data,
                place + "item: expected ids that differ, found " + detail::in_quotes(id, '"') + " again");
  }
  std::shared_ptr<const IdMap> finish() {
    if (ids_->size() == 0) throw Error(ErrorCode::invalid_data, file_ + ": expected item ids, found none");
    return ids_;
  }

 private:
  std::string file_;
  std::shared_ptr<IdMap> ids_ = std::make_shared<IdMap>();
};

// Rows may come in any order; row 0 is padding.
std::shared_ptr<const IdMap> read_table(const std::string& file) {
  DelimitedReader reader{file};
  const std::size_t item = reader.required_column("item"), row = reader.column("row");
  const std::size_t last = row == DelimitedReader::npos ? item : std::max(item, row);
  std::vector<std::pair<std::size_t, std::pair<std::string, std::string>>> rows;
  std::vector<std::string_view> fields;
  while (reader.next(fields)) {
    if (fields.size() <= last) {
      throw Error(ErrorCode::invalid_data, reader.place() + "expected " + std::to_string(reader.columns().size()) +
                                               " fields, found " + std::to_string(fields.size()));
    }
    std::size_t number = rows.size() + 1;
    if (row != DelimitedReader::npos) {
      const auto parsed = detail::parse_number<std::size_t>(fields[row]);
      if (!parsed)
        throw Error(ErrorCode::invalid_data,
                    reader.place() + "row: expected a whole number, found " + detail::in_quotes(fields[row], '"'));
      if (*parsed == 0) continue;
      number = *parsed;
    }
    rows.push_back({number, {std::string(fields[item]), reader.place()}});
  }
  std::ranges::stable_sort(rows, {}, [](const auto& entry) { return entry.first; });
  RowIds ids(file);
  for (std::size_t i = 0; i < rows.size(); ++i) {
    const auto& [id, place] = rows[i].second;
    if (rows[i].first != i + 1) {
      throw Error(ErrorCode::invalid_data, place + "row: expected rows 1, 2, ..., each once; row " +
                                               std::to_string(i + 1) + " is missing or " +
                                               std::to_string(rows[i].first) + " stands there twice");
    }
    ids.add(id, place);
  }
  return ids.finish();
}

std::shared_ptr<const IdMap> read_item_ids(const std::string& file) {
  const std::string text = read_text(file);
  const std::string_view all = detail::without_byte_order_mark(text);
  const std::string_view first = all.substr(0, all.find_first_of("\r\n"));
  if (file != "-" && first != kPaddingId && is_heading_of_ids(first)) return read_table(file);
  RowIds ids(file);
  std::size_t line = 0;
  for (std::size_t begin = 0; begin < all.size();) {
    const std::size_t end = std::min(all.find('\n', begin), all.size());
    std::string_view id = all.substr(begin, end - begin);
    if (id.ends_with('\r')) id.remove_suffix(1);
    begin = end + 1;
    if (++line == 1 && id == kPaddingId) continue;
    ids.add(id, file + ':' + std::to_string(line) + ": ");
  }
  return ids.finish();
}

std::map<std::string, std::string> read_settings(const std::string& file) {
  std::map<std::string, std::string> settings;
  if (file.empty()) return settings;
  const Json json = detail::parse_object<Json>(read_text(file), file);
  for (const auto& [key, value] : json.items()) {
    if (value.is_structured() || value.is_null()) {
      throw Error(ErrorCode::invalid_config,
                  file + ": " + key + ": expected a number, a text, true or false, found " + value.dump());
    }
    settings[key] = value.is_string()    ? value.get<std::string>()
                    : value.is_boolean() ? (value.get<bool>() ? "True" : "False")
                                         : value.dump();
  }
  return settings;
}

}  // namespace

void run(const ImportModelOptions& options, Console& console) {
  check_standard_input({{"--config", options.common.config}, {"--item-ids", options.item_ids}});
  ImportOptions importing;
  if (!options.dialect.empty()) {
    importing.dialect = dialect_of(options.dialect);
    if (!importing.dialect) throw UsageError("--dialect: found '" + options.dialect + "'; see --help");
  }
  importing.variant = options.variant;
  importing.num_heads = options.heads;
  importing.hop = options.hop;
  importing.settings = read_settings(options.common.config);
  if (!options.item_ids.empty()) importing.item_ids = read_item_ids(options.item_ids);
  TrainedModel::check_replaceable(options.output);
  const TrainedModel model = import_model(options.file, importing);
  model.save(options.output);

  const EncoderConfig& config = model.encoder->config();
  if (console.json()) {
    return console.object({{"dialect", model.notes.at("dialect")},
                           {"variant", model.notes.at("variant")},
                           {"items", model.num_items()},
                           {"blocks", config.num_blocks},
                           {"heads", config.num_heads},
                           {"window", config.max_sequence_length},
                           {"hop", config.hop},
                           {"score_kind", to_string(config.score)},
                           {"cacheable", config.cacheable()},
                           {"model", options.output}});
  }
  console.text() << model.notes.at("dialect") << ", " << model.notes.at("variant") << ": "
                 << plural(model.num_items(), "item", "items") << ", " << plural(config.num_blocks, "block", "blocks")
                 << " of width " << config.embedding_dim << ", " << plural(config.num_heads, "head", "heads")
                 << ", the last " << config.max_sequence_length << " events\n"
                 << (config.cacheable() ? "an event more costs one row: histories are encoded incrementally\n"
                                        : "every request encodes its history anew: places count to the newest event\n")
                 << "model written to " << options.output << '\n';
}

}  // namespace attune::cli
