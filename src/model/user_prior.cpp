// SPDX-License-Identifier: Apache-2.0
#include "attune/model/user_prior.hpp"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <string>
#include <utility>

#include "attune/error.hpp"
#include "attune/model/count_model.hpp"
#include "model/item_sets.hpp"

namespace attune::inline v0_1 {
namespace {

constexpr std::size_t kSteps = UserPrior::kMostEvents + 1, kParts = 5;
static_assert(sizeof(UserPrior::Schedule) == kSteps * kParts * sizeof(float));
// Of an event that is `distance` events from the one that is asked for.
constexpr double kNearness = 1.5;
constexpr std::size_t kFar = 200;
// Of what a user chose after so many events half as much counts as of the first.
constexpr double kEarly = 5;
constexpr double kFromPopularity = 20;  // events that are mixed into what is chosen near a step

void require(bool holds, const std::string& expected) {
  if (!holds) throw Error(ErrorCode::invalid_argument, "UserPrior: expected " + expected);
}

// Shares of events, never zero.
std::vector<double> popularity_of(const Histories& histories) {
  const std::vector<std::uint64_t> counts = detail::events_per_item(histories);
  const double half = 0.5;
  const double total = std::accumulate(counts.begin(), counts.end(), 0.0) + half * static_cast<double>(counts.size());
  std::vector<double> shares;
  for (const std::uint64_t count : counts) shares.push_back((static_cast<double>(count) + half) / total);
  return shares;
}

// Shares [items] of sums, with `mixed` of other shares.
std::vector<double> shares_of(std::span<const double> sums, std::span<const double> other, double mixed) {
  const double total = std::accumulate(sums.begin(), sums.end(), 0.0) + mixed;
  std::vector<double> shares(sums.size());
  for (std::size_t i = 0; i < shares.size(); ++i) shares[i] = (sums[i] + mixed * other[i]) / total;
  return shares;
}

std::vector<double> chosen_near(const Histories& histories, std::size_t step) {
  std::vector<double> sums(histories.num_items());
  for (std::size_t user = 0; user < histories.num_users(); ++user) {
    const std::span<const ItemHandle> items = histories.of(user).items;
    for (std::size_t t = 0; t < std::min(items.size(), kFar); ++t) {
      const auto distance = static_cast<double>(t < step ? step - t : t - step);
      sums[items[t]] += std::pow(1 + distance, -kNearness);
    }
  }
  return sums;
}

double earliness(std::size_t event) noexcept { return kEarly / (kEarly + static_cast<double>(event)); }

std::size_t events_known(HistoryView history, std::size_t num_items, UserPrior::Beside beside) noexcept {
  const auto known = [&](ItemHandle item) { return item < num_items; };
  const auto events = static_cast<std::size_t>(std::ranges::count_if(history.items, known));
  return beside == UserPrior::Beside::model ? std::max<std::size_t>(events, 1) : events;
}

template <class Visit>
void for_each_half(const FeatureBlock& block, Visit&& visit) {
  for (std::size_t c = 0; c < block.values.size(); ++c) {
    const float value = block.values[c];
    if (value == 0) continue;
    visit(2 * (block.columns.empty() ? c : std::size_t{block.columns[c]}) + (value < 0 ? 1 : 0), std::abs(value));
  }
}

std::string name_of(const char* what, std::size_t feature) {
  return std::string("profile.odds.").append(what).append(1, '.').append(std::to_string(feature));
}

std::size_t elements(const SafetensorsFile& file, const std::string& tensor) {
  const TensorInfo* const found = file.find(tensor);
  return found == nullptr ? 0 : found->elements();
}

// A tensor [size] of numbers from 0 to `largest`.
template <class Number>
std::vector<Number> numbers(const SafetensorsFile& file, const std::string& tensor, std::size_t size,
                            std::size_t largest) {
  std::vector<Number> result;
  for (const std::int64_t number : file.integers(file.require(tensor, std::array{size}))) {
    if (number < 0 || std::cmp_greater(number, largest)) {
      throw Error(ErrorCode::corrupt_file, tensor + ": expected numbers from 0 to " + std::to_string(largest) +
                                               ", found " + std::to_string(number));
    }
    result.push_back(static_cast<Number>(number));
  }
  return result;
}

// Events of the users of each half: who has it, and by how much.
struct Members {
  explicit Members(const FeatureTable& features, std::size_t feature, std::size_t users)
      : of_half(2 * features.shape(feature).width) {
    for (std::size_t user = 0; user < std::min(features.rows(), users); ++user) {
      for_each_half(features.of(user, feature), [&](std::size_t half, float amount) {
        of_half[half].emplace_back(static_cast<std::uint32_t>(user), amount);
      });
    }
  }
  std::vector<std::vector<std::pair<std::uint32_t, float>>> of_half;
};

}  // namespace

UserPrior UserPrior::fit(Featurizer featurizer, const FeatureTable& features, const Histories& histories,
                         double smoothing) {
  require(smoothing > 0 && std::isfinite(smoothing), "a smoothing above 0, found " + std::to_string(smoothing));
  require(features.num_features() == featurizer.num_features(),
          "features of the featurizer, found " + std::to_string(features.num_features()) + " in place of " +
              std::to_string(featurizer.num_features()));
  UserPrior prior;
  prior.num_items_ = histories.num_items();
  prior.importance_.assign(featurizer.num_features(), 1.0f);
  prior.schedule_[0] = {.first_choices = 1, .profile = 1};
  const std::vector<double> popularity = popularity_of(histories);
  for (std::size_t step = 0; step < kSteps; ++step) {
    for (const double share : shares_of(chosen_near(histories, step), popularity, kFromPopularity)) {
      prior.first_choices_.push_back(static_cast<float>(std::log(share)));
    }
  }
  std::vector<double> sums(prior.num_items_);
  for (std::size_t user = 0; user < histories.num_users(); ++user) {
    const std::span<const ItemHandle> items = histories.of(user).items;
    for (std::size_t t = 0; t < items.size(); ++t) sums[items[t]] += earliness(t);
  }
  const std::vector<double> everybody = shares_of(sums, popularity, kFromPopularity);
  std::vector<std::uint32_t> touched;
  std::ranges::fill(sums, 0.0);
  for (std::size_t f = 0; f < featurizer.num_features(); ++f) {
    Odds& odds = prior.odds_.emplace_back();
    for (const auto& members : Members(features, f, histories.num_users()).of_half) {
      double total = 0;
      for (const auto& [user, amount] : members) {
        const std::span<const ItemHandle> items = histories.of(user).items;
        for (std::size_t t = 0; t < items.size(); ++t) {
          const double events = static_cast<double>(amount) * earliness(t);
          if (sums[items[t]] == 0) touched.push_back(items[t]);
          sums[items[t]] += events;
          total += events;
        }
      }
      std::ranges::sort(touched);
      for (const std::uint32_t item : touched) {
        odds.items.push_back(item);
        odds.gains.push_back(
            static_cast<float>(std::log1p(std::exchange(sums[item], 0) / (smoothing * everybody[item]))));
      }
      touched.clear();
      odds.offsets.push_back(odds.items.size());
      odds.bases.push_back(static_cast<float>(-std::log1p(total / smoothing)));
    }
  }
  prior.featurizer_ = std::move(featurizer);
  return prior;
}

UserPrior UserPrior::with(std::vector<float> importance, const Schedule& schedule) const {
  UserPrior changed(*this);
  changed.importance_ = std::move(importance);
  changed.schedule_ = schedule;
  changed.check();
  return changed;
}

void UserPrior::check() const {
  const auto refuse = [](float weight, float least) { return !(weight >= least) || !std::isfinite(weight); };
  require(importance_.size() == odds_.size() &&
              std::ranges::none_of(importance_, [&](float one) { return refuse(one, 0); }),
          "an importance of at least 0 for each feature");
  require(std::ranges::none_of(schedule_,
                               [&](const Weights& weights) {
                                 return !std::isfinite(weights.popularity + weights.first_choices + weights.profile +
                                                       weights.counts) ||
                                        refuse(weights.model, 1e-6f);
                               }),
          "finite weights, of the model above 0");
}

UserPrior UserPrior::reordered(std::span<const ItemHandle> handles, std::size_t size) const {
  UserPrior changed(*this);
  changed.num_items_ = size;
  changed.first_choices_.resize(kSteps * size);
  for (std::size_t step = 0; step < kSteps; ++step) {
    const std::span<const float> known = std::span(first_choices_).subspan(step * num_items_, num_items_);
    const float least = known.empty() ? 0.0f : *std::ranges::min_element(known);
    std::ranges::fill(std::span(changed.first_choices_).subspan(step * size, size), least);
    for (std::size_t i = 0; i < num_items_; ++i) {
      changed.first_choices_[step * size + handles[i]] = first_choices_[step * num_items_ + i];
    }
  }
  for (Odds& odds : changed.odds_) {
    for (std::uint32_t& item : odds.items) item = handles[item];
  }
  return changed;
}

void UserPrior::first_choices(std::span<float> terms, std::size_t events) const noexcept {
  const std::size_t step = std::min(events, kMostEvents);
  std::copy_n(first_choices_.data() + step * num_items_, num_items_, terms.begin());
}

void UserPrior::add_odds(std::span<float> terms, std::size_t feature, float weight,
                         const FeatureBlock& block) const noexcept {
  const Odds& odds = odds_[feature];
  for_each_half(block, [&](std::size_t half, float amount) {
    const float share = weight * amount, base = share * odds.bases[half];
    for (float& term : terms) term += base;
    for (std::size_t i = odds.offsets[half]; i < odds.offsets[half + 1]; ++i) {
      terms[odds.items[i]] += share * odds.gains[i];
    }
  });
}

void UserPrior::sum(std::span<float> terms, HistoryView history, const FeatureTable* profile,
                    const CountModel* popularity, const CountModel* counts, Beside beside, Workspace& workspace) const {
  const std::size_t events = events_known(history, num_items_, beside);
  const Weights& weights = schedule_[std::min(events, kMostEvents)];
  const float scale = beside == Beside::model ? 1 / weights.model : 1.0f;
  first_choices(terms, events);
  for (float& term : terms) term *= scale * weights.first_choices;
  const auto add = [&](const CountModel* model, float weight) {
    if (model == nullptr || weight == 0) return;
    const std::span<float> shares = workspace.shares.take(model->num_items());
    model->score_all(history, shares, workspace);
    model->to_terms(shares);
    for (std::size_t i = 0; i < std::min(terms.size(), shares.size()); ++i) terms[i] += scale * weight * shares[i];
  };
  add(popularity, weights.popularity);
  if (events != 0) add(counts, weights.counts);
  for (std::size_t f = 0; profile != nullptr && f < odds_.size(); ++f) {
    const float weight = scale * weights.profile * importance_[f];
    if (weight != 0) add_odds(terms, f, weight, profile->of(0, f));
  }
}

Source UserPrior::largest(HistoryView history, const FeatureTable* profile, const CountModel* counts,
                          Beside beside) const noexcept {
  const std::size_t events = events_known(history, num_items_, beside);
  const Weights& weights = schedule_[std::min(events, kMostEvents)];
  bool known = false;
  for (std::size_t f = 0; profile != nullptr && f < odds_.size(); ++f) known |= !profile->of(0, f).missing();
  const float first = std::max(weights.popularity, 0.0f) + std::max(weights.first_choices, 0.0f);
  const float of_profile = known && weights.profile > 0 ? first + weights.profile : -1.0f;
  const float of_counts = events != 0 && counts != nullptr ? weights.counts : -1.0f;
  const float of_model = beside == Beside::model ? weights.model : -1.0f;
  if (of_model >= std::max({of_counts, of_profile, first})) return Source::model;
  if (of_counts >= std::max(of_profile, first)) return Source::counts;
  return of_profile > 0 ? Source::profile : Source::popularity;
}

void UserPrior::write(SafetensorsWriter& writer) const {
  featurizer_.write(writer, "profile.features.");
  writer.add("profile.first_choices", {kSteps, num_items_}, std::span<const float>(first_choices_));
  writer.add("profile.importance", {importance_.size()}, std::span<const float>(importance_));
  writer.add("cold_schedule", {kSteps, kParts}, std::span<const float>(&schedule_[0].popularity, kSteps * kParts));
  for (std::size_t f = 0; f < odds_.size(); ++f) {
    const Odds& odds = odds_[f];
    writer.add(name_of("offsets", f), {odds.offsets.size()}, std::span<const std::uint64_t>(odds.offsets));
    writer.add(name_of("items", f), {odds.items.size()}, std::span<const std::uint32_t>(odds.items));
    writer.add(name_of("gains", f), {odds.gains.size()}, std::span<const float>(odds.gains));
    writer.add(name_of("bases", f), {odds.bases.size()}, std::span<const float>(odds.bases));
  }
}

UserPrior UserPrior::read(const SafetensorsFile& file) {
  UserPrior prior;
  prior.featurizer_ = Featurizer::read(file, "profile.features.");
  const TensorInfo* const first = file.find("profile.first_choices");
  prior.num_items_ = first == nullptr ? 0 : first->elements() / kSteps;
  prior.first_choices_ = file.floats(file.require("profile.first_choices", std::array{kSteps, prior.num_items_}));
  prior.importance_ = file.floats(file.require("profile.importance", std::array{prior.featurizer_.num_features()}));
  const std::vector<float> weights = file.floats(file.require("cold_schedule", std::array{kSteps, kParts}));
  std::ranges::copy(weights, &prior.schedule_[0].popularity);
  for (std::size_t f = 0; f < prior.featurizer_.num_features(); ++f) {
    const std::size_t halves = 2 * prior.featurizer_.width(f);
    const std::size_t length = elements(file, name_of("items", f));
    Odds& odds = prior.odds_.emplace_back();
    odds.offsets = numbers<std::uint64_t>(file, name_of("offsets", f), halves + 1, length);
    odds.items = numbers<std::uint32_t>(file, name_of("items", f), length, prior.num_items_ - 1);
    odds.gains = file.floats(file.require(name_of("gains", f), std::array{length}));
    odds.bases = file.floats(file.require(name_of("bases", f), std::array{halves}));
    const bool fits =
        odds.offsets.front() == 0 && odds.offsets.back() == length && std::ranges::is_sorted(odds.offsets);
    if (!fits) throw Error(ErrorCode::corrupt_file, name_of("offsets", f) + ": the offsets do not cover the items");
  }
  try {
    prior.check();
  } catch (const Error& error) {
    throw Error(ErrorCode::corrupt_file, error.what());
  }
  return prior;
}

}  // namespace attune::inline v0_1
