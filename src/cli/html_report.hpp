// SPDX-License-Identifier: Apache-2.0
#pragma once

// --report: one file of HTML that shows what a verb did, for whoever looks at it in a browser. A section is there where
// a verb adds it and has what it shows. Users are numbered, never named.

#include <initializer_list>
#include <map>
#include <string>
#include <vector>

#include "attune/data/categories.hpp"
#include "attune/data/split.hpp"
#include "attune/model/checkpoint.hpp"
#include "attune/training/evaluation.hpp"
#include "attune/training/trainer.hpp"
#include "cli/arguments.hpp"
#include "cli/console.hpp"
#include "cli/html.hpp"
#include "cli/input.hpp"
#include "cli/plot.hpp"
#include "cli/report.hpp"

namespace attune::cli {

class HtmlReport {
 public:
  // Titles come from `items`, "" for none. `others`: files and directories that the verb reads or writes. Without a
  // `file` no report is asked for, and no member but the next does anything. What could not be written, or would
  // replace one of the others, is refused: throws UsageError and Error(io_error).
  HtmlReport(const std::string& file, const CommonOptions& options, const std::string& items,
             std::initializer_list<InputOption> others);
  explicit operator bool() const noexcept { return !file_.empty(); }

  // Has a measurement bring what is shown of it.
  void ask(EvaluationOptions& measuring) const;

  // `load`: load_json() of the interactions that were split.
  void add_data(const Json& load, const Split& split);
  void add_epochs(const std::vector<EpochReport>& epochs, std::size_t best);
  void add_trials(const Plot& curves, const Rows& trials, const std::string& note);
  void add_metrics(const Protocol& protocol, const Report& report, const std::vector<Baseline>& baselines,
                   std::size_t cutoff);
  // The vectors of the items, by `categories` (null: not known) of the model's items.
  void add_items(const TrainedModel& model, const Categories* categories);
  // `queries`: those that were measured.
  void add_hardest(const TrainedModel& model, const Report& report, const EvaluationQueries& queries);
  void add_configuration(const std::string& json);

  // Writes the file, as a whole or not at all. `done`: what the verb says of itself, a fact and its value in each row.
  void write(const std::string& title, Rows done);

 private:
  std::string title_of(const IdMap& ids, ItemHandle item) const;  // the id, where there is none
  void add_case(const TrainedModel& model, const HardQuery& hard, std::size_t number, std::size_t items,
                const EvaluationQueries& queries);

  std::string file_;
  const CommonOptions& options_;
  std::map<std::string, std::string> titles_;
  HtmlPage page_;
};

}  // namespace attune::cli
