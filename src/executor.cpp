// SPDX-License-Identifier: Apache-2.0
#include "attune/executor.hpp"

#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "attune/error.hpp"
#include "platform/process.hpp"

namespace attune::inline v0_1 {

void InlineExecutor::run(std::size_t tasks, TaskRef body) {
  for (std::size_t task = 0; task < tasks; ++task) body(task, 0);
}

struct ThreadPool::Impl {
  explicit Impl(std::size_t threads) : owner(platform::process_id()) {
    try {
      for (std::size_t worker = 1; worker < threads; ++worker) {
        workers.emplace_back([this, worker] { serve(worker); });
      }
    } catch (const std::exception& reason) {
      const std::size_t created = workers.size();
      close();
      throw Error(ErrorCode::limit_exceeded, "thread pool: expected " + std::to_string(threads - 1) +
                                                 " new threads, the system gave " + std::to_string(created) + " (" +
                                                 reason.what() + ")");
    }
  }

  void close() {
    {
      const std::lock_guard lock(mutex);
      closing = true;
    }
    wake.notify_all();
    for (auto& worker : workers) worker.join();
  }

  void serve(std::size_t worker) {
    std::uint64_t done_round = 0;
    std::unique_lock lock(mutex);
    while (true) {
      wake.wait(lock, [&] { return closing || round != done_round; });
      if (closing) return;
      done_round = round;
      lock.unlock();
      work(worker);
      lock.lock();
      if (--running == 0) finished.notify_one();
    }
  }

  void work(std::size_t worker) {
    for (std::size_t task = next.fetch_add(1); task < tasks; task = next.fetch_add(1)) {
      try {
        (*body)(task, worker);
      } catch (...) {
        const std::lock_guard lock(mutex);
        if (!failure) failure = std::current_exception();
        next.store(tasks);
      }
    }
  }

  const std::int64_t owner;
  std::vector<std::thread> workers;
  std::mutex one_run_at_a_time;
  std::mutex mutex;
  std::condition_variable wake, finished;
  bool closing = false;
  std::uint64_t round = 0;
  std::size_t running = 0;
  std::size_t tasks = 0;
  const TaskRef* body = nullptr;
  std::atomic<std::size_t> next{0};
  std::exception_ptr failure;
};

ThreadPool::ThreadPool(std::size_t threads) : impl_(std::make_unique<Impl>(threads)) {}

ThreadPool::~ThreadPool() {
  if (platform::process_id() == impl_->owner) {
    impl_->close();
  } else {
    // A forked child has no worker to join, and destroying the condition variables would wait for them for ever.
    static_cast<void>(impl_.release());
  }
}

std::size_t ThreadPool::concurrency() const noexcept { return impl_->workers.size() + 1; }

void ThreadPool::run(std::size_t tasks, TaskRef body) {
  if (impl_->workers.empty() || tasks <= 1 || platform::process_id() != impl_->owner) {
    for (std::size_t task = 0; task < tasks; ++task) body(task, 0);
    return;
  }
  const std::lock_guard one_run(impl_->one_run_at_a_time);
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->tasks = tasks;
    impl_->body = &body;
    impl_->next.store(0);
    impl_->failure = nullptr;
    impl_->running = impl_->workers.size();
    ++impl_->round;
  }
  impl_->wake.notify_all();
  impl_->work(0);
  std::unique_lock lock(impl_->mutex);
  impl_->finished.wait(lock, [&] { return impl_->running == 0; });
  if (impl_->failure) std::rethrow_exception(std::exchange(impl_->failure, nullptr));
}

}  // namespace attune::inline v0_1
