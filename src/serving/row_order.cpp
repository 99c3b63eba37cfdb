// SPDX-License-Identifier: Apache-2.0
#include "serving/row_order.hpp"

#include <algorithm>
#include <utility>

namespace attune::inline v0_1 {

RowOrder::RowOrder(std::span<const ItemHandle> handles) : handles_(handles) {
  for (ItemHandle row = 0; row < handles.size(); ++row) {
    const ItemHandle handle = handles[row];
    if (handle >= rows_.size()) rows_.resize(handle + std::size_t{1}, kNoHandle);
    rows_[handle] = row;
    identity_ = identity_ && handle == row;
  }
}

std::shared_ptr<const SequenceEncoder<float>> RowOrder::apply(
    std::shared_ptr<const SequenceEncoder<float>> encoder) const {
  if (identity_) return encoder;
  const std::shared_ptr<SequenceEncoder<float>> ordered = make_encoder(encoder->config(), size());
  std::ranges::copy(encoder->weights(), ordered->weights().begin());
  for (ItemHandle row = 0; row < handles_.size(); ++row) {
    std::ranges::copy(encoder->items().row(row), ordered->items().row(handles_[row]).begin());
  }
  return ordered;
}

std::shared_ptr<const PopularityModel> RowOrder::apply(std::shared_ptr<const PopularityModel> popularity) const {
  if (identity_) return popularity;
  std::vector<std::uint64_t> counts(size());
  for (ItemHandle row = 0; row < handles_.size(); ++row) counts[handles_[row]] = popularity->counts()[row];
  return std::make_shared<PopularityModel>(std::move(counts));
}

std::shared_ptr<const MarkovModel> RowOrder::apply(std::shared_ptr<const MarkovModel> markov) const {
  if (identity_) return markov;
  const MarkovModel::Counts& from = markov->counts();
  MarkovModel::Counts to;
  to.offsets.push_back(0);
  to.popularity.resize(size());
  std::vector<std::pair<std::uint32_t, float>> followers;
  for (ItemHandle handle = 0; handle < size(); ++handle) {
    followers.clear();
    if (const ItemHandle row = rows_[handle]; row != kNoHandle) {
      to.popularity[handle] = from.popularity[row];
      for (std::uint64_t i = from.offsets[row]; i < from.offsets[row + 1]; ++i) {
        followers.emplace_back(handles_[from.columns[i]], from.counts[i]);
      }
    }
    std::ranges::sort(followers, {}, &std::pair<std::uint32_t, float>::first);
    for (const auto& [column, count] : followers) {
      to.columns.push_back(column);
      to.counts.push_back(count);
    }
    to.offsets.push_back(to.columns.size());
  }
  return std::make_shared<MarkovModel>(std::move(to), markov->options());
}

}  // namespace attune::inline v0_1
