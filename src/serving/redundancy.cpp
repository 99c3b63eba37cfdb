// SPDX-License-Identifier: Apache-2.0
#include "serving/redundancy.hpp"

#include <algorithm>
#include <cmath>

namespace attune::inline v0_1 {
namespace {

// Below this a squared length is rounding.
constexpr double kLeast = 1e-6;

}  // namespace

void Redundancy::start(DiversityMethod method, std::span<const ItemHandle> items, ItemRelations& relations) {
  method_ = method;
  items_ = items;
  relations_ = &relations;
  joined_ = 0;
  chosen_.clear();
  directions_.clear();
  cosines_.resize(items.size());
  state_.assign(items.size(), method == DiversityMethod::mmr ? -1.0 : 1.0);
  factor_.clear();
}

void Redundancy::join(std::size_t count) {
  if (count <= joined_) return;
  for (const std::size_t chosen : chosen_) compare(chosen, joined_, count);
  for (std::size_t d = 0; d < directions_.size(); ++d) take_away(d, joined_, count);
  joined_ = count;
}

void Redundancy::choose(std::size_t i) {
  if (method_ == DiversityMethod::mmr) {
    chosen_.push_back(i);
    compare(i, 0, joined_);
    return;
  }
  if (state_[i] < kLeast) return;  // nothing is left of the others that it could take away
  directions_.push_back({i, std::sqrt(state_[i])});
  factor_.resize(factor_.size() + items_.size());
  take_away(directions_.size() - 1, 0, joined_);
}

double Redundancy::of(std::size_t i) const noexcept {
  if (method_ == DiversityMethod::dpp) return -std::log(std::max(state_[i], kLeast));
  return chosen_.empty() ? 0.0 : state_[i];
}

void Redundancy::compare(std::size_t chosen, std::size_t begin, std::size_t end) {
  const std::size_t count = end - begin;
  relations_->similarities(items_[chosen], items_.subspan(begin, count), std::span(cosines_).first(count));
  for (std::size_t i = 0; i < count; ++i) {
    state_[begin + i] = std::max(state_[begin + i], static_cast<double>(cosines_[i]));
  }
}

void Redundancy::take_away(std::size_t direction, std::size_t begin, std::size_t end) {
  const auto [chosen, length] = directions_[direction];
  const std::size_t count = end - begin, width = items_.size();
  relations_->similarities(items_[chosen], items_.subspan(begin, count), std::span(cosines_).first(count));
  double* const row = factor_.data() + direction * width;
  for (std::size_t i = 0; i < count; ++i) row[begin + i] = static_cast<double>(cosines_[i]);
  for (std::size_t d = 0; d < direction; ++d) {
    const double* const earlier = factor_.data() + d * width;
    const double along = earlier[chosen];
    for (std::size_t i = begin; i < end; ++i) row[i] -= along * earlier[i];
  }
  for (std::size_t i = begin; i < end; ++i) {
    row[i] /= length;
    state_[i] -= row[i] * row[i];
  }
}

}  // namespace attune::inline v0_1
