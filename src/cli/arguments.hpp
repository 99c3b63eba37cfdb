// SPDX-License-Identifier: Apache-2.0
#pragma once

// The command line as values: one struct of options per verb. Everything the tool accepts stands on this page.

#include <cstddef>
#include <cstdint>
#include <optional>
#include <stdexcept>
#include <string>
#include <variant>
#include <vector>

#include "attune/data/reader.hpp"
#include "attune/model/text_encoder.hpp"
#include "attune/privacy/private_training.hpp"
#include "attune/training/tuner.hpp"
#include "attune/training/updater.hpp"

namespace attune::cli {

// Accepted by every verb.
struct CommonOptions {
  bool json = false;    // one JSON object on standard output, nothing else there
  bool quiet = false;   // no progress
  std::size_t threads;  // set from the hardware unless given
  std::optional<std::uint64_t> seed;
  std::string config;   // a JSON file of training options; "" for none
  std::string command;  // as it was typed
};

// How interactions are read and cleaned.
struct DataOptions {
  std::string interactions;
  std::vector<std::string> columns;
  bool skip_header = false;
  std::string separator;
  std::optional<Encoding> encoding;
  bool skip_bad_lines = false;
  std::optional<double> min_rating;
  std::optional<std::size_t> k_core;
};

// How a model is measured. What is not given comes from the model (evaluate) or has a default (train).
struct ProtocolOptions {
  std::optional<std::string> split;
  bool baskets = false;
  std::optional<bool> exclude_seen;
  std::optional<bool> request_time;
};

// What is known of items beside their interactions.
struct ItemOptions {
  std::string file;                       // "" for none
  std::optional<std::string> categories;  // a column
};

struct TrainOptions {
  CommonOptions common;
  DataOptions data;
  ProtocolOptions protocol;
  ItemOptions items;
  std::string output, preset = "default";
  std::optional<std::size_t> epochs;
  std::optional<double> time_budget;  // seconds
  bool resume = false;
  std::optional<std::size_t> memory_limit;  // megabytes
  std::string teacher;                      // a model directory; "" for none
  std::string users;                        // a file; "" for none
  std::string schema;                       // of the files of items and users; "" for none
  std::optional<double> privacy_epsilon;    // none: nobody is kept private
  double privacy_delta = 1e-5;
  PrivacyUnit privacy_unit = PrivacyUnit::user;
  std::string report;  // a file; "" for none
};

struct TuneOptions {
  CommonOptions common;
  DataOptions data;
  ProtocolOptions protocol;
  std::string space, output, preset = "default";
  std::string report;  // a file; "" for none
  std::optional<std::size_t> epochs;
  TunerOptions tuner;
};

struct UpdateOptions {
  CommonOptions common;
  DataOptions data;
  ProtocolOptions protocol;
  std::string model, output;
  UpdaterConfig updater;
};

struct CompressOptions {
  CommonOptions common;
  std::string model, output;
};

struct ImportModelOptions {
  CommonOptions common;
  std::string file, output;
  std::string dialect, variant;  // "" where they are not named
  std::optional<std::size_t> heads;
  std::size_t hop = 1;
  std::string item_ids;  // a file; "" for none
};

struct ExportModelOptions {
  CommonOptions common;
  std::string model, format, output;
};

struct ConvertOptions {
  CommonOptions common;
  DataOptions data;  // as the file is read, whatever it is about; nothing is cleaned
  std::string output;
};

struct PrepareInteractionsOptions {
  CommonOptions common;
  DataOptions data;  // as each file is read; no k-core
  std::vector<std::string> files;
  std::string output;
  std::size_t shards = 1;
  std::size_t memory = std::size_t{512} << 20;  // bytes
};

struct EmbedOptions {
  CommonOptions common;
  std::string model, items, output = "vectors.npy";
  std::string ids;                   // "" for one beside the output
  std::vector<std::string> columns;  // with text
  std::optional<Pooling> pooling;
  std::optional<std::size_t> max_length;
};

struct EvaluateOptions {
  CommonOptions common;
  DataOptions data;
  ProtocolOptions protocol;
  ItemOptions items;
  std::string model;
  std::vector<std::size_t> cutoffs{1, 5, 10, 50, 200};
  bool baselines = false;
  std::string against;                  // another model directory; "" for none
  std::optional<std::string> provider;  // a column of the file of items
  std::size_t sampled = 0;
  bool segments = false;
  std::size_t cold_below = 10;
  std::string users;                // a file; "" for none
  std::vector<std::string> groups;  // columns of it
  std::string report;               // a file; "" for none
};

// What a request is made for: ids and times as typed.
struct HistoryOptions {
  std::optional<std::string> items;  // "i1,i2,..." or "-": one id a line from standard input
  std::vector<std::string> timestamps;
  std::string now;
};

struct RecommendOptions {
  CommonOptions common;
  std::string model, items;
  std::optional<std::string> user;
  std::string profile;  // as typed; "" for none
  HistoryOptions history;
  std::size_t k = 10;
  bool exclude_seen = true;
};

struct ScoreOptions {
  CommonOptions common;
  std::string model;
  HistoryOptions history;
};

struct ExplainOptions {
  CommonOptions common;
  std::string model, items, item;
  std::optional<std::string> user;
  HistoryOptions history;
  std::size_t events = 13;
  bool full = false;
  std::size_t top = 0;
};

struct InspectOptions {
  CommonOptions common;
  std::string path;
};

struct MetricsOptions {
  CommonOptions common;
  std::string file;            // of lists, or
  std::string logged;          // of decisions
  std::optional<double> clip;  // their weights
};

// Mechanisms on the same data: one of each list, or one for all where a list has a single value.
struct PrivacyEpsilonOptions {
  CommonOptions common;
  std::vector<double> sampling_probabilities{1}, noise_multipliers;
  std::vector<std::uint64_t> steps{1};
  double delta = 0;
  bool renyi = false;
  std::optional<double> order;
};

struct PrivacyCalibrateOptions {
  CommonOptions common;
  double epsilon = 0, delta = 0, sampling_probability = 1;
  std::uint64_t steps = 1;
};

// With the key of a host (docs/privacy.md).
struct PrivacyKeyOptions {
  CommonOptions common;
  std::string output;
};

struct PrivacySealOptions {
  CommonOptions common;
  std::string key_file, input, output;
};

struct PrivacyUnsealOptions {
  CommonOptions common;
  std::string key_file, input, output;
};

struct PrivacyPseudonymiseOptions {
  CommonOptions common;
  DataOptions data;  // as the file is read; nothing is cleaned
  std::string key_file, output;
};

struct DoctorOptions {
  CommonOptions common;
};

// What these two print is made of the declarations while they are at hand.
struct CompletionOptions {
  CommonOptions common;
  std::string shell, script;
};

struct ManualOptions {
  CommonOptions common;
  std::string page;
};

using Command =
    std::variant<TrainOptions, TuneOptions, UpdateOptions, CompressOptions, ImportModelOptions, ExportModelOptions,
                 ConvertOptions, PrepareInteractionsOptions, EmbedOptions, EvaluateOptions, RecommendOptions,
                 ScoreOptions, ExplainOptions, InspectOptions, MetricsOptions, PrivacyEpsilonOptions,
                 PrivacyCalibrateOptions, PrivacyKeyOptions, PrivacySealOptions, PrivacyUnsealOptions,
                 PrivacyPseudonymiseOptions, DoctorOptions, CompletionOptions, ManualOptions>;

// Exit statuses of the tool.
inline constexpr int kDone = 0;
inline constexpr int kFailed = 1;
inline constexpr int kWrongUsage = 2;

struct ParsedArguments {
  std::optional<Command> command;  // empty: help was printed, or the usage was wrong
  int status = kDone;
};

// Wrong usage that is only seen while a verb runs.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Prints help to standard output and complaints to standard error.
ParsedArguments parse_arguments(int argc, const char* const* argv);

// A word as a shell takes it.
std::string quoted(const std::string& word);
// The parts of "a,b,,c", empty ones included.
std::vector<std::string> split_commas(const std::string& text);

}  // namespace attune::cli
