// SPDX-License-Identifier: Apache-2.0

// A host's own scorer behind the facade: the trained encoder stays, but among items that fit a user, newer ones come
// first. The bonus depends on when the request happens.
//   custom_scorer MODEL_DIRECTORY

#include <algorithm>
#include <attune/attune.hpp>
#include <cmath>
#include <cstdio>
#include <iostream>
#include <memory>
#include <vector>

// Cosine plus `weight` for an item that appeared just now, half of it after each `half_life`.
class FreshnessScorer {
 public:
  // `first_seen` [size]: when each item had its first event; kNoTime, which is never fresh, where that is not known.
  FreshnessScorer(attune::ScorerRows<float> rows, std::vector<attune::Timestamp> first_seen, float weight,
                  double half_life)
      : cosine_(std::move(rows)), first_seen_(std::move(first_seen)), weight_(weight), half_life_(half_life) {}

  std::size_t size() const noexcept { return cosine_.size(); }
  attune::ScoreKind kind() const noexcept { return attune::ScoreKind::blend; }
  bool scorable(attune::ItemHandle item) const noexcept { return cosine_.scorable(item); }

  std::span<const attune::ScoredHandle> top_k(const attune::Query& query, std::span<const std::uint64_t> eligible,
                                              std::span<const float> additive, std::size_t k,
                                              attune::Workspace& workspace) const {
    return cosine_.top_k(query, eligible, with_bonus(query.context.now, additive), k, workspace);
  }
  void score(const attune::Query& query, std::span<const attune::ItemHandle> handles, std::span<const float> additive,
             std::span<float> scores, attune::Workspace& workspace) const {
    cosine_.score(query, handles, with_bonus(query.context.now, additive), scores, workspace);
  }

 private:
  // The additive terms of the request, one per item, with the bonus on top. Without a time nothing is fresh.
  std::span<const float> with_bonus(attune::Timestamp now, std::span<const float> additive) const {
    if (now == attune::kNoTime) return additive;
    thread_local std::vector<float> terms;
    terms.assign(additive.begin(), additive.end());
    terms.resize(size());
    for (std::size_t item = 0; item < size(); ++item) {
      if (first_seen_[item] == attune::kNoTime) continue;
      const double age = static_cast<double>(std::max<attune::Timestamp>(0, now - first_seen_[item]));
      terms[item] += weight_ * static_cast<float>(std::exp2(-age / half_life_));
    }
    return terms;
  }

  attune::CosineScorer<float> cosine_;
  std::vector<attune::Timestamp> first_seen_;
  float weight_;
  double half_life_;
};
static_assert(attune::Scorer<FreshnessScorer>);

std::vector<attune::Timestamp> first_events(const attune::Histories& histories) {
  std::vector<attune::Timestamp> first(histories.num_items(), attune::kNoTime);
  for (std::size_t i = 0; i < histories.times.size(); ++i) {
    attune::Timestamp& seen = first[histories.items[i]];
    if (seen == attune::kNoTime || histories.times[i] < seen) seen = histories.times[i];
  }
  return first;
}

void print(const char* title, const attune::Answer& answer) {
  std::printf("%s:", title);
  for (const auto& next : answer.items) std::printf(" %s", attune::to_string(next.item).c_str());
  std::printf("\n");
}

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: custom_scorer MODEL_DIRECTORY\n";
    return 2;
  }
  try {
    const auto model = attune::TrainedModel::load(argv[1]);
    if (!model.encoder || !model.histories || model.histories->num_users() == 0) {
      throw attune::Error(attune::ErrorCode::invalid_argument, "expected a model with an encoder and histories");
    }
    constexpr double kWeek = 7.0 * 24 * 3600 * 1000;
    attune::Engine engine(attune::SharedEncoder(model.encoder),
                          FreshnessScorer({model.encoder->items(), attune::ScoreKind::cosine},
                                          first_events(*model.histories), 0.5f, kWeek),
                          attune::CountsColdStart(model.popularity, model.counts));
    auto fresh = attune::make_recommender(std::move(engine), {.item_ids = *model.item_ids, .version = "fresh first"});
    auto plain = attune::Recommender::open(argv[1]);

    // The first user of the model, as both see him.
    const attune::Histories& histories = *model.histories;
    const attune::HistoryView history = histories.of(0);
    std::vector<attune::Id> items;
    for (const attune::ItemHandle item : history.items) items.push_back(histories.item_ids->id(item));
    const attune::Timestamp now = history.times.empty() ? attune::kNoTime : history.times.back();
    print("as trained", plain.recommend_history(items, {.now = now}, history.times));
    print("fresh first", fresh.recommend_history(items, {.now = now}, history.times));
  } catch (const attune::Error& error) {
    std::cerr << "custom_scorer: " << error.what() << '\n';
    return 1;
  }
}
