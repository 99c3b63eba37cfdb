// SPDX-License-Identifier: Apache-2.0

// What states in bfloat16 cost a trained model (StateStorage).

#include <algorithm>
#include <cmath>
#include <vector>

#include "attune/serving/cosine_scorer.hpp"
#include "catch.hpp"
#include "training/small_training.hpp"

using namespace attune;
using namespace attune::test;

namespace {

// Every user goes round a circle of his own stride, now and then elsewhere.
Histories walks() {
  return histories_of(120, 40, 90, [](std::size_t u, std::size_t i) {
    return detail::mix(u, i) % 8 == 0 ? detail::mix(i, u) % 90 : (u + i * (1 + u % 3)) % 90;
  });
}

TrainerConfig config_of(BlockKind block) {
  TrainerConfig config = small_config();
  config.encoder.block = block;
  config.encoder.embedding_dim = 32;
  config.encoder.num_blocks = block == BlockKind::hstu ? 4 : 2;
  config.encoder.max_sequence_length = 40;
  config.exclude_seen = false;
  config.epochs = 12;
  return config;
}

double one_minus_cosine(std::span<const float> a, std::span<const float> b) {
  double ab = 0, aa = 0, bb = 0;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const double x = a[i], y = b[i];
    ab += x * y;
    aa += x * x;
    bb += y * y;
  }
  return 1 - ab / std::sqrt(aa * bb);
}

double gain(std::span<const ScoredHandle> items, ItemHandle target) {
  for (std::size_t rank = 0; rank < items.size(); ++rank) {
    if (items[rank].item == target) return 1 / std::log2(2.0 + static_cast<double>(rank));
  }
  return 0;
}

// The ten best for a vector.
std::vector<ScoredHandle> best(const CosineScorer<float>& scorer, std::span<const float> vector, Workspace& workspace) {
  const std::vector<std::uint64_t> all((scorer.size() + 63) / 64, ~std::uint64_t{0});
  const auto items = scorer.top_k({vector, {}, {}}, all, {}, 10, workspace);
  return {items.begin(), items.end()};
}

}  // namespace

TEST_CASE("States in bfloat16 hardly turn the vectors of a trained model, and keep its accuracy",
          "[training][state_storage]") {
  const Split parts = leave_one_out(walks());
  const TrainedModel model =
      Trainer(config_of(GENERATE(BlockKind::sasrec, BlockKind::hstu))).fit(parts.train, parts.validation);
  const SequenceEncoder<float>& encoder = *model.encoder;
  const CosineScorer<float> scorer({encoder.items(), ScoreKind::cosine});
  Workspace workspace;
  std::vector<float> exact(encoder.dim()), rounded(encoder.dim());
  double worst = 0, exact_gain = 0, rounded_gain = 0;
  std::size_t common = 0;
  for (const auto& query : parts.test.queries) {
    const HistoryView history = parts.test.history(query);
    encoder.encode(exact, history, {}, workspace);
    auto state = encoder.make_state(StateStorage::bfloat16);
    encoder.advance(state, history, workspace);
    encoder.user_vector(rounded, state, {}, workspace);
    worst = std::max(worst, one_minus_cosine(exact, rounded));
    const std::vector<ScoredHandle> a = best(scorer, exact, workspace), b = best(scorer, rounded, workspace);
    const ItemHandle target = parts.test.targets(query).front();
    exact_gain += gain(a, target);
    rounded_gain += gain(b, target);
    for (const ScoredHandle& item : a) {
      common += static_cast<std::size_t>(std::ranges::count(b, item.item, &ScoredHandle::item));
    }
  }
  const auto queries = static_cast<double>(parts.test.size());
  INFO("1 - cos " << worst << " of 10 in common " << static_cast<double>(common) / queries << " ndcg "
                  << exact_gain / queries << " " << rounded_gain / queries);
  CHECK(worst > 0);
  CHECK(worst < 1e-5);
  CHECK(static_cast<double>(common) > 9.9 * queries);
  CHECK(exact_gain > 0.3 * queries);  // it did learn
  CHECK(std::abs(rounded_gain - exact_gain) < 0.002 * exact_gain);
}
