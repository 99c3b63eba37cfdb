// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a search has found out, on disk: a line of JSON that says which search it is, then one for every rung that a
// trial has reached. A line is durable before the search goes on; one that was cut off by a crash is forgotten.

#include <filesystem>
#include <string>
#include <vector>

#include "attune/training/tuner.hpp"
#include "data/json_object.hpp"
#include "platform/files.hpp"

namespace attune::inline v0_1::detail {

class TrialJournal {
 public:
  // Reads or begins `<directory>/search.jsonl` of a search with so many rungs. Throws Error: invalid_argument (there is
  // something, and `resume` is false, or it is no search), io_error (also where another process has it), corrupt_file
  // naming the line, and as require_same() does for another search.
  TrialJournal(const std::filesystem::path& directory, const Json& search, std::size_t rungs_of_trial, bool resume);

  // As they were after the last rung of each, by number.
  const std::vector<TrialReport>& trials() const noexcept { return trials_; }
  std::size_t rungs() const noexcept { return rungs_; }  // in all trials
  double seconds() const noexcept { return seconds_; }   // of all trials
  // A trial at its next rung, or a new one at its first. `parameters` is for readers of the file.
  void add(const TrialReport& trial, const Json& parameters);

 private:
  void replay(const std::string& text, const Json& search);
  void check(const TrialReport& trial, const std::string& place) const;
  void keep(const TrialReport& trial);

  std::filesystem::path path_;
  platform::AppendFile file_;
  std::size_t rungs_of_trial_;  // at most
  std::vector<TrialReport> trials_;
  std::size_t rungs_ = 0;
  double seconds_ = 0;
};

}  // namespace attune::inline v0_1::detail
