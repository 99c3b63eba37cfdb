// SPDX-License-Identifier: Apache-2.0
#include "attune/data/split.hpp"

#include <map>
#include <random>
#include <set>

#include "attune/error.hpp"
#include "catch.hpp"
#include "data/reading.hpp"

using namespace attune;
using attune::test::failure_of;

namespace {

using Kind = SplitOptions::Kind;

struct Event {
  const char* user;
  const char* item;
  Timestamp time;
};

Histories histories_of(const std::vector<Event>& events) {
  InteractionLog log;
  for (const Event& event : events) log.append({event.user, event.item, event.time});
  return group_by_user(std::move(log));
}

std::string items_text(const Histories& histories, std::span<const ItemHandle> items) {
  std::string text;
  for (const ItemHandle item : items) text += histories.item_ids->id(item).text();
  return text;
}

// "user:history>targets" of each query.
std::vector<std::string> text_of(const EvaluationQueries& queries) {
  std::vector<std::string> result;
  for (const auto& query : queries.queries) {
    result.push_back(std::string(queries.histories->user_ids->id(query.user).text()) + ":" +
                     items_text(*queries.histories, queries.history(query).items) + ">" +
                     items_text(*queries.histories, queries.targets(query)));
  }
  return result;
}

std::string training_of(const Split& split, const char* user) {
  return items_text(split.train, split.train.of(split.train.user_ids->find(user)).items);
}

SplitOptions temporal(double fraction, bool baskets = false) { return {Kind::temporal, fraction, baskets}; }

using Texts = std::vector<std::string>;

}  // namespace

TEST_CASE("Leave-one-out tests the last event, with the validation event in the history", "[data][split]") {
  const Split parts = split(
      histories_of(
          {{"u", "a", 1}, {"u", "b", 2}, {"u", "c", 3}, {"u", "d", 4}, {"v", "a", 9}, {"v", "b", 8}, {"v", "c", 7}}),
      {Kind::leave_one_out});
  REQUIRE(training_of(parts, "u") == "ab");
  REQUIRE(training_of(parts, "v") == "c");
  REQUIRE(text_of(parts.validation) == Texts{"u:ab>c", "v:c>b"});
  REQUIRE(text_of(parts.test) == Texts{"u:abc>d", "v:cb>a"});
  REQUIRE(parts.test.time(parts.test.queries[0]) == 4);
  REQUIRE(parts.note.find("other users") != std::string::npos);
}

TEST_CASE("Leave-one-out says how many training events are later than the median test event", "[data][split]") {
  const auto note_of = [](const std::vector<Event>& events) {
    return split(histories_of(events), {Kind::leave_one_out}).note;
  };
  const std::string text = " of the training events are later than the median test event";
  // Test events at 4, 9 and 30; training events at 1, 2, 7, 10 and 20.
  const std::vector<Event> events{{"u", "a", 1},  {"u", "b", 2},  {"u", "c", 3}, {"u", "d", 4},
                                  {"v", "a", 7},  {"v", "b", 8},  {"v", "c", 9}, {"w", "a", 10},
                                  {"w", "b", 20}, {"w", "c", 25}, {"w", "d", 30}};
  REQUIRE(note_of(events).find("; 40.0 %" + text) != std::string::npos);
  // An event at the median itself is not later, and one without a time says nothing.
  REQUIRE(note_of({{"u", "a", 9},
                   {"u", "b", 9},
                   {"u", "c", 9},
                   {"v", "a", kNoTime},
                   {"v", "b", 10},
                   {"v", "c", 11},
                   {"v", "d", 12}})
              .find("; 50.0 %" + text) != std::string::npos);
  REQUIRE(note_of({{"u", "a", kNoTime}, {"u", "b", kNoTime}, {"u", "c", kNoTime}}).find(text) == std::string::npos);
  REQUIRE(split(histories_of(events), temporal(0.5)).note.find(text) == std::string::npos);
}

TEST_CASE("Users with one or two events only train under leave-one-out", "[data][split]") {
  const Split parts = split(histories_of({{"u", "a", 1}, {"v", "a", 1}, {"v", "b", 2}}), {Kind::leave_one_out});
  REQUIRE(training_of(parts, "u") == "a");
  REQUIRE(training_of(parts, "v") == "ab");
  REQUIRE(parts.validation.empty());
  REQUIRE(parts.test.empty());
  REQUIRE(parts.note.find("the test part is empty: no user has three events") != std::string::npos);
}

