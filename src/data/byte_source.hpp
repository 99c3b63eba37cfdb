// SPDX-License-Identifier: Apache-2.0
#pragma once

// The bytes of a file, decompressed on the way. What a file is compressed with is found out from its first bytes, not
// from its name.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "attune/version.hpp"

namespace attune::inline v0_1::detail {

class ByteSource {
 public:
  virtual ~ByteSource() = default;
  // Fills `out`; less only at the end. Throws Error: io_error, corrupt_file (damaged, cut off, or followed by bytes
  // that do not belong to it), limit_exceeded (a stream that asks for more than 256 MiB to be decompressed).
  virtual std::size_t read(std::span<std::byte> out) = 0;
  virtual std::string_view compression() const noexcept = 0;  // "none", "gzip", "xz"
  // How many bytes there are to read in all; 0 where nobody knows before the end.
  virtual std::uint64_t expected_bytes() const noexcept { return 0; }
};

// "-" is standard input. Throws Error(unsupported) for zip, zstd and UTF-16.
std::unique_ptr<ByteSource> open_byte_source(const std::filesystem::path& path);

// The first so many bytes, less only where there are no more. The source goes on to give them.
std::string peek(std::unique_ptr<ByteSource>& source, std::size_t count);

// Latin-1 as UTF-8.
std::unique_ptr<ByteSource> from_latin_1(std::unique_ptr<ByteSource> source);

// How messages call it.
std::string display_name(const std::filesystem::path& path);

}  // namespace attune::inline v0_1::detail
