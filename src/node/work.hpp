// SPDX-License-Identifier: Apache-2.0
#pragma once

// What takes longer than an answer runs in libuv's pool, and settles a promise.

#include <node_api.h>

#include <condition_variable>
#include <functional>
#include <memory>
#include <mutex>
#include <string>

namespace attune::node {

// A promise of what `result`, in the thread of JavaScript, makes of what `body` did in the pool. It is rejected with
// the Failure that one of them throws. Both are kept until then, and must not hold values of JavaScript's.
napi_value later(napi_env env, std::function<void()> body, std::function<napi_value(napi_env)> result);

// A training in the pool that tells JavaScript of its epochs, and what JavaScript wants of it.
class Training : public std::enable_shared_from_this<Training> {
 public:
  // In the thread of JavaScript, once: `tell` is called with every epoch as JSON, and answers with a number as
  // attune_progress does.
  void tell(napi_env env, napi_value tell);
  // From any thread: what the next epoch is answered with, at once and for good, unless it is 0.
  void decide(int wish);

  // In the thread that trains: attune_progress, and what follows the last epoch.
  int after(const char* epoch);
  void finish();

 private:
  struct Epoch;
  static void call(napi_env env, napi_value tell, void* context, void* data);

  std::mutex mutex_;
  std::condition_variable answered_;
  bool is_answered_ = false;
  int wish_ = 0;
  napi_threadsafe_function tell_ = nullptr;
};

}  // namespace attune::node
