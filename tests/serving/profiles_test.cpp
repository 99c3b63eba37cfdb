// SPDX-License-Identifier: Apache-2.0

// What a recommender knows of users besides their events.

#include <atomic>
#include <limits>
#include <thread>

#include "attune/error.hpp"
#include "attune/model/user_prior.hpp"
#include "attune/recommender.hpp"
#include "attune/serving/explanation.hpp"
#include "attune/serving/people.hpp"
#include "attune/serving/policy.hpp"
#include "catch.hpp"
#include "serving/answers.hpp"
#include "serving/small_model.hpp"
#include "temporary_directory.hpp"

using namespace attune;
using Catch::Matchers::Contains;
using test::item_ids;
using test::make_model;
using test::same_items;

namespace {

// A model whose users have a group: of "a" all begin with item 3, of "b" with item 7. `field` names it.
TrainedModel model_with_prior(const test::SmallModel& options = {}, const std::string& field = "group") {
  TrainedModel model = make_model(options);
  Histories learned = *model.histories;
  FeatureRecords records(learned.num_users());
  for (std::size_t user = 0; user < learned.num_users(); ++user) {
    const bool a = user % 2 == 0;
    for (std::size_t event = 0; event < 4; ++event) learned.items[learned.offsets[user] + event] = a ? 3 : 7;
    records.add(user, {field, std::string_view(a ? "a" : "b")});
    records.add(user, {"age", a ? 20.0 + static_cast<double>(user) : 60.0 + static_cast<double>(user)});
  }
  FeatureSpec group, age;
  group.name = field;
  age.name = "age";
  age.kind = FeatureKind::number;
  const Featurizer featurizer = Featurizer::fit({group, age}, records);
  UserPrior::Schedule schedule{};
  schedule[0] = {.first_choices = 1, .profile = 2};
  schedule[1] = {.first_choices = 0.1f, .profile = 0.5f, .model = 0.4f};
  model.user_prior = std::make_shared<const UserPrior>(
      UserPrior::fit(featurizer, featurizer.table(records), learned, 3).with({1, 0}, schedule));
  return model;
}

User in_group(const Id& id, std::string_view group) { return {.id = id, .fields = {{"group", group}}}; }

Answer ask(const Recommender& recommender, const Id& user) { return recommender.recommend({.user = user, .k = 5}); }

}  // namespace

TEST_CASE("A user who is upserted is answered from his profile by the very next call") {
  Recommender recommender = Recommender::open(model_with_prior());
  CHECK(ask(recommender, "new").source == Source::popularity);
  recommender.upsert_user(in_group("new", "a"));
  const Answer of_a = ask(recommender, "new");
  CHECK(of_a.source == Source::profile);
  CHECK(of_a.score_kind == ScoreKind::count);
  CHECK(of_a.items.front().item == Id("i3"));
  recommender.upsert_user(in_group("new", "b"));
  CHECK(ask(recommender, "new").items.front().item == Id("i7"));
  recommender.upsert_user(in_group("new", ""));
  CHECK(ask(recommender, "new").source == Source::popularity);
  CHECK(ask(recommender, "nobody").source == Source::popularity);
}

TEST_CASE("A profile may come with a request, also for nobody") {
  Recommender recommender = Recommender::open(model_with_prior());
  const std::vector<FieldValue> b{{"group", std::string_view("b")}};
  const Answer of_nobody = recommender.recommend_history({}, {.k = 5, .profile = b});
  CHECK(of_nobody.source == Source::profile);
  CHECK(of_nobody.items.front().item == Id("i7"));
  recommender.upsert_user(in_group("u", "a"));
  CHECK(same_items(recommender.recommend({.user = "u", .k = 5, .profile = b}), of_nobody));
  CHECK(recommender.rank("u", {"i3", "i7"}).items.front().item == Id("i3"));
}

