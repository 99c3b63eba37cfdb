// SPDX-License-Identifier: Apache-2.0

// A process that uses an event store is killed, at random moments, again and again. What it was told is durable is
// there when the file is opened anew, once; a relaxed store loses no more than it may; whoever was to be forgotten is
// forgotten whole or not at all; and a recommender answers as one that was given the surviving events.
//   kill_campaign [KILLS]

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <iostream>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <thread>

#include "attune/error.hpp"
#include "attune/recommender.hpp"
#include "attune/serving/sqlite_event_store.hpp"
#include "serving/small_model.hpp"
#include "serving/stored_events.hpp"

namespace {

using attune::Durability;
using attune::Interaction;
using attune::SqliteEventStore;
using Clock = std::chrono::steady_clock;

constexpr int kWriters = 4;
constexpr std::size_t kQueue = 256;  // what a relaxed store may lose
constexpr int kEventsOfSecret = 5;

// What a child tells its parent, in one write that a kill cannot tear.
struct Message {
  enum class Kind : int { acknowledged, erasing, erased } kind;
  int who;
  long number;
};

struct Failed : std::runtime_error {
  using std::runtime_error::runtime_error;
};

void require(bool holds, const std::string& what) {
  if (!holds) throw Failed(what);
}

// Runs `body` in a process of its own, kills it some time later and gives what it has told until then.
std::vector<Message> killed_after(std::chrono::microseconds delay, const std::function<void(int)>& body) {
  int ends[2];
  require(pipe(ends) == 0, "a pipe");
  const pid_t child = fork();
  require(child >= 0, "a process");
  if (child == 0) {
    close(ends[0]);
    try {
      body(ends[1]);
    } catch (const std::exception& error) {
      std::cerr << "in the child: " << error.what() << '\n';
    }
    _exit(1);  // a body goes on until it is killed
  }
  close(ends[1]);
  std::vector<Message> messages;
  const auto read_some = [&] {
    Message buffer[256];
    const ssize_t bytes = read(ends[0], buffer, sizeof buffer);
    if (bytes > 0) messages.insert(messages.end(), buffer, buffer + static_cast<std::size_t>(bytes) / sizeof(Message));
    return bytes > 0;
  };
  const auto end = Clock::now() + delay;
  for (auto left = delay; left.count() > 0;
       left = std::chrono::duration_cast<std::chrono::microseconds>(end - Clock::now())) {
    pollfd readable{ends[0], POLLIN, 0};
    const timespec wait{0, static_cast<long>(left.count()) * 1000};
    if (ppoll(&readable, 1, &wait, nullptr) > 0 && !read_some()) break;
  }
  kill(child, SIGKILL);
  while (read_some()) {
  }
  close(ends[0]);
  int status = 0;
  waitpid(child, &status, 0);
  require(WIFSIGNALED(status), "the child ends by itself");
  return messages;
}

void tell(int pipe, const Message& message) {
  require(write(pipe, &message, sizeof message) == sizeof message, "told");
}

// Event `number` of a writer is the same whenever it is made.
struct Event {
  Event(int writer, long number)
      : user(std::to_string(writer).insert(0, "writer ")),
        item(attune::test::item_name(static_cast<std::size_t>(number * 7 + writer) % 60)),
        event_id(std::to_string(number)),
        time(number / 3) {}
  Interaction interaction() const {
    return {user, item, time, time % 2 == 0 ? "" : "buy", static_cast<float>(time % 8), event_id};
  }
  std::string user, item, event_id;
  attune::Timestamp time;
};

struct Site : attune::test::TemporaryDirectory {
  explicit Site(Durability durability_) : durability(durability_) {}
  std::string store_path() const { return (*this / "events.db").string(); }
  attune::SqliteEventStoreOptions options() const {
    return {.durability = durability, .relaxed_interval = std::chrono::milliseconds(3), .max_queued_events = kQueue};
  }

