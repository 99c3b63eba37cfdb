// SPDX-License-Identifier: Apache-2.0
#include "attune/serving/redis_event_store.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <span>
#include <system_error>
#include <utility>

#include "attune/error.hpp"
#include "platform/process.hpp"
#include "platform/random.hpp"
#include "serving/announced_item.hpp"
#include "serving/event_stream.hpp"
#include "serving/queued_events.hpp"
#include "serving/stream_reader.hpp"
#include "serving/stream_writer.hpp"

namespace attune::inline v0_1 {
namespace {

using Number = std::function<std::uint64_t()>;

constexpr const char* kOfOtherProcess = "the event store belongs to the process that this one was forked from";

bool are_valid(std::span<const Interaction> events) noexcept {
  return std::ranges::all_of(
      events, [](const Interaction& e) { return !e.user.empty() && !e.item.empty() && std::isfinite(e.value); });
}

RedisEventStoreOptions checked(RedisEventStoreOptions options) {
  const auto require = [](bool holds, const char* expected, auto found) {
    if (holds) return;
    throw Error(ErrorCode::invalid_argument,
                std::string("RedisEventStoreOptions::") + expected + ", found " + std::to_string(found));
  };
  require(!options.servers.empty(), "servers: expected at least 1", options.servers.size());
  require(!options.key.empty(), "key: expected a name of at least 1 byte", options.key.size());
  require(options.timeout.count() > 0, "timeout: expected at least 1 ms", options.timeout.count());
  require(options.longest_pause.count() > 0, "longest_pause: expected at least 1 ms", options.longest_pause.count());
  require(options.patience.count() > 0, "patience: expected at least 1 ms", options.patience.count());
  require(options.max_queued_events > 0, "max_queued_events: expected at least 1", options.max_queued_events);
  require(options.retain_for.count() >= 0, "retain_for: expected at least 0 ms", options.retain_for.count());
  require(options.rewrite_within.count() > 0, "rewrite_within: expected at least 1 ms", options.rewrite_within.count());
  return options;
}

// A name that no other store has.
std::string new_host() {
  std::array<std::byte, 12> bytes{};
  platform::random_bytes(bytes);
  std::string name;
  for (const std::byte byte : bytes) {
    constexpr const char* kDigits = "0123456789abcdef";
    name.push_back(kDigits[std::to_integer<unsigned>(byte >> 4)]);
    name.push_back(kDigits[std::to_integer<unsigned>(byte & std::byte{15})]);
  }
  return name;
}

// A connection of the calling thread.
struct Session {
  explicit Session(SharedStream& shared) : stream(shared) {}
  platform::BrokenPipesAreErrors no_signal;
  EventStream stream;
};

}  // namespace

struct RedisEventStore::Impl {
  explicit Impl(RedisEventStoreOptions options)
      : process(platform::process_id()), shared(checked(std::move(options)), new_host()) {
    reach([](EventStream& stream) { stream.load_forgotten(); });  // whom a model is served without
    try {
      reader.emplace(shared);
      writer.emplace(shared);
    } catch (const std::system_error& error) {
      throw Error(ErrorCode::limit_exceeded, std::string("event store: no thread: ").append(error.what()));
    }
  }

  bool in_child() const noexcept { return platform::process_id() != process; }
  void require_own() const {
    if (in_child()) throw Error(ErrorCode::unsupported, kOfOtherProcess);
    if (writer->is_own_thread()) throw Error(ErrorCode::unsupported, "a completion must not wait for the event store");
  }
  // Calls use(EventStream&), as far as a server answers; throws where one has to.
  template <class Use>
  void reach(Use use) {
    try {
      Session session(shared);
      use(session.stream);
    } catch (const Error& error) {
      if (shared.options.must_answer || error.code() != ErrorCode::io_error) throw;
    }
  }
  void flush() {
    require_own();
    writer->write([](std::string&, const Number&) { return std::size_t{0}; });
  }
  // Returns the number of the last entry of this store that was read.
  std::uint64_t visit(const Id& user, const std::function<void(const Interaction&)>& visit_one) {
    flush();
    Session session(shared);
    return reader->visit(session.stream, user, visit_one);
  }
  // Adds what `before` does and forgets the user, as one change; then writes all anew without him.
  void forget(const Id& user, const std::function<std::size_t(EntryWriter&, const Number&)>& before);

