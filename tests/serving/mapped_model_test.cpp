// SPDX-License-Identifier: Apache-2.0
// Recommenders over models that stay in their files.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <thread>
#include <utility>

#include "attune/error.hpp"
#include "attune/model/safetensors.hpp"
#include "attune/recommender.hpp"
#include "attune/serving/explanation.hpp"
#include "attune/serving/people.hpp"
#include "attune/serving/policy.hpp"
#include "catch.hpp"
#include "serving/answers.hpp"
#include "serving/small_model.hpp"
#include "temporary_directory.hpp"

using namespace attune;
using namespace attune::test;

namespace {

constexpr std::size_t kItems = 1500;

// A model large enough for codes and for item rows of many blocks, saved.
struct Saved {
  explicit Saved(ScoreKind score = ScoreKind::cosine, std::size_t items = kItems) {
    make_model({.items = items, .users = 30, .dim = 24, .score = score}).save(path);
  }
  TemporaryDirectory directory;
  std::string path = directory / "model";

  // Flips a bit of the vector of an item; the first and the last few share a block with weights that are checked at
  // once.
  void damage(std::size_t item) const {
    const std::string file = path + "/weights.safetensors";
    const auto tensors = SafetensorsFile::open(file);
    const TensorInfo& rows = *tensors.find("items.weight");
    std::string bytes = read_text(file);
    const std::size_t data = bytes.size() - tensors.tensors().back().end;
    char& byte = bytes[data + rows.begin + item * 24 * sizeof(float) + 2];
    byte = static_cast<char>(byte ^ 16);
    write_text(file, bytes);
  }
  Recommender open(ModelAccess access, RecommenderOptions options = {}) const {
    options.model_access = access;
    return Recommender::open(path, options);
  }
};

std::vector<Answer> answers_of(const Recommender& recommender) {
  std::vector<Answer> answers;
  for (std::size_t u = 0; u < 30; ++u) answers.push_back(recommender.recommend({.user = user_name(u), .k = 20}));
  for (std::size_t i = 0; i < 20; ++i) {
    answers.push_back(recommender.recommend_history({item_name(i * 7), item_name(i * 71)}));
    answers.push_back(recommender.similar_items(item_name(i * 67), 10));
    answers.push_back(recommender.rank(user_name(i), {item_name(i), item_name(i * 3), "no item"}));
  }
  return answers;
}

}  // namespace

TEST_CASE("A mapped model answers with the bits of one in memory", "[serving][mapped]") {
  for (const ScoreKind score : {ScoreKind::cosine, ScoreKind::dot}) {
    const Saved saved(score);
    const auto expected = answers_of(saved.open(ModelAccess::in_memory));
    for (const ScorerStorage storage :
         {ScorerStorage::automatic, ScorerStorage::float32, ScorerStorage::int8, ScorerStorage::int4}) {
      const Recommender recommender = saved.open(ModelAccess::mapped, {.scorer_storage = storage});
      const auto answers = answers_of(recommender);
      for (std::size_t i = 0; i < answers.size(); ++i) {
        INFO("storage " << static_cast<int>(storage) << ", answer " << i);
        REQUIRE(answers[i].source == expected[i].source);
        REQUIRE(same_items(answers[i], expected[i]));
        REQUIRE(answers[i].shortfall.unavailable == expected[i].shortfall.unavailable);
      }
      recommender.check_model();
      REQUIRE(recommender.info().damage.empty());
    }
  }
}

TEST_CASE("A compressed model answers, and with the same bits however it is opened", "[serving][mapped]") {
  Saved saved;
  TrainedModel model = TrainedModel::load(saved.path);
  model.weight_storage = WeightStorage::int8;
  model.version.clear();
  const std::string whole = std::exchange(saved.path, (saved.directory / "compressed").string());
  model.save(saved.path);
  const auto expected = answers_of(saved.open(ModelAccess::in_memory));
  CHECK(std::ranges::count(expected, Source::model, &Answer::source) > 0);
  for (const ScorerStorage storage : {ScorerStorage::automatic, ScorerStorage::float32, ScorerStorage::int4}) {
    Recommender recommender = saved.open(ModelAccess::mapped, {.scorer_storage = storage});
    const auto answers = answers_of(recommender);
    for (std::size_t i = 0; i < answers.size(); ++i) REQUIRE(same_items(answers[i], expected[i]));
    recommender.check_model();
    recommender.reload(whole);
    recommender.reload(saved.path);
    CHECK(same_items(answers_of(recommender)[0], expected[0]));
  }
}

