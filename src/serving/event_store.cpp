// SPDX-License-Identifier: Apache-2.0
#include "attune/serving/event_store.hpp"

#include "attune/error.hpp"

namespace attune::inline v0_1 {

void EventStore::visit(const Id&, const std::function<void(const Interaction&)>&) {}

void EventStore::merge(const Id&, const Id&, std::span<const Interaction>) {
  throw Error(ErrorCode::unsupported, "this event store cannot merge users");
}

void EventStore::put_profile(const Id&, std::string_view) {
  throw Error(ErrorCode::unsupported, "this event store cannot keep profiles of users");
}

void EventStore::visit_profiles(const std::function<void(const Id&, std::string_view)>&) {}

bool EventStore::has_forgotten(const Id&) const { return false; }

void EventStore::follow(StoreFollower*) {}

}  // namespace attune::inline v0_1
