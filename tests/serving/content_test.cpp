// SPDX-License-Identifier: Apache-2.0
#include "attune/model/content_tower.hpp"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <limits>
#include <numeric>
#include <thread>

#include "attune/recommender.hpp"
#include "attune/serving/explanation.hpp"
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

constexpr std::size_t kLetters = 20;

std::string letter(std::size_t i) { return std::string(1, static_cast<char>('a' + i % kLetters)); }

// A model whose items have a letter, a title and a picture; item i has the letter i % 20.
TrainedModel model_with_content(const test::SmallModel& options = {}) {
  TrainedModel model = make_model(options);
  FeatureRecords records(options.items);
  for (std::size_t i = 0; i < options.items; ++i) {
    const std::string title = "word" + letter(i) + " item";
    const std::vector<float> picture(model.encoder->items().row(i).begin(), model.encoder->items().row(i).begin() + 4);
    records.add(i, {"letter", letter(i)});
    records.add(i, {"title", title});
    records.add(i, {"picture", std::span<const float>(picture)});
  }
  FeatureSpec of_letter, title, picture;
  of_letter.name = "letter";
  title.name = "title";
  title.kind = FeatureKind::text;
  title.dimensions = 64;
  title.all_lines = true;
  picture.name = "picture";
  picture.kind = FeatureKind::vector;
  picture.scale = VectorScale::none;
  Featurizer featurizer = Featurizer::fit({of_letter, title, picture}, records);
  const FeatureTable features = featurizer.table(records);
  const ScorerRows<float> rows(model.encoder->items(), model.encoder->config().score);
  model.content = std::make_shared<const ContentTower>(
      ContentTower::fit(std::move(featurizer), features, rows, {.ridge = 0.1, .importance = {1, 1, 1}}));
  return model;
}

std::vector<float> vector_of(const TrainedModel& model, const std::vector<FieldValue>& fields) {
  FeatureTable features(model.content->featurizer().shapes());
  model.content->featurizer().apply(fields, features);
  std::vector<float> vector(model.content->dim());
  model.content->embed(vector, features, 0);
  return vector;
}

double dot(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (std::size_t d = 0; d < a.size(); ++d) sum += static_cast<double>(a[d]) * static_cast<double>(b[d]);
  return sum;
}

// What a user's vector says of a vector of content, by definition.
double expected_score(const TrainedModel& model, std::size_t user, std::span<const float> content) {
  Workspace workspace;
  std::vector<float> vector(model.encoder->dim());
  model.encoder->encode(vector, model.histories->of(user), {}, workspace);
  const bool cosine = model.encoder->config().score == ScoreKind::cosine;
  const double length = cosine ? std::sqrt(dot(vector, vector)) : 1.0;
  const bool tempered = model.blend_weight != 0 && cosine;
  return dot(vector, content) / length / (tempered ? model.encoder->config().temperature : 1.0);
}

// What counts say of an item of the average share.
double average_term(const TrainedModel& model, std::size_t user) {
  std::vector<float> scores(model.num_items());
  model.counts->score_all(model.histories->of(user), scores);
  std::vector<float> average{
      static_cast<float>(std::accumulate(scores.begin(), scores.end(), 0.0) / static_cast<double>(scores.size()))};
  model.counts->to_terms(average);
  return static_cast<double>(average[0]);
}

const Recommendation* find(const Answer& answer, const Id& item) {
  const auto found = std::ranges::find(answer.items, item, &Recommendation::item);
  return found == answer.items.end() ? nullptr : &*found;
}

template <class Act>
std::string complaint(Act act) {
  try {
    act();
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::invalid_argument);
    return error.what();
  }
  return "nothing was thrown";
}

}  // namespace

