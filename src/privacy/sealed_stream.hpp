// SPDX-License-Identifier: Apache-2.0
#pragma once

// Sealed bytes: "ATSL", version (1 byte), content (1 byte), two zeros; the header of a secretstream (24 bytes); parts
// of 64 KiB and 17 bytes, the last of which is shorter or as long and carries the final tag. The first 8 bytes are
// authenticated with every part. The key of the stream is derived from the host's.
//
// A model is a table and the files one after the other. The table: how many they are (4 bytes), and of each how long
// its name is (4 bytes), the name, its size (8 bytes); little-endian.

#include <sodium.h>

#include <array>
#include <cstddef>
#include <functional>
#include <span>
#include <string>
#include <vector>

#include "attune/privacy/sealing.hpp"

namespace attune::inline v0_1::detail {

inline constexpr std::size_t kPartBytes = std::size_t{64} << 10;
inline constexpr std::size_t kTagBytes = crypto_secretstream_xchacha20poly1305_ABYTES;
using SealPrefix = std::array<std::byte, 8>;

// `name` is for messages. Throws Error: corrupt_file, unsupported_version.
SealedContent content_of(std::span<const std::byte> prefix, const std::string& name);

class Sealer {
 public:
  using Sink = std::function<void(std::span<const std::byte>)>;

  Sealer(SealedContent content, const HostKey& key, Sink sink);
  ~Sealer();
  Sealer(const Sealer&) = delete;
  Sealer& operator=(const Sealer&) = delete;
  void add(std::span<const std::byte> bytes);
  void finish();  // once, at the end

 private:
  void push(unsigned char tag);

  SealPrefix prefix_;
  Sink sink_;
  crypto_secretstream_xchacha20poly1305_state state_;
  std::vector<std::byte> part_, sealed_;
};

class Unsealer {
 public:
  // Fills the buffer unless the bytes end.
  using Source = std::function<std::size_t(std::span<std::byte>)>;

  // Keeps a reference to `name`. Throws Error as content_of(), and corrupt_file for other content than expected.
  Unsealer(SealedContent expected, const HostKey& key, Source source, const std::string& name);
  ~Unsealer();
  Unsealer(const Unsealer&) = delete;
  Unsealer& operator=(const Unsealer&) = delete;
  // The bytes that come next, valid until the next call: at most so many, none at the end and only there, when the
  // last part was found right and nothing follows it. Throws Error(corrupt_file).
  std::span<const std::byte> next(std::size_t most);
  // Exactly so many; Error(corrupt_file) where they end before.
  void fill(std::span<std::byte> bytes);
  [[noreturn]] void fail(const std::string& problem) const;

 private:
  void pull();

  SealPrefix prefix_;
  Source source_;
  const std::string& name_;
  crypto_secretstream_xchacha20poly1305_state state_;
  std::vector<std::byte> sealed_, part_;
  std::span<const std::byte> left_;  // of part_
  bool ended_ = false;
};

}  // namespace attune::inline v0_1::detail
