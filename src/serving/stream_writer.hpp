// SPDX-License-Identifier: Apache-2.0
#pragma once

// The writing half of a RedisEventStore: what waits, in the form in which the server reads it, and a thread that sends
// it until it is confirmed. What is sent again is the same, with the same numbers. Safe from any number of threads.

#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "attune/serving/redis_event_store.hpp"
#include "serving/event_stream.hpp"
#include "serving/queued_events.hpp"
#include "serving/retry.hpp"

namespace attune::inline v0_1 {

class StreamWriter {
 public:
  // Throws std::system_error where there is no thread.
  explicit StreamWriter(SharedStream& shared);
  StreamWriter(StreamWriter&&) = delete;
  // Goes on for `timeout`, then gives up.
  ~StreamWriter();

  // The events of one user that are taken while this lives, and their numbers. Read by `fill` of write() alone.
  class Watch {
   public:
    Watch(StreamWriter& writer, const Id& user);
    Watch(Watch&&) = delete;
    ~Watch();
    const QueuedEvents& events() const noexcept { return events_; }
    std::uint64_t number(std::size_t event) const noexcept { return numbers_[event]; }

   private:
    friend class StreamWriter;
    StreamWriter& writer_;
    const Id user_;  // of who watches
    QueuedEvents events_;
    std::vector<std::uint64_t> numbers_;
  };

  // False where the batch is refused.
  bool take(std::span<const Interaction> events, const std::function<void(bool)>& done);
  // Behind all that was taken before, as one change: `fill` adds commands, takes the number of each entry by its second
  // argument and returns how many commands there are. Returns once they are confirmed; throws Error(io_error).
  using Fill = std::function<std::size_t(std::string& commands, const std::function<std::uint64_t()>& number)>;
  void write(const Fill& fill);

  bool is_own_thread() const noexcept { return std::this_thread::get_id() == thread_.get_id(); }
  // On the own thread: ends it soon, with a call of `last`, which destroys this object.
  void end_alone(std::function<void()> last);
  std::size_t queued_events() const;
  std::string error() const;

 private:
  struct Batch {
    std::string commands;
    std::size_t count = 0, events = 0;
    std::function<void(bool)> done;
  };
  static constexpr std::size_t kEventsBetweenTrims = 1'000;
  bool fits(std::size_t events) const noexcept;
  void stop();
  void run();
  bool send(std::span<const Batch> batches);
  void trim(const EntryId& newest, std::size_t written);
  void note(std::string_view error);

  SharedStream& shared_;
  mutable std::mutex mutex_;
  std::condition_variable wake_, room_;
  std::deque<Batch> waiting_;
  std::size_t queued_ = 0;  // events taken and not yet confirmed
  std::uint64_t last_number_ = 0;
  std::vector<Watch*> watches_;
  bool stopping_ = false;
  std::string error_;
  Retry retry_;

  // Of the thread.
  std::unique_ptr<EventStream> stream_;
  std::size_t written_since_trim_ = kEventsBetweenTrims;  // so that the first write trims
  std::function<void()> last_;
  std::thread thread_;
};

}  // namespace attune::inline v0_1
