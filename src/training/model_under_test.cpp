// SPDX-License-Identifier: Apache-2.0
// Models as evaluate() sees them: the scores that serving gives, for the whole catalogue at once.

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <utility>
#include <vector>

#include "attune/detail/kernels.hpp"
#include "attune/error.hpp"
#include "attune/model/scorer_rows.hpp"
#include "attune/model/user_prior.hpp"
#include "attune/training/trainer.hpp"
#include "model/model_ranker.hpp"
#include "training/model_queries.hpp"

namespace attune::inline v0_1 {

namespace {

constexpr float kUnscorable = -std::numeric_limits<float>::infinity();

// What the prior says of a user with few events, else the counts; the same for every item without any.
void score_by_counts(const TrainedModel& model, HistoryView history, std::span<float> scores, Workspace& workspace) {
  if (model.user_prior && UserPrior::is_about(history)) {
    return model.user_prior->sum(scores, history, nullptr, model.popularity.get(), model.counts.get(),
                                 UserPrior::Beside::nothing, workspace);
  }
  const CountModel* const counts = answering(model.counts.get(), model.popularity.get(), history);
  if (counts != nullptr) return counts->score_all(history, scores, workspace);
  std::fill(scores.begin(), scores.end(), 0.0f);
}

// One thread's way through an encoder and its rows. Carries the state of the last user forward.
class EncoderSession {
 public:
  EncoderSession(const TrainedModel& model, std::shared_ptr<const ScorerRows<float>> rows)
      : model_(model), rows_(std::move(rows)), state_(model.encoder->make_state()) {}

  void operator()(HistoryView history, const Context& context, std::span<float> scores) {
    const HistoryView known = known_events(history);
    if (known.empty()) return score_by_counts(model_, history, scores, workspace_);
    advance(known, history.items.data());
    const auto user_vector = workspace_.user_vector.take(model_.encoder->dim());
    Context at = context;  // as Engine has it
    if (at.now == kNoTime && !history.times.empty()) at.now = history.times.back();
    model_.encoder->user_vector(user_vector, state_, at, workspace_);
    if (!rows_->prepare(user_vector, workspace_.query)) return score_by_counts(model_, history, scores, workspace_);

    rows_->dot(scores.data(), workspace_.query.data(), 0, rows_->size());
    if (model_.blend_weight != 0 && model_.counts) blend(history, scores);
    if (model_.user_prior && UserPrior::is_about(history)) add_prior(history, scores);
    for (std::size_t item = 0; item < scores.size(); ++item) {
      if (!rows_->scorable(static_cast<ItemHandle>(item))) scores[item] = kUnscorable;
    }
  }

 private:
  HistoryView known_events(HistoryView history) {
    workspace_.items.clear();
    workspace_.times.clear();
    for (std::size_t i = 0; i < history.size(); ++i) {
      if (!model_.encoder->knows(history.items[i])) continue;
      workspace_.items.push_back(history.items[i]);
      if (!history.times.empty()) workspace_.times.push_back(history.times[i]);
    }
    return {workspace_.items, workspace_.times};
  }

  // A longer history of the same user, told by where it lies, continues the state; another user's, though it may begin
  // with the same items, does not: scores must not depend on which users this session has met.
  void advance(HistoryView known, const ItemHandle* address) {
    const bool continues = address == address_ && known.size() >= encoded_.size() &&
                           std::equal(encoded_.begin(), encoded_.end(), known.items.begin()) &&
                           model_.encoder->cacheable();
    if (!continues) state_.reset();
    model_.encoder->advance(state_, known, workspace_);
    address_ = address;
    encoded_.assign(known.items.begin(), known.items.end());
  }

  // Logits plus the weighted term of the counts.
  void blend(HistoryView history, std::span<float> scores) {
    const EncoderConfig& config = model_.encoder->config();
    const auto scale = static_cast<float>(config.score == ScoreKind::cosine ? 1.0 / config.temperature : 1.0);
    const auto weight = static_cast<float>(model_.blend_weight);
    const auto terms = workspace_.additive.take(scores.size());
    model_.counts->score_all(history, terms, workspace_);
    model_.counts->to_terms(terms);
    for (float& term : terms) term *= weight;
    constexpr std::size_t kGroup = 64;
    for (std::size_t first = 0; first < scores.size(); first += kGroup) {
      const std::size_t count = std::min(kGroup, scores.size() - first);
      detail::kernels<float>().finish_scores(scores.data() + first, scale, terms.data() + first, kUnscorable, count);
    }
  }

  void add_prior(HistoryView history, std::span<float> scores) {
    const std::span<float> terms = workspace_.cold.take(scores.size());
    model_.user_prior->sum(terms, history, nullptr, model_.popularity.get(), model_.counts.get(),
                           UserPrior::Beside::model, workspace_);
    for (std::size_t item = 0; item < scores.size(); ++item) scores[item] += terms[item];
  }

  const TrainedModel& model_;
  std::shared_ptr<const ScorerRows<float>> rows_;
  SequenceEncoder<float>::State state_;
  const ItemHandle* address_ = nullptr;  // of the history that the state holds
  std::vector<ItemHandle> encoded_;      // its events
  Workspace workspace_;
};

// A ranker as the facade asks it: told who answers, and a model's own for the encoder's answers alone.
class RankerUnderTest final : public Ranker {
 public:
  RankerUnderTest(const TrainedModel& model, std::shared_ptr<const Ranker> of_host)
      : model_(model), of_host_(of_host != nullptr), ranker_(std::move(of_host)) {
    if (!of_host_) ranker_ = std::make_shared<detail::ModelRanker>(model.ranker, detail::candidate_features(model));
  }

