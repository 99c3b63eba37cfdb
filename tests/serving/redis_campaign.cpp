// SPDX-License-Identifier: Apache-2.0

// Hosts that share a stream in Redis are killed, and so is the server, at random moments while they write. What was
// acknowledged is there, once, at a host that looked on all the time and at one that is opened at the end; both give
// the same answers. A host that starts again is given the events once more that its predecessor had no answer for.
//   redis_campaign [RESTARTS]

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <charconv>
#include <chrono>
#include <cstring>
#include <iostream>
#include <memory>
#include <random>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "attune/recommender.hpp"
#include "attune/serving/redis_event_store.hpp"
#include "serving/redis_server.hpp"
#include "serving/small_model.hpp"

namespace {

using attune::Interaction;
using attune::Recommender;
using attune::RedisEventStore;
using attune::RedisEventStoreOptions;
using attune::test::RedisServer;
using Clock = std::chrono::steady_clock;

constexpr int kHosts = 3, kUsersOfHost = 4;
constexpr long kInFlight = 200;

void require(bool holds, const std::string& what) {
  if (!holds) throw std::runtime_error(what);
}

std::string user_of(int host, long user) {
  return std::string("h").append(std::to_string(host)).append("u").append(std::to_string(user));
}

// Event `number` of a host is the same whenever it is made.
struct Event {
  Event(int host, long number)
      : user(user_of(host, number % kUsersOfHost)),
        item(attune::test::item_name(static_cast<std::size_t>(number * 7 + host) % 50)),
        id(std::to_string(number)),
        time(20'000'000 + number) {}
  Interaction interaction() const { return {user, item, time, "", 1, id}; }
  std::string user, item, id;
  attune::Timestamp time;
};

RedisEventStoreOptions options_of(const std::string& socket) {
  RedisEventStoreOptions options;
  options.servers = {socket};
  options.longest_pause = std::chrono::milliseconds(50);
  options.must_answer = false;
  return options;
}

// The process of a host: observes one event after the other from `next` on and tells on standard output which was
// acknowledged, until it is killed.
int be_host(const std::string& socket, int host, long next) {
  const auto recommender = std::make_shared<Recommender>(Recommender::open(
      attune::test::make_model(), {.event_store = std::make_shared<RedisEventStore>(options_of(socket))}));
  std::atomic<long> in_flight = 0;
  for (;;) {
    for (long now = in_flight; now >= kInFlight; now = in_flight) in_flight.wait(now);
    const Event event(host, next++);
    ++in_flight;
    recommender->observe(event.interaction(), [&in_flight, number = next - 1](bool stored) {
      if (stored && write(STDOUT_FILENO, &number, sizeof number) != sizeof number) _exit(1);
      --in_flight;
      in_flight.notify_one();
    });
    recommender->recommend({.user = event.user});
  }
}

class HostProcess {
 public:
  HostProcess(const std::string& socket, int host) : socket_(socket), host_(host) { start(); }
  HostProcess(const HostProcess&) = delete;
  ~HostProcess() { kill(); }
  void kill() {
    if (process_ <= 0) return;
    const int status = attune::test::kill_child(process_);
    process_ = 0;
    while (listen()) {
    }
    close(pipe_);
    require(WIFSIGNALED(status), "a host ends by itself");
  }
  void start() {
    int ends[2];
    require(pipe(ends) == 0, "a pipe");
    std::string words[] = {"redis_campaign", "host", socket_, std::to_string(host_), std::to_string(acknowledged_)};
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    process_ = fork();
    require(process_ >= 0, "a process");
    if (process_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      dup2(ends[1], STDOUT_FILENO);
      close(ends[0]);
      close(ends[1]);
      execv("/proc/self/exe", arguments.data());
      _exit(127);
    }
    close(ends[1]);
    pipe_ = ends[0];
  }
  // Takes in what the host tells; false where it tells nothing more.
  bool listen() {
    long numbers[512];
    const ssize_t bytes = read(pipe_, numbers, sizeof numbers);
    if (bytes <= 0) return false;
    for (std::size_t i = 0; i < static_cast<std::size_t>(bytes) / sizeof(long); ++i) {
      require(numbers[i] == acknowledged_, "acknowledgements out of order");
      ++acknowledged_;
    }
    return true;
  }
  int pipe() const { return pipe_; }
  long acknowledged() const { return acknowledged_; }