TEST_CASE("A new item with content is in the next answer with the score of its vector", "[serving][content]") {
  const ScoreKind score = GENERATE(ScoreKind::cosine, ScoreKind::dot);
  const double blend_weight = GENERATE(0.0, 0.5);
  const ScorerStorage storage = GENERATE(ScorerStorage::float32, ScorerStorage::int8, ScorerStorage::int4);
  const std::size_t items = GENERATE(std::size_t{50}, std::size_t{600});
  const TrainedModel model = model_with_content({.items = items, .score = score, .blend_weight = blend_weight});
  Recommender recommender = Recommender::open(model, {.scorer_storage = storage});
  const Answer before = recommender.recommend({.user = "u3", .k = items + 10});
  const std::vector<FieldValue> fields{{"letter", "c"}, {"title", "wordc something new"}};
  recommender.upsert_item({.id = "fresh", .fields = fields});

  const Answer after = recommender.recommend({.user = "u3", .k = items + 10});
  const Recommendation* const fresh = find(after, "fresh");
  REQUIRE(fresh != nullptr);
  const double counted = blend_weight == 0 ? 0.0 : blend_weight * average_term(model, 3);
  CHECK(static_cast<double>(fresh->score) ==
        Approx(expected_score(model, 3, vector_of(model, fields)) + counted).margin(1e-5).epsilon(1e-5));
  REQUIRE(after.items.size() == before.items.size() + 1);
  CHECK(after.generation == 1);
  Answer others = after;
  std::erase_if(others.items, [](const Recommendation& item) { return item.item == Id("fresh"); });
  CHECK(same_items(others, before));
  CHECK(std::ranges::is_sorted(after.items, std::greater(), &Recommendation::score));
  // Short lists are the beginning of long ones.
  const Answer five = recommender.recommend({.user = "u3", .k = 5});
  for (std::size_t i = 0; i < 5; ++i) CHECK(five.items[i].item == after.items[i].item);
  CHECK(recommender.rank("u3", {"fresh", "i1"}).items.size() == 2);
  CHECK(find(recommender.rank("u3", {"fresh"}), "fresh")->score == fresh->score);
}

TEST_CASE("Content that changes changes the vector, and what is not named stays", "[serving][content]") {
  const TrainedModel model = model_with_content();
  Recommender recommender = Recommender::open(model);
  const auto score = [&] { return static_cast<double>(find(recommender.rank("u1", {"fresh"}), "fresh")->score); };
  const auto expected = [&](const std::vector<FieldValue>& fields) {
    return Approx(expected_score(model, 1, vector_of(model, fields))).margin(1e-6);
  };
  recommender.upsert_item({.id = "fresh", .fields = {{"letter", "a"}}});
  CHECK(score() == expected({{"letter", "a"}}));
  recommender.upsert_item({.id = "fresh", .fields = {{"title", "wordb"}}});
  CHECK(score() == expected({{"letter", "a"}, {"title", "wordb"}}));
  recommender.upsert_item({.id = "fresh", .fields = {{"letter", ""}}});
  CHECK(score() == expected({{"title", "wordb"}}));
  const std::vector<Item> twice{{.id = "fresh", .fields = {{"letter", "d"}}},
                                {.id = "fresh", .fields = {{"title", "worde"}}}};
  recommender.upsert_items(twice);
  CHECK(score() == expected({{"letter", "d"}, {"title", "worde"}}));
  std::vector<Item> many{{.id = "other", .fields = {{"letter", "a"}}}};
  for (int i = 0; i < 70; ++i) many.push_back({.id = "fresh", .fields = {{"letter", "d"}}});
  many.push_back({.id = "other", .fields = {{"title", "wordb"}}});
  recommender.upsert_items(many);
  CHECK(static_cast<double>(find(recommender.rank("u1", {"other"}), "other")->score) ==
        expected({{"letter", "a"}, {"title", "wordb"}}));
  recommender.upsert_item({.id = "fresh", .fields = {{"title", "worda"}, {"title", "wordf"}}});
  CHECK(score() == expected({{"letter", "d"}, {"title", "worda"}, {"title", "wordf"}}));
  recommender.upsert_item({.id = "fresh", .fields = {{"letter", ""}, {"title", ""}}});
  CHECK(recommender.rank("u1", {"fresh"}).items.empty());
  CHECK(recommender.rank("u1", {"fresh"}).shortfall.unavailable == 1);
}

