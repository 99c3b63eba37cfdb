// SPDX-License-Identifier: Apache-2.0
#include "platform/files.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <limits>
#include <new>
#include <optional>
#include <string_view>
#include <system_error>
#include <utility>

#include "attune/error.hpp"
#include "platform/process.hpp"

namespace attune::inline v0_1::platform {
namespace {

namespace fs = std::filesystem;

// Linux moves at most this much per call; asking for less than SSIZE_MAX keeps other systems content too.
constexpr std::size_t kMostPerCall = std::size_t{1} << 30;

[[noreturn]] void fail(const char* action, const fs::path& path, const std::string& reason) {
  throw Error(ErrorCode::io_error, std::string("cannot ") + action + " \"" + path.string() + "\": " + reason);
}

[[noreturn]] void fail(const char* action, const fs::path& path, int error) {
  fail(action, path, std::error_code(error, std::generic_category()).message());
}

// Repeats a system call for as long as signals interrupt it.
template <class Call>
auto uninterrupted(Call call) {
  for (;;) {
    const auto result = call();
    if (result >= 0 || errno != EINTR) return result;
  }
}

class Descriptor {
 public:
  explicit Descriptor(int value) noexcept : value_(value) {}
  Descriptor(Descriptor&&) = delete;
  ~Descriptor() {
    if (value_ >= 0) ::close(value_);
  }
  int value() const noexcept { return value_; }
  int release() noexcept { return std::exchange(value_, -1); }

 private:
  int value_;
};

int open_for_reading(const fs::path& path, int flags) {
  const int descriptor = uninterrupted([&] { return ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NOCTTY | flags); });
  if (descriptor < 0) fail("open", path, errno);
  return descriptor;
}

// Up to bytes.size(); less only at the end of the file.
std::size_t read_fully(int descriptor, const fs::path& path, std::span<std::byte> bytes) {
  std::size_t done = 0;
  while (done < bytes.size()) {
    const std::size_t count = std::min(bytes.size() - done, kMostPerCall);
    const ssize_t got = uninterrupted([&] { return ::read(descriptor, bytes.data() + done, count); });
    if (got < 0) fail("read", path, errno);
    if (got == 0) break;
    done += static_cast<std::size_t>(got);
  }
  return done;
}

void write_fully(int descriptor, const fs::path& path, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const std::size_t count = std::min(bytes.size(), kMostPerCall);
    const ssize_t put = uninterrupted([&] { return ::write(descriptor, bytes.data(), count); });
    if (put < 0) fail("write", path, errno);
    bytes = bytes.subspan(static_cast<std::size_t>(put));
  }
}

void write_new_file(const fs::path& path, std::span<const std::byte> bytes, Access access = Access::by_umask) {
  OutputFile file(path, access);
  file.write(bytes);
  file.finish();
}

void sync_directory(const fs::path& directory) {
  const Descriptor opened(open_for_reading(directory, O_DIRECTORY));
  // EINVAL: the file system has nothing to sync for a directory.
  if (uninterrupted([&] { return ::fsync(opened.value()); }) != 0 && errno != EINVAL) fail("sync", directory, errno);
}

fs::path parent_of(const fs::path& path) { return path.has_parent_path() ? path.parent_path() : fs::path("."); }

// A link is there even if what it names is not.
bool is_there(const fs::path& path) {
  std::error_code ignored;
  return fs::exists(fs::symlink_status(path, ignored));
}

void create_with_parents(const fs::path& directory) {
  if (::mkdir(directory.c_str(), 0777) == 0) return sync_directory(parent_of(directory));
  if (errno == ENOENT && directory.has_parent_path() && directory != directory.parent_path()) {
    create_with_parents(directory.parent_path());
    if (::mkdir(directory.c_str(), 0777) == 0) return sync_directory(directory.parent_path());
  }
  if (errno != EEXIST) fail("create", directory, errno);
}

void rename_path(const fs::path& from, const fs::path& to) {
  if (::rename(from.c_str(), to.c_str()) != 0) fail("replace", to, errno);
}

void remove_path(const fs::path& path) {
  std::error_code error;
  fs::remove(path, error);
  if (error) fail("remove", path, error.message());
}

