// SPDX-License-Identifier: Apache-2.0
#include "attune/concepts.hpp"

#include "attune/serving/make_recommender.hpp"
#include "catch.hpp"
#include "serving/host_parts.hpp"

using namespace attune;
using namespace attune::test;

namespace {

static_assert(Encoder<LastItem> && !IncrementalEncoder<LastItem>);
static_assert(IncrementalEncoder<LastItemAlong>);
static_assert(Scorer<Nearest>);
static_assert(ColdStart<InOrder>);
static_assert(ScoringModel<Alike>);

EngineNames names(std::initializer_list<const char*> ids, std::string version = "mine") {
  EngineNames result{.item_ids = IdMap(), .version = std::move(version)};
  for (const char* id : ids) result.item_ids.insert(id);
  return result;
}

std::vector<std::string> ids(const Answer& answer) {
  std::vector<std::string> result;
  for (const Recommendation& r : answer.items) result.push_back(to_string(r.item));
  return result;
}

using Ids = std::vector<std::string>;

}  // namespace

TEST_CASE("A host's own encoder, scorer and cold start serve behind the facade", "[serving][concepts]") {
  Recommender recommender = make_recommender(Engine(LastItem{}, Nearest{4}, InOrder{}), names({"a", "b", "c", "d"}));
  const Answer cold = recommender.recommend({.user = "u", .k = 2});
  CHECK(ids(cold) == Ids{"a", "b"});
  CHECK(cold.source == Source::content);
  recommender.observe({.user = "u", .item = "d"});
  const Answer warm = recommender.recommend({.user = "u", .k = 2});
  CHECK(ids(warm) == Ids{"c", "b"});
  CHECK(warm.source == Source::model);
  CHECK(warm.score_kind == ScoreKind::dot);
  CHECK(warm.model_version == "mine");
  CHECK(ids(recommender.rank("u", {"a", "d", "b"})) == Ids{"d", "b", "a"});
  CHECK(recommender.similar_items("a", 3).items.empty());  // this scorer shows no vectors
}

TEST_CASE("A host's own encoder may carry a state along", "[serving][concepts]") {
  Recommender recommender =
      make_recommender(Engine(LastItemAlong{}, Nearest{4}, InOrder{}), names({"a", "b", "c", "d"}));
  recommender.observe({.user = "u", .item = "d"});
  CHECK(ids(recommender.recommend({.user = "u", .k = 2})) == Ids{"c", "b"});
  recommender.observe({.user = "u", .item = "a"});
  CHECK(ids(recommender.recommend({.user = "u", .k = 2})) == Ids{"b", "c"});
}

namespace {

// A table of users: the owner of item n likes it best. It reads no history.
struct Owners : LastItem {
  bool needs_history() const { return false; }
  void encode(std::span<float> user_vector, HistoryView, const Context& context, Workspace&) const {
    user_vector[0] = context.user == Id("owner of b") ? 2.0f : context.user == Id("owner of d") ? 4.0f : 0.0f;
  }
};

}  // namespace

TEST_CASE("An encoder of users is asked without a history, and strangers go to the cold start", "[serving][concepts]") {
  Recommender recommender = make_recommender(Engine(Owners{}, Nearest{4}, InOrder{}), names({"a", "b", "c", "d"}));
  const auto first = [&](const Answer& answer) { return to_string(answer.items.at(0).item); };
  for (const bool with_events : {false, true}) {
    if (with_events) {
      for (const char* user : {"owner of b", "stranger"}) recommender.observe({.user = user, .item = "a"});
    }
    const Answer known = recommender.recommend({.user = "owner of b", .k = 1});
    CHECK(first(known) == "b");
    CHECK(known.source == Source::model);
    const std::vector<Id> candidates{"a", "d", "c"};
    CHECK(first(recommender.rank("owner of d", candidates)) == "d");
    CHECK(recommender.recommend({.user = "stranger"}).source == Source::content);
    CHECK(recommender.recommend({}).source == Source::content);
  }
  const std::vector<Id> history{"a"};
  CHECK(recommender.recommend_history(history, {.k = 1}).source == Source::content);
  CHECK(first(recommender.recommend_history(history, {.user = "owner of d", .k = 1})) == "d");
}

TEST_CASE("A host's next engine takes over with the handles there are", "[serving][concepts]") {
  Recommender recommender = make_recommender(Engine(LastItem{}, Nearest{2}, InOrder{}), names({"a", "b"}));
  recommender.observe({.user = "u", .item = "new"});
  CHECK(ids(recommender.recommend({.user = "u"})) == Ids{"b", "a"});

  CHECK_THROWS_AS(reload(recommender, Engine(LastItem{}, Nearest{2}, InOrder{}), names({"b", "a"})), Error);
  CHECK_THROWS_AS(reload(recommender, Engine(LastItem{}, Nearest{3}, InOrder{}), names({"a", "b"})), Error);
  CHECK(recommender.info().generation == 1);

  const IdMap all = recommender.item_ids();
  REQUIRE(all.size() == 3);
  reload(recommender, Engine(LastItem{}, Nearest{3}, InOrder{}), {.item_ids = all, .version = "next"});
  const Answer answer = recommender.recommend({.user = "u", .exclude_seen = false});
  CHECK(ids(answer) == Ids{"new", "b", "a"});
  CHECK(answer.model_version == "next");
  CHECK(answer.generation == 2);
}

TEST_CASE("An engine and ids that do not fit together are refused", "[serving][concepts]") {
  CHECK_THROWS_WITH(make_recommender(Engine(LastItem{}, Nearest{3}, InOrder{}), names({"a"})),
                    Catch::Matchers::Contains("3 handles, found 1"));
}
