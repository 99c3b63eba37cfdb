// SPDX-License-Identifier: Apache-2.0
#include "serving/user_vectors.hpp"

#include <algorithm>
#include <mutex>
#include <numeric>
#include <utility>

#include "attune/detail/dropout.hpp"
#include "attune/error.hpp"
#include "serving/user_record.hpp"

namespace attune::inline v0_1 {
namespace {

constexpr std::size_t kBytesOfUser = 100;  // beside the row: id, index, stamp

// Of a history, so that one that has changed has another.
std::uint64_t stamp_of(HistoryView history) noexcept {
  std::uint64_t stamp = history.size();
  if (!history.empty()) stamp = detail::mix(stamp, history.items.back());
  if (!history.times.empty()) stamp = detail::mix(stamp, static_cast<std::uint64_t>(history.times.back()));
  return stamp;
}

// The ids from `first` on but one.
IdMap without(const IdMap& ids, std::uint32_t first, std::uint32_t left_out) {
  IdMap fewer(ids.kind());
  for (std::uint32_t i = first; i < ids.size(); ++i) {
    if (i != left_out) fewer.insert(ids.id(i));
  }
  return fewer;
}

}  // namespace

void UserVectors::start_anew(std::uint64_t generation) {
  generation_ = generation;
  mark_.clear();
  ids_ = IdMap(ids_.kind());
  stamps_.clear();
  rows_.reset();
  pending_ = IdMap(ids_.kind());
  next_ = 0;
  later_ = IdMap(ids_.kind());
}

bool UserVectors::has_room(std::size_t dim) const noexcept {
  const std::size_t stride = rows_ ? rows_->rows().stride() : (dim + 15) / 16 * 16;
  return (ids_.size() + 1) * (stride * sizeof(float) + kBytesOfUser) <= budget_bytes_;
}

UserVectors::Made UserVectors::make(const Snapshot& now, const UserStates& users, const Id& user,
                                    ScratchPool& pool) const {
  const UserCopy copy = users.read(user);
  Made made{.vector = {}, .stamp = stamp_of(copy.history()), .changed = true};
  const std::uint32_t row = ids_.find(user);
  made.changed = row == kNoHandle || stamps_[row] != made.stamp;
  if (!made.changed || (row == kNoHandle && !has_room(0))) return made;
  const ScratchPool::Lease scratch = pool.take();
  try {
    const auto vector = now.engine->user_vector(copy.history(), {.user = user}, nullptr, scratch->workspace);
    made.vector.assign(vector.begin(), vector.end());
  } catch (const Error&) {  // damage, which his own request will meet and note
  }
  return made;
}

void UserVectors::keep(const Id& user, const Made& made) {
  std::uint32_t row = ids_.find(user);
  if (!made.changed || (row == kNoHandle && (made.vector.empty() || !has_room(made.vector.size())))) return;
  if (row == kNoHandle) {
    row = ids_.insert(user);
    stamps_.push_back(0);
  }
  stamps_[row] = made.stamp;
  if (made.vector.empty()) return rows_->rows().erase(row);
  if (!rows_) rows_.emplace(ScorerRows<float>(EmbeddingTable<float>(0, made.vector.size()), ScoreKind::cosine));
  rows_->rows().set(row, made.vector);
}

void UserVectors::refresh(const Snapshot& now, const UserStates& users, Executor& executor, ScratchPool& pool) {
  constexpr std::uint32_t kTogether = 256;  // under one lock
  asked_.store(true, std::memory_order_relaxed);
  for (bool looked = false;; looked = true) {
    const std::unique_lock lock(mutex_);
    if (now.generation < generation_) return;
    if (now.generation > generation_) start_anew(now.generation);
    if (!looked) users.used_since(mark_, later_);
    if (next_ == pending_.size()) {
      pending_ = std::exchange(later_, IdMap(ids_.kind()));
      next_ = 0;
    }
    const auto count = std::min(kTogether, static_cast<std::uint32_t>(pending_.size()) - next_);
    if (count == 0) return;
    std::vector<Made> made(count);
    executor.run(count, [&](std::size_t i, std::size_t) {
      made[i] = make(now, users, pending_.id(next_ + static_cast<std::uint32_t>(i)), pool);
    });
    for (std::uint32_t i = 0; i < count; ++i) keep(pending_.id(next_ + i), made[i]);
    next_ += count;
  }
}

std::optional<std::vector<SimilarUser>> UserVectors::nearest(const Id& user, const SimilarUsersOptions& options,
                                                             std::span<const Friendships::Closeness> close,
                                                             Workspace& workspace, IdMap& names) const {
  const std::shared_lock lock(mutex_);
  const std::uint32_t own = ids_.find(user);
  if (own == kNoHandle || !rows_->scorable(own)) return std::nullopt;
  const ScorerRows<float>& rows = rows_->rows();
  std::vector<std::uint64_t> eligible((rows.size() + 63) / 64, ~std::uint64_t{0});
  const auto leave_out = [&](std::uint32_t row) { eligible[row / 64] &= ~(std::uint64_t{1} << (row % 64)); };
  leave_out(own);
  std::vector<float> terms(close.empty() ? 0 : rows.size());
  for (const Friendships::Closeness& one : close) {
    const std::uint32_t row = ids_.find(one.user);
    if (row == kNoHandle) continue;
    terms[row] = options.friend_weight * one.closeness;
    if (one.direct && !options.include_friends) leave_out(row);
  }
  const Query query{.user_vector = {rows.row(own), rows.dim()}};
  std::vector<SimilarUser> found;
  for (const ScoredHandle& best : rows_->top_k(query, eligible, terms, options.k, workspace)) {
    found.push_back({names.id(names.insert(ids_.id(best.item))), best.score});
  }
  return found;
}

void UserVectors::erase(const Id& user) {
  if (!asked()) return;
  const std::unique_lock lock(mutex_);
  if (const std::uint32_t place = pending_.find(user); place != kNoHandle) {
    pending_ = without(pending_, next_, place);
    next_ = 0;
  }
  if (const std::uint32_t place = later_.find(user); place != kNoHandle) later_ = without(later_, 0, place);
  if (const std::uint32_t row = ids_.find(user); row != kNoHandle) remove({&row, 1});
}

void UserVectors::erase_unknown(const UserStates& users) {
  const std::unique_lock lock(mutex_);
  std::vector<std::uint32_t> gone;
  for (std::uint32_t row = 0; row < ids_.size(); ++row) {
    if (!users.contains(ids_.id(row))) gone.push_back(row);
  }
  if (!gone.empty()) remove(gone);
}

void UserVectors::remove(std::span<const std::uint32_t> gone) {
  std::vector<std::uint32_t> left(ids_.size());  // by row: where it stands before
  std::iota(left.begin(), left.end(), 0u);
  for (std::size_t i = gone.size(); i-- > 0;) {  // the last first, so that what takes a place is to stay
    left[gone[i]] = left.back();
    left.pop_back();
  }
  IdMap fewer(ids_.kind());
  for (const std::uint32_t from : left) fewer.insert(ids_.id(from));
  ScorerRows<float>& rows = rows_->rows();
  const std::vector<float> zeros(rows.dim());
  for (const std::uint32_t row : gone) {
    if (row >= left.size()) break;
    const std::uint32_t from = left[row];
    rows.set(row, rows.scorable(from) ? std::span(rows.row(from), rows.dim()) : std::span(zeros));
    stamps_[row] = stamps_[from];
  }
  for (std::size_t row = left.size(); row < ids_.size(); ++row) rows.set(row, zeros);
  stamps_.resize(left.size());
  ids_ = std::move(fewer);
}

}  // namespace attune::inline v0_1
