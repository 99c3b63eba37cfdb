// SPDX-License-Identifier: Apache-2.0

// A host's own encoder behind the facade: no Transformer, only the decayed mean of the vectors of the items a user saw.
// Everything else (ids, histories, exact top k, filters, cold start, threads) is the library's.
//   custom_encoder MODEL_DIRECTORY ITEM...

#include <algorithm>
#include <attune/attune.hpp>
#include <iostream>
#include <memory>

class DecayedMeanEncoder {
 public:
  DecayedMeanEncoder(std::shared_ptr<const attune::SequenceEncoder<float>> vectors, float decay)
      : vectors_(std::move(vectors)), decay_(decay) {}

  std::size_t dim() const noexcept { return vectors_->dim(); }
  bool knows(attune::ItemHandle item) const noexcept { return vectors_->knows(item); }

  // The newest item weighs 1, the one before it `decay`, and so on.
  void encode(std::span<float> user_vector, attune::HistoryView history, const attune::Context&,
              attune::Workspace&) const {
    std::fill(user_vector.begin(), user_vector.end(), 0.0f);
    for (const attune::ItemHandle item : history.items) {
      const std::span<const float> row = vectors_->items().row(item);
      for (std::size_t d = 0; d < row.size(); ++d) user_vector[d] = decay_ * user_vector[d] + row[d];
    }
  }

 private:
  std::shared_ptr<const attune::SequenceEncoder<float>> vectors_;
  float decay_;
};
static_assert(attune::Encoder<DecayedMeanEncoder>);

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: custom_encoder MODEL_DIRECTORY ITEM...\n";
    return 2;
  }
  try {
    const auto model = attune::TrainedModel::load(argv[1]);
    if (!model.encoder) throw attune::Error(attune::ErrorCode::invalid_argument, "expected a model with an encoder");
    attune::ScorerRows<float> rows(model.encoder->items(), attune::ScoreKind::cosine);
    attune::Engine engine(DecayedMeanEncoder(model.encoder, 0.8f), attune::CosineScorer<float>(std::move(rows)),
                          attune::CountsColdStart(model.popularity, model.counts));
    auto recommender =
        attune::make_recommender(std::move(engine), {.item_ids = *model.item_ids, .version = "decayed mean"});

    for (int i = 2; i < argc; ++i) recommender.observe({.user = "visitor", .item = argv[i]});
    const attune::Answer answer = recommender.recommend({.user = "visitor", .k = 5});
    for (const auto& next : answer.items) std::cout << attune::to_string(next.item) << "  " << next.score << '\n';
    std::cout << "answered by the " << attune::to_string(answer.source) << " of " << answer.model_version << '\n';
  } catch (const attune::Error& error) {
    std::cerr << "custom_encoder: " << error.what() << '\n';
    return 1;
  }
}
