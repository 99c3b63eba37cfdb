// SPDX-License-Identifier: Apache-2.0
#include <fcntl.h>
#include <httplib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <random>
#include <set>
#include <sstream>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "catch.hpp"
#include "serving/small_model.hpp"

namespace attune::test {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// A folder with a model of 50 items "i0", ... and 8 users "u0", ..., and a folder "models" with another one, "next".
class Shop {
 public:
  Shop() : folder_(fs::temp_directory_path() / ("attune-server-" + std::to_string(std::random_device()()))) {
    fs::create_directories(folder_ / "models");
    make_model().save(path("model"));
    make_model({.seed = 2, .version = "second"}).save(path("models/next"));
  }
  ~Shop() { fs::remove_all(folder_); }
  std::string path(const std::string& name) const { return (folder_ / name).string(); }
  // Of what the file of items named so holds, a file for the demo.
  std::string items(const std::string& name, const std::string& text) const {
    std::ofstream(path(name)) << text;
    return path(name);
  }
  // "Title 0", ... of all items but the last, films and books by turns.
  std::string items() const {
    std::string text = "item,title,shelf,price\n";
    for (std::size_t i = 0; i < 49; ++i) {
      const std::string number = std::to_string(i);
      text.append(item_name(i)).append(",Title ").append(number).append(i % 2 == 0 ? ",films," : ",books|new,");
      text.append(number).append("\n");
    }
    return items("items.csv", text);
  }

 private:
  fs::path folder_;
};

// The example server as a process of its own, on a free port.
class Server {
 public:
  explicit Server(const std::vector<std::string>& arguments) {
    int ends[2];
    if (::pipe(ends) != 0) throw std::runtime_error("no pipe");
    process_ = ::fork();
    if (process_ == 0) {
      ::dup2(ends[1], STDOUT_FILENO);
      ::close(ends[0]);
      ::close(ends[1]);
      ::dup2(::open("/dev/null", O_WRONLY), STDERR_FILENO);
      std::vector<const char*> words{ATTUNE_SERVER};
      for (const std::string& argument : arguments) words.push_back(argument.c_str());
      words.push_back(nullptr);
      ::execv(ATTUNE_SERVER, const_cast<char* const*>(words.data()));
      ::_exit(127);
    }
    ::close(ends[1]);
    for (char byte; ::read(ends[0], &byte, 1) == 1 && byte != '\n';) said_ += byte;
    ::close(ends[0]);
  }
  explicit Server(const Shop& shop)
      : Server({shop.path("model"), "--store", shop.path("events"), "--port", "0", "--models", shop.path("models"),
                "--category", "shelf", "--number", "price"}) {}
  // With the page, and without a store.
  static std::vector<std::string> demo(const Shop& shop, const std::string& items) {
    return {shop.path("model"), "--demo", items, "--port", "0", "--category", "shelf", "--number", "price"};
  }
  ~Server() {
    if (process_ != 0) end(SIGKILL);
  }
  Server(const Server&) = delete;

