// SPDX-License-Identifier: Apache-2.0

// What to ask somebody of whom nothing is known.

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstdint>
#include <utility>
#include <vector>

#include "serving/eligibility.hpp"
#include "serving/recommender_impl.hpp"

namespace attune::inline v0_1 {
namespace {

constexpr std::size_t kMostUsers = 20'000, kMostItems = 500;

// Who of the users chose each of some items.
class Choosers {
 public:
  // Of the items that `allowed(item)` lets through, those that most chose, ties by handle.
  template <class Allowed>
  Choosers(const Histories& histories, std::size_t handles, Allowed allowed)
      : histories_(histories), users_(std::min(histories.num_users(), kMostUsers)), words_((users_ + 63) / 64) {
    std::vector<std::uint32_t> counts(handles);
    for_each_choice([&](ItemHandle item, std::size_t) { ++counts[item]; });
    for (ItemHandle item = 0; item < handles; ++item) {
      if (allowed(item)) items_.push_back(item);
    }
    std::ranges::stable_sort(items_, std::ranges::greater(), [&](ItemHandle item) { return counts[item]; });
    items_.resize(std::min(items_.size(), kMostItems));
    std::vector<std::size_t> places(handles, kMostItems);
    for (std::size_t i = 0; i < items_.size(); ++i) places[items_[i]] = i;
    bits_.resize(items_.size() * words_);
    for_each_choice([&](ItemHandle item, std::size_t user) {
      if (places[item] < kMostItems) bits_[places[item] * words_ + user / 64] |= std::uint64_t{1} << (user % 64);
    });
  }

  const std::vector<ItemHandle>& items() const noexcept { return items_; }

  // I(X_i; X_j) in nats; the entropy of X_i where they are one.
  double information(std::size_t i, std::size_t j) const noexcept {
    const double all = static_cast<double>(std::max<std::size_t>(users_, 1));
    const double both = common(i, j) / all, one = common(i, i) / all, other = common(j, j) / all;
    const auto of_cell = [](double joint, double independent) {
      return joint > 0 ? joint * std::log(joint / independent) : 0.0;
    };
    return of_cell(both, one * other) + of_cell(one - both, one * (1 - other)) +
           of_cell(other - both, (1 - one) * other) + of_cell(1 - one - other + both, (1 - one) * (1 - other));
  }

 private:
  template <class Visit>
  void for_each_choice(Visit visit) const {
    std::vector<ItemHandle> distinct;
    for (std::size_t user = 0; user < users_; ++user) {
      const auto chosen = histories_.of(user * histories_.num_users() / users_).items;
      distinct.assign(chosen.begin(), chosen.end());
      std::ranges::sort(distinct);
      distinct.erase(std::unique(distinct.begin(), distinct.end()), distinct.end());
      for (const ItemHandle item : distinct) visit(item, user);
    }
  }
  double common(std::size_t i, std::size_t j) const noexcept {
    std::size_t count = 0;
    for (std::size_t word = 0; word < words_; ++word) {
      count += static_cast<std::size_t>(std::popcount(bits_[i * words_ + word] & bits_[j * words_ + word]));
    }
    return static_cast<double>(count);
  }

  const Histories& histories_;
  std::size_t users_, words_;
  std::vector<ItemHandle> items_;
  std::vector<std::uint64_t> bits_;  // [items, words]
};

// Each adds most to what the answers so far tell of everything.
std::vector<ScoredHandle> choose_questions(const Choosers& choosers, std::size_t k) {
  const std::size_t count = choosers.items().size();
  std::vector<double> information(count * count), known(count);
  for (std::size_t i = 0; i < count; ++i) {
    for (std::size_t j = 0; j <= i; ++j) {
      information[i * count + j] = information[j * count + i] = choosers.information(i, j);
    }
  }
  std::vector<bool> taken(count);
  std::vector<ScoredHandle> questions;
  while (questions.size() < std::min(k, count)) {
    std::size_t best = count;
    double most = -1;
    for (std::size_t i = 0; i < count; ++i) {
      double gain = 0;
      for (std::size_t j = 0; j < count; ++j) gain += std::max(information[i * count + j] - known[j], 0.0);
      if (taken[i] || gain <= most) continue;
      most = gain;
      best = i;
    }
    taken[best] = true;
    for (std::size_t j = 0; j < count; ++j) known[j] = std::max(known[j], information[best * count + j]);
    questions.push_back({choosers.items()[best], static_cast<float>(most)});
  }
  return questions;
}

}  // namespace

Answer Recommender::onboarding_items(const Request& request) const {
  Impl::Timed timed(*impl_, Operation::recommend);
  auto now = impl_->current();
  const ScratchPool::Lease scratch = impl_->pool.take();
  const Eligibility eligible(*scratch, *now, request, Impl::policy_of(request), request.now, {});
  std::shared_ptr<const Histories> histories = impl_->users.histories();
  const Source source = histories ? Source::counts : Source::popularity;
  if (!histories) histories = std::make_shared<const Histories>();
  const Choosers choosers(*histories, impl_->catalogue->size(), [&](ItemHandle item) { return eligible.has(item); });
  const std::vector<ScoredHandle> questions = choose_questions(choosers, request.k);
  Answer answer;
  Impl::fill(answer, std::move(now), {questions, source});
  answer.shortfall = eligible.shortfall(Source::counts);
  timed.items(answer.items.size());
  return answer;
}

}  // namespace attune::inline v0_1
