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
                     float score) {
  Workspace workspace;
  Features features;
  const Candidate candidate{{}, item, score, 0};
  reader.read(features, history, now, {&candidate, 1}, workspace);
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
  CHECK(twice[1] == Approx(terms[1]));
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
  const Features never = features_of(reader, history, kNoTime, 3, -1.0f);
  CHECK(never[1] == Approx(terms[3]));
  CHECK(never == Features{-1.0f, never[1], static_cast<float>(std::log1p(1.0)), 0, 0, 0, 0, 0, 0});
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

TEST_CASE("What is not known is zero", "[model][learned_ranker]") {
  const detail::CandidateFeatures bare({}, {}, true);
  const std::vector<ItemHandle> items{7, 7};
  CHECK(features_of(bare, {}, 5, 7, 2.0f) == Features{2.0f});
  CHECK(features_of(bare, {.items = items}, 5, 7, 2.0f) ==
        Features{2, 0, 0, 1, static_cast<float>(std::log1p(2.0)), 1, 1, 0, 0});  // no times
  CHECK(features_of(bare, {.items = items}, 5, kNoHandle, 2.0f) == Features{2.0f});
}

TEST_CASE("Every item of the newest part of a long history is found in it, and no other", "[model][learned_ranker]") {
  std::vector<ItemHandle> items(5000);
  for (std::size_t i = 0; i < items.size(); ++i) items[i] = static_cast<ItemHandle>(3 * i);
  const detail::CandidateFeatures bare({}, {}, false);
  Workspace workspace;
  std::vector<Candidate> all;
  for (ItemHandle item = 0; item < 15'000; ++item) all.push_back({{}, item, 0.0f, item});
  std::vector<float> features(all.size() * LearnedRanker::kNumFeatures);
  bare.read(features, {.items = items}, kNoTime, all, workspace);
  const auto feature = [&](ItemHandle item, std::size_t f) { return features[item * LearnedRanker::kNumFeatures + f]; };
  const ItemHandle oldest = items[items.size() - LearnedRanker::kMaxEvents];
  std::size_t wrong = 0;
  for (ItemHandle item = 0; item < 15'000; ++item) {
    wrong += feature(item, 3) != (item % 3 == 0 && item >= oldest ? 1.0f : 0.0f);
  }
  CHECK(wrong == 0);
  CHECK(feature(items.back(), 5) == 1.0f / static_cast<float>(LearnedRanker::kMaxEvents));
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