  const std::int64_t process;
  SharedStream shared;
  std::optional<StreamReader> reader;
  std::optional<StreamWriter> writer;
};

void RedisEventStore::Impl::forget(const Id& user,
                                   const std::function<std::size_t(EntryWriter&, const Number&)>& before) {
  Session session(shared);  // from now on the salt is known
  const std::uint64_t hash = shared.forgotten.hash_of(user);
  writer->write([&](std::string& commands, const Number& number) {
    EntryWriter entries(commands, shared.keys.stream, shared.host);
    const std::size_t count = before(entries, number);
    add_forgetting(commands, shared, number(), user, hash);
    return count + 1;
  });
  shared.forgotten.add(hash);
  session.stream.finish_erasures();
  session.stream.rewrite_files();
}

RedisEventStore::RedisEventStore(RedisEventStoreOptions options) : impl_(std::make_unique<Impl>(std::move(options))) {}

RedisEventStore::~RedisEventStore() {
  if (impl_->in_child()) {
    static_cast<void>(impl_.release());  // its connections are the parent's
  } else if (impl_->writer->is_own_thread()) {
    impl_->writer->end_alone([impl = impl_.release()] { delete impl; });
  }
}

void RedisEventStore::append(std::span<const Interaction> events, std::function<void(bool)> done) {
  if (!impl_->in_child() && are_valid(events) && impl_->writer->take(events, done)) return;
  if (done) done(false);
}

void RedisEventStore::replay(const std::function<void(const Interaction&)>& visit) {
  impl_->require_own();
  impl_->reach([&](EventStream& stream) { impl_->reader->replay(stream, visit); });
}

void RedisEventStore::visit(const Id& user, const std::function<void(const Interaction&)>& visit) {
  impl_->visit(user, visit);
}

void RedisEventStore::erase(const Id& user) {
  impl_->require_own();
  if (!user.empty()) impl_->forget(user, [](EntryWriter&, const Number&) { return std::size_t{0}; });
}

void RedisEventStore::merge(const Id& from, const Id& to, std::span<const Interaction> further) {
  const auto fits = [](const Interaction& e) { return !e.item.empty() && std::isfinite(e.value); };
  if (from == to || to.empty() || from.empty() || !std::ranges::all_of(further, fits)) {
    throw Error(ErrorCode::invalid_argument,
                "event store: expected two different users and events with item and finite value");
  }
  QueuedEvents moved;
  moved.push(further);
  impl_->require_own();
  const StreamWriter::Watch observed(*impl_->writer, from);
  const std::uint64_t read = impl_->visit(from, [&](const Interaction& event) { moved.push({&event, 1}); });
  impl_->forget(from, [&](EntryWriter& entries, const Number& number) {
    std::size_t count = 0;
    const auto move = [&](Interaction event) {
      event.user = to;
      entries.event(event, number());
      ++count;
    };
    for (std::size_t i = 0; i < moved.size(); ++i) move(moved[i]);
    for (std::size_t i = 0; i < observed.events().size(); ++i) {
      if (observed.number(i) > read) move(observed.events()[i]);  // came after reading
    }
    return count;
  });
}

void RedisEventStore::put_profile(const Id& user, std::string_view profile) {
  if (user.empty()) throw Error(ErrorCode::invalid_argument, "event store: expected a user, found none");
  impl_->require_own();
  const StreamKeys& keys = impl_->shared.keys;
  impl_->writer->write([&](std::string& commands, const Number& number) {
    if (profile.empty()) {
      add_redis_command(commands, {"HDEL", keys.profiles, encoded(user)});
    } else {
      add_redis_command(commands, {"HSET", keys.profiles, encoded(user), profile});
    }
    EntryWriter(commands, keys.stream, impl_->shared.host).profile(user, profile, number());
    return std::size_t{2};
  });
}

void RedisEventStore::visit_profiles(const std::function<void(const Id&, std::string_view)>& visit) {
  impl_->require_own();
  bool visited = false;
  impl_->reach([&](EventStream& stream) {
    stream.visit_profiles(visit);
    visited = true;
  });
  if (!visited) impl_->reader->owe_profiles();
}

bool RedisEventStore::has_forgotten(const Id& user) const {
  return !impl_->in_child() && impl_->shared.forgotten.contains(user);
}

void RedisEventStore::follow(StoreFollower* follower) {
  if (!impl_->in_child()) impl_->reader->follow(follower);
}

void RedisEventStore::flush() { impl_->flush(); }

void RedisEventStore::announce_model(std::string_view model) {
  impl_->require_own();
  impl_->writer->write([&](std::string& commands, const Number& number) {
    EntryWriter(commands, impl_->shared.keys.stream, impl_->shared.host).model(model, number());
    return std::size_t{1};
  });
}

void RedisEventStore::announce_item(const Item& item) {
  if (item.id.empty()) throw Error(ErrorCode::invalid_argument, "event store: expected an item, found none");
  impl_->require_own();
  impl_->writer->write([&, about = to_json(item)](std::string& commands, const Number& number) {
    EntryWriter(commands, impl_->shared.keys.stream, impl_->shared.host).item(item.id, about, number());
    return std::size_t{1};
  });
}

void RedisEventStore::announce_gone_item(const Id& item) {
  if (item.empty()) throw Error(ErrorCode::invalid_argument, "event store: expected an item, found none");
  impl_->require_own();
  impl_->writer->write([&](std::string& commands, const Number& number) {
    EntryWriter(commands, impl_->shared.keys.stream, impl_->shared.host).gone_item(item, number());
    return std::size_t{1};
  });
}

void RedisEventStore::listen(std::function<void(const Announcement&)> hear) {
  if (!impl_->in_child()) impl_->reader->listen(std::move(hear));
}

RedisEventStoreStatus RedisEventStore::status() const {
  RedisEventStoreStatus status;
  if (impl_->in_child()) {
    status.error = kOfOtherProcess;  // whose threads may have held a mutex
    return status;
  }
  status.error = impl_->writer->error();
  if (status.error.empty()) status.error = impl_->reader->error();
  status.persistence = impl_->shared.persistence();
  status.queued_events = impl_->writer->queued_events();
  status.connections = impl_->shared.connections();
  status.foreign_entries = impl_->reader->foreign_entries();
  status.missed_entries = impl_->reader->missed_entries();
  return status;
}

}  // namespace attune::inline v0_1
