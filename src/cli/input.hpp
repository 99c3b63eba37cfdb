// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the verbs read: interactions, titles, settings, ids and times from the command line.

#include <initializer_list>
#include <iosfwd>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "attune/data/categories.hpp"
#include "attune/data/interaction_log.hpp"
#include "attune/data/reader.hpp"
#include "attune/error.hpp"
#include "attune/executor.hpp"
#include "attune/training/protocol.hpp"
#include "attune/training/trainer.hpp"
#include "cli/arguments.hpp"
#include "cli/console.hpp"

namespace attune::cli {

struct ReadingReport {
  LoadReport load;
  CleaningReport cleaning;
};
struct Interactions : ReadingReport {
  InteractionLog log;  // cleaned
};
struct GroupedInteractions : ReadingReport {
  Histories histories;
};
ReadOptions reading_of(const DataOptions& options);  // ids are text, whatever the rating
Interactions read_interactions(const DataOptions& options, const EvaluationProtocol& protocol, IdKind items,
                               Console& console, IdKind users = IdKind::string);
// The same, grouped; of a folder that prepare wrote where it lies. `protocol` learns what rating it was prepared with.
GroupedInteractions read_histories(const DataOptions& options, EvaluationProtocol& protocol, IdKind items,
                                   Console& console);
// Every record of a file accounted for: its lines, and the records that were dropped and why.
Json records_json(const LoadReport& load);
// The same and what the interactions are.
Json load_json(const ReadingReport& interactions);
void print_records(std::ostream& out, const LoadReport& load);
void print_dropped(std::ostream& out, const LoadReport& load);
void print_load(std::ostream& out, const ReadingReport& interactions);

// The title of each item, from a file with the columns item and title.
std::map<std::string, std::string> read_titles(const std::string& file);

// Where rows of a list of ids begin with the one of padding.
inline constexpr std::string_view kPaddingId = "[PAD]";
// Whether such a list takes its first line for that, or for the names of the columns of a table.
bool is_heading_of_ids(std::string_view line);

// By item of `ids`: the column of --categories, or genres where the file has it, and that of --provider.
struct ItemCategories {
  std::optional<Categories> categories, providers;
};
ItemCategories read_item_categories(const ItemOptions& options, const IdMap& ids,
                                    const std::optional<std::string>& provider = std::nullopt);

// Throws UsageError where several of them want standard input, which can be read once.
struct InputOption {
  const char* option;
  const std::string& file;
};
void check_standard_input(std::initializer_list<InputOption> inputs);

// The configuration of a preset with the file of --config and --seed laid over it.
TrainerConfig trainer_config(const std::string& preset, const CommonOptions& options);
// The same check for the verbs that train nothing: a file of --config that cannot be used is an error everywhere.
void check_config(const CommonOptions& options);
std::unique_ptr<Executor> make_executor(const CommonOptions& options);

// All of a file, or of standard input for "-".
std::string read_text(const std::string& file);

// A history as typed, and as a request takes it.
struct History {
  std::vector<std::string> text;
  std::vector<Timestamp> times;  // empty, or one per item
  Timestamp now = kNoTime;

  // As a model knows them; the ids point into `text`. What is not a number is unknown to a model of numbers.
  std::vector<Id> ids(IdKind kind) const;
};
History read_history(const HistoryOptions& options);
// The id a model of this kind knows `text` by, read as in files.
Id id_of(const std::string& text, IdKind kind);

}  // namespace attune::cli
