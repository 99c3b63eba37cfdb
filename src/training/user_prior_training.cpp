// SPDX-License-Identifier: Apache-2.0
#include "attune/training/user_prior_training.hpp"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <memory>
#include <numeric>
#include <string>
#include <utility>

#include "attune/error.hpp"
#include "attune/training/trainer.hpp"
#include "training/choice_model.hpp"

namespace attune::inline v0_1 {
namespace {

using Weights = UserPrior::Weights;
constexpr std::size_t kSteps = UserPrior::kMostEvents + 1, kAlternatives = 1024, kMostUsers = 300, kPlaces = 10;
enum Part : std::size_t { popularity, first_choices, counts, model, kParts };  // then the odds of each feature
constexpr double kSmoothings[] = {30, 300, 3000};
constexpr double kPull = 4;  // towards what weights are without anything learned

// What a user chose next after so many events.
struct Query {
  UserHandle user;
  std::size_t events;
};

// One thread's way to the parts of a sum.
class PartReader {
 public:
  PartReader(const TrainedModel& trained, const UserPrior& prior, const FeatureTable& features,
             const Histories& histories, bool exclude_seen)
      : trained_(trained),
        prior_(prior),
        features_(features),
        histories_(histories),
        exclude_seen_(exclude_seen),
        scores_(ModelUnderTest(trained).session()),
        rows_((kParts + prior.importance().size()) * items()) {
    const EncoderConfig* const config = trained.encoder ? &trained.encoder->config() : nullptr;
    timed_ = config != nullptr && config->request_time;
  }

  std::size_t items() const noexcept { return prior_.num_items(); }
  std::size_t num_parts() const noexcept { return kParts + prior_.importance().size(); }
  std::span<const float> part(std::size_t part) const noexcept {
    return std::span(rows_).subspan(part * items(), items());
  }
  ItemHandle target(const Query& query) const noexcept { return histories_.of(query.user).items[query.events]; }
  // Whether the item may be an answer to the query that was read.
  bool possible(const Query& query, ItemHandle item) const noexcept {
    const std::span<const ItemHandle> seen = histories_.of(query.user).items.first(query.events);
    if (exclude_seen_ && std::ranges::find(seen, item) != seen.end()) return false;
    return query.events == 0 || std::isfinite(part(model)[item]);
  }

  void read(const Query& query) {
    std::ranges::fill(rows_, 0.0f);
    const HistoryView history = histories_.of(query.user).first(query.events);
    prior_.first_choices(row(first_choices), query.events);
    if (trained_.popularity) count(popularity, *trained_.popularity, history);
    if (query.events != 0) {
      if (trained_.counts) count(counts, *trained_.counts, history);
      Context context;
      if (timed_) context.now = histories_.times[histories_.offsets[query.user] + query.events];
      if (trained_.encoder) scores_(history, context, row(model));
    }
    for (std::size_t f = 0; f < prior_.importance().size(); ++f) {
      prior_.add_odds(row(kParts + f), f, 1, features_.of(query.user, f));
    }
  }

 private:
  std::span<float> row(std::size_t part) noexcept { return std::span(rows_).subspan(part * items(), items()); }
  void count(std::size_t part, const CountModel& counted, HistoryView history) {
    counted.score_all(history, row(part), workspace_);
    counted.to_terms(row(part));
  }