// False where the file system cannot do it.
bool exchange([[maybe_unused]] const fs::path& a, [[maybe_unused]] const fs::path& b) {
#ifdef RENAME_EXCHANGE
  if (::renameat2(AT_FDCWD, a.c_str(), AT_FDCWD, b.c_str(), RENAME_EXCHANGE) == 0) return true;
  if (errno != EINVAL && errno != ENOSYS) fail("replace", b, errno);
#endif
  return false;
}

constexpr std::string_view kAside = ".aside";

void swap_directories(const fs::path& a, const fs::path& b, Swap how) {
  if (how == Swap::exchange && exchange(a, b)) return;
  const fs::path aside = a.string() + std::string(kAside);
  rename_path(b, aside);
  int error = 0;
  if (::rename(a.c_str(), b.c_str()) != 0) {
    error = errno;
  } else if (::rename(aside.c_str(), a.c_str()) != 0) {
    error = errno;
    ::rename(b.c_str(), a.c_str());
  } else {
    return;
  }
  ::rename(aside.c_str(), b.c_str());
  fail("replace", b, error);
}

// Marks a directory as somebody's work, wherever it is moved, until the object or the process is gone. A lock, unlike
// the number of a process, means the same in every container and is never given to somebody else.
class Lock {
 public:
  enum class State { held, taken, impossible };  // taken by somebody else; impossible on this file system
  explicit Lock(const fs::path& directory)
      : directory_(::open(directory.c_str(), O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)) {
    if (directory_.value() >= 0 && ::flock(directory_.value(), LOCK_EX | LOCK_NB) == 0) {
      state_ = State::held;
    } else if (errno == EWOULDBLOCK) {
      state_ = State::taken;
    }
  }
  State state() const noexcept { return state_; }

 private:
  Descriptor directory_;
  State state_ = State::impossible;
};

std::string sibling_stem(const fs::path& target) { return std::string(".") + target.filename().string() + ".saving-"; }

// A fresh directory beside `target`. Whatever stands at its path in the end is removed.
class Sibling {
 public:
  explicit Sibling(const fs::path& target, Access access = Access::by_umask) {
    const std::string stem = sibling_stem(target) + std::to_string(process_id()) + "-";
    for (int attempt = 0;; ++attempt) {
      path_ = parent_of(target) / (stem + std::to_string(attempt));
      if (::mkdir(path_.c_str(), access == Access::owner_only ? 0700 : 0777) == 0) {
        lock_.emplace(path_);
        // Somebody else may have taken it for abandoned just before it was locked.
        if (lock_->state() != Lock::State::taken && is_there(path_)) return;
      } else if (errno != EEXIST) {
        fail("create", path_, errno);
      }
    }
  }
  Sibling(Sibling&&) = delete;
  ~Sibling() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  const fs::path& path() const noexcept { return path_; }

  // Puts this directory at `target`, durably, and takes what was there.
  void swap_with(const fs::path& target, bool target_exists, Swap how) {
    if (target_exists) lock_of_old_.emplace(target);
    const auto swap = [&](bool forward) {
      if (target_exists) return swap_directories(path_, target, how);
      forward ? rename_path(path_, target) : rename_path(target, path_);
    };
    swap(true);
    try {
      sync_directory(parent_of(target));
    } catch (...) {
      swap(false);
      throw;
    }
  }

 private:
  fs::path path_;
  std::optional<Lock> lock_, lock_of_old_;
};

// Removes what saves of `target` have left that were killed: siblings that nobody has locked. Only once something whole
// stands at `target`, because a save killed between two renames leaves the old one nowhere else.
void remove_siblings(const fs::path& target) {
  const std::string stem = sibling_stem(target);
  std::error_code error;
  std::vector<fs::path> abandoned;
  for (fs::directory_iterator entry(parent_of(target), error), end; !error && entry != end; entry.increment(error)) {
    std::string name = entry->path().filename().string();
    if (name.ends_with(kAside)) name.resize(name.size() - kAside.size());
    if (!name.starts_with(stem) || name.find_first_not_of("0123456789-", stem.size()) != std::string::npos) continue;
    abandoned.push_back(entry->path());
  }
  for (const fs::path& path : abandoned) {
    const Lock lock(path);
    if (lock.state() == Lock::State::held) fs::remove_all(path, error);
  }
}

