// SPDX-License-Identifier: Apache-2.0
#include "serving/stream_writer.hpp"

#include <future>
#include <utility>
#include <vector>

#include "attune/error.hpp"
#include "platform/process.hpp"

namespace attune::inline v0_1 {
namespace {

constexpr std::size_t kEventsTogether = 2'048;  // in one transaction, unless one batch has more

void confirm(const std::function<void(bool)>& done, bool stored) noexcept {
  try {
    if (done) done(stored);
  } catch (...) {  // a host's completion is not the store's business
  }
}

}  // namespace

StreamWriter::Watch::Watch(StreamWriter& writer, const Id& user) : writer_(writer), user_(user) {
  const std::lock_guard lock(writer_.mutex_);
  writer_.watches_.push_back(this);
}

StreamWriter::Watch::~Watch() {
  const std::lock_guard lock(writer_.mutex_);
  std::erase(writer_.watches_, this);
}

StreamWriter::StreamWriter(SharedStream& shared) : shared_(shared), retry_(shared.options.longest_pause) {
  thread_ = std::thread([this] {
    run();
    if (last_) {
      const std::function<void()> last = std::move(last_);  // which outlives this object
      last();
    }
  });
}

StreamWriter::~StreamWriter() {
  if (is_own_thread()) {
    thread_.detach();
    return;
  }
  stop();
  thread_.join();
}

void StreamWriter::stop() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  retry_.stop(shared_.options.timeout);
  wake_.notify_all();
}

void StreamWriter::end_alone(std::function<void()> last) {
  last_ = std::move(last);
  stop();
}

bool StreamWriter::fits(std::size_t events) const noexcept {
  return queued_ == 0 || queued_ + events <= shared_.options.max_queued_events;
}

bool StreamWriter::take(std::span<const Interaction> events, const std::function<void(bool)>& done) {
  std::unique_lock lock(mutex_);
  if (shared_.options.when_full == FullQueue::wait && !is_own_thread()) {
    room_.wait(lock, [&] { return fits(events.size()); });
  }
  if (!fits(events.size()) && !is_own_thread()) return false;
  Batch batch{.commands = {}, .count = events.size(), .events = events.size(), .done = done};
  std::uint64_t number = last_number_;
  EntryWriter entries(batch.commands, shared_.keys.stream, shared_.host);
  for (const Interaction& event : events) {
    entries.event(event, ++number);
    for (Watch* const watch : watches_) {
      if (watch->user_ != event.user) continue;
      watch->numbers_.push_back(number);
      watch->events_.push({&event, 1});
    }
  }
  waiting_.push_back(std::move(batch));
  last_number_ = number;
  queued_ += events.size();
  wake_.notify_one();
  return true;
}

void StreamWriter::write(const Fill& fill) {
  const auto promise = std::make_shared<std::promise<bool>>();
  std::future<bool> stored = promise->get_future();
  {
    const std::lock_guard lock(mutex_);
    Batch batch;
    std::uint64_t number = last_number_;
    batch.count = fill(batch.commands, [&] { return ++number; });
    batch.done = [promise](bool done) { promise->set_value(done); };
    waiting_.push_back(std::move(batch));
    last_number_ = number;
    wake_.notify_one();
  }
  const auto patience = shared_.options.patience;
  if (stored.wait_for(patience) == std::future_status::ready && stored.get()) return;
  const std::string found = error();
  throw Error(ErrorCode::io_error, "event store: expected the server to confirm within " +
                                       std::to_string(patience.count()) + " ms, found " +
                                       (found.empty() ? "no confirmation" : found));
}

void StreamWriter::run() {
  const platform::BrokenPipesAreErrors no_signal;
  std::vector<Batch> taken;
  std::unique_lock lock(mutex_);
  for (;;) {
    wake_.wait(lock, [&] { return stopping_ || !waiting_.empty(); });
    if (waiting_.empty()) return;
    std::size_t events = 0;
    while (!waiting_.empty() && (taken.empty() || events + waiting_.front().events <= kEventsTogether)) {
      events += waiting_.front().events;
      taken.push_back(std::move(waiting_.front()));
      waiting_.pop_front();
    }
    lock.unlock();
    const bool stored = send(taken);
    lock.lock();
    queued_ -= events;
    lock.unlock();
    room_.notify_all();
    for (const Batch& batch : taken) confirm(batch.done, stored);
    taken.clear();
    lock.lock();
  }
}

// Until the server confirms; false where this is stopped before that.
bool StreamWriter::send(std::span<const Batch> batches) {
  std::string commands;
  std::size_t count = 0;
  for (const Batch& batch : batches) {
    commands += batch.commands;
    count += batch.count;
  }
  if (count == 0) return true;
  EntryId newest;
  for (bool written = false; !retry_.is_over();) {
    try {
      if (!stream_) {
        stream_ = std::make_unique<EventStream>(shared_);
        written = false;
      }
      if (!written) newest = stream_->write(commands, count);
      written = true;
      if (stream_->reaches_replicas()) {
        retry_.succeeded();
        note("");
        trim(newest, count);
        return true;
      }
      note("redis: expected " + std::to_string(shared_.options.replicas) + " replicas that have the events");
    } catch (const std::exception& error) {
      stream_.reset();
      note(error.what());
    }
    retry_.pause();
  }
  return false;
}

void StreamWriter::trim(const EntryId& newest, std::size_t written) {
  written_since_trim_ += written;
  if (written_since_trim_ < kEventsBetweenTrims) return;
  written_since_trim_ = 0;
  try {
    stream_->trim(newest);
  } catch (const std::exception& error) {
    stream_.reset();
    note(error.what());
  }
}

void StreamWriter::note(std::string_view error) {
  const std::lock_guard lock(mutex_);
  if (error_ != error) error_ = error;
}

std::size_t StreamWriter::queued_events() const {
  const std::lock_guard lock(mutex_);
  return queued_;
}

std::string StreamWriter::error() const {
  const std::lock_guard lock(mutex_);
  return error_;
}

}  // namespace attune::inline v0_1