 private:
  static int pipe(int* ends) { return ::pipe(ends); }
  std::string socket_;
  int host_;
  pid_t process_ = 0;
  int pipe_ = -1;
  long acknowledged_ = 0;  // the events before
};

void listen_for(std::span<const std::unique_ptr<HostProcess>> hosts, std::chrono::milliseconds time) {
  const auto end = Clock::now() + time;
  while (Clock::now() < end) {
    std::vector<pollfd> pipes;
    for (const auto& host : hosts) pipes.push_back({host->pipe(), POLLIN, 0});
    if (poll(pipes.data(), pipes.size(), 10) <= 0) continue;
    for (std::size_t i = 0; i < pipes.size(); ++i) {
      if (pipes[i].revents != 0) require(hosts[i]->listen(), "a host has ended");
    }
  }
}

// What a host has of a user: each event once, and all that were acknowledged.
void check_events(const Recommender& recommender, int host, long user, long acknowledged) {
  const std::string lines = recommender.export_user(user_of(host, user));
  std::set<long> numbers;
  const std::string key = "\"event_id\":\"";
  std::size_t events = 0;
  for (std::size_t at = lines.find(key); at != std::string::npos; at = lines.find(key, at + 1), ++events) {
    long number = -1;
    std::from_chars(lines.data() + at + key.size(), lines.data() + lines.size(), number);
    require(numbers.insert(number).second, "an event counts twice");
  }
  require(static_cast<std::size_t>(std::ranges::count(lines, '\n')) == events, "an event without its id");
  for (long number = user; number < acknowledged; number += kUsersOfHost) {
    require(numbers.contains(number), "an acknowledged event is lost");
  }
}

int run(int restarts) {
  RedisServer server;
  const auto store = std::make_shared<RedisEventStore>(options_of(server.socket()));
  const auto looks_on = Recommender::open(attune::test::make_model(), {.event_store = store});
  std::vector<std::unique_ptr<HostProcess>> hosts;
  for (int host = 0; host < kHosts; ++host) hosts.push_back(std::make_unique<HostProcess>(server.socket(), host));
  std::mt19937 random(1);
  for (int restart = 0; restart < restarts; ++restart) {
    listen_for(hosts, std::chrono::milliseconds(100 + random() % 400));
    if (restart % 2 == 0) {
      server.kill();
      listen_for(hosts, std::chrono::milliseconds(random() % 100));
      server.start();
    } else {
      HostProcess& host = *hosts[random() % kHosts];
      host.kill();
      host.start();
    }
  }
  listen_for(hosts, std::chrono::milliseconds(500));
  for (const auto& host : hosts) host->kill();

  RedisEventStore last(options_of(server.socket()));
  last.append(std::vector<Interaction>{{.user = "last", .item = "i1"}}, {});
  last.flush();
  require(attune::test::becomes([&] { return looks_on.recommend({.user = "last"}).shortfall.seen != 0; }),
          "the host that looked on gets no events any more");
  const auto opened = Recommender::open(
      attune::test::make_model(), {.event_store = std::make_shared<RedisEventStore>(options_of(server.socket()))});
  long events = 0;
  for (int host = 0; host < kHosts; ++host) {
    const long acknowledged = hosts[static_cast<std::size_t>(host)]->acknowledged();
    require(acknowledged > 0, "a host had no event acknowledged");
    events += acknowledged;
    for (long user = 0; user < kUsersOfHost; ++user) {
      check_events(looks_on, host, user, acknowledged);
      check_events(opened, host, user, acknowledged);
      const std::string name = user_of(host, user);
      const auto expected = opened.recommend({.user = name}), found = looks_on.recommend({.user = name});
      require(std::ranges::equal(expected.items, found.items,
                                 [](const auto& x, const auto& y) { return x.item == y.item && x.score == y.score; }),
              "two hosts answer otherwise");
    }
  }
  std::cout << restarts << " restarts survived; " << events
            << " events were acknowledged, none is lost or counts twice; " << store->status().connections
            << " connections of the host that looked on\n";
  return 0;
}

long number_of(const char* text) {
  long number = 0;
  std::from_chars(text, text + std::strlen(text), number);
  return number;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc == 5 && std::strcmp(argv[1], "host") == 0) {
    return be_host(argv[2], static_cast<int>(number_of(argv[3])), number_of(argv[4]));
  }
  if (!RedisServer::is_installed()) {
    std::cout << "skipped: redis-server is missing\n";
    return 0;
  }
  try {
    return run(argc > 1 ? static_cast<int>(number_of(argv[1])) : 6);
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
