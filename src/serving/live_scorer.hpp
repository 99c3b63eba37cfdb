// SPDX-License-Identifier: Apache-2.0
#pragma once

// The scorer of a served model together with the items that content speaks for: one ranking, one scale. A copy with
// other such items shares the model's rows. Under cosine the vectors of content keep their length, at most about 1, see
// ContentTower.

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <span>
#include <utility>

#include "attune/detail/engine_impl.hpp"
#include "attune/detail/kernels.hpp"
#include "attune/detail/top_k.hpp"
#include "attune/serving/cosine_scorer.hpp"
#include "serving/content_rows.hpp"

namespace attune::inline v0_1 {

template <class Storage>
class LiveScorer {
 public:
  LiveScorer(CosineScorer<Storage> model, float scale)
      : model_(std::make_shared<const CosineScorer<Storage>>(std::move(model))), scale_(scale) {}

  LiveScorer with_content(std::shared_ptr<const ContentRows> content) const {
    LiveScorer copy(*this);
    copy.content_ = std::move(content);
    return copy;
  }

  std::size_t size() const noexcept { return content_ ? std::max(model_->size(), content_->end()) : model_->size(); }
  ScoreKind kind() const noexcept { return model_->kind(); }
  bool of_content(ItemHandle item) const noexcept { return content_ && content_->has(item); }
  // How many items have trained vectors; the others, which counts cannot know, and how much each is wanted.
  std::size_t num_trained() const noexcept { return rows().num_scorable(); }
  bool has_content() const noexcept { return content_ != nullptr; }
  template <class Visit>
  void visit_content(Visit&& visit) const {
    if (!content_) return;
    content_->visit_groups([&](std::size_t number, const ContentRows::Group& group) {
      detail::for_each_bit(group.items, [&](std::size_t bit) {
        visit(static_cast<ItemHandle>(number * kGroup + bit), content_->wanted(group.facts[bit]));
      });
    });
  }
  bool scorable(ItemHandle item) const noexcept { return of_content(item) || model_->scorable(item); }

  std::span<const ScoredHandle> top_k(const Query& query, std::span<const std::uint64_t> eligible,
                                      std::span<const float> additive, std::size_t k, Workspace& workspace) const {
    const std::size_t rows = model_->size(), words = std::min(eligible.size(), (rows + 63) / 64);
    const auto best =
        model_->top_k(query, eligible.first(words), additive.first(std::min(additive.size(), rows)), k, workspace);
    if (!content_ || k == 0) return best;
    return merge(best, query.user_vector, {scale_, additive}, eligible, k, workspace);
  }
  // One scan for many is for models without such items.
  bool batches() const noexcept { return !content_ && model_->batches(); }
  void top_k_batch(std::span<BatchedQuery> queries, std::span<const std::uint64_t> eligible,
                   Workspace& workspace) const {
    model_->top_k_batch(queries, eligible, workspace);
  }

  void score(const Query& query, std::span<const ItemHandle> handles, std::span<const float> additive,
             std::span<float> scores, Workspace& workspace) const {
    model_->score(query, handles, additive.first(std::min(additive.size(), model_->size())), scores, workspace);
    if (!content_ || !rows().prepare(query.user_vector, workspace.query)) return;
    const float* const prepared = workspace.query.take(rows().stride()).data();
    for (std::size_t i = 0; i < handles.size(); ++i) {
      if (!content_->has(handles[i])) continue;
      const float score =
          scale_ * content_->dot(prepared, handles[i]) + (additive.empty() ? 0.0f : additive[handles[i]]);
      scores[i] = std::isfinite(score) ? score : -std::numeric_limits<float>::infinity();
    }
  }

