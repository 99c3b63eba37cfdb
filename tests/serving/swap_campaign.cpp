// SPDX-License-Identifier: Apache-2.0

// Two models take turns under readers. No answer mixes them, and a model that cannot be served changes nothing. Then,
// with models of real size and users who are known, how long a request takes while a swap with warm-up goes on and
// while none does.
//   swap_campaign [SWAPS [SECONDS OF REQUESTS [USERS [hstu]]]]    of SASRec models, or of HSTU models that read times

#include <time.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <iomanip>
#include <iostream>
#include <memory>
#include <random>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "attune/error.hpp"
#include "attune/recommender.hpp"
#include "serving/campaign.hpp"
#include "serving/small_model.hpp"

namespace {

using namespace attune;
using Clock = std::chrono::steady_clock;

constexpr std::size_t kReaders = 4;

class Exchange {
 public:
  void swap(std::size_t swaps) {
    for (std::size_t i = 0; i < swaps || answered_ < 10 * kReaders; ++i) {
      if (i % 16 == 5) refuse();
      recommender_.reload(i % 2 == 0 ? b_ : a_);
      reloads_ = i + 1;
    }
    stop_ = true;
  }

  void read(std::size_t reader) {
    Answer answer;
    for (std::size_t i = reader; !stop_; ++i) {
      const std::size_t user = i % kUsers;
      const std::uint64_t at_least = reloads_ + 2;
      recommender_.recommend({.user = users_[user]}, answer);
      const bool is_a = answer.model_version == "A";
      checks_.expect(answer.generation >= at_least, "no answer is older than a reload that returned");
      checks_.expect(is_a == (answer.generation % 2 == 0), "the version is that of the generation");
      checks_.expect(same(answer, (is_a ? from_a_ : from_b_)[user]), "an answer is that of one model, bit for bit");
      ++answered_;
    }
  }

  int report() {
    checks_.expect(recommender_.info().generation == reloads_ + 2, "every swap counts, and no other");
    std::cout << reloads_ << " swaps during " << answered_ << " answers; " << refused_ << " models were refused\n";
    return checks_.report();
  }

 private:
  static constexpr std::size_t kUsers = 6;

  static bool same(const Answer& a, const Answer& b) {
    return std::ranges::equal(a.items, b.items, [](const Recommendation& x, const Recommendation& y) {
      return x.item == y.item && x.score == y.score;
    });
  }

  void refuse() {
    const auto fails = [&](auto&& reload) {
      try {
        reload();
      } catch (const Error&) {
        ++refused_;
        return;
      }
      checks_.expect(false, "a model that cannot be served is refused");
    };
    const std::uint64_t generation = recommender_.info().generation;
    fails([&] { recommender_.reload("/nowhere/model"); });
    fails([&] { recommender_.reload(other_); });
    checks_.expect(recommender_.info().generation == generation, "a refused model changes nothing");
  }

  std::vector<Answer> answers() const {
    std::vector<Answer> answers;
    for (const std::string& user : users_) answers.push_back(recommender_.recommend({.user = user}));
    return answers;
  }

  const TrainedModel a_ = test::make_model({.items = 50, .version = "A"});
  const TrainedModel b_ = test::make_model({.seed = 2, .items = 50, .first_item = 30, .timed = true, .version = "B"});
  const TrainedModel other_ = test::make_model({.item_kind = IdKind::int64});
  const std::vector<std::string> users_{"u0", "u1", "u2", "u3", "u4", "nobody"};
  Recommender recommender_ = Recommender::open(b_);
  const std::vector<Answer> from_b_ = answers();
  const std::vector<Answer> from_a_ = (recommender_.reload(a_), answers());
  test::Expectations checks_;
  std::atomic<bool> stop_ = false;
  std::atomic<std::uint64_t> reloads_ = 0;
  std::atomic<std::size_t> answered_ = 0, refused_ = 0;
};

// Of requests, in microseconds: elapsed, and of the thread's own.
struct Times {
  std::vector<double> elapsed, own;

