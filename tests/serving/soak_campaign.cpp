// SPDX-License-Identifier: Apache-2.0

// A recommender serves for long while users and items come and go: what it takes of the machine stays what it was once
// it had warmed up. Prints a row twenty times; in the last quarter no more memory, descriptors and threads may be in
// use than in the second.
//   soak_campaign [SECONDS [USERS [ITEMS]]]

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <chrono>
#include <filesystem>
#include <fstream>
#include <iomanip>
#include <iostream>
#include <iterator>
#include <memory>
#include <random>
#include <string>
#include <thread>
#include <vector>

#include "attune/recommender.hpp"
#include "attune/serving/cursor.hpp"
#include "attune/serving/policy.hpp"
#include "attune/serving/sqlite_event_store.hpp"
#include "serving/campaign.hpp"
#include "serving/small_model.hpp"
#include "temporary_directory.hpp"
#include "threads.hpp"

namespace {

using namespace attune;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kWorkers = 2, kRows = 20;

// The last of the times that requests took; the reader may see some of the next row's.
struct Latencies {
  void add(float microseconds) { times[next++ % times.size()] = microseconds; }
  std::array<std::atomic<float>, 8'192> times{};
  std::size_t next = 0;
};

struct Use {
  std::size_t resident_bytes = 0, descriptors = 0, threads = 0;

  static Use now() {
    std::size_t pages = 0;
    std::ifstream("/proc/self/statm").ignore(64, ' ') >> pages;
    const std::filesystem::directory_iterator open("/proc/self/fd");
    return {pages * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE)),
            static_cast<std::size_t>(std::distance(begin(open), end(open))), test::num_threads()};
  }
  void raise_to(const Use& other) {
    resident_bytes = std::max(resident_bytes, other.resident_bytes);
    descriptors = std::max(descriptors, other.descriptors);
    threads = std::max(threads, other.threads);
  }
};

class Soak {
 public:
  Soak(std::chrono::seconds duration, std::size_t users, std::size_t items)
      : duration_(duration), num_users_(users), num_items_(items) {
    for (std::size_t i = 0; i < items; ++i) upsert(i);
  }

  int run() {
    std::vector<std::thread> workers;
    for (std::size_t t = 0; t < kWorkers; ++t) workers.emplace_back([this, t] { serve(t); });
    std::cout << "  seconds      users    held   let go   requests     events   items changed     RSS MB   "
                 "files  threads   p50 us   p99 us\n";
    std::array<Use, 4> quarters;
    for (std::size_t row = 0; row < kRows; ++row) {
      const Use peak = keep_house_until(static_cast<double>(row + 1) / kRows);
      quarters[row * quarters.size() / kRows].raise_to(peak);
      print(peak);
    }
    stop_ = true;
    for (std::thread& worker : workers) worker.join();
    check(quarters[1], quarters[3]);
    return checks_.report();
  }

 private:
  double elapsed() const {  // of the whole, from 0 to 1
    return std::chrono::duration<double>(Clock::now() - begin_) / duration_;
  }
  Timestamp now() const {
    return 1'000'000 + std::chrono::duration_cast<std::chrono::milliseconds>(Clock::now() - begin_).count();
  }
  Timestamp share(std::int64_t of) const { return std::chrono::milliseconds(duration_).count() / of; }
  std::size_t users_so_far() const {
    return static_cast<std::size_t>(static_cast<double>(num_users_) * std::min(elapsed(), 1.0));
  }

  // Users who are there: of all that will come, a twentieth, the newest.
  std::string user(std::mt19937_64& random) const {
    return test::user_name(users_so_far() + random() % (num_users_ / 20));
  }

  void serve(std::size_t worker) {
    std::mt19937_64 random(worker);
    Answer answer;
    while (!stop_) {
      const std::string id = user(random);
      const std::string item = test::item_name(random() % num_items_);
      const std::string event_id = std::to_string(random());
      recommender_.observe({.user = id, .item = item, .timestamp = now(), .event_id = event_id});
      ++events_;
      for (int i = 0; i < 3; ++i) ask(random, id, answer, worker);
      std::this_thread::sleep_for(std::chrono::microseconds(100));  // the pace of the load; nothing waits on it
    }
  }

  void ask(std::mt19937_64& random, const std::string& id, Answer& answer, std::size_t worker) {
    const Timestamp at = now();
    const auto begin = Clock::now();
    switch (random() % 8) {
      case 0: recommender_.recommend({.user = id, .now = at, .policy = &cheap_}, answer); break;
      case 1: recommender_.recommend({.user = id, .now = at, .policy = &capped_, .diversity = 0.3f}, answer); break;
      case 2: answer = recommender_.rank(id, {"i1", "i2", "i3"}, at); break;
      case 3: {
        Cursor cursor;
        recommender_.recommend({.user = id, .now = at, .cursor = &cursor}, answer);
        break;
      }
      default: recommender_.recommend({.user = user(random), .now = at}, answer);
    }
    latencies_[worker].add(std::chrono::duration<float, std::micro>(Clock::now() - begin).count());
    checks_.expect(test::is_sound(answer, 10), "an answer is sound");
    ++requests_;
  }