TEST_CASE("Training histories go on to the last target of queries", "[data][split]") {
  const auto text_of_user = [](const Histories& histories, const char* user) {
    return items_text(histories, histories.of(histories.user_ids->find(user)).items);
  };
  const std::vector<Event> events{{"u", "a", 1}, {"u", "b", 2}, {"u", "c", 3},  {"u", "d", 40}, {"v", "a", 5},
                                  {"v", "b", 6}, {"w", "c", 7}, {"w", "c", 35}, {"w", "d", 36}, {"w", "a", 50}};
  SECTION("of each user under leave-one-out") {
    const Split parts = split(histories_of(events), {Kind::leave_one_out});
    const Histories learned = with_targets(parts.train, parts.validation);
    CHECK(text_of_user(learned, "u") == "abc");
    CHECK(text_of_user(learned, "v") == "ab");
    CHECK(text_of_user(learned, "w") == "ccd");
    CHECK(learned.times == std::vector<Timestamp>{1, 2, 3, 5, 6, 7, 35, 36});
    CHECK(learned.kinds.size() == 8);
    CHECK(learned.values.size() == 8);
    CHECK(learned.item_ids == parts.train.item_ids);
    CHECK(learned.user_ids == parts.train.user_ids);
    CHECK(with_targets(parts.train, {}).items == parts.train.items);
  }
  SECTION("of all users before one moment") {
    const Split parts = split(histories_of(events), temporal(0.8));
    REQUIRE_FALSE(parts.validation.empty());
    std::size_t before = 0;
    for (const Event& event : events) before += event.time <= 36;
    CHECK(with_targets(parts.train, parts.validation).num_events() == before);
  }
  SECTION("with ids of their own that are the same") {
    const Split parts = split(histories_of(events), {Kind::leave_one_out});
    auto other = std::make_shared<Histories>(*parts.all);
    other->item_ids = std::make_shared<IdMap>(*other->item_ids);
    const Histories learned = with_targets(parts.train, {other, parts.validation.queries});
    CHECK(text_of_user(learned, "w") == "ccd");
    CHECK(learned.item_ids == parts.train.item_ids);
  }
  SECTION("but not of others") {
    const Split parts = split(histories_of(events), {Kind::leave_one_out});
    const auto refusal = [&](const auto& change) {
      auto other = std::make_shared<Histories>(*parts.all);
      EvaluationQueries queries{nullptr, parts.validation.queries};
      change(*other, queries);
      queries.histories = other;
      return failure_of([&] { with_targets(parts.train, queries); }).message;
    };
    const std::string begins =
        "queries: expected histories that begin with those of training, found another at user handle 0";
    CHECK(refusal([](Histories& h, EvaluationQueries&) { std::swap(h.items[0], h.items[1]); }) == begins);
    CHECK(refusal([](Histories& h, EvaluationQueries&) { h.times[1] = 3; }) == begins);
    CHECK(refusal([](Histories& h, EvaluationQueries&) { h.times.clear(); }) == begins);
    CHECK(refusal([](Histories& h, EvaluationQueries&) { h.item_ids = std::make_shared<IdMap>(); }) ==
          "queries: expected the item ids of the training histories, found others");
    CHECK(refusal([](Histories& h, EvaluationQueries&) { h.offsets.pop_back(); }) ==
          "queries: expected the 3 users of the training histories, found 2");
    const std::string beyond = "queries: expected targets within the histories, found some beyond at user handle ";
    CHECK(refusal([](Histories&, EvaluationQueries& q) { q.queries[0].num_targets = 3; }) == beyond + "0");
    CHECK(refusal([](Histories&, EvaluationQueries& q) { q.queries[0].user = 3; }) == beyond + "3");
  }
}

TEST_CASE("Leave-one-out needs no times", "[data][split]") {
  const Split parts =
      split(histories_of({{"u", "a", kNoTime}, {"u", "b", kNoTime}, {"u", "c", kNoTime}}), {Kind::leave_one_out});
  REQUIRE(text_of(parts.test) == Texts{"u:ab>c"});
  REQUIRE(parts.train.times.empty());
  REQUIRE(parts.test.time(parts.test.queries[0]) == kNoTime);
}

