// SPDX-License-Identifier: Apache-2.0

// attune score: the score of every item of a model for a history, as its recommender would give it.

#include <nlohmann/json.hpp>
#include <ostream>
#include <vector>

#include "attune/data/id_map.hpp"
#include "attune/recommender.hpp"
#include "cli/input.hpp"
#include "cli/verbs.hpp"

namespace attune::cli {

void run(const ScoreOptions& options, Console& console) {
  check_config(options.common);
  const Recommender recommender = Recommender::open(options.model, {.model_access = ModelAccess::in_memory});
  const IdMap items = recommender.item_ids();
  const History history = read_history(options.history);
  const Request request{.k = items.size(), .now = history.now, .exclude_seen = false};
  const Answer answer = recommender.recommend_history(history.ids(items.kind()), request, history.times);

  std::vector<bool> scored(items.size());
  // Keys are distinct, so they are appended without being looked up: every item would make that quadratic.
  Json scores = Json::object();
  auto& entries = scores.get_ref<Json::object_t&>();
  std::vector<std::vector<std::string>> rows;
  for (const Recommendation& recommendation : answer.items) {
    scored[items.find(recommendation.item)] = true;
    entries.emplace_back(to_string(recommendation.item), recommendation.score);
    rows.push_back({to_string(recommendation.item), fixed(static_cast<double>(recommendation.score), 6)});
  }
  for (ItemHandle item = 0; item < items.size(); ++item) {
    if (scored[item]) continue;
    entries.emplace_back(to_string(items.id(item)), nullptr);
    rows.push_back({to_string(items.id(item)), "-"});
  }
  if (!console.json()) return print_table(console.text(), rows);
  console.object({{"score_kind", to_string(answer.score_kind)},
                  {"source", to_string(answer.source)},
                  {"model_version", answer.model_version},
                  {"scores", std::move(scores)}});
}

}  // namespace attune::cli
