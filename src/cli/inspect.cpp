// SPDX-License-Identifier: Apache-2.0

// attune inspect: what a model directory or a safetensors file holds. Everything is checked before anything is shown.

#include <filesystem>
#include <nlohmann/json.hpp>
#include <ostream>

#include "attune/error.hpp"
#include "attune/model/checkpoint.hpp"
#include "attune/model/safetensors.hpp"
#include "cli/input.hpp"
#include "cli/verbs.hpp"
#include "data/json_object.hpp"
#include "model/ranker_json.hpp"

namespace attune::cli {
namespace {

void add_tensors(Json& result, const SafetensorsFile& file) {
  for (const TensorInfo& tensor : file.tensors()) {
    result["tensors"].push_back({{"name", tensor.name}, {"dtype", to_string(tensor.dtype)}, {"shape", tensor.shape}});
  }
  for (const auto& [key, value] : file.metadata()) result["metadata"][key] = value;
}

Json inspect_directory(const std::filesystem::path& directory) {
  const TrainedModel model = TrainedModel::load(directory);
  Json result{{"tensors", Json::array()},
              {"metadata", Json::object()},
              {"model",
               {{"version", model.version},
                {"score_kind", to_string(model.score_kind())},
                {"counts", model.counts ? Json(model.counts->name()) : Json()},
                {"blend_weight", model.blend_weight},
                {"weight_storage", model.encoder ? Json(to_string(model.weight_storage)) : Json()},
                {"cacheable", model.encoder ? Json(model.encoder->cacheable()) : Json()},
                {"ranker", detail::json_of(model.ranker)},
                {"items", model.num_items()},
                {"users", model.histories ? model.histories->num_users() : 0},
                {"interactions", model.histories ? model.histories->num_events() : 0}}},
              {"notes", model.notes}};
  for (const char* name : {"weights.safetensors", "counts.safetensors", "opening.safetensors"}) {
    if (std::filesystem::exists(directory / name)) add_tensors(result, SafetensorsFile::open(directory / name));
  }
  return result;
}

// The object that a text holds; null for any other text.
Json object_in(const std::string& text) {
  if (!text.starts_with('{')) return {};
  try {
    return detail::parse_object<Json>(text, "note");
  } catch (const Error&) {
    return {};
  }
}

// A value in a row; an object, and text that holds one, in a row per member.
void add_rows(std::vector<std::vector<std::string>>& rows, const std::string& key, const Json& value) {
  const std::string text = value.is_string() ? value.get<std::string>() : value.dump();
  const Json inner = object_in(text);
  if (!inner.is_object()) return rows.push_back({key, text});
  for (const auto& [name, member] : inner.items()) add_rows(rows, key + '.' + name, member);
}

void print_model(std::ostream& out, const Json& result) {
  std::vector<std::vector<std::string>> rows;
  for (const char* part : {"model", "notes", "metadata"}) {
    if (!result.contains(part)) continue;
    for (const auto& [key, value] : result[part].items()) add_rows(rows, key, value);
  }
  print_table(out, rows, "l");
  std::size_t elements = 0;
  rows = {{"tensor", "type", "shape"}};
  for (const Json& tensor : result["tensors"]) {
    const auto shape = tensor["shape"].get<std::vector<std::size_t>>();
    std::size_t size = 1;
    for (const std::size_t extent : shape) size *= extent;
    elements += size;
    rows.push_back({tensor["name"], tensor["dtype"], tensor["shape"].dump()});
  }
  print_table(out, rows, "l");
  out << plural(result["tensors"].size(), "tensor", "tensors") << ", " << grouped(elements) << " elements\n";
}

}  // namespace

void run(const InspectOptions& options, Console& console) {
  check_config(options.common);
  Json result{{"tensors", Json::array()}, {"metadata", Json::object()}};
  if (std::filesystem::is_directory(options.path)) {
    result = inspect_directory(options.path);
  } else {
    add_tensors(result, SafetensorsFile::open(options.path));
  }
  if (console.json()) return console.object(result);
  print_model(console.text(), result);
}

}  // namespace attune::cli
