// SPDX-License-Identifier: Apache-2.0

// What a library may not do to the process it lives in.

#include <sys/wait.h>
#include <unistd.h>

#include <cfenv>
#include <clocale>
#include <cstdint>

#include "attune/executor.hpp"
#include "attune/recommender.hpp"
#include "catch.hpp"
#include "serving/answers.hpp"
#include "serving/small_model.hpp"
#include "threads.hpp"

using namespace attune;

namespace {

#if defined(__x86_64__)
// All of it: rounding, masked exceptions, flush-to-zero; but not the sticky flags of exceptions that happened.
unsigned control_register() { return __builtin_ia32_stmxcsr() & ~0x3fu; }
#elif defined(__aarch64__)
// Rounding, enabled exceptions, flush-to-zero; the sticky flags are in another register.
unsigned control_register() {
  std::uint64_t fpcr = 0;
  __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
  return static_cast<unsigned>(fpcr);
}
#else
unsigned control_register() { return static_cast<unsigned>(std::fegetround()); }
#endif

void use_everything(Recommender& recommender) {
  recommender.observe({.user = "u1", .item = "i1"});
  recommender.recommend({.user = "u1"});
  recommender.recommend({.user = "nobody"});
  recommender.recommend_history({"i1", "i2"});
  recommender.recommend_batch(std::vector<Request>{{.user = "u1"}, {.user = "u2"}});
  recommender.rank("u1", {"i1", "i2"});
  recommender.similar_items("i1", 3);
}

}  // namespace

TEST_CASE("The library makes no thread unless asked (UR-47)", "[serving][process][UR-47]") {
  const std::size_t before = test::num_threads_at_rest();
  Recommender recommender = Recommender::open(test::make_model());
  use_everything(recommender);
  recommender.reload(test::make_model());
  CHECK(test::num_threads() == before);
  for (const std::size_t threads : {0u, 1u, 3u}) {
    auto pool = std::make_shared<ThreadPool>(threads);
    CHECK(test::num_threads_becomes(before + (threads > 1 ? threads - 1 : 0)));
    Recommender with_pool = Recommender::open(test::make_model(), {.executor = std::move(pool)});
    use_everything(with_pool);
    CHECK(test::num_threads_becomes(before + (threads > 1 ? threads - 1 : 0)));
  }
  CHECK(test::num_threads_becomes(before));
}

TEST_CASE("A child process goes on where its parent was (UR-47)", "[serving][process][UR-47]") {
  Recommender recommender = Recommender::open(test::make_model(), {.executor = std::make_shared<ThreadPool>(3)});
  use_everything(recommender);
  const Answer expected = recommender.recommend({.user = "u3"});
  const pid_t child = fork();
  REQUIRE(child >= 0);
  if (child == 0) {
    use_everything(recommender);
    const bool same = test::same_items(recommender.recommend({.user = "u3"}), expected);
    _exit(same ? 0 : 1);
  }
  int status = 0;
  REQUIRE(waitpid(child, &status, 0) == child);
  CHECK(WIFEXITED(status));
  CHECK(WEXITSTATUS(status) == 0);
}

TEST_CASE("The host's floating-point control stays as it was", "[serving][process]") {
  const unsigned before = control_register();
  Recommender recommender = Recommender::open(test::make_model());
  use_everything(recommender);
  CHECK(control_register() == before);
}
