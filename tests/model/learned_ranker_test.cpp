// SPDX-License-Identifier: Apache-2.0
#include "attune/model/learned_ranker.hpp"

#include <array>
#include <cmath>
#include <limits>
#include <memory>

#include "attune/error.hpp"
#include "attune/model/markov_model.hpp"
#include "catch.hpp"
#include "model/candidate_features.hpp"

using namespace attune;
using Features = std::array<float, LearnedRanker::kNumFeatures>;

namespace {

constexpr Timestamp kMinute = 60'000;

// Three users' walks over five items.
Histories walks() {
  Histories histories;
  auto ids = std::make_shared<IdMap>(IdKind::int64);
  for (int i = 0; i < 5; ++i) ids->insert(i);
  histories.item_ids = ids;
  for (const ItemHandle item : {0u, 1u, 2u, 0u, 1u, 3u, 1u, 0u, 1u}) histories.items.push_back(item);
  histories.offsets = {0, 3, 6, 9};
  return histories;
}

Features features_of(const detail::CandidateFeatures& reader, HistoryView history, Timestamp now, ItemHandle item,
                     float score, bool seen = true) {
  Workspace workspace;
  Features features;
  reader.fill(features, reader.read(history, now, seen, workspace), item, score);
  return features;
}

}  // namespace

TEST_CASE("A learned ranker is a weighted sum, and every feature has a name", "[model][learned_ranker]") {
  LearnedRanker ranker{10, std::vector<float>(LearnedRanker::kNumFeatures, 0.0f)};
  ranker.weights[0] = 2;
  ranker.weights[8] = -1;
  Features features{};
  features[0] = 0.5f;
  features[8] = 3;
  CHECK(ranker(features) == -2.0f);
  CHECK(LearnedRanker::feature_names().front() == "score");
  CHECK(LearnedRanker::feature_names().back() == "together");
}

TEST_CASE("Features of a candidate are those by hand", "[model][learned_ranker]") {
  const Histories train = walks();
  const auto counts = std::make_shared<const MarkovModel>(MarkovModel::fit(train));
  const std::vector<std::uint64_t> events{3, 4, 1, 1, 0};
  const detail::CandidateFeatures reader(counts, events, false);
  const std::vector<ItemHandle> items{1, 2, 1, 0};
  const std::vector<Timestamp> times{0, 4 * kMinute, 5 * kMinute, 9 * kMinute};
  const HistoryView history{.items = items, .times = times};

  std::vector<float> terms(5);
  counts->score_all(history, terms);
  counts->to_terms(terms);
  const Features twice = features_of(reader, history, kNoTime, 1, 0.7f);
  CHECK(twice[0] == 0.7f);
  CHECK(twice[1] == terms[1]);
  CHECK(twice[2] == Approx(std::log(5.0)));
  CHECK(twice[3] == 1.0f);
  CHECK(twice[4] == Approx(std::log(3.0)));
  CHECK(twice[5] == 0.5f);
  CHECK(twice[6] == 0.5f);
  CHECK(twice[7] == Approx(std::log(5.0)));
  CHECK(twice[8] == 0.0f);
  const Features last = features_of(reader, history, kNoTime, 0, 0.7f);
  CHECK(last[6] == 1.0f);
  CHECK(last[7] == 0.0f);
  CHECK(last[8] == 1.0f);
  CHECK(features_of(reader, history, kNoTime, 3, -1.0f) ==
        Features{-1.0f, terms[3], static_cast<float>(std::log1p(1.0)), 0, 0, 0, 0, 0, 0});
}

TEST_CASE("The time of the request counts where the encoder reads it, and only there", "[model][learned_ranker]") {
  const std::vector<ItemHandle> items{1, 0};
  const std::vector<Timestamp> times{0, 2 * kMinute};
  const HistoryView history{.items = items, .times = times};
  const Timestamp now = 10 * kMinute;
  const detail::CandidateFeatures reads({}, {}, true), does_not({}, {}, false);
  CHECK(features_of(reads, history, now, 1, 0)[7] == Approx(std::log(11.0)));
  CHECK(features_of(does_not, history, now, 1, 0)[7] == Approx(std::log(3.0)));
  CHECK(features_of(reads, history, now, 0, 0)[8] == 0.0f);
  CHECK(features_of(does_not, history, now, 0, 0)[8] == 1.0f);
  CHECK(features_of(reads, history, kNoTime, 0, 0)[8] == 1.0f);
  CHECK(features_of(reads, history, -now, 1, 0)[7] == 0.0f);  // a request from before the history
}

TEST_CASE("What is not known is zero, and nothing is told of a history that candidates cannot be in",
          "[model][learned_ranker]") {
  const detail::CandidateFeatures bare({}, {}, true);
  const std::vector<ItemHandle> items{7, 7};
  CHECK(features_of(bare, {}, 5, 7, 2.0f) == Features{2.0f});
  CHECK(features_of(bare, {.items = items}, 5, 7, 2.0f) ==
        Features{2, 0, 0, 1, static_cast<float>(std::log1p(2.0)), 1, 1, 0, 0});  // no times
  CHECK(features_of(bare, {.items = items}, 5, 7, 2.0f, false) == Features{2.0f});
  CHECK(features_of(bare, {.items = items}, 5, kNoHandle, 2.0f) == Features{2.0f});
}

TEST_CASE("Every item of the newest part of a long history is found in it, and no other", "[model][learned_ranker]") {
  std::vector<ItemHandle> items(5000);
  for (std::size_t i = 0; i < items.size(); ++i) items[i] = static_cast<ItemHandle>(3 * i);
  const detail::CandidateFeatures bare({}, {}, false);
  Workspace workspace;
  const auto request = bare.read({.items = items}, kNoTime, true, workspace);
  Features features;
  const ItemHandle oldest = items[items.size() - LearnedRanker::kMaxEvents];
  std::size_t wrong = 0;
  for (ItemHandle item = 0; item < 15'000; ++item) {
    bare.fill(features, request, item, 0);
    wrong += features[3] != (item % 3 == 0 && item >= oldest ? 1.0f : 0.0f);
  }
  CHECK(wrong == 0);
  bare.fill(features, request, items.back(), 0);
  CHECK(features[5] == 1.0f / static_cast<float>(LearnedRanker::kMaxEvents));
}

TEST_CASE("A ranker that is none is refused", "[model][learned_ranker]") {
  LearnedRanker ranker{10, std::vector<float>(LearnedRanker::kNumFeatures, 1.0f)};
  CHECK_NOTHROW(ranker.validate());
  CHECK_NOTHROW(LearnedRanker{}.validate());
  ranker.candidates = 0;
  CHECK_THROWS_AS(ranker.validate(), Error);
  ranker.candidates = 1;
  ranker.weights[3] = std::numeric_limits<float>::infinity();
  CHECK_THROWS_AS(ranker.validate(), Error);
  ranker.weights.pop_back();
  CHECK_THROWS_AS(ranker.validate(), Error);
}