  // Its exit status, 128 + signal where it was killed.
  int end(int signal) {
    ::kill(process_, signal);
    int status = 0;
    ::waitpid(process_, &status, 0);
    process_ = 0;
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  int wait() { return end(0); }

  int port() const { return std::stoi(said_.substr(said_.rfind(':') + 1)); }
  httplib::Client client() const {
    httplib::Client client("127.0.0.1", port());
    client.set_keep_alive(true);
    client.set_tcp_nodelay(true);
    return client;
  }
  // The beginning of what it answers to bytes that need not be a request; empty where it hangs up. It has no more to
  // wait for where the stream `ends`, and then nobody to answer.
  std::string answer_to(const std::string& bytes, bool ends = false) const {
    const int connection = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(static_cast<std::uint16_t>(port()));
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    REQUIRE(::connect(connection, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) == 0);
    ::send(connection, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    if (ends) ::shutdown(connection, SHUT_WR);
    std::string answer(4096, '\0');
    const ssize_t got = ::recv(connection, answer.data(), answer.size(), 0);
    answer.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
    ::close(connection);
    return answer;
  }

 private:
  pid_t process_ = 0;
  std::string said_;
};

struct Response {
  int status = 0;
  json body;
};

Response read(const httplib::Result& result) {
  REQUIRE(result);
  INFO(result->body);
  const json body = json::parse(result->body, nullptr, false);
  CHECK(!body.is_discarded());
  CHECK(body.contains("error") == (result->status != 200));
  return {result->status, body};
}
Response get(httplib::Client& client, const std::string& path) { return read(client.Get(path)); }
Response post(httplib::Client& client, const std::string& path, const std::string& body) {
  return read(client.Post(path, body, "application/json"));
}

std::vector<std::string> items_of(const Response& response) {
  REQUIRE(response.status == 200);
  std::vector<std::string> items;
  for (const json& item : response.body["items"]) items.push_back(item["item"]);
  return items;
}

// Ids of the user's events that the store has.
std::multiset<std::string> event_ids(httplib::Client& client, const std::string& user) {
  const auto exported = client.Get("/users/" + user + "/export");
  REQUIRE(exported);
  std::multiset<std::string> ids;
  if (exported->status == 404) return ids;
  std::istringstream lines(exported->body);
  for (std::string line; std::getline(lines, line);) {
    const json event = json::parse(line);
    if (event.contains("event_id")) ids.insert(event["event_id"].get<std::string>());
  }
  return ids;
}

std::string event_of(const std::string& user, std::size_t number) {
  return json{{"user", user},
              {"item", item_name(number % 50)},
              {"timestamp", 100'000'000 + number},
              {"event_id", user + "-" + std::to_string(number)}}
      .dump();
}

}  // namespace

TEST_CASE("The next answer of the server reflects an event that it acknowledged") {
  const Shop shop;
  const Server server(shop);
  httplib::Client client = server.client();
  const Response before = get(client, "/recommend?user=u1&k=5");
  const std::string best = items_of(before).at(0);
  CHECK(items_of(before).size() == 5);
  CHECK(before.body["model_version"] == "small");

  const Response posted = post(client, "/events", json{{"user", "u1"}, {"item", best}}.dump());
  CHECK(posted.status == 200);
  CHECK(posted.body == json{{"events", {"recorded"}}, {"stored", true}});
  const Response after = get(client, "/recommend?user=u1&k=5");
  CHECK(after.body["items"] != before.body["items"]);
  for (const std::string& item : items_of(after)) CHECK(item != best);
  CHECK(after.body["shortfall"]["seen"] == before.body["shortfall"]["seen"].get<int>() + 1);

  const Response many =
      post(client, "/events?wait=no",
           R"([{"user": 7, "item": "i1", "event_id": "e", "value": 2}, {"user": "7", "item": "i2", "event_id": "e"},
               {"user": "7", "item": "i3", "timestamp": 5, "event": "view"}])");
  CHECK(many.body == json{{"events", {"recorded", "duplicate", "recorded"}}});
  CHECK(get(client, "/recommend?user=7").body["source"] == "model");
  CHECK(get(client, "/recommend?user=stranger&now=100000000000").body["source"] == "popularity");
}

TEST_CASE("Items, filters, pages and similar items of the server are those of the library") {
  const Shop shop;
  const Server server(shop);
  httplib::Client client = server.client();
  CHECK(post(client, "/items", R"({"id": "i3", "fields": {"shelf": "films|books", "price": 4.5}})").body["items"] == 1);
  CHECK(post(client, "/items", R"([{"id": "i4", "fields": {"shelf": "films", "price": 8}},
                                   {"id": "i5", "fields": {"shelf": "books"}, "available_until": 5}])")
            .body["items"] == 2);
  const std::string films = "filter=shelf%20%3D%20%22films%22";
  CHECK(items_of(get(client, "/similar?item=i9&k=50&" + films)).size() == 2);
  CHECK(items_of(get(client, "/recommend?user=stranger&k=50&" + films)).size() == 2);
  CHECK(items_of(get(client, "/recommend?user=stranger&k=50&" + films + "%20and%20price%20%3C%205")) ==
        std::vector<std::string>{"i3"});
  CHECK(items_of(get(client, "/recommend?user=stranger&k=50&now=6")).size() == 49);