// Makes what was written beside a directory that directory, and removes what stood there.
void put_in_place(Sibling& sibling, const fs::path& target, const fs::path& directory, Swap swap) {
  const bool replaces = is_there(target);
  sync_directory(sibling.path());
  std::error_code error;
  if (replaces) fs::permissions(sibling.path(), fs::status(target, error).permissions(), error);
  if (error) fail("write", sibling.path(), error.message());
  sibling.swap_with(target, replaces, swap);
  if (fs::remove_all(sibling.path(), error); error) {
    throw Error(ErrorCode::io_error, "\"" + directory.string() + "\" is written, but what it replaced is left in \"" +
                                         sibling.path().string() + "\": " + error.message());
  }
  remove_siblings(target);
}

void require_permission(const fs::path& directory) {
  if (::access(directory.c_str(), W_OK | X_OK) != 0) fail("write", directory, errno);
}

// A path as it is meant: without a trailing slash, links resolved.
fs::path resolved(const fs::path& path) {
  std::error_code error;
  const fs::path meant = fs::weakly_canonical(path.has_filename() ? path : path.parent_path(), error);
  if (error) fail("write", path, error.message());
  return meant;
}

// What stands where a file is to be: a regular one, whose permissions are returned, or nothing.
std::optional<fs::perms> require_replaceable_file(const fs::path& path) {
  std::error_code unknown;
  const fs::file_status status = fs::status(path, unknown);
  if (fs::is_regular_file(status)) return status.permissions();
  if (fs::is_directory(status) || !path.has_filename()) fail("replace", path, EISDIR);
  if (is_there(path)) fail("replace", path, "Not a regular file");
  return std::nullopt;
}

// Up from a path to what is there, which has to be a directory to write in; `created` becomes the last one before it.
fs::path nearest_directory(fs::path path, fs::path& created) {
  for (; !is_there(path) && path != path.parent_path(); path = parent_of(path)) created = path;
  std::error_code error;
  if (!fs::is_directory(path, error)) fail("write", path, fs::exists(path, error) ? ENOTDIR : ENOENT);
  require_permission(path);
  return path;
}

// What check_replaceable says without trying. The uppermost of the directories that replacing creates, else
// `directory`.
fs::path require_replaceable(const fs::path& directory, const std::string& marker) {
  const fs::path target = resolved(directory);
  fs::path created = target;
  if (nearest_directory(target, created) != target) return created;
  require_permission(parent_of(target));
  std::error_code error;
  if (!fs::is_empty(target, error) && !fs::is_regular_file(target / marker, error)) {
    throw Error(ErrorCode::invalid_argument,
                "\"" + directory.string() + "\" is not replaced: it is not empty and holds no " + marker);
  }
  return target;
}

}  // namespace

InputFile::InputFile(const fs::path& path) : path_(path) {
  if (path == "-") {
    descriptor_ = STDIN_FILENO;
    return;
  }
  Descriptor file(open_for_reading(path, 0));
  struct stat status;
  if (::fstat(file.value(), &status) == 0 && S_ISDIR(status.st_mode)) fail("read", path, EISDIR);
  descriptor_ = file.release();
}

InputFile::InputFile(InputFile&& other) noexcept
    : path_(std::move(other.path_)), descriptor_(std::exchange(other.descriptor_, -1)) {}

InputFile::~InputFile() {
  if (descriptor_ > STDIN_FILENO) ::close(descriptor_);
}

std::uint64_t InputFile::size() const noexcept {
  struct stat status;
  return ::fstat(descriptor_, &status) == 0 && S_ISREG(status.st_mode) ? static_cast<std::uint64_t>(status.st_size) : 0;
}

std::size_t InputFile::read(std::span<std::byte> buffer) { return read_fully(descriptor_, path_, buffer); }

