// SPDX-License-Identifier: Apache-2.0

// attune embed: the texts of items as vectors, by a pretrained language model.

#include <algorithm>
#include <cstdint>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <ostream>
#include <span>
#include <unordered_set>
#include <vector>

#include "attune/data/reader.hpp"
#include "attune/error.hpp"
#include "attune/model/export.hpp"
#include "attune/model/text_encoder.hpp"
#include "cli/input.hpp"
#include "cli/verbs.hpp"
#include "platform/clock.hpp"
#include "platform/files.hpp"

namespace attune::cli {
namespace {

struct Items {
  std::vector<std::string> ids, texts;
};

// An item that stands in the file twice counts where it stands first; its texts are joined by a blank.
Items read_items(const std::string& file, const std::vector<std::string>& columns) {
  DelimitedReader reader{file};
  const std::size_t id = reader.required_column("item");
  std::size_t last = id;
  std::vector<std::size_t> texts;
  for (const std::string& column : columns) {
    texts.push_back(reader.required_column(column));
    last = std::max(last, texts.back());
  }
  Items items;
  std::unordered_set<std::string> known;
  std::vector<std::string_view> fields;
  while (reader.next(fields)) {
    if (fields.size() <= last) {
      throw Error(ErrorCode::invalid_data, reader.place() + "expected " + std::to_string(reader.columns().size()) +
                                               " fields, found " + std::to_string(fields.size()));
    }
    if (fields[id].empty() || fields[id].find_first_of("\r\n") != std::string_view::npos) {
      throw Error(ErrorCode::invalid_data, reader.place() + "item: expected an id on one line, found '" +
                                               std::string(fields[id].substr(0, fields[id].find_first_of("\r\n"))) +
                                               "'");
    }
    if (!known.emplace(fields[id]).second) continue;
    items.ids.emplace_back(fields[id]);
    std::string& text = items.texts.emplace_back();
    for (const std::size_t field : texts) {
      if (!text.empty() && !fields[field].empty()) text += ' ';
      text += fields[field];
    }
  }
  if (items.ids.empty()) throw Error(ErrorCode::invalid_data, file + ": expected at least one item, found none");
  return items;
}

// In parts, so that a bar can show how far it is.
TextEncoder::Vectors encode(const TextEncoder& encoder, const std::vector<std::string>& texts, Executor& executor,
                            Console& console) {
  constexpr std::size_t kPart = 2048;
  TextEncoder::Vectors all;
  all.rows.reserve(texts.size() * encoder.dim());
  for (std::size_t begin = 0; begin < texts.size(); begin += kPart) {
    const auto part = std::span(texts).subspan(begin, std::min(kPart, texts.size() - begin));
    const TextEncoder::Vectors vectors = encoder.encode(part, executor);
    all.rows.insert(all.rows.end(), vectors.rows.begin(), vectors.rows.end());
    all.truncated += vectors.truncated;
    console.bar("texts", begin + part.size(), texts.size());
  }
  return all;
}

}  // namespace

void run(const EmbedOptions& options, Console& console) {
  check_standard_input({{"--config", options.common.config}, {"--items", options.items}});
  check_config(options.common);
  const std::string ids_file =
      options.ids.empty() ? std::filesystem::path(options.output).replace_extension(".ids.txt").string() : options.ids;
  const TextEncoder encoder =
      TextEncoder::load(options.model, {.pooling = options.pooling, .max_length = options.max_length});
  const Items items = read_items(options.items, options.columns);
  console.line(plural(items.ids.size(), "item", "items") + " to be read by " + options.model);
  const auto executor = make_executor(options.common);
  const auto start = platform::Clock::now();
  const TextEncoder::Vectors vectors = encode(encoder, items.texts, *executor, console);
  const double seconds = platform::seconds_since(start);
  std::string ids;
  for (const std::string& id : items.ids) ids += id + '\n';
  platform::replace_file(options.output, npy_bytes(vectors.rows, encoder.dim()));
  platform::replace_file(ids_file, std::as_bytes(std::span(ids)));

  if (console.json()) {
    return console.object({{"items", items.ids.size()},
                           {"dim", encoder.dim()},
                           {"seconds", seconds},
                           {"truncated", vectors.truncated},
                           {"max_length", encoder.max_length()},
                           {"pooling", encoder.pooling() == Pooling::mean ? "mean" : "cls"},
                           {"output", options.output},
                           {"ids", ids_file}});
  }
  console.text() << plural(items.ids.size(), "item", "items") << " in " << fixed(seconds, 1) << " s, "
                 << plural(vectors.truncated, "text", "texts") << " cut at " << encoder.max_length() << " tokens\n"
                 << "vectors of width " << encoder.dim() << " written to " << options.output << ", their items to "
                 << ids_file << '\n';
}

}  // namespace attune::cli
