// SPDX-License-Identifier: Apache-2.0
#pragma once

// Where feedback is made durable: the seam. By default there is none, and events live in memory. Implementations must
// be safe from any number of threads. serving/sqlite_event_store.hpp (one file on one machine) and
// serving/redis_event_store.hpp (several hosts) come along.

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>

#include "attune/types.hpp"

namespace attune::inline v0_1 {

// What append does when no more events may wait: wait for room, or call done(false) at once.
enum class FullQueue : std::uint8_t { wait, refuse };

// Who is told what happens at other hosts of a store that several share, by one thread at a time, in the order of the
// store. Views are valid during the call. What a call throws is lost.
class ATTUNE_EXPORT StoreFollower {
 public:
  virtual ~StoreFollower() = default;
  virtual void observed(const Interaction& event) = 0;
  // Whoever this is true of has been forgotten; the store keeps no id to name him by.
  virtual void forgotten(const std::function<bool(const Id&)>& is_forgotten) = 0;
  virtual void profile_put(const Id& user, std::string_view profile) = 0;  // "": taken away
};

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

  // What a store may have beyond that; by default nothing, and merge and put_profile throw Error(unsupported).
  // The events of one user, in the order of append.
  virtual void visit(const Id& user, const std::function<void(const Interaction&)>& visit);
  // As one change: `further` events, then all that `from` has, become the newest of `to`'s, whatever user they name,
  // and `from` is forgotten as erase() does it.
  virtual void merge(const Id& from, const Id& to, std::span<const Interaction> further);
  // Keeps the profile of a user in the place of the one before, durable when it returns; an empty text takes it away.
  // erase and merge take it away as well.
  virtual void put_profile(const Id& user, std::string_view profile);
  // Every profile that is kept, in any order. Called once, before serving.
  virtual void visit_profiles(const std::function<void(const Id& user, std::string_view profile)>& visit);
  // Whether erase or merge has forgotten this user at any time: what others know of him, like the histories of a model,
  // is to be left out.
  virtual bool has_forgotten(const Id& user) const;
  // From now on the follower is told what happens at other hosts and was not replayed, from a thread of the store,
  // until a call with null, which returns when no call of the follower runs any more. A store of one host tells
  // nothing. Throws Error(unsupported) where somebody follows already.
  virtual void follow(StoreFollower* follower);
};

}  // namespace attune::inline v0_1
