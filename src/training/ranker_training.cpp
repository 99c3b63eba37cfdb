// SPDX-License-Identifier: Apache-2.0
#include "attune/training/ranker_training.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <memory>
#include <vector>

#include "attune/error.hpp"
#include "attune/training/trainer.hpp"
#include "training/model_queries.hpp"
#include "training/query_reader.hpp"

namespace attune::inline v0_1 {
namespace {

constexpr std::size_t F = LearnedRanker::kNumFeatures;
constexpr std::size_t kCutoff = 10;

// The engine's best of one query, best first.
struct List {
  std::vector<float> features;       // [candidates, F]
  std::vector<std::size_t> targets;  // places of those that came next
  std::size_t relevant = 0;          // how many came next, among the candidates or not
  std::size_t user = 0;              // counting those that have lists

  bool odd() const noexcept { return user % 2 != 0; }  // which half of the users

  std::size_t size() const noexcept { return features.size() / F; }
  std::span<const float, F> row(std::size_t i) const noexcept {
    return std::span(features).subspan(i * F).template first<F>();
  }
};

List read_list(detail::QueryReader& reader, std::size_t user, const detail::CandidateFeatures& features,
               const RankerOptions& options, Workspace& workspace) {
  const std::span<const Candidate> candidates = reader.candidates(options.candidates);
  const RankingQuery query = reader.ranking_query();
  List list{.features = std::vector<float>(candidates.size() * F),
            .targets = {},
            .relevant = reader.relevant().size(),
            .user = user};
  features.read(list.features, query.history, query.context.now, candidates, workspace);
  for (const Candidate& candidate : candidates) {
    if (reader.is_relevant(candidate.handle)) list.targets.push_back(candidate.rank);
  }
  return list;
}

// Groups by user, as evaluate() has them. A list that no ranker is asked to order stays empty.
std::vector<List> read_lists(const TrainedModel& model, const EvaluationQueries& queries, const RankerOptions& options,
                             Executor& executor) {
  std::vector<EvaluationQueries::Query> answered, chosen;
  for (const auto& query : queries.queries) {
    if (detail::answered_by_encoder(model, queries.history(query))) answered.push_back(query);
  }
  const std::size_t count = std::min(answered.size(), options.max_lists);
  for (std::size_t i = 0; i < count; ++i) chosen.push_back(answered[i * answered.size() / count]);

  const ModelUnderTest tested(model);
  const detail::CandidateFeatures features = detail::candidate_features(model);
  const bool request_time = model.encoder->config().request_time;
  const auto groups = detail::group_by_user(chosen);
  std::vector<std::unique_ptr<detail::QueryReader>> readers(executor.concurrency());
  std::vector<Workspace> workspaces(executor.concurrency());
  std::vector<List> lists(count);
  executor.run(groups.size(), [&](std::size_t group, std::size_t worker) {
    auto& reader = readers[worker];
    if (!reader) {
      reader = std::make_unique<detail::QueryReader>(queries, tested.session(), tested.num_items(),
                                                     options.exclude_seen, request_time);
    }
    for (std::size_t q = groups[group].begin; q < groups[group].end; ++q) {
      reader->read(chosen[q]);
      if (reader->rankable()) lists[q] = read_list(*reader, group, features, options, workspaces[worker]);
    }
  });
  std::erase_if(lists, [](const List& list) { return list.size() == 0; });
  return lists;
}

using Vector = std::array<double, F>;

// Mean over the lists of the cross-entropy at some weights, with its derivatives.
struct Derivatives {
  double loss = 0;
  Vector gradient{};
  std::array<Vector, F> hessian{};

  void add(const Derivatives& other) {
    loss += other.loss;
    for (std::size_t f = 0; f < F; ++f) {
      gradient[f] += other.gradient[f];
      for (std::size_t g = 0; g <= f; ++g) hessian[f][g] += other.hessian[f][g];
    }
  }
};

// Lists to learn from, features divided by their scale. Sums are made in a fixed number of slots.
class Lessons {
 public:
  Lessons(std::vector<const List*> lists, Executor& executor) : lists_(std::move(lists)), executor_(executor) {
    Vector variance{};
    for (const List* list : lists_) {
      for (std::size_t f = 0; f < F; ++f) variance[f] += variance_of(*list, f);
    }
    for (std::size_t f = 0; f < F; ++f) {
      const double deviation = std::sqrt(variance[f] / static_cast<double>(lists_.size()));
      scale_[f] = deviation > 1e-6 ? 1 / deviation : 0.0;  // what never differs teaches nothing and gets no weight
    }
  }

