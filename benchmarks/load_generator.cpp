// SPDX-License-Identifier: Apache-2.0

// How long after an event does a user's answer change, over HTTP? Replays a log against the example server from a
// process of its own: each client has a connection and users of its own, whose events it sends in order of time.
//   load_generator EVENTS --known EVENTS [--port N] [--clients N] [--seconds S] [--acceleration X] [--wait no]
// EVENTS are delimited files: what is replayed, and what the server's model was trained on. An event on an item that
// the model knows and the user has not had must change his answer: the time from sending it to the end of the first
// answer that differs is measured. Nothing that the user has had may be in it. All other events are sent alone. Prints
// one JSON object; status 1 where anything went wrong.

#include <httplib.h>

#include <algorithm>
#include <attune/data/reader.hpp>
#include <chrono>
#include <csignal>
#include <exception>
#include <functional>
#include <iostream>
#include <limits>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using Clock = std::chrono::steady_clock;
using nlohmann::json;

constexpr int kMostTries = 5;

struct Options {
  std::string events, known = {};
  int port = 8080;
  std::size_t clients = 2;
  double seconds = 30;
  double acceleration = 0;  // how many times as fast as it happened; 0: as fast as it goes
  bool wait = true;         // for the event store's acknowledgement
};

Options parse(int argc, char** argv) {
  if (argc < 2 || argc % 2 != 0) throw std::invalid_argument("expected EVENTS, then options with a value each");
  Options options{.events = argv[1]};
  for (int i = 2; i < argc; i += 2) {
    const std::string name = argv[i], value = argv[i + 1];
    if (name == "--known") {
      options.known = value;
    } else if (name == "--port") {
      options.port = std::stoi(value);
    } else if (name == "--clients") {
      options.clients = std::max<std::size_t>(1, std::stoul(value));
    } else if (name == "--seconds") {
      options.seconds = std::stod(value);
    } else if (name == "--acceleration") {
      options.acceleration = std::stod(value);
    } else if (name == "--wait" && value == "no") {
      options.wait = false;
    } else {
      throw std::invalid_argument("unknown option " + name + ' ' + value);
    }
  }
  if (options.known.empty()) throw std::invalid_argument("expected --known EVENTS");
  return options;
}

struct Event {
  std::string user, item, kind;
  attune::Timestamp time;
  std::size_t number;  // in the log
  bool known;          // the item, to the model
};

// What one client replays, and what its users had before: pairs of user and item.
struct Share {
  std::vector<Event> events;
  std::set<std::pair<std::string, std::string>> had;
};

// The log in order of time, dealt to clients by user.
std::vector<Share> deal(const Options& options) {
  const attune::InteractionLog known = attune::read_interactions(options.known),
                               log = attune::read_interactions(options.events);
  std::vector<Share> shares(options.clients);
  const auto share_of = [&](const std::string& user) -> Share& {
    return shares[std::hash<std::string>{}(user) % options.clients];
  };
  for (std::size_t e = 0; e < known.size(); ++e) {
    const std::string user = to_string(known.user_ids().id(known.users()[e]));
    share_of(user).had.emplace(user, to_string(known.item_ids().id(known.items()[e])));
  }
  std::vector<std::size_t> order(log.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, {}, [&](std::size_t e) { return log.times()[e]; });
  for (const std::size_t e : order) {
    const std::string user = to_string(log.user_ids().id(log.users()[e])),
                      item = to_string(log.item_ids().id(log.items()[e]));
    const bool is_known = known.item_ids().find(item) != attune::kNoHandle;
    const std::string& kind = log.event_kinds()[log.kinds()[e]];
    share_of(user).events.push_back({user, item, kind, log.times()[e], e, is_known});
  }
  return shares;
}

// What one client measured, in milliseconds.
struct Figures {
  std::vector<double> changed, event, answer;
  std::size_t requests = 0, events = 0, failures = 0, unchanged = 0, seen_shown = 0;
  std::string first_failure;

  void add(Figures other) {
    changed.insert(changed.end(), other.changed.begin(), other.changed.end());
    event.insert(event.end(), other.event.begin(), other.event.end());
    answer.insert(answer.end(), other.answer.begin(), other.answer.end());
    requests += other.requests;
    events += other.events;
    failures += other.failures;
    unchanged += other.unchanged;
    seen_shown += other.seen_shown;
    if (first_failure.empty()) first_failure = std::move(other.first_failure);
  }
};

class Client {
 public:
  Client(const Options& options, Share share)
      : options_(options), share_(std::move(share)), http_("127.0.0.1", options.port) {
    http_.set_keep_alive(true);
    http_.set_tcp_nodelay(true);
  }

