// SPDX-License-Identifier: Apache-2.0
#include "attune/model/scorer_rows.hpp"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cassert>
#include <cmath>
#include <mutex>
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

// Where rows come from that are made late, and which there are.
struct ScorerRows<float>::Late {
  explicit Late(std::shared_ptr<const EmbeddingTable<float>> table)
      : items(std::move(table)), made((items->rows() + 63) / 64) {}
  std::shared_ptr<const EmbeddingTable<float>> items;
  std::mutex mutex;  // of those who make one
  std::vector<std::atomic<std::uint64_t>> made;
};

ScorerRows<float>::ScorerRows(ScorerRows&&) noexcept = default;
ScorerRows<float>& ScorerRows<float>::operator=(ScorerRows&&) noexcept = default;
ScorerRows<float>::~ScorerRows() = default;

ScorerRows<float>::ScorerRows(std::size_t capacity, std::size_t dim, ScoreKind kind)
    : capacity_(capacity),
      dim_(dim),
      stride_((dim + detail::kLanes - 1) / detail::kLanes * detail::kLanes),
      kind_(kind),
      kernels_(&detail::float_kernels()),
      rows_(make_rows(capacity_, stride_)) {
  scorable_.reserve((capacity_ + 63) / 64);
}

ScorerRows<float>::ScorerRows(const EmbeddingTable<float>& items, ScoreKind kind)
    : ScorerRows(items.rows(), items.dim(), kind) {
  for (std::size_t item = 0; item < items.rows(); ++item) set(item, items.row(item));
}

ScorerRows<float>::Rows ScorerRows<float>::make_rows(std::size_t count, std::size_t stride) {
  return Rows(static_cast<float*>(::operator new (count* stride * sizeof(float), std::align_val_t{64})));
}

void ScorerRows<float>::set(std::size_t item, std::span<const float> vector) {
  if (late_) {
    make_all();
    late_.reset();
  }
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

ScorerRows<float>::ScorerRows(std::shared_ptr<const EmbeddingTable<float>> items, ScoreKind kind,
                              std::span<const std::uint64_t> scorable)
    : ScorerRows(items->rows(), items->dim(), kind) {
  assert(scorable.size() == (capacity_ + 63) / 64);
  size_ = capacity_;
  scorable_.assign(scorable.begin(), scorable.end());
  for (const std::uint64_t word : scorable_) num_scorable_ += static_cast<std::size_t>(std::popcount(word));
  late_ = std::make_unique<Late>(std::move(items));
}

bool ScorerRows<float>::made(std::size_t item) const noexcept {
  return (late_->made[item / 64].load(std::memory_order_acquire) >> (item % 64) & 1u) != 0;
}

void ScorerRows<float>::make(std::size_t first, std::size_t count) const {
  for (std::size_t item = first; item < first + count; ++item) {
    if (made(item)) continue;
    const std::span<const float> vector = late_->items->row(item);  // may wait for a disk, or throw
    const std::lock_guard lock(late_->mutex);
    if (made(item)) continue;
    store_row({rows_.get() + item * stride_, stride_}, vector, kind_ == ScoreKind::cosine);
    late_->made[item / 64].fetch_or(std::uint64_t{1} << (item % 64), std::memory_order_release);
  }
}

void ScorerRows<float>::make_all() const {
  if (late_) make(0, size_);
}

bool ScorerRows<float>::prepare(std::span<const float> user_vector, Buffer<float>& query) const {
  return store_row(query.take(stride_), user_vector, kind_ == ScoreKind::cosine);
}

void ScorerRows<float>::dot(float* scores, const float* query, std::size_t first, std::size_t count) const {
  if (late_) make(first, count);
  kernels_->dot_rows(scores, query, rows_.get() + first * stride_, stride_, stride_, count);
}

void ScorerRows<float>::dot_at(float* scores, const float* query, std::span<const ItemHandle> items) const {
  for (std::size_t i = 0; late_ && i < items.size(); ++i) make(items[i], 1);
  kernels_->dot_rows_at(scores, query, rows_.get(), stride_, stride_, items.data(), items.size());
}

}  // namespace attune::inline v0_1
