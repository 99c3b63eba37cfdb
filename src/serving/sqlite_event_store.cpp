// SPDX-License-Identifier: Apache-2.0
#include "attune/serving/sqlite_event_store.hpp"

#include <algorithm>
#include <cmath>
#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <string>
#include <system_error>
#include <thread>
#include <unordered_set>
#include <utility>
#include <vector>

#include "attune/error.hpp"
#include "platform/process.hpp"
#include "serving/event_tables.hpp"

namespace attune::inline v0_1 {
namespace {

using Done = std::function<void(bool)>;

constexpr const char* kOfParent = "the event store belongs to the process that this one was forked from";

// A host's completion is not the store's business, whatever it throws.
void call(const Done& done, bool stored) noexcept {
  try {
    if (done) done(stored);
  } catch (...) {
  }
}

bool valid(std::span<const Interaction> events) noexcept {
  return std::ranges::all_of(
      events, [](const Interaction& e) { return !e.user.empty() && !e.item.empty() && std::isfinite(e.value); });
}

void check(const SqliteEventStoreOptions& options) {
  const auto require = [](bool holds, const char* expected, auto found) {
    if (holds) return;
    throw Error(ErrorCode::invalid_argument,
                std::string("SqliteEventStoreOptions::") + expected + ", found " + std::to_string(found));
  };
  require(options.max_queued_events > 0, "max_queued_events: expected at least 1", options.max_queued_events);
  require(options.relaxed_interval.count() >= 0, "relaxed_interval: expected at least 0",
          options.relaxed_interval.count());
  require(options.retain_for.count() >= 0, "retain_for: expected at least 0", options.retain_for.count());
}

// What waits for the next transaction.
struct Batches {
  QueuedEvents events;
  std::vector<Done> completions;

  bool empty() const noexcept { return events.empty() && completions.empty(); }
  void clear() noexcept {
    events.clear();
    completions.clear();
  }
};

}  // namespace

// `mutex` guards what waits, `file` the tables. Both are taken for moments by append, the second for as long as a
// transaction takes by the writer and by those who wait for the file. Nobody takes `mutex` first and then `file`.
struct SqliteEventStore::Impl {
  Impl(const std::string& path, SqliteEventStoreOptions options_)
      : options(options_), process(platform::process_id()), tables(path) {
    const Timestamp kept = options.retain_for.count(), now = kept != 0 ? tables.now() : kNoTime;
    if (now > kNoTime + kept) tables.prune(now - kept);
    for (const std::int64_t hash : tables.forgotten()) forgotten.insert(hash);
    try {
      writer = std::thread([this] {
        write_until_stopped();
        if (orphaned) delete this;
      });
    } catch (const std::system_error& error) {
      throw Error(ErrorCode::limit_exceeded, std::string("event store: no thread to write with: ") + error.what());
    }
  }
  ~Impl() {
    if (orphaned) {
      writer.detach();
    } else {
      stop();
      writer.join();
    }
    if (!failure.empty()) tables.keep_log();
  }

  // A child has no writer, and must not touch the parent's file.
  bool in_child() const noexcept { return platform::process_id() != process; }
  bool relaxed() const noexcept { return options.durability == Durability::relaxed; }
  bool fits(std::size_t events) const noexcept { return queued == 0 || queued + events <= options.max_queued_events; }
  bool is_writer() const noexcept { return std::this_thread::get_id() == writer.get_id(); }

  void stop() {
    {
      const std::lock_guard lock(mutex);
      stopping = true;
    }
    wake.notify_one();
  }
  bool take(std::span<const Interaction> events, const Done& done);
  void write_until_stopped();
  void wait_for_batches(std::unique_lock<std::mutex>& lock);
  template <class Change>
  bool succeeds(Change change) noexcept;
  void fail(const char* why) noexcept;
  void require_usable() const;
  void require_own() const;
  void wait_for_writer();
  void flush();
  template <class Change>
  auto with_tables(Change change);

  const SqliteEventStoreOptions options;
  const std::int64_t process;

  mutable std::mutex mutex;
  std::condition_variable wake, room;  // of the writer, and of those who wait for it
  Batches waiting;
  std::size_t queued = 0;                   // events taken and not yet written
  std::uint64_t appended = 0, written = 0;  // batches
  std::size_t flushing = 0;                 // callers of flush
  bool stopping = false;
  bool failed = false;
  std::string failure;

  std::mutex file;
  EventTables tables;

  mutable std::mutex forgotten_mutex;
  std::unordered_set<std::int64_t> forgotten;

