// SPDX-License-Identifier: Apache-2.0
#pragma once

// Feedback that several hosts share, in a stream of a Redis server (6.2 or later): an event that one of them observes
// is in the answers of all. Safe from any number of threads; every recommender has a store object of its own. Opening
// one starts two threads, one that writes and one that reads; they live as long as the store. See docs/fleet.md.

#if defined(ATTUNE_WITHOUT_REDIS)
#error "this attune is built without Redis: install hiredis and configure with -DATTUNE_WITH_REDIS=ON"
#endif

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "attune/serving/event_store.hpp"

namespace attune::inline v0_1 {

struct RedisEventStoreOptions {
  // Hosts, with ":port" unless it is 6379, or paths of sockets. Of several the first that is a master is used, and
  // looked for again after a failure.
  std::vector<std::string> servers = {"127.0.0.1"};
  std::string user, password;  // of an access list; no password: none is given
  // The stream; what else is kept has names that begin with "{key}:".
  std::string key = "attune:events";
  // For connecting, and for each answer of the server.
  std::chrono::milliseconds timeout{2'000};
  // The longest pause between attempts to connect; the first is 10 ms, the next ones twice the one before.
  std::chrono::milliseconds longest_pause{1'000};
  // How long flush, visit, erase, merge, put_profile and announcements wait for the server before they throw.
  std::chrono::milliseconds patience{10'000};
  // Whether a server has to answer while the store is opened and replayed. Otherwise replay shows as much as one tells,
  // and whoever follows is told the rest once one answers.
  bool must_answer = true;
  // How many events may be taken and not yet confirmed, and what append does beyond. A batch that is larger is taken
  // when nothing else waits.
  std::size_t max_queued_events = 65'536;
  FullQueue when_full = FullQueue::refuse;
  // How many replicas must have what is confirmed, too, before it is (WAIT).
  unsigned replicas = 0;
  // What stays in the stream, about: so many entries, and those at most so much older than the newest, by the server's
  // clock; 0: all. What is trimmed is missing after a restart, and to hosts that were away for longer.
  std::size_t max_entries = 0;
  std::chrono::milliseconds retain_for{0};
  // Whether erase and merge have the server write its files anew, without which they keep what was erased; and how long
  // that may take.
  bool rewrite_files = true;
  std::chrono::milliseconds rewrite_within{120'000};
};

// What a host tells all hosts. Views are valid during the call.
struct Announcement {
  enum class Kind : std::uint8_t {
    model,      // `model` is to be served
    item,       // `item` has come or changed, as for upsert_item
    gone_item,  // `item.id` has gone, as for remove_item
  };
  Kind kind = Kind::model;
  std::string_view model;
  Item item = {};
};

struct RedisEventStoreStatus {
  std::string error;        // why the server cannot be reached, or refuses; empty: all is well
  std::string persistence;  // what an acknowledgement means there: "always", "everysec", "no", "none"; "": not told
  std::size_t queued_events = 0;
  std::size_t connections = 0;  // made so far
  // Entries that are no events of attune's, passed over; since the store was opened, as the next.
  std::size_t foreign_entries = 0;
  // At least so many entries of others were not seen: trimmed before this host came to them, or of users forgotten
  // meanwhile. Of hosts that it never heard of none count.
  std::size_t missed_entries = 0;
};

// While no server answers or it refuses, events wait in their order; they are sent again until they are confirmed, and
// count once wherever they arrive twice. A child process after fork() has no part in the store: its appends are
// done(false). Completions come from the writing thread; one may append, but must not wait for the store (flush, visit,
// erase, merge, put_profile, announcements). Errors and status never name a user.
class ATTUNE_EXPORT RedisEventStore final : public EventStore {
 public:
  // Throws Error: io_error (no server answers, it refuses), unsupported_version, invalid_argument (an option, a key
  // that is no stream).
  explicit RedisEventStore(RedisEventStoreOptions options = {});
  RedisEventStore(RedisEventStore&&) = delete;
  // Goes on writing for at most `timeout`; then what is not confirmed is done(false), and may be in the stream.
  ~RedisEventStore() override;

  // A batch is written as a whole or not at all, and is done(true) once the server has confirmed it: as durable as the
  // server is told to be (`appendfsync always`: on its disk). Refuses a batch in which a user or item id is empty, or a
  // value not finite.
  void append(std::span<const Interaction> events, std::function<void(bool)> done) override;
  void replay(const std::function<void(const Interaction&)>& visit) override;
  // Reads the whole stream.
  void visit(const Id& user, const std::function<void(const Interaction&)>& visit) override;
  // Writes the stream anew without the user, as deleted entries keep their bytes; other hosts read and write on. In a
  // time that grows with the stream. What stays of the user is a 64-bit hash, salted per stream. A process that is
  // killed meanwhile: the next store that is opened, or erases, finishes it. What another host observes of the user
  // before it is told may count as before.
  void erase(const Id& user) override;
  // What another host observes of `from` meanwhile is forgotten with him.
  void merge(const Id& from, const Id& to, std::span<const Interaction> further) override;
  void put_profile(const Id& user, std::string_view profile) override;
  void visit_profiles(const std::function<void(const Id& user, std::string_view profile)>& visit) override;
  bool has_forgotten(const Id& user) const override;
  void follow(StoreFollower* follower) override;

  // Returns once everything appended before is confirmed. Throws Error(io_error) where that takes too long.
  void flush();

  // Tells all hosts that listen, this one among them, in one order. Return once the server has confirmed it; throw
  // Error(io_error), and then it may still be told.
  void announce_model(std::string_view model);
  void announce_item(const Item& item);
  void announce_gone_item(const Id& item);
  // While somebody follows, `hear` is called by the reading thread: with the announcements that were replayed or read
  // before (of these the newest 10,000, of models the newest), then with each that comes. Meanwhile no event of other
  // hosts arrives: what takes long, such as a reload, belongs to a thread of the host's. It must not hold this store,
  // nor destroy what follows it. What it throws is lost. An empty function: nobody listens any more; returns when no
  // call runs.
  void listen(std::function<void(const Announcement&)> hear);

  RedisEventStoreStatus status() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace attune::inline v0_1
