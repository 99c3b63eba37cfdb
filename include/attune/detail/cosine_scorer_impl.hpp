// SPDX-License-Identifier: Apache-2.0
#pragma once

// Bodies of CosineScorer: the scan goes in groups of 64 rows, one word of every bitmap each.

#include <algorithm>
#include <bit>
#include <cmath>
#include <concepts>
#include <limits>
#include <utility>
#include <vector>

#include "attune/detail/certified_scan.hpp"
#include "attune/detail/kernels.hpp"
#include "attune/detail/top_k.hpp"
#include "attune/serving/cosine_scorer.hpp"

namespace attune::inline v0_1 {

template <class Storage>
CosineScorer<Storage>::CosineScorer(ScorerRows<Storage> rows, float scale)
    : rows_(std::move(rows)), scale_(scale), kernels_(&detail::kernels<float>()) {}

template <class Storage>
std::uint64_t CosineScorer<Storage>::score_rows(float* scores, const float* query, std::size_t first, std::size_t count,
                                                const detail::ScoreTerms& terms, float threshold) const {
  exact().dot(scores, query, first, count);
  const float* const additive = terms.additive.empty() ? nullptr : terms.additive.data() + first;
  return kernels_->finish_scores(scores, terms.scale, additive, threshold, count);
}

template <class Storage>
std::span<const ScoredHandle> CosineScorer<Storage>::top_k(const Query& query, std::span<const std::uint64_t> eligible,
                                                           std::span<const float> additive, std::size_t k,
                                                           Workspace& workspace) const {
  return scan(query.user_vector, {scale_, additive}, eligible, k, workspace);
}

template <class Storage>
void CosineScorer<Storage>::top_k_batch(std::span<BatchedQuery> queries, std::span<const std::uint64_t> eligible,
                                        Workspace& workspace) const {
  std::vector<BatchedQuery*> left;
  if constexpr (std::same_as<Storage, std::int8_t>) {
    left = detail::certified_scan_batch(queries, exact(), rows_.codes(), scale_, eligible, workspace);
  } else {
    for (BatchedQuery& query : queries) left.push_back(&query);
  }
  if (left.empty()) return;
  std::vector<std::uint64_t> own(eligible.begin(), eligible.end());
  for (BatchedQuery* const query : left) {
    const auto for_excluded = [&](auto change) {
      for (const ItemHandle item : query->excluded) {
        if (item / kGroup < own.size()) change(own[item / kGroup], item);
      }
    };
    for_excluded([](std::uint64_t& word, ItemHandle item) { word &= ~(std::uint64_t{1} << (item % kGroup)); });
    const auto best = scan(query->user_vector, {scale_, {}}, own, query->k, workspace);
    query->best.assign(best.begin(), best.end());
    for_excluded([&](std::uint64_t& word, ItemHandle item) { word = eligible[item / kGroup]; });
  }
}

template <class Storage>
Neighbours CosineScorer<Storage>::similar(ItemHandle item, std::span<const std::uint64_t> eligible, std::size_t k,
                                          Workspace& workspace) const {
  return {nearest({exact().row(item), exact().dim()}, eligible, k, workspace), kind()};
}

template <class Storage>
void CosineScorer<Storage>::similarities(ItemHandle item, std::span<const ItemHandle> handles,
                                         std::span<float> cosines) const {
  std::ranges::fill(cosines, 0.0f);
  if (!scorable(item)) return;
  const ScorerRows<float>& rows = exact();
  for (std::size_t i = 0, end = 0; i < handles.size(); i = end + 1) {
    for (end = i; end < handles.size() && scorable(handles[end]);) ++end;
    rows.dot_at(cosines.data() + i, rows.row(item), handles.subspan(i, end - i));
  }
  if (kind() == ScoreKind::cosine) return;
  const auto length = [&](ItemHandle of) {
    float square = 0;
    rows.dot_at(&square, rows.row(of), {&of, 1});
    return std::sqrt(square);
  };
  const float own_length = length(item);
  for (std::size_t i = 0; i < handles.size(); ++i) {
    if (!scorable(handles[i])) continue;
    cosines[i] /= own_length;
    cosines[i] /= length(handles[i]);
    if (!std::isfinite(cosines[i])) cosines[i] = 0;  // of vectors too long or too short for a dot product
  }
}

template <class Storage>
bool CosineScorer<Storage>::vector(ItemHandle item, std::span<float> vector) const {
  if (!scorable(item)) return false;
  std::copy_n(exact().row(item), vector.size(), vector.begin());
  return true;
}

template <class Storage>
void CosineScorer<Storage>::subtract(std::span<float> user_vector, ItemHandle item, float amount) const {
  const std::span<const float> row(exact().row(item), user_vector.size());
  if (kind() == ScoreKind::dot) {
    double square = 0;
    for (const float x : row) square += static_cast<double>(x) * static_cast<double>(x);
    amount = static_cast<float>(static_cast<double>(amount) / std::sqrt(square));
  }
  for (std::size_t d = 0; d < row.size(); ++d) user_vector[d] -= amount * row[d];
}

// Of a cosine of u with the unit vector r: (r - <r, u> u / |u|^2) / |u|.
template <class Storage>
void CosineScorer<Storage>::gradient(std::span<float> d_user_vector, std::span<const float> user_vector,
                                     ItemHandle item) const {
  const std::span<const float> row(exact().row(item), user_vector.size());
  double product = 0, square = 0;
  for (std::size_t d = 0; d < row.size(); ++d) {
    product += static_cast<double>(row[d]) * static_cast<double>(user_vector[d]);
    square += static_cast<double>(user_vector[d]) * static_cast<double>(user_vector[d]);
  }
  const bool is_cosine = kind() == ScoreKind::cosine;
  const double scale = static_cast<double>(scale_) / (is_cosine ? std::sqrt(square) : 1.0);
  const double along = is_cosine ? product / square : 0.0;
  for (std::size_t d = 0; d < row.size(); ++d) {
    d_user_vector[d] =
        static_cast<float>(scale * (static_cast<double>(row[d]) - along * static_cast<double>(user_vector[d])));
  }
}

template <class Storage>
std::span<const ScoredHandle> CosineScorer<Storage>::scan(std::span<const float> vector,
                                                          const detail::ScoreTerms& terms,
                                                          std::span<const std::uint64_t> eligible, std::size_t k,
                                                          Workspace& workspace) const {
  k = std::min(k, exact().num_scorable());
  detail::TopK best(workspace.top, k);
  if (k == 0 || !exact().prepare(vector, workspace.query)) return {};
  const float* prepared = workspace.query.take(exact().stride()).data();
  if constexpr (std::same_as<Storage, Clustered>) {
    if (detail::pruned_search(best, k, exact(), rows_.clusters(), prepared, terms, eligible, workspace)) {
      return best.finish();
    }
  } else if constexpr (!std::same_as<Storage, float>) {
    if (detail::certified_scan(best, k, exact(), rows_.codes(), prepared, terms, eligible, workspace)) {
      return best.finish();
    }
  }
  float* scores = workspace.scores.take(kGroup).data();
  const auto score_group = [&](std::size_t first, std::size_t count, std::uint64_t wanted) {
    const std::uint64_t passed = score_rows(scores, prepared, first, count, terms, best.threshold()) & wanted;
    detail::for_each_bit(passed, [&](std::size_t bit) {
      best.push({static_cast<ItemHandle>(first + bit), scores[bit]});
    });
  };

  const std::span<const std::uint64_t> scorable = exact().scorable_bits();
  for (std::size_t group = 0; group < std::min(eligible.size(), scorable.size()); ++group) {
    const std::uint64_t wanted = eligible[group] & scorable[group];
    const std::size_t first = group * kGroup;
    if (std::popcount(wanted) >= kDense) {
      score_group(first, std::min(kGroup, rows_.size() - first), wanted);
    } else {
      detail::for_each_bit(wanted, [&](std::size_t bit) { score_group(first + bit, 1, 1); });
    }
  }
  return best.finish();
}

template <class Storage>
void CosineScorer<Storage>::score(const Query& query, std::span<const ItemHandle> handles,
                                  std::span<const float> additive, std::span<float> scores,
                                  Workspace& workspace) const {
  constexpr float kUnscorable = -std::numeric_limits<float>::infinity();
  const bool comparable = exact().prepare(query.user_vector, workspace.query);
  const float* prepared = workspace.query.take(exact().stride()).data();
  for (std::size_t i = 0; i < handles.size(); ++i) {
    scores[i] = kUnscorable;
    if (!comparable || !scorable(handles[i])) continue;
    score_rows(&scores[i], prepared, handles[i], 1, {scale_, additive}, kUnscorable);
    if (!std::isfinite(scores[i])) scores[i] = kUnscorable;
  }
}

}  // namespace attune::inline v0_1