  Durability durability;
  std::array<long, kWriters> stored{};  // so many events of each writer
};

// Appends for ever, in batches of one to five.
void write_events(SqliteEventStore& store, int pipe, int writer, long next) {
  for (std::mt19937 random(static_cast<unsigned>(next)); true;) {
    std::vector<Event> events;
    std::vector<Interaction> batch;
    for (auto size = 1 + random() % 5; size > 0; --size) events.emplace_back(writer, next++);
    for (const Event& event : events) batch.push_back(event.interaction());
    store.append(batch, [=](bool stored) {
      if (stored) tell(pipe, {Message::Kind::acknowledged, writer, next});
    });
  }
}

void check_recommender(const Site& site, const std::vector<attune::test::StoredEvent>& survivors) {
  const attune::TrainedModel model = attune::test::make_model();
  auto store = std::make_shared<SqliteEventStore>(site.store_path(), site.options());
  const auto restarted = attune::Recommender::open(model, {.event_store = std::move(store)});
  auto fed = attune::Recommender::open(model);
  for (const auto& e : survivors) fed.observe({e.user, e.item, e.timestamp, e.kind, e.value, e.event_id});
  for (int writer = 0; writer < kWriters; ++writer) {
    const std::string user = Event(writer, 0).user;
    const auto expected = fed.recommend({.user = user}), found = restarted.recommend({.user = user});
    require(std::ranges::equal(expected.items, found.items,
                               [](const auto& a, const auto& b) { return a.item == b.item && a.score == b.score; }),
            "a recommender answers otherwise");
  }
}

// Four writers are killed. Returns how many batches were acknowledged.
long kill_writers(Site& site, std::chrono::microseconds delay, bool with_recommender) {
  const auto messages = killed_after(delay, [&](int pipe) {
    SqliteEventStore store(site.store_path(), site.options());
    std::vector<std::thread> threads;
    for (int writer = 0; writer < kWriters; ++writer) {
      threads.emplace_back(
          [&, writer] { write_events(store, pipe, writer, site.stored[static_cast<std::size_t>(writer)]); });
    }
    for (std::thread& thread : threads) thread.join();
  });
  std::array<long, kWriters> acknowledged = site.stored, found{};
  for (const Message& message : messages) {
    long& most = acknowledged[static_cast<std::size_t>(message.who)];
    most = std::max(most, message.number);
  }
  std::vector<attune::test::StoredEvent> survivors;
  {
    SqliteEventStore store(site.store_path(), site.options());
    survivors = attune::test::events_of(store);
  }
  for (const auto& event : survivors) {
    const int writer = event.user.back() - '0';
    require(writer >= 0 && writer < kWriters, "an event of nobody");
    const Event expected(writer, found[static_cast<std::size_t>(writer)]++);
    require(event == attune::test::copy_of(expected.interaction()), "an event is doubled, torn or out of order");
  }
  long lost = 0;
  for (std::size_t writer = 0; writer < kWriters; ++writer) lost += std::max(0L, acknowledged[writer] - found[writer]);
  require(lost <= (site.durability == Durability::relaxed ? static_cast<long>(kQueue) : 0),
          std::to_string(lost) + " acknowledged events are lost");
  site.stored = found;
  if (with_recommender) check_recommender(site, survivors);
  return std::ssize(messages);
}

std::string secret(int kill, long number) {
  return std::string("secret ").append(std::to_string(kill)).append("/").append(std::to_string(number)).append(".");
}

// One who forgets users, one after the other, is killed. Returns how many he began with.
long kill_eraser(Site& site, std::chrono::microseconds delay, int kill) {
  const auto messages = killed_after(delay, [&](int pipe) {
    SqliteEventStore store(site.store_path(), site.options());
    for (long number = 0;; ++number) {
      const std::string user = secret(kill, number);
      store.append(std::vector<Interaction>(kEventsOfSecret, {.user = user, .item = "i1", .event_id = user}), {});
      store.flush();
      tell(pipe, {Message::Kind::erasing, 0, number});
      store.erase(user);
      tell(pipe, {Message::Kind::erased, 0, number});
    }
  });
  std::map<long, bool> erased;
  for (const Message& message : messages) erased[message.number] = message.kind == Message::Kind::erased;
  SqliteEventStore store(site.store_path(), site.options());
  for (const auto& [number, done] : erased) {
    const std::string user = secret(kill, number);
    const std::size_t events = attune::test::events_of(store, user).size();
    require(events == 0 || (events == kEventsOfSecret && !done), "a user is forgotten in part");
    require(events != 0 || attune::test::traces(site.path(), user) == 0, "a forgotten user leaves traces");
  }
  // The one that was not told of yet.
  for (long number = erased.empty() ? 0 : erased.rbegin()->first; number < 2 + static_cast<long>(erased.size());
       ++number) {
    store.erase(secret(kill, number));
  }
  require(attune::test::traces(site.path(), "secret ") == 0, "a forgotten user leaves traces");
  return std::ssize(erased);
}

}  // namespace

int main(int argc, char** argv) {
  int kills = 300;
  if (argc > 1) std::from_chars(argv[1], argv[1] + std::strlen(argv[1]), kills);
  constexpr int kKillsOfSite = 24;
  std::mt19937 random(1);
  std::optional<Site> durable, relaxed;
  long batches = 0, erasures = 0;
  for (int kill = 0; kill < kills; ++kill) {
    if (kill % kKillsOfSite == 0) {
      durable.emplace(Durability::durable);
      relaxed.emplace(Durability::relaxed);
    }
    Site& site = kill % 2 == 0 ? *durable : *relaxed;
    const std::chrono::microseconds delay(random() % 40'000);
    try {
      if (kill % 3 == 2) {
        erasures += kill_eraser(site, delay, kill);
      } else {
        batches += kill_writers(site, delay, kill % 10 < 2);
      }
    } catch (const std::exception& error) {
      std::cerr << "kill " << kill << ": " << error.what() << '\n';
      return 1;
    }
  }
  std::cout << kills << " kills survived; " << batches << " batches were acknowledged, " << erasures
            << " erasures begun\n";
}
