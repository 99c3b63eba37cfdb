// SPDX-License-Identifier: Apache-2.0

#include <algorithm>
#include <atomic>
#include <optional>
#include <string>
#include <thread>
#include <utility>

#include "attune/error.hpp"
#include "attune/recommender.hpp"
#include "attune/training/updater.hpp"
#include "catch.hpp"
#include "temporary_directory.hpp"
#include "training/small_training.hpp"

namespace attune {

using namespace test;

namespace {

constexpr Timestamp kHour = 3'600'000;

// Events [begin, end) of users [first, last), who walk from item to item `step` on.
InteractionLog walks(std::size_t first, std::size_t last, std::size_t begin, std::size_t end, std::size_t step) {
  InteractionLog log;
  for (std::size_t i = begin; i < end; ++i) {
    for (std::size_t user = first; user < last; ++user) {
      const std::string item = std::string("i").append(std::to_string((7 * user + i * step) % 30));
      log.append({.user = std::string("u").append(std::to_string(user)),
                  .item = item,
                  .timestamp = static_cast<Timestamp>(100 * i + user) * kHour});
    }
  }
  return log;
}

// A directory with a model of users who walk one by one, and a recommender that serves it.
struct Scene {
  Scene() {
    TrainerConfig config = small_config();
    config.epochs = 15;
    config.exclude_seen = false;
    const Split parts = split(group_by_user(walks(0, 30, 0, 16, 1)), SplitOptions::parse("leave-one-out"));
    Trainer(config).fit(parts.train, parts.validation).save(model);
    recommender.emplace(Recommender::open(model));
  }
  std::string version_on_disk() const { return TrainedModel::load(model).version; }

  TemporaryDirectory directory;
  std::string model = (directory / "model").string();
  std::optional<Recommender> recommender;
};

const ServedUpdateOptions kRepeats{.updater = {.held_out = 0.25}, .exclude_seen = false};

}  // namespace

TEST_CASE("A model learns while it is served, and takes over with all events learned", "[training][updater]") {
  Scene scene;
  const std::string before = scene.version_on_disk();
  std::atomic<bool> done = false;
  std::thread serving([&] {
    while (!done) scene.recommender->recommend({.user = "u1"});
  });
  const ServedUpdate update = update_served(*scene.recommender, scene.model, walks(30, 45, 0, 20, 1), kRepeats);
  done = true;
  serving.join();
  CHECK(update.took_over);
  CHECK(update.queries > 20);
  CHECK(update.after >= 0.98 * update.before);
  CHECK(update.update.new_events == 300);
  CHECK(scene.recommender->info().generation == 2);
  CHECK(scene.recommender->info().model_version == scene.version_on_disk());
  CHECK(scene.version_on_disk() != before);

  // The newest events were learned, not only measured on.
  const TrainedModel all = TrainedModel::load(scene.model);
  CHECK(all.popularity->counts()[all.item_ids->find("i7")] > 0);
  std::uint64_t counted = 0;
  for (const std::uint64_t count : all.popularity->counts()) counted += count;
  CHECK(counted == all.histories->num_events());
}

TEST_CASE("Who is forgotten while a model learns is not in the one that takes over", "[training][updater][erasure]") {
  Scene scene;
  bool forgotten = false;
  const Progress forget{.epoch = [&](const EpochReport&) {
    if (std::exchange(forgotten, true)) return true;
    scene.recommender->forget_user("u3");
    scene.recommender->forget_user("u40");  // of the events only
    return true;
  }};
  const ServedUpdate update =
      update_served(*scene.recommender, scene.model, walks(30, 45, 0, 20, 1), kRepeats, nullptr, forget);
  REQUIRE(forgotten);
  REQUIRE(update.took_over);
  CHECK(scene.recommender->export_user("u3").empty());
  CHECK_FALSE(scene.recommender->export_user("u31").empty());
  const TrainedModel all = TrainedModel::load(scene.model);
  CHECK(all.histories->user_ids->find("u3") == kNoHandle);
  CHECK(all.histories->user_ids->find("u40") == kNoHandle);
  CHECK(all.histories->num_users() == 43);
}

TEST_CASE("A model that falls on the events held out does not take over", "[training][updater]") {
  Scene scene;
  const std::string before = scene.version_on_disk();
  // A training that goes astray: its only lesson is to walk the other way, at a rate that leaves nothing as it was.
  InteractionLog events = walks(100, 160, 0, 30, 29);
  for (const InteractionLog& more : {walks(0, 30, 40, 46, 1)}) {
    for (std::size_t i = 0; i < more.size(); ++i) {
      events.append({.user = more.user_ids().id(more.users()[i]),
                     .item = more.item_ids().id(more.items()[i]),
                     .timestamp = more.times()[i]});
    }
  }
  const ServedUpdateOptions astray{.updater = {.epochs = 20, .learning_rate = 20, .replay = 0, .held_out = 0.05},
                                   .exclude_seen = false};
  const ServedUpdate update = update_served(*scene.recommender, scene.model, events, astray);
  CAPTURE(update.before, update.after, update.queries);
  CHECK_FALSE(update.took_over);
  CHECK(update.after < 0.98 * update.before);
  CHECK(scene.recommender->info().generation == 1);
  CHECK(scene.version_on_disk() == before);
}

TEST_CASE("An update without a new event, or into another directory, leaves the old model's in place",
          "[training][updater]") {
  Scene scene;
  const std::string before = scene.version_on_disk();
  const ServedUpdate nothing = update_served(*scene.recommender, scene.model, walks(0, 30, 0, 16, 1), kRepeats);
  CHECK_FALSE(nothing.took_over);
  CHECK(nothing.update.known_events == 480);
  CHECK(scene.recommender->info().generation == 1);

  ServedUpdateOptions elsewhere = kRepeats;
  elsewhere.updater.held_out = 0;  // unmeasured
  elsewhere.output = (scene.directory / "next").string();
  CHECK(update_served(*scene.recommender, scene.model, walks(30, 35, 0, 20, 1), elsewhere).took_over);
  CHECK(scene.version_on_disk() == before);
  CHECK(scene.recommender->info().model_version == TrainedModel::load(elsewhere.output).version);
}

TEST_CASE("A served update that cannot be made says why, and the old model goes on", "[training][updater]") {
  Scene scene;
  const InteractionLog events = walks(30, 35, 0, 20, 1);
  const auto refused = [&](const std::string& directory, ServedUpdateOptions options, const std::string& why) {
    CHECK_THROWS_WITH(update_served(*scene.recommender, directory, events, options), Catch::Matchers::Contains(why));
    CHECK(scene.recommender->info().generation == 1);
  };
  ServedUpdateOptions options = kRepeats;
  options.tolerance = -0.1;
  refused(scene.model, options, "tolerance must be in [0, 1], found -0.1");
  refused((scene.directory / "none").string(), kRepeats, "none");
  options = kRepeats;
  options.updater.epochs = 0;
  refused(scene.model, options, "epochs must be at least 1");
  options = kRepeats;
  options.output = "/dev/null";
  refused(scene.model, options, "/dev/null");
}

}  // namespace attune
