// SPDX-License-Identifier: Apache-2.0
#include "node/work.hpp"

#include <exception>
#include <new>
#include <optional>
#include <utility>

#include "node/values.hpp"

namespace attune::node {
namespace {

struct Work {
  std::function<void()> body;
  std::function<napi_value(napi_env)> result;
  std::optional<Failure> failure = {};
  napi_deferred deferred = nullptr;
  napi_async_work handle = nullptr;
};

template <class Body>
std::optional<Failure> failure_of(Body&& body) noexcept {
  try {
    body();
    return std::nullopt;
  } catch (const Failure& failure) {
    return failure;
  } catch (const std::bad_alloc&) {
    return Failure{Failure::Kind::error, "out_of_memory", "out of memory"};
  } catch (const std::exception& error) {
    return Failure{Failure::Kind::error, "internal_error", error.what()};
  } catch (...) {  // Pending: the environment ends
    return Failure{Failure::Kind::error, "internal_error", "JavaScript cannot be called"};
  }
}

void execute(napi_env, void* data) {
  auto& work = *static_cast<Work*>(data);
  work.failure = failure_of(work.body);
}

void complete(napi_env env, napi_status status, void* data) {
  const std::unique_ptr<Work> work(static_cast<Work*>(data));
  napi_delete_async_work(env, work->handle);
  if (status != napi_ok) return;  // the environment ends
  napi_value value = nullptr;
  if (!work->failure) work->failure = failure_of([&] { value = work->result(env); });
  // What fails from here on fails because the environment ends.
  static_cast<void>(failure_of([&] {
    check(env, work->failure ? napi_reject_deferred(env, work->deferred, error_of(env, *work->failure))
                             : napi_resolve_deferred(env, work->deferred, value));
  }));
}

}  // namespace

napi_value later(napi_env env, std::function<void()> body, std::function<napi_value(napi_env)> result) {
  auto work = std::make_unique<Work>(Work{.body = std::move(body), .result = std::move(result)});
  napi_value promise = nullptr;
  check(env, napi_create_promise(env, &work->deferred, &promise));
  check(env,
        napi_create_async_work(env, nullptr, text_value(env, "attune"), execute, complete, work.get(), &work->handle));
  check(env, napi_queue_async_work(env, work->handle));
  work.release();
  return promise;
}

// On its way to JavaScript. It keeps the training, which may have ended by then.
struct Training::Epoch {
  std::shared_ptr<Training> training;
  std::string json;
};

void Training::tell(napi_env env, napi_value tell) {
  check(env, napi_create_threadsafe_function(env, tell, nullptr, text_value(env, "attune: epochs"), 0, 1, nullptr,
                                             nullptr, nullptr, call, &tell_));
}

void Training::decide(int wish) {
  const std::lock_guard lock(mutex_);
  if (wish_ == 0) wish_ = wish;
  is_answered_ = true;
  answered_.notify_all();
}

int Training::after(const char* json) {
  std::unique_lock lock(mutex_);
  if (wish_ != 0) return wish_;
  is_answered_ = false;
  lock.unlock();
  auto epoch = std::make_unique<Epoch>(Epoch{shared_from_this(), json});
  if (napi_call_threadsafe_function(tell_, epoch.get(), napi_tsfn_blocking) != napi_ok) {
    tell_ = nullptr;  // the environment ends, and has taken it
    decide(-1);
    return -1;
  }
  epoch.release();
  lock.lock();
  answered_.wait(lock, [this] { return is_answered_; });
  return wish_;
}

void Training::finish() {
  if (tell_ != nullptr) napi_release_threadsafe_function(tell_, napi_tsfn_release);
}

void Training::call(napi_env env, napi_value tell, void*, void* data) {
  const std::unique_ptr<Epoch> epoch(static_cast<Epoch*>(data));
  int wish = -1;  // where JavaScript cannot be called any more
  if (env != nullptr) {
    static_cast<void>(failure_of([&] {
      napi_value nothing = nullptr, json = text_value(env, epoch->json), answer = nullptr;
      check(env, napi_get_undefined(env, &nothing));
      check(env, napi_call_function(env, nothing, tell, 1, &json, &answer));
      std::int32_t number = -1;
      check(env, napi_get_value_int32(env, answer, &number));
      wish = number;
    }));
  }
  epoch->training->decide(wish);
}

}  // namespace attune::node