TEST_CASE("Where a vector is damaged no answer is wrong and the cold start speaks", "[serving][mapped]") {
  const Saved saved;
  const auto expected = answers_of(saved.open(ModelAccess::in_memory));
  std::size_t right = 0, cold = 0;
  for (const std::size_t item : {100u, 700u, 1400u}) {
    const Saved damaged;
    damaged.damage(item);
    REQUIRE_THROWS_AS(damaged.open(ModelAccess::in_memory), Error);
    const Recommender recommender = damaged.open(ModelAccess::mapped);
    REQUIRE(recommender.info().damage.empty());
    const auto answers = answers_of(recommender);
    for (std::size_t i = 0; i < answers.size(); ++i) {
      INFO("item " << item << ", answer " << i);
      const bool same = answers[i].source == expected[i].source && same_items(answers[i], expected[i]);
      right += same;
      cold += !same;
      if (!same && i < 30) REQUIRE(answers[i].source != Source::model);
      if (!same && i >= 30 && i % 3 == 1) REQUIRE(answers[i].items.empty());
    }
    const RecommenderInfo info = recommender.info();
    REQUIRE(info.damaged_answers > 0);
    REQUIRE(info.damage.find("weights.safetensors: bytes ") != std::string::npos);
    try {
      recommender.check_model();
      FAIL("nothing was thrown");
    } catch (const Error& error) {
      REQUIRE(error.code() == ErrorCode::corrupt_file);
      REQUIRE(std::string(error.what()) == info.damage);
    }
  }
  REQUIRE(right > 0);
  REQUIRE(cold > 0);
}

TEST_CASE("Requests that are ranked together meet damage each for himself", "[serving][mapped]") {
  constexpr std::size_t kMany = 10'003;  // a scan for all of them
  std::vector<std::string> users;
  std::vector<Request> requests;
  for (std::size_t u = 0; u < 30; ++u) users.push_back(user_name(u));
  for (const std::string& user : users) requests.push_back({.user = user, .k = 5});
  const Saved saved(ScoreKind::cosine, kMany);
  const auto expected = saved.open(ModelAccess::in_memory).recommend_batch(requests);
  const auto mapped = saved.open(ModelAccess::mapped).recommend_batch(requests);
  for (std::size_t i = 0; i < requests.size(); ++i) REQUIRE(same_items(mapped[i], expected[i]));
  std::size_t right = 0, cold = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    const Saved damaged(ScoreKind::cosine, kMany);
    damaged.damage(damaged.open(ModelAccess::in_memory).item_ids().find(expected[i].items[0].item));
    const Recommender recommender = damaged.open(ModelAccess::mapped);
    for (int again = 0; again < 2; ++again) {
      const auto answers = recommender.recommend_batch(requests);
      for (std::size_t r = 0; r < answers.size(); ++r) {
        INFO("damage " << i << ", answer " << r);
        const bool same = answers[r].source == expected[r].source && same_items(answers[r], expected[r]);
        right += same;
        cold += !same;
        REQUIRE(answers[r].items.size() == 5);
        if (!same) REQUIRE(answers[r].source != Source::model);
        REQUIRE(same_items(answers[r], recommender.recommend(requests[r])));
      }
      REQUIRE(answers[i].source != Source::model);
    }
    REQUIRE(recommender.info().damaged_answers > 0);
    REQUIRE_FALSE(recommender.info().damage.empty());
  }
  REQUIRE(right > 0);
  REQUIRE(cold > 0);
}

