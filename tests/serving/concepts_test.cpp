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
