// SPDX-License-Identifier: Apache-2.0
#include "attune/model/ranker.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cmath>
#include <functional>
#include <limits>
#include <optional>
#include <stdexcept>
#include <thread>

#include "attune/recommender.hpp"
#include "catch.hpp"
#include "serving/answers.hpp"
#include "serving/small_model.hpp"

using namespace attune;
using test::item_ids;
using test::make_model;
using test::same_items;

namespace {

// Turns the engine's order around.
void reverse(const RankingQuery&, std::span<const Candidate> candidates, std::span<float> scores) {
  for (std::size_t i = 0; i < candidates.size(); ++i) scores[i] = static_cast<float>(candidates[i].rank);
}

// Two candidates a call.
class InPairs final : public Ranker {
 public:
  using Score = std::function<void(std::size_t call, std::span<const Candidate>, std::span<float>)>;
  explicit InPairs(Score score) : score_(std::move(score)) {}
  void rank(const RankingQuery&, std::span<const Candidate> candidates, std::span<float> scores,
            Workspace&) const override {
    score_(calls++, candidates, scores);
  }
  std::size_t group_size() const noexcept override { return 2; }
  mutable std::atomic<std::size_t> calls = 0;

 private:
  Score score_;
};

void give_rank(std::size_t, std::span<const Candidate> candidates, std::span<float> scores) {
  reverse({}, candidates, scores);
}

Recommender with(const TrainedModel& model, std::shared_ptr<const Ranker> ranker,
                 std::optional<std::size_t> candidates = std::nullopt, std::chrono::nanoseconds deadline = {}) {
  return Recommender::open(
      model, {.ranker = std::move(ranker), .ranker_candidates = candidates, .ranker_deadline = deadline.count()});
}

LearnedRanker by_popularity(std::size_t candidates) {
  LearnedRanker ranker{candidates, std::vector<float>(LearnedRanker::kNumFeatures, 0.0f)};
  ranker.weights[2] = 1;
  return ranker;
}

bool same_shortfall(const Answer& a, const Answer& b) {
  return a.shortfall.seen == b.shortfall.seen && a.shortfall.filtered == b.shortfall.filtered &&
         a.shortfall.unavailable == b.shortfall.unavailable;
}

}  // namespace

TEST_CASE("A host's function reorders the engine's best before they are cut to k", "[serving][ranker]") {
  const TrainedModel model = make_model({.users = 4});
  const Recommender plain = Recommender::open(model), reversed = with(model, make_ranker(reverse), 20);
  for (std::size_t u = 0; u < 5; ++u) {  // the last one is a stranger
    const std::string user = test::user_name(u);
    const Request request{.user = user, .k = 50};
    Answer expected = plain.recommend(request);
    CHECK(expected.reranked == 0);
    const Answer all = reversed.recommend(request);
    std::reverse(expected.items.begin(), expected.items.begin() + 20);
    CHECK(same_items(all, expected));
    CHECK(all.reranked == 20);
    CHECK(all.source == expected.source);
    CHECK(same_shortfall(all, expected));
    const Answer few = reversed.recommend({.user = user, .k = 3});
    expected.items.resize(3);
    CHECK(same_items(few, expected));
    CHECK(few.reranked == 20);
  }
}