  static double percentile(std::vector<double> times, std::size_t p) {
    if (times.empty()) return 0;
    const auto place = times.begin() + static_cast<std::ptrdiff_t>((times.size() - 1) * p / 100);
    std::ranges::nth_element(times, place);
    return *place;
  }
  void print(const char* when) const {
    std::cout << std::setw(14) << when << std::setw(10) << elapsed.size();
    for (const auto* times : {&elapsed, &own}) {
      for (const std::size_t p : {50u, 99u}) std::cout << std::setw(12) << percentile(*times, p);
    }
    std::cout << '\n';
  }
};

double own_microseconds() {
  timespec now{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return 1e6 * static_cast<double>(now.tv_sec) + 1e-3 * static_cast<double>(now.tv_nsec);
}

// Requests of one thread, of users in random order, whose caches are there; another thread swaps, half of the time.
class Latency {
 public:
  Latency(std::size_t users, bool hstu) : users_(users), hstu_(hstu) {
    for (std::size_t u = 0; u < users; ++u) names_.push_back(test::user_name(u));
  }

  void measure(std::chrono::seconds duration) {
    for (const std::string& user : names_) recommender_.recommend({.user = user}, answer_);
    std::thread swapper([&] { swap(duration); });
    std::mt19937_64 random(1);
    while (!stop_) ask(names_[random() % users_]);
    swapper.join();
    std::cout << std::fixed << std::setprecision(1) << swaps_ << " swaps, " << users_
              << " users warmed up; microseconds\n      requests     number    elapsed p50    p99     own p50   p99\n";
    quiet_.print("without a swap");
    during_.print("during one");
    after_.print("just after");
  }

 private:
  TrainedModel model(std::uint64_t seed) const {
    return test::make_model({.seed = seed,
                             .items = 20'000,
                             .users = users_,
                             .events = 200,
                             .dim = 64,
                             .window = 200,
                             .hop = 50,
                             .timed = hstu_});
  }

  void swap(std::chrono::seconds duration) {
    const auto end = Clock::now() + duration;
    while (Clock::now() < end) {
      phase_ = &during_;
      const auto begin = Clock::now();
      recommender_.reload(swaps_++ % 2 == 0 ? b_ : a_);
      const auto took = Clock::now() - begin;  // requests are measured for as long without a swap; nothing else waits
      phase_ = &after_;
      std::this_thread::sleep_for(took / 2);
      phase_ = &quiet_;
      std::this_thread::sleep_for(took);
    }
    stop_ = true;
  }

  void ask(const std::string& user) {
    Times* const phase = phase_;
    const double own = own_microseconds();
    const auto begin = Clock::now();
    recommender_.recommend({.user = user}, answer_);
    const double elapsed = std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
    phase->own.push_back(own_microseconds() - own);
    phase->elapsed.push_back(elapsed);
  }

  const std::size_t users_;
  const bool hstu_;
  const TrainedModel a_ = model(1), b_ = model(2);
  Recommender recommender_ = Recommender::open(a_, {.warm_up_users = users_});
  std::vector<std::string> names_;
  Answer answer_;
  Times quiet_, during_, after_;
  std::atomic<Times*> phase_ = &quiet_;
  std::atomic<bool> stop_ = false;
  std::size_t swaps_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  Exchange exchange;
  std::vector<std::thread> readers;
  for (std::size_t t = 0; t < kReaders; ++t) readers.emplace_back([&exchange, t] { exchange.read(t); });
  exchange.swap(test::argument(argc, argv, 1, 1'000));
  for (std::thread& reader : readers) reader.join();
  const int status = exchange.report();
  Latency latency(test::argument(argc, argv, 3, 300), argc > 4 && std::string_view(argv[4]) == "hstu");
  latency.measure(std::chrono::seconds(test::argument(argc, argv, 2, 2)));
  return status;
}