  std::size_t candidates() const noexcept override { return ranker_->candidates(); }
  void rank(const RankingQuery& query, std::span<const Candidate> candidates, std::span<float> scores,
            Workspace& workspace) const override {
    RankingQuery asked = query;
    const bool cold = model_.user_prior && UserPrior::is_about(query.history);
    if (cold && !of_host_) return void(std::ranges::fill(scores, 0.0f));  // the engine's order
    if (!detail::answered_by_encoder(model_, query.history)) {
      if (!of_host_) return void(std::ranges::fill(scores, 0.0f));
      const bool counted = model_.counts && model_.counts->knows_any(query.history);
      asked.source = counted ? Source::counts : Source::popularity;
    }
    asked.score_kind = asked.source == Source::model ? model_.score_kind() : ScoreKind::count;
    ranker_->rank(asked, candidates, scores, workspace);
  }

 private:
  const TrainedModel& model_;
  const bool of_host_;
  std::shared_ptr<const Ranker> ranker_;
};

// The options with the ranking stage that the facade would have.
EvaluationOptions with_ranking_stage(const TrainedModel& model, const EvaluationOptions& options) {
  EvaluationOptions asked = options;
  const bool own = !options.ranker && model.encoder && !model.ranker.empty();
  if (options.ranker_candidates == std::size_t{0}) asked.ranker = nullptr;
  if (options.ranker_candidates == std::size_t{0} || (!options.ranker && !own)) return asked;
  asked.ranker = std::make_shared<RankerUnderTest>(model, options.ranker);
  const std::size_t most = options.ranker_candidates.value_or(asked.ranker->candidates());
  asked.ranker_candidates = own ? std::min(most, model.ranker.candidates) : most;
  return asked;
}

}  // namespace

detail::CandidateFeatures detail::candidate_features(const TrainedModel& model) {
  return {model.counts, model.popularity ? model.popularity->counts() : std::span<const std::uint64_t>{},
          model.encoder->config().request_time};
}

bool detail::answered_by_encoder(const TrainedModel& model, HistoryView history) noexcept {
  return model.encoder &&
         std::ranges::any_of(history.items, [&](ItemHandle item) { return model.encoder->knows(item); });
}

EvaluationQueries detail::in_handles_of(const TrainedModel& model, const EvaluationQueries& queries) {
  const std::shared_ptr<const IdMap>& item_ids = model.item_ids;
  if (!queries.histories || queries.histories->item_ids == item_ids) return queries;
  if (!queries.histories->item_ids) {
    throw Error(ErrorCode::invalid_argument, "queries: expected histories with item ids, found none");
  }
  auto histories = std::make_shared<Histories>(*queries.histories);
  const IdMap& from = *histories->item_ids;
  std::vector<ItemHandle> handles(from.size());
  auto unknown = static_cast<ItemHandle>(item_ids->size());
  for (std::size_t item = 0; item < from.size(); ++item) {
    handles[item] = item_ids->find(from.id(static_cast<ItemHandle>(item)));
    if (handles[item] == kNoHandle) handles[item] = unknown++;
  }
  for (ItemHandle& item : histories->items) item = handles[item];
  histories->item_ids = item_ids;
  return {histories, queries.queries};
}

ModelUnderTest::ModelUnderTest(const TrainedModel& model) : num_items_(model.num_items()) {
  if (!model.encoder) {
    make_session_ = [&model]() -> detail::ScoreAll {
      return [&model, workspace = std::make_shared<Workspace>()](HistoryView history, const Context&,
                                                                 std::span<float> scores) {
        score_by_counts(model, history, scores, *workspace);
      };
    };
    return;
  }
  auto rows = std::make_shared<const ScorerRows<float>>(model.encoder->outputs(), model.encoder->config().score);
  make_session_ = [&model, rows = std::move(rows)]() -> detail::ScoreAll {
    return [session = std::make_shared<EncoderSession>(model, rows)](HistoryView history, const Context& context,
                                                                     std::span<float> scores) {
      (*session)(history, context, scores);
    };
  };
}

ModelUnderTest::ModelUnderTest(const CountModel& model)
    : num_items_(model.num_items()), make_session_([&model]() -> detail::ScoreAll {
        return [&model, workspace = std::make_shared<Workspace>()](HistoryView history, const Context&,
                                                                   std::span<float> scores) {
          model.score_all(history, scores, *workspace);
        };
      }) {}

Report evaluate(const TrainedModel& model, const EvaluationQueries& queries, const EvaluationOptions& options) {
  std::vector<std::uint64_t> counts(model.num_items(), 1);
  if (model.popularity) {
    const auto own = model.popularity->counts();
    std::copy_n(own.begin(), std::min(own.size(), counts.size()), counts.begin());
  }
  EvaluationOptions asked = with_ranking_stage(model, options);
  const bool calibrated = !model.calibration.empty() && options.outcomes == 0 && !queries.empty();
  if (calibrated) asked.outcomes = 10;
  if (model.encoder && !asked.outcomes_for) {
    asked.outcomes_for = [&model](HistoryView history) {
      const bool cold = model.user_prior && UserPrior::is_about(history);
      return detail::answered_by_encoder(model, history) && !cold;
    };
  }
  Report report = evaluate(ModelUnderTest(model), counts, detail::in_handles_of(model, queries), asked);
  if (calibrated) {
    report.metrics["ece@10"] = expected_calibration_error(model.calibration, std::move(report.outcomes));
    report.outcomes.clear();
  }
  return report;
}

}  // namespace attune::inline v0_1