TEST_CASE("A ranker sees who asks, when, what for and what the engine thought", "[serving][ranker]") {
  TrainedModel model = make_model({.blend_weight = 0.5});
  model.calibration = {{-10.0f, 10.0f}, {0.0f, 1.0f}};
  std::size_t asked = 0;
  const auto look = [&](const RankingQuery& query, std::span<const Candidate> candidates, std::span<float> scores) {
    ++asked;
    CHECK(query.context.user == Id("u3"));
    CHECK(query.context.now == model.histories->of(3).times.back());
    CHECK(std::ranges::equal(query.history.items, model.histories->of(3).items));
    CHECK(query.source == Source::model);
    CHECK(query.score_kind == ScoreKind::blend);
    REQUIRE(candidates.size() == 10);
    for (std::size_t i = 0; i < candidates.size(); ++i) {
      CHECK(candidates[i].rank == i);
      CHECK(candidates[i].item == model.item_ids->id(candidates[i].handle));
      CHECK((i == 0 || candidates[i].score <= candidates[i - 1].score));
      scores[i] = candidates[i].rank == 7 ? 1.0f : 0.0f;  // ties stay in the engine's order
    }
  };
  const Recommender recommender = with(model, make_ranker(look), 10);
  const Answer answer = recommender.recommend({.user = "u3", .k = 10});
  Answer expected = Recommender::open(model).recommend({.user = "u3", .k = 10});
  std::rotate(expected.items.begin(), expected.items.begin() + 7, expected.items.begin() + 8);
  CHECK(same_items(answer, expected));
  CHECK(answer.items[0].probability == expected.items[0].probability);
  CHECK(!std::isnan(answer.items[0].probability));
  CHECK(asked == 1);
}

TEST_CASE("A request's own time reaches the ranker, and a bare history has no user", "[serving][ranker]") {
  std::vector<Timestamp> times;
  std::vector<bool> bare;
  const auto look = [&](const RankingQuery& query, std::span<const Candidate>, std::span<float> scores) {
    times.push_back(query.context.now);
    bare.push_back(query.context.user.empty());
    std::ranges::fill(scores, 0.0f);
  };
  const Recommender recommender = with(make_model(), make_ranker(look));
  recommender.recommend({.user = "u1", .now = 77});
  recommender.recommend({.user = "nobody"});
  recommender.recommend_history({"i1"});
  CHECK(times == std::vector<Timestamp>{77, kNoTime, kNoTime});
  CHECK(bare == std::vector<bool>{false, false, true});
}

TEST_CASE("What a ranker did not reach in time follows in the engine's order, and the miss is counted",
          "[serving][ranker]") {
  const TrainedModel model = make_model();
  const Answer engine = Recommender::open(model).recommend({.user = "u1", .k = 30});
  constexpr std::chrono::milliseconds kDeadline(50);
  std::chrono::steady_clock::time_point asked;
  const auto slow = std::make_shared<const InPairs>([&](std::size_t call, auto candidates, auto scores) {
    if (call == 0) asked = std::chrono::steady_clock::now();
    while (call == 1 && std::chrono::steady_clock::now() - asked <= kDeadline) std::this_thread::yield();
    give_rank(call, candidates, scores);
  });
  const Recommender recommender = with(model, slow, 20, kDeadline);
  const Answer answer = recommender.recommend({.user = "u1", .k = 30});
  CHECK(slow->calls <= 2);  // one where the machine itself was as slow
  CHECK(answer.reranked == 2 * slow->calls);
  Answer expected = engine;
  std::reverse(expected.items.begin(), expected.items.begin() + static_cast<std::ptrdiff_t>(answer.reranked));
  CHECK(same_items(answer, expected));
  CHECK(recommender.info().missed_deadlines == 1);
  CHECK(recommender.info().ranker_failures == 0);

  const Recommender at_once = with(model, std::make_shared<const InPairs>(give_rank), 20, std::chrono::nanoseconds(1));
  CHECK(at_once.recommend({.user = "u1", .k = 30}).reranked == 2);  // the first group is always ranked
  CHECK(at_once.info().missed_deadlines == 1);
}

TEST_CASE("Without a deadline, and with one that is far, a ranker reaches all candidates", "[serving][ranker]") {
  const TrainedModel model = make_model();
  const auto pairs = std::make_shared<const InPairs>(give_rank);
  const Recommender unlimited = with(model, pairs, 21), far = with(model, pairs, 21, std::chrono::hours(1));
  const Answer whole = unlimited.recommend({.user = "u1", .k = 30});
  CHECK(pairs->calls == 1);
  const Answer grouped = far.recommend({.user = "u1", .k = 30});
  CHECK(pairs->calls == 1 + 11);
  CHECK(same_items(whole, grouped));
  CHECK(whole.reranked == 21);
  CHECK(grouped.reranked == 21);
  CHECK(far.info().missed_deadlines == 0);
}

