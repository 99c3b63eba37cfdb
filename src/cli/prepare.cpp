// SPDX-License-Identifier: Apache-2.0

// attune prepare: interactions of many files, grouped on disk for training.

#include "attune/data/prepared.hpp"

#include <nlohmann/json.hpp>
#include <ostream>
#include <string>

#include "cli/input.hpp"
#include "cli/report.hpp"
#include "cli/verbs.hpp"

namespace attune::cli {
namespace {

PrepareOptions preparing(const PrepareInteractionsOptions& options, Console& console) {
  PrepareOptions preparing;
  preparing.reading = reading_of(options.data);
  if (options.data.min_rating) preparing.reading.min_rating = static_cast<float>(*options.data.min_rating);
  preparing.shards = options.shards;
  preparing.memory = options.memory;
  preparing.progress = [&console](const std::string& file) {
    console.line(file.empty() ? "grouping by user" : "reading " + (file == "-" ? "standard input" : file));
  };
  return preparing;
}

Json report_json(const PrepareReport& report, const PrepareInteractionsOptions& options) {
  Json files = Json::array();
  for (const LoadReport& file : report.files) {
    files.push_back(records_json(file));
    files.back().update({{"time_unit", file.time_unit}, {"interactions", file.interactions}});
  }
  return {{"files", std::move(files)},
          {"interactions", report.interactions},
          {"duplicates", report.duplicates},
          {"users", report.users},
          {"items", report.items},
          {"first_time", report.first_time == kNoTime ? Json() : Json(report.first_time)},
          {"last_time", report.last_time == kNoTime ? Json() : Json(report.last_time)},
          {"runs", report.runs},
          {"shards", options.shards},
          {"seconds", report.seconds},
          {"output", options.output}};
}

}  // namespace

void run(const PrepareInteractionsOptions& options, Console& console) {
  std::size_t standard_inputs = options.common.config == "-";
  for (const std::string& file : options.files) standard_inputs += file == "-";
  if (standard_inputs > 1) throw UsageError("--interactions: expected files, found standard input, which is read once");
  check_config(options.common);
  const auto executor = make_executor(options.common);
  const PrepareReport report =
      prepare_histories(options.files, options.output, preparing(options, console), executor.get());
  if (console.json()) return console.object(report_json(report, options));
  std::ostream& out = console.text();
  for (const LoadReport& file : report.files) {
    out << file.file << ": ";
    print_records(out, file);
    print_dropped(out, file);
  }
  if (report.duplicates != 0) out << "  " << grouped(report.duplicates) << " dropped: duplicate\n";
  out << plural(report.interactions, "interaction", "interactions") << " of " << plural(report.users, "user", "users")
      << " with " << plural(report.items, "item", "items");
  if (report.first_time != kNoTime) out << ", " << date(report.first_time) << " to " << date(report.last_time);
  out << ", in " << fixed(report.seconds, 1) << " s\nwritten to " << options.output
      << "; train on it with\n  attune train --interactions " << options.output << " --output model\n";
}

}  // namespace attune::cli
