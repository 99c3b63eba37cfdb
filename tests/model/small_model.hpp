// SPDX-License-Identifier: Apache-2.0
#pragma once

// Trained models small enough to be damaged byte by byte, and the means to do it.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "attune/model/checkpoint.hpp"
#include "attune/model/count_models.hpp"
#include "model/random_encoder.hpp"

namespace attune::test {

inline std::shared_ptr<const IdMap> ids_of(std::size_t count, IdKind kind, const std::string& prefix) {
  auto ids = std::make_shared<IdMap>(kind);
  for (std::size_t i = 0; i < count; ++i) {
    const std::string text = prefix + std::to_string(i);
    ids->insert(kind == IdKind::string ? Id(text) : Id(i * 1'000'000'007 + 5));
  }
  return ids;
}

// Three users: one with events of two kinds, one without any, one with a single event.
inline std::shared_ptr<const Histories> small_histories(std::shared_ptr<const IdMap> item_ids, IdKind users) {
  auto histories = std::make_shared<Histories>();
  histories->item_ids = std::move(item_ids);
  histories->user_ids = ids_of(3, users, "user-");
  histories->event_kinds = {"", "purchase"};
  histories->offsets = {0, 4, 4, 5};
  const auto last = static_cast<ItemHandle>(histories->num_items() - 1);
  histories->items = {0, last, 0, last, last};
  histories->times = {kNoTime, -1, 1'700'000'000'000, 1'700'000'000'001, 0};
  histories->kinds = {0, 1, 0, 0, 1};
  histories->values = {1.0f, -2.5f, 1.0f, 1e-30f, 5.0f};
  return histories;
}

inline EncoderConfig small_config() {
  EncoderConfig config;
  config.embedding_dim = 8;
  config.num_blocks = 2;
  config.num_heads = 2;
  config.inner_dim = 12;
  config.max_sequence_length = 10;
  config.hop = 3;
  config.activation = Activation::silu;
  config.norm_placement = NormPlacement::post;
  config.embedding_norm = true;
  config.scale_items = true;
  config.dropout = 0.1;
  config.temperature = 0.07;
  return config;
}

// Options of every kind of count model, none of them a default.
inline std::vector<CountOptions> all_count_options() {
  return {PopularityOptions{.window_days = 2},
          MarkovOptions{.decay = 0.7},
          ItemKnnOptions{.neighbours = 3, .decay = 0.5},
          EaseOptions{.lambda = 2, .decay = 0.4, .max_items = 50},
          IalsOptions{.embedding_dim = 16,
                      .epochs = 2,
                      .unobserved_weight = 0.2,
                      .regularization = 0.05,
                      .regularization_power = 0.5,
                      .decay = 0.9},
          RepeatOptions{.half_life_days = 3, .smoothing = 0.1}};
}

// The model, counting in another way.
inline TrainedModel counting(TrainedModel model, const CountOptions& options) {
  model.counts = fit_counts(*model.histories, options);
  if (auto popularity = std::dynamic_pointer_cast<const PopularityModel>(model.counts)) model.popularity = popularity;
  return model;
}

// A model with every part there is. Precondition: at least one item.
inline TrainedModel small_model(std::size_t num_items = 6, IdKind kind = IdKind::string) {
  TrainedModel model;
  model.item_ids = ids_of(num_items, kind, "item \xE2\x82\xAC ");
  model.encoder = std::make_shared<const SasrecEncoder>(random_encoder<float>(small_config(), num_items));
  model.histories = small_histories(model.item_ids, kind);
  model.popularity = std::make_shared<const PopularityModel>(PopularityModel::fit(*model.histories));
  model.counts = fit_counts(*model.histories, MarkovOptions{.decay = 0.7});
  model.blend_weight = 0.3;
  model.notes = {{"split", "leave-one-out"}, {"comment", "two\nlines, a \"quote\" and \xE2\x82\xAC"}};
  return model;
}

// The same, to be saved with weights in 8 bits.
inline TrainedModel compressed(TrainedModel model) {
  model.weight_storage = WeightStorage::int8;
  model.version.clear();
  return model;
}

// The first difference between two models, "" when there is none: numbers are compared bit for bit.
std::string difference(const TrainedModel& a, const TrainedModel& b);

}  // namespace attune::test
