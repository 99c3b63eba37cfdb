// SPDX-License-Identifier: Apache-2.0

// Profiles of users in the event store.

#include <sqlite3.h>

#include <fstream>
#include <iterator>
#include <map>

#include "attune/error.hpp"
#include "attune/recommender.hpp"
#include "attune/serving/sqlite_event_store.hpp"
#include "catch.hpp"
#include "serving/small_model.hpp"
#include "temporary_directory.hpp"

using namespace attune;

namespace {

std::map<std::string, std::string> profiles_in(SqliteEventStore& store) {
  std::map<std::string, std::string> profiles;
  store.visit_profiles([&](const Id& user, std::string_view profile) { profiles.emplace(to_string(user), profile); });
  return profiles;
}

bool stands_in(const std::string& text, const std::string& file) {
  std::ifstream in(file, std::ios::binary);
  const std::string bytes{std::istreambuf_iterator<char>(in), {}};
  return bytes.find(text) != std::string::npos;
}

User from(const Id& id, std::string_view town) { return {.id = id, .fields = {{"town", town}}}; }

Recommender open(const std::string& path) {
  RecommenderOptions options;
  options.event_store = std::make_shared<SqliteEventStore>(path);
  return Recommender::open(test::make_model(), options);
}

}  // namespace

TEST_CASE("Profiles are there again when a recommender opens") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path() / "events";
  {
    Recommender recommender = open(path);
    recommender.upsert_user({.id = "new", .fields = {{"town", std::string_view("Ur\n\"|x")}, {"age", 30.5}}});
    recommender.upsert_user(from("other", "Uruk"));
    recommender.upsert_user(from("other", ""));
  }
  Recommender recommender = open(path);
  CHECK_THAT(recommender.export_user("new"), Catch::Matchers::Contains(R"([["town","Ur\n\"|x"],["age",30.5]])"));
  CHECK(recommender.export_user("other").empty());
}

TEST_CASE("Of a user who is forgotten no byte of a profile is left") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path() / "events";
  {
    Recommender recommender = open(path);
    recommender.upsert_user(from("new", "Atlantis"));
    recommender.upsert_user(from("new", "Thule-of-old"));
    recommender.upsert_user(from("stays", "Carthage"));
    recommender.forget_user("new");
    for (const char* const file : {"", "-wal"}) {
      CHECK_FALSE(stands_in("Atlantis", path + file));
      CHECK_FALSE(stands_in("Thule-of-old", path + file));
    }
  }
  CHECK_FALSE(stands_in("Thule-of-old", path));
  SqliteEventStore store(path);
  CHECK(profiles_in(store).size() == 1);
  CHECK(profiles_in(store).contains("stays"));
}

TEST_CASE("Merged users have one profile in the store") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path() / "events";
  {
    Recommender recommender = open(path);
    recommender.upsert_user({.id = "guest", .fields = {{"town", std::string_view("Ur")}, {"age", 30}}});
    recommender.upsert_user(from("new", "Uruk"));
    recommender.merge_users("guest", "new");
  }
  SqliteEventStore store(path);
  CHECK(profiles_in(store) == std::map<std::string, std::string>{{"new", R"([["town","Uruk"],["age",30.0]])"}});
}

TEST_CASE("Events that are too old take no profile with them") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path() / "events";
  SqliteEventStore store(path);
  store.put_profile("new", "[]");
  const Interaction event{.user = "new", .item = "i1", .timestamp = 1000};
  store.append({&event, 1}, {});
  CHECK(store.prune(2000) == 1);
  CHECK(profiles_in(store).size() == 1);
  store.put_profile("new", "");
  CHECK(profiles_in(store).empty());
}

TEST_CASE("A file of an attune without profiles is taken over") {
  const test::TemporaryDirectory directory;
  const std::string path = directory.path() / "events";
  {
    SqliteEventStore store(path);
    const Interaction event{.user = "u", .item = "i1", .timestamp = 1000};
    store.append({&event, 1}, {});
  }
  sqlite3* database = nullptr;
  REQUIRE(sqlite3_open(path.c_str(), &database) == SQLITE_OK);
  REQUIRE(sqlite3_exec(database, "DROP TABLE profiles; UPDATE meta SET value = 1 WHERE key = 'format'", nullptr,
                       nullptr, nullptr) == SQLITE_OK);
  sqlite3_close(database);
  SqliteEventStore store(path);
  store.put_profile("u", "[]");
  CHECK(profiles_in(store).size() == 1);
  std::size_t events = 0;
  store.replay([&](const Interaction&) { ++events; });
  CHECK(events == 1);
}
