// SPDX-License-Identifier: Apache-2.0
#include "attune/privacy/private_training.hpp"

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>
#include <vector>

#include "catch.hpp"
#include "errors.hpp"
#include "privacy/private_counts.hpp"
#include "privacy/private_encoder.hpp"
#include "training/small_training.hpp"

namespace attune {
namespace {

using detail::CellCount;
using detail::Contributions;
using detail::mix;
using test::code_of;

constexpr double kBound = 65536;

// 1 to 40 events on few items, so that pairs repeat.
std::vector<ItemHandle> random_history(std::uint64_t seed, std::size_t items) {
  std::vector<ItemHandle> history(1 + mix(seed, 0) % 40);
  for (std::size_t i = 0; i < history.size(); ++i) history[i] = static_cast<ItemHandle>(mix(seed, i + 1) % items);
  return history;
}

double norm_of(const std::map<std::uint64_t, std::int64_t>& cells) {
  double sum = 0;
  for (const auto& [cell, count] : cells) sum += static_cast<double>(count) * static_cast<double>(count);
  return std::sqrt(sum);
}

void add(std::map<std::uint64_t, std::int64_t>& sum, const std::vector<CellCount>& cells, std::int64_t sign = 1) {
  for (const CellCount& cell : cells) sum[cell.cell] += sign * cell.count;
}

PrivateTrainingConfig small_encoder() {
  PrivateTrainingConfig config;
  config.noise_seed = 3;
  config.encoder.steps = 4;
  config.encoder.sampling_probability = 0.5;
  config.encoder.encoder.embedding_dim = 8;
  config.encoder.encoder.num_blocks = 1;
  config.encoder.encoder.num_heads = 1;
  config.encoder.encoder.inner_dim = 8;
  config.encoder.encoder.max_sequence_length = 10;
  return config;
}

std::vector<float> scores(const TrainedModel& model, const std::vector<ItemHandle>& history) {
  std::vector<float> result(model.num_items());
  model.counts->score_all(HistoryView{.items = history}, result);
  return result;
}

}  // namespace

TEST_CASE("No user adds more to the counts than the bound, repeated items or not", "[privacy][training]") {
  const Contributions contributions({}, PrivacyUnit::user, 12, kBound);
  std::vector<CellCount> cells;
  double least = kBound;
  for (std::uint64_t seed = 0; seed < 100'000; ++seed) {
    const std::vector<ItemHandle> history = random_history(seed, 1 + seed % 12);
    contributions.of(history, cells);
    std::map<std::uint64_t, std::int64_t> sum;
    double squares = 0;
    for (std::size_t i = 0; i < cells.size(); ++i) {
      REQUIRE((i == 0 || cells[i - 1].cell < cells[i].cell));
      squares += static_cast<double>(cells[i].count) * static_cast<double>(cells[i].count);
    }
    REQUIRE(squares <= kBound * kBound);
    if (history.size() > 1) least = std::min(least, std::sqrt(squares));
  }
  CHECK(least > 0.99 * kBound);  // nothing of the bound is given away
}

TEST_CASE("Tables of neighbours differ by no more than the bound", "[privacy][training]") {
  std::vector<CellCount> with, without;
  for (const PrivacyUnit unit : {PrivacyUnit::user, PrivacyUnit::event}) {
    const Contributions contributions({}, unit, 6, kBound);
    double most = 0;
    for (std::uint64_t seed = 0; seed < 10'000; ++seed) {
      std::map<std::uint64_t, std::int64_t> difference;
      std::vector<ItemHandle> history = random_history(seed, 1 + seed % 6);
      contributions.of(history, with);
      add(difference, with);
      if (unit == PrivacyUnit::event) {
        // The event becomes one on an item of its own, whose cells are left out: an empty place.
        const std::size_t place = mix(seed, 99) % history.size();
        const Contributions wider({}, unit, 7, kBound);
        wider.of(history, with);
        history[place] = 6;
        wider.of(history, without);
        difference.clear();
        add(difference, with);
        for (const CellCount& cell : without) {
          const bool empty = cell.cell >= 49 ? cell.cell - 49 == 6 : cell.cell / 7 == 6 || cell.cell % 7 == 6;
          if (!empty) difference[cell.cell] -= cell.count;
        }
      }
      most = std::max(most, norm_of(difference));
    }
    CHECK(most <= kBound);
    CHECK(most > 0.5 * kBound);
  }
}

TEST_CASE("Clipped updates keep to the bound", "[privacy][training]") {
  double least = 2;
  for (std::uint64_t seed = 0; seed < 100'000; ++seed) {
    GradientBuffer gradient(3, 5, 2);
    BasicGradientBuffer<double> sum(3, 5, 2);
    const auto value = [&](std::uint64_t i) {
      return static_cast<float>(
          std::ldexp(static_cast<double>(mix(seed, i) >> 11) * 0x1p-52 - 1, static_cast<int>(seed % 9)));
    };
    for (std::size_t i = 0; i < 3; ++i) gradient.dense()[i] = value(i);
    for (std::uint64_t i = 3; i < 9; ++i) {  // rows come back, as repeated items do
      for (float& x : gradient.row(static_cast<ItemHandle>(mix(seed, i) % 5))) x += value(2 * i);
    }
    detail::add_clipped(sum, gradient, 1.5, kBound);
    const double norm = std::sqrt(sum.squared_norm()) / kBound, before = std::sqrt(gradient.squared_norm()) / 1.5;
    REQUIRE(norm <= 1);
    REQUIRE(norm <= before);
    if (before > 1) least = std::min(least, norm);
  }
  CHECK(least > 0.999);
  GradientBuffer broken(1, 0, 1);
  BasicGradientBuffer<double> sum(1, 0, 1);
  broken.dense()[0] = std::numeric_limits<float>::infinity();
  detail::add_clipped(sum, broken, 1, kBound);
  CHECK(sum.dense()[0] == 0);
}

// Canaries: items that one user alone has. Guessing from the published count who is in can be right no more often than
// epsilon and delta allow; the bound of Clopper & Pearson is left to a margin of four deviations.
TEST_CASE("A thousand canaries are not told apart better than epsilon allows", "[privacy][training]") {
  constexpr std::size_t kCanaries = 1000;
  constexpr double kEpsilon = 1, kDelta = 1e-5;
  Histories histories = test::cycle(0, 0, 2 * kCanaries);
  for (std::size_t canary = 0; canary < kCanaries; ++canary) {  // half of them are in
    if (mix(1, canary) % 2 != 0) continue;
    for (const std::size_t item : {2 * canary, 2 * canary + 1})
      histories.items.push_back(static_cast<ItemHandle>(item));
    histories.offsets.push_back(histories.items.size());
  }
  InlineExecutor executor;
  const double noise = calibrate_noise(kEpsilon, kDelta, 1, 1);
  const detail::PrivateCounts counts = detail::private_counts(histories, {}, PrivacyUnit::user, noise, 11, executor);
  std::vector<std::pair<double, bool>> guesses;  // by the statistic of Neyman & Pearson
  const double pair = std::sqrt(0.95), item = std::sqrt(0.05 / 2);
  for (std::size_t canary = 0; canary < kCanaries; ++canary) {
    const std::size_t x = 2 * canary;
    const double statistic = pair * static_cast<double>(counts.pairs[x * 2 * kCanaries + x + 1]) +
                             item * static_cast<double>(counts.items[x] + counts.items[x + 1]);
    guesses.emplace_back(statistic, mix(1, canary) % 2 == 0);
  }
  std::sort(guesses.begin(), guesses.end());
  double in = 0, out = 0;
  for (const auto& [statistic, member] : guesses) (member ? in : out) += 1;
  double found = 0, wrong = 0, strongest = 0;  // of the largest ones
  for (auto guess = guesses.rbegin(); guess != guesses.rend(); ++guess) {
    (guess->second ? found : wrong) += 1;
    const double right = found / in, false_alarms = wrong / out;
    const double low = right - 4 * std::sqrt(right * (1 - right) / in);
    const double high = false_alarms + 4 * std::sqrt(false_alarms * (1 - false_alarms) / out) + 8 / out;
    if (low > kDelta) strongest = std::max(strongest, std::log((low - kDelta) / high));
  }
  CHECK(strongest <= kEpsilon);
  const double middle = guesses[kCanaries / 2].first;
  double mean_in = 0, mean_out = 0;
  for (const auto& [statistic, member] : guesses) (member ? mean_in : mean_out) += statistic / (member ? in : out);
  CHECK(mean_in - mean_out == Approx(1).margin(4 * noise * std::sqrt(1 / in + 1 / out)));  // the audit sees who is in
  CHECK(std::isfinite(middle));
}

TEST_CASE("Private counts learn what follows what", "[privacy][training]") {
  PrivateTrainingConfig config;
  PrivacyStatement statement;
  const TrainedModel model = train_privately(test::cycle(400, 12, 20), config, nullptr, &statement);
  const std::vector<float> result = scores(model, {3, 4, 5});
  CHECK(std::max_element(result.begin(), result.end()) - result.begin() == 6);
  CHECK(!model.encoder);
  CHECK(statement.epsilon <= 8);
  CHECK(statement.epsilon > 7.9);
  const auto note = nlohmann::json::parse(model.notes.at("privacy"));
  CHECK(note["unit"] == "user");
  CHECK(note["epsilon"] == statement.epsilon);
  CHECK(note["delta"] == 1e-5);
  CHECK(note["mechanisms"].size() == 1);
}

TEST_CASE("Noise from the system differs and noise from a seed repeats on any number of threads",
          "[privacy][training]") {
  const Histories histories = test::scattered(60, 15, 30);
  PrivateTrainingConfig config = small_encoder();
  ThreadPool threads(3);
  PrivacyStatement statement;
  const TrainedModel one = train_privately(histories, config, nullptr, &statement);
  const TrainedModel other = train_privately(histories, config, &threads);
  CHECK(std::isinf(statement.epsilon));
  CHECK(nlohmann::json::parse(one.notes.at("privacy"))["epsilon"] == "infinite");
  CHECK(scores(one, {1, 2}) == scores(other, {1, 2}));
  REQUIRE(one.encoder);
  CHECK(std::ranges::equal(one.encoder->weights(), other.encoder->weights()));
  for (ItemHandle item = 0; item < 30; ++item) {
    CHECK(std::ranges::equal(one.encoder->items().row(item), other.encoder->items().row(item)));
  }
  config.noise_seed.reset();
  config.encoder.steps = 0;
  const TrainedModel first = train_privately(histories, config), second = train_privately(histories, config);
  CHECK(scores(first, {1, 2}) != scores(second, {1, 2}));
}

TEST_CASE("Noise reaches every weight and every row", "[privacy][training]") {
  PrivateTrainingConfig config = small_encoder();
  config.encoder.objective.loss = LossKind::bce;
  config.encoder.objective.negatives = 1;
  config.encoder.steps = 1;
  const Histories histories = test::histories_of(2, 3, 50, [](std::size_t, std::size_t i) { return i; });
  PrivacyStatement statement;
  const TrainedModel model = train_privately(histories, config, nullptr, &statement);
  InlineExecutor executor;
  const detail::PrivateCounts counts =
      detail::private_counts(histories, config.counts, PrivacyUnit::user, statement.mechanisms.front().noise_multiplier,
                             config.noise_seed, executor);
  const auto start = make_encoder(config.encoder.encoder, 50);
  start->initialize(config.seed);
  detail::rows_from_counts(start->items(), counts, config.seed);
  for (ItemHandle item = 0; item < 50; ++item) {
    INFO(item);
    CHECK(!std::ranges::equal(model.encoder->items().row(item), start->items().row(item)));
  }
  for (std::size_t i = 0; i < start->weights().size(); ++i) CHECK(model.encoder->weights()[i] != start->weights()[i]);
}

TEST_CASE("An encoder and counts together keep within the budget", "[privacy][training]") {
  PrivateTrainingConfig config = small_encoder();
  config.noise_seed.reset();
  config.epsilon = 3;
  PrivacyStatement statement;
  train_privately(test::cycle(50, 8, 10), config, nullptr, &statement);
  REQUIRE(statement.mechanisms.size() == 2);
  CHECK(statement.epsilon <= 3);
  CHECK(statement.epsilon > 2.99);
  CHECK(tight_epsilon(statement.mechanisms, 1e-5).epsilon == statement.epsilon);
}

TEST_CASE("Private training refuses what would break its promise", "[privacy][training]") {
  const Histories histories = test::cycle(50, 8, 10);
  const auto refused = [&](auto change) {
    PrivateTrainingConfig config = small_encoder();
    change(config);
    return code_of([&] { train_privately(histories, config); });
  };
  CHECK(refused([](auto& c) { c.noise_multiplier = 0.01; }) == ErrorCode::limit_exceeded);
  CHECK(refused([](auto& c) { c.counts.max_items = 9; }) == ErrorCode::limit_exceeded);
  CHECK(refused([](auto& c) { c.unit = PrivacyUnit::event; }) == ErrorCode::unsupported);
  CHECK(refused([](auto& c) {
          c.encoder.objective.loss = LossKind::sampled_softmax;
          c.encoder.objective.shared_negatives = true;
        }) == ErrorCode::unsupported);
  CHECK(refused([](auto& c) { c.encoder.objective.sampling_power = 1; }) == ErrorCode::unsupported);
  CHECK(refused([](auto& c) { c.epsilon = 0; }) == ErrorCode::invalid_config);
  CHECK(refused([](auto& c) { c.delta = 0; }) == ErrorCode::invalid_config);
  CHECK(refused([](auto& c) { c.counts.item_share = 1; }) == ErrorCode::invalid_config);
  CHECK(refused([](auto& c) { c.encoder.clip = 0; }) == ErrorCode::invalid_config);
  CHECK(code_of([] { train_privately({}, {}); }) == ErrorCode::invalid_data);
}

}  // namespace attune