TEST_CASE("A ranker that throws or gives no finite score leaves the engine's answer, and is counted",
          "[serving][ranker]") {
  const TrainedModel model = make_model();
  const Answer engine = Recommender::open(model).recommend({.user = "u1", .k = 30});
  InPairs::Score bad;
  SECTION("an exception") {
    bad = [](std::size_t call, auto candidates, auto scores) {
      if (call == 3) throw std::runtime_error("no more");
      give_rank(call, candidates, scores);
    };
  }
  SECTION("something thrown that is no exception") {
    bad = [](std::size_t, auto, auto) { throw 7; };
  }
  SECTION("NaN") {
    bad = [](std::size_t call, auto candidates, auto scores) {
      give_rank(call, candidates, scores);
      if (call == 3) scores[1] = std::numeric_limits<float>::quiet_NaN();
    };
  }
  SECTION("infinity") {
    bad = [](std::size_t, auto, auto scores) { std::ranges::fill(scores, std::numeric_limits<float>::infinity()); };
  }
  SECTION("scores that are not filled in") {
    bad = [](std::size_t, auto, auto) {};
  }
  const Recommender recommender =
      with(model, std::make_shared<const InPairs>(std::move(bad)), 20, std::chrono::hours(1));
  const Answer answer = recommender.recommend({.user = "u1", .k = 30});
  CHECK(same_items(answer, engine));
  CHECK(answer.reranked == 0);
  CHECK(recommender.info().ranker_failures == 1);
  CHECK(recommender.info().missed_deadlines == 0);
}

TEST_CASE("Seen items never reach a ranker, unless they are wanted", "[serving][ranker]") {
  const TrainedModel model = make_model({.items = 20});
  const HistoryView history = model.histories->of(2);
  const bool exclude = GENERATE(true, false);
  std::size_t seen = 0, shown = 0;
  const auto look = [&](const RankingQuery& query, std::span<const Candidate> candidates, std::span<float> scores) {
    reverse(query, candidates, scores);
    shown += candidates.size();
    for (const Candidate& c : candidates) seen += std::ranges::find(history.items, c.handle) != history.items.end();
  };
  const Answer engine = Recommender::open(model).recommend({.user = "u2", .k = 50, .exclude_seen = exclude});
  const Answer answer = with(model, make_ranker(look)).recommend({.user = "u2", .k = 50, .exclude_seen = exclude});
  CHECK((seen == 0) == exclude);
  CHECK(shown == engine.items.size());  // fewer than ranker_candidates and k
  CHECK(answer.items.size() == engine.items.size());
  CHECK(answer.reranked == engine.items.size());
  CHECK(same_shortfall(answer, engine));
}

TEST_CASE("A ranker is not asked where there is nothing to order, nor for rank and similar items",
          "[serving][ranker]") {
  const TrainedModel model = make_model();
  const auto pairs = std::make_shared<const InPairs>(give_rank);
  const Recommender plain = Recommender::open(model), none = with(model, pairs, 0), some = with(model, pairs);
  CHECK(same_items(none.recommend({.user = "u1"}), plain.recommend({.user = "u1"})));
  CHECK(same_items(some.rank("u1", {"i1", "i2", "i3"}), plain.rank("u1", {"i1", "i2", "i3"})));
  CHECK(same_items(some.similar_items("i1", 5), plain.similar_items("i1", 5)));
  CHECK(pairs->calls == 0);
}

