// SPDX-License-Identifier: Apache-2.0
#include "serving/failing_sqlite.hpp"

#include <sqlite3.h>

#include <cstdlib>
#include <new>

namespace attune::test {
namespace {

DiskFaults* active = nullptr;

}  // namespace

static bool fails(std::atomic<int>& calls, int fail_at, bool for_ever) noexcept {
  const int call = calls++;
  return call == fail_at || (for_ever && call > fail_at);
}

namespace {

bool disk_fails() noexcept { return active != nullptr && fails(active->calls, active->fail_at, active->for_ever); }

// The system's own file behind a table of methods of ours, of which some may fail.
struct File {
  sqlite3_file base;
  sqlite3_io_methods methods;
  const sqlite3_io_methods* own;
};

// The system's file follows in memory.
sqlite3_file* behind(sqlite3_file* file) noexcept {
  return reinterpret_cast<sqlite3_file*>(reinterpret_cast<char*>(file) + sizeof(File));
}

template <auto Method, class... Arguments>
int forward(sqlite3_file* file, Arguments... arguments) {
  return (behind(file)->pMethods->*Method)(behind(file), arguments...);
}

int write(sqlite3_file* file, const void* bytes, int count, sqlite3_int64 offset) {
  if (!disk_fails()) return forward<&sqlite3_io_methods::xWrite>(file, bytes, count, offset);
  forward<&sqlite3_io_methods::xWrite>(file, bytes, count / 2, offset);  // torn
  return SQLITE_FULL;
}

int truncate(sqlite3_file* file, sqlite3_int64 size) {
  return disk_fails() ? SQLITE_IOERR_TRUNCATE : forward<&sqlite3_io_methods::xTruncate>(file, size);
}

int sync(sqlite3_file*, int) { return disk_fails() ? SQLITE_IOERR_FSYNC : SQLITE_OK; }

sqlite3_vfs* system_vfs() noexcept {
  static sqlite3_vfs* const vfs = sqlite3_vfs_find(nullptr);
  return vfs;
}

sqlite3_io_methods methods_for(int version) {
  sqlite3_io_methods methods{};
  methods.iVersion = version < 2 ? 1 : 2;  // 3 would map the file
  methods.xClose = [](sqlite3_file* f) { return forward<&sqlite3_io_methods::xClose>(f); };
  methods.xRead = [](sqlite3_file* f, void* to, int n, sqlite3_int64 at) {
    return forward<&sqlite3_io_methods::xRead>(f, to, n, at);
  };
  methods.xWrite = write;
  methods.xTruncate = truncate;
  methods.xSync = sync;
  methods.xFileSize = [](sqlite3_file* f, sqlite3_int64* size) {
    return forward<&sqlite3_io_methods::xFileSize>(f, size);
  };
  methods.xLock = [](sqlite3_file* f, int lock) { return forward<&sqlite3_io_methods::xLock>(f, lock); };
  methods.xUnlock = [](sqlite3_file* f, int lock) { return forward<&sqlite3_io_methods::xUnlock>(f, lock); };
  methods.xCheckReservedLock = [](sqlite3_file* f, int* out) {
    return forward<&sqlite3_io_methods::xCheckReservedLock>(f, out);
  };
  methods.xFileControl = [](sqlite3_file* f, int operation, void* argument) {
    return forward<&sqlite3_io_methods::xFileControl>(f, operation, argument);
  };
  methods.xSectorSize = [](sqlite3_file* f) { return forward<&sqlite3_io_methods::xSectorSize>(f); };
  methods.xDeviceCharacteristics = [](sqlite3_file* f) {
    return forward<&sqlite3_io_methods::xDeviceCharacteristics>(f);
  };
  methods.xShmMap = [](sqlite3_file* f, int page, int size, int extend, void volatile** out) {
    return forward<&sqlite3_io_methods::xShmMap>(f, page, size, extend, out);
  };
  methods.xShmLock = [](sqlite3_file* f, int offset, int n, int flags) {
    return forward<&sqlite3_io_methods::xShmLock>(f, offset, n, flags);
  };
  methods.xShmBarrier = [](sqlite3_file* f) { behind(f)->pMethods->xShmBarrier(behind(f)); };
  methods.xShmUnmap = [](sqlite3_file* f, int remove) { return forward<&sqlite3_io_methods::xShmUnmap>(f, remove); };
  return methods;
}

int open(sqlite3_vfs*, const char* name, sqlite3_file* file, int flags, int* out) {
  file->pMethods = nullptr;
  if (disk_fails()) return SQLITE_CANTOPEN;
  if (active != nullptr && active->read_only)
    flags = (flags & ~(SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE)) | SQLITE_OPEN_READONLY;
  const int code = system_vfs()->xOpen(system_vfs(), name, behind(file), flags, out);
  if (behind(file)->pMethods == nullptr) return code;
  auto* const ours = new (file) File{};
  ours->methods = methods_for(behind(file)->pMethods->iVersion);
  ours->base.pMethods = &ours->methods;
  return code;
}

sqlite3_vfs& failing_vfs() {
  static sqlite3_vfs vfs = [] {
    sqlite3_vfs copy = *system_vfs();
    copy.zName = "failing";
    copy.szOsFile += static_cast<int>(sizeof(File));
    copy.pNext = nullptr;
    copy.xOpen = open;
    copy.xDelete = [](sqlite3_vfs*, const char* name, int) { return system_vfs()->xDelete(system_vfs(), name, 0); };
    copy.pAppData = system_vfs()->pAppData;
    return copy;
  }();
  return vfs;
}

sqlite3_mem_methods system_memory;

}  // namespace

DiskFaults::DiskFaults() {
  sqlite3_initialize();
  system_vfs();
  sqlite3_vfs_register(&failing_vfs(), 1);
  active = this;
}

DiskFaults::~DiskFaults() {
  active = nullptr;
  sqlite3_vfs_unregister(&failing_vfs());
  sqlite3_vfs_register(system_vfs(), 1);
}

std::atomic<int> MemoryFaults::fail_at = INT_MAX;
std::atomic<bool> MemoryFaults::for_ever = false;
std::atomic<int> MemoryFaults::calls = 0;

// Before the first use of SQLite in the process.
const bool MemoryFaults::installed = [] {
  sqlite3_mem_methods methods;
  if (sqlite3_config(SQLITE_CONFIG_GETMALLOC, &system_memory) != SQLITE_OK) return false;
  methods = system_memory;
  methods.xMalloc = [](int size) -> void* {
    return fails(calls, fail_at, for_ever) ? nullptr : system_memory.xMalloc(size);
  };
  methods.xRealloc = [](void* memory, int size) -> void* {
    return fails(calls, fail_at, for_ever) ? nullptr : system_memory.xRealloc(memory, size);
  };
  return sqlite3_config(SQLITE_CONFIG_MALLOC, &methods) == SQLITE_OK;
}();

}  // namespace attune::test

void* operator new(std::size_t size) {
  using attune::test::MemoryFaults;
  void* const memory = attune::test::fails(MemoryFaults::calls, MemoryFaults::fail_at, MemoryFaults::for_ever)
                           ? nullptr
                           : std::malloc(size == 0 ? 1 : size);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  try {
    return operator new(size);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void* operator new[](std::size_t size) { return operator new(size); }
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete[](void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete[](void* memory, std::size_t) noexcept { std::free(memory); }
