// SPDX-License-Identifier: Apache-2.0
// What the trainer does with count models: alone, beside an encoder, and as the term of a blend.

#include <memory>
#include <string>

#include "attune/error.hpp"
#include "attune/training/trainer.hpp"
#include "catch.hpp"

namespace attune {
namespace {

// Every user walks through 40 items in steps of 7, from a place of his own.
Histories walks(std::size_t users = 60, std::size_t length = 12) {
  Histories histories;
  auto ids = std::make_shared<IdMap>(IdKind::int64);
  for (std::size_t i = 0; i < 40; ++i) ids->insert(i);
  histories.item_ids = ids;
  for (std::size_t u = 0; u < users; ++u) {
    for (std::size_t i = 0; i < length; ++i) histories.items.push_back(static_cast<ItemHandle>((u + 7 * i) % 40));
    histories.offsets.push_back(histories.items.size());
  }
  histories.kinds.assign(histories.items.size(), 0);
  histories.values.assign(histories.items.size(), 1.0f);
  return histories;
}

TrainerConfig small(const std::string& preset) {
  TrainerConfig config = TrainerConfig::preset(preset);
  config.ials.embedding_dim = 16;
  config.encoder.embedding_dim = 16;
  config.encoder.num_blocks = 1;
  config.encoder.inner_dim = 16;
  config.encoder.max_sequence_length = 20;
  return config;
}

const std::vector<std::string> kPresets{"popularity", "markov", "item-knn", "ease", "ials", "repeat"};

}  // namespace

TEST_CASE("A count preset trains that model alone, without an epoch", "[training][counts]") {
  const Split parts = split(walks(), SplitOptions::parse("leave-one-out"));
  const std::string preset = kPresets[GENERATE(0u, 1u, 2u, 3u, 4u, 5u)];
  Trainer trainer(small(preset));
  const TrainedModel model = trainer.fit(parts.train, parts.validation);
  CHECK(!model.encoder);
  REQUIRE(model.counts);
  CHECK(model.counts->name() == preset);
  CHECK(model.score_kind() == ScoreKind::count);
  CHECK(model.histories == parts.all);
  CHECK(model.blend_weight == 0);
  CHECK(model.notes.at("trainer").find("\"counts\":\"" + preset + "\"") != std::string::npos);
  CHECK(trainer.epochs().empty());
  CHECK(trainer.best_epoch() == 0);
  CHECK(trainer.train_seconds() > 0);

  std::vector<float> scores(40), expected(40);
  ModelUnderTest(model).session()(parts.all->of(3), {}, scores);
  model.counts->score_all(parts.all->of(3), expected);
  CHECK(scores == expected);
  const Report report = evaluate(model, parts.test, {.cutoffs = {10}, .bootstrap = 0});
  CHECK(report.hit_rate_at(10) >= (preset == "popularity" || preset == "repeat" ? 0.0 : 0.5));
}

TEST_CASE("Count models train on what no encoder learns from, but not on nothing", "[training][counts]") {
  for (const std::string& preset : kPresets) {
    Trainer trainer(small(preset));
    CHECK_NOTHROW(trainer.fit(walks(5, 1), {}));
    CHECK_NOTHROW(trainer.fit(walks(1, 5), {}));
    for (const Histories& nothing : {Histories{}, walks(0, 0), walks(3, 0)}) {
      try {
        trainer.fit(nothing, {});
        FAIL("expected an error");
      } catch (const Error& error) {
        CHECK(error.code() == ErrorCode::invalid_data);
        CHECK(std::string(error.what()).find("expected events") != std::string::npos);
      }
    }
  }
}

TEST_CASE("What the model counts with is what a blend adds", "[training][counts]") {
  const Split parts = split(walks(), SplitOptions::parse("leave-one-out"));
  TrainerConfig config = small("default");
  config.epochs = 1;
  config.compare_counts = config.refit = config.rerank =
      false;  // the encoder shall need the counts, on what it has not seen
  config.counts = GENERATE(CountKind::markov, CountKind::item_knn, CountKind::ease, CountKind::ials);
  TrainedModel model = Trainer(config).fit(parts.train, parts.validation);
  CHECK(model.encoder);
  CHECK(model.counts->name() == to_string(config.counts));
  CHECK(model.blend_weight > 0);
  const auto ndcg = [&] { return evaluate(model, parts.validation, {.cutoffs = {10}, .bootstrap = 0}).ndcg_at(10); };
  const double blended = ndcg();
  model.blend_weight = 0;
  CHECK(blended > ndcg());
}

TEST_CASE("The seed of the trainer is that of its factorisation", "[training][counts]") {
  const auto factors = [](std::uint64_t seed) {
    TrainerConfig config = small("ials");
    config.seed = seed;
    const TrainedModel model = Trainer(config).fit(walks(), {});
    const auto all = dynamic_cast<const IalsModel&>(*model.counts).factors();
    return std::vector<float>(all.begin(), all.end());
  };
  CHECK(factors(1) == factors(1));
  CHECK(factors(1) != factors(2));
}

TEST_CASE("A window of popularity holds beside every model", "[training][counts]") {
  Histories histories = walks(2, 3);
  histories.times = {0, 0, 86'400'000 * 5, 0, 0, 86'400'000 * 5};
  TrainerConfig config = small("ease");
  config.popularity.window_days = 1;
  const TrainedModel model = Trainer(config).fit(histories, {});
  CHECK(model.popularity->recent()[14] == 1);
  CHECK(model.popularity->recent()[0] == 0);
  CHECK(model.popularity->counts()[0] == 1);
}

}  // namespace attune