  Figures replay(attune::Timestamp first, Clock::time_point start) {
    const Clock::time_point end = start + to_duration(options_.seconds);
    for (const Event& event : share_.events) {
      if (options_.acceleration > 0) {
        const double seconds = static_cast<double>(event.time - first) / 1000 / options_.acceleration;
        if (seconds >= options_.seconds) break;
        std::this_thread::sleep_until(start + to_duration(seconds));
      }
      if (Clock::now() >= end) break;
      if (share_.had.emplace(event.user, event.item).second && event.known) {
        measure(event);
      } else {
        send(event);
      }
    }
    return std::move(figures_);
  }

 private:
  static Clock::duration to_duration(double seconds) {
    return std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(seconds));
  }
  static double milliseconds_since(Clock::time_point start) {
    return std::chrono::duration<double, std::milli>(Clock::now() - start).count();
  }

  void measure(const Event& event) {
    const std::string before = recommend(event);
    const Clock::time_point start = Clock::now();
    if (before.empty() || !send(event)) return;
    for (int i = 0; i < kMostTries; ++i) {
      const std::string after = recommend(event);
      if (after.empty()) return;
      if (after == before) continue;
      figures_.changed.push_back(milliseconds_since(start));
      const json answer = json::parse(after);
      for (const json& shown : answer.at("items")) {
        if (share_.had.contains({event.user, shown["item"]})) ++figures_.seen_shown;
      }
      return;
    }
    ++figures_.unchanged;
  }

  bool send(const Event& event) {
    const json body{{"user", event.user},
                    {"item", event.item},
                    {"timestamp", event.time},
                    {"event", event.kind},
                    {"event_id", "replay-" + std::to_string(event.number)}};
    const Clock::time_point start = Clock::now();
    const auto response = http_.Post(options_.wait ? "/events" : "/events?wait=no", body.dump(), "application/json");
    if (!is_fine(response)) return false;
    figures_.event.push_back(milliseconds_since(start));
    ++figures_.events;
    return true;
  }

  // The answer as it came; empty where none did.
  std::string recommend(const Event& event) {
    const std::string path = httplib::append_query_params(
        "/recommend", {{"user", event.user}, {"now", std::to_string(event.time)}, {"k", "10"}});
    const Clock::time_point start = Clock::now();
    const auto response = http_.Get(path);
    if (!is_fine(response)) return {};
    figures_.answer.push_back(milliseconds_since(start));
    return response->body;
  }

  bool is_fine(const httplib::Result& response) {
    ++figures_.requests;
    if (response && response->status == 200) return true;
    ++figures_.failures;
    if (figures_.first_failure.empty())
      figures_.first_failure = response ? response->body : httplib::to_string(response.error());
    return false;
  }

  const Options& options_;
  Share share_;
  httplib::Client http_;
  Figures figures_;
};

json percentiles(std::vector<double> milliseconds) {
  if (milliseconds.empty()) return nullptr;
  std::ranges::sort(milliseconds);
  const auto at = [&](std::size_t p) { return milliseconds[(milliseconds.size() - 1) * p / 100]; };
  return {{"p50_ms", at(50)}, {"p99_ms", at(99)}, {"count", milliseconds.size()}};
}

int run(const Options& options) {
  std::vector<Share> shares = deal(options);
  attune::Timestamp first = std::numeric_limits<attune::Timestamp>::max();
  for (const Share& share : shares) {
    if (!share.events.empty()) first = std::min(first, share.events.front().time);
  }
  std::vector<Figures> figures(options.clients);
  std::vector<std::thread> threads;
  const Clock::time_point start = Clock::now();
  for (std::size_t c = 0; c < options.clients; ++c)
    threads.emplace_back([&, c] { figures[c] = Client(options, std::move(shares[c])).replay(first, start); });
  for (std::thread& thread : threads) thread.join();
  const double seconds = std::chrono::duration<double>(Clock::now() - start).count();

  Figures all;
  for (Figures& one : figures) all.add(std::move(one));
  const std::size_t errors = all.failures + all.unchanged + all.seen_shown;
  json result{{"clients", options.clients},
              {"seconds", seconds},
              {"requests", all.requests},
              {"requests_per_second", static_cast<double>(all.requests) / seconds},
              {"events", all.events},
              {"event_to_changed_answer", percentiles(std::move(all.changed))},
              {"post_event", percentiles(std::move(all.event))},
              {"recommend", percentiles(std::move(all.answer))},
              {"errors", errors},
              {"failures", all.failures},
              {"unchanged", all.unchanged},
              {"seen_shown", all.seen_shown}};
  if (!all.first_failure.empty()) result["first_failure"] = all.first_failure;
  std::cout << result.dump(1, ' ', false, json::error_handler_t::replace) << '\n';
  return errors == 0 && all.events != 0 ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);  // a server that goes is a failed request
  try {
    return run(parse(argc, argv));
  } catch (const std::exception& error) {
    std::cerr << "load_generator: " << error.what() << '\n';
    return 1;
  }
}
