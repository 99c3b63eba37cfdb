// SPDX-License-Identifier: Apache-2.0
#include "attune/serving/people.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <new>
#include <set>
#include <string>
#include <thread>

#include "attune/error.hpp"
#include "attune/executor.hpp"
#include "attune/serving/explanation.hpp"
#include "attune/serving/policy.hpp"
#include "catch.hpp"
#include "serving/answers.hpp"
#include "serving/small_model.hpp"
#include "temporary_directory.hpp"

using namespace attune;
using test::make_model;
using test::user_name;

namespace {

std::vector<float> vector_of(const TrainedModel& model, HistoryView history) {
  std::vector<float> vector(model.encoder->dim());
  Workspace workspace;
  model.encoder->encode(vector, history, {.now = history.times.back()}, workspace);
  return vector;
}

double cosine(const std::vector<float>& a, const std::vector<float>& b) {
  double product = 0, of_a = 0, of_b = 0;
  for (std::size_t d = 0; d < a.size(); ++d) {
    product += static_cast<double>(a[d]) * static_cast<double>(b[d]);
    of_a += static_cast<double>(a[d]) * static_cast<double>(a[d]);
    of_b += static_cast<double>(b[d]) * static_cast<double>(b[d]);
  }
  return product / std::sqrt(of_a * of_b);
}

std::set<ItemHandle> items_of(const TrainedModel& model, std::size_t user) {
  const HistoryView history = model.histories->of(user);
  return {history.items.begin(), history.items.end()};
}

float score_with(const SimilarUsers& answer, const Id& user) {
  const auto found = std::ranges::find(answer.users, user, &SimilarUser::user);
  return found == answer.users.end() ? std::numeric_limits<float>::quiet_NaN() : found->score;
}

// Mean, or least, of the members' scores of every item that none of them has seen, best first.
std::vector<std::pair<float, std::string>> brute_force(const Recommender& recommender,
                                                       const std::vector<std::string>& members, GroupStrategy strategy,
                                                       Timestamp now, std::size_t items) {
  std::vector<std::pair<float, std::string>> all;
  std::vector<Answer> answers;
  for (const std::string& member : members) {
    answers.push_back(recommender.recommend({.user = member, .k = items, .now = now, .exclude_seen = true}));
  }
  for (const Recommendation& one : answers[0].items) {
    float sum = 0, least = std::numeric_limits<float>::infinity();
    bool unseen = true;
    for (const Answer& answer : answers) {
      const auto found = std::ranges::find(answer.items, one.item, &Recommendation::item);
      if (found == answer.items.end()) {
        unseen = false;
        break;
      }
      sum += found->score;
      least = std::min(least, found->score);
    }
    const float score = strategy == GroupStrategy::average ? sum / static_cast<float>(members.size()) : least;
    if (unseen) all.emplace_back(score, to_string(one.item));
  }
  std::ranges::sort(all, std::greater());
  return all;
}

std::string name_of(std::string letter, std::size_t i) { return letter.append(std::to_string(i)); }

// Runs out of memory in one of its runs, the first of which is 0.
class FailingExecutor final : public Executor {
 public:
  explicit FailingExecutor(std::size_t failing) : failing_(failing) {}
  std::size_t concurrency() const noexcept override { return 1; }
  void run(std::size_t tasks, TaskRef body) override {
    if (runs_++ == failing_) throw std::bad_alloc();
    for (std::size_t task = 0; task < tasks; ++task) body(task, 0);
  }

 private:
  std::size_t failing_, runs_ = 0;
};

constexpr std::size_t kMost = std::numeric_limits<std::size_t>::max();

}  // namespace

