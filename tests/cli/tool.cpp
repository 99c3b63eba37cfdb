// SPDX-License-Identifier: Apache-2.0
#include "cli/tool.hpp"

#include <sys/wait.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <fstream>
#include <random>
#include <sstream>
#include <stdexcept>

namespace attune::test {
namespace {

namespace fs = std::filesystem;

std::string content(const fs::path& file) {
  std::ostringstream text;
  text << std::ifstream(file, std::ios::binary).rdbuf();
  return text.str();
}

}  // namespace

Sandbox::Sandbox() {
  std::random_device random;
  folder_ = fs::path(ATTUNE_SCRATCH_DIR) / ("sandbox-" + std::to_string(random()) + std::to_string(random()));
  fs::create_directories(folder_);
}

Sandbox::~Sandbox() {
  std::error_code ignored;
  fs::remove_all(folder_, ignored);
}

std::string Sandbox::write(const std::string& name, const std::string& text) const {
  std::ofstream(folder_ / name, std::ios::binary) << text;
  return name;
}

std::string Sandbox::read(const std::string& name) const { return content(folder_ / name); }

Run Sandbox::attune(const std::string& arguments, const std::string& input) const {
  write("stdin", input);
  const std::string command =
      "cd '" + folder_.string() + "' && '" ATTUNE_TOOL "' " + arguments + " > stdout 2> stderr < stdin";
  const int status = std::system(command.c_str());
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read("stdout"), read("stderr")};
}

Run Sandbox::attune_killed_at(const std::string& text, const std::string& arguments) const {
  int ends[2];
  if (::pipe(ends) != 0) throw std::runtime_error("no pipe");
  const std::string command = "cd '" + folder_.string() + "' && exec '" ATTUNE_TOOL "' " + arguments + " > stdout";
  const pid_t child = ::fork();
  if (child == 0) {
    ::dup2(ends[1], STDERR_FILENO);
    ::close(ends[0]);
    ::close(ends[1]);
    ::execl("/bin/sh", "sh", "-c", command.c_str(), nullptr);
    ::_exit(127);
  }
  ::close(ends[1]);
  std::string err;
  char buffer[256];
  for (ssize_t got; err.find(text) == std::string::npos && (got = ::read(ends[0], buffer, sizeof(buffer))) > 0;) {
    err.append(buffer, static_cast<std::size_t>(got));
  }
  ::kill(child, SIGKILL);
  int status = 0;
  ::waitpid(child, &status, 0);
  ::close(ends[0]);
  return {WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status), read("stdout"), err};
}

std::string Sandbox::events() const {
  std::ostringstream text;
  text << "user,item,rating,timestamp\n";
  for (int user = 0; user < 30; ++user) {
    for (int step = 0; step < 12; ++step) {
      const int item = (7 * user + step * (1 + user % 3)) % 20, rating = 1 + (user + step) % 5;
      text << 'u' << user << ",i" << item << ',' << rating << ',' << 1700000000 + 3600 * (30 * step + user) << '\n';
    }
  }
  return write("events.csv", text.str());
}

Run Sandbox::train(const std::string& more) const {
  write(
      "small.json",
      R"({"encoder": {"embedding_dim": 8, "num_blocks": 1, "num_heads": 1, "inner_dim": 16, "max_sequence_length": 20}})");
  return attune("train --interactions " + events() + " --output model --config small.json --epochs 2 --threads 1 " +
                more);
}

std::map<std::string, std::string> contents(const fs::path& folder) {
  std::map<std::string, std::string> all;
  for (const auto& entry : fs::directory_iterator(folder))
    all[entry.path().filename().string()] = content(entry.path());
  return all;
}

}  // namespace attune::test
