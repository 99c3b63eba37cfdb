// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>
#include <string>
#include <vector>

#include "attune/data/reader.hpp"
#include "attune/error.hpp"
#include "temporary_directory.hpp"

namespace attune::test {

struct Loaded {
  attune::InteractionLog log;
  attune::LoadReport report;

  // "user item", in the order of the log.
  std::vector<std::string> pairs() const {
    std::vector<std::string> result;
    for (std::size_t row = 0; row < log.size(); ++row) {
      result.push_back(to_string(log.user_ids().id(log.users()[row])) + " " +
                       to_string(log.item_ids().id(log.items()[row])));
    }
    return result;
  }
  std::vector<attune::Timestamp> times() const { return {log.times().begin(), log.times().end()}; }
  std::vector<float> values() const { return {log.values().begin(), log.values().end()}; }
};

inline Loaded load(const std::string& text, const attune::ReadOptions& options = {}) {
  const TemporaryDirectory directory;
  write_text(directory / "events.csv", text);
  attune::LoadReport report;
  attune::InteractionLog log = read_interactions(directory / "events.csv", options, &report);
  return {std::move(log), std::move(report)};
}

using Records = std::vector<std::vector<std::string>>;

// The header, if any, is not among them.
inline Records read_records(const std::filesystem::path& path, const attune::ReadOptions& options = {}) {
  attune::DelimitedReader reader(path, options);
  Records records;
  std::vector<std::string_view> fields;
  while (reader.next(fields)) records.emplace_back(fields.begin(), fields.end());
  return records;
}

inline Records parse_records(const std::string& text, const attune::ReadOptions& options = {}) {
  const TemporaryDirectory directory;
  write_text(directory / "file.csv", text);
  return read_records(directory / "file.csv", options);
}

struct Failure {
  attune::ErrorCode code{};
  std::string message = "nothing was thrown";
  bool says(const std::string& part) const { return message.find(part) != std::string::npos; }
};

template <class Action>
Failure failure_of(Action&& action) {
  try {
    action();
  } catch (const attune::Error& error) {
    return {error.code(), error.what()};
  }
  return {};
}

inline Failure failure_of_loading(const std::string& text, const attune::ReadOptions& options = {}) {
  return failure_of([&] { load(text, options); });
}

}  // namespace attune::test