TEST_CASE("Users are alike by the cosine of their vectors", "[serving][people]") {
  const auto kind = GENERATE(ScoreKind::cosine, ScoreKind::dot);
  const bool timed = GENERATE(false, true);
  const TrainedModel model = make_model({.users = 40, .events = 27, .score = kind, .timed = timed});
  ThreadPool threads(2);
  const Recommender recommender = Recommender::open(model);
  for (std::size_t u = 0; u < 40; u += 7) {
    const SimilarUsers answer = recommender.similar_users(user_name(u), 100);
    CHECK(answer.source == Source::model);
    REQUIRE(answer.users.size() == 39);
    const auto own = vector_of(model, model.histories->of(u));
    std::set<std::string> names;
    for (std::size_t i = 0; i < answer.users.size(); ++i) {
      const std::string name = to_string(answer.users[i].user);
      names.insert(name);
      const auto other = vector_of(model, model.histories->of(model.histories->user_ids->find(name)));
      REQUIRE(std::abs(static_cast<double>(answer.users[i].score) - cosine(own, other)) < 1e-5);
      if (i > 0) REQUIRE(answer.users[i].score <= answer.users[i - 1].score);
    }
    CHECK(names.size() == 39);
    CHECK(!names.contains(user_name(u)));
    const SimilarUsers three = recommender.similar_users(user_name(u), 3);
    REQUIRE(three.users.size() == 3);
    for (std::size_t i = 0; i < 3; ++i) CHECK(three.users[i].user == answer.users[i].user);
  }
}

TEST_CASE("An executor makes the same vectors", "[serving][people]") {
  const TrainedModel model = make_model({.users = 700});
  const Recommender alone = Recommender::open(model);
  const Recommender threaded = Recommender::open(model, {.executor = std::make_shared<ThreadPool>(3)});
  const SimilarUsers a = alone.similar_users("u5", 700), b = threaded.similar_users("u5", 700);
  REQUIRE(a.users.size() == 699);
  CHECK(std::ranges::equal(a.users, b.users, [](const SimilarUser& x, const SimilarUser& y) {
    return x.user == y.user && x.score == y.score;
  }));
}

TEST_CASE("What a user does changes who is like him", "[serving][people]") {
  const TrainedModel model = make_model({.users = 20});
  Recommender recommender = Recommender::open(model);
  const float before = score_with(recommender.similar_users("u3", 50), "u4");
  CHECK(before < 0.99f);
  // u4 does from now on what u3 did.
  const HistoryView history = model.histories->of(3);
  for (std::size_t i = 0; i < history.size(); ++i) {
    recommender.observe(
        {.user = "u4", .item = model.item_ids->id(history.items[i]), .timestamp = 20'000'000 + history.times[i]});
  }
  for (std::size_t i = 0; i < history.size(); ++i) {
    recommender.observe({.user = "new", .item = model.item_ids->id(history.items[i]), .timestamp = history.times[i]});
  }
  const SimilarUsers after = recommender.similar_users("u3", 50);
  CHECK(score_with(after, "u4") != before);
  CHECK(after.users[0].user == Id("new"));
  CHECK(after.users[0].score == Approx(1.0f).margin(1e-5));
  CHECK(recommender.similar_users("new", 1).users[0].user == Id("u3"));
}

TEST_CASE("A forgotten user is like nobody any more", "[serving][people]") {
  Recommender recommender = Recommender::open(make_model({.users = 20}));
  CHECK(recommender.similar_users("u3", 50).users.size() == 19);
  for (const std::string gone : {"u7", "u19", "u0"}) {
    recommender.forget_user(gone);
    CHECK(std::isnan(score_with(recommender.similar_users("u3", 50), gone)));
    CHECK(recommender.similar_users(gone, 5).users.empty());
  }
  const SimilarUsers left = recommender.similar_users("u3", 50);
  CHECK(left.users.size() == 16);
  // The rows that are left are still those of their users.
  const Recommender fresh = Recommender::open(make_model({.users = 20}));
  const SimilarUsers all = fresh.similar_users("u3", 50);
  for (const SimilarUser& other : left.users) CHECK(other.score == Approx(score_with(all, other.user)).margin(1e-5));

  recommender.observe({.user = "u7", .item = "i1", .timestamp = 1});
  CHECK(recommender.similar_users("u3", 50).users.size() == 17);
  recommender.merge_users("u7", "u8");
  CHECK(recommender.similar_users("u3", 50).users.size() == 16);
  CHECK(score_with(recommender.similar_users("u3", 50), "u8") != score_with(all, "u8"));
}