TEST_CASE("Items of content obey removal, times, filters, lists and what was seen", "[serving][content]") {
  const TrainedModel model = model_with_content();
  RecommenderOptions options;
  options.item_fields = {{"letter", FieldType::category}, {"price", FieldType::number}};
  Recommender recommender = Recommender::open(model, options);
  recommender.upsert_item({.id = "fresh", .fields = {{"letter", "c"}, {"price", 3}, {"title", "wordc"}}});
  const auto shown = [&](const Request& request) { return find(recommender.recommend(request), "fresh") != nullptr; };
  const Policy cheap = recommender.compile({.filter = "price < 5 and letter = \"c\""});
  const Policy dear = recommender.compile({.filter = "price > 5"});
  CHECK(shown({.user = "u1", .k = 60}));
  CHECK(shown({.user = "u1", .k = 60, .policy = &cheap}));
  CHECK(recommender.recommend({.user = "u1", .k = 60, .policy = &cheap}).items.size() == 1);
  CHECK_FALSE(shown({.user = "u1", .k = 60, .policy = &dear}));
  const std::vector<Id> fresh{"fresh"};
  CHECK(recommender.recommend({.user = "u1", .k = 60, .allow = fresh}).items.size() == 1);
  CHECK_FALSE(shown({.user = "u1", .k = 60, .deny = fresh}));
  const Policy boosted = recommender.compile({.boosts = {{.filter = "price < 5", .amount = 100}}});
  CHECK(recommender.recommend({.user = "u1", .k = 1, .policy = &boosted}).items[0].item == Id("fresh"));
  recommender.observe({.user = "u1", .item = "fresh"});
  CHECK_FALSE(shown({.user = "u1", .k = 60}));
  CHECK(shown({.user = "u2", .k = 60}));
  CHECK(shown({.user = "nobody", .k = 60}));
  recommender.upsert_item({.id = "fresh", .available_until = 1000});
  CHECK_FALSE(shown({.user = "u2", .k = 60, .now = 1000}));
  CHECK(shown({.user = "u2", .k = 60, .now = 999}));
  recommender.remove_item("fresh");
  CHECK_FALSE(shown({.user = "u2", .k = 60, .now = 999}));
}

TEST_CASE("An item of content is near the items it is like, and diverse lists know it", "[serving][content]") {
  const ScoreKind score = GENERATE(ScoreKind::cosine, ScoreKind::dot);
  const TrainedModel model = model_with_content({.score = score});
  Recommender recommender = Recommender::open(model);
  const auto row = model.encoder->items().row(7);
  const std::string seventh = letter(7);
  const std::vector<FieldValue> fields{{"letter", seventh}, {"picture", row.first(4)}};
  recommender.upsert_item({.id = "twin", .fields = fields});
  const Answer near = recommender.similar_items("twin", 60);
  CHECK(near.items.size() == 50);
  CHECK(find(near, "twin") == nullptr);
  CHECK(std::ranges::is_sorted(near.items, std::greater(), &Recommendation::score));
  const Answer back = recommender.similar_items("i7", 60);
  REQUIRE(find(back, "twin") != nullptr);
  const std::vector<float> vector = vector_of(model, fields);
  const double length = score == ScoreKind::cosine ? std::sqrt(dot(row, row)) : 1.0;
  CHECK(static_cast<double>(find(back, "twin")->score) == Approx(dot(row, vector) / length).margin(1e-5));
  const Answer diverse = recommender.recommend({.user = "u1", .k = 60, .diversity = 0.5f});
  CHECK(find(diverse, "twin") != nullptr);
  CHECK(diverse.items.size() == recommender.recommend({.user = "u1", .k = 60}).items.size());
}

