// SPDX-License-Identifier: Apache-2.0
#include "serving/content_rows.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

#include "attune/detail/kernels.hpp"

namespace attune::inline v0_1 {
namespace {

// Shorter vectors say nothing.
constexpr double kTiny = 1e-30;

bool has_length(std::span<const float> vector) noexcept {
  double squares = 0;
  for (const float x : vector) squares += static_cast<double>(x) * static_cast<double>(x);
  return std::isfinite(squares) && squares > kTiny * kTiny;
}

}  // namespace

ContentRows::ContentRows(std::size_t dim, std::shared_ptr<const std::atomic<std::size_t>> events, std::size_t num_items)
    : dim_(dim),
      stride_((dim + detail::kLanes - 1) / detail::kLanes * detail::kLanes),
      events_(std::move(events)),
      num_items_(static_cast<float>(std::max<std::size_t>(num_items, 1))),
      kernels_(&detail::float_kernels()) {}

std::shared_ptr<ContentRows::Group> ContentRows::copy_of(std::size_t group) const {
  auto copy = std::make_shared<Group>();
  const std::span<float> rows = copy->rows.take(kGroup * stride_);
  if (const Group* const from = groups_[group - first_group_].get()) {
    copy->items = from->items;
    copy->facts = from->facts;
    std::copy_n(from->rows.data(), rows.size(), rows.data());
  } else {
    std::ranges::fill(rows, 0.0f);
  }
  return copy;
}

void ContentRows::reach(std::size_t group) {
  if (groups_.empty()) first_group_ = group;
  if (group < first_group_) {
    groups_.insert(groups_.begin(), first_group_ - group, nullptr);
    first_group_ = group;
  }
  if (group - first_group_ >= groups_.size()) groups_.resize(group - first_group_ + 1);
}

std::shared_ptr<const ContentRows> ContentRows::with(std::span<const ItemHandle> items, std::span<const float> vectors,
                                                     std::span<const ContentFacts> facts) const {
  auto changed = std::make_shared<ContentRows>(*this);
  std::vector<std::size_t> order(items.size());
  for (std::size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::ranges::sort(order, {}, [&](std::size_t i) { return items[i]; });
  for (std::size_t i = 0; i < order.size();) {
    const std::size_t number = items[order[i]] / kGroup;
    changed->reach(number);
    const std::shared_ptr<Group> group = changed->copy_of(number);
    for (; i < order.size() && items[order[i]] / kGroup == number; ++i) {
      const std::span<const float> vector = vectors.subspan(order[i] * dim_, dim_);
      const std::size_t place = items[order[i]] % kGroup;
      const bool kept = has_length(vector);
      group->facts[place] = facts[order[i]];
      for (std::size_t d = 0; d < dim_; ++d) group->rows.data()[place * stride_ + d] = kept ? vector[d] : 0.0f;
      group->items = (group->items & ~(std::uint64_t{1} << place)) | std::uint64_t{kept} << place;
    }
    changed->groups_[number - changed->first_group_] = group;
  }
  return changed;
}

float ContentRows::dot(const float* query, ItemHandle item) const noexcept {
  float score = 0;
  kernels_->dot_rows(&score, query, row(item), stride_, stride_, 1);
  return score;
}

float ContentRows::length(ItemHandle item) const noexcept { return std::sqrt(dot(row(item), item)); }

}  // namespace attune::inline v0_1