TEST_CASE("Users who were let go are in no list of users", "[serving][people]") {
  Recommender recommender = Recommender::open(make_model({.users = 4}), {.history_ttl = 1000});
  for (std::size_t u = 0; u < 200; ++u) {
    recommender.observe({.user = name_of("v", u), .item = "i1", .timestamp = 50'000'000});
  }
  CHECK(recommender.similar_users("u1", 1000).users.size() == 203);
  for (std::size_t u = 0; u < 200; ++u) {
    recommender.observe({.user = name_of("w", u), .item = "i2", .timestamp = 60'000'000});
  }
  const std::size_t users = recommender.info().users;
  CHECK(users < 404);
  CHECK(recommender.similar_users("u1", 1000).users.size() == users - 1);
}

TEST_CASE("A user who does something while everybody is encoded is encoded once more", "[serving][people]") {
  const TrainedModel model = make_model({.users = 700});
  Recommender recommender = Recommender::open(model, {.executor = std::make_shared<FailingExecutor>(1)});
  CHECK_THROWS_AS(recommender.similar_users("u600", 700), std::bad_alloc);  // with the first users encoded
  recommender.observe({.user = "u4", .item = "i1", .timestamp = 90'000'000});
  const SimilarUsers answer = recommender.similar_users("u600", 700);
  REQUIRE(answer.users.size() == 699);

  Recommender fresh = Recommender::open(model);
  const float before = score_with(fresh.similar_users("u600", 700), "u4");
  fresh.observe({.user = "u4", .item = "i1", .timestamp = 90'000'000});
  const float after = score_with(fresh.similar_users("u600", 700), "u4");
  CHECK(before != after);
  CHECK(score_with(answer, "u4") == after);
}

TEST_CASE("Users forgotten while everybody is encoded are encoded no more", "[serving][people]") {
  Recommender recommender =
      Recommender::open(make_model({.users = 700}), {.executor = std::make_shared<FailingExecutor>(1)});
  CHECK_THROWS_AS(recommender.similar_users("u600", 700), std::bad_alloc);
  for (const std::string gone : {"u4", "u500", "u699"}) recommender.forget_user(gone);
  const SimilarUsers answer = recommender.similar_users("u600", 700);
  CHECK(answer.users.size() == 696);
  for (const std::string gone : {"u4", "u500", "u699"}) CHECK(std::isnan(score_with(answer, gone)));
}

TEST_CASE("Users who were let go make room together", "[serving][people]") {
  constexpr std::size_t kOfUser = 16 * sizeof(float) + 100;
  Recommender recommender = Recommender::open(
      make_model({.users = 4}), {.history_ttl = 1000, .user_vector_budget_bytes = (4 + 200 + 10) * kOfUser});
  for (std::size_t u = 0; u < 100; ++u) {
    recommender.observe({.user = name_of("v", u), .item = "i1", .timestamp = 50'000'000});
    recommender.observe({.user = name_of("x", u), .item = "i2", .timestamp = 50'000'000});
  }
  CHECK(recommender.similar_users("u1", kMost).users.size() == 203);
  for (std::size_t u = 0; u < 10; ++u) {
    recommender.observe({.user = name_of("p", u), .item = "i1", .timestamp = 60'000'000});
  }
  for (std::size_t u = 0; u < 400; ++u) {  // without vectors
    recommender.observe({.user = name_of("w", u), .item = "unheard of", .timestamp = 60'000'000});
  }
  const std::size_t users = recommender.info().users;
  REQUIRE(users < 4 + 10 + 400 + 30);
  // Of those who were like him some are gone, and with them go all others.
  const SimilarUsers nearest = recommender.similar_users("p0", 3);
  CHECK(nearest.source == Source::model);
  CHECK(nearest.users.size() == 3);
  for (std::size_t u = 0; u < 150; ++u) {
    recommender.observe({.user = name_of("n", u), .item = "i3", .timestamp = 60'000'000});
  }
  for (std::size_t u = 0; u < 150; ++u) CHECK(recommender.similar_users(name_of("n", u), 1).source == Source::model);
}

