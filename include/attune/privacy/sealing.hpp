// SPDX-License-Identifier: Apache-2.0
#pragma once

// Encryption at rest: exports of users and models as files that say nothing without the host's key, and that nobody can
// change unnoticed. The bytes are a stream of XChaCha20-Poly1305 (libsodium's secretstream) in parts of 64 KiB, so that
// files and models of any size take the memory of one part. What it does not hide: docs/privacy.md.

#if defined(ATTUNE_WITHOUT_SODIUM)
#error "this attune is built without libsodium: install it and configure with -DATTUNE_WITH_SODIUM=ON"
#endif

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "attune/version.hpp"

namespace attune::inline v0_1 {

// 32 bytes that only the host has. Whoever loses them loses what was sealed with them; whoever deletes them has erased
// it. Every copy is wiped when it goes. Immutable; safe from any number of threads.
class ATTUNE_EXPORT HostKey {
 public:
  static constexpr std::size_t kSize = 32;

  static HostKey generate();  // from the generator of the operating system
  // From where a host keeps its secrets. Throws Error(invalid_argument) for another number of bytes.
  static HostKey from_bytes(std::span<const std::byte> bytes);
  // From a file of 64 hexadecimal digits and perhaps a line break, as save() and `openssl rand -hex 32` write it.
  // Throws Error: io_error, invalid_data or limit_exceeded for anything else, without a word of its content.
  static HostKey from_file(const std::string& path);
  // Into a file that its user alone may read (0600). Throws Error(io_error), also where something is at `path`: a key
  // is never written over.
  void save(const std::string& path) const;

  HostKey(const HostKey&) = default;
  HostKey& operator=(const HostKey&) = default;
  ~HostKey();

  std::span<const std::byte, kSize> bytes() const noexcept { return bytes_; }  // secret

 private:
  HostKey() = default;
  std::array<std::byte, kSize> bytes_{};
};

// Any bytes, such as what Recommender::export_user() gives. Sealed bytes are 49 longer than these, and 17 more for
// every 64 KiB; they and sealed files are the same thing.
ATTUNE_EXPORT std::vector<std::byte> seal(std::span<const std::byte> bytes, const HostKey& key);
// Throws Error: corrupt_file for what was sealed with another key, or was changed, cut, lengthened or put in another
// order since; unsupported_version for what a newer attune has sealed.
ATTUNE_EXPORT std::vector<std::byte> unseal(std::span<const std::byte> sealed, const HostKey& key);

// The same from file to file; "-" is standard input. `to` is replaced or created as a whole or not at all, after the
// last part was found right, and may be `from`. What is unsealed only the user of the process may read (0600). A
// process that is killed may leave ".NAME.saving-*" beside `to`, which the next call to succeed removes. Throws Error:
// io_error, and what unseal() throws.
ATTUNE_EXPORT void seal_file(const std::string& from, const std::string& to, const HostKey& key);
ATTUNE_EXPORT void unseal_file(const std::string& from, const std::string& to, const HostKey& key);

// A model directory as one sealed file, names and sizes of its files included, and back. The directory is replaced as
// TrainedModel::save() does it, with files of mode 0600. Throws Error: what seal_file() and unseal_file() throw,
// corrupt_file for a model that is damaged before it is sealed, and what TrainedModel::check_replaceable() throws.
ATTUNE_EXPORT void seal_model(const std::string& directory, const std::string& to, const HostKey& key);
ATTUNE_EXPORT void unseal_model(const std::string& from, const std::string& directory, const HostKey& key);

enum class SealedContent : std::uint8_t { bytes = 1, model };
// What a sealed file says that it holds, which unsealing checks. Throws Error: io_error, corrupt_file for a file that
// is none, unsupported_version.
ATTUNE_EXPORT SealedContent sealed_content(const std::string& path);

}  // namespace attune::inline v0_1
