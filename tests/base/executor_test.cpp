// SPDX-License-Identifier: Apache-2.0
#include "attune/executor.hpp"

#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <iterator>
#include <memory>
#include <mutex>
#include <set>
#include <stdexcept>
#include <thread>
#include <vector>

#include "attune/error.hpp"
#include "catch.hpp"
#include "threads.hpp"

namespace attune {
namespace {

// How often each task of [0, tasks) ran.
std::vector<int> run_and_count(Executor& executor, std::size_t tasks) {
  std::vector<std::atomic<int>> counts(tasks);
  executor.run(tasks, [&](std::size_t task, std::size_t) { ++counts[task]; });
  return {counts.begin(), counts.end()};
}

// Lets `expected` threads meet; proves that they run at the same time.
class Meeting {
 public:
  explicit Meeting(std::size_t expected) : missing_(expected) {}
  void arrive() {
    std::unique_lock lock(mutex_);
    if (--missing_ == 0) all_here_.notify_all();
    all_here_.wait(lock, [&] { return missing_ == 0; });
  }

 private:
  std::mutex mutex_;
  std::condition_variable all_here_;
  std::size_t missing_;
};

TEST_CASE("every task runs exactly once, whatever the number of threads", "[base][executor]") {
  for (const std::size_t threads : {0u, 1u, 2u, 3u, 8u}) {
    ThreadPool pool(threads);
    for (const std::size_t tasks : {0u, 1u, 2u, 7u, 1000u}) {
      CAPTURE(threads, tasks);
      CHECK(run_and_count(pool, tasks) == std::vector<int>(tasks, 1));
    }
  }
  InlineExecutor inline_executor;
  CHECK(run_and_count(inline_executor, 5) == std::vector<int>(5, 1));
}

TEST_CASE("the pool creates exactly the threads it was asked for and takes them away again", "[base][executor]") {
  const std::size_t before = test::num_threads_at_rest();
  for (const std::size_t threads : {0u, 1u, 2u, 5u}) {
    ThreadPool pool(threads);
    CAPTURE(threads);
    run_and_count(pool, 100);
    CHECK(test::num_threads_becomes(before + std::max<std::size_t>(threads, 1) - 1));
    CHECK(pool.concurrency() == std::max<std::size_t>(threads, 1));
  }
  CHECK(test::num_threads_becomes(before));
}

TEST_CASE("all threads of the pool work at once, each under its own worker number", "[base][executor]") {
  constexpr std::size_t kThreads = 4;
  ThreadPool pool(kThreads);
  Meeting meeting(kThreads);
  std::vector<std::size_t> workers(kThreads);
  pool.run(kThreads, [&](std::size_t task, std::size_t worker) {
    workers[task] = worker;
    meeting.arrive();
  });
  CHECK(std::set<std::size_t>(workers.begin(), workers.end()) == std::set<std::size_t>{0, 1, 2, 3});
}

TEST_CASE("a failing task drops those not started and its exception reaches the caller", "[base][executor]") {
  for (const std::size_t threads : {1u, 3u}) {
    ThreadPool pool(threads);
    std::atomic<int> ran{0};
    const auto fail_early = [&](std::size_t task, std::size_t) {
      ++ran;
      if (task < threads) throw std::runtime_error("task failed");
    };
    CAPTURE(threads);
    CHECK_THROWS_WITH(pool.run(1000, fail_early), "task failed");
    CHECK(ran < 1000);
    CHECK(run_and_count(pool, 10) == std::vector<int>(10, 1));
  }
}

TEST_CASE("callers that share a pool take turns", "[base][executor]") {
  ThreadPool pool(3);
  std::vector<std::vector<int>> counts(4);
  std::vector<std::thread> callers;
  for (auto& mine : counts) {
    callers.emplace_back([&] {
      for (int round = 0; round < 20; ++round) mine = run_and_count(pool, 50);
    });
  }
  for (auto& caller : callers) caller.join();
  for (const auto& mine : counts) CHECK(mine == std::vector<int>(50, 1));
}

TEST_CASE("a forked child works in its own thread and can destroy the pool", "[base][executor]") {
  auto pool = std::make_unique<ThreadPool>(3);
  run_and_count(*pool, 10);
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    alarm(60);
    const std::size_t alone = test::num_threads();  // an emulator may keep a thread for itself
    const bool all_ran = run_and_count(*pool, 10) == std::vector<int>(10, 1);
    pool.reset();
    _exit(all_ran && test::num_threads() == alone ? 0 : 1);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(run_and_count(*pool, 10) == std::vector<int>(10, 1));
}

// Sanitizers need more address space than a limit that threads can run into.
#ifndef ATTUNE_SANITIZED
TEST_CASE("a pool beyond what the system allows is a clear error and leaves no thread behind", "[base][executor]") {
  const std::size_t before = test::num_threads();
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    // The limit on address space makes thread stacks run out, in this process alone.
    const rlimit limit{std::size_t{1} << 28, std::size_t{1} << 28};
    if (setrlimit(RLIMIT_AS, &limit) != 0) _exit(2);
    try {
      const ThreadPool pool(100000);
    } catch (const Error& error) {
      _exit(error.code() == ErrorCode::limit_exceeded && test::num_threads_becomes(1) ? 0 : 3);
    }
    _exit(4);
  }
  int status = -1;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WEXITSTATUS(status) == 0);
  CHECK(test::num_threads_becomes(before));
}
#endif

}  // namespace
}  // namespace attune