TEST_CASE("A vector that a user has no longer does not come back when others go", "[serving][people]") {
  Recommender recommender = Recommender::open(make_model({.users = 4}), {.history_ttl = 1000});
  CHECK(recommender.similar_users("u0", kMost).users.size() == 3);  // whose rows are before that of z
  recommender.observe({.user = "z", .item = "i1", .timestamp = 50'000'000});
  CHECK(recommender.similar_users("z", 1).source == Source::model);
  for (std::size_t u = 0; u < 400; ++u) {  // for whom z is let go
    recommender.observe({.user = name_of("w", u), .item = "unheard of", .timestamp = 60'000'000});
  }
  recommender.observe({.user = "z", .item = "unheard of", .timestamp = 60'000'000});
  CHECK(recommender.similar_users("z", 1).source == Source::counts);
  CHECK(recommender.similar_users("u0", kMost).users.size() == 3);
  recommender.forget_user("u1");
  CHECK(recommender.similar_users("z", 1).source == Source::counts);
  CHECK(recommender.similar_users("u0", kMost).users.size() == 2);
}

TEST_CASE("Who asks for more than there is gets all", "[serving][people]") {
  const Recommender recommender = Recommender::open(make_model({.users = 20, .encoder = GENERATE(true, false)}));
  const auto same = [](const SimilarUsers& a, const SimilarUsers& b) {
    return std::ranges::equal(a.users, b.users, [](const SimilarUser& x, const SimilarUser& y) {
      return x.user == y.user && x.score == y.score;
    });
  };
  CHECK(same(recommender.similar_users("u3", kMost), recommender.similar_users("u3", 19)));
  CHECK(same(recommender.similar_users("nobody", kMost), recommender.similar_users("nobody", 19)));
  const std::vector<Id> users{"u1", "u2"};
  const Answer all = recommender.recommend_group(users, {.k = kMost}, {.most_candidates = kMost});
  CHECK(test::same_items(all, recommender.recommend_group(users, {.k = 50}, {})));
}

TEST_CASE("Another model has other vectors", "[serving][people]") {
  Recommender recommender = Recommender::open(make_model({.users = 10}));
  const float before = score_with(recommender.similar_users("u1", 20), "u2");
  const TrainedModel next = make_model({.seed = 2, .users = 10, .dim = 24});
  recommender.reload(next);
  const SimilarUsers after = recommender.similar_users("u1", 20);
  CHECK(after.users.size() == 9);
  CHECK(score_with(after, "u2") != before);
}

TEST_CASE("Users without a vector are alike by the items they share", "[serving][people]") {
  const TrainedModel model = make_model({.users = 20, .encoder = false});
  const Recommender recommender = Recommender::open(model);
  const SimilarUsers answer = recommender.similar_users("u3", 50);
  CHECK(answer.source == Source::counts);
  const std::set<ItemHandle> own = items_of(model, 3);
  std::size_t sharing = 0;
  for (std::size_t u = 0; u < 20; ++u) {
    if (u == 3) continue;
    const std::set<ItemHandle> others = items_of(model, u);
    std::vector<ItemHandle> common;
    std::ranges::set_intersection(own, others, std::back_inserter(common));
    const float score = score_with(answer, user_name(u));
    if (common.empty()) {
      CHECK(std::isnan(score));
      continue;
    }
    ++sharing;
    const auto sizes = static_cast<double>(own.size() * others.size());
    CHECK(static_cast<double>(score) == Approx(static_cast<double>(common.size()) / std::sqrt(sizes)));
  }
  CHECK(answer.users.size() == sharing);
  CHECK(std::ranges::is_sorted(answer.users, std::greater(), &SimilarUser::score));
  CHECK(recommender.similar_users("u3", 2).users.size() == 2);
  CHECK(recommender.similar_users("nobody", 5).users.empty());
  CHECK(recommender.similar_users(Id(), 5).users.empty());
  CHECK(recommender.similar_users(Id(3), 5).users.empty());

  // One whose events the encoder does not know, in a recommender with one.
  Recommender encoded = Recommender::open(make_model({.users = 20}));
  encoded.observe({.user = "a", .item = "unheard of", .timestamp = 1});
  encoded.observe({.user = "b", .item = "unheard of", .timestamp = 1});
  const SimilarUsers cold = encoded.similar_users("a", 5);
  CHECK(cold.source == Source::counts);
  REQUIRE(cold.users.size() == 1);
  CHECK(cold.users[0].user == Id("b"));
  CHECK(cold.users[0].score == 1.0f);
}

