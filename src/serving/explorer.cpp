// SPDX-License-Identifier: Apache-2.0
#include "serving/explorer.hpp"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "attune/detail/dropout.hpp"
#include "attune/detail/top_k.hpp"
#include "data/id_table.hpp"

namespace attune::inline v0_1 {
namespace {

enum Purpose : std::uint64_t { kBranch = 1, kChoice, kNewItem, kDraw };

// In [0, 1), from a hash.
double fraction(std::uint64_t bits) noexcept { return static_cast<double>(bits >> 11) * 0x1p-53; }

// The numbers of one stream, one after the other, in (0, 1).
class Stream {
 public:
  explicit Stream(std::uint64_t key) noexcept : key_(key) {}
  double uniform() noexcept { return (static_cast<double>(detail::mix(key_, ++n_) >> 12) + 0.5) * 0x1p-52; }
  double normal() noexcept {  // Box & Muller 1958
    const double radius = std::sqrt(-2 * std::log(uniform()));
    return radius * std::cos(2 * std::numbers::pi * uniform());
  }
  // The logarithm of a gamma variate (Marsaglia & Tsang 2000), which small shapes need.
  double log_gamma(double shape) noexcept {
    if (shape < 1) return log_gamma(shape + 1) + std::log(uniform()) / shape;
    const double d = shape - 1.0 / 3, c = 1 / std::sqrt(9 * d);
    for (;;) {
      const double x = normal(), root = 1 + c * x;
      if (root <= 0) continue;
      const double v = root * root * root, u = uniform(), square = x * x;
      if (u < 1 - 0.0331 * square * square) return std::log(d * v);  // the quick half of the test below
      if (std::log(u) < 0.5 * square + d - d * v + d * std::log(v)) return std::log(d * v);
    }
  }
  // The log odds of a beta variate: as good as the variate for comparing, and never rounded to 0 or 1.
  double beta_odds(double a, double b) noexcept {
    const double of_a = log_gamma(a);
    return of_a - log_gamma(b);
  }

 private:
  std::uint64_t key_, n_ = 0;
};

double share_of(double share) noexcept { return share > 0 ? std::min(share, 1.0) : 0; }

// Of a prior; NaN is 0, which is out of range too.
double prior_of(double prior) noexcept { return prior > 1e-3 ? std::min(prior, 1e9) : 1e-3; }

}  // namespace

void Explorer::start(const ExplorationOptions* options, const Id& user, const ItemExposure& exposure,
                     UpperBounds& bounds) {
  constexpr std::size_t kMostDraws = 1024;
  const ExplorationOptions& of = options == nullptr ? ExplorationOptions{.share = 0} : *options;
  exposure_ = &exposure;
  bounds_ = &bounds;
  method_ = of.method;
  quota_ = share_of(of.new_item_quota);
  share_ = std::min(share_of(of.share), 1 - quota_);
  pool_ = std::max<std::size_t>(of.pool, 1);
  prior_rewards_ = prior_of(of.prior_rewards);
  prior_misses_ = prior_of(of.prior_misses);
  num_draws_ = method_ == ExplorationMethod::linucb ? 1 : std::clamp<std::size_t>(of.draws, 1, kMostDraws);
  new_below_ = of.new_item_impressions;
  num_new_ = 0;
  const std::uint64_t of_user =
      user.is_number() ? detail::hash(user.number(), of.seed) : detail::hash(user.text(), of.seed);
  stream_ = detail::mix(detail::mix(of.seed, of_user), of.request);
  new_items_.clear();
  new_bits_.clear();
  drawn_.clear();
  draws_.clear();
}

double Explorer::random(std::uint64_t purpose, std::uint64_t n) const noexcept {
  return fraction(detail::mix(detail::mix(stream_, purpose), n));
}

double Explorer::branch(std::size_t slot) const noexcept { return random(kBranch, slot); }

// A random order is that of hashes, of which the smallest stay in a heap.
std::span<const ItemHandle> Explorer::find_new(std::span<const std::uint64_t> eligible,
                                               std::span<const std::uint64_t> possible,
                                               std::span<const ItemHandle> given, std::size_t most) {
  if (quota_ == 0) return {};
  ranked_.clear();
  new_bits_.assign(eligible.size(), 0);
  const std::uint64_t stream = detail::mix(stream_, kNewItem);
  for (std::size_t group = 0; group < eligible.size(); ++group) {
    detail::for_each_bit(eligible[group] & possible[group], [&](std::size_t bit) {
      const auto item = static_cast<ItemHandle>(group * 64 + bit);
      if (exposure_->of(item).impressions >= new_below_ || std::ranges::binary_search(given, item)) return;
      ++num_new_;
      new_bits_[group] |= std::uint64_t{1} << bit;
      const Ranked ranked{detail::mix(stream, item), item};
      if (ranked_.size() >= most) {
        if (most == 0 || !(ranked < ranked_.front())) return;
        std::pop_heap(ranked_.begin(), ranked_.end());
        ranked_.pop_back();
      }
      ranked_.push_back(ranked);
      std::push_heap(ranked_.begin(), ranked_.end());
    });
  }
  std::sort_heap(ranked_.begin(), ranked_.end());
  for (const Ranked& one : ranked_) new_items_.push_back(one.item);
  return new_items_;
}

// Of an item the same for every place and every page.
std::span<const double> Explorer::draws_of(ItemHandle item) {
  const auto known = std::ranges::find(drawn_, item, &Drawn::item);
  if (known != drawn_.end()) return std::span(draws_).subspan(known->first, num_draws_);
  drawn_.push_back({item, draws_.size()});
  if (method_ == ExplorationMethod::linucb) {
    draws_.push_back(bounds_->of(item));
    return std::span(draws_).last(1);
  }
  const auto [impressions, rewards] = exposure_->of(item);
  const double misses = impressions > rewards ? impressions - rewards : 0;
  for (std::size_t draw = 0; draw < num_draws_; ++draw) {
    Stream stream(detail::mix(detail::mix(detail::mix(stream_, kDraw), item), draw));
    draws_.push_back(stream.beta_odds(prior_rewards_ + rewards, prior_misses_ + misses));
  }
  return std::span(draws_).last(num_draws_);
}

Explorer::Choice Explorer::choose(std::size_t slot, std::span<const ItemHandle> items) {
  const double u = random(kChoice, slot);
  if (method_ == ExplorationMethod::uniform) {
    chances_.assign(items.size(), 1 / static_cast<double>(items.size()));
    return {std::min(static_cast<std::size_t>(u * static_cast<double>(items.size())), items.size() - 1), chances_};
  }
  winners_.assign(num_draws_, 0);
  for (std::size_t i = 0; i < items.size(); ++i) {
    const std::span<const double> draws = draws_of(items[i]);
    if (i == 0) {
      largest_.assign(draws.begin(), draws.end());
      continue;
    }
    for (std::size_t draw = 0; draw < num_draws_; ++draw) {
      if (!(draws[draw] > largest_[draw])) continue;
      largest_[draw] = draws[draw];
      winners_[draw] = i;
    }
  }
  chances_.assign(items.size(), 0.0);
  for (const std::size_t winner : winners_) chances_[winner] += 1 / static_cast<double>(num_draws_);
  return {winners_[std::min(static_cast<std::size_t>(u * static_cast<double>(num_draws_)), num_draws_ - 1)], chances_};
}

}  // namespace attune::inline v0_1