TEST_CASE("Trained items keep their vectors whatever content says", "[serving][content]") {
  const TrainedModel model = model_with_content();
  Recommender recommender = Recommender::open(model);
  const Answer before = recommender.recommend({.user = "u1", .k = 60});
  recommender.upsert_item({.id = "i7", .fields = {{"letter", "z"}, {"title", "nothing like it"}}});
  CHECK(same_items(recommender.recommend({.user = "u1", .k = 60}), before));
}

TEST_CASE("A new model gives its own vectors to items of content, and those it trained are its own",
          "[serving][content]") {
  const TrainedModel model = model_with_content(), larger = model_with_content({.seed = 9, .items = 70});
  Recommender recommender = Recommender::open(model);
  const std::vector<FieldValue> fields{{"letter", "c"}, {"title", "wordc"}};
  recommender.upsert_item({.id = "i60", .fields = fields});
  recommender.upsert_item({.id = "fresh", .fields = fields});
  recommender.reload(larger);
  Recommender opened = Recommender::open(larger);
  opened.upsert_item({.id = "fresh", .fields = fields});
  const Answer answer = recommender.recommend_history({"i1", "i2"}, {.k = 100});
  const Answer expected = opened.recommend_history({"i1", "i2"}, {.k = 100});
  CHECK(answer.generation == 2);
  REQUIRE(answer.items.size() == expected.items.size());
  for (const Recommendation& item : expected.items) {
    REQUIRE(find(answer, item.item) != nullptr);
    CHECK(find(answer, item.item)->score == Approx(item.score).margin(1e-6));
  }
  recommender.reload(make_model());  // one that content says nothing to
  CHECK(find(recommender.recommend({.user = "u1", .k = 100}), "fresh") == nullptr);
  CHECK_THAT(complaint([&] { recommender.upsert_item({.id = "fresh", .fields = fields}); }), Contains("letter"));
  recommender.reload(model);
  CHECK(find(recommender.recommend({.user = "u1", .k = 100}), "fresh") != nullptr);
}

TEST_CASE("An upsert that content refuses changes nothing", "[serving][content]") {
  const TrainedModel model = model_with_content();
  Recommender recommender = Recommender::open(model);
  const std::vector<float> narrow(3, 1.0f), infinite(4, std::numeric_limits<float>::infinity());
  const auto refused = [&](const FieldValue& value) {
    const std::vector<Item> batch{{.id = "one", .fields = {{"letter", "a"}}}, {.id = "two", .fields = {value}}};
    return complaint([&] { recommender.upsert_items(batch); });
  };
  CHECK_THAT(refused({"picture", std::span<const float>(narrow)}),
             Contains("item 1 of the batch (\"two\")") && Contains("picture"));
  CHECK_THAT(refused({"picture", std::span<const float>(infinite)}), Contains("picture"));
  CHECK_THAT(refused({"picture", "poster.png"}), Contains("picture"));
  CHECK_THAT(refused({"colour", "red"}), Contains("colour"));
  CHECK(recommender.info().items == 50);
  CHECK(find(recommender.recommend({.user = "u1", .k = 100}), "one") == nullptr);
}

