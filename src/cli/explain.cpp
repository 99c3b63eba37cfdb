// SPDX-License-Identifier: Apache-2.0

// attune explain: why an item, as the facade says it to a host program.

#include <cmath>
#include <nlohmann/json.hpp>
#include <ostream>

#include "attune/recommender.hpp"
#include "attune/serving/explanation.hpp"
#include "cli/input.hpp"
#include "cli/verbs.hpp"

namespace attune::cli {
namespace {

using Titles = std::map<std::string, std::string>;

Explanation ask(const Recommender& recommender, const ExplainOptions& options) {
  const RecommenderInfo info = recommender.info();
  const History history = read_history(options.history);
  const ExplanationOptions wanted{.now = history.now, .events = options.events, .full = options.full, .k = options.top};
  const Id item = id_of(options.item, info.item_ids);
  if (options.user) return recommender.explain(id_of(*options.user, info.user_ids), item, wanted);
  return recommender.explain_history(history.ids(info.item_ids), item, wanted, history.times);
}

std::string title_of(const std::string& item, const Titles& titles) {
  const auto title = titles.find(item);
  return title == titles.end() ? "" : title->second;
}

Json contributions_json(const std::vector<Contribution>& contributions, const Titles& titles) {
  Json all = Json::array();
  for (const Contribution& one : contributions) {
    Json json{{"item", to_string(one.item)}, {"weight", one.weight}, {"margin", one.margin}, {"event", one.event}};
    if (one.time != kNoTime) json["timestamp"] = one.time;
    if (const std::string title = title_of(to_string(one.item), titles); !title.empty()) json["title"] = title;
    all.push_back(std::move(json));
  }
  return all;
}

Json explanation_json(const Explanation& explanation, const ExplainOptions& options, const Titles& titles) {
  Json json{{"item", options.item},
            {"score", std::isnan(explanation.score) ? Json() : Json(explanation.score)},
            {"margin", std::isnan(explanation.margin) ? Json() : Json(explanation.margin)},
            {"contributions", contributions_json(explanation.contributions, titles)},
            {"complete", explanation.complete},
            {"source", to_string(explanation.source)},
            {"model_version", explanation.model_version},
            {"score_kind", to_string(explanation.score_kind)}};
  if (options.top != 0) {
    json["counterfactual"] = {{"k", options.top},
                              {"among_best", explanation.counterfactual.among_best},
                              {"events", contributions_json(explanation.counterfactual.events, titles)}};
  }
  return json;
}

void print_explanation(std::ostream& out, const Explanation& explanation, const ExplainOptions& options,
                       const Titles& titles) {
  std::vector<std::vector<std::string>> rows;
  for (const Contribution& one : explanation.contributions) {
    const std::string item = to_string(one.item);
    rows.push_back({std::to_string(one.event + 1), item, fixed(static_cast<double>(one.weight), 4),
                    fixed(static_cast<double>(one.margin), 4), title_of(item, titles)});
  }
  print_table(out, rows, "rlrrl");
  if (std::isnan(explanation.score)) {
    out << options.item << " has no score\n";
  } else {
    out << options.item << " scores " << fixed(static_cast<double>(explanation.score), 4)
        << "; beside each event stands what it adds to that, and to the margin over the best others"
        << (explanation.complete ? "" : ", of those that seem to matter most") << '\n';
  }
  out << "source: " << to_string(explanation.source) << "; score: " << to_string(explanation.score_kind) << '\n';
  if (options.top == 0) return;
  const Counterfactual& counterfactual = explanation.counterfactual;
  const std::string best = "the best " + std::to_string(options.top);
  if (!counterfactual.among_best) {
    out << "it is not among " << best << '\n';
  } else if (counterfactual.events.empty()) {
    out << "no few events were found without which it would not be among " << best << '\n';
  } else {
    out << "it would not be among " << best << " without";
    for (const Contribution& one : counterfactual.events) out << ' ' << to_string(one.item);
    out << '\n';
  }
}

}  // namespace

void run(const ExplainOptions& options, Console& console) {
  check_standard_input({{"--config", options.common.config},
                        {"--history", options.history.items.value_or("")},
                        {"--items", options.items}});
  check_config(options.common);
  if (!options.user && !options.history.items) throw UsageError("explain: expected --user or --history");
  const Titles titles = options.items.empty() ? Titles{} : read_titles(options.items);
  const Recommender recommender = Recommender::open(options.model, {.model_access = ModelAccess::in_memory});
  const Explanation explanation = ask(recommender, options);
  if (console.json()) return console.object(explanation_json(explanation, options, titles));
  print_explanation(console.text(), explanation, options, titles);
}

}  // namespace attune::cli