RegularFile::RegularFile(const fs::path& path) : path_(path) {
  Descriptor file(open_for_reading(path, O_NONBLOCK));
  struct stat status;
  if (::fstat(file.value(), &status) != 0) fail("read", path, errno);
  if (S_ISDIR(status.st_mode)) fail("read", path, EISDIR);
  if (!S_ISREG(status.st_mode)) fail("read", path, "Not a regular file");
  size_ = static_cast<std::uint64_t>(status.st_size);
  descriptor_ = file.release();
}

RegularFile::~RegularFile() { ::close(descriptor_); }

std::vector<std::byte> RegularFile::read(std::uint64_t count) {
  std::vector<std::byte> bytes;
  try {
    bytes.resize(count);
  } catch (const std::exception&) {
    throw Error(ErrorCode::limit_exceeded,
                "no memory for " + std::to_string(count) + " bytes of \"" + path_.string() + "\"");
  }
  if (read_fully(descriptor_, path_, bytes) < count) fail("read", path_, "The file was shortened meanwhile");
  return bytes;
}

void RegularFile::read_at(std::uint64_t offset, std::span<std::byte> bytes) const {
  while (!bytes.empty()) {
    const std::size_t count = std::min(bytes.size(), kMostPerCall);
    const ssize_t got =
        uninterrupted([&] { return ::pread(descriptor_, bytes.data(), count, static_cast<off_t>(offset)); });
    if (got < 0) fail("read", path_, errno);
    if (got == 0) fail("read", path_, "The file was shortened meanwhile");
    bytes = bytes.subspan(static_cast<std::size_t>(got));
    offset += static_cast<std::uint64_t>(got);
  }
}

MappedBytes RegularFile::map() const {
  if (size_ == 0) return {};
  void* const data = ::mmap(nullptr, size_, PROT_READ, MAP_SHARED, descriptor_, 0);
  if (data == MAP_FAILED) fail("map", path_, errno);
  std::shared_ptr<const void> owner(data, [size = size_](void* mapped) { ::munmap(mapped, size); });
  return {{static_cast<const std::byte*>(data), size_}, std::move(owner)};
}

std::vector<std::byte> read_file(const fs::path& path, std::uint64_t limit) {
  RegularFile file(path);
  if (file.size() > limit) {
    throw Error(ErrorCode::limit_exceeded, "\"" + path.string() + "\" has " + std::to_string(file.size()) +
                                               " bytes; at most " + std::to_string(limit) + " are read");
  }
  return file.read(file.size());
}

AppendFile::AppendFile(const fs::path& path) : path_(path) {
  if (!is_there(parent_of(path))) create_with_parents(parent_of(path));
  const bool fresh = !is_there(path);
  Descriptor file(uninterrupted(
      [&] { return ::open(path.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0666); }));
  if (file.value() < 0) fail("open", path, errno);
  if (::flock(file.value(), LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK) {
    fail("write", path, "another process is writing it");
  }
  if (fresh) sync_directory(parent_of(path));
  descriptor_ = file.release();
}

AppendFile::~AppendFile() { ::close(descriptor_); }

std::vector<std::byte> AppendFile::read() const { return read_file(path_); }

void AppendFile::shorten(std::uint64_t size) {
  if (uninterrupted([&] { return ::ftruncate(descriptor_, static_cast<off_t>(size)); }) != 0) {
    fail("write", path_, errno);
  }
}

void AppendFile::append(std::span<const std::byte> record) {
  if (failed_) fail("write", path_, "an earlier write failed");
  failed_ = true;
  write_fully(descriptor_, path_, record);
  if (uninterrupted([&] { return ::fsync(descriptor_); }) != 0) fail("write", path_, errno);
  failed_ = false;
}

OutputFile::OutputFile(const fs::path& path, Access access) : path_(path) {
  const mode_t mode = access == Access::owner_only ? 0600 : 0666;
  descriptor_ = uninterrupted([&] { return ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode); });
  if (descriptor_ < 0) fail("create", path, errno);
}

OutputFile::~OutputFile() {
  if (descriptor_ >= 0) ::close(descriptor_);
}

void OutputFile::write(std::span<const std::byte> bytes) { write_fully(descriptor_, path_, bytes); }

