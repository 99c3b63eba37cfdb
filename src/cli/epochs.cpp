// SPDX-License-Identifier: Apache-2.0
#include "cli/epochs.hpp"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <string>

namespace attune::cli {

namespace {

std::string describe(const std::string& name, const EpochReport& epoch) {
  const std::string planned = std::to_string(epoch.epochs), number = std::to_string(epoch.epoch);
  std::string text = name + ' ' + std::string(planned.size() - std::min(planned.size(), number.size()), ' ') + number +
                     '/' + planned + "  loss " + fixed(epoch.loss, 4);
  if (epoch.validated) {
    text += "  validation hr@10 " + fixed(epoch.hit_rate_10, 4) + "  ndcg@10 " + fixed(epoch.ndcg_10, 4);
  }
  return text + "  " + fixed(epoch.seconds, 1) + " s" + (epoch.best ? "  best" : "");
}

}  // namespace

Progress progress_on(Console& console) {
  Progress progress;
  progress.epoch = [&console](const EpochReport& epoch) {
    console.line(describe("epoch", epoch));
    return true;
  };
  progress.refit = [&console](const EpochReport& epoch) {
    console.line(describe("refit", epoch));
    return true;
  };
  progress.step = [&console](const StepReport& step) {
    console.bar((step.refit ? "refit " : "epoch ") + std::to_string(step.epoch) + "  loss " + fixed(step.loss, 3),
                step.step, step.steps);
    return true;
  };
  return progress;
}

Json epochs_json(const std::vector<EpochReport>& epochs) {
  Json json = Json::array();
  for (const EpochReport& epoch : epochs) {
    Json entry{{"epoch", epoch.epoch}, {"seconds", epoch.seconds}, {"loss", epoch.loss}, {"validation", nullptr}};
    if (epoch.validated) entry["validation"] = {{"hr@10", epoch.hit_rate_10}, {"ndcg@10", epoch.ndcg_10}};
    json.push_back(std::move(entry));
  }
  return json;
}

}  // namespace attune::cli