  const TrainedModel& trained_;
  const UserPrior& prior_;
  const FeatureTable& features_;
  const Histories& histories_;
  const bool exclude_seen_;
  bool timed_ = false;
  detail::ScoreAll scores_;
  std::vector<float> rows_;  // [parts, items]
  Workspace workspace_;
};

// What learning needs of all queries, and how it is measured.
class PriorLessons {
 public:
  PriorLessons(const TrainedModel& trained, const FeatureTable& features, const Histories& histories,
               const std::vector<bool>& held_out, const UserPriorOptions& options, Executor& executor)
      : trained_(trained), features_(features), histories_(histories), options_(options), executor_(executor) {
    std::vector<UserHandle> users;
    for (UserHandle user = 0; user < histories.num_users(); ++user) {
      if (held_out[user] && !histories.of(user).empty()) users.push_back(user);
    }
    num_users_ = users.size();
    const std::size_t taken = std::min(users.size(), kMostUsers);
    for (std::size_t i = 0; i < taken; ++i) taught_.push_back(users[i * users.size() / taken]);
    for (std::size_t events = 0; events < kSteps; ++events) {
      for (const UserHandle user : users) {
        if (histories.of(user).size() > events) measured_[events].push_back({user, events});
      }
    }
  }

  std::size_t num_users() const noexcept { return num_users_; }
  std::size_t num_queries(std::size_t events) const noexcept { return measured_[events].size(); }

  // Of all parts, for every query of those who teach.
  std::vector<std::vector<detail::Choice>> choices(const UserPrior& prior) const {
    std::vector<std::vector<detail::Choice>> result;
    for (std::size_t events = 0; events < kSteps; ++events) {
      std::vector<Query> queries;
      for (const UserHandle user : taught_) {
        if (histories_.of(user).size() > events) queries.push_back({user, events});
      }
      std::vector<detail::Choice> taken(queries.size());
      read(prior, queries, [&](std::size_t q, const PartReader& reader) { taken[q] = sample(queries[q], q, reader); });
      std::erase_if(taken, [](const detail::Choice& choice) { return choice.rows.empty(); });
      result.push_back(std::move(taken));
    }
    return result;
  }

  // The mean NDCG@10 of the next events by weighted sums of all parts, a mean for each of the sums.
  std::vector<double> measure(const UserPrior& prior, std::size_t events,
                              const std::vector<std::vector<double>>& sums) const {
    std::vector<std::vector<double>> gains(measured_[events].size(), std::vector<double>(sums.size()));
    read(prior, measured_[events], [&](std::size_t q, const PartReader& reader) {
      const Query& query = measured_[events][q];
      for (std::size_t s = 0; s < sums.size(); ++s) gains[q][s] = gain(query, reader, sums[s]);
    });
    std::vector<double> means(sums.size());
    for (const auto& of_query : gains) {
      for (std::size_t s = 0; s < sums.size(); ++s) means[s] += of_query[s] / static_cast<double>(gains.size());
    }
    return means;
  }

 private:
  template <class Use>
  void read(const UserPrior& prior, const std::vector<Query>& queries, Use use) const {
    std::vector<std::unique_ptr<PartReader>> readers(executor_.concurrency());
    executor_.run(queries.size(), [&](std::size_t q, std::size_t worker) {
      auto& reader = readers[worker];
      if (!reader) {
        reader = std::make_unique<PartReader>(trained_, prior, features_, histories_, options_.exclude_seen);
      }
      reader->read(queries[q]);
      use(q, *reader);
    });
  }

  // The target first; nothing where it cannot be an answer.
  static detail::Choice sample(const Query& query, std::size_t number, const PartReader& reader) {
    detail::Choice choice;
    const ItemHandle target = reader.target(query);
    if (!reader.possible(query, target)) return choice;
    const std::size_t parts = reader.num_parts(), count = std::min(reader.items(), kAlternatives);
    const auto add = [&](ItemHandle item) {
      for (std::size_t part = 0; part < parts; ++part) choice.rows.push_back(reader.part(part)[item]);
    };
    add(target);
    const std::size_t offset = number % std::max<std::size_t>(reader.items() / count, 1);
    for (std::size_t i = 0; i < count; ++i) {
      const auto item = static_cast<ItemHandle>((offset + i * reader.items() / count) % reader.items());
      if (item != target && reader.possible(query, item)) add(item);
    }
    return choice;
  }
  static double gain(const Query& query, const PartReader& reader, const std::vector<double>& weights) {
    const auto score_of = [&](ItemHandle item) {
      double score = 0;
      for (std::size_t part = 0; part < weights.size(); ++part) {
        if (weights[part] != 0) score += weights[part] * static_cast<double>(reader.part(part)[item]);
      }
      return score;
    };
    const ItemHandle target = reader.target(query);
    if (!reader.possible(query, target)) return 0;
    const double own = score_of(target);
    std::size_t rank = 1;
    for (ItemHandle item = 0; item < reader.items() && rank <= kPlaces; ++item) {
      rank += item != target && score_of(item) >= own && reader.possible(query, item);
    }
    return rank <= kPlaces ? 1 / std::log2(static_cast<double>(rank) + 1) : 0;
  }