  void upsert(std::size_t i) {
    const std::string id = test::item_name(i), creator = std::to_string(i * 7 % 1'000);
    recommender_.upsert_item(
        {.id = id, .fields = {{"price", i % 100}, {"creator", creator}}, .available_until = now() + 10 * share(1)});
  }

  // Items are removed and come back; at the end of each row old events go, and the other model takes over. Gives the
  // most that was in use.
  Use keep_house_until(double part) {
    Use peak;
    while (elapsed() < part) {
      const auto changes = static_cast<std::size_t>(3.0 * static_cast<double>(num_items_) * elapsed());
      for (; changed_ < changes; ++changed_) {
        recommender_.remove_item(test::item_name(changed_ % num_items_));
        upsert((changed_ + num_items_ - num_items_ / 10) % num_items_);
      }
      peak.raise_to(Use::now());
      std::this_thread::sleep_for(std::chrono::milliseconds(20));  // how often use is looked at
    }
    store_->prune(now() - share(20));
    recommender_.reload(reloads_++ % 2 == 0 ? b_ : a_);
    ::malloc_trim(0);  // as docs/operations.md advises
    return peak;
  }

  void print(const Use& use) {
    std::vector<float> times;
    for (const Latencies& worker : latencies_) {
      for (const auto& time : worker.times) {
        if (time > 0) times.push_back(time);
      }
    }
    std::ranges::sort(times);
    const RecommenderInfo info = recommender_.info();
    std::cout << std::fixed << std::setprecision(1) << std::setw(9)
              << elapsed() * static_cast<double>(duration_.count()) << std::setw(11) << users_so_far() << std::setw(8)
              << info.users << std::setw(9) << info.users_let_go << std::setw(11) << requests_ << std::setw(11)
              << events_ << std::setw(16) << changed_ << std::setw(11)
              << static_cast<double>(use.resident_bytes) / (1 << 20) << std::setw(8) << use.descriptors << std::setw(9)
              << use.threads << std::setw(9) << times[times.size() / 2] << std::setw(9)
              << times[(times.size() - 1) * 99 / 100] << std::endl;
  }

  void check(const Use& second, const Use& last) {
    const std::size_t room = std::max(second.resident_bytes / 100, std::size_t{4} << 20);
    checks_.expect(last.resident_bytes <= second.resident_bytes + room, "memory does not grow by 1 % or 4 MiB");
    checks_.expect(last.descriptors <= second.descriptors, "descriptors do not become more");
    checks_.expect(last.threads <= second.threads, "threads do not become more");
    checks_.expect(store_->error().empty() && recommender_.info().unstored_events == 0, "the store is well");
    checks_.expect(recommender_.info().users_let_go > 0, "users are let go");
  }

  TrainedModel model(std::uint64_t seed, std::size_t first_item, const char* version) const {
    return test::make_model({.seed = seed,
                             .items = num_items_ * 3 / 5,
                             .first_item = first_item,
                             .dim = 32,
                             .window = 50,
                             .hop = 12,
                             .version = version});
  }

  const std::chrono::seconds duration_;
  const std::size_t num_users_, num_items_;
  const Clock::time_point begin_ = Clock::now();
  const test::TemporaryDirectory directory_;
  const TrainedModel a_ = model(1, 0, "A"), b_ = model(2, num_items_ * 2 / 5, "B");
  const std::shared_ptr<SqliteEventStore> store_ = std::make_shared<SqliteEventStore>(
      (directory_ / "events.db").string(), SqliteEventStoreOptions{.durability = Durability::relaxed});
  Recommender recommender_ =
      Recommender::open(a_, {.event_store = store_,
                             .item_fields = {{"price", FieldType::number}, {"creator", FieldType::category}},
                             .cache_budget_bytes = std::size_t{16} << 20,
                             .history_budget_bytes = num_users_ * 20,
                             .history_ttl = share(10)});
  const Policy cheap_ = recommender_.compile({.filter = "price < 50", .boosts = {{"price < 10", 0.1f}}});
  const Policy capped_ = recommender_.compile({.caps = {{"creator", 2}}});
  test::Expectations checks_;
  std::array<Latencies, kWorkers> latencies_;
  std::atomic<bool> stop_ = false;
  std::atomic<std::size_t> requests_ = 0, events_ = 0;
  std::size_t changed_ = 0, reloads_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  Soak soak(std::chrono::seconds(test::argument(argc, argv, 1, 15)), test::argument(argc, argv, 2, 20'000),
            test::argument(argc, argv, 3, 5'000));
  return soak.run();
}