TEST_CASE("What a model cannot read in a profile says nothing while serving, and is refused before") {
  Recommender recommender = Recommender::open(model_with_prior());
  const Answer without = recommender.recommend_history({}, {.k = 5});
  const auto answer = [&](const FieldValue& value) {
    return recommender.recommend_history({}, {.k = 5, .profile = std::span(&value, 1)});
  };
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  CHECK(same_items(answer({"age", std::string_view("old")}), without));
  CHECK(same_items(answer({"age", kInfinity}), without));
  CHECK(same_items(answer({"age", std::numeric_limits<double>::quiet_NaN()}), without));
  CHECK(same_items(answer({"shoe", 42}), without));
  CHECK(answer({"group", std::string_view("z")}).source == Source::profile);  // what all unknown names say
  const auto upsert = [&](const FieldValue& value) { recommender.upsert_user({.id = "u", .fields = {value}}); };
  CHECK_THROWS_WITH(upsert({"age", std::string_view("old")}), Contains("age"));
  CHECK_THROWS_WITH(upsert({"age", kInfinity}), Contains("finite"));
  CHECK_THROWS_WITH(upsert({"shoe", 42}), Contains("shoe"));
  CHECK_THROWS_WITH(recommender.upsert_user(in_group("", "a")), Contains("user"));
  CHECK_THROWS_WITH(recommender.upsert_user(in_group(5, "a")), Contains("user"));
  CHECK(same_items(ask(recommender, "u"), ask(recommender, "nobody")));
}

TEST_CASE("Users with many events are answered as without a prior, bit for bit") {
  const double blend = GENERATE(0.0, 0.5);
  TrainedModel model = model_with_prior({.blend_weight = blend});
  Recommender with = Recommender::open(model);
  model.user_prior = nullptr;
  Recommender without = Recommender::open(model);
  for (std::size_t user = 0; user < 8; ++user) {
    const std::string id = test::user_name(user);
    with.upsert_user(in_group(id, "a"));
    CHECK(same_items(ask(with, id), ask(without, id)));
    CHECK(ask(with, id).score_kind == ask(without, id).score_kind);
  }
}