  CHECK(read(client.Delete("/items/i3")).body["removed"] == "i3");
  CHECK(items_of(get(client, "/recommend?user=stranger&k=50&" + films)) == std::vector<std::string>{"i4"});
  CHECK(post(client, "/items", R"({"id": "i3"})").status == 200);
  CHECK(items_of(get(client, "/recommend?user=stranger&k=50&" + films)).size() == 2);

  // More filters than are kept compiled.
  for (int price = 0; price < 70; ++price)
    CHECK(items_of(get(client, "/recommend?user=stranger&k=50&filter=price%20%3C%20" + std::to_string(price))).size() ==
          static_cast<std::size_t>(price < 5   ? 0
                                   : price < 9 ? 1
                                               : 2));

  std::vector<std::string> paged;
  std::string cursor;
  for (int page = 0; page < 3; ++page) {
    const Response response = get(client, "/recommend?user=stranger&k=4&diversity=0.3&cursor=" + cursor);
    for (const std::string& item : items_of(response)) paged.push_back(item);
    cursor = response.body["cursor"];
  }
  CHECK(paged == items_of(get(client, "/recommend?user=stranger&k=12&diversity=0.3")));
}

TEST_CASE("The server tells a user's events, forgets him, changes its model and shows its numbers") {
  const Shop shop;
  const Server server(shop);
  httplib::Client client = server.client();
  post(client, "/events", event_of("a/b c", 1));
  CHECK(event_ids(client, "a%2Fb%20c") == std::multiset<std::string>{"a/b c-1"});
  CHECK(read(client.Delete("/users/a%2Fb%20c")).body["forgotten"] == true);
  CHECK(get(client, "/users/a%2Fb%20c/export").status == 404);

  CHECK(get(client, "/health").body["model_version"] == "small");
  CHECK(post(client, "/reload", R"({"model": "next"})").body["model_version"] == "second");
  CHECK(get(client, "/recommend?user=u1").body["model_version"] == "second");
  for (const char* name : {"", ".", "..", "../model", "/tmp", "next/", "a\\u0000b"})
    CHECK(post(client, "/reload", std::string(R"({"model": ")") + name + "\"}").status == 400);
  CHECK(post(client, "/reload", R"({"model": "none"})").status == 404);
  fs::create_directories(shop.path("models/empty"));
  CHECK(post(client, "/reload", R"({"model": "empty"})").status >= 400);
  const Response health = get(client, "/health");
  CHECK(health.body == json{{"status", "ok"}, {"failure", ""}, {"model_version", "second"}, {"generation", 2}});

  const auto metrics = client.Get("/metrics");
  REQUIRE(metrics);
  CHECK(metrics->get_header_value("Content-Type").starts_with("text/plain"));
  CHECK(metrics->body.find("attune_events_total{outcome=\"recorded\"} 1\n") != std::string::npos);
  CHECK(metrics->body.find("attune_failed_reloads_total 1\n") != std::string::npos);
}