TEST_CASE("A state that met damage goes on from where it was", "[serving][mapped]") {
  const Saved saved;
  saved.damage(700);
  const TrainedModel model = TrainedModel::load(saved.path, ModelAccess::mapped);
  const SequenceEncoder<float>& encoder = *model.encoder;
  const std::vector<ItemHandle> items{1, 2, 700, 5}, sound{1, 2, 3};
  Workspace workspace;
  auto state = encoder.make_state();
  std::vector<float> vector(encoder.dim()), expected(encoder.dim());
  encoder.advance(state, {std::span(items).first(2)}, workspace);
  for (int again = 0; again < 2; ++again) {
    REQUIRE_THROWS_AS(encoder.advance(state, {items}, workspace), Error);
  }
  encoder.advance(state, {sound}, workspace);
  encoder.user_vector(vector, state, {}, workspace);
  encoder.encode(expected, {sound}, {}, workspace);
  for (std::size_t d = 0; d < vector.size(); ++d) REQUIRE(vector[d] == Approx(expected[d]).margin(1e-5));
}

TEST_CASE("An encoder in the place of a mapped one is served, and no file checked for it", "[serving][mapped]") {
  const Saved saved, other;
  const TrainedModel sound = TrainedModel::load(other.path);
  TrainedModel model = TrainedModel::load(saved.path, ModelAccess::mapped);
  saved.damage(700);
  model.encoder = sound.encoder;
  const auto expected = answers_of(Recommender::open(sound)), answers = answers_of(Recommender::open(model));
  for (std::size_t i = 0; i < answers.size(); ++i) REQUIRE(same_items(answers[i], expected[i]));
  REQUIRE_NOTHROW(Recommender::open(model).check_model());
}

TEST_CASE("Lists over a mapped model are made of all its rows, or not at all", "[serving][mapped]") {
  const RecommenderOptions options{.scorer_storage = ScorerStorage::int4, .search = SearchKind::exact};
  const Saved saved;
  const auto expected = answers_of(saved.open(ModelAccess::in_memory));
  const auto answers = answers_of(saved.open(ModelAccess::mapped, options));
  for (std::size_t i = 0; i < answers.size(); ++i) REQUIRE(same_items(answers[i], expected[i]));
  saved.damage(700);
  REQUIRE_NOTHROW(saved.open(ModelAccess::mapped));
  try {
    saved.open(ModelAccess::mapped, options);
    FAIL("nothing was thrown");
  } catch (const Error& error) {
    REQUIRE(error.code() == ErrorCode::corrupt_file);
  }
}

TEST_CASE("A user whom damage cost an answer is served by the next model", "[serving][mapped]") {
  const Saved good, damaged;
  const auto expected = answers_of(good.open(ModelAccess::in_memory));
  for (std::size_t item = 60; item < 1440; item += 20) damaged.damage(item);
  Recommender recommender = damaged.open(ModelAccess::mapped);
  REQUIRE(recommender.recommend({.user = user_name(0), .k = 20}).source != Source::model);
  REQUIRE(recommender.rank(user_name(0), {item_name(1)}).source != Source::model);
  REQUIRE_FALSE(recommender.info().damage.empty());
  recommender.reload(good.path);
  REQUIRE(recommender.info().damage.empty());
  recommender.check_model();
  const auto answers = answers_of(recommender);
  for (std::size_t i = 0; i < answers.size(); ++i) REQUIRE(same_items(answers[i], expected[i]));
}

TEST_CASE("Explanations and people have defined answers where vectors are damaged", "[serving][mapped]") {
  const Saved damaged;
  for (std::size_t item = 60; item < 1440; item += 20) damaged.damage(item);
  const Recommender recommender = damaged.open(ModelAccess::mapped);
  const std::string user = user_name(0), other = user_name(1);
  const Explanation explanation = recommender.explain(user, item_name(1), {.k = 5});
  CHECK(explanation.source != Source::model);
  CHECK(explanation.contributions.empty());
  CHECK(std::isnan(explanation.score));
  CHECK(recommender.similar_users(user, 5).source == Source::counts);
  const std::size_t before = recommender.info().damaged_answers;
  CHECK(before > 0);
  const std::vector<Id> group{user, other};
  const Answer together = recommender.recommend_group(group, {.k = 10}, {});
  CHECK(together.source != Source::model);
  CHECK(together.items.size() == 10);
  CHECK(recommender.info().damaged_answers == before + 1);
  CHECK_FALSE(recommender.info().damage.empty());
}

