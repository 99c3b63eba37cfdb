// SPDX-License-Identifier: Apache-2.0
#include "serving/redis_connection.hpp"

#include <hiredis/hiredis.h>

#include <cerrno>
#include <charconv>
#include <vector>

#include "attune/error.hpp"

namespace attune::inline v0_1 {
namespace {

timeval to_timeval(std::chrono::milliseconds time) noexcept {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(time);
  timeval result{};
  result.tv_sec = static_cast<decltype(result.tv_sec)>(seconds.count());
  result.tv_usec = static_cast<decltype(result.tv_usec)>((time - seconds).count() * 1000);
  return result;
}

[[noreturn]] void refuse(const std::string& server, const std::string& why) {
  throw Error(ErrorCode::io_error, "redis " + server + ": " + why);
}

// What an error says without the arguments that some repeat.
std::string without_arguments(std::string_view error) {
  return std::string(error.substr(0, error.find(", with args")));
}

int port_of(std::string_view server) {
  const std::size_t colon = server.rfind(':');
  constexpr int kUsual = 6379;
  if (colon == std::string_view::npos) return kUsual;
  const std::string_view text = server.substr(colon + 1);
  int port = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), port);
  if (error == std::errc() && end == text.data() + text.size() && port > 0 && port < 65'536) return port;
  throw Error(ErrorCode::invalid_argument,
              "redis server: expected a host, a host and a port from 1 to 65535, or the "
              "path of a socket, found \"" +
                  std::string(server) + "\"");
}

}  // namespace

bool RedisValue::is_nil() const noexcept { return reply_->type == REDIS_REPLY_NIL; }
bool RedisValue::is_error() const noexcept { return reply_->type == REDIS_REPLY_ERROR; }
std::int64_t RedisValue::integer() const noexcept {
  return reply_->type == REDIS_REPLY_INTEGER ? static_cast<std::int64_t>(reply_->integer) : 0;
}
std::string_view RedisValue::text() const noexcept {
  const bool has_text = reply_->type == REDIS_REPLY_STRING || reply_->type == REDIS_REPLY_STATUS || is_error();
  return has_text ? std::string_view(reply_->str, reply_->len) : std::string_view();
}
std::size_t RedisValue::size() const noexcept { return reply_->type == REDIS_REPLY_ARRAY ? reply_->elements : 0; }
RedisValue RedisValue::operator[](std::size_t i) const noexcept { return RedisValue(reply_->element[i]); }

RedisReply::RedisReply(redisReply* reply) noexcept : RedisValue(reply), owned_(reply) {}
void RedisReply::Free::operator()(redisReply* reply) const noexcept { freeReplyObject(reply); }

void add_redis_command(std::string& commands, std::span<const std::string_view> arguments) {
  const auto add_number = [&](char kind, std::size_t number) {
    char digits[24];
    commands.push_back(kind);
    commands.append(digits, std::to_chars(digits, digits + sizeof digits, number).ptr);
    commands.append("\r\n");
  };
  add_number('*', arguments.size());
  for (const std::string_view argument : arguments) {
    add_number('$', argument.size());
    commands.append(argument).append("\r\n");
  }
}

RedisConnection::RedisConnection(const std::string& server, const Login& login, std::chrono::milliseconds timeout)
    : server_(server), timeout_(timeout), limit_(timeout) {
  const timeval limit = to_timeval(timeout);
  if (server.find('/') != std::string::npos) {
    context_.reset(redisConnectUnixWithTimeout(server.c_str(), limit));
  } else {
    const int port = port_of(server);
    context_.reset(redisConnectWithTimeout(server.substr(0, server.rfind(':')).c_str(), port, limit));
  }
  if (!context_) throw Error(ErrorCode::limit_exceeded, "redis " + server + ": no memory for a connection");
  if (context_->err != 0) refuse(server, std::string("expected a connection, found: ") + context_->errstr);
  redisSetTimeout(context_.get(), limit);
  if (login.password.empty()) return;
  if (login.user.empty()) {
    call({"AUTH", login.password});
  } else {
    call({"AUTH", login.user, login.password});
  }
}

RedisConnection::~RedisConnection() = default;
void RedisConnection::Close::operator()(redisContext* context) const noexcept { redisFree(context); }

void RedisConnection::wait_longer(std::chrono::milliseconds further) {
  if (limit_ == timeout_ + further) return;
  limit_ = timeout_ + further;
  redisSetTimeout(context_.get(), to_timeval(limit_));
}

RedisReply RedisConnection::call(std::span<const std::string_view> arguments) {
  std::string command;
  add_redis_command(command, arguments);
  send(command);
  RedisReply reply = receive();
  require(reply, arguments.front());
  return reply;
}

void RedisConnection::send(std::string_view commands) {
  if (redisAppendFormattedCommand(context_.get(), commands.data(), commands.size()) != REDIS_OK) fail();
}

RedisReply RedisConnection::receive() {
  void* reply = nullptr;
  errno = 0;
  if (redisGetReply(context_.get(), &reply) != REDIS_OK || reply == nullptr) fail();
  return RedisReply(static_cast<redisReply*>(reply));
}

void RedisConnection::require(const RedisValue& answer, std::string_view command) const {
  if (answer.is_error()) refuse(server_, std::string(command) + ": " + without_arguments(answer.text()));
  for (std::size_t i = 0; i < answer.size(); ++i) {
    if (answer[i].is_error()) require(answer[i], command);
  }
}

void RedisConnection::fail() const {
  const bool too_late = context_->err == REDIS_ERR_IO && (errno == EAGAIN || errno == EWOULDBLOCK);
  if (too_late) refuse(server_, "expected an answer within " + std::to_string(limit_.count()) + " ms, found none");
  refuse(server_, context_->errstr[0] != '\0' ? context_->errstr : "the connection is lost");
}

}  // namespace attune::inline v0_1
