// SPDX-License-Identifier: Apache-2.0
#pragma once

// What an answer should be, worked out the slow way, and how answers are compared.

#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "attune/model/checkpoint.hpp"
#include "attune/recommender.hpp"
#include "catch.hpp"

namespace attune::test {

inline std::vector<std::string> item_ids(const Answer& answer) {
  std::vector<std::string> result;
  for (const Recommendation& r : answer.items) result.push_back(to_string(r.item));
  return result;
}

// Bit for bit.
inline bool same_items(const Answer& a, const Answer& b) {
  return std::ranges::equal(a.items, b.items, [](const Recommendation& x, const Recommendation& y) {
    return x.item == y.item && x.score == y.score;
  });
}

// Cosine of every item with the encoder's vector of the history, in double.
inline std::vector<double> cosines(const TrainedModel& model, HistoryView history, const Context& context = {}) {
  const SequenceEncoder<float>& encoder = *model.encoder;
  Workspace workspace;
  std::vector<float> user(encoder.dim());
  encoder.encode(user, history, context, workspace);
  const auto dot = [](std::span<const float> x, std::span<const float> y) {
    double sum = 0;
    for (std::size_t d = 0; d < x.size(); ++d) sum += static_cast<double>(x[d]) * static_cast<double>(y[d]);
    return sum;
  };
  std::vector<double> scores(model.num_items());
  for (ItemHandle i = 0; i < scores.size(); ++i) {
    const auto row = encoder.items().row(i);
    scores[i] = dot(user, row) / std::sqrt(dot(user, user) * dot(row, row));
  }
  return scores;
}

// The answer holds the k best of the items that are not excluded, each with its score to 1e-5; items that close to
// each other may change places.
inline void check_answer(const Answer& answer, const TrainedModel& model, const std::vector<double>& scores,
                         const std::vector<ItemHandle>& excluded, std::size_t k) {
  std::vector<double> eligible;
  for (ItemHandle i = 0; i < scores.size(); ++i) {
    if (std::ranges::find(excluded, i) == excluded.end()) eligible.push_back(scores[i]);
  }
  std::ranges::sort(eligible, std::greater());
  REQUIRE(answer.items.size() == std::min(k, eligible.size()));
  for (std::size_t rank = 0; rank < answer.items.size(); ++rank) {
    const ItemHandle item = model.item_ids->find(answer.items[rank].item);
    REQUIRE(item != kNoHandle);
    REQUIRE(std::ranges::find(excluded, item) == excluded.end());
    REQUIRE(std::abs(answer.items[rank].score - scores[item]) < 1e-5);
    REQUIRE(std::abs(answer.items[rank].score - eligible[rank]) < 1e-5);
  }
}

}  // namespace attune::test