  const Vector& scale() const noexcept { return scale_; }

  Derivatives at(const Vector& weights) const {
    constexpr std::size_t kSlots = 16;
    std::array<Derivatives, kSlots> slots;
    executor_.run(kSlots, [&](std::size_t slot, std::size_t) {
      std::vector<double> shares;
      for (std::size_t i = slot; i < lists_.size(); i += kSlots) add(slots[slot], *lists_[i], weights, shares);
    });
    Derivatives sum;
    for (const Derivatives& slot : slots) sum.add(slot);
    const double count = static_cast<double>(lists_.size());
    sum.loss /= count;
    for (std::size_t f = 0; f < F; ++f) {
      sum.loss += 0.5 * kDecay * weights[f] * weights[f];
      sum.gradient[f] = sum.gradient[f] / count + kDecay * weights[f];
      for (std::size_t g = 0; g <= f; ++g) sum.hessian[f][g] /= count;
      sum.hessian[f][f] += kDecay;
    }
    return sum;
  }

 private:
  static constexpr double kDecay = 1e-4;

  static double variance_of(const List& list, std::size_t f) {
    double sum = 0, squares = 0;
    for (std::size_t i = 0; i < list.size(); ++i) {
      const auto x = static_cast<double>(list.row(i)[f]);
      sum += x;
      squares += x * x;
    }
    const double mean = sum / static_cast<double>(list.size());
    return std::max(0.0, squares / static_cast<double>(list.size()) - mean * mean);
  }

  Vector scaled(std::span<const float, F> row) const {
    Vector x;
    for (std::size_t f = 0; f < F; ++f) x[f] = scale_[f] * static_cast<double>(row[f]);
    return x;
  }

  void add(Derivatives& sum, const List& list, const Vector& weights, std::vector<double>& shares) const {
    shares.assign(list.size(), 0);
    for (std::size_t i = 0; i < list.size(); ++i) {
      const Vector x = scaled(list.row(i));
      for (std::size_t f = 0; f < F; ++f) shares[i] += weights[f] * x[f];
    }
    const double largest = *std::ranges::max_element(shares);
    double total = 0;
    for (const double score : shares) total += std::exp(score - largest);
    const double log_total = largest + std::log(total);
    const double weight = 1.0 / static_cast<double>(list.targets.size());
    for (const std::size_t target : list.targets) sum.loss += weight * (log_total - shares[target]);

    Vector mean{};
    for (std::size_t i = 0; i < list.size(); ++i) {
      const double share = std::exp(shares[i] - log_total);
      const Vector x = scaled(list.row(i));
      for (std::size_t f = 0; f < F; ++f) {
        mean[f] += share * x[f];
        for (std::size_t g = 0; g <= f; ++g) sum.hessian[f][g] += share * x[f] * x[g];
      }
    }
    for (const std::size_t target : list.targets) {
      const Vector x = scaled(list.row(target));
      for (std::size_t f = 0; f < F; ++f) sum.gradient[f] -= weight * x[f];
    }
    for (std::size_t f = 0; f < F; ++f) {
      sum.gradient[f] += mean[f];
      for (std::size_t g = 0; g <= f; ++g) sum.hessian[f][g] -= mean[f] * mean[g];
    }
  }

