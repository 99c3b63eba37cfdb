// SPDX-License-Identifier: Apache-2.0
#pragma once

// Small models with random weights and random histories: everything serving needs, without training.

#include <memory>
#include <random>
#include <string>
#include <vector>

#include "attune/model/checkpoint.hpp"
#include "attune/model/count_models.hpp"

namespace attune::test {

struct SmallModel {
  std::uint64_t seed = 1;
  std::size_t items = 50, users = 8, events = 12;  // events of each user
  std::size_t first_item = 0;                      // items are "i<first_item>", ...
  std::size_t first_user = 0;
  std::size_t dim = 16, window = 20, hop = 5;
  std::size_t item_groups = 0;  // of items with nearly the same vectors; 0: vectors that have nothing in common
  ScoreKind score = ScoreKind::cosine;
  double blend_weight = 0;
  bool encoder = true;
  bool timed = false;  // HSTU that reads times, that of the request among them
  bool request_time = true;
  CountOptions counts = MarkovOptions{};
  IdKind item_kind = IdKind::string;
  std::string version = "small";
};

inline std::string item_name(std::size_t i) { return std::string("i").append(std::to_string(i)); }
inline std::string user_name(std::size_t u) { return std::string("u").append(std::to_string(u)); }

// Options of every kind of count model.
inline std::vector<CountOptions> all_count_options() {
  return {PopularityOptions{.window_days = 0.05},
          MarkovOptions{},
          ItemKnnOptions{},
          EaseOptions{.lambda = 2},
          IalsOptions{.embedding_dim = 16, .epochs = 2},
          RepeatOptions{.half_life_days = 0.01}};
}

inline TrainedModel make_model(const SmallModel& options = {}) {
  std::mt19937_64 random(options.seed);
  auto items = std::make_shared<IdMap>(options.item_kind);
  for (std::size_t i = 0; i < options.items; ++i) {
    const std::size_t item = options.first_item + i;
    options.item_kind == IdKind::string ? items->insert(item_name(item)) : items->insert(item);
  }
  auto users = std::make_shared<IdMap>();
  auto histories = std::make_shared<Histories>();
  for (std::size_t u = 0; u < options.users; ++u) {
    users->insert(user_name(options.first_user + u));
    for (std::size_t e = 0; e < options.events; ++e) {
      histories->items.push_back(static_cast<ItemHandle>(random() % options.items));
      histories->times.push_back(static_cast<Timestamp>(1'000'000 * (e + 1)));
      histories->kinds.push_back(0);
      histories->values.push_back(1.0f);
    }
    histories->offsets.push_back(histories->items.size());
  }
  histories->user_ids = users;
  histories->item_ids = items;

  TrainedModel model;
  model.version = options.version;
  model.item_ids = items;
  if (options.encoder) {
    EncoderConfig config;
    config.embedding_dim = options.dim;
    config.inner_dim = 2 * options.dim;
    config.max_sequence_length = options.window;
    config.hop = options.hop;
    config.score = options.score;
    if (options.timed) {
      config.block = BlockKind::hstu;
      config.time_buckets = 64;
      config.request_time = options.request_time;
    }
    const std::shared_ptr<SequenceEncoder<float>> encoder = make_encoder(config, options.items);
    encoder->initialize(options.seed);
    EmbeddingTable<float>& rows = encoder->items();
    for (std::size_t i = options.item_groups; i < rows.rows() && options.item_groups != 0; ++i) {
      for (std::size_t d = 0; d < rows.dim(); ++d)
        rows.row(i)[d] = rows.row(i % options.item_groups)[d] + 0.1f * rows.row(i)[d];
    }
    if (options.timed) {  // gaps that matter
      for (const Parameter& part : encoder->parameters().list()) {
        if (!part.name.ends_with("bias")) continue;
        for (std::size_t i = 0; i < part.size; ++i) encoder->weights()[part.offset + i] *= 50.0f;
      }
    }
    model.encoder = encoder;
  }
  model.popularity = std::make_shared<PopularityModel>(PopularityModel::fit(*histories));
  model.counts = fit_counts(*histories, options.counts);
  if (auto counts = std::dynamic_pointer_cast<const PopularityModel>(model.counts)) model.popularity = counts;
  model.blend_weight = options.blend_weight;
  model.histories = histories;
  return model;
}

// The same model with its rows in another order: row i of the result is row order[i] of `model`.
inline TrainedModel reordered(const TrainedModel& model, const std::vector<ItemHandle>& order) {
  TrainedModel result = model;
  auto items = std::make_shared<IdMap>(model.item_ids->kind());
  const std::shared_ptr<SequenceEncoder<float>> encoder = make_encoder(model.encoder->config(), order.size());
  std::copy(model.encoder->weights().begin(), model.encoder->weights().end(), encoder->weights().begin());
  std::vector<ItemHandle> place(order.size());
  for (ItemHandle i = 0; i < order.size(); ++i) {
    items->insert(model.item_ids->id(order[i]));
    const auto from = model.encoder->items().row(order[i]);
    std::copy(from.begin(), from.end(), encoder->items().row(i).begin());
    place[order[i]] = i;
  }
  auto histories = std::make_shared<Histories>(*model.histories);
  for (ItemHandle& item : histories->items) item = place[item];
  histories->item_ids = items;
  result.item_ids = items;
  result.encoder = encoder;
  result.histories = histories;
  result.popularity = std::make_shared<PopularityModel>(PopularityModel::fit(*histories));
  result.counts = fit_counts(*histories, MarkovOptions{});
  return result;
}

}  // namespace attune::test