  // The vector [dim] that scores are made of; false where there is none.
  bool vector(ItemHandle item, std::span<float> vector) const {
    if (!of_content(item)) return model_->vector(item, vector);
    std::copy_n(content_->row(item), vector.size(), vector.begin());
    return true;
  }
  // Precondition: scorable(item).
  Neighbours similar(ItemHandle item, std::span<const std::uint64_t> eligible, std::size_t k,
                     Workspace& workspace) const {
    if (!content_) return model_->similar(item, eligible, k, workspace);
    const std::span<const float> vector(row(item), rows().dim());
    const std::size_t words = std::min(eligible.size(), (model_->size() + 63) / 64);
    const auto best = model_->nearest(vector, eligible.first(words), k, workspace);
    return {merge(best, vector, {1.0f, {}}, eligible, k, workspace), kind()};
  }
  void similarities(ItemHandle item, std::span<const ItemHandle> handles, std::span<float> cosines) const {
    if (!content_) return model_->similarities(item, handles, cosines);
    std::ranges::fill(cosines, 0.0f);
    if (!scorable(item)) return;
    const float own = length(item);
    for (std::size_t i = 0; i < handles.size(); ++i) {
      if (!scorable(handles[i])) continue;
      const float cosine = dot(row(item), row(handles[i])) / own / length(handles[i]);
      if (std::isfinite(cosine)) cosines[i] = cosine;
    }
  }
  void subtract(std::span<float> user_vector, ItemHandle item, float amount) const {
    if (!of_content(item)) return model_->subtract(user_vector, item, amount);
    const float* const vector = content_->row(item);
    const float scaled = amount / content_->length(item);
    for (std::size_t d = 0; d < user_vector.size(); ++d) user_vector[d] -= scaled * vector[d];
  }
  // The gradient of scale * <u, v>, under cosine of scale * <u, v> / |u|. Preconditions: of CosineScorer::gradient.
  void gradient(std::span<float> d_user_vector, std::span<const float> user_vector, ItemHandle item) const {
    if (!of_content(item)) return model_->gradient(d_user_vector, user_vector, item);
    const float* const vector = content_->row(item);
    const bool cosine = kind() == ScoreKind::cosine;
    const float length = cosine ? detail::length_of(user_vector) : 1.0f;
    float along = 0;
    for (std::size_t d = 0; cosine && d < user_vector.size(); ++d) along += user_vector[d] / length * vector[d];
    for (std::size_t d = 0; d < user_vector.size(); ++d) {
      d_user_vector[d] = scale_ * (vector[d] - along * user_vector[d] / length) / length;
    }
  }

 private:
  static constexpr std::size_t kGroup = ContentRows::kGroup;

  const ScorerRows<float>& rows() const noexcept { return model_->rows().exact(); }
  const float* row(ItemHandle item) const { return of_content(item) ? content_->row(item) : rows().row(item); }
  float dot(const float* a, const float* b) const noexcept {
    float product = 0;
    detail::kernels<float>().dot_rows(&product, a, b, rows().stride(), rows().stride(), 1);
    return product;
  }
  float length(ItemHandle item) const { return std::sqrt(dot(row(item), row(item))); }

  // The best of the model and of content.
  std::span<const ScoredHandle> merge(std::span<const ScoredHandle> of_model, std::span<const float> vector,
                                      const detail::ScoreTerms& terms, std::span<const std::uint64_t> eligible,
                                      std::size_t k, Workspace& workspace) const {
    if (!rows().prepare(vector, workspace.query)) return of_model;
    const float* const prepared = workspace.query.take(rows().stride()).data();
    const std::span<ScoredHandle> kept = workspace.candidates.take(of_model.size());
    std::ranges::copy(of_model, kept.begin());
    detail::TopK best(workspace.top, std::min(k, size()));
    for (const ScoredHandle& item : kept) best.push(item);
    const auto& kernels = detail::kernels<float>();
    const std::span<float> scores = workspace.scores.take(kGroup);
    content_->visit_groups([&](std::size_t number, const ContentRows::Group& group) {
      const std::uint64_t wanted = number < eligible.size() ? eligible[number] & group.items : 0;
      if (wanted == 0) return;
      kernels.dot_rows(scores.data(), prepared, group.rows.data(), rows().stride(), rows().stride(), kGroup);
      detail::for_each_bit(wanted, [&](std::size_t bit) {
        const std::size_t item = number * kGroup + bit;
        const float additive = terms.additive.empty() ? 0.0f : terms.additive[item];
        best.push({static_cast<ItemHandle>(item), terms.scale * scores[bit] + additive});
      });
    });
    return best.finish();
  }

  std::shared_ptr<const CosineScorer<Storage>> model_;
  std::shared_ptr<const ContentRows> content_;  // null: none
  float scale_;
};

}  // namespace attune::inline v0_1
