// SPDX-License-Identifier: Apache-2.0

// The deletion test of explanations: without the three events that explain an item best it falls farther in the list
// than without three random ones. For an item of a user's best ten, in many cases:
//   explanation_campaign (MODEL_DIRECTORY | INTERACTIONS) [CASES [SHARE_IN_PERCENT [EVENTS]]]
// A file of interactions is learned from for a moment first. Ends with status 1 below the share.

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "attune/data/interaction_log.hpp"
#include "attune/data/reader.hpp"
#include "attune/error.hpp"
#include "attune/recommender.hpp"
#include "attune/serving/explanation.hpp"
#include "attune/training/trainer.hpp"
#include "serving/campaign.hpp"

namespace {

using namespace attune;
using Events = std::set<std::size_t>;

constexpr std::size_t kRemoved = 3, kBest = 10, kFewest = 2 * kRemoved;

TrainedModel model_of(const std::string& source) {
  if (std::filesystem::is_directory(source)) return TrainedModel::load(source);
  TrainerConfig config = TrainerConfig::preset("sasrec-small");
  config.encoder.embedding_dim = 32;
  config.encoder.inner_dim = 32;
  config.encoder.max_sequence_length = 50;
  config.batch_sequences = 16;
  config.warmup_steps = 20;
  config.epochs = 20;
  return Trainer{config}.fit(group_by_user(read_interactions(source)), {});
}

// What a user did, as a host types it, and what is not shown to him again.
struct User {
  std::vector<Id> items, seen;
  std::vector<Timestamp> times;
};

User typed(const TrainedModel& model, HistoryView history) {
  User user;
  for (const ItemHandle item : history.items) user.items.push_back(model.item_ids->id(item));
  const std::set<ItemHandle> seen(history.items.begin(), history.items.end());
  for (const ItemHandle item : seen) user.seen.push_back(model.item_ids->id(item));
  user.times.assign(history.times.begin(), history.times.end());
  return user;
}

// Of an item among all that the user has not seen, from 1, without some of the events.
std::size_t rank_without(const Recommender& recommender, const User& user, const Id& item, const Events& removed) {
  User left;
  for (std::size_t i = 0; i < user.items.size(); ++i) {
    if (removed.contains(i)) continue;
    left.items.push_back(user.items[i]);
    if (!user.times.empty()) left.times.push_back(user.times[i]);
  }
  const Timestamp now = user.times.empty() ? kNoTime : user.times.back();
  const Request request{.k = 1'000'000, .now = now, .exclude_seen = false, .deny = user.seen};
  const Answer all = recommender.recommend_history(left.items, request, left.times);
  return 1 + static_cast<std::size_t>(std::ranges::find(all.items, item, &Recommendation::item) - all.items.begin());
}

struct Result {
  std::size_t cases = 0, farther = 0, equal = 0;
  double explained_rank = 0, random_rank = 0, rank = 0, seconds = 0;
};

// One item of one user.
void measure(const Recommender& recommender, const User& user, std::size_t window, std::size_t events,
             std::mt19937_64& random, Result& result) {
  const Timestamp now = user.times.empty() ? kNoTime : user.times.back();
  const Answer best = recommender.recommend_history(user.items, {.k = kBest, .now = now}, user.times);
  if (best.items.empty()) return;
  const Id item = best.items[random() % best.items.size()].item;
  const auto begin = std::chrono::steady_clock::now();
  const Explanation explanation =
      recommender.explain_history(user.items, item, {.events = events, .full = events == 0}, user.times);
  result.seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  Events explaining, any;
  for (std::size_t i = 0; i < kRemoved; ++i) explaining.insert(explanation.contributions[i].event);
  const std::size_t recent = std::min(window, user.items.size());
  while (any.size() < kRemoved) any.insert(user.items.size() - 1 - random() % recent);
  const std::size_t explained = rank_without(recommender, user, item, explaining);
  const std::size_t otherwise = rank_without(recommender, user, item, any);
  ++result.cases;
  result.farther += explained > otherwise;
  result.equal += explained == otherwise;
  result.explained_rank += std::log(static_cast<double>(explained));
  result.random_rank += std::log(static_cast<double>(otherwise));
  result.rank += std::log(static_cast<double>(rank_without(recommender, user, item, {})));
}

Result measure(const TrainedModel& model, std::size_t cases, std::size_t events) {
  const Recommender recommender = Recommender::open(model);
  const std::size_t window = model.encoder ? model.encoder->config().window() : 1'000'000;
  std::mt19937_64 random(1);
  Result result;
  while (result.cases < cases) {
    const HistoryView history = model.histories->of(random() % model.histories->num_users());
    if (history.size() >= kFewest) measure(recommender, typed(model, history), window, events, random, result);
  }
  return result;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2) {
    std::fprintf(stderr, "usage: explanation_campaign (MODEL_DIRECTORY | INTERACTIONS) [CASES [SHARE [EVENTS]]]\n");
    return 2;
  }
  try {
    const std::size_t cases = test::argument(argc, argv, 2, 1000), share = test::argument(argc, argv, 3, 95);
    const Result result = measure(model_of(argv[1]), cases, test::argument(argc, argv, 4, 13));
    const auto count = static_cast<double>(result.cases);
    const auto mean = [&](double logarithms) { return std::exp(logarithms / count); };
    std::printf(
        "in %zu of %zu cases the item falls farther without its 3 explaining events than without 3 random ones, "
        "in %zu as far\n",
        result.farther, result.cases, result.equal);
    std::printf("geometric mean of its ranks: %.1f, %.1f without the explaining, %.1f without random events\n",
                mean(result.rank), mean(result.explained_rank), mean(result.random_rank));
    std::printf("an explanation took %.2f ms\n", 1000 * result.seconds / count);
    return static_cast<double>(result.farther) >= 0.01 * static_cast<double>(share) * count ? 0 : 1;
  } catch (const Error& error) {
    std::fprintf(stderr, "explanation_campaign: %s\n", error.what());
    return 2;
  }
}