  std::thread writer;
  bool orphaned = false;  // a completion was the last that held the store: the writer takes this down when it ends
};

// False where the batch is refused.
bool SqliteEventStore::Impl::take(std::span<const Interaction> events, const Done& done) {
  std::unique_lock lock(mutex);
  if (options.when_full == FullQueue::wait && !is_writer()) {
    room.wait(lock, [&] { return failed || fits(events.size()); });
  }
  if (failed || !(fits(events.size()) || is_writer())) return false;
  const bool sleeping = waiting.empty();
  if (!relaxed()) waiting.completions.push_back(done);
  try {
    waiting.events.push(events);
  } catch (...) {
    if (!relaxed()) waiting.completions.pop_back();
    throw;
  }
  ++appended;
  queued += events.size();
  if (sleeping || queued >= options.max_queued_events / 2) wake.notify_one();
  return true;
}

void SqliteEventStore::Impl::wait_for_batches(std::unique_lock<std::mutex>& lock) {
  const auto hurry = [&] {
    return stopping || flushing != 0 || queued >= std::max<std::size_t>(options.max_queued_events / 2, 1);
  };
  wake.wait(lock, [&] { return stopping || written != appended; });
  if (relaxed() && written != appended) wake.wait_for(lock, options.relaxed_interval, hurry);
}

void SqliteEventStore::Impl::write_until_stopped() {
  Batches taken;
  std::unique_lock lock(mutex);
  for (;;) {
    wait_for_batches(lock);
    if (written == appended) return;
    std::swap(taken, waiting);
    const std::uint64_t last = appended;
    bool stored = !failed;
    lock.unlock();
    stored = stored && succeeds([&] {
               if (!taken.events.empty()) tables.write(taken.events);
             });
    lock.lock();
    queued -= taken.events.size();
    written = last;
    lock.unlock();
    room.notify_all();
    for (const Done& done : taken.completions) call(done, stored);
    taken.clear();
    if (stored) succeeds([&] { tables.shorten_log(); });
    lock.lock();
  }
}

// With the file locked. A change that throws leaves the store failed.
template <class Change>
bool SqliteEventStore::Impl::succeeds(Change change) noexcept {
  try {
    const std::lock_guard lock(file);
    change();
    return true;
  } catch (const std::exception& error) {
    fail(error.what());
  } catch (...) {
    fail("an unknown error");
  }
  return false;
}

void SqliteEventStore::Impl::fail(const char* why) noexcept {
  const std::lock_guard lock(mutex);
  if (failed) return;
  failed = true;
  try {
    failure = why;
  } catch (...) {  // no memory for the reason
  }
  room.notify_all();
}

void SqliteEventStore::Impl::require_own() const {
  if (in_child()) throw Error(ErrorCode::unsupported, kOfParent);
  if (is_writer()) throw Error(ErrorCode::unsupported, "a completion must not wait for the event store");
}

void SqliteEventStore::Impl::require_usable() const {
  const std::lock_guard lock(mutex);
  if (failed) throw Error(ErrorCode::io_error, "the event store has failed: " + failure);
}

// Until everything appended before is on the disk, or never will be.
void SqliteEventStore::Impl::wait_for_writer() {
  require_own();
  std::unique_lock lock(mutex);
  const std::uint64_t last = appended;
  ++flushing;
  wake.notify_one();
  room.wait(lock, [&] { return written >= last; });
  --flushing;
}

void SqliteEventStore::Impl::flush() {
  wait_for_writer();
  require_usable();
}

// Behind all that was appended before. A change that fails half-way leaves the store failed.
template <class Change>
auto SqliteEventStore::Impl::with_tables(Change change) {
  flush();
  const std::lock_guard lock(file);
  require_usable();  // nothing is written behind a failed write
  try {
    return change();
  } catch (const std::exception& error) {
    fail(error.what());
    throw;
  }
}

SqliteEventStore::SqliteEventStore(const std::string& path, SqliteEventStoreOptions options) {
  check(options);
  impl_ = std::make_unique<Impl>(path, options);
}

SqliteEventStore::~SqliteEventStore() {
  if (impl_->in_child()) {
    static_cast<void>(impl_.release());  // closing it would write to the parent's file
  } else if (impl_->is_writer()) {
    impl_->orphaned = true;
    impl_.release()->stop();
  }
}

void SqliteEventStore::append(std::span<const Interaction> events, std::function<void(bool)> done) {
  const bool taken = !impl_->in_child() && valid(events) && impl_->take(events, done);
  if (!taken || impl_->relaxed()) call(done, taken);
}

void SqliteEventStore::replay(const std::function<void(const Interaction&)>& visit) {
  impl_->wait_for_writer();
  const std::lock_guard lock(impl_->file);
  impl_->tables.visit_all(visit);
}

void SqliteEventStore::visit(const Id& user, const std::function<void(const Interaction&)>& visit) {
  impl_->wait_for_writer();
  const std::lock_guard lock(impl_->file);
  impl_->tables.visit(user, visit);
}

void SqliteEventStore::erase(const Id& user) {
  impl_->with_tables([&] { impl_->tables.erase(user); });
  const std::lock_guard lock(impl_->forgotten_mutex);
  impl_->forgotten.insert(impl_->tables.hash_of(user));
}

void SqliteEventStore::merge(const Id& from, const Id& to, std::span<const Interaction> further) {
  if (from == to || to.empty() || from.empty() || !valid(further)) {
    throw Error(ErrorCode::invalid_argument,
                "event store: expected two different users and events with item and finite value");
  }
  impl_->with_tables([&] { impl_->tables.merge(from, to, further); });
  const std::lock_guard lock(impl_->forgotten_mutex);
  impl_->forgotten.insert(impl_->tables.hash_of(from));
}

void SqliteEventStore::put_profile(const Id& user, std::string_view profile) {
  if (user.empty()) throw Error(ErrorCode::invalid_argument, "event store: expected a user, found none");
  impl_->with_tables([&] { impl_->tables.put_profile(user, profile); });
}

void SqliteEventStore::visit_profiles(const std::function<void(const Id&, std::string_view)>& visit) {
  impl_->wait_for_writer();
  const std::lock_guard lock(impl_->file);
  impl_->tables.visit_profiles(visit);
}

bool SqliteEventStore::has_forgotten(const Id& user) const {
  const std::lock_guard lock(impl_->forgotten_mutex);
  return !impl_->forgotten.empty() && impl_->forgotten.contains(impl_->tables.hash_of(user));
}

void SqliteEventStore::flush() { impl_->flush(); }

std::size_t SqliteEventStore::prune(Timestamp before) {
  return impl_->with_tables([&] { return impl_->tables.prune(before); });
}

std::string SqliteEventStore::error() const {
  if (impl_->in_child()) return kOfParent;  // whose writer may have held the mutex
  const std::lock_guard lock(impl_->mutex);
  return impl_->failed && impl_->failure.empty() ? "no memory" : impl_->failure;
}

}  // namespace attune::inline v0_1
