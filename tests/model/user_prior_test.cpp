// SPDX-License-Identifier: Apache-2.0
#include "attune/model/user_prior.hpp"

#include <cmath>
#include <limits>

#include "attune/error.hpp"
#include "attune/model/popularity_model.hpp"
#include "catch.hpp"

using namespace attune;
using Catch::Matchers::Contains;

namespace {

using Beside = UserPrior::Beside;
constexpr std::size_t kItems = 4;

// Users of the group "a" choose item 0 and then 2, of "b" 1 and then 2; nobody chooses 3.
struct Groups {
  explicit Groups(std::size_t users = 6) {
    auto item_ids = std::make_shared<IdMap>(IdKind::int64);
    auto user_ids = std::make_shared<IdMap>(IdKind::int64);
    for (std::size_t item = 0; item < kItems; ++item) item_ids->insert(item);
    records = FeatureRecords(users);
    for (std::size_t user = 0; user < users; ++user) {
      user_ids->insert(user);
      const bool a = user % 2 == 0;
      records.add(user, {"group", std::string_view(a ? "a" : "b")});
      records.add(user, {"height", a ? 1.0 : -1.0});
      histories.items.insert(histories.items.end(), {a ? 0u : 1u, 2u});
      histories.offsets.push_back(histories.items.size());
    }
    histories.item_ids = item_ids;
    histories.user_ids = user_ids;
    FeatureSpec group, height;
    group.name = "group";
    height.name = "height";
    height.kind = FeatureKind::number;
    featurizer = Featurizer::fit({group, height}, records);
    features = featurizer.table(records);
  }
  UserPrior prior(double smoothing = 10) const { return UserPrior::fit(featurizer, features, histories, smoothing); }
  FeatureTable row(std::vector<FieldValue> fields) const {
    FeatureTable table(featurizer.shapes());
    featurizer.apply(fields, table);
    return table;
  }

  Histories histories;
  FeatureRecords records;
  Featurizer featurizer;
  FeatureTable features;
};

std::vector<float> sum_of(const UserPrior& prior, HistoryView history, const FeatureTable* profile,
                          const CountModel* popularity, Beside beside) {
  std::vector<float> terms(prior.num_items());
  Workspace workspace;
  prior.sum(terms, history, profile, popularity, nullptr, beside, workspace);
  return terms;
}

}  // namespace

TEST_CASE("First choices are what users choose at a step or near it, and never impossible") {
  const UserPrior prior = Groups().prior();
  std::vector<float> first(kItems), second(kItems), beyond(kItems), last(kItems);
  prior.first_choices(first, 0);
  prior.first_choices(second, 1);
  prior.first_choices(beyond, 100);
  prior.first_choices(last, UserPrior::kMostEvents);
  CHECK(first[0] == first[1]);
  CHECK(first[0] > first[2] - std::log(2.0f));  // half of the users each
  CHECK(second[2] > first[2]);
  CHECK(std::isfinite(first[3]));
  CHECK(first[3] < first[2]);
  CHECK(beyond == last);
  double total = 0;
  for (const float term : first) total += std::exp(static_cast<double>(term));
  CHECK(total == Approx(1));
}

TEST_CASE("Odds compare those who have a feature with everybody") {
  const Groups groups;
  const UserPrior prior = groups.prior(10);
  // Each of six users has an event of weight 1 and one of 5/6; everybody's shares have 20 events of popularity in them.
  const double late = 5.0 / 6, all = 6 * (1 + late), events = 12 + 4 * 0.5;
  const auto everybody = [&](double count, double chosen) {
    return (chosen + 20 * (count + 0.5) / events) / (all + 20);
  };
  std::vector<float> terms(kItems);
  prior.add_odds(terms, 0, 2.0f, groups.features.of(0, 0));
  const double base = -std::log1p(3 * (1 + late) / 10);
  CHECK(terms[0] == Approx(2 * (std::log1p(3 / (10 * everybody(3, 3))) + base)));
  CHECK(terms[1] == Approx(2 * base));
  CHECK(terms[2] == Approx(2 * (std::log1p(3 * late / (10 * everybody(6, 6 * late))) + base)));
  CHECK(terms[3] == Approx(2 * base));
}

TEST_CASE("Numbers above and below zero are different halves") {
  const Groups groups;
  const UserPrior prior = groups.prior();
  std::vector<float> above(kItems), below(kItems);
  prior.add_odds(above, 1, 1.0f, groups.row({{"height", 1.0}}).of(0, 1));
  prior.add_odds(below, 1, 1.0f, groups.row({{"height", -1.0}}).of(0, 1));
  CHECK(above[0] > above[1]);
  CHECK(below[1] > below[0]);
}

TEST_CASE("A feature that is missing says nothing, an unknown name what all unknown ones say") {
  const Groups groups;
  const UserPrior prior = groups.prior().with({1, 1}, groups.prior().schedule());
  const FeatureTable nothing = groups.row({{"height", std::numeric_limits<double>::quiet_NaN()}});
  CHECK(sum_of(prior, {}, &nothing, nullptr, Beside::nothing) == sum_of(prior, {}, nullptr, nullptr, Beside::nothing));
  CHECK(prior.largest({}, &nothing, nullptr, Beside::nothing) == Source::popularity);
  const FeatureTable unknown = groups.row({{"group", std::string_view("c")}});
  CHECK(sum_of(prior, {}, &unknown, nullptr, Beside::nothing) == sum_of(prior, {}, nullptr, nullptr, Beside::nothing));
}

