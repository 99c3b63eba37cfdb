// SPDX-License-Identifier: Apache-2.0

// A recommender behind a small JSON API, for one machine: docs/server.md lists the endpoints.
//   server MODEL_DIRECTORY --store FILE [--port N] [--host ADDRESS] [--threads N] [--models FOLDER]
//          [--category FIELD]... [--number FIELD]...
//   server MODEL_DIRECTORY --demo ITEMS_FILE [--store FILE] ...     with a page to try it in a browser: docs/demo.md
// SIGTERM and SIGINT end it once the requests in flight are answered and the events are on the disk.

#include <httplib.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <iostream>
#include <string>
#include <thread>

#include "api.hpp"
#include "input.hpp"

namespace {

Parameters parse(int argc, char** argv) {
  if (argc < 2 || argc % 2 != 0) throw Refusal(2, "expected MODEL_DIRECTORY, then options with a value each");
  Parameters options;
  for (int i = 2; i < argc; i += 2) {
    const std::string name = argv[i];
    require_known(name, "--store --port --host --threads --models --demo --category --number", "options");
    options.emplace(name, argv[i + 1]);
  }
  return options;
}

Settings settings(const std::string& model, const Parameters& options) {
  Settings all{.model = model};
  if (options.contains("--demo")) all.demo = required(options, "--demo");
  if (all.demo.empty() || options.contains("--store")) all.store = required(options, "--store");
  if (options.contains("--models")) all.models = required(options, "--models");
  // Its parts are those of one model.
  if (!all.demo.empty() && !all.models.empty()) throw Refusal(2, "--demo: expected no --models beside it");
  for (const auto& [name, value] : options) {
    if (name == "--category") all.item_fields.push_back({value, attune::FieldType::category});
    if (name == "--number") all.item_fields.push_back({value, attune::FieldType::number});
  }
  return all;
}

void respond(Api& api, const httplib::Request& request, std::string body, httplib::Response& response) {
  const Reply reply = api.answer({request.method, request.path, request.params, std::move(body)});
  response.status = reply.status;
  response.set_content(reply.body, reply.type);
  if (reply.took.count() == 0) return;
  const double milliseconds = std::chrono::duration<double, std::milli>(reply.took).count();
  response.set_header("Server-Timing", "attune;dur=" + std::to_string(milliseconds));
}

// A body is read to its end, wanted or not: what stayed would be taken for the next request of the connection.
void read_and_respond(Api& api, const httplib::Request& request, httplib::Response& response,
                      const httplib::ContentReader& reader) {
  std::string body;
  std::size_t size = 0;  // after decompression
  const auto receive = [&](const char* data, std::size_t length) {
    size += length;
    if (size <= Api::kMostBodyBytes) body.append(data, length);
    return true;
  };
  const auto drop = [](const auto&...) { return true; };
  const bool whole = request.is_multipart_form_data() ? reader(drop, drop) : reader(receive);
  if (whole && size <= Api::kMostBodyBytes) return respond(api, request, std::move(body), response);
  response.status = whole ? 413 : std::max(response.status, 400);
}

bool has_body(const httplib::Request& request) {
  return request.has_header("Transfer-Encoding") || request.get_header_value<std::uint64_t>("Content-Length") != 0;
}

void connect(httplib::Server& http, Api& api, std::size_t threads) {
  http.new_task_queue = [threads] { return new httplib::ThreadPool(threads); };
  http.set_tcp_nodelay(true);
  http.set_keep_alive_max_count(1'000'000'000);
  // Not SO_REUSEPORT, which would let a second server take half of the connections.
  http.set_socket_options([](socket_t socket) {
    const int yes = 1;
    setsockopt(socket, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes));
  });
  // The expressions below recurse over the path, which an address of 8192 bytes is too long for.
  http.set_pre_routing_handler([&api](const httplib::Request& request, httplib::Response& response) {
    if (request.path.size() > 2048) {
      response.status = 414;
    } else if (!has_body(request)) {
      respond(api, request, "", response);
    } else {
      return httplib::Server::HandlerResponse::Unhandled;
    }
    return httplib::Server::HandlerResponse::Handled;
  });
  const auto handler = [&api](const httplib::Request& request, httplib::Response& response,
                              const httplib::ContentReader& reader) {
    read_and_respond(api, request, response, reader);
  };
  const std::string anything = R"([\s\S]*)";
  http.Post(anything, handler).Put(anything, handler).Patch(anything, handler).Delete(anything, handler);
  http.set_error_handler([](const httplib::Request&, httplib::Response& response) {
    if (!response.body.empty()) return;
    const std::string message = response.status == 413
                                    ? "body: expected at most " + std::to_string(Api::kMostBodyBytes) + " bytes"
                                    : "the request is none of HTTP's, or too long";
    response.set_content(error_reply(response.status, message).body, "application/json");
  });
}

int serve(int argc, char** argv) {
  const Parameters options = parse(argc, argv);
  // Blocked before any thread is made, so that all inherit it and the one below takes them.
  sigset_t ends;
  sigemptyset(&ends);
  sigaddset(&ends, SIGTERM);
  sigaddset(&ends, SIGINT);
  pthread_sigmask(SIG_BLOCK, &ends, nullptr);

  Api api(settings(argv[1], options));
  httplib::Server http;
  connect(http, api, number<std::size_t>(options, "--threads", 32, 1, 1000));
  const std::string host = options.contains("--host") ? required(options, "--host") : "127.0.0.1";
  int port = number(options, "--port", 8080, 0, 65'535);
  if (port == 0) {
    port = http.bind_to_any_port(host);
  } else if (!http.bind_to_port(host, port)) {
    port = -1;
  }
  if (port < 0) throw Refusal(1, "cannot listen at this host and port: is another server there?");
  std::cout << "listening on http://" << host << ':' << port << std::endl;

  std::atomic<bool> over = false;
  std::thread ending([&] {
    int signal = 0;
    sigwait(&ends, &signal);
    while (!http.is_running() && !over) std::this_thread::sleep_for(std::chrono::milliseconds(1));
    http.stop();
  });
  const bool fine = http.listen_after_bind();
  over = true;
  pthread_kill(ending.native_handle(), SIGTERM);  // where it has not come from outside
  ending.join();
  return fine ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return serve(argc, argv);
  } catch (const Refusal& refusal) {
    std::cerr << "server: " << refusal.what() << '\n';
    return refusal.status == 1 ? 1 : 2;
  } catch (const std::exception& error) {
    std::cerr << "server: " << error.what() << '\n';
    return 1;
  }
}
