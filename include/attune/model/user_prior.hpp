// SPDX-License-Identifier: Apache-2.0
#pragma once

// What to expect of somebody of whom a model knows little: what people choose first, what those who have the same
// features choose, and how much either counts beside the model while a history grows. Immutable: safe from any number
// of threads. Fitted by training/user_prior_training.hpp.

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "attune/data/interaction_log.hpp"
#include "attune/model/featurizer.hpp"
#include "attune/model/workspace.hpp"
#include "attune/types.hpp"

namespace attune::inline v0_1 {

class CountModel;

// A sum of logarithms (a log-linear pool: Genest & Zidek, Statistical Science 1986) over items i for a user with n
// events and features x:
//
//   popularity(n) log p_i + first_choices(n) log q_ni + profile(n) sum_f importance_f odds_f(x_f, i)
//                         + counts(n) log c_i(history) + model(n) score_i(history)
//
// p are shares of events, q_n those of what users chose as their event n + 1 or near it, c what the model's counts say,
// and score what the model says by itself. The odds of a feature are those of a naive Bayes classifier: how much more
// of those who have it chose i than of everybody, log((n_i + a q_i) / (N + a) / q_i) with n_i of their N events, early
// ones counting more, and a of everybody's.
class ATTUNE_EXPORT UserPrior {
 public:
  static constexpr std::size_t kMostEvents = 5;  // beyond so many the model speaks alone
  struct Weights {
    float popularity = 0, first_choices = 0, profile = 0, counts = 0, model = 1;
    friend bool operator==(const Weights&, const Weights&) = default;
  };
  using Schedule = std::array<Weights, kMostEvents + 1>;  // by events

  // Row u of the features is of user u of the histories; users beyond the rows have none. `smoothing` is a. Until
  // with() says otherwise every importance is 1, first choices and profile answer without events, and the model
  // with some. Throws Error(invalid_argument) for a smoothing that is not above 0, and features of other shapes than
  // the featurizer's.
  static UserPrior fit(Featurizer featurizer, const FeatureTable& features, const Histories& histories,
                       double smoothing = 300);
  // The same with other weights: an importance for each feature, finite and at least 0; finite weights, of the model
  // above 0. Throws Error(invalid_argument).
  UserPrior with(std::vector<float> importance, const Schedule& schedule) const;
  // The same with item i at handles[i], each below `size` and there once; others are what nobody chooses.
  UserPrior reordered(std::span<const ItemHandle> handles, std::size_t size) const;

  std::size_t num_items() const noexcept { return num_items_; }
  const Featurizer& featurizer() const noexcept { return featurizer_; }
  std::span<const float> importance() const noexcept { return importance_; }
  const Schedule& schedule() const noexcept { return schedule_; }

  // terms [num_items()]: log q of event `events` + 1, where events beyond kMostEvents count as these.
  void first_choices(std::span<float> terms, std::size_t events) const noexcept;
  // Adds weight * odds of one feature of a row to terms [num_items()].
  void add_odds(std::span<float> terms, std::size_t feature, float weight, const FeatureBlock& block) const noexcept;

  // Whether it speaks of a history at all.
  static bool is_about(HistoryView history) noexcept { return history.size() <= kMostEvents; }
  enum class Beside : bool { nothing, model };
  // The whole sum but for the model's score, in terms [num_items()], for a history that it is about; n counts events on
  // its items. `profile` is null or has a row, and either count model may be null. Beside a model, n is at least 1, and
  // all is divided by the model's weight, to be added to its scores.
  void sum(std::span<float> terms, HistoryView history, const FeatureTable* profile, const CountModel* popularity,
           const CountModel* counts, Beside beside, Workspace& workspace) const;
  // Which part has the largest weight: model (beside one), counts (where there are some), popularity (first choices
  // with it), or profile (with those), where one says something.
  Source largest(HistoryView history, const FeatureTable* profile, const CountModel* counts,
                 Beside beside) const noexcept;

  // Adds tensors whose names begin with "profile."; the prior must live until writer.bytes().
  void write(SafetensorsWriter& writer) const;
  // Throws Error as Featurizer::read does.
  static UserPrior read(const SafetensorsFile& file);

 private:
  // Column c of a feature has two halves, for what is above and below zero in it; their odds are sparse, and beyond
  // these all items have the base.
  struct Odds {
    std::vector<std::uint64_t> offsets{0};  // [halves + 1]
    std::vector<std::uint32_t> items;       // ascending within a half
    std::vector<float> gains;               // above the base
    std::vector<float> bases;               // [halves]
  };
  void check() const;

  Featurizer featurizer_;
  std::size_t num_items_ = 0;
  std::vector<float> first_choices_;  // [kMostEvents + 1, items]
  std::vector<Odds> odds_;            // [features]
  std::vector<float> importance_;     // [features]
  Schedule schedule_{};
};

}  // namespace attune::inline v0_1
