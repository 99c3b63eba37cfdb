// SPDX-License-Identifier: Apache-2.0
#pragma once

// Runs the built tool as a user would, in a folder of its own.

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <string>

namespace attune::test {

struct Run {
  int status = -1;  // 128 + signal where it was killed
  std::string out, err;

  nlohmann::json json() const {
    return nlohmann::json::parse(out);
  }  // throws unless standard output is exactly one value
};

// A fresh folder that is removed at the end of the test, with the files and models that tests need.
class Sandbox {
 public:
  Sandbox();
  ~Sandbox();
  Sandbox(const Sandbox&) = delete;
  Sandbox& operator=(const Sandbox&) = delete;

  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  std::string write(const std::string& name, const std::string& content) const;
  std::string read(const std::string& name) const;

  // `arguments` as typed in a shell whose current folder is this one; `input` goes to standard input.
  Run attune(const std::string& arguments, const std::string& input = "") const;

  // The same, killed (SIGKILL) as soon as standard error holds `text`: then 128 + 9 is its status.
  Run attune_killed_at(const std::string& text, const std::string& arguments) const;

  // Events of 30 users with 20 items, "i0" to "i19", in "events.csv"; each user walks on from item to item.
  std::string events() const;
  // A small model of them, trained for two epochs, in "model".
  Run train(const std::string& more = "") const;

 private:
  std::filesystem::path folder_;
};

// Every file of a folder with its content, to see that nothing has changed.
std::map<std::string, std::string> contents(const std::filesystem::path& folder);

}  // namespace attune::test
