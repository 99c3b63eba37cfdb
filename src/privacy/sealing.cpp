// SPDX-License-Identifier: Apache-2.0
#include "attune/privacy/sealing.hpp"

#include <algorithm>
#include <filesystem>
#include <set>
#include <string_view>

#include "attune/error.hpp"
#include "attune/model/checkpoint.hpp"
#include "data/little_endian.hpp"
#include "model/model_files.hpp"
#include "platform/files.hpp"
#include "platform/random.hpp"
#include "privacy/sealed_stream.hpp"
#include "privacy/secrets.hpp"

namespace attune::inline v0_1 {
namespace {

namespace fs = std::filesystem;
using detail::kPartBytes;
using detail::Sealer;
using detail::Unsealer;
using Bytes = std::vector<std::byte>;

std::string quoted(const std::string& path) { return path == "-" ? "standard input" : '"' + path + '"'; }

Unsealer::Source from_file(platform::InputFile& file) {
  return [&file](std::span<std::byte> buffer) { return file.read(buffer); };
}

Sealer::Sink to_file(platform::OutputFile& file) {
  return [&file](std::span<const std::byte> bytes) { file.write(bytes); };
}

struct NamedSize {
  std::string name;
  std::uint64_t size;
};

Bytes table_of(std::span<const NamedSize> files) {
  Bytes table;
  detail::append_number(table, static_cast<std::uint32_t>(files.size()));
  for (const NamedSize& file : files) {
    detail::append_number(table, static_cast<std::uint32_t>(file.name.size()));
    detail::append_array(table, std::span(file.name.data(), file.name.size()));
    detail::append_number(table, file.size);
  }
  return table;
}

template <class Number>
Number number_from(Unsealer& unsealer) {
  std::array<std::byte, sizeof(Number)> bytes;
  unsealer.fill(bytes);
  return detail::load_number<Number>(bytes.data());
}

// Whether they are files of a model, each once, the manifest among them: nothing else is read or written.
bool of_a_model(std::span<const NamedSize> files) {
  std::set<std::string_view> names;
  for (const NamedSize& file : files) {
    if (std::ranges::find(detail::kModelFiles, file.name) == detail::kModelFiles.end()) return false;
    if (!names.insert(file.name).second) return false;
  }
  return names.contains(detail::kManifestFile);
}

std::vector<NamedSize> read_table(Unsealer& unsealer) {
  constexpr std::size_t kLongestName = 255;
  const auto small_number = [&](std::size_t most) {
    const auto number = number_from<std::uint32_t>(unsealer);
    if (number > most) unsealer.fail("what is sealed in it is no model");
    return number;
  };
  std::vector<NamedSize> files(small_number(detail::kModelFiles.size()));
  for (NamedSize& file : files) {
    file.name.resize(small_number(kLongestName));
    unsealer.fill(std::as_writable_bytes(std::span(file.name)));
    file.size = number_from<std::uint64_t>(unsealer);
  }
  if (!of_a_model(files)) unsealer.fail("what is sealed in it is no model");
  return files;
}

// As the manifest lists it.
void add_file(Sealer& sealer, const fs::path& path, const detail::Manifest::File& listed) {
  platform::RegularFile file(path);
  std::uint32_t crc32 = 0;
  for (std::uint64_t left = file.size(); left > 0 && file.size() == listed.size;) {
    const Bytes bytes = file.read(std::min<std::uint64_t>(left, kPartBytes));
    crc32 = detail::crc32_of(bytes, crc32);
    sealer.add(bytes);
    left -= bytes.size();
  }
  if (file.size() != listed.size || crc32 != listed.crc32) {
    throw Error(ErrorCode::corrupt_file,
                quoted(path.string()) + ": is not the file that " + detail::kManifestFile + " lists");
  }
}

void write_file(Unsealer& unsealer, const fs::path& path, std::uint64_t size) {
  platform::OutputFile file(path, platform::Access::owner_only);
  while (size > 0) {
    const auto part = unsealer.next(std::min<std::uint64_t>(size, kPartBytes));
    if (part.empty()) unsealer.fail("what is sealed in it ends too early");
    file.write(part);
    size -= part.size();
  }
  file.finish();
}

}  // namespace

HostKey HostKey::generate() {
  HostKey key;
  platform::random_bytes(key.bytes_);
  return key;
}

HostKey HostKey::from_bytes(std::span<const std::byte> bytes) {
  if (bytes.size() != kSize) {
    throw Error(ErrorCode::invalid_argument,
                "a host's key: expected " + std::to_string(kSize) + " bytes, found " + std::to_string(bytes.size()));
  }
  HostKey key;
  std::ranges::copy(bytes, key.bytes_.begin());
  return key;
}

HostKey HostKey::from_file(const std::string& path) {
  constexpr std::size_t kDigits = 2 * kSize, kMost = 1'024;
  Bytes text = platform::read_file(path, kMost);
  HostKey key;
  std::size_t decoded = 0;
  const char* end = nullptr;
  const auto* const digits = reinterpret_cast<const char*>(text.data());
  sodium_hex2bin(detail::raw(key.bytes_.data()), kSize, digits, std::min(text.size(), kDigits), nullptr, &decoded,
                 &end);
  const auto rest = detail::as_text(text).substr(std::min(text.size(), kDigits));
  const bool right = decoded == kSize && (rest.empty() || rest == "\n" || rest == "\r\n");
  const std::size_t found = text.size();
  sodium_memzero(text.data(), text.size());
  if (!right) {
    throw Error(ErrorCode::invalid_data, quoted(path) + ": expected a key of " + std::to_string(kDigits) +
                                             " hexadecimal digits, found " + std::to_string(found) + " other bytes");
  }
  return key;
}

void HostKey::save(const std::string& path) const {
  std::array<char, 2 * kSize + 1> text;
  sodium_bin2hex(text.data(), text.size(), detail::raw(bytes_.data()), kSize);
  text.back() = '\n';
  try {
    platform::create_file(path, std::as_bytes(std::span(text)), platform::Access::owner_only);
  } catch (...) {
    sodium_memzero(text.data(), text.size());
    throw;
  }
  sodium_memzero(text.data(), text.size());
}

HostKey::~HostKey() { sodium_memzero(bytes_.data(), bytes_.size()); }

Bytes seal(std::span<const std::byte> bytes, const HostKey& key) {
  Bytes sealed;
  Sealer sealer(SealedContent::bytes, key,
                [&](std::span<const std::byte> part) { sealed.insert(sealed.end(), part.begin(), part.end()); });
  sealer.add(bytes);
  sealer.finish();
  return sealed;
}

Bytes unseal(std::span<const std::byte> sealed, const HostKey& key) {
  const std::string name = "sealed bytes";
  const auto source = [&sealed](std::span<std::byte> buffer) {
    const auto part = sealed.first(std::min(sealed.size(), buffer.size()));
    std::ranges::copy(part, buffer.begin());
    sealed = sealed.subspan(part.size());
    return part.size();
  };
  Unsealer unsealer(SealedContent::bytes, key, source, name);
  Bytes bytes;
  for (auto part = unsealer.next(kPartBytes); !part.empty(); part = unsealer.next(kPartBytes)) {
    bytes.insert(bytes.end(), part.begin(), part.end());
  }
  return bytes;
}

void seal_file(const std::string& from, const std::string& to, const HostKey& key) {
  platform::InputFile input(from);
  platform::replace_file(to, platform::Access::by_umask, [&](platform::OutputFile& output) {
    Sealer sealer(SealedContent::bytes, key, to_file(output));
    Bytes buffer(kPartBytes);
    while (const std::size_t count = input.read(buffer)) sealer.add(std::span(buffer).first(count));
    sealer.finish();
    sodium_memzero(buffer.data(), buffer.size());
  });
}

void unseal_file(const std::string& from, const std::string& to, const HostKey& key) {
  platform::InputFile input(from);
  const std::string name = quoted(from);
  Unsealer unsealer(SealedContent::bytes, key, from_file(input), name);
  platform::replace_file(to, platform::Access::owner_only, [&](platform::OutputFile& output) {
    for (auto part = unsealer.next(kPartBytes); !part.empty(); part = unsealer.next(kPartBytes)) output.write(part);
  });
}

void seal_model(const std::string& directory, const std::string& to, const HostKey& key) {
  const fs::path path = directory;
  const Bytes text = platform::read_file(path / detail::kManifestFile, detail::kMaxManifestBytes);
  const detail::Manifest manifest =
      detail::parse_manifest(detail::as_text(text), (path / detail::kManifestFile).string());
  std::vector<NamedSize> files{{detail::kManifestFile, text.size()}};
  for (const auto& [name, listed] : manifest.files) files.push_back({name, listed.size});
  if (!of_a_model(files)) {
    throw Error(ErrorCode::corrupt_file,
                quoted((path / detail::kManifestFile).string()) + ": lists files that are not part of a model");
  }
  platform::replace_file(to, platform::Access::by_umask, [&](platform::OutputFile& output) {
    Sealer sealer(SealedContent::model, key, to_file(output));
    sealer.add(table_of(files));
    sealer.add(text);
    for (const auto& [name, listed] : manifest.files) add_file(sealer, path / name, listed);
    sealer.finish();
  });
}

void unseal_model(const std::string& from, const std::string& directory, const HostKey& key) {
  TrainedModel::check_replaceable(directory);
  platform::InputFile input(from);
  const std::string name = quoted(from);
  Unsealer unsealer(SealedContent::model, key, from_file(input), name);
  const std::vector<NamedSize> files = read_table(unsealer);
  platform::replace_directory(directory, detail::kManifestFile, platform::Access::owner_only,
                              [&](const fs::path& fresh) {
                                for (const NamedSize& file : files) write_file(unsealer, fresh / file.name, file.size);
                                if (!unsealer.next(1).empty()) unsealer.fail("what is sealed in it goes on too long");
                              });
}

SealedContent sealed_content(const std::string& path) {
  platform::InputFile input(path);
  detail::SealPrefix prefix;
  const std::size_t count = input.read(prefix);
  return detail::content_of(std::span(prefix).first(count), quoted(path));
}

}  // namespace attune::inline v0_1
