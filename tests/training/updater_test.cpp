// SPDX-License-Identifier: Apache-2.0
#include "attune/training/updater.hpp"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "attune/error.hpp"
#include "catch.hpp"
#include "temporary_directory.hpp"
#include "training/small_training.hpp"

namespace attune {

using namespace test;

namespace {

constexpr Timestamp kHour = 3'600'000;

// Everybody walks from item to item one or two on.
struct World {
  std::size_t items = 30;

  // Events [begin, end) of users [first, last).
  void append(InteractionLog& log, std::size_t first, std::size_t last, std::size_t begin, std::size_t end) const {
    for (std::size_t user = first; user < last; ++user) {
      for (std::size_t i = begin; i < end; ++i) {
        const std::string item = std::string("i").append(std::to_string((7 * user + i * (1 + user % 2)) % items));
        log.append({.user = std::string("u").append(std::to_string(user)),
                    .item = item,
                    .timestamp = static_cast<Timestamp>(100 * i + user) * kHour});
      }
    }
  }
  InteractionLog log(std::size_t first, std::size_t last, std::size_t begin, std::size_t end) const {
    InteractionLog result;
    append(result, first, last, begin, end);
    return result;
  }
};

TrainedModel train(TrainerConfig config, InteractionLog log) {
  const Split parts = split(group_by_user(std::move(log)), SplitOptions::parse("leave-one-out"));
  config.exclude_seen = false;
  return Trainer(config).fit(parts.train, parts.validation);
}

TrainerConfig learning_config() {
  TrainerConfig config = small_config();
  config.epochs = 15;
  return config;
}

double ndcg(const TrainedModel& model, const EvaluationQueries& queries) {
  return evaluate(model, queries, {.cutoffs = {10}, .exclude_seen = false, .bootstrap = 0}).ndcg_at(10);
}

// All events with the ids that the model's users know them by.
std::vector<std::string> events_of(const Histories& histories) {
  std::vector<std::string> all;
  for (std::size_t user = 0; user < histories.num_users(); ++user) {
    const HistoryView own = histories.of(user);
    for (std::size_t i = 0; i < own.size(); ++i) {
      all.push_back(to_string(histories.user_ids->id(static_cast<UserHandle>(user))) + ' ' +
                    to_string(histories.item_ids->id(own.items[i])) + ' ' + std::to_string(own.times[i]));
    }
  }
  return all;
}

std::vector<std::string> all_files(const TrainedModel& model) {
  const TemporaryDirectory directory;
  model.save((directory / "model").string());
  std::vector<std::string> all;
  for (const char* name : {"manifest.json", "weights.safetensors", "counts.safetensors", "items.ids", "histories.bin",
                           "opening.safetensors"}) {
    all.push_back(std::filesystem::exists(directory / "model" / name) ? read_text(directory / "model" / name) : "");
  }
  return all;
}

}  // namespace

TEST_CASE("New events take their place in the histories, and old handles stay", "[training][updater]") {
  InteractionLog log;
  for (const Timestamp time : {10, 20, 30})
    log.append({.user = "a", .item = Id(std::to_string(time)), .timestamp = time});
  log.append({.user = "b", .item = "10", .timestamp = 5});
  log.append({.user = "b", .item = "20", .timestamp = 6});
  TrainerConfig config = small_config();
  config.counts_alone = true;
  const TrainedModel model = train(config, std::move(log));

  InteractionLog more;
  more.append({.user = "new", .item = "99", .timestamp = 40});
  more.append({.user = "a", .item = "25", .timestamp = 25});
  more.append({.user = "a", .item = "20", .timestamp = 20});                   // known
  more.append({.user = "a", .item = "20", .timestamp = 20, .event = "view"});  // of another kind
  more.append({.user = "new", .item = "99", .timestamp = 40});                 // twice
  more.append({.user = "b", .item = "10", .timestamp = 7});                    // known, but for its time
  Updater updater;
  const TrainedModel updated = updater.update(model, more);
  CHECK(events_of(*updated.histories) == std::vector<std::string>{"a 10 10", "a 20 20", "a 20 20", "a 25 25", "a 30 30",
                                                                  "b 10 5", "b 20 6", "b 10 7", "new 99 40"});
  CHECK(updater.report().new_events == 4);
  CHECK(updater.report().known_events == 2);
  CHECK(updater.report().new_users == 1);
  CHECK(updater.report().new_items == 2);
  CHECK(updated.num_items() == model.num_items() + 2);
  for (ItemHandle item = 0; item < model.num_items(); ++item)
    CHECK(updated.item_ids->id(item) == model.item_ids->id(item));
  CHECK(updated.popularity->counts()[updated.item_ids->find("20")] == 3);
  CHECK(updated.popularity->counts()[updated.item_ids->find("99")] == 1);
  CHECK(updated.histories->event_kinds == std::vector<std::string>{"", "view"});
}

TEST_CASE("Without a new event the model stays what it is, bit for bit", "[training][updater]") {
  const World world;
  const bool counts_alone = GENERATE(false, true);
  TrainerConfig config = small_config();
  config.counts_alone = counts_alone;
  const TrainedModel model = train(config, world.log(0, 20, 0, 12));
  Updater updater;
  const TrainedModel updated = updater.update(model, world.log(3, 9, 2, 7));
  CHECK(updater.report().new_events == 0);
  CHECK(updater.report().known_events == 30);
  CHECK(updater.report().epochs.empty());
  CHECK(updater.held_out().empty());
  CHECK(all_files(updated) == all_files(model));
}

TEST_CASE("An update learns what is new and keeps what was known", "[training][updater]") {
  TrainerConfig config = learning_config();
  if (GENERATE(false, true)) {
    config.encoder.block = BlockKind::hstu;
    config.windows = Windows::all;
    config.average = 0.9;
  }
  // New users walk over items that were not there.
  const World old_world, new_world{.items = 40};
  const TrainedModel model = train(config, old_world.log(0, 30, 0, 16));
  InteractionLog events = new_world.log(30, 42, 16, 32);
  old_world.append(events, 0, 10, 16, 18);
  Updater updater({.held_out = 0.2});
  const TrainedModel updated = updater.update(model, events);
  CHECK(updater.report().epochs.size() == 5);
  CHECK(updater.report().epochs.back().loss < updater.report().epochs.front().loss);
  REQUIRE(updater.held_out().size() > 30);
  CAPTURE(ndcg(model, updater.held_out()), ndcg(updated, updater.held_out()));
  CHECK(ndcg(updated, updater.held_out()) > 1.03 * ndcg(model, updater.held_out()));

  const Split old_part = split(group_by_user(old_world.log(0, 30, 0, 16)), SplitOptions::parse("leave-one-out"));
  CHECK(ndcg(updated, old_part.test) > 0.98 * ndcg(model, old_part.test));
}

TEST_CASE("What is held out is in the histories, but not learned from", "[training][updater]") {
  const World world;
  const TrainedModel model = train(small_config(), world.log(0, 20, 0, 12));
  InteractionLog events = world.log(0, 20, 12, 16);
  events.append({.user = "u3", .item = "last", .timestamp = 10'000 * kHour});
  Updater updater({.epochs = 1, .held_out = 0.25});
  const TrainedModel updated = updater.update(model, events);
  CHECK(updated.histories->num_events() == 20 * 16 + 1);
  const EvaluationQueries& queries = updater.held_out();
  CHECK(queries.size() == 20);  // 81 events, the newest quarter
  for (const auto& query : queries.queries) {
    CHECK(query.num_targets == 1);
    CHECK(query.history_length >= 15);
  }
  const ItemHandle last = updated.item_ids->find("last");
  REQUIRE(last != kNoHandle);
  CHECK(updated.popularity->counts()[last] == 0);
  const auto row = updated.encoder->items().row(last);
  CHECK(std::all_of(row.begin(), row.end(), [](float x) { return x == 0.0f; }));
}

TEST_CASE("Replay adds as many old histories as it says, while there are some", "[training][updater]") {
  const World world;
  TrainerConfig config = small_config();
  config.batch_sequences = 1;
  config.epochs = 1;
  const TrainedModel model = train(config, world.log(0, 30, 0, 12));
  const auto steps_with = [&](double replay) {
    std::size_t steps = 0;
    const Progress count{.step = [&](const StepReport& report) { return steps = report.steps, true; }};
    Updater({.epochs = 1, .replay = replay}).update(model, world.log(0, 10, 12, 14), count);
    return steps;
  };
  CHECK(steps_with(0) == 10);
  CHECK(steps_with(0.5) == 15);
  CHECK(steps_with(1) == 20);
  CHECK(steps_with(7) == 30);
}

TEST_CASE("Many new events of one user are learned in several windows", "[training][updater]") {
  const World world;
  TrainerConfig config = small_config();
  config.batch_sequences = 1;
  config.encoder.max_sequence_length = 10;
  config.epochs = 1;
  const TrainedModel model = train(config, world.log(0, 5, 0, 20));
  std::size_t steps = 0;
  const Progress count{.step = [&](const StepReport& report) { return steps = report.steps, true; }};
  Updater({.epochs = 1, .replay = 0}).update(model, world.log(2, 3, 20, 45), count);
  CHECK(steps == 3);  // 25 targets
}

TEST_CASE("A model that does not say how it was trained is updated by the defaults", "[training][updater]") {
  const World world;
  TrainedModel model = train(small_config(), world.log(0, 20, 0, 12));
  model.notes.clear();
  CHECK(all_weights(Updater({.epochs = 1}).update(model, world.log(0, 20, 12, 16))) != all_weights(model));
  model.notes["trainer"] = "{\"epoch\": 1}";
  std::string message;
  CHECK(code_of([&] { Updater().update(model, world.log(0, 20, 12, 16)); }, &message) == ErrorCode::invalid_config);
  CHECK(message.find("\"trainer\": epoch: no such field") != std::string::npos);
}

TEST_CASE("A new item begins near the items it came with", "[training][updater]") {
  const World world;
  const TrainedModel model = train(learning_config(), world.log(0, 30, 0, 16));
  InteractionLog events;
  for (const char* user : {"x", "y", "z"}) {
    for (const Timestamp hour : {1, 2, 3}) {
      const Id item = hour == 2 ? Id("fresh") : hour == 1 ? Id("i4") : Id("i5");
      events.append({.user = user, .item = item, .timestamp = hour * kHour});
    }
  }
  events.append({.user = "alone", .item = "lonely", .timestamp = kHour});
  const TrainedModel updated = Updater({.epochs = 1, .learning_rate = 1e-20}).update(model, events);
  const auto row = [&](const char* item) { return updated.encoder->items().row(updated.item_ids->find(item)); };
  const auto norm = [](std::span<const float> x) {
    double sum = 0;
    for (const float value : x) sum += static_cast<double>(value) * static_cast<double>(value);
    return std::sqrt(sum);
  };
  double mean_norm = 0, along = 0, parallel = 0;
  for (std::size_t item = 0; item < model.num_items(); ++item) mean_norm += norm(model.encoder->items().row(item)) / 30;
  std::vector<float> sum(row("i4").begin(), row("i4").end());
  for (std::size_t d = 0; d < sum.size(); ++d) {
    sum[d] += row("i5")[d];
    along += static_cast<double>(sum[d] * row("fresh")[d]);
  }
  parallel = along / norm(sum) / norm(row("fresh"));
  CHECK(parallel == Approx(1.0).epsilon(1e-4));
  CHECK(norm(row("fresh")) == Approx(mean_norm).epsilon(1e-3));
  CHECK(norm(row("lonely")) == 0.0);  // the only event of its user teaches nothing
  // Nothing moved what was there.
  for (std::size_t item = 0; item < model.num_items(); ++item) {
    CHECK(std::ranges::equal(updated.encoder->items().row(item), model.encoder->items().row(item)));
  }
}

TEST_CASE("An update gives the same bits for any number of threads", "[training][updater]") {
  const World world;
  const TrainedModel model = train(small_config(), world.log(0, 30, 0, 14));
  const InteractionLog events = world.log(20, 40, 14, 20);
  const auto weights_with = [&](std::size_t threads, std::uint64_t seed) {
    ThreadPool pool(threads);
    return all_weights(Updater({.epochs = 2, .seed = seed}, &pool).update(model, events));
  };
  const auto alone = all_weights(Updater({.epochs = 2}).update(model, events));
  CHECK(weights_with(2, 1) == alone);
  CHECK(weights_with(8, 1) == alone);
  CHECK(weights_with(2, 2) != alone);
}

TEST_CASE("Counts keep kind and options, a blend its weight", "[training][updater]") {
  const World world;
  TrainerConfig config = small_config();
  config.counts = GENERATE(CountKind::popularity, CountKind::markov, CountKind::item_knn, CountKind::ease,
                           CountKind::ials, CountKind::repeat);
  config.counts_alone = GENERATE(true, false);
  config.markov.steps = 2;
  config.epochs = 1;
  TrainedModel model = train(config, world.log(0, 20, 0, 12));
  model.blend_weight = config.counts_alone ? 0.0 : 0.7;
  const InteractionLog events = world.log(0, 20, 12, 16);
  Updater updater({.epochs = 1});
  const TrainedModel updated = updater.update(model, events);
  CHECK(updated.counts->name() == model.counts->name());
  CHECK(updated.blend_weight == model.blend_weight);
  CHECK((updated.encoder == nullptr) == config.counts_alone);
  CHECK(updater.report().epochs.empty() == config.counts_alone);
  const auto fitted = fit_counts(*updated.histories, config.count_options());
  std::vector<float> expected(updated.num_items()), found(updated.num_items());
  fitted->score_all(updated.histories->of(4), expected);
  updated.counts->score_all(updated.histories->of(4), found);
  CHECK(found == expected);
  all_files(updated);  // throws where the parts do not fit together
}

TEST_CASE("A compressed model stays compressed", "[training][updater]") {
  const World world;
  const TemporaryDirectory directory;
  TrainedModel model = train(small_config(), world.log(0, 20, 0, 12));
  model.weight_storage = WeightStorage::int8;
  model.save(directory / "model");
  Updater updater({.epochs = 1});
  const TrainedModel updated = updater.update(TrainedModel::load(directory / "model"), world.log(0, 20, 12, 16));
  CHECK(updated.weight_storage == WeightStorage::int8);
  updated.save(directory / "next");
  CHECK(TrainedModel::load(directory / "next").weight_storage == WeightStorage::int8);
}

TEST_CASE("A masked encoder is updated as it was trained", "[training][updater]") {
  const World world;
  TrainerConfig config = small_config();
  config.encoder.mask = AttentionMask::bidirectional;
  config.encoder.mask_token = true;
  const TrainedModel model = train(config, world.log(0, 20, 0, 30));
  const TrainedModel updated = Updater({.epochs = 2}).update(model, world.log(0, 20, 30, 70));
  CHECK(all_weights(updated) != all_weights(model));
  CHECK(updated.encoder->config().max_sequence_length == model.encoder->config().max_sequence_length);
}

TEST_CASE("Histories without times take every event as new, behind those they have", "[training][updater]") {
  const Split parts = leave_one_out([] {
    Histories histories = cycle(12, 9, 10);
    auto users = std::make_shared<IdMap>(IdKind::int64);
    for (std::size_t user = 0; user < 12; ++user) users->insert(user);
    histories.user_ids = users;
    return histories;
  }());
  const TrainedModel model = Trainer(small_config()).fit(parts.train, parts.validation);
  InteractionLog events(IdKind::int64, IdKind::int64);
  events.append({.user = 3, .item = 2, .timestamp = 5});
  events.append({.user = 3, .item = 2, .timestamp = 5});
  Updater updater({.epochs = 1});
  const TrainedModel updated = updater.update(model, events);
  CHECK(updater.report().new_events == 2);
  CHECK(updated.histories->times.empty());
  CHECK(updated.histories->of(3).size() == 11);
  CHECK(updated.histories->of(3).items.back() == 2);
  std::string message;
  CHECK(code_of([&] { Updater({.held_out = 0.5}).update(model, events); }, &message) == ErrorCode::invalid_data);
  CHECK(message.find("held_out") != std::string::npos);
}

TEST_CASE("A callback can stop an update, which keeps the weights so far", "[training][updater]") {
  const World world;
  const TrainedModel model = train(small_config(), world.log(0, 20, 0, 12));
  const InteractionLog events = world.log(0, 20, 12, 16);
  Updater updater({.epochs = 5});
  const TrainedModel updated =
      updater.update(model, events, {.epoch = [](const EpochReport& r) { return r.epoch < 2; }});
  CHECK(updater.report().epochs.size() == 2);
  CHECK(all_weights(updated) != all_weights(model));
}

TEST_CASE("What cannot be updated is refused by name", "[training][updater]") {
  const World world;
  TrainedModel model = train(small_config(), world.log(0, 20, 0, 12));
  const InteractionLog events = world.log(0, 20, 12, 16);
  std::string message;
  const auto code = [&](const InteractionLog& log) { return code_of([&] { Updater().update(model, log); }, &message); };
  InteractionLog untimed;
  untimed.append({.user = "u1", .item = "i1"});
  CHECK(code(untimed) == ErrorCode::invalid_data);
  CHECK(message.find("times") != std::string::npos);
  InteractionLog numbers(IdKind::string, IdKind::int64);
  numbers.append({.user = "u1", .item = 4, .timestamp = 1});
  CHECK(code(numbers) == ErrorCode::invalid_argument);
  CHECK(message.find("item ids to be text") != std::string::npos);
  const auto encoder = model.encoder;
  EncoderConfig served = encoder->config();
  served.separate_outputs = true;
  model.encoder = make_encoder(served, model.num_items());
  CHECK(code(events) == ErrorCode::unsupported);
  CHECK(message.find("trained elsewhere") != std::string::npos);
  model.encoder = encoder;
  model.histories = nullptr;
  CHECK(code(events) == ErrorCode::invalid_argument);
  CHECK(message.find("histories") != std::string::npos);

  const auto refused = [&](const UpdaterConfig& config, const std::string& field) {
    CHECK(code_of([&] { Updater{config}; }, &message) == ErrorCode::invalid_config);
    CHECK(message.find(field) != std::string::npos);
  };
  refused({.epochs = 0}, "epochs");
  refused({.learning_rate = 0}, "learning_rate");
  refused({.replay = -1}, "replay");
  refused({.held_out = 1}, "held_out");
}

}  // namespace attune
