// SPDX-License-Identifier: Apache-2.0

// attune export: a model in the forms that other programs read.

#include "attune/model/export.hpp"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <ostream>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "attune/error.hpp"
#include "cli/input.hpp"
#include "cli/verbs.hpp"
#include "data/text.hpp"
#include "platform/files.hpp"

namespace attune::cli {
namespace {

namespace fs = std::filesystem;

struct OutputFile {
  fs::path path;
  std::vector<std::byte> bytes;
};
using OutputFiles = std::vector<OutputFile>;

// One id a line, as `attune import` reads them. It takes some words in the first line for others than ids.
OutputFile ids_file(fs::path path, const IdMap& ids) {
  std::string text;
  for (std::uint32_t handle = 0; handle < ids.size(); ++handle) {
    const std::string id = to_string(ids.id(handle));
    if (id.find_first_of("\r\n") != std::string::npos || (handle == 0 && is_heading_of_ids(id))) {
      throw Error(ErrorCode::unsupported, path.string() + ": expected ids that can be listed one a line, found " +
                                              detail::in_quotes(id, '"') + " in line " + std::to_string(handle + 1));
    }
    text += id + '\n';
  }
  const auto bytes = std::as_bytes(std::span(text));
  return {std::move(path), {bytes.begin(), bytes.end()}};
}

OutputFiles npy_files(const TrainedModel& model, const fs::path& directory) {
  const ExportedVectors items = export_item_vectors(model);
  OutputFiles files{{directory / "items.npy", npy_bytes(items.values, items.width)},
                    ids_file(directory / "items.ids.txt", *model.item_ids)};
  const fs::path of_users = directory / "users.npy", ids_of_users = directory / "users.ids.txt";
  if (model.histories) {
    const ExportedVectors users = export_user_vectors(model);
    files.push_back({of_users, npy_bytes(users.values, users.width)});
    files.push_back(ids_file(ids_of_users, *model.histories->user_ids));
  } else if (fs::exists(of_users) || fs::exists(ids_of_users)) {
    throw Error(ErrorCode::invalid_argument, directory.string() + ": expected no users.npy and users.ids.txt beside " +
                                                 "items of a model without histories, found those of another");
  }
  std::error_code failed;
  fs::create_directories(directory, failed);
  if (failed) throw Error(ErrorCode::io_error, directory.string() + ": " + failed.message());
  return files;
}

OutputFiles files_of(const TrainedModel& model, const ExportModelOptions& options) {
  const fs::path output = options.output;
  if (options.format == "npy") return npy_files(model, output);
  return {{output, options.format == "onnx" ? export_onnx(model) : export_recbole(model)},
          ids_file(fs::path(output).replace_extension(".ids.txt"), *model.item_ids)};
}

// Its own files keep what its manifest says of them.
void check_output(const ExportModelOptions& options) {
  const fs::path output = fs::weakly_canonical(options.output), model = fs::weakly_canonical(options.model);
  if (output != model && output.parent_path() != model) return;
  throw Error(ErrorCode::invalid_argument, options.output + ": expected a place outside the model directory");
}

}  // namespace

void run(const ExportModelOptions& options, Console& console) {
  check_config(options.common);
  check_output(options);
  const TrainedModel model = TrainedModel::load(options.model);
  const OutputFiles files = files_of(model, options);
  Json names = Json::array();
  for (const auto& [path, bytes] : files) {
    platform::replace_file(path, bytes);
    names.push_back(path.filename().string());
  }
  if (console.json()) {
    return console.object({{"format", options.format},
                           {"items", model.num_items()},
                           {"users", model.histories ? model.histories->num_users() : 0},
                           {"output", options.output},
                           {"files", names}});
  }
  console.text() << plural(model.num_items(), "item", "items") << " written to " << options.output << ':';
  for (const Json& name : names) console.text() << ' ' << name.get<std::string>();
  console.text() << '\n';
}

}  // namespace attune::cli
