// SPDX-License-Identifier: Apache-2.0

// attune export: a model in the forms that other programs read.

#include "attune/model/export.hpp"

#include <filesystem>
#include <nlohmann/json.hpp>
#include <ostream>
#include <span>

#include "attune/error.hpp"
#include "cli/input.hpp"
#include "cli/verbs.hpp"
#include "platform/files.hpp"

namespace attune::cli {
namespace {

namespace fs = std::filesystem;

// One id a line.
void write_ids(const fs::path& file, const IdMap& ids) {
  std::string text;
  for (std::uint32_t handle = 0; handle < ids.size(); ++handle) {
    const std::string id = to_string(ids.id(handle));
    if (id.find_first_of("\r\n") != std::string::npos) {
      throw Error(ErrorCode::unsupported,
                  file.string() + ": expected ids on one line each, found one with a line break");
    }
    text += id + '\n';
  }
  platform::replace_file(file, std::as_bytes(std::span(text)));
}

Json export_npy(const TrainedModel& model, const fs::path& directory) {
  const ExportedVectors items = export_item_vectors(model);
  std::optional<ExportedVectors> users;
  if (model.histories) users = export_user_vectors(model);
  std::error_code failed;
  fs::create_directories(directory, failed);
  if (failed) throw Error(ErrorCode::io_error, directory.string() + ": " + failed.message());
  Json files = Json::array({"items.npy", "items.ids.txt"});
  platform::replace_file(directory / "items.npy", npy_bytes(items.values, items.width));
  write_ids(directory / "items.ids.txt", *model.item_ids);
  if (users) {
    platform::replace_file(directory / "users.npy", npy_bytes(users->values, users->width));
    write_ids(directory / "users.ids.txt", *model.histories->user_ids);
    files.insert(files.end(), {"users.npy", "users.ids.txt"});
  }
  return files;
}

Json export_file(const TrainedModel& model, const fs::path& file, std::span<const std::byte> bytes) {
  const fs::path ids = fs::path(file).replace_extension(".ids.txt");
  platform::replace_file(file, bytes);
  write_ids(ids, *model.item_ids);
  return Json::array({file.filename().string(), ids.filename().string()});
}

}  // namespace

void run(const ExportModelOptions& options, Console& console) {
  check_config(options.common);
  const TrainedModel model = TrainedModel::load(options.model);
  const auto file_bytes = [&] { return options.format == "onnx" ? export_onnx(model) : export_recbole(model); };
  const Json files =
      options.format == "npy" ? export_npy(model, options.output) : export_file(model, options.output, file_bytes());
  if (console.json()) {
    return console.object({{"format", options.format},
                           {"items", model.num_items()},
                           {"users", model.histories ? model.histories->num_users() : 0},
                           {"output", options.output},
                           {"files", files}});
  }
  console.text() << plural(model.num_items(), "item", "items") << " written to " << options.output << ':';
  for (const Json& file : files) console.text() << ' ' << file.get<std::string>();
  console.text() << '\n';
}

}  // namespace attune::cli