TEST_CASE("The server explains items, explores, and says how long the recommender took") {
  const Shop shop;
  const Server server(shop);
  httplib::Client client = server.client();
  const Response why = get(client, "/explain?user=u1&item=i1&item=i7&item=nowhere");
  REQUIRE(why.body["explanations"].size() == 3);
  CHECK(why.body["explanations"][0]["item"] == "i1");
  CHECK(why.body["explanations"][0]["source"] == "model");
  CHECK(why.body["explanations"][0]["contributions"].size() > 0);
  CHECK(why.body["explanations"][0]["score"].is_number());
  CHECK(why.body["explanations"][2]["score"].is_null());
  CHECK(why.body["explanations"][2]["because"] == "");

  const std::vector<std::string> best = items_of(get(client, "/recommend?user=u1&k=20"));
  bool explored = false;
  const Response risked = get(client, "/recommend?user=u1&k=20&explore=1");
  for (const json& item : risked.body["items"]) explored |= item.contains("propensity") && item["propensity"] > 0;
  CHECK(explored);
  CHECK(items_of(get(client, "/recommend?user=u1&k=20&explore=0")) == best);

  for (const char* path : {"/recommend?user=u1", "/recommend?user=u1&cursor="})
    CHECK(client.Get(path)->get_header_value("Server-Timing").starts_with("attune;dur="));
  const auto posted = client.Post("/events?wait=no", event_of("u1", 1), "application/json");
  CHECK(posted->get_header_value("Server-Timing").starts_with("attune;dur="));
  CHECK(!client.Get("/health")->has_header("Server-Timing"));
}

TEST_CASE("The server takes impressions and dislikes for what they are") {
  const Shop shop;
  const Server server(shop);
  httplib::Client client = server.client();
  const std::vector<std::string> before = items_of(get(client, "/recommend?user=u1&k=50"));
  const auto say = [&](const std::string& event) {
    CHECK(post(client, "/events", json{{"user", "u1"}, {"item", before[0]}, {"event", event}}.dump()).status == 200);
    return items_of(get(client, "/recommend?user=u1&k=50"));
  };
  CHECK(say("shown") == before);
  const std::vector<std::string> after = say("dislike");
  CHECK(std::ranges::find(after, before[0]) == after.end());
  CHECK(after.size() == before.size() - 1);
}

TEST_CASE("The demo has a page, titles, users, and what each part of the model says") {
  const Shop shop;
  Server server(Server::demo(shop, shop.items()));
  httplib::Client client = server.client();
  const auto page = client.Get("/");
  REQUIRE(page);
  CHECK(page->get_header_value("Content-Type") == "text/html; charset=utf-8");
  CHECK(page->body.starts_with("<!DOCTYPE html>"));
  CHECK(page->body.ends_with("</html>\n"));
  CHECK(page->body.find("://") == std::string::npos);  // nothing is asked of another host

  const Response catalogue = get(client, "/demo/catalogue");
  CHECK(catalogue.body["items"].size() == 49);
  CHECK(catalogue.body["items"][3] == json{{"item", "i3"}, {"title", "Title 3"}, {"fields", {"books|new", 3.0}}});
  CHECK(catalogue.body["fields"][1] == json{{"name", "price"}, {"type", "number"}});
  CHECK(catalogue.body["users"].size() == 8);
  CHECK(catalogue.body["users"][0] == json{{"user", "u0"}, {"events", 12}});

  const Response user = get(client, "/demo/user?user=u1");
  CHECK(user.body["count"] == 12);
  CHECK(user.body["events"].size() == 12);
  CHECK(user.body["encoder"]["source"] == "model");
  CHECK(user.body["content"]["source"] == "model");
  CHECK(user.body["counts"]["source"] == "counts");
  CHECK(items_of({200, user.body["encoder"]}) == items_of(get(client, "/recommend?user=u1&k=5")));
  CHECK(items_of({200, user.body["content"]}) != items_of({200, user.body["encoder"]}));
  for (const char* part : {"encoder", "content", "counts"}) CHECK(user.body[part]["items"].size() == 5);

  // The fields of the file are those of the filters.
  CHECK(items_of(get(client, "/recommend?user=stranger&k=50&filter=shelf%20%3D%20%22films%22%20and%20price%20%3C%2010"))
            .size() == 5);
  // The titles are those of explanations.
  std::string because;
  for (const char* item : {"i1", "i7", "i8", "i9"})
    because += get(client, std::string("/explain?user=u1&item=").append(item)).body["explanations"][0]["because"];
  CHECK(because.find("Because of Title ") != std::string::npos);

  const Response stranger = get(client, "/demo/user?user=stranger");
  CHECK(stranger.body["count"] == 0);
  CHECK(stranger.body["encoder"]["source"] == "popularity");
  const Response posted =
      post(client, "/events", R"([{"user": "stranger", "item": "i1", "timestamp": null, "event": "shown"},
                                  {"user": "stranger", "item": "i2", "timestamp": null, "event": "dislike"},
                                  {"user": "stranger", "item": "i3", "timestamp": null, "event": "purchase"}])");
  CHECK(posted.body == json{{"events", {"recorded", "recorded", "recorded"}}});  // nothing is said of a store
  const Response known = get(client, "/demo/user?user=stranger");
  CHECK(known.body["count"] == 2);
  CHECK(known.body["events"] == json{{{"item", "i2"}, {"event", "dislike"}}, {{"item", "i3"}, {"event", "purchase"}}});
  for (const char* part : {"encoder", "content", "counts"})
    for (const std::string& item : items_of({200, known.body[part]})) CHECK((item != "i2" && item != "i3"));

  CHECK(get(client, "/demo/user").status == 400);
  CHECK(get(client, "/demo/user?user=u1&k=5").status == 400);
  CHECK(get(client, "/?user=u1").status == 400);
  CHECK(get(client, "/demo").status == 404);
  CHECK(get(client, "/health").body["status"] == "ok");
  client.stop();
  CHECK(server.end(SIGTERM) == 0);
}

