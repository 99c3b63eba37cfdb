// SPDX-License-Identifier: Apache-2.0
#pragma once

// Who runs parallel work. Nothing else in the library creates a thread: pass a host's own Executor, or a ThreadPool.

#include <cstddef>
#include <memory>
#include <type_traits>

#include "attune/version.hpp"

namespace attune::inline v0_1 {

// A non-owning reference to `void(std::size_t task, std::size_t worker)`, valid for the duration of the call it is
// passed to.
class TaskRef {
 public:
  template <class F>
  requires(!std::is_same_v<std::remove_cvref_t<F>, TaskRef>) TaskRef(F&& function)
  noexcept
      : object_(const_cast<void*>(static_cast<const void*>(&function))),
        call_([](void* object, std::size_t task, std::size_t worker) {
          (*static_cast<std::remove_reference_t<F>*>(object))(task, worker);
        }) {}
  void operator()(std::size_t task, std::size_t worker) const { call_(object_, task, worker); }

 private:
  void* object_;
  void (*call_)(void*, std::size_t, std::size_t);
};

class ATTUNE_EXPORT Executor {
 public:
  virtual ~Executor() = default;
  // At most this many calls of a body overlap. `worker` is always smaller, so it can index per-thread scratch.
  virtual std::size_t concurrency() const noexcept = 0;
  // Calls body(task, worker) once for every task in [0, tasks) and returns when all are done. The first exception a
  // body throws is rethrown here after the other running bodies have ended; tasks not yet started are dropped. A body
  // must not call run() of the same executor.
  virtual void run(std::size_t tasks, TaskRef body) = 0;
};

// Runs every task in the calling thread.
class ATTUNE_EXPORT InlineExecutor final : public Executor {
 public:
  std::size_t concurrency() const noexcept override { return 1; }
  void run(std::size_t tasks, TaskRef body) override;
};

// `threads` counts the caller: 0 and 1 create no thread, n creates n - 1. In a child after fork() the pool has no
// threads any more and run() works in the calling thread. One run() at a time; a second caller waits. Throws
// Error(limit_exceeded) when the system has no more threads.
class ATTUNE_EXPORT ThreadPool final : public Executor {
 public:
  explicit ThreadPool(std::size_t threads);
  ~ThreadPool() override;
  std::size_t concurrency() const noexcept override;
  void run(std::size_t tasks, TaskRef body) override;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace attune::inline v0_1
