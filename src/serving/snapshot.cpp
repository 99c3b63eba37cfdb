// SPDX-License-Identifier: Apache-2.0
#include "serving/snapshot.hpp"

#include <algorithm>
#include <cstdint>
#include <string_view>
#include <utility>

#include "attune/detail/engine_adapter.hpp"
#include "attune/serving/cold_start.hpp"
#include "attune/serving/cosine_scorer.hpp"
#include "attune/serving/engine.hpp"
#include "attune/serving/shared_encoder.hpp"
#include "attune/version.hpp"
#include "model/model_ranker.hpp"
#include "model/opening_file.hpp"
#include "serving/live_scorer.hpp"
#include "serving/row_order.hpp"

namespace attune::inline v0_1 {
namespace {

// A model's encoder in catalogue order. Handles between its items may belong to no item of this model.
class ServedEncoder : public SharedEncoder<SequenceEncoder<float>> {
 public:
  ServedEncoder(std::shared_ptr<const SequenceEncoder<float>> encoder, std::vector<bool> known)
      : SharedEncoder(std::move(encoder)), known_(std::make_shared<const std::vector<bool>>(std::move(known))) {}
  bool knows(ItemHandle item) const noexcept { return item < known_->size() && (*known_)[item]; }

 private:
  std::shared_ptr<const std::vector<bool>> known_;
};
static_assert(IncrementalEncoder<ServedEncoder>);

// The encoder and scorer of a model that only counts: they know nothing, so that the cold start gives every answer.
struct NoEncoder {
  std::size_t dim() const noexcept { return 0; }
  bool knows(ItemHandle) const noexcept { return false; }
  void encode(std::span<float>, HistoryView, const Context&, Workspace&) const noexcept {}
};
struct NoScorer {
  std::size_t handles;
  std::size_t size() const noexcept { return handles; }
  ScoreKind kind() const noexcept { return ScoreKind::count; }
  bool scorable(ItemHandle) const noexcept { return false; }
  std::span<const ScoredHandle> top_k(const Query&, std::span<const std::uint64_t>, std::span<const float>, std::size_t,
                                      Workspace&) const noexcept {
    return {};
  }
  void score(const Query&, std::span<const ItemHandle>, std::span<const float>, std::span<float>,
             Workspace&) const noexcept {}
};

template <Encoder E, Scorer S, ColdStart C>
std::unique_ptr<const detail::EngineInterface> adapt(Engine<E, S, C> engine) {
  return std::make_unique<detail::EngineAdapter<Engine<E, S, C>>>(std::move(engine));
}

// As many bits as codes are to have, 0 for none.
unsigned bits_of(ScorerStorage storage, std::size_t items) {
  switch (storage) {
    case ScorerStorage::int8: return 8;
    case ScorerStorage::int4: return 4;
    case ScorerStorage::float32: return 0;
    default: return simd_level() == std::string_view("scalar") ? 0 : RowCodes::best_bits(items);
  }
}

void set_bit(std::vector<std::uint64_t>& bits, ItemHandle item) noexcept {
  bits[item / 64] |= std::uint64_t{1} << (item % 64);
}

// Vectors of users spread over the histories of a model, to be asked about; none where there are too few to go by.
std::vector<float> sample_user_vectors(const TrainedModel& model) {
  constexpr std::size_t kMost = 128, kFewest = 64;
  const std::size_t users = model.histories ? model.histories->num_users() : 0, drawn = std::min(users, kMost);
  const std::size_t dim = model.encoder->config().embedding_dim;
  std::vector<float> vectors;
  Workspace workspace;
  for (std::size_t i = 0; i < drawn; ++i) {
    const HistoryView history = model.histories->of(i * users / drawn);
    const auto known = [&](ItemHandle item) { return model.encoder->knows(item); };
    if (history.empty() || !std::ranges::all_of(history.items, known)) continue;
    const Timestamp now = history.times.empty() ? kNoTime : history.times.back();
    vectors.resize(vectors.size() + dim);
    model.encoder->encode(std::span(vectors).last(dim), history, {.now = now}, workspace);
  }
  if (vectors.size() < kFewest * dim) vectors.clear();
  return vectors;
}

// The rows in lists; how many of the best a search of them finds.
ScorerRows<Clustered> in_lists(ScorerRows<float> rows, const TrainedModel& model, const RecommenderOptions& options,
                               double& search_recall) {
  const std::vector<float> samples = sample_user_vectors(model);
  ClusterOptions cluster_options{.queries = samples, .executor = options.executor.get()};
  if (options.search == SearchKind::approximate) cluster_options.recall = options.search_recall;
  ScorerRows<Clustered> clustered(std::move(rows), cluster_options);
  search_recall = clustered.clusters().sample_recall();
  return clustered;
}

// The engine of a trained model; of its scorer, how many of the best it finds.
std::unique_ptr<const detail::EngineInterface> make_engine(const TrainedModel& model,
                                                           std::span<const ItemHandle> handles,
                                                           const RecommenderOptions& options, double& search_recall) {
  const RowOrder order(handles);
  const std::shared_ptr<const CountModel> counts = order.apply(model.counts);
  std::shared_ptr<const UserPrior> prior = model.user_prior;
  if (prior && !order.identity()) {
    prior = std::make_shared<const UserPrior>(prior->reordered(handles, order.size()));
  }
  CountsColdStart cold_start(order.apply(model.popularity), counts, std::move(prior));
  if (!model.encoder) return adapt(Engine(NoEncoder{}, NoScorer{order.size()}, std::move(cold_start)));

  auto encoder = order.apply(model.encoder);
  const EncoderConfig& config = encoder->config();
  const bool blend = model.blend_weight != 0 && counts;
  const bool tempered = blend && config.score == ScoreKind::cosine;
  const float scale = tempered ? static_cast<float>(1.0 / config.temperature) : 1.0f;
  std::vector<bool> known(order.size());
  for (const ItemHandle item : handles) known[item] = encoder->knows(item);
  const auto with_rows = [&]<class Storage>(ScorerRows<Storage> rows) {
    return adapt(Engine(ServedEncoder(std::move(encoder), std::move(known)),
                        LiveScorer<Storage>(CosineScorer<Storage>(std::move(rows), scale), scale),
                        std::move(cold_start), blend ? counts : nullptr, static_cast<float>(model.blend_weight)));
  };
  const std::shared_ptr<const EmbeddingTable<float>> items(encoder, &encoder->outputs());
  const unsigned bits = bits_of(options.scorer_storage, items->rows());
  if (bits == 4 && options.search != SearchKind::scan) {
    return with_rows(in_lists(ScorerRows<float>(*items, config.score), model, options, search_recall));
  }
  const detail::Opening* const opening = model.opening.get();
  const bool ready = opening != nullptr && opening->fits(*encoder) && opening->codes && bits != 0 &&
                     opening->codes->scalars[0] == bits;
  ScorerRows<float> rows =
      ready ? ScorerRows<float>(items, config.score, opening->scorable) : ScorerRows<float>(*items, config.score);
  if (bits == 0) return with_rows(std::move(rows));
  RowCodes codes = ready ? RowCodes(rows, *opening->codes, opening->owner) : RowCodes(rows, bits);
  return bits == 8 ? with_rows(ScorerRows<std::int8_t>(std::move(rows), std::move(codes)))
                   : with_rows(ScorerRows<Int4>(std::move(rows), std::move(codes)));
}

// The ranker that a model brings; null where it has none.
std::unique_ptr<const Ranker> make_model_ranker(const TrainedModel& model, std::span<const ItemHandle> handles) {
  if (!model.encoder || model.ranker.empty()) return nullptr;
  const RowOrder order(handles);
  std::vector<std::uint64_t> events(model.popularity ? order.size() : 0);
  for (std::size_t row = 0; row < handles.size() && !events.empty(); ++row) {
    events[handles[row]] = model.popularity->counts()[row];
  }
  detail::CandidateFeatures features(order.apply(model.counts), events, model.encoder->config().request_time);
  return std::make_unique<const detail::ModelRanker>(model.ranker, std::move(features));
}

}  // namespace

std::shared_ptr<const Snapshot> make_snapshot(std::shared_ptr<Catalogue> catalogue, ServedModel model,
                                              std::span<const ItemHandle> handles, std::uint64_t generation,
                                              std::uint64_t edition) {
  auto snapshot = std::make_shared<Snapshot>();
  static_cast<ServedModel&>(*snapshot) = std::move(model);
  snapshot->catalogue = std::move(catalogue);
  snapshot->generation = generation;
  snapshot->edition = edition;
  const auto& engine = snapshot->engine;
  const std::size_t words = (engine->size() + 63) / 64;
  snapshot->listed.resize(words);
  snapshot->scorable.resize(words);
  for (const ItemHandle item : handles) {
    set_bit(snapshot->listed, item);
    if (!engine->scorable(item)) continue;
    set_bit(snapshot->scorable, item);
    ++snapshot->num_scorable;
  }
  snapshot->num_listed = handles.size();
  snapshot->of_model = std::make_shared<const std::vector<std::uint64_t>>(snapshot->listed);
  return snapshot;
}

std::shared_ptr<const Snapshot> with_no_content(const Snapshot& snapshot,
                                                std::shared_ptr<const std::atomic<std::size_t>> events) {
  auto next = std::make_shared<Snapshot>(snapshot);
  next->content = std::make_shared<const ContentRows>(snapshot.tower->dim(), std::move(events), snapshot.num_listed);
  return next;
}

std::shared_ptr<const Snapshot> with_content(const Snapshot& snapshot, std::span<const ItemHandle> items,
                                             std::span<const float> vectors, std::span<const ContentFacts> facts,
                                             std::uint64_t edition) {
  auto next = std::make_shared<Snapshot>(snapshot);
  next->content = snapshot.content->with(items, vectors, facts);
  next->engine = snapshot.engine->with_content(next->content);
  const std::size_t words = (next->engine->size() + 63) / 64;
  if (words != next->listed.size()) next->edition = edition;
  next->listed.resize(words);
  next->scorable.resize(words);
  for (const ItemHandle item : items) {
    const std::size_t word = item / 64;
    const std::uint64_t bit = std::uint64_t{1} << (item % 64);
    const bool has = next->content->has(item), had = (next->scorable[word] & bit) != 0;
    if (has == had) continue;
    next->edition = edition;
    next->scorable[word] ^= bit;
    has ? ++next->num_scorable : --next->num_scorable;
    if (word < next->of_model->size() && ((*next->of_model)[word] & bit) != 0) continue;
    next->listed[word] ^= bit;
    has ? ++next->num_listed : --next->num_listed;
  }
  return next;
}

ServedModel make_served(const TrainedModel& model, std::span<const ItemHandle> handles,
                        const RecommenderOptions& options) {
  ServedModel served{nullptr, model.version, model.calibration, make_model_ranker(model, handles)};
  if (model.opening && model.encoder && model.opening->fits(*model.encoder)) {
    served.weights = std::make_shared<MappedWeights>(model.opening->weights);
  }
  served.engine = make_engine(model, handles, options, served.search_recall);
  if (model.encoder) served.tower = model.content;
  served.prior = model.user_prior;
  return served;
}

}  // namespace attune::inline v0_1