TEST_CASE("The sum has every part with its weight, and is divided by the model's beside it") {
  const Groups groups;
  const PopularityModel popularity = PopularityModel::fit(groups.histories);
  UserPrior::Schedule schedule{};
  schedule[1] = {.popularity = 0.5f, .first_choices = 0.25f, .profile = 2, .counts = 0, .model = 4};
  const UserPrior prior = groups.prior().with({0.5f, 0}, schedule);
  const ItemHandle item = 2;
  const FeatureTable profile = groups.row({{"group", std::string_view("a")}});
  std::vector<float> expected(kItems), odds(kItems), shares(kItems);
  prior.first_choices(expected, 1);
  prior.add_odds(odds, 0, 1, profile.of(0, 0));
  popularity.CountModel::score_all({}, shares);
  popularity.to_terms(shares);
  const HistoryView history{.items = {&item, 1}};
  const std::vector<float> alone = sum_of(prior, history, &profile, &popularity, Beside::nothing);
  const std::vector<float> beside = sum_of(prior, history, &profile, &popularity, Beside::model);
  for (std::size_t i = 0; i < kItems; ++i) {
    CHECK(alone[i] == Approx(0.25f * expected[i] + 0.5f * shares[i] + 2 * 0.5f * odds[i]));
    CHECK(beside[i] == Approx(alone[i] / 4));
  }
}

TEST_CASE("The part with the largest weight speaks") {
  const Groups groups;
  const PopularityModel counted = PopularityModel::fit(groups.histories);
  UserPrior::Schedule schedule{};
  schedule[0] = {.first_choices = 1, .profile = 0.5f};
  schedule[1] = {.first_choices = 0.5f, .profile = 0.1f, .counts = 0.9f, .model = 1};
  schedule[2] = {.first_choices = 0.9f, .profile = 0.2f, .counts = 0.5f, .model = 1};
  const UserPrior prior = groups.prior().with({1, 1}, schedule);
  const FeatureTable profile = groups.row({{"group", std::string_view("a")}});
  const std::vector<ItemHandle> items{2, 0};
  const HistoryView two{.items = items}, one = two.first(1);
  const auto speaks = [&](HistoryView history, const FeatureTable* of, Beside beside) {
    return prior.largest(history, of, &counted, beside);
  };
  CHECK(speaks({}, &profile, Beside::nothing) == Source::profile);
  CHECK(speaks({}, nullptr, Beside::nothing) == Source::popularity);
  CHECK(speaks(one, nullptr, Beside::model) == Source::model);
  CHECK(speaks(one, nullptr, Beside::nothing) == Source::counts);
  CHECK(speaks(two, &profile, Beside::model) == Source::profile);
  CHECK(speaks(two, nullptr, Beside::model) == Source::model);
}

TEST_CASE("Items can be put in another order") {
  const Groups groups;
  const UserPrior prior = groups.prior();
  const std::vector<ItemHandle> handles{5, 0, 3, 1};
  const UserPrior moved = prior.reordered(handles, 6);
  const FeatureTable profile = groups.row({{"group", std::string_view("b")}, {"height", 0.5}});
  const std::vector<float> before = sum_of(prior, {}, &profile, nullptr, Beside::nothing);
  const std::vector<float> after = sum_of(moved, {}, &profile, nullptr, Beside::nothing);
  REQUIRE(after.size() == 6);
  for (std::size_t i = 0; i < kItems; ++i) CHECK(after[handles[i]] == before[i]);
}

TEST_CASE("A prior is written and read") {
  const Groups groups;
  UserPrior::Schedule schedule{};
  schedule[3] = {.popularity = -1, .first_choices = 2, .profile = 3, .counts = 4, .model = 5};
  const UserPrior prior = groups.prior().with({0.25f, 0.75f}, schedule);
  SafetensorsWriter writer;
  prior.write(writer);
  const UserPrior read = UserPrior::read(SafetensorsFile::parse(writer.bytes(), "profile.safetensors"));
  CHECK(read.schedule() == schedule);
  CHECK(read.importance()[1] == 0.75f);
  CHECK(read.featurizer().name(1) == "height");
  const FeatureTable profile = groups.row({{"group", std::string_view("a")}, {"height", 0.5}});
  CHECK(sum_of(read, {}, &profile, nullptr, Beside::nothing) == sum_of(prior, {}, &profile, nullptr, Beside::nothing));
}

TEST_CASE("What does not hold together is no prior") {
  const Groups groups;
  CHECK_THROWS_WITH(groups.prior(0), Contains("smoothing"));
  CHECK_THROWS_WITH(UserPrior::fit(groups.featurizer, FeatureTable(), groups.histories), Contains("features"));
  CHECK_THROWS_WITH(groups.prior().with({1}, {}), Contains("importance"));
  CHECK_THROWS_WITH(groups.prior().with({1, -1}, {}), Contains("importance"));
  UserPrior::Schedule schedule{};
  schedule[2].model = 0;
  CHECK_THROWS_WITH(groups.prior().with({1, 1}, schedule), Contains("weights"));
}
