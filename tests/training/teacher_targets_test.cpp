// SPDX-License-Identifier: Apache-2.0
#include "training/teacher_targets.hpp"

#include <algorithm>
#include <cmath>
#include <memory>
#include <numeric>
#include <vector>

#include "catch.hpp"
#include "training/small_training.hpp"

namespace attune {

using namespace test;

namespace {

constexpr std::size_t kItems = 12;

EncoderConfig teacher_config(BlockKind block = BlockKind::hstu) {
  EncoderConfig config;
  config.block = block;
  config.embedding_dim = 16;
  config.inner_dim = 16;
  config.max_sequence_length = 10;
  config.absolute_positions = false;  // a window that begins elsewhere is the same window
  return config;
}

std::shared_ptr<SequenceEncoder<float>> teacher_of(const EncoderConfig& config, std::size_t items = kItems) {
  std::shared_ptr<SequenceEncoder<float>> teacher = make_encoder(config, items);
  teacher->initialize(3);
  return teacher;
}

TrainerConfig student_of(std::shared_ptr<const SequenceEncoder<float>> teacher) {
  TrainerConfig config = small_config();
  config.mixed_precision = false;
  config.teacher = std::move(teacher);
  config.distillation = {.weight = 0.8, .targets = 4, .temperature = 2};
  return config;
}

struct Row {
  std::vector<ItemHandle> items;
  std::vector<float> shares;
};

Row row_of(const detail::TeacherTargets& targets, UserHandle user, std::size_t event) {
  Row row;
  targets.append(row.items, row.shares, {user, event - 1, 2});
  return row;
}

// What the teacher expects after a history, by definition.
Row expected_of(const TrainerConfig& config, HistoryView history) {
  const SequenceEncoder<float>& teacher = *config.teacher;
  const bool cosine = teacher.config().score == ScoreKind::cosine;
  Workspace workspace;
  std::vector<float> vector(teacher.dim());
  teacher.encode(vector, history, {}, workspace);
  const auto norm = [&](std::span<const float> x) {
    return cosine ? std::sqrt(std::inner_product(x.begin(), x.end(), x.begin(), 0.0f)) : 1.0f;
  };
  std::vector<ScoredHandle> scores;
  for (ItemHandle item = 0; item < teacher.items().rows(); ++item) {
    if (!teacher.knows(item)) continue;
    const auto row = teacher.items().row(item);
    const float dot = std::inner_product(vector.begin(), vector.end(), row.begin(), 0.0f);
    const auto temperature = static_cast<float>(cosine ? teacher.config().temperature : 1.0);
    scores.push_back({item, dot / norm(vector) / norm(row) / temperature});
  }
  std::sort(scores.begin(), scores.end(), ranks_before);
  scores.resize(std::min(scores.size(), config.distillation.targets));
  float sum = 0;
  for (ScoredHandle& one : scores) {
    sum += one.score = std::exp(one.score / static_cast<float>(config.distillation.temperature));
  }
  Row row;
  for (const ScoredHandle& one : scores) {
    row.items.push_back(one.item);
    row.shares.push_back(static_cast<float>(config.distillation.weight) * one.score / sum);
  }
  return row;
}

void check_same(const Row& found, const Row& expected) {
  CHECK(found.items == expected.items);
  REQUIRE(found.shares.size() == expected.shares.size());
  for (std::size_t k = 0; k < found.shares.size(); ++k) {
    CHECK(found.shares[k] == Approx(expected.shares[k]).epsilon(1e-3));
  }
}

}  // namespace

TEST_CASE("A teacher's targets are its best items and their probabilities", "[training][teacher]") {
  EncoderConfig encoder = teacher_config(GENERATE(BlockKind::hstu, BlockKind::sasrec));
  encoder.score = GENERATE(ScoreKind::cosine, ScoreKind::dot);
  const auto teacher = teacher_of(encoder);
  std::ranges::fill(teacher->items().row(kItems - 1), 0.0f);  // never trained
  const TrainerConfig config = student_of(teacher);
  Histories histories = scattered(9, 11, kItems - 1);
  histories.item_ids = scattered(1, 2, kItems).item_ids;
  InlineExecutor executor;
  const detail::TeacherTargets targets(config, histories, executor);
  REQUIRE(targets.count() == 4);
  for (UserHandle user = 0; user < 9; ++user) {
    for (std::size_t event = 1; event < 11; ++event) {
      const Row row = row_of(targets, user, event);
      check_same(row, expected_of(config, histories.of(user).subview(0, event)));
      CHECK(std::count(row.items.begin(), row.items.end(), kItems - 1) == 0);
      CHECK(std::accumulate(row.shares.begin(), row.shares.end(), 0.0f) == Approx(0.8f));
    }
  }
}

TEST_CASE("Behind its first window a teacher sees half a window at least", "[training][teacher]") {
  const TrainerConfig config = student_of(teacher_of(teacher_config()));
  const Histories histories = scattered(2, 34, kItems);
  InlineExecutor executor;
  const detail::TeacherTargets targets(config, histories, executor);
  // Windows of 10 begin every 5 events.
  for (const auto& [event, begin] : std::vector<std::pair<std::size_t, std::size_t>>{
           {10, 0}, {11, 5}, {15, 5}, {16, 10}, {20, 10}, {31, 25}, {33, 25}}) {
    check_same(row_of(targets, 1, event), expected_of(config, histories.of(1).subview(begin, event - begin)));
  }
}

TEST_CASE("The targets of a sequence come in its order", "[training][teacher]") {
  const Histories histories = scattered(5, 30, kItems);
  InlineExecutor executor;
  const detail::TeacherTargets targets(student_of(teacher_of(teacher_config())), histories, executor);
  Row found, expected;
  targets.append(found.items, found.shares, {3, 12, 9});
  for (std::size_t event = 13; event < 21; ++event) {
    const Row row = row_of(targets, 3, event);
    expected.items.insert(expected.items.end(), row.items.begin(), row.items.end());
    expected.shares.insert(expected.shares.end(), row.shares.begin(), row.shares.end());
  }
  CHECK(found.items == expected.items);
  CHECK(found.shares == expected.shares);
}

TEST_CASE("A teacher says the same on any number of threads", "[training][teacher]") {
  TrainerConfig config = student_of(teacher_of(teacher_config()));
  config.mixed_precision = true;
  const Histories histories = scattered(200, 30, kItems);
  ThreadPool pool(3);
  InlineExecutor alone;
  const detail::TeacherTargets one(config, histories, alone), several(config, histories, pool);
  for (UserHandle user = 0; user < 200; ++user) {
    Row a, b;
    one.append(a.items, a.shares, {user, 0, 30});
    several.append(b.items, b.shares, {user, 0, 30});
    CHECK(a.items == b.items);
    CHECK(a.shares == b.shares);
  }
}

TEST_CASE("A teacher that knows few items, or has nothing to say, leaves the targets as they are",
          "[training][teacher]") {
  const auto teacher = teacher_of(teacher_config());
  const Histories histories = scattered(3, 11, kItems);
  InlineExecutor executor;
  SECTION("few items") {
    for (ItemHandle item = 3; item < kItems; ++item) std::ranges::fill(teacher->items().row(item), 0.0f);
    CHECK(detail::TeacherTargets(student_of(teacher), histories, executor).count() == 3);
  }
  SECTION("a user whose items it does not know") {
    for (const ItemHandle item : histories.of(0).items) std::ranges::fill(teacher->items().row(item), 0.0f);
    const detail::TeacherTargets targets(student_of(teacher), histories, executor);
    const Row row = row_of(targets, 0, 1);
    for (const ItemHandle item : row.items) CHECK(item == kNoHandle);
    for (const float share : row.shares) CHECK(share == 0.0f);
  }
}

TEST_CASE("A teacher of other items, or of times that are not there, is refused", "[training][teacher]") {
  const Histories histories = scattered(3, 11, kItems);
  InlineExecutor executor;
  std::string message;
  const auto code = [&](const EncoderConfig& config, std::size_t items) {
    const TrainerConfig student = student_of(teacher_of(config, items));
    return code_of([&] { Trainer(student).fit(histories, {}); }, &message);
  };
  CHECK(code(teacher_config(), kItems + 1) == ErrorCode::invalid_data);
  CHECK(message.find("teacher: expected 12 item rows") != std::string::npos);
  CHECK(message.find("found 13") != std::string::npos);
  EncoderConfig timed = teacher_config();
  timed.time_buckets = 16;
  CHECK(code(timed, kItems) == ErrorCode::invalid_data);
  CHECK(message.find("expected times, as the teacher reads them") != std::string::npos);
}

TEST_CASE("A student of weight 1 comes to agree with its teacher, whatever came next", "[training][teacher]") {
  // The teacher has learned that item i follows item i - 1, the histories of the student are noise.
  TrainerConfig config = small_config();
  config.epochs = 30;
  config.teacher = Trainer(config).fit(cycle(60, 20, kItems), {}).encoder;
  config.seed = 2;
  config.distillation = {.weight = 1, .targets = 5, .temperature = 1};
  const Histories noise =
      histories_of(120, 20, kItems, [](std::size_t u, std::size_t i) { return detail::mix(u + 100, i) % kItems; });
  const auto student = Trainer(config).fit(noise, {}).encoder;
  std::size_t agree = 0, asked = 0;
  TrainerConfig as_teacher = config;
  as_teacher.teacher = student;
  for (UserHandle user = 0; user < 120; ++user) {
    for (std::size_t event = 5; event < 20; ++event, ++asked) {
      const HistoryView history = noise.of(user).subview(0, event);
      agree += expected_of(as_teacher, history).items[0] == expected_of(config, history).items[0];
    }
  }
  CAPTURE(agree, asked);
  CHECK(10 * agree > 8 * asked);
}

TEST_CASE("A teacher of weight 0 teaches nothing", "[training][teacher]") {
  const Split parts = leave_one_out(scattered(50, 34, kItems));
  TrainerConfig config = small_config();
  const auto alone = all_weights(Trainer(config).fit(parts.train, parts.validation));
  config.teacher = teacher_of(teacher_config());
  config.distillation.weight = 0;
  CHECK(all_weights(Trainer(config).fit(parts.train, parts.validation)) == alone);
  config.distillation.weight = 0.1;
  CHECK(all_weights(Trainer(config).fit(parts.train, parts.validation)) != alone);
}

}  // namespace attune
