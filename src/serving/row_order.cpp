// SPDX-License-Identifier: Apache-2.0
#include "serving/row_order.hpp"

#include <algorithm>
#include <utility>

namespace attune::inline v0_1 {
namespace {

// A count model whose row i is the catalogue's handles[i].
class CatalogueCounts final : public CountModel {
 public:
  CatalogueCounts(std::shared_ptr<const CountModel> counts, std::vector<ItemHandle> handles,
                  std::vector<ItemHandle> rows)
      : counts_(std::move(counts)), handles_(std::move(handles)), rows_(std::move(rows)) {}

  std::string_view name() const noexcept override { return counts_->name(); }
  std::size_t num_items() const noexcept override { return rows_.size(); }
  bool knows(ItemHandle item) const noexcept override { return counts_->knows(row_of(item)); }
  void to_terms(std::span<float> scores) const noexcept override { counts_->to_terms(scores); }

  void score_all(HistoryView history, std::span<float> scores, Workspace& workspace) const override {
    const HistoryView by_row = in_rows(history, {}, workspace).first;
    const std::span<float> row_scores = workspace.count_scores.take(counts_->num_items());
    counts_->score_all(by_row, row_scores, workspace);
    std::ranges::fill(scores, 0.0f);
    for (std::size_t row = 0; row < handles_.size(); ++row) scores[handles_[row]] = row_scores[row];
  }
  void score(HistoryView history, std::span<const ItemHandle> handles, std::span<float> scores,
             Workspace& workspace) const override {
    const auto [by_row, rows] = in_rows(history, handles, workspace);
    counts_->score(by_row, rows, scores, workspace);
  }

 private:
  ItemHandle row_of(ItemHandle item) const noexcept { return item < rows_.size() ? rows_[item] : kNoHandle; }

  std::pair<HistoryView, std::span<const ItemHandle>> in_rows(HistoryView history, std::span<const ItemHandle> handles,
                                                              Workspace& workspace) const {
    constexpr std::size_t kRoom = 64;  // for events to come, as in the record of a user
    std::vector<ItemHandle>& rows = workspace.count_items;
    const std::size_t count = history.size() + handles.size();
    if (rows.capacity() < count) rows.reserve(count + kRoom);
    rows.clear();
    for (const ItemHandle item : history.items) rows.push_back(row_of(item));
    for (const ItemHandle item : handles) rows.push_back(row_of(item));
    const std::span<const ItemHandle> all = rows;
    return {{.items = all.first(history.size())}, all.subspan(history.size())};
  }

  std::shared_ptr<const CountModel> counts_;
  std::vector<ItemHandle> handles_;  // of each row
  std::vector<ItemHandle> rows_;     // of each handle
};

}  // namespace

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
    if (!encoder->config().separate_outputs) continue;
    std::ranges::copy(encoder->outputs().row(row), ordered->outputs().row(handles_[row]).begin());
  }
  return ordered;
}

std::shared_ptr<const CountModel> RowOrder::apply(std::shared_ptr<const CountModel> counts) const {
  if (identity_ || !counts) return counts;
  return std::make_shared<CatalogueCounts>(std::move(counts), std::vector(handles_.begin(), handles_.end()), rows_);
}

}  // namespace attune::inline v0_1
