// SPDX-License-Identifier: Apache-2.0
#pragma once

// A Redis server of the test's own, in a folder and behind a socket that nobody else knows. It syncs its file before
// every answer.

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <memory>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "attune/error.hpp"
#include "attune/serving/redis_event_store.hpp"
#include "temporary_directory.hpp"

namespace attune::test {

// Waits for what another thread or process does; false where it does not within a time in which it surely would.
template <class Condition>
bool becomes(Condition condition) {
  const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
  while (!condition()) {
    if (std::chrono::steady_clock::now() > end) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  return true;
}

// As kill -9 does. Returns how the process ended, once it is gone.
inline int kill_child(pid_t process) {
  ::kill(process, SIGKILL);
  int status = 0;
  waitpid(process, &status, 0);
  return status;
}

class RedisServer {
 public:
  static bool is_installed() {
    const char* const path = std::getenv("PATH");
    std::istringstream folders(path != nullptr ? path : "");
    for (std::string folder; std::getline(folders, folder, ':');) {
      if (std::filesystem::exists(std::filesystem::path(folder) / "redis-server")) return true;
    }
    return false;
  }

  explicit RedisServer(std::vector<std::string> further = {}) : further_(std::move(further)) { start(); }
  RedisServer(const RedisServer&) = delete;
  ~RedisServer() { kill(); }

  void start() {
    std::vector<std::string> words{"redis-server",
                                   "--port",
                                   "0",
                                   "--unixsocket",
                                   socket(),
                                   "--dir",
                                   folder_.path().string(),
                                   "--appendonly",
                                   "yes",
                                   "--appendfsync",
                                   "always",
                                   "--enable-debug-command",
                                   "local",
                                   "--logfile",
                                   (folder_ / "log").string()};
    words.insert(words.end(), further_.begin(), further_.end());
    std::vector<char*> arguments;
    for (std::string& word : words) arguments.push_back(word.data());
    arguments.push_back(nullptr);
    process_ = fork();
    if (process_ < 0) throw std::runtime_error("no process for a server");
    if (process_ == 0) {
      prctl(PR_SET_PDEATHSIG, SIGKILL);
      execvp(arguments.front(), arguments.data());
      _exit(127);
    }
    if (!becomes([&] { return answers(); })) throw std::runtime_error("the server does not answer");
  }
  void kill() {
    if (process_ <= 0) return;
    kill_child(process_);
    process_ = 0;
  }

  std::string socket() const { return (folder_ / "socket").string(); }
  const std::filesystem::path& folder() const { return folder_.path(); }
  RedisEventStoreOptions options() const {
    RedisEventStoreOptions options;
    options.servers = {socket()};
    options.longest_pause = std::chrono::milliseconds(20);
    return options;
  }

 private:
  bool answers() const {
    try {
      const RedisEventStore probe(options());
      return true;
    } catch (const Error& error) {
      return std::string_view(error.what()).find("NOAUTH") != std::string_view::npos;
    }
  }

  TemporaryDirectory folder_;
  std::vector<std::string> further_;
  pid_t process_ = 0;
};

}  // namespace attune::test
