// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdint>
#include <filesystem>

#include "attune/error.hpp"
#include "fuzz/verdict.hpp"
#include "model/model_files.hpp"
#include "privacy/sealed_stream.hpp"
#include "temporary_directory.hpp"

namespace {

using namespace attune;
using test::accepted;
using test::require;
namespace fs = std::filesystem;
using Bytes = std::vector<std::byte>;

const HostKey& key() {
  static const HostKey one = HostKey::from_bytes(Bytes(HostKey::kSize, std::byte{7}));
  return one;
}

void open_changed(const Bytes& plain, std::span<const std::uint8_t> changes) {
  const Bytes right = seal(plain, key());
  Bytes changed = right;
  for (std::size_t i = 0; i + 2 < changes.size(); i += 3) {
    changed[(changes[i] * 256u + changes[i + 1]) % changed.size()] ^= std::byte{changes[i + 2]};
  }
  Bytes opened;
  require(accepted([&] { opened = unseal(changed, key()); }, ErrorCode::corrupt_file) == (changed == right));
  if (changed == right) require(opened == plain);
}

// With the right key, so that what is behind the tags is reached.
void open_model_of(const Bytes& plain) {
  const test::TemporaryDirectory directory;
  Bytes sealed;
  detail::Sealer sealer(SealedContent::model, key(), [&](std::span<const std::byte> part) {
    sealed.insert(sealed.end(), part.begin(), part.end());
  });
  sealer.add(plain);
  sealer.finish();
  const fs::path file = directory / "sealed", model = directory / "model";
  test::write_bytes(file, sealed);
  const bool opened = accepted([&] { unseal_model(file.string(), model.string(), key()); }, ErrorCode::corrupt_file);
  require(std::distance(fs::directory_iterator(directory.path()), {}) == (opened ? 2 : 1));
  if (!opened) return;
  for (const auto& entry : fs::directory_iterator(model)) {
    const std::string name = entry.path().filename().string();
    require(std::ranges::find(detail::kModelFiles, name) != detail::kModelFiles.end());
  }
}

}  // namespace

// The first byte chooses what is done with the rest. What was sealed is opened, and nothing else; a model has files of
// a model alone, and leaves nothing where it is refused.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) return 0;
  const auto rest = std::as_bytes(std::span(data + 1, size - 1));
  const Bytes bytes(rest.begin(), rest.end());
  if (data[0] % 3 == 0) require(!accepted([&] { unseal(bytes, key()); }, ErrorCode::corrupt_file));
  if (data[0] % 3 == 1) open_changed(Bytes(100, std::byte{1}), {data + 1, size - 1});
  if (data[0] % 3 == 2) open_model_of(bytes);
  return 0;
}
