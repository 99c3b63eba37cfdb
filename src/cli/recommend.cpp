// SPDX-License-Identifier: Apache-2.0

// attune recommend: what a host program would be answered, through the same facade.

#include "attune/recommender.hpp"

#include <cmath>
#include <nlohmann/json.hpp>
#include <ostream>

#include "cli/input.hpp"
#include "cli/profiles.hpp"
#include "cli/verbs.hpp"

namespace attune::cli {
namespace {

using Titles = std::map<std::string, std::string>;

Answer ask(const RecommendOptions& options) {
  Recommender recommender = Recommender::open(options.model, {.model_access = ModelAccess::in_memory});
  const RecommenderInfo info = recommender.info();
  const History history = read_history(options.history);
  Request request{.k = options.k, .now = history.now, .exclude_seen = options.exclude_seen};
  const ProfileText profile(options.profile);
  const std::vector<FieldValue> fields = profile.values();
  // Requests ignore what does not fit; people want to know.
  if (!fields.empty()) recommender.upsert_user({.id = id_of("0", info.user_ids), .fields = fields});
  request.profile = fields;
  if (!options.user) return recommender.recommend_history(history.ids(info.item_ids), request, history.times);
  request.user = id_of(*options.user, info.user_ids);
  return recommender.recommend(request);
}

Json answer_json(const Answer& answer, const Titles& titles) {
  Json items = Json::array();
  for (const Recommendation& recommendation : answer.items) {
    Json item{{"item", to_string(recommendation.item)}, {"score", recommendation.score}};
    if (!std::isnan(recommendation.probability)) item["probability"] = recommendation.probability;
    if (const auto title = titles.find(to_string(recommendation.item)); title != titles.end()) {
      item["title"] = title->second;
    }
    items.push_back(std::move(item));
  }
  return {{"items", std::move(items)},
          {"source", to_string(answer.source)},
          {"model_version", answer.model_version},
          {"score_kind", to_string(answer.score_kind)},
          {"reranked", answer.reranked},
          {"shortfall",
           {{"seen", answer.shortfall.seen},
            {"filtered", answer.shortfall.filtered},
            {"unavailable", answer.shortfall.unavailable}}}};
}

void print_answer(std::ostream& out, const Answer& answer, const Titles& titles, std::size_t k) {
  std::vector<std::vector<std::string>> rows;
  for (const Recommendation& recommendation : answer.items) {
    const std::string item = to_string(recommendation.item);
    const auto title = titles.find(item);
    rows.push_back({std::to_string(rows.size() + 1), item, fixed(static_cast<double>(recommendation.score), 4),
                    title == titles.end() ? "" : title->second});
  }
  print_table(out, rows, "rlrl");
  out << "source: " << to_string(answer.source) << "; score: " << to_string(answer.score_kind);
  if (answer.reranked != 0) out << "; the best " << answer.reranked << " reordered";
  out << '\n';
  if (answer.items.size() < k) {
    out << answer.items.size() << " of " << k << " items: " << answer.shortfall.seen << " were seen, "
        << answer.shortfall.filtered << " filtered, " << answer.shortfall.unavailable << " without a usable vector\n";
  }
}

}  // namespace

void run(const RecommendOptions& options, Console& console) {
  check_standard_input({{"--config", options.common.config},
                        {"--history", options.history.items.value_or("")},
                        {"--items", options.items}});
  check_config(options.common);
  if (!options.user && !options.history.items && options.profile.empty()) {
    throw UsageError("recommend: expected --user, --history or --profile");
  }
  const Titles titles = options.items.empty() ? Titles{} : read_titles(options.items);
  const Answer answer = ask(options);
  if (console.json()) return console.object(answer_json(answer, titles));
  print_answer(console.text(), answer, titles, options.k);
}

}  // namespace attune::cli