TEST_CASE("Features of a new item explain its score, and events on it move its vector", "[serving][content]") {
  const ScoreKind score = GENERATE(ScoreKind::cosine, ScoreKind::dot);
  const TrainedModel model = model_with_content({.score = score});
  Recommender recommender = Recommender::open(model);
  recommender.upsert_item({.id = "fresh", .fields = {{"letter", "c"}, {"title", "wordc"}}});
  const Explanation before = recommender.explain("u1", "fresh");
  REQUIRE(before.features.size() == 2);
  CHECK(before.features[0].weight >= before.features[1].weight);
  const auto letter_of = std::ranges::find(before.features, "letter", &FeatureContribution::feature);
  REQUIRE(letter_of != before.features.end());
  if (letter_of->weight > 0) CHECK(letter_of->members == std::vector<std::string>{"letter=c"});
  // What features do not say is the mean of all items.
  const std::vector<float> vector = vector_of(model, {{"letter", "c"}, {"title", "wordc"}});
  std::vector<float> mean = vector;
  FeatureTable features(model.content->featurizer().shapes());
  model.content->featurizer().apply(std::vector<FieldValue>{{"letter", "c"}, {"title", "wordc"}}, features);
  for (std::size_t f = 0; f < 2; ++f) {
    const FeatureBlock block = features.of(0, f);
    for (std::size_t c = 0; c < block.values.size(); ++c) {
      for (std::size_t d = 0; d < mean.size(); ++d) {
        mean[d] -= block.values[c] * model.content->weights(f)[block.columns[c] * mean.size() + d];
      }
    }
  }
  const double said = static_cast<double>(before.features[0].weight + before.features[1].weight);
  CHECK(static_cast<double>(before.score) == Approx(said + expected_score(model, 1, mean)).margin(1e-5));
  CHECK(recommender.explain("u1", "i3").features.empty());

  // Users come to it from i3: its vector goes there.
  const auto likeness = [&] { return find(recommender.similar_items("i3", 60), "fresh")->score; };
  const float at_first = likeness();
  for (std::size_t event = 0; event < 40; ++event) {
    const std::string user = std::string("new").append(std::to_string(event));
    recommender.observe({.user = user, .item = "i3", .event_id = "a"});
    recommender.observe({.user = user, .item = "fresh", .event_id = "b"});
    recommender.observe({.user = user, .item = "fresh", .event_id = "b"});  // once more
  }
  const double length =
      score == ScoreKind::cosine ? 1.0 : dot(model.encoder->items().row(3), model.encoder->items().row(3));
  CHECK(static_cast<double>(likeness()) ==
        Approx((5 * static_cast<double>(at_first) + 36 * length) / 41).epsilon(0.15));
}

TEST_CASE("Among users whom nobody knows, a new item stands where its own events put it", "[serving][content]") {
  Recommender recommender = Recommender::open(model_with_content());
  recommender.upsert_item({.id = "fresh", .fields = {{"letter", "c"}}});
  const auto place = [&] {
    const Answer answer = recommender.recommend({.user = "stranger", .k = 60});
    CHECK(answer.source == Source::popularity);
    return find(answer, "fresh") - answer.items.data();
  };
  const auto in_the_middle = place();
  CHECK(in_the_middle > 5);
  CHECK(in_the_middle < 45);
  for (std::size_t event = 0; event < 40; ++event) {
    const std::string user = std::string("new").append(std::to_string(event));
    recommender.observe({.user = user, .item = "fresh"});
  }
  CHECK(place() == 0);
  CHECK(find(recommender.rank("stranger", {"fresh"}), "fresh")->score ==
        recommender.recommend({.user = "stranger", .k = 1}).items[0].score);
}

TEST_CASE("A model directory brings its content tower", "[serving][content]") {
  const test::TemporaryDirectory directory;
  const TrainedModel model = model_with_content();
  model.save(directory.path() / "model");
  const ModelAccess access = GENERATE(ModelAccess::in_memory, ModelAccess::mapped);
  Recommender recommender = Recommender::open((directory.path() / "model").string(), {.model_access = access});
  Recommender expected = Recommender::open(model);
  for (Recommender* const one : {&recommender, &expected})
    one->upsert_item({.id = "fresh", .fields = {{"letter", "c"}}});
  CHECK(same_items(recommender.recommend({.user = "u1", .k = 100}), expected.recommend({.user = "u1", .k = 100})));
}

