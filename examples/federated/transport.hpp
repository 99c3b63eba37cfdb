// SPDX-License-Identifier: Apache-2.0
#pragma once

// Messages over TCP on this machine: a length (4 bytes), then so many bytes. A real host has its own transport, with
// TLS; attune sees bytes alone.

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <stdexcept>
#include <utility>
#include <vector>

using Bytes = std::vector<std::byte>;

class Connection {
 public:
  static constexpr std::uint32_t kMostBytes = 64u << 20;

  explicit Connection(int socket) : socket_(socket) {
    if (socket_ < 0) throw std::runtime_error("no connection");
    const int yes = 1;
    setsockopt(socket_, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
  }
  Connection(Connection&& other) noexcept : socket_(std::exchange(other.socket_, -1)) {}
  Connection& operator=(Connection&& other) noexcept {
    std::swap(socket_, other.socket_);
    return *this;
  }
  ~Connection() { close(); }

  int socket() const { return socket_; }
  bool open() const { return socket_ >= 0; }
  void close() {
    if (open()) ::close(std::exchange(socket_, -1));
  }

  // False, and closed, where the other side is gone.
  bool send(std::span<const std::byte> message) {
    const auto size = static_cast<std::uint32_t>(message.size());
    return send_all(std::as_bytes(std::span(&size, 1))) && send_all(message);
  }
  // Nothing, and closed, where the other side is gone, or wants to send more than anybody may.
  std::optional<Bytes> receive() {
    std::uint32_t size = 0;
    if (!receive_all(std::as_writable_bytes(std::span(&size, 1))) || size > kMostBytes) {
      close();
      return std::nullopt;
    }
    Bytes message(size);
    if (!receive_all(message)) return std::nullopt;
    return message;
  }

 private:
  bool send_all(std::span<const std::byte> bytes) {
    while (!bytes.empty() && open()) {
      const ssize_t sent = ::send(socket_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
      if (sent <= 0) {
        close();
      } else {
        bytes = bytes.subspan(static_cast<std::size_t>(sent));
      }
    }
    return open();
  }
  bool receive_all(std::span<std::byte> bytes) {
    while (!bytes.empty() && open()) {
      const ssize_t received = ::recv(socket_, bytes.data(), bytes.size(), 0);
      if (received <= 0) {
        close();
      } else {
        bytes = bytes.subspan(static_cast<std::size_t>(received));
      }
    }
    return open();
  }

  int socket_;
};

inline sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  address.sin_port = htons(port);
  return address;
}

inline Connection connect_to(std::uint16_t port) {
  Connection connection(::socket(AF_INET, SOCK_STREAM, 0));
  const sockaddr_in address = loopback(port);
  if (::connect(connection.socket(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
    throw std::runtime_error("the server cannot be reached");
  return connection;
}

// On a free port of the loopback interface.
class Listener {
 public:
  Listener() : socket_(::socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = loopback(0);
    socklen_t size = sizeof address;
    auto* const generic = reinterpret_cast<sockaddr*>(&address);
    if (::bind(socket_.socket(), generic, size) != 0 || ::listen(socket_.socket(), SOMAXCONN) != 0 ||
        ::getsockname(socket_.socket(), generic, &size) != 0)
      throw std::runtime_error("cannot listen");
    port_ = ntohs(address.sin_port);
  }
  std::uint16_t port() const { return port_; }
  int socket() const { return socket_.socket(); }
  // Whoever stops within a message counts as gone.
  Connection accept() {
    Connection connection(::accept(socket_.socket(), nullptr, nullptr));
    const timeval patience{.tv_sec = 10, .tv_usec = 0};
    setsockopt(connection.socket(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(connection.socket(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    return connection;
  }

 private:
  Connection socket_;
  std::uint16_t port_ = 0;
};

// Calls take(i) for each socket that has something to say or whose other side is gone, until take() has returned true
// as often as there are sockets, or patience ends.
template <class Take>
void listen_to(std::vector<int> sockets, std::chrono::milliseconds patience, Take&& take) {
  const auto end = std::chrono::steady_clock::now() + patience;
  std::vector<pollfd> waiting;
  for (const int socket : sockets) waiting.push_back({.fd = socket, .events = POLLIN, .revents = 0});
  std::size_t left = sockets.size();
  while (left > 0) {
    const auto time = std::chrono::duration_cast<std::chrono::milliseconds>(end - std::chrono::steady_clock::now());
    if (time.count() <= 0 || ::poll(waiting.data(), waiting.size(), static_cast<int>(time.count())) <= 0) return;
    for (std::size_t i = 0; i < waiting.size(); ++i) {
      if (waiting[i].fd < 0 || waiting[i].revents == 0 || !take(i)) continue;
      waiting[i].fd = -1;  // poll() leaves those out
      --left;
    }
  }
}
