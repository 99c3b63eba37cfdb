// SPDX-License-Identifier: Apache-2.0
#pragma once

// Durable feedback in one SQLite file, on the machine that serves. Safe from any number of threads, for one process at
// a time: a second one that opens the file gets an Error. Opening a store starts one thread, which writes; it lives as
// long as the store. See docs/feedback.md.

#if defined(ATTUNE_WITHOUT_SQLITE)
#error "this attune is built without SQLite: install it and configure with -DATTUNE_WITH_SQLITE=ON"
#endif

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "attune/serving/event_store.hpp"

namespace attune::inline v0_1 {

// When an event is acknowledged. durable: once it is on the disk, and a power cut does not lose it; batches that wait
// share a transaction. relaxed: when it is taken; a crash loses at most `max_queued_events`, all of them taken within
// the last `relaxed_interval` and the time of one transaction.
enum class Durability : std::uint8_t { durable, relaxed };

struct SqliteEventStoreOptions {
  Durability durability = Durability::durable;
  FullQueue when_full = FullQueue::wait;
  // Of relaxed: more means fewer transactions, and more to lose.
  std::chrono::milliseconds relaxed_interval{1000};
  // How many events may be taken and not yet written. A batch that is larger is taken when nothing else waits.
  std::size_t max_queued_events = 65'536;
  // Events older than this, measured from the newest one, are removed when the store is opened; 0: never. Events
  // without a time stay. Where a user is more than 24 hours ahead of all others, it is their newest that counts.
  std::chrono::milliseconds retain_for{0};
};

// A write that fails (a full disk, a failed fsync) is not tried again: from then on every append is done(false),
// error() says why, and what was acknowledged before is there when the file is opened anew. A child process after
// fork() has no part in the store: its appends are done(false). Completions come from the writing thread; one may
// append, but must not wait for the store (flush, erase, merge, visit, prune).
class ATTUNE_EXPORT SqliteEventStore final : public EventStore {
 public:
  // Opens or creates the file; `path`-wal stands beside it while it is open. Finishes what a process that was killed
  // has left, erasures among it. Throws Error: io_error (no permission, read-only, in use elsewhere), corrupt_file,
  // unsupported_version, invalid_argument (an empty path, another program's database, an option).
  explicit SqliteEventStore(const std::string& path, SqliteEventStoreOptions options = {});
  SqliteEventStore(SqliteEventStore&&) = delete;
  // Writes what waits first; where a completion holds the store last, the writing thread goes on and does it alone.
  ~SqliteEventStore() override;

  // Refuses a batch in which a user or item id is empty, or a value not finite. An empty batch is done when all before
  // it is.
  void append(std::span<const Interaction> events, std::function<void(bool)> done) override;
  // What is on the disk, also when the store has failed.
  void replay(const std::function<void(const Interaction&)>& visit) override;
  void visit(const Id& user, const std::function<void(const Interaction&)>& visit) override;
  // In a time that grows with the file, some 0.3 s per million events. A process that is killed meanwhile finishes
  // when it opens the file again. What stays of the user is a 64-bit hash, salted per file.
  void erase(const Id& user) override;
  void merge(const Id& from, const Id& to, std::span<const Interaction> further) override;
  void put_profile(const Id& user, std::string_view profile) override;
  void visit_profiles(const std::function<void(const Id& user, std::string_view profile)>& visit) override;
  bool has_forgotten(const Id& user) const override;

  // Returns when everything appended before is on the disk.
  void flush();
  // Removes the events before a time, and users who have no others; the file becomes smaller. Returns how many events.
  std::size_t prune(Timestamp before);
  // Why nothing is stored any more; empty as long as all is well.
  std::string error() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace attune::inline v0_1