TEST_CASE("Vectors take no more than their budget", "[serving][people]") {
  const TrainedModel model = make_model({.users = 50});
  const std::size_t of_user = 16 * sizeof(float) + 100;
  const Recommender recommender = Recommender::open(model, {.user_vector_budget_bytes = 10 * of_user});
  CHECK(recommender.similar_users("u0", 100).users.size() == 9);
  CHECK(recommender.similar_users("u0", 100).source == Source::model);
  CHECK(recommender.similar_users("u49", 100).source == Source::counts);
  const Recommender none = Recommender::open(model, {.user_vector_budget_bytes = 0});
  CHECK(none.similar_users("u0", 100).source == Source::counts);
}

TEST_CASE("Friends and common friends add to likeness", "[serving][people]") {
  const TrainedModel model = make_model({.users = 20, .encoder = GENERATE(true, false)});
  const Recommender recommender = Recommender::open(model);
  Friendships friendships;
  friendships.add("u1", "u2");
  friendships.add("u2", "u3");  // whom u1 and u3 have in common
  friendships.add("u1", "stranger");
  const SimilarUsers plain = recommender.similar_users("u1", 50);
  const auto likeness = [&](const Id& user) {
    const float score = score_with(plain, user);
    return std::isnan(score) ? 0.0f : score;
  };
  const SimilarUsers social = recommender.similar_users("u1", {.k = 50, .friendships = &friendships});
  CHECK(social.source == plain.source);
  CHECK(score_with(social, "u2") == Approx(likeness("u2") + 0.5f * 0.5f).margin(1e-5));
  CHECK(score_with(social, "u3") == Approx(likeness("u3") + 0.5f * 0.5f / std::sqrt(2.0f)).margin(1e-5));
  CHECK(std::isnan(score_with(social, "stranger")));
  for (const std::string other : {"u4", "u5", "u6"}) {
    CHECK(score_with(social, other) == Approx(score_with(plain, other)).margin(1e-6));
  }
  const SimilarUsers suggested =
      recommender.similar_users("u1", {.k = 50, .friendships = &friendships, .include_friends = false});
  CHECK(std::isnan(score_with(suggested, "u2")));
  CHECK(score_with(suggested, "u3") == score_with(social, "u3"));
}

TEST_CASE("Friendships go both ways, each once", "[serving][people]") {
  Friendships friendships;
  friendships.add("a", "b");
  friendships.add("b", "a");
  friendships.add("a", "a");
  friendships.add("a", "");
  friendships.add("a", 7);
  friendships.add("b", "c");
  CHECK(friendships.size() == 2);
  CHECK(friendships.are_friends("a", "b"));
  CHECK(friendships.are_friends("b", "a"));
  CHECK(!friendships.are_friends("a", "c"));
  CHECK(!friendships.are_friends("a", "nobody"));
  CHECK(friendships.close_to("nobody").empty());
  CHECK(friendships.close_to("a").size() == 2);
  friendships.forget_user("b");
  CHECK(friendships.size() == 0);
  CHECK(friendships.close_to("a").empty());
  friendships.add("a", "c");
  CHECK(friendships.are_friends("c", "a"));
}

TEST_CASE("Friendships are read from a file, whose errors have a line", "[serving][people]") {
  const test::TemporaryDirectory folder;
  const auto write = [&](const std::string& text) {
    test::write_text(folder / "friends.csv", text);
    return (folder / "friends.csv").string();
  };
  const Friendships named = Friendships::read(write("friend,since,user\nb,2001,a\nc,2002,a\n"));
  CHECK(named.size() == 2);
  CHECK(named.are_friends("b", "a"));
  const Friendships numbered = Friendships::read(write("user,friend\n1,2\n"), IdKind::int64);
  CHECK(numbered.are_friends(2, 1));
  const auto refused = [&](const std::string& text, IdKind kind, const std::string& reason) {
    try {
      Friendships::read(write(text), kind);
    } catch (const Error& error) {
      INFO(error.what());
      CHECK(std::string(error.what()).find(reason) != std::string::npos);
      return error.code() == ErrorCode::invalid_data;
    }
    return false;
  };
  CHECK(refused("user,item\na,b\n", IdKind::string, "friend"));
  CHECK(refused("user,friend\na,b\na\n", IdKind::string, ":3: expected an id in friend, found nothing"));
  CHECK(refused("user,friend\n1,b\n", IdKind::int64, ":2: expected a number in friend, found something else"));
  CHECK_THROWS_AS(Friendships::read((folder / "none.csv").string()), Error);
}

