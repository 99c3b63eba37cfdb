// SPDX-License-Identifier: Apache-2.0
#include "training/beyond_accuracy.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <string>

#include "attune/error.hpp"

namespace attune::inline v0_1::detail {

namespace {

constexpr std::size_t kPair = 2;  // the shortest list that has any diversity

void expect_one_per_item(const char* name, std::size_t found, std::size_t items) {
  if (found == items) return;
  throw Error(ErrorCode::invalid_argument, std::string(name) + ": expected one per item, " + std::to_string(items) +
                                               ", found " + std::to_string(found));
}

// (items + 1 - rank) / items, where items with equally many events share a rank; 0 for an item without events.
std::vector<double> popularity_of(std::span<const std::uint64_t> training_counts) {
  std::vector<std::uint64_t> levels(training_counts.begin(), training_counts.end());
  std::sort(levels.begin(), levels.end(), std::greater<>());
  levels.erase(std::unique(levels.begin(), levels.end()), levels.end());
  const auto items = static_cast<double>(training_counts.size());
  std::vector<double> popularity;
  popularity.reserve(training_counts.size());
  for (const std::uint64_t count : training_counts) {
    const auto rank = std::lower_bound(levels.begin(), levels.end(), count, std::greater<>()) - levels.begin() + 1;
    popularity.push_back(count == 0 ? 0.0 : (items + 1.0 - static_cast<double>(rank)) / items);
  }
  return popularity;
}

// Bits of surprise that a user should like the item.
std::vector<double> novelty_of(const TrainingUsers& users) {
  std::vector<double> novelty;
  novelty.reserve(users.of_item.size());
  const auto total = static_cast<double>(std::max<std::uint64_t>(1, users.total));
  for (const std::uint64_t count : users.of_item) {
    novelty.push_back(-std::log2(static_cast<double>(std::max<std::uint64_t>(1, count)) / total));
  }
  return novelty;
}

// 1 - |intersection| / |union|; 1 where one of them has no category.
double jaccard_distance(std::span<const std::uint32_t> a, std::span<const std::uint32_t> b) {
  std::size_t common = 0;
  for (auto x = a.begin(), y = b.begin(); x != a.end() && y != b.end();) {
    if (*x == *y) ++common;
    const bool advance_x = *x <= *y, advance_y = *y <= *x;
    x += advance_x ? 1 : 0;
    y += advance_y ? 1 : 0;
  }
  if (common == 0) return 1.0;
  return 1.0 - static_cast<double>(common) / static_cast<double>(a.size() + b.size() - common);
}

// Each item with categories weighs 1, shared evenly by them.
class Shares {
 public:
  explicit Shares(const Categories& categories) : categories_(categories), weights_(categories.names().size(), 0.0) {}

  void add(ItemHandle item) {
    const auto own = categories_.of(item);
    for (const std::uint32_t category : own) weights_[category] += 1.0 / static_cast<double>(own.size());
    if (!own.empty()) ++items_;
  }
  double of(std::size_t category) const { return items_ == 0 ? 0.0 : weights_[category] / static_cast<double>(items_); }
  std::size_t size() const { return weights_.size(); }

 private:
  const Categories& categories_;
  std::vector<double> weights_;
  std::size_t items_ = 0;
};

double divergence(const Shares& of_user, const Shares& of_list) {
  constexpr double kSmoothing = 0.01;
  double sum = 0;
  for (std::size_t category = 0; category < of_user.size(); ++category) {
    const double p = of_user.of(category);
    if (p > 0) sum += p * std::log(p / ((1.0 - kSmoothing) * of_list.of(category) + kSmoothing * p));
  }
  return sum;
}

}  // namespace

BeyondAccuracy::BeyondAccuracy(std::span<const std::size_t> cutoffs, const ItemFacts& facts)
    : cutoffs_(cutoffs.begin(), cutoffs.end()),
      categories_(facts.categories),
      popularity_(popularity_of(facts.training_counts)) {
  const std::size_t items = facts.training_counts.size();
  const auto add_names = [this](const std::string& name, std::size_t least_cutoff) {
    for (const std::size_t cutoff : cutoffs_) {
      if (cutoff >= least_cutoff) names_.push_back(name + '@' + std::to_string(cutoff));
    }
  };
  add_names("serendipity", 1);
  if (facts.training_users != nullptr) {
    expect_one_per_item("training_users", facts.training_users->of_item.size(), items);
    novelty_ = novelty_of(*facts.training_users);
    add_names("novelty", 1);
  }
  if (categories_ != nullptr) {
    expect_one_per_item("categories", categories_->size(), items);
    add_names("diversity", kPair);
    add_names("miscalibration", 1);
  }
}

void BeyondAccuracy::add(std::span<double> sums, const QueryOutcome& outcome) const {
  double* next = add_serendipity(sums.data(), outcome);
  if (!novelty_.empty()) next = add_novelty(next, outcome);
  if (categories_ == nullptr) return;
  next = add_diversity(next, outcome);
  add_miscalibration(next, outcome);
}

double* BeyondAccuracy::add_serendipity(double* sums, const QueryOutcome& outcome) const {
  const auto items = static_cast<double>(popularity_.size());
  std::size_t hits = 0;
  double surprise = 0;
  for (const std::size_t cutoff : cutoffs_) {
    for (; hits < outcome.ranks.size() && outcome.ranks[hits] <= cutoff; ++hits) {
      const double to_user = (items + 1.0 - static_cast<double>(outcome.ranks[hits])) / items;
      surprise += std::max(0.0, to_user - popularity_[outcome.found[hits]]);
    }
    *sums++ += surprise / static_cast<double>(cutoff);
  }
  return sums;
}

double* BeyondAccuracy::add_novelty(double* sums, const QueryOutcome& outcome) const {
  std::size_t listed = 0;
  double novelty = 0;
  for (const std::size_t cutoff : cutoffs_) {
    for (; listed < std::min(cutoff, outcome.recommended.size()); ++listed) {
      novelty += novelty_[outcome.recommended[listed]];
    }
    *sums++ += listed == 0 ? 0.0 : novelty / static_cast<double>(listed);
  }
  return sums;
}

double* BeyondAccuracy::add_diversity(double* sums, const QueryOutcome& outcome) const {
  const auto list = outcome.recommended;
  std::size_t listed = 0;
  double distances = 0;
  for (const std::size_t cutoff : cutoffs_) {
    if (cutoff < kPair) continue;
    for (; listed < std::min(cutoff, list.size()); ++listed) {
      const auto own = categories_->of(list[listed]);
      for (std::size_t other = 0; other < listed; ++other) {
        distances += jaccard_distance(own, categories_->of(list[other]));
      }
    }
    const double pairs = static_cast<double>(listed) * (static_cast<double>(listed) - 1.0) / 2.0;
    *sums++ += listed < kPair ? 0.0 : distances / pairs;
  }
  return sums;
}

double* BeyondAccuracy::add_miscalibration(double* sums, const QueryOutcome& outcome) const {
  Shares of_user(*categories_), of_list(*categories_);
  for (const ItemHandle item : outcome.history) of_user.add(item);
  std::size_t listed = 0;
  for (const std::size_t cutoff : cutoffs_) {
    for (; listed < std::min(cutoff, outcome.recommended.size()); ++listed) {
      of_list.add(outcome.recommended[listed]);
    }
    *sums++ += divergence(of_user, of_list);
  }
  return sums;
}

}  // namespace attune::inline v0_1::detail