TEST_CASE("A batch, bare histories and single requests are ranked alike", "[serving][ranker]") {
  const TrainedModel model = make_model();
  const Recommender recommender = with(model, make_ranker(reverse), 15);
  std::vector<std::string> users;
  for (std::size_t u = 0; u < 8; ++u) users.push_back(test::user_name(u));
  std::vector<Request> requests;
  for (const std::string& user : users) requests.push_back({.user = user, .k = 12});
  const std::vector<Answer> answers = recommender.recommend_batch(requests);
  for (std::size_t u = 0; u < users.size(); ++u) {
    CHECK(answers[u].reranked == 15);
    CHECK(same_items(answers[u], recommender.recommend(requests[u])));
    const HistoryView history = model.histories->of(static_cast<UserHandle>(u));
    std::vector<Id> items;
    for (const ItemHandle item : history.items) items.push_back(model.item_ids->id(item));
    CHECK(same_items(answers[u], recommender.recommend_history(items, {.k = 12}, history.times)));
  }
}

TEST_CASE("A host's ranker stays when the model is replaced, and items keep their handles", "[serving][ranker]") {
  const TrainedModel a = make_model({.items = 30}), b = make_model({.seed = 2, .items = 30, .first_item = 20});
  std::vector<std::pair<ItemHandle, std::string>> shown;
  const auto look = [&](const RankingQuery& query, std::span<const Candidate> candidates, std::span<float> scores) {
    reverse(query, candidates, scores);
    for (const Candidate& c : candidates) shown.emplace_back(c.handle, to_string(c.item));
  };
  Recommender recommender = with(a, make_ranker(look), 10);
  recommender.recommend({.user = "u1"});
  recommender.reload(b);
  const Answer answer = recommender.recommend({.user = "u1"});
  CHECK(answer.reranked == 10);
  CHECK(answer.generation == 2);
  CHECK(shown.size() == 20);
  const IdMap ids = recommender.item_ids();
  for (const auto& [handle, item] : shown) CHECK(ids.find(Id(item)) == handle);
}

TEST_CASE("The ranker that a model brings reorders the model's answers, and no others", "[serving][ranker]") {
  TrainedModel model = make_model({.blend_weight = GENERATE(0.0, 0.5)});
  const Recommender plain = Recommender::open(model);
  model.ranker = by_popularity(20);
  const Recommender recommender = Recommender::open(model);
  for (std::size_t u = 0; u < 8; ++u) {
    const std::string user = test::user_name(u);
    const Answer answer = recommender.recommend({.user = user, .k = 50});
    Answer expected = plain.recommend({.user = user, .k = 50});
    std::stable_sort(expected.items.begin(), expected.items.begin() + 20, [&](const auto& a, const auto& b) {
      const auto events = model.popularity->counts();
      return events[model.item_ids->find(a.item)] > events[model.item_ids->find(b.item)];
    });
    CHECK(same_items(answer, expected));
    CHECK(answer.reranked == 20);
  }
  const Answer stranger = recommender.recommend({.user = "nobody"});
  CHECK(same_items(stranger, plain.recommend({.user = "nobody"})));
  CHECK(stranger.reranked == 0);
}

TEST_CASE("A host turns a model's ranker off, asks it for fewer, or takes its place", "[serving][ranker]") {
  TrainedModel model = make_model();
  const Answer engine = Recommender::open(model).recommend({.user = "u1"});
  model.ranker = by_popularity(20);
  CHECK(same_items(with(model, nullptr, 0).recommend({.user = "u1"}), engine));
  CHECK(with(model, nullptr, 7).recommend({.user = "u1"}).reranked == 7);
  CHECK(with(model, nullptr, 50, std::chrono::nanoseconds(1)).recommend({.user = "u1"}).reranked == 20);  // one group
  const auto pairs = std::make_shared<const InPairs>(give_rank);
  CHECK(with(model, pairs, 30).recommend({.user = "u1"}).reranked == 30);
  CHECK(pairs->calls == 1);
}

TEST_CASE("A ranker reorders as many candidates as it says itself, also more than a hundred", "[serving][ranker]") {
  TrainedModel model = make_model({.items = 300});
  model.ranker = by_popularity(150);
  CHECK(with(model, nullptr).recommend({.user = "u1"}).reranked == 150);
  CHECK(with(model, nullptr, 200).recommend({.user = "u1"}).reranked == 150);
  CHECK(with(model, make_ranker(reverse)).recommend({.user = "u1"}).reranked == 100);
  CHECK(with(model, make_ranker(reverse), 200).recommend({.user = "u1"}).reranked == 200);
}

