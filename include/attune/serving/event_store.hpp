// SPDX-License-Identifier: Apache-2.0
#pragma once

// Where feedback is made durable: the seam. By default there is none, and events live in memory. Implementations must
// be safe from any number of threads.

#include <functional>
#include <span>

#include "attune/types.hpp"

namespace attune::inline v0_1 {

class ATTUNE_EXPORT EventStore {
 public:
  virtual ~EventStore() = default;
  // Takes the batch; `done(true)` is called once it is as durable as the store promises, `done(false)` when it never
  // will be, from any thread, now or later, also when nobody uses the store any more. Throwing instead says the same as
  // done(false).
  virtual void append(std::span<const Interaction> events, std::function<void(bool)> done) = 0;
  // Every acknowledged event, in the order of append. Called once, before serving.
  virtual void replay(const std::function<void(const Interaction&)>& visit) = 0;
  // Forgets a user. Returns when no byte of his events is left in the store.
  virtual void erase(const Id& user) = 0;
};

}  // namespace attune::inline v0_1
