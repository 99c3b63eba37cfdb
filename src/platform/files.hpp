// SPDX-License-Identifier: Apache-2.0
#pragma once

// Everything the library asks of the file system. Errors are attune::Error(io_error) with the path and the system's
// reason. Only src/platform knows the operating system.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

#include "attune/version.hpp"

namespace attune::inline v0_1::platform {

// A file open for sequential reading; "-" is standard input.
class InputFile {
 public:
  explicit InputFile(const std::filesystem::path& path);
  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&&) = delete;
  ~InputFile();
  std::size_t read(std::span<std::byte> buffer);  // 0 at the end; retries interrupted and short reads

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

// The whole of a regular file (directories, FIFOs and devices are refused), at most `limit` bytes.
std::vector<std::byte> read_file(const std::filesystem::path& path, std::uint64_t limit = UINT64_MAX);

struct NamedBytes {
  std::string name;  // a bare file name
  std::span<const std::byte> bytes;
};

// Replaces or creates a directory that holds exactly these files, as a whole or not at all: they are written beside it,
// synced, swapped in, and the parent directory is synced. A failure leaves the old directory as it was and nothing
// beside it. `marker` is a file that an existing directory must hold to be replaced (else Error(invalid_argument)); an
// existing empty directory is replaced too.
void replace_directory(const std::filesystem::path& directory, std::span<const NamedBytes> files,
                       const std::string& marker);

}  // namespace attune::inline v0_1::platform
