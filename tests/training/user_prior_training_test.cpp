// SPDX-License-Identifier: Apache-2.0
#include "attune/training/user_prior_training.hpp"

#include <random>

#include "attune/error.hpp"
#include "attune/model/count_models.hpp"
#include "attune/model/markov_model.hpp"
#include "attune/recommender.hpp"
#include "attune/training/trainer.hpp"
#include "catch.hpp"
#include "serving/small_model.hpp"

using namespace attune;
using Catch::Matchers::Contains;

namespace {

constexpr std::size_t kUsers = 400, kItems = 40;

// Users of the group "a" prefer the first half of the items, of "b" the second; all of them begin with one of five.
struct Town {
  Town() {
    std::mt19937_64 random(3);
    auto item_ids = std::make_shared<IdMap>(IdKind::string);
    auto user_ids = std::make_shared<IdMap>(IdKind::string);
    for (std::size_t item = 0; item < kItems; ++item) item_ids->insert(test::item_name(item));
    for (std::size_t user = 0; user < kUsers; ++user) {
      user_ids->insert(test::user_name(user));
      const bool a = random() % 2 == 0;
      records.add(user, {"group", std::string_view(a ? "a" : "b")});
      for (std::size_t event = 0; event < 9; ++event) {
        const std::size_t among = event == 0 ? 5 : kItems / 2;
        histories.items.push_back(static_cast<ItemHandle>(random() % among + (a ? 0 : kItems / 2)));
        histories.times.push_back(static_cast<Timestamp>(1000 * histories.items.size()));
        histories.kinds.push_back(0);
        histories.values.push_back(1);
      }
      histories.offsets.push_back(histories.items.size());
    }
    histories.item_ids = item_ids;
    histories.user_ids = user_ids;
    FeatureSpec group;
    group.name = "group";
    featurizer = Featurizer::fit({group}, records);
    features = featurizer.table(records);
    held_out = users_to_hold_out(histories);
    model = test::make_model({.items = kItems, .users = 1, .encoder = false});
    const Histories seen = without_events_of(histories, held_out);
    model.item_ids = item_ids;
    model.histories = nullptr;
    model.popularity = std::make_shared<const PopularityModel>(PopularityModel::fit(seen));
    model.counts = std::make_shared<const MarkovModel>(MarkovModel::fit(seen));
  }
  UserPrior fit(Executor* executor = nullptr, UserPriorReport* report = nullptr) const {
    return fit_user_prior(model, featurizer, features, histories, held_out,
                          {.exclude_seen = false, .executor = executor}, report);
  }

  Histories histories;
  FeatureRecords records;
  Featurizer featurizer;
  FeatureTable features;
  std::vector<bool> held_out;
  TrainedModel model;
};

}  // namespace

TEST_CASE("Held-out users are an even share, and their events are left out") {
  const Town town;
  CHECK(std::ranges::count(town.held_out, true) == static_cast<std::ptrdiff_t>(kUsers / 5));
  const Histories rest = without_events_of(town.histories, town.held_out);
  CHECK(rest.num_users() == kUsers);
  for (std::size_t user = 0; user < kUsers; ++user) {
    CHECK(rest.of(user).size() == (town.held_out[user] ? 0u : town.histories.of(user).size()));
  }
}

TEST_CASE("What is learned answers held-out users better than popularity, and the group counts") {
  const Town town;
  UserPriorReport report;
  const UserPrior prior = town.fit(nullptr, &report);
  CHECK(report.users == kUsers / 5);
  CHECK(report.by_events[0].queries == kUsers / 5);
  // A first event is one of five items of each of two groups: whoever puts those of the right group first has 0.59 on
  // average, whoever does not know the group 0.45.
  CHECK(report.by_events[0].sum > 0.52);
  CHECK(report.by_events[0].sum - report.by_events[0].popularity > (0.59 - 0.45) / 2);
  for (std::size_t events = 1; events < report.by_events.size(); ++events) {
    CHECK(report.by_events[events].sum >= report.by_events[events].popularity);
    CHECK(report.by_events[events].model == 0);
  }
  CHECK(prior.importance()[0] > 0);
  CHECK(prior.schedule()[0].profile > 0);
}

TEST_CASE("The same weights come of any number of threads") {
  const Town town;
  ThreadPool eight(8);
  const UserPrior one = town.fit(), other = town.fit(&eight);
  CHECK(one.schedule() == other.schedule());
  CHECK(std::ranges::equal(one.importance(), other.importance()));
}

TEST_CASE("Parts that do not fit together are refused") {
  const Town town;
  const auto fit = [&](const std::vector<bool>& held_out) {
    return fit_user_prior(town.model, town.featurizer, town.features, town.histories, held_out);
  };
  CHECK_THROWS_WITH(fit(std::vector<bool>(kUsers)), Contains("held out"));
  CHECK_THROWS_WITH(fit({true}), Contains("held out"));
}

TEST_CASE("Measured is what is served, without and beside a model") {
  const bool encoder = GENERATE(false, true);
  const Town town;
  TrainedModel model =
      test::make_model({.items = kItems, .users = 20, .blend_weight = encoder ? 0.5 : 0, .encoder = encoder});
  UserPrior::Schedule schedule{};
  for (auto& weights : schedule) weights = {.popularity = 0.1f, .first_choices = 0.7f, .counts = 0.2f, .model = 0.5f};
  model.user_prior = std::make_shared<const UserPrior>(town.fit().with({0.5f}, schedule));
  const Recommender recommender = Recommender::open(model);
  const std::vector<ItemHandle> items{3, 30, 7};
  for (std::size_t events = 0; events <= items.size(); ++events) {
    std::vector<Id> ids;
    for (std::size_t e = 0; e < events; ++e) ids.push_back(model.item_ids->id(items[e]));
    const Answer answer = recommender.recommend_history(ids, {.k = kItems, .exclude_seen = false});
    std::vector<float> scores(kItems);
    ModelUnderTest(model).session()({.items = std::span(items).first(events)}, {}, scores);
    REQUIRE(answer.items.size() == kItems);
    for (std::size_t rank = 1; rank < kItems; ++rank) {
      const float better = scores[model.item_ids->find(answer.items[rank - 1].item)];
      const float worse = scores[model.item_ids->find(answer.items[rank].item)];
      CHECK(better >= worse - 1e-4f);
    }
  }
}
