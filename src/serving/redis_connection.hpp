// SPDX-License-Identifier: Apache-2.0
#pragma once

// Redis as the event store uses it: one connection with a time limit on everything, errors as attune::Error that names
// the server and the command, never an argument. Not synchronised.

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <span>
#include <string>
#include <string_view>

#include "attune/version.hpp"

struct redisContext;
struct redisReply;

namespace attune::inline v0_1 {

// An answer, or a part of one: a view.
class RedisValue {
 public:
  explicit RedisValue(const redisReply* reply) noexcept : reply_(reply) {}
  bool is_nil() const noexcept;
  bool is_error() const noexcept;
  std::int64_t integer() const noexcept;   // 0 of what is none
  std::string_view text() const noexcept;  // "" of what is none
  std::size_t size() const noexcept;       // of an array; else 0
  RedisValue operator[](std::size_t i) const noexcept;

 private:
  const redisReply* reply_;
};

// An answer that owns what it shows.
class RedisReply : public RedisValue {
 public:
  explicit RedisReply(redisReply* reply) noexcept;

 private:
  struct Free {
    void operator()(redisReply* reply) const noexcept;
  };
  std::unique_ptr<redisReply, Free> owned_;
};

// Adds a command to others, in the form in which Redis reads it.
void add_redis_command(std::string& commands, std::span<const std::string_view> arguments);
inline void add_redis_command(std::string& commands, std::initializer_list<std::string_view> arguments) {
  add_redis_command(commands, std::span(arguments.begin(), arguments.size()));
}

class RedisConnection {
 public:
  struct Login {
    std::string user, password;  // no password: none
  };
  // `server` is the path of a socket, which has a '/', or a host with or without ":port". Throws Error(io_error).
  RedisConnection(const std::string& server, const Login& login, std::chrono::milliseconds timeout);
  RedisConnection(RedisConnection&&) = delete;
  ~RedisConnection();

  // How long the next answers may take beyond what was given to the constructor.
  void wait_longer(std::chrono::milliseconds further);
  // One command and its answer. Throws Error(io_error): the connection is lost, or the server refuses.
  RedisReply call(std::initializer_list<std::string_view> arguments) {
    return call(std::span(arguments.begin(), arguments.size()));
  }
  RedisReply call(std::span<const std::string_view> arguments);
  // Several: what was added by add_redis_command, then an answer of each, which may be an error.
  void send(std::string_view commands);
  RedisReply receive();
  // Throws Error(io_error) where the answer, or one within it, is an error.
  void require(const RedisValue& answer, std::string_view command) const;

  const std::string& server() const noexcept { return server_; }

 private:
  [[noreturn]] void fail() const;
  struct Close {
    void operator()(redisContext* context) const noexcept;
  };
  std::string server_;
  std::chrono::milliseconds timeout_, limit_;
  std::unique_ptr<redisContext, Close> context_;
};

}  // namespace attune::inline v0_1