TEST_CASE("A bare history reaches the ranker with the events on items that nobody knows", "[serving][ranker]") {
  const TrainedModel model = make_model();
  std::vector<ItemHandle> items;
  std::vector<Timestamp> times;
  const auto look = [&](const RankingQuery& query, std::span<const Candidate>, std::span<float> scores) {
    items.assign(query.history.items.begin(), query.history.items.end());
    times.assign(query.history.times.begin(), query.history.times.end());
    std::ranges::fill(scores, 0.0f);
  };
  const std::vector<Id> ids{"i1", "stranger", "i2"}, known{"i1", "i2"};
  const std::vector<Timestamp> at{10, 20, 30}, of_known{10, 30};
  const Recommender recommender = with(model, make_ranker(look));
  const Answer answer = recommender.recommend_history(ids, {.k = 50}, at);
  CHECK(items == std::vector<ItemHandle>{model.item_ids->find("i1"), kNoHandle, model.item_ids->find("i2")});
  CHECK(times == at);
  CHECK(answer.shortfall.seen == 2);
  CHECK(same_items(answer, Recommender::open(model).recommend_history(known, {.k = 50}, of_known)));
}

TEST_CASE("A model's ranker comes and goes with it, whatever order the rows have", "[serving][ranker]") {
  TrainedModel first = make_model({.items = 40}), second = make_model({.seed = 2, .items = 40, .first_item = 10});
  second.ranker = by_popularity(15);
  second.ranker.weights[1] = 0.3f;   // counts
  second.ranker.weights[7] = -0.1f;  // age
  Recommender recommender = Recommender::open(first);
  CHECK(recommender.recommend({.user = "u1"}).reranked == 0);
  recommender.reload(second);
  const Request request{.k = 30, .exclude_seen = false};
  const Answer moved = recommender.recommend_history({"i12", "i13", "i14"}, request);
  CHECK(moved.reranked == 15);
  CHECK(same_items(moved, Recommender::open(second).recommend_history({"i12", "i13", "i14"}, request)));
  recommender.reload(first);
  CHECK(recommender.recommend({.user = "u1"}).reranked == 0);
}

TEST_CASE("A model with a ranker that is none does not open", "[serving][ranker]") {
  TrainedModel model = make_model();
  model.ranker = {10, {1.0f}};
  CHECK_THROWS_AS(Recommender::open(model), Error);
}

TEST_CASE("Threads that recommend, observe and reload at once share a ranker", "[serving][ranker][concurrency]") {
  const TrainedModel a = make_model({.version = "A"}), b = make_model({.seed = 2, .version = "B"});
  std::atomic<std::size_t> asked = 0;
  const auto look = [&](const RankingQuery& query, std::span<const Candidate> candidates, std::span<float> scores) {
    if (++asked % 5 == 0) throw std::runtime_error("now and then");
    reverse(query, candidates, scores);
  };
  Recommender recommender = with(a, make_ranker(look), 10);
  std::atomic<std::size_t> wrong = 0, failed = 0;
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      Answer answer;
      for (std::size_t i = 0; i < 200; ++i) {
        recommender.observe({.user = test::user_name(i % 8), .item = test::item_name((i * 7 + t) % 50)});
        recommender.recommend({.user = test::user_name((i + t) % 8), .k = 5, .exclude_seen = false}, answer);
        wrong += answer.items.size() != 5 || (answer.reranked != 0 && answer.reranked != 10);
        failed += answer.reranked == 0;
      }
    });
  }
  for (std::size_t i = 0; i < 50; ++i) recommender.reload(i % 2 == 0 ? b : a);
  for (std::thread& thread : threads) thread.join();
  CHECK(wrong == 0);
  CHECK(failed == asked / 5);
  CHECK(recommender.info().ranker_failures == failed);
}