  std::vector<const List*> lists_;
  Executor& executor_;
  Vector scale_{};
};

// The x of hessian x = gradient, by Cholesky's decomposition in place. The hessian is positive definite.
Vector solve(Derivatives at) {
  auto& l = at.hessian;
  Vector x = at.gradient;
  for (std::size_t i = 0; i < F; ++i) {
    for (std::size_t j = 0; j <= i; ++j) {
      for (std::size_t k = 0; k < j; ++k) l[i][j] -= l[i][k] * l[j][k];
      l[i][j] = i == j ? std::sqrt(l[i][i]) : l[i][j] / l[j][j];
    }
    for (std::size_t k = 0; k < i; ++k) x[i] -= l[i][k] * x[k];
    x[i] /= l[i][i];
  }
  for (std::size_t i = F; i-- > 0;) {
    for (std::size_t k = i + 1; k < F; ++k) x[i] -= l[k][i] * x[k];
    x[i] /= l[i][i];
  }
  return x;
}

// Newton's method; a step that does not help is halved.
std::vector<float> fit_weights(std::vector<const List*> lists, Executor& executor) {
  std::erase_if(lists, [](const List* list) { return list->targets.empty(); });
  if (lists.empty()) return {};
  const Lessons lessons(std::move(lists), executor);
  constexpr int kSteps = 30, kHalvings = 20;
  Vector weights{};
  Derivatives here = lessons.at(weights);
  for (int step = 0; step < kSteps; ++step) {
    const Vector direction = solve(here);
    Derivatives next;
    Vector moved{};
    double share = 1, longest = 0;
    for (int halving = 0; halving < kHalvings; ++halving, share /= 2) {
      for (std::size_t f = 0; f < F; ++f) moved[f] = weights[f] - share * direction[f];
      next = lessons.at(moved);
      if (next.loss <= here.loss) break;
    }
    if (!(next.loss <= here.loss)) break;
    for (std::size_t f = 0; f < F; ++f) longest = std::max(longest, std::abs(moved[f] - weights[f]));
    weights = moved;
    here = next;
    if (longest < 1e-6) break;
  }
  std::vector<float> unscaled;
  for (std::size_t f = 0; f < F; ++f) unscaled.push_back(static_cast<float>(weights[f] * lessons.scale()[f]));
  return unscaled;
}

// NDCG@10 of a list in the order of `places`.
double ndcg(const List& list, std::span<const std::size_t> places) {
  const auto gain = [](std::size_t rank) { return 1 / std::log2(static_cast<double>(rank) + 2); };
  double found = 0, ideal = 0;
  for (std::size_t rank = 0; rank < std::min(kCutoff, places.size()); ++rank) {
    if (std::ranges::find(list.targets, places[rank]) != list.targets.end()) found += gain(rank);
  }
  for (std::size_t rank = 0; rank < std::min(kCutoff, list.relevant); ++rank) ideal += gain(rank);
  return found / ideal;
}

// Differences of one user's lists, which are no independent draws.
struct UserSum {
  std::size_t user;
  double sum = 0, lists = 0;

  void add(double difference) {
    sum += difference;
    ++lists;
  }
  double deviation(double mean) const { return sum - lists * mean; }
};

// Each list by the weights of the other half.
RankerReport measure(std::span<const List> lists, const std::array<LearnedRanker, 2>& of_half) {
  RankerReport report{.lists = lists.size()};
  std::vector<std::size_t> places;
  std::vector<float> scores;
  std::vector<UserSum> users;
  for (const List& list : lists) {
    places.resize(list.size());
    for (std::size_t i = 0; i < places.size(); ++i) places[i] = i;
    const double before = ndcg(list, places);
    scores.clear();
    for (std::size_t i = 0; i < places.size(); ++i) scores.push_back(of_half[!list.odd()](list.row(i)));
    std::ranges::stable_sort(places, [&](std::size_t a, std::size_t b) { return scores[a] > scores[b]; });
    const double after = ndcg(list, places);
    report.engine_ndcg_10 += before;
    report.ndcg_10 += after;
    if (users.empty() || users.back().user != list.user) users.push_back({list.user});
    users.back().add(after - before);
  }
  const double count = static_cast<double>(lists.size());
  report.engine_ndcg_10 /= count;
  report.ndcg_10 /= count;
  const double difference = report.ndcg_10 - report.engine_ndcg_10;
  double squares = 0;
  for (const UserSum& user : users) squares += user.deviation(difference) * user.deviation(difference);
  report.standard_error = std::sqrt(squares) / count;
  report.kept = difference > 2 * report.standard_error;
  return report;
}

}  // namespace

FittedRanker fit_ranker(const TrainedModel& trained, const EvaluationQueries& queries, const RankerOptions& options) {
  if (!trained.encoder) throw Error(ErrorCode::invalid_argument, "ranker: expected a model with an encoder");
  if (options.candidates == 0) throw Error(ErrorCode::invalid_argument, "ranker: expected at least one candidate");
  InlineExecutor calling_thread;
  Executor& executor = options.executor ? *options.executor : calling_thread;
  TrainedModel model = trained;
  model.ranker = {};
  FittedRanker fitted;
  if (queries.empty()) return fitted;
  const std::vector<List> lists = read_lists(model, detail::in_handles_of(model, queries), options, executor);
  std::array<std::vector<const List*>, 2> halves;
  std::vector<const List*> all;
  for (const List& list : lists) {
    halves[list.odd()].push_back(&list);
    all.push_back(&list);
  }
  std::array<LearnedRanker, 2> of_half;
  for (std::size_t half = 0; half < 2; ++half) {
    of_half[half] = {options.candidates, fit_weights(halves[half], executor)};
    if (of_half[half].empty()) return fitted;
  }
  fitted.report = measure(lists, of_half);
  if (fitted.report.kept) fitted.ranker = {options.candidates, fit_weights(all, executor)};
  return fitted;
}

}  // namespace attune::inline v0_1
