// SPDX-License-Identifier: Apache-2.0
#include "attune/serving/event_store.hpp"

namespace attune::inline v0_1 {

void NullEventStore::append(std::span<const Interaction>, std::function<void(bool)> done) {
  if (done) done(true);
}

void NullEventStore::replay(const std::function<void(const Interaction&)>&) {}

void NullEventStore::erase(const Id&) {}

}  // namespace attune::inline v0_1