TEST_CASE("A temporal split cuts all users at the same moments", "[data][split]") {
  std::vector<Event> events;
  for (const Timestamp time : {1, 3, 5, 7, 9, 11, 13, 15, 17, 19}) events.push_back({"u", "a", time});
  for (const Timestamp time : {2, 4, 6, 8, 10, 12, 14, 16, 18, 20}) events.push_back({"v", "b", time});
  const Split parts = split(histories_of(events), temporal(0.5));
  // 20 events: the first ten are the part before the test, of which the last one validates.
  REQUIRE(training_of(parts, "u") == "aaaaa");
  REQUIRE(training_of(parts, "v") == "bbbb");
  REQUIRE(text_of(parts.validation) == Texts{"v:bbbb>b"});
  REQUIRE(parts.test.size() == 10);
  REQUIRE(parts.test.time(parts.test.queries[0]) == 11);
  REQUIRE(text_of(parts.test)[9] == "v:bbbbbbbbb>b");
  REQUIRE(parts.note.empty());
}

TEST_CASE("The default split is temporal with nine tenths before the test", "[data][split]") {
  std::vector<Event> events;
  for (Timestamp time = 0; time < 1000; ++time) events.push_back({time % 3 == 0 ? "u" : "v", "a", time});
  const Split parts = split(histories_of(events));
  REQUIRE(parts.test.size() == 100);
  REQUIRE(parts.validation.size() == 90);
  REQUIRE(parts.train.num_events() == 810);
  REQUIRE(parts.options.name() == "temporal:0.9");
}

TEST_CASE("Equal times stay on one side of a cut", "[data][split]") {
  std::vector<Event> events;
  for (int i = 0; i < 8; ++i) events.push_back({"u", "a", i});
  for (int i = 0; i < 4; ++i) events.push_back({i % 2 ? "u" : "v", "b", 100});
  for (int i = 0; i < 3; ++i) events.push_back({"u", "c", 200});
  const Split parts = split(histories_of(events), temporal(0.6));
  // The sixth tenth of 15 events ends inside those at time 100.
  std::set<Timestamp> tested;
  for (const auto& query : parts.test.queries) tested.insert(parts.test.time(query));
  REQUIRE(tested == std::set<Timestamp>{200});
}

TEST_CASE("Where all times are equal everything trains and the note says so (UR-34)", "[data][split]") {
  const Split parts = split(histories_of({{"u", "a", 5}, {"u", "b", 5}, {"v", "c", 5}, {"u", "d", 5}}));
  REQUIRE(training_of(parts, "u") == "abd");
  REQUIRE(parts.train.num_events() == 4);
  REQUIRE(parts.validation.empty());
  REQUIRE(parts.test.empty());
  REQUIRE(parts.note.find("the test part is empty: too few events differ in time") != std::string::npos);
  REQUIRE(parts.note.find("the validation part is empty") != std::string::npos);

  const Split last_one =
      split(histories_of({{"u", "a", 5}, {"u", "b", 5}, {"u", "c", 5}, {"u", "d", 5}}), {Kind::leave_one_out});
  REQUIRE(text_of(last_one.test) == Texts{"u:abc>d"});
}

TEST_CASE("Events of one user at one time are one query if baskets are asked for", "[data][split]") {
  const std::vector<Event> events{{"u", "a", 1},  {"u", "b", 2},  {"v", "x", 3}, {"u", "c", 10},
                                  {"u", "d", 10}, {"v", "y", 10}, {"u", "e", 11}};
  const Split single = split(histories_of(events), temporal(0.45));
  REQUIRE(text_of(single.test) == Texts{"u:ab>c", "u:abc>d", "u:abcd>e", "v:x>y"});
  const Split baskets = split(histories_of(events), temporal(0.45, true));
  REQUIRE(text_of(baskets.test) == Texts{"u:ab>cd", "u:abcd>e", "v:x>y"});
  REQUIRE(training_of(baskets, "u") == training_of(single, "u"));
  REQUIRE(baskets.options.baskets);
  REQUIRE_FALSE(split(histories_of(events), {Kind::leave_one_out, 0.9, true}).options.baskets);
}

