// SPDX-License-Identifier: Apache-2.0

// What a library may not do to the process it lives in.

#include <sys/wait.h>
#include <unistd.h>

#include <cfenv>
#include <clocale>
#include <cstdint>
#include <locale>
#include <string>
#include <utility>
#include <vector>

#include "attune/executor.hpp"
#include "attune/recommender.hpp"
#include "attune/serving/cursor.hpp"
#include "attune/serving/experiment.hpp"
#include "attune/serving/policy.hpp"
#include "attune/serving/shadow.hpp"
#include "attune/serving/telemetry.hpp"
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

// Every call of a recommender but reload.
void use_everything(Recommender& recommender) {
  recommender.upsert_item({.id = "i1", .fields = {{"price", 1.5}}, .available_until = Timestamp{1} << 40});
  recommender.remove_item("i2");
  const Policy policy = recommender.compile(
      {.filter = "not price >= 1e3", .boosts = {{"price < 2.5", 0.25f}}, .caps = {{.field = "creator", .most = 2}}});
  recommender.shadow(test::make_model({.seed = 2}), {.share = 1});
  recommender.observe({.user = "u1", .item = "i1"});
  recommender.observe({.user = "cookie", .item = "i1"}, [](bool) {});
  recommender.observe_batch(std::vector<Interaction>{{.user = "u1", .item = "i3"}, {.user = "gone", .item = "i3"}});
  recommender.shadow_report();
  recommender.end_shadow();
  recommender.merge_users("cookie", "u1");
  recommender.forget_user("gone");
  recommender.export_user("u1");
  Cursor cursor;
  const PinnedItem pins[] = {{"i4", 1}};
  recommender.recommend({.user = "u1"});
  recommender.recommend({.user = "nobody"});
  recommender.recommend({.user = "u1", .policy = &policy, .diversity = 0.5f, .pinned = pins, .cursor = &cursor});
  Cursor::from_token(cursor.token());
  recommender.recommend_history({"i1", "i2"});
  recommender.recommend_batch(std::vector<Request>{{.user = "u1"}, {.user = "u2"}});
  recommender.rank("u1", {"i1", "i2"});
  recommender.similar_items("i1", 3);
  recommender.check_model();
  recommender.item_ids();
  to_prometheus(recommender.stats());
  Experiment("an experiment", std::vector{0.5, 0.5}).arm("u1");
}

RecommenderOptions with_fields(std::shared_ptr<Executor> executor = nullptr) {
  return {.item_fields = {{"price", FieldType::number}, {"creator", FieldType::category}},
          .executor = std::move(executor)};
}

}  // namespace

TEST_CASE("The library makes no thread unless asked (UR-47)", "[serving][process][UR-47]") {
  const std::size_t before = test::num_threads_at_rest();
  Recommender recommender = Recommender::open(test::make_model(), with_fields());
  use_everything(recommender);
  recommender.reload(test::make_model());
  CHECK(test::num_threads() == before);
  for (const std::size_t threads : {0u, 1u, 3u}) {
    auto pool = std::make_shared<ThreadPool>(threads);
    CHECK(test::num_threads_becomes(before + (threads > 1 ? threads - 1 : 0)));
    Recommender with_pool = Recommender::open(test::make_model(), with_fields(std::move(pool)));
    use_everything(with_pool);
    CHECK(test::num_threads_becomes(before + (threads > 1 ? threads - 1 : 0)));
  }
  CHECK(test::num_threads_becomes(before));
}

TEST_CASE("A child process goes on where its parent was (UR-47)", "[serving][process][UR-47]") {
  Recommender recommender = Recommender::open(test::make_model(), with_fields(std::make_shared<ThreadPool>(3)));
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

TEST_CASE("The host's floating-point control and locale stay as they were", "[serving][process]") {
  const std::string locale = std::setlocale(LC_ALL, nullptr);
  const unsigned before = control_register();
  Recommender recommender = Recommender::open(test::make_model(), with_fields());
  use_everything(recommender);
  recommender.reload(test::make_model({.seed = 2}));
  CHECK(control_register() == before);
  CHECK(std::setlocale(LC_ALL, nullptr) == locale);
}

TEST_CASE("A host that writes numbers otherwise is served the same", "[serving][process]") {
  struct Commas final : std::numpunct<char> {
    char do_decimal_point() const override { return ','; }
    char do_thousands_sep() const override { return '.'; }
    std::string do_grouping() const override { return "\1"; }
  };
  const auto texts = [] {
    Recommender recommender = Recommender::open(test::make_model(), with_fields());
    use_everything(recommender);
    recommender.observe({.user = "u1", .item = "i3", .timestamp = 123'456'789, .value = 1.5f});
    const Policy cheap = recommender.compile({.filter = "price < 1.75"});
    const Answer answer = recommender.recommend({.user = "u2", .exclude_seen = false, .policy = &cheap});
    return std::pair(recommender.export_user("u1"), test::item_ids(answer));
  };
  const auto expected = texts();
  CHECK(expected.second == std::vector<std::string>{"i1"});
  const std::locale before = std::locale::global(std::locale(std::locale(), new Commas));
  const auto found = texts();
  std::locale::global(before);
  CHECK(found == expected);
}
