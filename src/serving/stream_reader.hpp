// SPDX-License-Identifier: Apache-2.0
#pragma once

// The reading half of a RedisEventStore: a thread that tells a follower what others write, and whoever listens what is
// announced, each entry once and in the order of the stream. Safe from any number of threads.

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <thread>
#include <unordered_set>

#include "attune/serving/redis_event_store.hpp"
#include "serving/event_stream.hpp"
#include "serving/queued_events.hpp"
#include "serving/retry.hpp"

namespace attune::inline v0_1 {

class StreamReader {
 public:
  // Throws std::system_error where there is no thread.
  explicit StreamReader(SharedStream& shared);
  StreamReader(StreamReader&&) = delete;
  ~StreamReader();

  // Every event, once; whoever follows next is told what comes behind them, if nobody has followed before.
  void replay(EventStream& stream, const std::function<void(const Interaction&)>& visit);
  // The events of one user. Returns the last number of an entry of this host that it came by; 0: of none.
  std::uint64_t visit(EventStream& stream, const Id& user, const std::function<void(const Interaction&)>& visit);

  // Whoever follows is told the profiles at the next connection: nobody could be asked for them.
  void owe_profiles() noexcept { owes_profiles_ = true; }

  // As EventStore::follow and RedisEventStore::listen say.
  void follow(StoreFollower* follower);
  void listen(std::function<void(const Announcement&)> hear);

  std::size_t foreign_entries() const noexcept { return foreign_; }
  std::size_t missed_entries() const noexcept { return static_cast<std::size_t>(missed_); }
  std::string error() const;

 private:
  struct News {
    StreamEntry::Kind kind;
    std::string item, text;  // the id as in the stream
  };
  void run();
  void read(EventStream& stream);
  void resume(EventStream& stream);
  void catch_up(EventStream& stream);
  bool take_in(const StreamEntry& entry);
  bool is_new(const StreamEntry& entry);
  void tell(StoreFollower& follower, const StreamEntry& entry);
  void keep(const StreamEntry& entry);
  void tell_news();
  void scan(EventStream& stream, const EntryId& until, ReadNumbers& known,
            const std::function<void(const StreamEntry&)>& visit);
  void wait_for_calls();
  void note(std::string_view error);

  SharedStream& shared_;
  // `calls_` is held while the host's code runs, and taken before the other.
  std::mutex calls_;
  mutable std::mutex mutex_;
  std::condition_variable wake_;
  bool stopping_ = false;
  StoreFollower* follower_ = nullptr;
  std::function<void(const Announcement&)> hear_;
  std::deque<News> news_;
  std::string error_;
  std::atomic<std::size_t> foreign_ = 0;
  std::atomic<std::uint64_t> missed_ = 0;
  std::atomic<bool> owes_profiles_ = false;
  Retry retry_;

  // Of the thread, and of replay before anybody follows.
  bool followed_ = false;
  ReadNumbers numbers_;
  std::unordered_set<std::uint64_t> untold_;  // who was forgotten, and a follower has not heard of it
  QueuedEvents again_;                        // what was replayed of them, which is of after that
  EntryId position_, newest_;
  std::thread thread_;
};

}  // namespace attune::inline v0_1
