// SPDX-License-Identifier: Apache-2.0
#include "attune/concepts.hpp"

#include <algorithm>

#include "attune/serving/make_recommender.hpp"
#include "catch.hpp"

using namespace attune;

// The least that each seam asks for, written by a host that includes nothing else; tests/compile_fail holds the same
// types with one member missing.
namespace {

struct LastItem {  // an encoder
  std::size_t dim() const { return 1; }
  bool knows(ItemHandle) const { return true; }
  void encode(std::span<float> user_vector, HistoryView history, const Context&, Workspace&) const {
    user_vector[0] = static_cast<float>(history.items.back() + 1);
  }
};

struct Nearest {  // a scorer: the closer a handle to the last item, the better
  std::size_t items;
  std::size_t size() const { return items; }
  ScoreKind kind() const { return ScoreKind::dot; }
  bool scorable(ItemHandle item) const { return item < items; }
  float of(const Query& query, ItemHandle item) const {
    return -std::abs(query.user_vector[0] - 1 - static_cast<float>(item));
  }
  std::span<const ScoredHandle> top_k(const Query& query, std::span<const std::uint64_t> eligible,
                                      std::span<const float>, std::size_t k, Workspace& workspace) const {
    workspace.top.clear();
    for (ItemHandle i = 0; i < items; ++i) {
      if (eligible[i / 64] >> (i % 64) & 1u) workspace.top.push_back({i, of(query, i)});
    }
    std::ranges::sort(workspace.top, ranks_before);
    return std::span(workspace.top).first(std::min(k, workspace.top.size()));
  }
  void score(const Query& query, std::span<const ItemHandle> handles, std::span<const float>, std::span<float> scores,
             Workspace&) const {
    for (std::size_t i = 0; i < handles.size(); ++i) scores[i] = of(query, handles[i]);
  }
};

struct InOrder {  // a cold start
  Source source(HistoryView, const Context&) const { return Source::content; }
  std::span<const ScoredHandle> top_k(HistoryView, const Context&, std::span<const std::uint64_t> eligible,
                                      std::size_t k, Workspace& workspace) const {
    workspace.top.clear();
    for (ItemHandle i = 0; i < eligible.size() * 64 && workspace.top.size() < k; ++i) {
      if (eligible[i / 64] >> (i % 64) & 1u) workspace.top.push_back({i, 0.0f});
    }
    return workspace.top;
  }
  void score(HistoryView, const Context&, std::span<const ItemHandle>, std::span<float> scores, Workspace&) const {
    std::ranges::fill(scores, 0.0f);
  }
};

static_assert(Encoder<LastItem> && !IncrementalEncoder<LastItem>);
static_assert(Scorer<Nearest>);
static_assert(ColdStart<InOrder>);

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
