// SPDX-License-Identifier: Apache-2.0
#pragma once

// Histories and configurations that train in milliseconds.

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "attune/detail/dropout.hpp"
#include "attune/error.hpp"
#include "attune/training/trainer.hpp"
#include "catch.hpp"
#include "errors.hpp"

namespace attune::test {

// `users` histories of `length` events; event i of user u is item(u, i).
inline Histories histories_of(std::size_t users, std::size_t length, std::size_t items,
                              const std::function<std::size_t(std::size_t, std::size_t)>& item) {
  Histories histories;
  auto ids = std::make_shared<IdMap>(IdKind::int64);
  for (std::size_t i = 0; i < items; ++i) ids->insert(i);
  histories.item_ids = ids;
  for (std::size_t u = 0; u < users; ++u) {
    for (std::size_t i = 0; i < length; ++i) histories.items.push_back(static_cast<ItemHandle>(item(u, i)));
    histories.offsets.push_back(histories.items.size());
  }
  histories.kinds.assign(histories.items.size(), 0);
  histories.values.assign(histories.items.size(), 1.0f);
  return histories;
}

// The next item is the one after the last: 0, 1, 2, ..., 0, 1, ...
inline Histories cycle(std::size_t users, std::size_t length, std::size_t items) {
  return histories_of(users, length, items, [items](std::size_t u, std::size_t i) { return (u + i) % items; });
}

inline Histories scattered(std::size_t users, std::size_t length, std::size_t items) {
  return histories_of(users, length, items,
                      [=](std::size_t u, std::size_t i) { return detail::mix(u, i % (1 + u % length)) % items; });
}

inline TrainerConfig small_config() {
  TrainerConfig config;
  config.encoder.embedding_dim = 16;
  config.encoder.num_blocks = 1;
  config.encoder.inner_dim = 32;
  config.encoder.max_sequence_length = 20;
  config.encoder.dropout = 0.1;
  config.adam.learning_rate = 0.01;
  config.batch_sequences = 16;
  config.warmup_steps = 5;
  config.epochs = 3;
  return config;
}

inline Split leave_one_out(Histories histories) {
  return split(std::move(histories), SplitOptions::parse("leave-one-out"));
}

inline std::vector<float> all_weights(const TrainedModel& model) {
  std::vector<float> all(model.encoder->weights().begin(), model.encoder->weights().end());
  for (std::size_t r = 0; r < model.encoder->items().rows(); ++r) {
    const auto row = model.encoder->items().row(r);
    all.insert(all.end(), row.begin(), row.end());
  }
  return all;
}

}  // namespace attune::test
