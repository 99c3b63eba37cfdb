// SPDX-License-Identifier: Apache-2.0
#pragma once

// Included by both units: every public header, the instances that the library brings and those that a host makes.

#include <array>
#include <cstdint>
#include <numeric>
#include <vector>

#include "every_header.hpp"

// Length of the user vector of a short history, from weights that depend on the seed alone.
template <class T>
double encode_once() {
  attune::EncoderConfig config;
  config.embedding_dim = 8;
  config.inner_dim = 16;
  attune::TransformerEncoder<T, attune::SasrecBlock> encoder(config, 10);
  encoder.initialize(7);
  std::vector<T> user_vector(encoder.dim());
  const std::array<attune::ItemHandle, 3> items{1, 2, 3};
  attune::BasicWorkspace<T> workspace;
  encoder.encode(user_vector, {.items = items}, {}, workspace);
  const T squared = std::inner_product(user_vector.begin(), user_vector.end(), user_vector.begin(), T{});
  return static_cast<double>(squared);
}

template <class T>
double gradient_once() {
  attune::BasicGradientBuffer<T> gradient(4, 10, 8);
  gradient.row(3)[0] = T{2};
  attune::OutputTable<T> output;
  output.assign(attune::EmbeddingTable<T>(10, 8), attune::ScoreKind::dot, 1.0);
  return gradient.squared_norm() + static_cast<double>(output.rows());
}

template <class Storage>
double best_score() {
  attune::EmbeddingTable<float> items(10, 8);
  items.row(4)[2] = 3.0f;
  const attune::CosineScorer<Storage> scorer(attune::ScorerRows<Storage>(items, attune::ScoreKind::dot));
  const std::array<std::uint64_t, 1> eligible{~std::uint64_t{0}};
  attune::Workspace workspace;
  const auto best = scorer.top_k({.user_vector = items.row(4)}, eligible, {}, 1, workspace);
  return static_cast<double>(best.front().score);
}

inline double use_everything() {
  return encode_once<float>() + encode_once<double>() + gradient_once<float>() + gradient_once<double>() +
         best_score<float>() + best_score<std::int8_t>() + best_score<attune::Int4>();
}