TEST_CASE("Items come with content while threads ask, tell and reload, and none of them is missed",
          "[serving][content]") {
  const TrainedModel model = model_with_content();
  Recommender recommender = Recommender::open(model);
  std::atomic<std::size_t> shown = 0;
  std::atomic<bool> done = false, complete = true;
  std::vector<std::thread> threads;
  for (std::size_t t = 0; t < 2; ++t) {
    threads.emplace_back([&, t] {
      while (!done) {
        const std::size_t before = shown;
        const Answer answer = recommender.recommend({.user = test::user_name(t), .k = 500, .exclude_seen = false});
        if (answer.items.size() < 50 + before) complete = false;
        recommender.observe({.user = test::user_name(t), .item = "fresh0"});
        recommender.explain(test::user_name(t), "fresh0");
      }
    });
  }
  threads.emplace_back([&] {
    while (!done) recommender.reload(model);
  });
  for (std::size_t i = 0; i < 200; ++i) {
    const std::string name = std::string("fresh").append(std::to_string(i)), of = letter(i);
    recommender.upsert_item({.id = name, .fields = {{"letter", of}}});
    ++shown;
  }
  done = true;
  for (std::thread& thread : threads) thread.join();
  CHECK(complete);
  CHECK(recommender.recommend({.user = "u1", .k = 500, .exclude_seen = false}).items.size() == 250);
}

TEST_CASE("An item of which nothing is said stays unavailable, however the catalogue grows", "[serving][content]") {
  RecommenderOptions options;
  options.item_fields = {{"price", FieldType::number}};
  Recommender recommender = Recommender::open(model_with_content({.items = 64}), options);
  const Policy cheap = recommender.compile({.filter = "not price > 5"});
  const Policy boosted = recommender.compile({.boosts = {{.filter = "price > 5", .amount = 1}}});
  const auto everything = [&](const Policy* policy) {
    return recommender.recommend({.user = "stranger", .k = 500, .policy = policy}).items.size();
  };
  for (const Policy* const policy : {static_cast<const Policy*>(nullptr), &cheap, &boosted})
    CHECK(everything(policy) == 64);
  for (std::size_t i = 0; i < 130; ++i) {
    const std::string name = std::string("bare").append(std::to_string(i));
    recommender.upsert_item({.id = name});
    recommender.upsert_item({.id = name, .fields = {{"price", 3}}});
    recommender.upsert_item({.id = name, .fields = {{"letter", ""}}});
    for (const Policy* const policy : {static_cast<const Policy*>(nullptr), &cheap, &boosted}) {
      REQUIRE(everything(policy) == 64);
    }
  }
  recommender.upsert_item({.id = "bare7", .fields = {{"letter", "c"}}});
  for (const Policy* const policy : {static_cast<const Policy*>(nullptr), &cheap, &boosted})
    CHECK(everything(policy) == 65);
  recommender.upsert_item({.id = "bare7", .fields = {{"letter", ""}}});
  for (const Policy* const policy : {static_cast<const Policy*>(nullptr), &cheap, &boosted})
    CHECK(everything(policy) == 64);
}

TEST_CASE("A new item that nobody takes sinks while others are taken", "[serving][content]") {
  Recommender recommender = Recommender::open(model_with_content());
  recommender.upsert_item({.id = "fresh", .fields = {{"letter", "c"}}});
  const auto score = [&] { return find(recommender.rank("stranger", {"fresh"}), "fresh")->score; };
  const float at_first = score();
  for (std::size_t event = 0; event < 500; ++event) {
    const std::string user = std::string("new").append(std::to_string(event));
    recommender.observe({.user = user, .item = "i3"});
  }
  CHECK(score() == Approx(at_first * 0.5f / (500.0f / 50.0f + 0.5f)));
}

TEST_CASE("More items than there are can be asked for beside items of content", "[serving][content]") {
  Recommender recommender = Recommender::open(model_with_content());
  recommender.upsert_item({.id = "fresh", .fields = {{"letter", "c"}}});
  constexpr std::size_t kAll = std::numeric_limits<std::size_t>::max();
  CHECK(recommender.similar_items("i3", kAll).items.size() == 50);
  CHECK(recommender.explain("u1", "fresh", {.k = kAll}).counterfactual.among_best);
  CHECK(recommender.recommend({.user = "u1", .k = kAll, .exclude_seen = false}).items.size() == 51);
}
