// SPDX-License-Identifier: Apache-2.0
#pragma once

// How a model is measured, as `train` did unless told otherwise, and how the numbers are shown.

#include <iosfwd>
#include <map>
#include <string>
#include <vector>

#include "attune/data/interaction_log.hpp"
#include "attune/data/split.hpp"
#include "attune/error.hpp"
#include "attune/model/checkpoint.hpp"
#include "attune/training/evaluation.hpp"
#include "attune/training/protocol.hpp"
#include "cli/arguments.hpp"
#include "cli/baselines.hpp"
#include "cli/console.hpp"
#include "cli/input.hpp"

namespace attune::cli {

struct Protocol : EvaluationProtocol {
  std::string note = {};  // what a reader of the numbers must know, from the split

  // Takes over what was given on the command line. Throws UsageError.
  void apply(const ProtocolOptions& options, const DataOptions& data);
};

// Trains for what will be measured: seen items, and the time of the request where the encoder can read it.
void apply_protocol(TrainerConfig& config, const ProtocolOptions& options);
// By the split that was asked for. Where none was and the file has no times, which the default needs, leave-one-out.
Split split_by(Protocol& protocol, const ProtocolOptions& asked, Histories histories);

Json protocol_json(const Protocol& protocol, const Report& report);
// Metrics by name, then by cutoff.
Json metrics_json(const std::map<std::string, double>& metrics);
Json baselines_json(const std::vector<Baseline>& baselines);
// By name: the difference of each metric, its interval and the share of resamples above zero.
Json paired_json(const std::vector<Baseline>& baselines);
// Those that were not measured, and why.
Json left_out_json(const std::vector<Baseline>& baselines);
// What the numbers stand for, and why there may be none.
void print_protocol(std::ostream& out, const Protocol& protocol, const Report& report);
// The cutoff that people look at: 10, or the first one.
std::size_t shown_cutoff(const std::vector<std::size_t>& cutoffs);
// The model and its baselines side by side at one cutoff, a row per metric.
Rows comparison_rows(const Report& model, const std::vector<Baseline>& baselines, std::size_t cutoff);
// How much more the model reaches than each of them.
Rows difference_rows(const std::vector<Baseline>& baselines);
// A row per metric, a column per cutoff. A metric without one stands in the first column.
Rows metric_rows(const std::map<std::string, double>& metrics);
// The first two, and who was not measured.
void print_comparison(std::ostream& out, const Report& model, const std::vector<Baseline>& baselines,
                      std::size_t cutoff);
void print_metrics(std::ostream& out, const std::map<std::string, double>& metrics);

std::string date(Timestamp time);  // "2013-02-28"

}  // namespace attune::cli
