// SPDX-License-Identifier: Apache-2.0
#include "attune/model/scorer_rows.hpp"

#include <algorithm>
#include <cmath>
#include <new>
#include <utility>

#include "attune/detail/kernels.hpp"

namespace attune::inline v0_1 {
namespace {

// Shorter vectors have no direction worth the name; smaller elements would only make a scan slow (denormals).
constexpr double kTiny = 1e-30;

// stored [stride] from vector [dim]: normalised where asked for, padded. False, and zeros, when nothing is left or the
// vector is not finite.
bool store_row(std::span<float> stored, std::span<const float> vector, bool normalise) noexcept {
  std::ranges::fill(stored, 0.0f);
  double squares = 0;
  for (const float element : vector) squares += static_cast<double>(element) * static_cast<double>(element);
  if (!std::isfinite(squares) || squares < kTiny * kTiny) return false;
  const double scale = normalise ? 1 / std::sqrt(squares) : 1;
  bool something = false;
  for (std::size_t d = 0; d < vector.size(); ++d) {
    const double element = static_cast<double>(vector[d]) * scale;
    if (std::abs(element) < kTiny) continue;
    stored[d] = static_cast<float>(element);
    something = true;
  }
  return something;
}

}  // namespace

ScorerRows<float>::ScorerRows(const EmbeddingTable<float>& items, ScoreKind kind)
    : capacity_(items.rows()),
      dim_(items.dim()),
      stride_((items.dim() + detail::kLanes - 1) / detail::kLanes * detail::kLanes),
      kind_(kind),
      kernels_(&detail::float_kernels()),
      rows_(make_rows(capacity_, stride_)) {
  scorable_.reserve((capacity_ + 63) / 64);
  for (std::size_t item = 0; item < items.rows(); ++item) set(item, items.row(item));
}

ScorerRows<float>::Rows ScorerRows<float>::make_rows(std::size_t count, std::size_t stride) {
  return Rows(static_cast<float*>(::operator new (count* stride * sizeof(float), std::align_val_t{64})));
}

void ScorerRows<float>::set(std::size_t item, std::span<const float> vector) {
  if (item == size_) {
    if (size_ == capacity_) {
      const std::size_t capacity = capacity_ + capacity_ / 8 + 64;
      Rows rows = make_rows(capacity, stride_);
      std::copy_n(rows_.get(), size_ * stride_, rows.get());
      rows_ = std::move(rows);
      capacity_ = capacity;
    }
    scorable_.resize(size_ / 64 + 1, 0);
    ++size_;
  }
  erase(item);
  const std::span<float> stored(rows_.get() + item * stride_, stride_);
  if (!store_row(stored, vector, kind_ == ScoreKind::cosine)) return;
  scorable_[item / 64] |= std::uint64_t{1} << (item % 64);
  ++num_scorable_;
}

void ScorerRows<float>::erase(std::size_t item) noexcept {
  if (!scorable(static_cast<ItemHandle>(item))) return;
  scorable_[item / 64] &= ~(std::uint64_t{1} << (item % 64));
  --num_scorable_;
}

bool ScorerRows<float>::prepare(std::span<const float> user_vector, Buffer<float>& query) const {
  return store_row(query.take(stride_), user_vector, kind_ == ScoreKind::cosine);
}

void ScorerRows<float>::dot(float* scores, const float* query, std::size_t first, std::size_t count) const noexcept {
  kernels_->dot_rows(scores, query, row(first), stride_, stride_, count);
}

}  // namespace attune::inline v0_1
