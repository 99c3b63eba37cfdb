// SPDX-License-Identifier: Apache-2.0
#pragma once

// Why an item: Recommender::explain says which past events speak for it, and which of them it would not be there
// without. What is stated is measured, by scoring the item for the history without the event; a gradient only chooses
// which events are tried. From any number of threads; allocates, stores nothing.

#include <cstddef>
#include <limits>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "attune/recommender.hpp"
#include "attune/types.hpp"

namespace attune::inline v0_1 {

struct ExplanationOptions {
  Timestamp now = kNoTime;  // when the request happens; kNoTime: at the last event, also of a history without that
  // How many events are left out, one after the other: two thirds those that a gradient (and of counts, their own
  // share) says matter most, the others the newest. Each costs a full encode and a search of the catalogue; choosing
  // them, where there are more, about five, and the item itself one: 13 make 19.
  std::size_t events = 13;
  bool full = false;  // leave out every event
  // Of the counterfactual: how many of the best the item is to be no more among, as the engine ranks them without
  // rules, of items that were not seen before; 0: none is looked for.
  std::size_t k = 0;
  // Events that it may hold, n: it costs at most 1 + 5 n + n (n + 1) / 2 full encodes with a search each.
  std::size_t most_removed = 4;
};

// An event and what it adds.
struct Contribution {
  Id item;                   // text lives as long as the explanation
  Timestamp time = kNoTime;  // of the event
  std::size_t event = 0;     // its place in the history, from 0, the oldest
  // To the score: the score less that for the history without the event, at the same time, by the same dislikes. Where
  // without it another source would answer, whose scores cannot be compared, the whole score. 0 of what nobody knows.
  float weight = 0;
  // To the margin, in the same way: what makes the item stand out. Much of what adds to a score adds to those of all
  // good items.
  float margin = 0;
};

// A feature of an item that content speaks for, and what it adds to the dot product of the item's vector with the
// user's (with his unit vector where scores are cosines), before a temperature or a blend.
struct FeatureContribution {
  std::string feature;
  float weight = 0;
  // Of what adds most in it: "genres=Drama", as Featurizer::column_name says; at most three, of those above 0.
  std::vector<std::string> members;
};

// Events without which an item would not be among the best, chosen greedily by exact scores: with any one of them it
// would be.
struct Counterfactual {
  bool among_best = false;           // the item is among the best k now
  std::vector<Contribution> events;  // oldest first; empty: not looked for, not needed, or not found
};

struct Explanation {
  // That rank() gives, up to rounding; not a number for an item without one: unknown, or without a usable vector.
  float score = std::numeric_limits<float>::quiet_NaN();
  // The score less the mean of those of the ten best other items for the same history, of items that were not seen; NaN
  // as the score.
  float margin = std::numeric_limits<float>::quiet_NaN();
  Source source = Source::model;  // of the score
  ScoreKind score_kind = ScoreKind::cosine;
  std::string_view model_version;           // lives as long as the explanation
  std::vector<Contribution> contributions;  // of the events that were tried, what adds most to the margin first
  bool complete = false;                    // every event on an item known here was tried
  Counterfactual counterfactual;
  // Of an item whose vector comes from its content, as far as it does: every feature that it has, what adds most first.
  std::vector<FeatureContribution> features;

  // The items of events that speak for it (weight and margin above 0), in that order, each once, `most` of them.
  ATTUNE_EXPORT std::vector<Id> reasons(std::size_t most = 3) const;

 private:
  friend class Recommender;
  std::shared_ptr<const void> keep_alive_;
};

// A sentence in the host's language, by how many titles it names: {item} is the next title, {more} how many titles are
// left unnamed, {{ and }} are braces.
struct BecauseForms {
  std::string one = "Because you watched {item}";
  std::string two = "Because you watched {item} and {item}";
  std::string many = "Because you watched {item}, {item} and {more} more";  // three titles and more
};

class ATTUNE_EXPORT Because {
 public:
  // Throws Error(invalid_argument) that names the form: for a brace alone, another placeholder, or more than one {item}
  // in `one`, two in `two`, three in `many`.
  explicit Because(const BecauseForms& forms = {});

  // Empty without titles. From any number of threads.
  std::string operator()(std::span<const std::string_view> titles) const;

 private:
  // Pieces of text, with a placeholder between each two.
  struct Form {
    std::vector<std::string> pieces{1};
    std::vector<bool> is_item;
  };
  static Form compile(const char* name, std::string_view text, std::size_t most_items);
  Form one_, two_, many_;
};

}  // namespace attune::inline v0_1