void OutputFile::finish() {
  if (uninterrupted([&] { return ::fsync(descriptor_); }) != 0) fail("write", path_, errno);
  // A late error of writing. Not repeated after a signal: Linux has closed it even then.
  if (::close(std::exchange(descriptor_, -1)) != 0 && errno != EINTR) fail("write", path_, errno);
}

void create_file(const fs::path& path, std::span<const std::byte> bytes, Access access) {
  if (!is_there(parent_of(path))) create_with_parents(parent_of(path));
  OutputFile file(path, access);
  try {
    file.write(bytes);
    file.finish();
    sync_directory(parent_of(path));
  } catch (...) {
    std::error_code ignored;
    fs::remove(path, ignored);
    throw;
  }
}

void replace_file(const fs::path& path, Access access, const std::function<void(OutputFile&)>& write) {
  const std::optional<fs::perms> permissions = require_replaceable_file(path);
  const fs::path target = resolved(path);
  if (!is_there(parent_of(target))) create_with_parents(parent_of(target));
  const Sibling sibling(target, Access::owner_only);
  const fs::path fresh = sibling.path() / target.filename();
  OutputFile file(fresh, access);
  write(file);
  std::error_code error;
  if (permissions && access == Access::by_umask) fs::permissions(fresh, *permissions, error);
  if (error) fail("write", fresh, error.message());
  file.finish();
  rename_path(fresh, target);
  sync_directory(parent_of(target));
  remove_siblings(target);
}

void replace_file(const fs::path& path, std::span<const std::byte> bytes) {
  replace_file(path, Access::by_umask, [&](OutputFile& file) { file.write(bytes); });
}

void remove_file(const fs::path& path) {
  remove_path(path);
  remove_siblings(path);
}

void check_file_replaceable(const fs::path& path) {
  std::error_code error;
  if (!path.has_filename() || fs::is_directory(path, error)) fail("write", path, EISDIR);
  if (is_there(path) && !fs::is_regular_file(path, error)) fail("write", path, "Not a regular file");
  fs::path created = path;
  nearest_directory(parent_of(path), created);
  const Sibling probe(created);
}

void check_replaceable(const fs::path& directory, const std::string& marker) {
  const Sibling probe(require_replaceable(directory, marker));
}

void replace_directory(const fs::path& directory, const std::string& marker, Access access,
                       const std::function<void(const fs::path&)>& write, Swap swap) {
  require_replaceable(directory, marker);
  const fs::path target = resolved(directory);
  if (!is_there(target)) create_with_parents(parent_of(target));
  Sibling sibling(target, access);
  write(sibling.path());
  put_in_place(sibling, target, directory, swap);
}

void replace_directory(const fs::path& directory, std::span<const NamedBytes> files, const std::string& marker,
                       Swap swap) {
  const auto write = [&](const fs::path& fresh) {
    for (const NamedBytes& file : files) write_new_file(fresh / file.name, file.bytes);
  };
  replace_directory(directory, marker, Access::by_umask, write, swap);
}

void replace_files(const fs::path& directory, std::span<const NamedBytes> files, const std::string& marker) {
  require_replaceable(directory, marker);
  const fs::path target = resolved(directory);
  Sibling sibling(target);
  for (const NamedBytes& file : files) write_new_file(sibling.path() / file.name, file.bytes);
  std::error_code error;
  for (fs::directory_iterator entry(target, error), end; !error && entry != end; entry.increment(error)) {
    const fs::path& path = entry->path();
    const auto replaced = [&](const NamedBytes& file) { return file.name == path.filename(); };
    if (std::ranges::any_of(files, replaced)) continue;
    const fs::path kept = sibling.path() / path.filename();
    if (::link(path.c_str(), kept.c_str()) == 0) continue;
    if (errno != EPERM && errno != EOPNOTSUPP) fail("write", kept, errno);
    write_new_file(kept, read_file(path));  // on a file system without links
  }
  if (error) fail("read", target, error.message());
  put_in_place(sibling, target, directory, Swap::exchange);
}

void remove_abandoned(const fs::path& directory) { remove_siblings(resolved(directory)); }

}  // namespace attune::inline v0_1::platform