TEST_CASE("A group gets the best by the mean or the least of its members' scores", "[serving][people]") {
  const auto options = GENERATE(values<test::SmallModel>({{.items = 1500, .users = 8},
                                                          {.items = 1500, .users = 8, .score = ScoreKind::dot},
                                                          {.items = 1500, .users = 8, .blend_weight = 0.7},
                                                          {.items = 300, .users = 8, .timed = true},
                                                          {.items = 300, .users = 8, .encoder = false}}));
  const auto strategy = GENERATE(GroupStrategy::average, GroupStrategy::least_misery);
  const Recommender recommender = Recommender::open(make_model(options));
  for (const std::vector<std::string>& members :
       {std::vector<std::string>{"u1"}, {"u1", "u2"}, {"u0", "u1", "u2", "u3", "u4", "u5"}}) {
    const std::vector<Id> ids(members.begin(), members.end());
    const Timestamp now = 12'000'000;
    const Answer answer = recommender.recommend_group(ids, {.k = 20, .now = now}, {.strategy = strategy});
    const auto expected = brute_force(recommender, members, strategy, now, options.items);
    REQUIRE(answer.items.size() == 20);
    CHECK(answer.source == (options.encoder ? Source::model : Source::counts));
    for (std::size_t i = 0; i < 20; ++i) {
      REQUIRE(answer.items[i].score == Approx(expected[i].first).margin(1e-5));
      const auto place =
          std::ranges::find(expected, to_string(answer.items[i].item), &std::pair<float, std::string>::second);
      REQUIRE(place != expected.end());  // nobody has seen it
      REQUIRE(place->first == Approx(answer.items[i].score).margin(1e-5));
    }
    const Answer whole = recommender.recommend_group(ids, {.k = 2000, .now = now}, {.strategy = strategy});
    CHECK(whole.items.size() == expected.size());
    CHECK(whole.shortfall.seen == options.items - expected.size());
  }
}

TEST_CASE("Members of whom nothing is known count only among themselves", "[serving][people]") {
  Recommender recommender = Recommender::open(make_model());
  const auto ask = [&](std::vector<Id> users) { return recommender.recommend_group(users, {.k = 10}, {}); };
  CHECK(test::same_items(ask({"u1", "nobody", "u2", "u1"}), ask({"u1", "u2"})));
  CHECK(test::same_items(ask({"u1"}), recommender.recommend({.user = "u1"})));
  const Answer nobody = recommender.recommend({.user = "nobody"});
  CHECK(test::same_items(ask({"nobody", "somebody"}), nobody));
  CHECK(ask({"nobody"}).source == Source::popularity);
  CHECK(test::same_items(ask({}), nobody));
  CHECK(test::same_items(ask({Id(), Id(3)}), nobody));
  // What one saw is left out though the model has nothing to say of him.
  recommender.observe({.user = "cold", .item = "unheard of", .timestamp = 1});
  CHECK(test::same_items(ask({"cold", "u2"}), ask({"u2"})));
}