  const TrainedModel& trained_;
  const FeatureTable& features_;
  const Histories& histories_;
  const UserPriorOptions& options_;
  Executor& executor_;
  std::size_t num_users_ = 0;
  std::vector<UserHandle> taught_;
  std::array<std::vector<Query>, kSteps> measured_;
};

// Of all parts with the features apart, from those with the profile as one.
std::vector<double> apart(std::span<const double> weights, std::span<const float> importance) {
  std::vector<double> all(weights.begin(), weights.begin() + kParts);
  for (const float one : importance) all.push_back(weights[kParts] * static_cast<double>(one));
  return all;
}

// The same choices with the features' odds as one part.
std::vector<detail::Choice> with_profile(const std::vector<detail::Choice>& choices,
                                         std::span<const float> importance) {
  const std::size_t parts = kParts + importance.size();
  std::vector<detail::Choice> result;
  for (const detail::Choice& choice : choices) {
    std::vector<float>& rows = result.emplace_back().rows;
    for (std::size_t at = 0; at < choice.rows.size(); at += parts) {
      const auto row = std::span(choice.rows).subspan(at, parts);
      rows.insert(rows.end(), row.begin(), row.begin() + kParts);
      rows.push_back(std::inner_product(importance.begin(), importance.end(), row.begin() + kParts, 0.0f));
    }
  }
  return result;
}

// What answers where nothing is learned. A cosine is to a model what it is to a blend: divided by its temperature.
std::vector<double> start_of(const TrainedModel& trained, std::size_t events) {
  std::vector<double> weights(kParts + 1);
  if (events == 0) {
    weights[first_choices] = weights[kParts] = 1;
  } else if (trained.encoder) {
    const bool bare = trained.score_kind() == ScoreKind::cosine;
    weights[model] = bare ? 1 / trained.encoder->config().temperature : 1;
  } else {
    weights[counts] = 1;
  }
  return weights;
}

Weights weights_of(std::span<const double> weights, std::size_t events, const TrainedModel& trained) {
  const auto at = [&](std::size_t part) { return static_cast<float>(weights[part]); };
  return {at(popularity), at(first_choices), at(kParts), at(counts), events != 0 && trained.encoder ? at(model) : 1.0f};
}

struct Learned {
  double smoothing = 0, loss = 0;
  std::vector<float> importance;
};

// How much of everybody is mixed in, and how much each feature counts at all steps together.
Learned learn_features(const PriorLessons& lessons, const std::vector<UserPrior>& priors, const TrainedModel& trained,
                       Executor& executor) {
  constexpr double kHalf = 0.5;
  Learned best;
  for (std::size_t i = 0; i < priors.size(); ++i) {
    std::vector<detail::Choice> all;
    for (auto& of_step : lessons.choices(priors[i])) std::ranges::move(of_step, std::back_inserter(all));
    std::vector<double> start = start_of(trained, 1);
    start[first_choices] = kHalf;
    start.pop_back();
    start.resize(kParts + priors[i].importance().size(), kHalf);
    const detail::ChoiceWeights fitted = detail::fit_choices(all, start, kPull, executor);
    if (i != 0 && fitted.loss >= best.loss) continue;
    best = {kSmoothings[i], fitted.loss, {}};
    for (std::size_t f = kParts; f < fitted.weights.size(); ++f) {
      best.importance.push_back(static_cast<float>(std::max(fitted.weights[f], 0.0)));
    }
  }
  return best;
}

// Weights by steps.
using Sums = std::vector<std::vector<double>>;

// What is most likely at each step; with few queries of each, those with events keep close to what they have in common.
Sums most_likely(const std::vector<std::vector<detail::Choice>>& choices, const TrainedModel& trained,
                 Executor& executor) {
  constexpr double kTogether = 20, kLeastModel = 0.05;
  std::vector<detail::Choice> with_events;
  for (std::size_t events = 1; events < kSteps; ++events) {
    with_events.insert(with_events.end(), choices[events].begin(), choices[events].end());
  }
  const std::vector<double> common = detail::fit_choices(with_events, start_of(trained, 1), kPull, executor).weights;
  Sums sums;
  for (std::size_t events = 0; events < kSteps; ++events) {
    const bool some = events != 0;
    const auto fitted =
        detail::fit_choices(choices[events], some ? common : start_of(trained, 0), some ? kTogether : kPull, executor);
    std::vector<double>& weights = sums.emplace_back(fitted.weights);
    for (const std::size_t part : {std::size_t{counts}, std::size_t{kParts}}) {
      weights[part] = std::max(weights[part], 0.0);
    }
    weights[model] = std::max(weights[model], kLeastModel * start_of(trained, events)[model]);
  }
  return sums;
}

// Probable is not the same as well ranked: what is most likely goes a part of the way from what answers alone, with
// more or less of the counts, by the NDCG@10 of all steps from `first` to before `end` together.
void choose_ways(Sums& sums, const PriorLessons& lessons, const UserPrior& prior, const TrainedModel& trained,
                 std::size_t first, std::size_t end) {
  constexpr std::array kShares{1.0, 0.75, 0.5, 0.25, 0.0};
  constexpr std::array kFurtherCounts{0.0, 0.5, 1.0, 2.0};
  std::vector<double> gains(kShares.size() * kFurtherCounts.size());
  std::vector<Sums> ways(kSteps);
  for (std::size_t events = first; events < end; ++events) {
    const std::vector<double> start = start_of(trained, events);
    Sums all;
    for (const double share : kShares) {
      for (const double further : kFurtherCounts) {
        std::vector<double>& way = ways[events].emplace_back(start);
        for (std::size_t part = 0; part < way.size(); ++part) way[part] += share * (sums[events][part] - start[part]);
        way[counts] += further;
        all.push_back(apart(way, prior.importance()));
      }
    }
    const std::vector<double> means = lessons.measure(prior, events, all);
    for (std::size_t way = 0; way < gains.size(); ++way) {
      gains[way] += means[way] * static_cast<double>(lessons.num_queries(events));
    }
  }
  const auto best = static_cast<std::size_t>(std::ranges::max_element(gains) - gains.begin());
  for (std::size_t events = first; events < end; ++events) sums[events] = ways[events][best];
}

void describe(UserPriorReport& report, const PriorLessons& lessons, const UserPrior& prior, const Sums& learned) {
  report.users = lessons.num_users();
  for (std::size_t events = 0; events < kSteps; ++events) {
    std::vector<std::vector<double>> sums;
    for (const std::size_t part : {std::size_t{popularity}, std::size_t{counts}, std::size_t{model}}) {
      sums.emplace_back(kParts)[part] = 1;
    }
    sums.push_back(apart(learned[events], prior.importance()));
    const std::vector<double> gains = lessons.measure(prior, events, sums);
    const bool some = events != 0;
    report.by_events[events] = {lessons.num_queries(events), gains[0], some ? gains[1] : 0, some ? gains[2] : 0,
                                gains[3]};
  }
}

void check(const TrainedModel& trained, const FeatureTable& features, const Histories& histories,
           const std::vector<bool>& held_out) {
  const auto require = [](bool holds, const std::string& expected) {
    if (!holds) throw Error(ErrorCode::invalid_argument, "fit_user_prior: expected " + expected);
  };
  require(trained.num_items() == histories.num_items(), "histories of the items of the model");
  require(features.rows() <= histories.num_users(), "at most a row of features for each user");
  require(held_out.size() == histories.num_users() && std::ranges::find(held_out, true) != held_out.end(),
          "users who were held out");
}

}  // namespace

std::vector<bool> users_to_hold_out(const Histories& histories) {
  std::vector<std::size_t> users;
  for (std::size_t user = 0; user < histories.num_users(); ++user) {
    if (!histories.of(user).empty()) users.push_back(user);
  }
  constexpr std::size_t kFewest = 200, kMost = 1000;
  const std::size_t count = std::min(std::clamp(users.size() / 10, kFewest, kMost), users.size() / 5);
  std::vector<bool> chosen(histories.num_users());
  for (std::size_t i = 0; i < count; ++i) chosen[users[(2 * i + 1) * users.size() / (2 * count)]] = true;
  return chosen;
}

Histories without_events_of(const Histories& histories, const std::vector<bool>& users) {
  Histories rest;
  rest.user_ids = histories.user_ids;
  rest.item_ids = histories.item_ids;
  rest.event_kinds = histories.event_kinds;
  for (std::size_t user = 0; user < histories.num_users(); ++user) {
    const auto keep = [&](auto& column, const auto& from) {
      if (from.empty()) return;
      const auto at = [&](std::size_t u) { return from.begin() + static_cast<std::ptrdiff_t>(histories.offsets[u]); };
      column.insert(column.end(), at(user), at(user + 1));
    };
    if (!users[user]) {
      keep(rest.items, histories.items);
      keep(rest.times, histories.times);
      keep(rest.kinds, histories.kinds);
      keep(rest.values, histories.values);
    }
    rest.offsets.push_back(rest.items.size());
  }
  return rest;
}

UserPrior fit_user_prior(const TrainedModel& trained, const Featurizer& featurizer, const FeatureTable& features,
                         const Histories& histories, const std::vector<bool>& held_out, const UserPriorOptions& options,
                         UserPriorReport* report) {
  check(trained, features, histories, held_out);
  InlineExecutor calling_thread;
  Executor& executor = options.executor ? *options.executor : calling_thread;
  const Histories seen = without_events_of(histories, held_out);
  const PriorLessons lessons(trained, features, histories, held_out, options, executor);
  std::vector<UserPrior> priors;
  for (const double smoothing : kSmoothings) priors.push_back(UserPrior::fit(featurizer, features, seen, smoothing));
  const Learned learned = learn_features(lessons, priors, trained, executor);
  const auto chosen = static_cast<std::size_t>(std::ranges::find(kSmoothings, learned.smoothing) - kSmoothings);
  const UserPrior prior = priors[chosen].with(learned.importance, UserPrior::Schedule{});
  std::vector<std::vector<detail::Choice>> choices = lessons.choices(prior);
  for (auto& of_step : choices) of_step = with_profile(of_step, learned.importance);
  Sums weights = most_likely(choices, trained, executor);
  choose_ways(weights, lessons, prior, trained, 0, 1);
  choose_ways(weights, lessons, prior, trained, 1, kSteps);
  UserPrior::Schedule schedule;
  for (std::size_t events = 0; events < kSteps; ++events) {
    schedule[events] = weights_of(weights[events], events, trained);
  }
  if (report != nullptr) {
    describe(*report, lessons, prior, weights);
    report->smoothing = learned.smoothing;
  }
  return UserPrior::fit(featurizer, features, histories, learned.smoothing).with(learned.importance, schedule);
}

}  // namespace attune::inline v0_1