TEST_CASE("With few events model and profile speak together, and then the model alone") {
  Recommender recommender = Recommender::open(model_with_prior());
  recommender.upsert_user(in_group("new", "b"));
  recommender.observe({.user = "new", .item = "i9", .timestamp = 1'000});
  const Answer one = ask(recommender, "new");
  CHECK(one.source == Source::profile);
  CHECK(one.score_kind == ScoreKind::blend);
  CHECK_FALSE(same_items(one, recommender.recommend_history({"i9"}, {.k = 5})));
  for (int i = 0; i < 5; ++i) recommender.observe({.user = "new", .item = "i9", .timestamp = 2'000 + i});
  CHECK(ask(recommender, "new").source == Source::model);
  CHECK(ask(recommender, "new").score_kind == ScoreKind::cosine);
}

TEST_CASE("Scores of candidates, explanations and batches are those of the answer") {
  Recommender recommender = Recommender::open(model_with_prior({.users = 12}));
  recommender.upsert_user(in_group("new", "b"));
  recommender.observe({.user = "new", .item = "i9", .timestamp = 1'000});
  const Answer answer = ask(recommender, "new");
  const Answer ranked = recommender.rank("new", {answer.items[1].item, answer.items[0].item});
  REQUIRE(ranked.items.size() == 2);
  CHECK(ranked.items[0].item == answer.items[0].item);
  CHECK(ranked.items[0].score == answer.items[0].score);
  CHECK(ranked.score_kind == ScoreKind::blend);
  CHECK(recommender.explain("new", answer.items[0].item).score == answer.items[0].score);
  const std::vector<Request> requests{{.user = "new", .k = 5}, {.user = "u1", .k = 5}, {.user = "nobody", .k = 5}};
  const std::vector<Answer> answers = recommender.recommend_batch(requests);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    CHECK(same_items(answers[i], recommender.recommend(requests[i])));
    CHECK(answers[i].source == recommender.recommend(requests[i]).source);
  }
  const std::vector<Id> group{"new", "u1"};
  CHECK(recommender.recommend_group(group, {.k = 5}, {}).source == Source::model);
}

TEST_CASE("Policies hold for answers from a profile") {
  Recommender recommender = Recommender::open(model_with_prior());
  recommender.upsert_user(in_group("new", "a"));
  const std::vector<Id> denied{"i3"};
  const Answer answer = recommender.recommend({.user = "new", .k = 50, .deny = denied});
  CHECK(answer.source == Source::profile);
  CHECK(std::ranges::count(item_ids(answer), "i3") == 0);
  CHECK(answer.items.size() == 49);
  CHECK(answer.shortfall.filtered == 1);
  recommender.remove_item("i7");
  CHECK(recommender.recommend({.user = "new", .k = 50}).items.size() == 49);
}

TEST_CASE("A model directory keeps what is expected of new users, and damage to it is found") {
  const test::TemporaryDirectory directory;
  const std::string path = (directory / "model").string();
  const TrainedModel model = model_with_prior();
  model.save(path);
  const std::vector<FieldValue> b{{"group", std::string_view("b")}};
  const Answer expected = Recommender::open(model).recommend_history({}, {.k = 5, .profile = b});
  for (const ModelAccess access : {ModelAccess::mapped, ModelAccess::in_memory}) {
    RecommenderOptions options;
    options.model_access = access;
    const Answer answer = Recommender::open(path, options).recommend_history({}, {.k = 5, .profile = b});
    CHECK(answer.source == Source::profile);
    CHECK(same_items(answer, expected));
  }
  const std::filesystem::path file = directory / "model" / "profile.safetensors";
  std::filesystem::resize_file(file, std::filesystem::file_size(file) - 1);
  CHECK_THROWS_WITH(TrainedModel::load(path), Contains("profile.safetensors"));
  std::filesystem::remove(file);
  CHECK_THROWS_WITH(TrainedModel::load(path), Contains("profile.safetensors"));
}

TEST_CASE("Profiles are kept over reloads, and each model reads what it knows of them") {
  Recommender recommender = Recommender::open(model_with_prior());
  recommender.upsert_user(in_group("new", "a"));
  recommender.reload(model_with_prior({.version = "other"}, "tribe"));
  CHECK(ask(recommender, "new").source == Source::popularity);
  CHECK_THROWS_WITH(recommender.upsert_user(in_group("new", "a")), Contains("group"));
  recommender.upsert_user({.id = "new", .fields = {{"tribe", std::string_view("b")}}});
  CHECK(ask(recommender, "new").items.front().item == Id("i7"));
  recommender.reload(make_model());
  CHECK(ask(recommender, "new").source == Source::popularity);
  recommender.reload(model_with_prior());
  CHECK(ask(recommender, "new").items.front().item == Id("i3"));
}

TEST_CASE("A reload to a model with its items in another order keeps what profiles say") {
  Recommender recommender = Recommender::open(make_model({.items = 20, .first_item = 40}));
  recommender.upsert_user(in_group("new", "a"));
  recommender.reload(model_with_prior());
  CHECK(ask(recommender, "new").source == Source::profile);
  CHECK(ask(recommender, "new").items.front().item == Id("i3"));
}

TEST_CASE("Profiles are exported, merged and forgotten with their users") {
  Recommender recommender = Recommender::open(model_with_prior());
  recommender.upsert_user({.id = "guest", .fields = {{"group", std::string_view("b")}, {"age", 30}}});
  CHECK_THAT(recommender.export_user("guest"), Contains(R"({"user":"guest","profile":[["group","b"],["age",30.0]]})"));
  recommender.upsert_user(in_group("new", "a"));
  recommender.merge_users("guest", "new");
  CHECK_THAT(recommender.export_user("new"), Contains(R"([["group","a"],["age",30.0]])"));
  CHECK(recommender.export_user("guest").empty());
  CHECK(ask(recommender, "guest").source == Source::popularity);
  recommender.forget_user("new");
  CHECK(recommender.export_user("new").empty());
  CHECK(ask(recommender, "new").source == Source::popularity);
}

TEST_CASE("Profiles take no more memory than they may") {
  RecommenderOptions options;
  options.profile_budget_bytes = 1000;
  Recommender recommender = Recommender::open(model_with_prior(), options);
  std::size_t taken = 0;
  try {
    for (; taken < 100; ++taken) recommender.upsert_user(in_group(test::user_name(100 + taken), "a"));
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::limit_exceeded);
  }
  CHECK(taken > 0);
  CHECK(taken < 20);
  CHECK(ask(recommender, "u100").source == Source::profile);
  recommender.forget_user("u100");
  recommender.upsert_user(in_group("later", "a"));
  CHECK(ask(recommender, "later").source == Source::profile);
}

TEST_CASE("Users without events are alike by their profiles") {
  Recommender recommender = Recommender::open(model_with_prior());
  for (const auto& [id, group] : {std::pair{"a1", "a"}, {"a2", "a"}, {"b1", "b"}}) {
    recommender.upsert_user(in_group(id, group));
  }
  const SimilarUsers alike = recommender.similar_users("a1", 10);
  CHECK(alike.source == Source::profile);
  REQUIRE(alike.users.size() == 1);
  CHECK(alike.users.front().user == Id("a2"));
  CHECK(alike.users.front().score == Approx(1));
  CHECK(recommender.similar_users("u1", 3).source == Source::model);
}

TEST_CASE("Profiles come and go while requests run and models change") {
  Recommender recommender = Recommender::open(model_with_prior());
  const TrainedModel other = model_with_prior({.version = "other"});
  std::atomic<bool> stop = false;
  std::vector<std::thread> threads;
  for (int t = 0; t < 3; ++t) {
    threads.emplace_back([&, t] {
      const std::string user = test::user_name(static_cast<std::size_t>(200 + t));
      for (int i = 0; !stop; ++i) {
        recommender.upsert_user(in_group(user, i % 2 == 0 ? "a" : "b"));
        recommender.recommend({.user = user, .k = 3});
        recommender.recommend({.user = "u200", .k = 3});
        if (i % 7 == 0) recommender.forget_user(user);
      }
    });
  }
  for (int i = 0; i < 20; ++i) recommender.reload(other);
  stop = true;
  for (std::thread& thread : threads) thread.join();
  recommender.upsert_user(in_group("u200", "a"));
  CHECK(ask(recommender, "u200").source == Source::profile);
}

TEST_CASE("What to ask first tells most of the rest, and the request is obeyed") {
  TrainedModel model = make_model({.items = 6, .users = 0, .events = 0});
  // Items 0, 1 and 2 go together, 3 stands alone, nobody chose 4, everybody 5.
  Histories histories = *model.histories;
  auto users = std::make_shared<IdMap>();
  for (std::size_t user = 0; user < 40; ++user) {
    users->insert(test::user_name(user));
    const auto add = [&](ItemHandle item) {
      histories.items.push_back(item);
      histories.times.push_back(1);
      histories.kinds.push_back(0);
      histories.values.push_back(1);
    };
    if (user % 2 == 0) {
      for (const ItemHandle item : {0u, 1u, 2u}) add(item);
    }
    if (user / 2 % 2 == 0) add(3);
    add(5);
    histories.offsets.push_back(histories.items.size());
  }
  histories.user_ids = users;
  model.histories = std::make_shared<const Histories>(histories);
  Recommender recommender = Recommender::open(model);
  const Answer asked = recommender.onboarding_items({.k = 2});
  CHECK(item_ids(asked) == std::vector<std::string>{"i0", "i3"});
  CHECK(asked.items[0].score == Approx(3 * std::log(2.0)));
  CHECK(asked.items[1].score == Approx(std::log(2.0)));
  CHECK(asked.source == Source::counts);
  const std::vector<Id> denied{"i0"};
  CHECK(item_ids(recommender.onboarding_items({.k = 1, .deny = denied})) == std::vector<std::string>{"i1"});
  recommender.remove_item("i1");
  CHECK(recommender.onboarding_items({.k = 10}).items.size() == 5);
  CHECK(same_items(recommender.onboarding_items({.k = 4}), recommender.onboarding_items({.k = 4})));
}