TEST_CASE("A diverse list takes items for unlike where the vector of one is damaged", "[serving][mapped]") {
  const Saved damaged;
  for (std::size_t item = 60; item < 1440; item += 20) damaged.damage(item);
  const Recommender recommender = damaged.open(ModelAccess::mapped);
  for (std::size_t round = 1; round <= 2; ++round) {
    for (const auto method : {DiversityMethod::mmr, DiversityMethod::dpp}) {
      const std::size_t before = recommender.info().damaged_answers;
      const Answer answer = recommender.recommend(
          {.user = "nobody", .k = 20, .diversity = 0.5f, .diversity_method = method, .diversity_pool = kItems});
      REQUIRE(answer.items.size() == 20);
      REQUIRE(recommender.info().damaged_answers == before + 1);
    }
  }
  REQUIRE_FALSE(recommender.info().damage.empty());
}

TEST_CASE("An answer that asks for ever more candidates of a damaged model counts once", "[serving][mapped]") {
  const Saved damaged;
  for (std::size_t item = 60; item < 1440; item += 20) damaged.damage(item);
  Recommender recommender = damaged.open(ModelAccess::mapped, {.item_fields = {{"creator", FieldType::category}}});
  for (std::size_t i = 0; i < kItems; ++i) {
    recommender.upsert_item({.id = item_name(i), .fields = {{"creator", i < 1400 ? "one" : "another"}}});
  }
  const Policy policy = recommender.compile({.caps = {{"creator", 1}}});
  std::size_t damaged_answers = 0;
  for (std::size_t u = 0; u < 30; ++u) {
    const Answer answer = recommender.recommend({.user = user_name(u), .policy = &policy});
    REQUIRE(answer.shortfall.capped > 0);
    damaged_answers += answer.source != Source::model;
  }
  REQUIRE(damaged_answers > 0);
  REQUIRE(recommender.info().damaged_answers == damaged_answers);
}

TEST_CASE("A model that is saved over a mapped one changes no answer until it is loaded", "[serving][mapped]") {
  const Saved saved;
  Recommender recommender = saved.open(ModelAccess::mapped);
  const auto before = recommender.recommend({.user = user_name(1)});
  make_model({.seed = 9, .items = kItems, .users = 30, .dim = 24}).save(saved.path);
  REQUIRE(same_items(recommender.recommend({.user = user_name(1)}), before));
  recommender.reload(saved.path);
  REQUIRE_FALSE(same_items(recommender.recommend({.user = user_name(1)}), before));
}

TEST_CASE("Items join a mapped catalogue as any other", "[serving][mapped]") {
  const Saved saved;
  Recommender recommender = saved.open(ModelAccess::mapped);
  REQUIRE(recommender.observe({.user = "u1", .item = "newcomer", .timestamp = 99}) == Observed::recorded);
  REQUIRE(recommender.info().items == kItems + 1);
  const IdMap ids = recommender.item_ids();
  REQUIRE(ids.find("newcomer") == kItems);
  REQUIRE(ids.find(item_name(7)) == 7);
  REQUIRE(ids.id(kItems).text() == "newcomer");
}

TEST_CASE("Threads that meet the rows of a mapped model first give the same answers", "[serving][mapped]") {
  const Saved saved;
  const auto expected = answers_of(saved.open(ModelAccess::in_memory));
  const Recommender recommender = saved.open(ModelAccess::mapped);
  std::atomic<std::size_t> wrong = 0;
  std::vector<std::thread> threads;
  for (int t = 0; t < 4; ++t) {
    threads.emplace_back([&, t] {
      if (t == 0) return recommender.check_model();
      const auto answers = answers_of(recommender);
      for (std::size_t i = 0; i < answers.size(); ++i) wrong += !same_items(answers[i], expected[i]);
    });
  }
  for (std::thread& thread : threads) thread.join();
  REQUIRE(wrong == 0);
}
