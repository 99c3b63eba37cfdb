// SPDX-License-Identifier: Apache-2.0
#include "model/erase_user.hpp"

#include <filesystem>
#include <memory>
#include <utility>
#include <vector>

#include "attune/error.hpp"
#include "attune/model/checkpoint.hpp"
#include "data/sum64.hpp"
#include "data/without_users.hpp"
#include "model/histories_file.hpp"
#include "model/manifest.hpp"
#include "model/model_files.hpp"
#include "platform/files.hpp"

namespace attune::inline v0_1::detail {
namespace {

using Bytes = std::vector<std::byte>;

Bytes read_listed(const std::filesystem::path& path, const Manifest& manifest) {
  Bytes bytes = platform::read_file(path);
  const auto listed = manifest.files.find(path.filename().string());
  if (listed == manifest.files.end() || listed->second.size != bytes.size() ||
      listed->second.crc32 != crc32_of(bytes)) {
    throw Error(ErrorCode::corrupt_file, path.string() + ": is not the file that " + kManifestFile + " lists");
  }
  return bytes;
}

}  // namespace

void erase_user(const std::string& directory, const Id& user) {
  platform::remove_abandoned(directory);
  const std::filesystem::path path = directory;
  const Bytes text = platform::read_file(path / kManifestFile, kMaxManifestBytes);
  Manifest manifest = parse_manifest(as_text(text), (path / kManifestFile).string());
  if (!manifest.users) return;
  auto items = std::make_shared<const IdMap>(
      parse_item_ids(read_listed(path / kItemIdsFile, manifest), (path / kItemIdsFile).string()));
  const Histories histories =
      parse_histories(read_listed(path / kHistoriesFile, manifest), std::move(items), (path / kHistoriesFile).string());
  if (histories.user_ids->find(user) == kNoHandle) return;
  TrainedModel::check_replaceable(directory);
  const auto kept = without_users(histories, [&](const Id& id) { return id == user; });
  const Bytes bytes = histories_bytes(*kept);
  manifest.users->count = kept->num_users();
  manifest.files[kHistoriesFile] = {bytes.size(), crc32_of(bytes), sum64_of(bytes)};
  const std::string changed = manifest_text(manifest);
  const platform::NamedBytes files[]{{kManifestFile, std::as_bytes(std::span(changed))}, {kHistoriesFile, bytes}};
  platform::replace_files(directory, files, kManifestFile);
}

}  // namespace attune::inline v0_1::detail