TEST_CASE("A user who first appears in the test part has a query without history", "[data][split]") {
  const Split parts =
      split(histories_of({{"u", "a", 1}, {"u", "b", 2}, {"u", "c", 3}, {"new", "d", 4}}), temporal(0.75));
  REQUIRE(text_of(parts.test) == Texts{"new:>d"});
  REQUIRE(parts.train.num_users() == 2);
  REQUIRE(parts.train.of(parts.train.user_ids->find("new")).empty());
  REQUIRE(parts.train.item_ids->find("d") != kNoHandle);
}

TEST_CASE("Every event is in exactly one part, and queries see only the past (UR-33)", "[data][split]") {
  std::mt19937 random(5);
  for (int round = 0; round < 30; ++round) {
    InteractionLog log;
    for (int i = 0; i < 300; ++i) {
      const std::string user = std::to_string(random() % 40), item = std::to_string(random() % 20);
      log.append({user, item, static_cast<Timestamp>(random() % 50)});
    }
    const SplitOptions options =
        round % 3 == 0 ? SplitOptions{Kind::leave_one_out} : temporal(0.5 + 0.1 * (round % 5), round % 2 == 0);
    const Split parts = split(group_by_user(std::move(log)), options);
    std::size_t held_out = 0;
    for (const EvaluationQueries* queries : {&parts.validation, &parts.test}) {
      UserHandle last_user = 0;
      std::uint32_t last_length = 0;
      for (const auto& query : queries->queries) {
        held_out += query.num_targets;
        REQUIRE(query.history_length >= parts.train.of(query.user).size());
        REQUIRE(query.history_length + query.num_targets <= parts.all->of(query.user).size());
        REQUIRE((query.user > last_user || last_length == 0 || query.history_length > last_length));
        last_user = query.user;
        last_length = query.history_length;
      }
    }
    REQUIRE(parts.train.num_events() + held_out == parts.all->num_events());
    REQUIRE(parts.train.num_users() == parts.all->num_users());
    REQUIRE(parts.train.times.size() == parts.train.num_events());
    REQUIRE(parts.train.kinds.size() == parts.train.num_events());
    REQUIRE(parts.train.values.size() == parts.train.num_events());
    if (options.kind != Kind::temporal || parts.test.empty()) continue;
    Timestamp last_training = kNoTime, first_test = std::numeric_limits<Timestamp>::max();
    for (const Timestamp time : parts.train.times) last_training = std::max(last_training, time);
    for (const auto& query : parts.test.queries) first_test = std::min(first_test, parts.test.time(query));
    for (const auto& query : parts.validation.queries) {
      REQUIRE(parts.validation.time(query) > last_training);
      REQUIRE(parts.validation.time(query) < first_test);
    }
    REQUIRE(first_test > last_training);
  }
}

TEST_CASE("Without a split everything trains", "[data][split]") {
  const Split parts = split(histories_of({{"u", "a", 1}, {"u", "b", 2}, {"u", "c", 3}}), {Kind::none});
  REQUIRE(training_of(parts, "u") == "abc");
  REQUIRE(parts.validation.empty());
  REQUIRE(parts.test.empty());
  REQUIRE_FALSE(parts.note.empty());
}

TEST_CASE("A temporal split of events without times is refused", "[data][split]") {
  const auto failure = failure_of([] { split(histories_of({{"u", "a", kNoTime}, {"u", "b", kNoTime}})); });
  REQUIRE(failure.code == ErrorCode::invalid_data);
  REQUIRE(failure.says("only their order"));
}

TEST_CASE("Names of splits are read and written", "[data][split]") {
  for (const char* name : {"leave-one-out", "temporal:0.8", "temporal:0.95", "none"}) {
    REQUIRE(SplitOptions::parse(name).name() == name);
  }
  REQUIRE(SplitOptions::parse("temporal").name() == "temporal:0.9");
  for (const char* name : {"", "temporal:", "temporal:0", "temporal:1", "temporal:x", "temporal:0.5x", "temporal0.5",
                           "temporal:nan", "temporal:-0.5", "random", "Leave-One-Out"}) {
    const auto failure = failure_of([&] { SplitOptions::parse(name); });
    REQUIRE(failure.code == ErrorCode::invalid_argument);
    REQUIRE(failure.says("'" + std::string(name) + "'"));
  }
  REQUIRE(failure_of([] { split(histories_of({{"u", "a", 1}}), temporal(1.5)); }).code == ErrorCode::invalid_argument);
}