TEST_CASE("The demo answers many clients at once, whatever some of them send") {
  const Shop shop;
  const Server server(Server::demo(shop, shop.items()));
  std::atomic<std::size_t> wrong = 0;
  std::vector<std::thread> clients;
  for (std::size_t c = 0; c < 8; ++c) {
    clients.emplace_back([&, c] {
      httplib::Client client = server.client();
      const std::string user = "client" + std::to_string(c);
      const auto expect = [&](int status, const httplib::Result& result) {
        wrong += !result || result->status != status;
      };
      for (std::size_t round = 0; round < 25; ++round) {
        expect(200, client.Get("/recommend?k=10&user=" + user));
        expect(200, client.Post("/events?wait=no", event_of(user, round), "application/json"));
        expect(200, client.Get("/demo/user?user=" + user));
        expect(200, client.Get("/explain?item=i1&user=" + user));
        expect(400, client.Post("/events", "{\"user\":", "application/json"));
        expect(413, client.Post("/events", std::string((1 << 20) + 1, ' '), "application/json"));
        expect(400, client.Get("/recommend?k=1001&user=" + user));
      }
      const auto last = client.Get("/demo/user?user=" + user);
      wrong += !last || json::parse(last->body)["count"] != 25;
    });
  }
  for (std::thread& client : clients) client.join();
  CHECK(wrong == 0);
}

