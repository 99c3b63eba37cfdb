// SPDX-License-Identifier: Apache-2.0
#pragma once

// Histories for the tests of count models.

#include <algorithm>
#include <memory>
#include <random>
#include <span>
#include <vector>

#include "attune/data/interaction_log.hpp"
#include "attune/model/count_model.hpp"

namespace attune::test {

using Users = std::vector<std::vector<ItemHandle>>;

inline Histories histories_of(std::size_t num_items, const Users& users) {
  auto ids = std::make_shared<IdMap>(IdKind::int64);
  for (std::size_t item = 0; item < num_items; ++item) ids->insert(Id(item));
  Histories histories;
  histories.item_ids = ids;
  for (const auto& user : users) {
    histories.items.insert(histories.items.end(), user.begin(), user.end());
    histories.offsets.push_back(histories.items.size());
  }
  return histories;
}

// Up to 39 events each, low items more often than high ones, repeated items too.
inline Users random_users(std::size_t num_users, std::size_t num_items, unsigned seed) {
  std::mt19937 random(seed);
  Users users(num_users);
  for (auto& user : users) {
    user.resize(random() % 40);
    for (ItemHandle& item : user) {
      item = static_cast<ItemHandle>(std::min<std::size_t>(random() % num_items, random() % num_items));
    }
  }
  return users;
}

inline std::vector<float> scores_of(const CountModel& model, const std::vector<ItemHandle>& history) {
  std::vector<float> scores(model.num_items(), std::numeric_limits<float>::quiet_NaN());
  model.score_all({history}, scores);
  return scores;
}

// Whether user u has item x, as rows of zeros and ones.
inline std::vector<std::vector<double>> matrix_of(const Users& users, std::size_t num_items) {
  std::vector<std::vector<double>> matrix(users.size(), std::vector<double>(num_items, 0));
  for (std::size_t u = 0; u < users.size(); ++u) {
    for (const ItemHandle item : users[u]) matrix[u][item] = 1;
  }
  return matrix;
}

// The events of a history on items that somebody has, newest first.
inline std::vector<ItemHandle> newest_known(const std::vector<ItemHandle>& history, const Users& users) {
  std::vector<ItemHandle> known;
  for (std::size_t i = history.size(); i-- > 0;) {
    const auto has = [&](const auto& user) { return std::ranges::find(user, history[i]) != user.end(); };
    if (std::ranges::any_of(users, has)) known.push_back(history[i]);
  }
  return known;
}

}  // namespace attune::test
