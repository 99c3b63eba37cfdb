// SPDX-License-Identifier: Apache-2.0
#pragma once

// Everything the library asks of the file system. Errors are attune::Error(io_error) with the path and the system's
// reason. Only src/platform knows the operating system.

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "attune/version.hpp"

namespace attune::inline v0_1::platform {

// A file open for sequential reading; "-" is standard input. A FIFO or a device is read like a file.
class InputFile {
 public:
  explicit InputFile(const std::filesystem::path& path);
  InputFile(InputFile&& other) noexcept;
  InputFile& operator=(InputFile&&) = delete;
  ~InputFile();
  std::size_t read(std::span<std::byte> buffer);  // fills the buffer unless the file ends; 0 at the end
  // 0 where the system does not say: FIFOs, devices.
  std::uint64_t size() const noexcept;

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

// Bytes of a file where the system keeps them, for as long as `owner` lives.
struct MappedBytes {
  std::span<const std::byte> bytes;
  std::shared_ptr<const void> owner;
};

// A file whose size is known before it is read: directories, FIFOs and devices are refused, without waiting for them.
class RegularFile {
 public:
  explicit RegularFile(const std::filesystem::path& path);
  RegularFile(RegularFile&&) = delete;
  ~RegularFile();
  std::uint64_t size() const noexcept { return size_; }
  // The next `count` bytes. Throws Error: io_error when the file ends before them (somebody shortened it in the
  // meantime), limit_exceeded when there is no memory for them.
  std::vector<std::byte> read(std::uint64_t count);
  // Fills `bytes` from `offset` on, wherever read() stands; io_error where the file ends before.
  void read_at(std::uint64_t offset, std::span<std::byte> bytes) const;
  // All of it, read when it is touched. The file may be removed or another be renamed over it; who shortens or changes
  // it in place takes the bytes away from under the process.
  MappedBytes map() const;

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  std::uint64_t size_ = 0;
};

// The whole of a regular file; Error(limit_exceeded) for more than `limit` bytes.
std::vector<std::byte> read_file(const std::filesystem::path& path, std::uint64_t limit = UINT64_MAX);

// A file that grows record by record, each durable before append() returns. Missing directories are created. One
// process at a time has it: Error(io_error) where another does (on file systems that know locks).
class AppendFile {
 public:
  explicit AppendFile(const std::filesystem::path& path);
  AppendFile(AppendFile&&) = delete;
  ~AppendFile();
  std::vector<std::byte> read() const;  // all of it
  // Forgets all behind the first `size` bytes: what a process that was killed has left of a record.
  void shorten(std::uint64_t size);
  // Throws Error(io_error); from then on always: nobody knows what a failed write has left on the disk.
  void append(std::span<const std::byte> record);

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
  bool failed_ = false;
};

// Who may use what is written: those whom the umask of the process allows, or its user alone (0600, directories 0700).
enum class Access { by_umask, owner_only };

// A file that was not there before, written piece by piece. It is on the disk after finish(); where that is not
// reached, whoever made it removes it.
class OutputFile {
 public:
  OutputFile(const std::filesystem::path& path, Access access);
  OutputFile(OutputFile&&) = delete;
  ~OutputFile();
  void write(std::span<const std::byte> bytes);
  void finish();

 private:
  std::filesystem::path path_;
  int descriptor_ = -1;
};

// The same in one piece. Nothing is left where it throws.
void create_file(const std::filesystem::path& path, std::span<const std::byte> bytes, Access access);

struct NamedBytes {
  std::string name;  // a bare file name
  std::span<const std::byte> bytes;
};

// Replaces or creates a regular file, durably, as a whole or not at all: the bytes are written into a fresh directory
// beside it, which its user alone may read, synced, renamed, and the parent directory is synced. Missing directories
// are created, a symbolic link is followed, permissions stay. Throws Error(io_error) before anything is written where
// something else stands there, or a link to nothing. A process that is killed leaves ".NAME.saving-*"; the next one to
// succeed removes it.
void replace_file(const std::filesystem::path& path, std::span<const std::byte> bytes);
// The same for what `write` writes. Where it throws nothing is replaced and nothing left. Under Access::owner_only the
// permissions of what is replaced do not count.
void replace_file(const std::filesystem::path& path, Access access, const std::function<void(OutputFile&)>& write);
// Whether replace_file may put a file at `path`: nothing or a regular file is there, and one can be made beside it.
void check_file_replaceable(const std::filesystem::path& path);
// Removes what replace_file wrote, finished or not. Nothing there is no error.
void remove_file(const std::filesystem::path& path);

// Whether replace_directory may put something at `directory`: nothing is there, or a writable directory that is empty
// or holds the file `marker`, and a directory can be made beside it. Throws Error: invalid_argument for a directory
// that holds something else, io_error for a file, a link to nothing, and where nothing can be made.
void check_replaceable(const std::filesystem::path& directory, const std::string& marker);

// How a directory takes the place of another: `exchange` is atomic; `two_renames`, for file systems without it, leaves
// an instant in which there is neither.
enum class Swap { exchange, two_renames };

// Replaces or creates a directory that holds exactly these files, as a whole or not at all: they are written beside it,
// synced, swapped in, and the parent directory is synced. Missing parents are created; a symbolic link is followed.
// A failure leaves the old directory as it was and nothing beside it; only where the old one cannot be removed at the
// end, the new one is in place and the message says what is left. check_replaceable is applied first. A process that is
// killed leaves what it has written, as ".NAME.saving-*"; the next one to succeed removes it. Work in progress is
// locked and stays; so does everything on a file system without locks. One whose locks end at the machine, and which
// several machines write to at once, is not safe: one may take for abandoned what another is writing.
void replace_directory(const std::filesystem::path& directory, std::span<const NamedBytes> files,
                       const std::string& marker, Swap swap = Swap::exchange);
// The same for the files that `write` makes in the directory it is given. Where it throws nothing is replaced and
// nothing left. A directory that is replaced leaves its permissions to the new one.
void replace_directory(const std::filesystem::path& directory, const std::string& marker, Access access,
                       const std::function<void(const std::filesystem::path& fresh)>& write,
                       Swap swap = Swap::exchange);

// Puts these files into a directory that holds `marker`, together or not at all, as replace_directory puts all of them.
// The other files stay the same files, also for those who have them mapped; on a file system without hard links they
// are copied.
void replace_files(const std::filesystem::path& directory, std::span<const NamedBytes> files,
                   const std::string& marker);

// Removes what replace_directory and replace_files have left that were killed.
void remove_abandoned(const std::filesystem::path& directory);

}  // namespace attune::inline v0_1::platform