TEST_CASE("The server refuses what it cannot read, says why, and goes on") {
  const Shop shop;
  const Server server(shop);
  httplib::Client client = server.client();
  const auto status_of = [&](const std::string& body) { return post(client, "/events", body).status; };
  for (const char* body :
       {"", "{", "[]", "[[]]", "3", "null", "\xff", R"({"user": "u"})", R"({"item": "i"})",
        R"({"user": "u", "item": null})", R"({"user": "", "item": "i"})", R"({"user": 1.5, "item": "i"})",
        R"({"user": "u", "item": "i", "itme": "i"})", R"({"user": "u", "item": "i", "timestamp": "today"})",
        R"({"user": "u", "item": "i", "timestamp": -1})", R"({"user": "u", "item": "i", "timestamp": 1e300})",
        R"({"user": "u", "item": "i", "timestamp": 18446744073709551615})",
        R"({"user": "u", "item": "i", "value": 1e300})", R"({"user": "u", "item": "i", "event": 3})"})
    CHECK(status_of(body) == 400);
  CHECK(status_of(std::string(100'000, '[')) == 400);
  CHECK(status_of(json(std::vector<int>(1001)).dump()) == 413);
  CHECK(status_of(std::string((1 << 20) + 1, ' ')) == 413);
  CHECK(post(client, "/nowhere", std::string((1 << 20) + 1, ' ')).status == 413);
  CHECK(post(client, "/events?wait=maybe", event_of("u", 1)).status == 400);

  for (const char* body :
       {R"({"id": "i1", "fields": {"colour": "red"}})", R"({"id": "i1", "fields": {"price": "red"}})",
        R"({"id": "i1", "fields": {"shelf": ["a"]}})", R"({"id": "i1", "fields": 3})", R"({"fields": {}})"})
    CHECK(post(client, "/items", body).status == 400);

  for (const char* path : {"/recommend",
                           "/recommend?user=",
                           "/recommend?user=u&k=0",
                           "/recommend?user=u&k=1001",
                           "/recommend?user=u&k=ten",
                           "/recommend?user=u&k=-1",
                           "/recommend?user=u&now=now",
                           "/recommend?user=u&diversity=nan",
                           "/recommend?user=u&diversity=2",
                           "/recommend?user=u&filtr=x",
                           "/recommend?user=u&filter=colour%20%3D%20%22red%22",
                           "/recommend?user=u&filter=shelf%20%3D",
                           "/recommend?user=u&cursor=forged",
                           "/recommend?user=u&explore=2",
                           "/recommend?user=u&explore=",
                           "/explain?user=u",
                           "/explain?item=i1",
                           "/explain?user=u&item=",
                           "/similar?user=u",
                           "/metrics?all=1"})
    CHECK(get(client, path).status == 400);
  std::string many = "/explain?user=u";
  for (std::size_t item = 0; item < 21; ++item) many.append("&item=").append(item_name(item));
  CHECK(get(client, many).status == 400);
  for (const char* path : {"/", "/demo/catalogue", "/demo/user?user=u1", "/users", "/users/", "/users//export",
                           "/users/export", "/events", "/items/i1", "/%00"})
    CHECK(get(client, path).status == 404);
  CHECK(read(client.Delete("/items/")).status == 404);
  CHECK(read(client.Put("/events", "{}", "application/json")).status == 404);
  CHECK(get(client, "/users/nobody/export").status == 404);
  CHECK(get(client, std::string("/").append(5'000, 'a')).status == 414);
  CHECK(get(client, std::string("/").append(20'000, 'a')).status >= 400);

  for (const std::string bytes : {"\r\n\r\n", "nonsense\r\n\r\n", "GET\r\n\r\n", "GET /health HTTP/9\r\n\r\n",
                                  "POST /events HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"}) {
    INFO(bytes);
    CHECK(server.answer_to(bytes).starts_with("HTTP/1.1 400 "));
  }
  CHECK(server.answer_to("POST /events HTTP/1.1\r\nContent-Length: 100\r\n\r\n{", true).empty());
  // In chunks, where no header says how long it is, and in parts.
  std::string chunked = "POST /events HTTP/1.1\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n";
  for (int chunk = 0; chunk < 20; ++chunk) chunked += "10000\r\n" + std::string(0x10000, ' ') + "\r\n";
  CHECK(server.answer_to(chunked + "0\r\n\r\n").starts_with("HTTP/1.1 413 "));
  const httplib::MultipartFormDataItems parts{{"events", event_of("u", 1), "events.json", "application/json"}};
  CHECK(read(client.Post("/events", parts)).status == 400);

  CHECK(get(client, "/health").body["status"] == "ok");
  CHECK(post(client, "/events", event_of("u", 1)).status == 200);
}

TEST_CASE("Killed at any moment the server has every event that it acknowledged when it is started again") {
  std::signal(SIGPIPE, SIG_IGN);  // to write to a server that is gone is a failed request
  const Shop shop;
  constexpr std::size_t kWriters = 3;
  std::vector<std::set<std::string>> acknowledged(kWriters);
  std::vector<std::size_t> sent(kWriters);
  for (std::size_t round = 0; round < 3; ++round) {
    Server server(shop);
    std::atomic<std::size_t> answers = 0;
    std::vector<std::thread> writers;
    for (std::size_t w = 0; w < kWriters; ++w) {
      writers.emplace_back([&, w] {
        httplib::Client client = server.client();
        const std::string user = "writer" + std::to_string(w);
        for (;; ++answers) {
          const std::size_t number = sent[w]++;
          const auto response = client.Post("/events", event_of(user, number), "application/json");
          if (!response) return;
          if (response->status == 200) acknowledged[w].insert(user + "-" + std::to_string(number));
        }
      });
    }
    while (answers < 30 * (round + 1)) std::this_thread::yield();
    CHECK(server.end(SIGKILL) == 128 + SIGKILL);
    for (std::thread& writer : writers) writer.join();
  }
  Server server(shop);
  httplib::Client client = server.client();
  for (std::size_t w = 0; w < kWriters; ++w) {
    const std::multiset<std::string> kept = event_ids(client, "writer" + std::to_string(w));
    CHECK(acknowledged[w].size() > 0);
    for (const std::string& id : acknowledged[w]) CHECK(kept.count(id) == 1);
    CHECK(kept.size() <= sent[w]);
  }
}

TEST_CASE("SIGTERM ends the server with nothing lost, also what nobody waited for") {
  const Shop shop;
  {
    Server server(shop);
    httplib::Client client = server.client();
    for (std::size_t number = 0; number < 200; ++number)
      CHECK(post(client, "/events?wait=no", event_of("hasty", number)).status == 200);
    client.stop();
    CHECK(server.end(SIGTERM) == 0);
  }
  Server server(shop);
  httplib::Client client = server.client();
  CHECK(event_ids(client, "hasty").size() == 200);
  client.stop();
  CHECK(server.end(SIGINT) == 0);
}

TEST_CASE("The server does not start on what it cannot use") {
  const Shop shop;
  const std::string model = shop.path("model"), store = shop.path("events");
  using Arguments = std::vector<std::string>;
  for (const Arguments& wrong : {Arguments{},
                                 {model},
                                 {model, "--store"},
                                 {model, "--store", store, "--port", "http"},
                                 {model, "--store", store, "--port", "70000"},
                                 {model, "--store", store, "--threads", "0"},
                                 {model, "--store", store, "--colour", "red"},
                                 {model, "--demo"},
                                 {model, "--demo", shop.items(), "--models", shop.path("models")}})
    CHECK(Server(wrong).wait() == 2);
  for (const char* text :
       {"", "item,shelf,price\ni1,films,1\n", "item,title,price\ni1,One,1\ni2,Two,2\n",
        "item,title,shelf,price\ni1,One,films,1\n", "item,title,shelf,price\ni1,One,films,1\ni2,Two,films\n",
        "item,title,shelf,price\ni1,One,films,1\ni2,Two,films,cheap\n"})
    CHECK(Server(Server::demo(shop, shop.items("wrong.csv", text))).wait() == 1);
  CHECK(Server(Server::demo(shop, shop.path("none.csv"))).wait() == 1);
  CHECK(Server(Arguments{shop.path("none"), "--store", store, "--port", "0"}).wait() == 1);
  CHECK(Server(Arguments{model, "--store", store, "--port", "0", "--number", "not a name"}).wait() == 1);
  const Server first(shop);
  CHECK(Server(Arguments{model, "--store", store, "--port", "0"}).wait() == 1);
  CHECK(Server(Arguments{model, "--store", shop.path("others"), "--port", std::to_string(first.port())}).wait() == 1);
}

}  // namespace attune::test