TEST_CASE("A group's request is obeyed as a user's", "[serving][people]") {
  Recommender recommender = Recommender::open(
      make_model({.items = 200}), {.item_fields = {{"price", FieldType::number}, {"maker", FieldType::category}},
                                   .event_kinds = {{"dislike", -1}}});
  for (std::size_t i = 0; i < 200; ++i) {
    recommender.upsert_item(
        {.id = test::item_name(i), .fields = {{"price", i % 10}, {"maker", i % 2 == 0 ? "even" : "odd"}}});
  }
  const std::vector<Id> users{"u1", "u2", "u3"};
  const auto ask = [&](const Request& request) { return recommender.recommend_group(users, request, {}); };
  const Answer plain = ask({.k = 200});
  const Policy cheap = recommender.compile({.filter = "price < 3"});
  for (const Recommendation& one : ask({.k = 200, .policy = &cheap}).items) {
    CHECK(std::stoul(to_string(one.item).substr(1)) % 10 < 3);
  }
  const Policy capped = recommender.compile({.caps = {{"maker", 2}}});
  CHECK(ask({.k = 10, .policy = &capped}).items.size() == 4);
  const Policy boosted = recommender.compile({.boosts = {{"maker = \"odd\"", 5.0f}}});
  const Answer odd = ask({.k = 10, .policy = &boosted});
  for (const Recommendation& one : odd.items) CHECK(std::stoul(to_string(one.item).substr(1)) % 2 == 1);
  CHECK(odd.items[0].score > 4.0f);
  const std::vector<Id> denied{plain.items[0].item};
  CHECK(ask({.k = 1, .deny = denied}).items[0].item == plain.items[1].item);
  const std::vector<PinnedItem> pins{{"i150", 1}};
  const Answer pinned = ask({.k = 3, .pinned = pins});
  CHECK(pinned.items[1].item == Id("i150"));
  CHECK(pinned.items[1].pinned);
  CHECK(ask({.k = 5, .diversity = 0.9f}).items.size() == 5);
  CHECK(ask({.k = 200, .min_score = plain.items[4].score}).items.size() == 5);
  CHECK(ask({.k = 0}).items.empty());
  CHECK(ask({.k = 200, .exclude_seen = false}).items.size() == 200);
  // A dislike of one is one of all.
  recommender.observe({.user = "u2", .item = plain.items[0].item, .timestamp = 90'000'000, .event = "dislike"});
  const Answer after = ask({.k = 200, .exclude_seen = false});
  CHECK(std::ranges::find(after.items, plain.items[0].item, &Recommendation::item) == after.items.end());
  recommender.remove_item("i150");
  CHECK(ask({.k = 3, .pinned = pins}).items[1].item != Id("i150"));
  CHECK(std::isnan(plain.items[0].probability));
}

TEST_CASE("Few candidates make a list of the best among them", "[serving][people]") {
  const Recommender recommender = Recommender::open(make_model({.items = 1500}));
  const std::vector<Id> users{"u1", "u2", "u3"};
  const Answer answer =
      recommender.recommend_group(users, {.k = 10}, {.strategy = GroupStrategy::least_misery, .most_candidates = 1});
  CHECK(answer.items.size() == 10);
  CHECK(std::ranges::is_sorted(answer.items, std::greater(), &Recommendation::score));
}

TEST_CASE("People are asked about while users come and go", "[serving][people][threads]") {
  Recommender recommender = Recommender::open(make_model({.users = 60}));
  std::atomic<bool> stop = false;
  std::atomic<std::size_t> wrong = 0;
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      for (std::size_t i = 0; !stop; ++i) {
        const std::string user = user_name((7 * i + t) % 20);
        const SimilarUsers answer = recommender.similar_users(user, 100);
        for (const SimilarUser& one : answer.users) wrong += one.user == Id(user) || !std::isfinite(one.score);
        const std::string other = user_name(i % 30);
        const std::vector<Id> both{user, other};
        wrong += recommender.recommend_group(both, {.k = 3}, {}).items.size() != 3;
        wrong += recommender.explain(user, "i7", {.events = 2}).contributions.empty();
      }
    });
  }
  for (std::size_t i = 0; i < 40; ++i) {
    const std::string user = user_name(20 + i % 40);
    recommender.observe({.user = user, .item = test::item_name(i), .timestamp = 30'000'000});
    recommender.forget_user(user);
    const SimilarUsers answer = recommender.similar_users("u1", 100);
    wrong += std::ranges::find(answer.users, Id(user), &SimilarUser::user) != answer.users.end();
    if (i % 10 == 9) recommender.reload(make_model({.seed = i, .users = 20}));
  }
  stop = true;
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
}
