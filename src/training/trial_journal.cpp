// SPDX-License-Identifier: Apache-2.0
#include "training/trial_journal.hpp"

#include <span>
#include <string_view>
#include <system_error>

#include "attune/error.hpp"
#include "training/training_state.hpp"

namespace attune::inline v0_1::detail {

namespace {

namespace fs = std::filesystem;

constexpr const char* kName = "search.jsonl";

std::string quoted(const fs::path& path) {
  const std::string name = path.string();
  return '"' + name + '"';
}

// Only a directory that is nobody else's becomes that of a search.
fs::path require_own(const fs::path& directory, bool resume) {
  const fs::path journal = directory / kName;
  std::error_code error;
  if (fs::exists(journal, error)) {
    if (!resume && fs::file_size(journal, error) != 0) {
      throw Error(ErrorCode::invalid_argument,
                  quoted(directory) + " holds a search already: resume it, or choose another directory");
    }
  } else if (fs::exists(directory, error) && !fs::is_empty(directory, error)) {
    throw Error(ErrorCode::invalid_argument, quoted(directory) +
                                                 ": expected an empty directory or that of a "
                                                 "search, found neither");
  }
  return journal;
}

// Durable when it returns.
void append_line(platform::AppendFile& file, const Json& json) {
  const std::string line = text_of(json) + '\n';
  file.append(std::as_bytes(std::span(line)));
}

Json trial_json(const TrialReport& trial, const Json& parameters) {
  Json json{{"trial", trial.trial},
            {"rungs", trial.rungs},
            {"parameters", parameters},
            {"ndcg_10", trial.ndcg_10},
            {"hit_rate_10", trial.hit_rate_10},
            {"best_epoch", trial.best_epoch},
            {"seconds", trial.seconds},
            {"ended", trial.ended},
            {"problem", trial.problem},
            {"epochs", Json::array()}};
  for (const EpochReport& epoch : trial.epochs) json["epochs"].push_back(json_of(epoch));
  return json;
}

TrialReport trial_of(const Json& json) {
  TrialReport trial;
  json.at("trial").get_to(trial.trial);
  json.at("rungs").get_to(trial.rungs);
  json.at("ndcg_10").get_to(trial.ndcg_10);
  json.at("hit_rate_10").get_to(trial.hit_rate_10);
  json.at("best_epoch").get_to(trial.best_epoch);
  json.at("seconds").get_to(trial.seconds);
  json.at("ended").get_to(trial.ended);
  json.at("problem").get_to(trial.problem);
  for (const Json& epoch : json.at("epochs")) trial.epochs.push_back(epoch_report_of(epoch));
  return trial;
}

}  // namespace

TrialJournal::TrialJournal(const fs::path& directory, const Json& search, std::size_t rungs_of_trial, bool resume)
    : path_(require_own(directory, resume)), file_(path_), rungs_of_trial_(rungs_of_trial) {
  const auto bytes = file_.read();
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const std::size_t whole = text.rfind('\n') + 1;  // npos + 1 is 0
  if (whole != 0) replay(std::string(text.substr(0, whole)), search);
  if (whole != text.size()) file_.shorten(whole);
  if (whole == 0) append_line(file_, search);
}

void TrialJournal::replay(const std::string& text, const Json& search) {
  std::size_t number = 1;
  for (std::size_t begin = 0, end; begin < text.size(); begin = end + 1, ++number) {
    end = text.find('\n', begin);
    const std::string place = quoted(path_) + " line " + std::to_string(number);
    const Json json = parse_object(text.substr(begin, end - begin), place, ErrorCode::corrupt_file);
    if (number == 1) {
      require_same(json, search, '"' + path_.string() + "\": the journal is of another search");
      continue;
    }
    TrialReport trial;
    try {
      trial = trial_of(json);
    } catch (const Json::exception& error) {
      throw Error(ErrorCode::corrupt_file, place + ": " + error.what());
    }
    check(trial, place);
    keep(trial);
  }
}

void TrialJournal::check(const TrialReport& trial, const std::string& place) const {
  const auto require = [&](bool holds, const std::string& expected, const std::string& found) {
    if (!holds) throw Error(ErrorCode::corrupt_file, place + ": expected " + expected + ", found " + found);
  };
  const std::size_t next = trials_.size() + 1;
  const bool follows =
      trial.trial == next ? trial.rungs == 1
                          : trial.trial >= 1 && trial.trial < next && trial.rungs == trials_[trial.trial - 1].rungs + 1;
  require(follows, "the next rung of a trial",
          "rung " + std::to_string(trial.rungs) + " of trial " + std::to_string(trial.trial));
  require(trial.rungs <= rungs_of_trial_, "at most " + std::to_string(rungs_of_trial_) + " rungs",
          std::to_string(trial.rungs));
  for (std::size_t i = 0; i < trial.epochs.size(); ++i) {
    require(trial.epochs[i].epoch == i + 1, "epoch " + std::to_string(i + 1), std::to_string(trial.epochs[i].epoch));
  }
  require(trial.best_epoch <= trial.epochs.size(), "a best_epoch of at most " + std::to_string(trial.epochs.size()),
          std::to_string(trial.best_epoch));
}

void TrialJournal::keep(const TrialReport& trial) {
  if (trial.trial > trials_.size()) {
    trials_.push_back(trial);
  } else {
    seconds_ -= trials_[trial.trial - 1].seconds;
    trials_[trial.trial - 1] = trial;
  }
  seconds_ += trial.seconds;
  ++rungs_;
}

void TrialJournal::add(const TrialReport& trial, const Json& parameters) {
  append_line(file_, trial_json(trial, parameters));
  keep(trial);
}

}  // namespace attune::inline v0_1::detail
