// SPDX-License-Identifier: Apache-2.0

// Items that come, change and go while a recommender serves.

#include <algorithm>
#include <array>
#include <atomic>
#include <cstdlib>
#include <limits>
#include <string>
#include <thread>
#include <vector>

#include "attune/error.hpp"
#include "attune/recommender.hpp"
#include "attune/serving/policy.hpp"
#include "catch.hpp"
#include "serving/answers.hpp"
#include "serving/small_model.hpp"

using namespace attune;
using test::item_ids;
using test::item_name;
using test::make_model;
using test::same_items;

namespace {

const std::vector<ItemField> kFields{{"genre", FieldType::category}, {"price", FieldType::number}};
constexpr Timestamp kNow = 1'000'000'000;

bool returns(const Recommender& recommender, const Id& item, Timestamp now = kNow, const Id& user = "u1") {
  const Answer answer = recommender.recommend({.user = user, .k = 10'000, .now = now, .exclude_seen = false});
  return std::ranges::count(answer.items, item, &Recommendation::item) == 1;
}

template <class Call>
std::string refused(ErrorCode code, Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    CHECK(error.code() == code);
    return error.what();
  }
  return "not refused";
}

}  // namespace

TEST_CASE("A removed item is in no answer until an upsert, whatever is reloaded (UR-18, UR-62)",
          "[serving][live][UR-18][UR-62]") {
  const TrainedModel model = make_model({.items = 50});
  Recommender recommender = Recommender::open(model);
  const Answer before = recommender.recommend({.user = "u1", .k = 50});
  CHECK(recommender.remove_item("i7"));
  CHECK(recommender.remove_item("i7"));
  CHECK(recommender.remove_item("i60"));  // not known yet
  const auto gone = [&] {
    CHECK_FALSE(returns(recommender, "i7"));
    CHECK_FALSE(returns(recommender, "i7", kNow, "nobody"));
    CHECK(std::ranges::count(item_ids(recommender.similar_items("i8", 50)), "i7") == 0);
    CHECK(item_ids(recommender.rank("u1", {"i7", "i8"})) == std::vector<std::string>{"i8"});
    CHECK(recommender.rank("u1", {"i7", "i8"}).shortfall.unavailable == 1);
    CHECK(std::ranges::count(item_ids(recommender.recommend_history({"i1", "i7"}, {.k = 90, .exclude_seen = false})),
                             "i7") == 0);
  };
  gone();
  recommender.reload(make_model({.seed = 2, .items = 80}));
  gone();
  CHECK_FALSE(returns(recommender, "i60"));
  recommender.reload(model);
  recommender.upsert_item({.id = "i7"});
  CHECK(returns(recommender, "i7"));
  CHECK(same_items(recommender.recommend({.user = "u1", .k = 50}), before));
  CHECK_FALSE(recommender.remove_item(7));
  CHECK_FALSE(recommender.remove_item(""));
}

TEST_CASE("An item is returned within its time alone", "[serving][live]") {
  Recommender recommender = Recommender::open(make_model({.items = 200}));
  std::vector<std::string> ids;
  for (std::size_t i = 0; i < 200; ++i) ids.push_back(item_name(i));
  for (Timestamp i = 0; i < 200; i += 2) {
    recommender.upsert_item(
        {.id = ids[static_cast<std::size_t>(i)], .available_from = 1000 + i, .available_until = 2000 + 2 * i});
  }
  const auto check_at = [&](Timestamp at) {
    const Answer answer = recommender.recommend({.user = "nobody", .k = 200, .now = at});
    std::size_t expected = 100;
    for (Timestamp i = 0; i < 200; i += 2) {
      const bool available = 1000 + i <= at && at < 2000 + 2 * i;
      expected += available;
      const bool found = std::ranges::count(item_ids(answer), ids[static_cast<std::size_t>(i)]) == 1;
      if (found != available) FAIL("item " << i << " at " << at);
    }
    CHECK(answer.items.size() == expected);
    CHECK(answer.shortfall.unavailable == 200 - expected);
  };
  for (const Timestamp at : {kNoTime, Timestamp{0}, Timestamp{999}, Timestamp{1000}, Timestamp{1100}, Timestamp{1099},
                             Timestamp{2000}, Timestamp{1999}, Timestamp{2397}, Timestamp{2398}, Timestamp{-5},
                             Timestamp{1500}, std::numeric_limits<Timestamp>::max()}) {
    check_at(at);
  }
  for (Timestamp at = 900; at < 2500; at += 7) check_at(at);
  for (const std::string& id : ids)
    recommender.upsert_item({.id = id, .available_from = kNoTime, .available_until = kNoTime});
  CHECK(recommender.recommend({.user = "nobody", .k = 200}).items.size() == 200);
}

TEST_CASE("A thread that asked long ago, or before items had times, is brought up to date", "[serving][live]") {
  Recommender recommender = Recommender::open(make_model({.items = 200}), {.item_fields = kFields});
  const Policy cheap = recommender.compile({.filter = "price < 10", .boosts = {{"price = 3", 5.0f}}});
  const Request request{.user = "nobody", .k = 200, .now = kNow, .policy = &cheap};
  const Request first{.user = "nobody", .k = 200, .now = kNow};
  CHECK(recommender.recommend(request).items.empty());
  CHECK(recommender.recommend(first).items.size() == 200);
  recommender.upsert_item({.id = "i9", .available_until = kNow});
  CHECK(recommender.recommend(first).items.size() == 199);
  CHECK(recommender.recommend({.user = "nobody", .k = 200, .now = kNow - 1}).items.size() == 200);
  const auto price = [&](const char* id, int of) { recommender.upsert_item({.id = id, .fields = {{"price", of}}}); };
  const std::size_t changes =
      GENERATE(std::size_t{1}, std::size_t{100}, std::size_t{200'000});  // far more than are remembered one by one
  for (std::size_t i = 0; i < changes; ++i) price("i100", i % 2 == 0 ? 2 : 20);
  recommender.remove_item("i150");
  price("i150", 3);
  price("i160", 3);
  recommender.remove_item("i160");
  price("i1", 4);
  CHECK(recommender.recommend(first).items.size() == 198);
  const Answer answer = recommender.recommend(request);
  std::vector<std::string> found = item_ids(answer);
  CHECK(found.front() == "i150");
  std::ranges::sort(found);
  CHECK(found ==
        (changes % 2 == 0 ? std::vector<std::string>{"i1", "i150"} : std::vector<std::string>{"i1", "i100", "i150"}));
}

TEST_CASE("Without now a request happens at the user's last event, for items' times too", "[serving][live]") {
  Recommender recommender = Recommender::open(make_model({.items = 50, .users = 0}));
  recommender.upsert_item({.id = "i7", .available_from = 100});
  CHECK_FALSE(returns(recommender, "i7", kNoTime, "a"));
  recommender.observe({.user = "a", .item = "i1", .timestamp = 99});
  CHECK_FALSE(returns(recommender, "i7", kNoTime, "a"));
  recommender.observe({.user = "a", .item = "i1", .timestamp = 100});
  CHECK(returns(recommender, "i7", kNoTime, "a"));
  CHECK_FALSE(returns(recommender, "i7", 99, "a"));
  CHECK(recommender.rank("a", {"i7"}).items.size() == 1);
  CHECK(recommender.rank("a", {"i7"}, 99).items.empty());
  CHECK(recommender.similar_items("i1", 50).items.size() == 48);
  CHECK(recommender.similar_items("i1", {.k = 50, .now = 100}).items.size() == 49);
}

TEST_CASE("An upsert that cannot be is refused whole", "[serving][live]") {
  Recommender recommender = Recommender::open(make_model({.items = 50}), {.max_items = 52, .item_fields = kFields});
  const Policy policy = recommender.compile({.filter = "genre = 'a'"});
  const auto with_bad = [&](const Item& bad, ErrorCode code = ErrorCode::invalid_argument) {
    const std::vector<Item> items{{.id = "i1", .fields = {{"genre", "a"}}}, bad};
    const std::string message = refused(code, [&] { recommender.upsert_items(items); });
    CHECK(recommender.recommend({.user = "nobody", .policy = &policy}).items.empty());
    CHECK(recommender.info().items == 50);
    return message;
  };
  using Catch::Contains;
  CHECK_THAT(with_bad({.id = "i2", .fields = {{"colour", "a"}}}),
             Contains("item 1 of the batch (\"i2\")") && Contains("genre, price") && Contains("\"colour\""));
  CHECK_THAT(with_bad({.id = "i2", .fields = {{"price", "a"}}}), Contains("price: expected a number, found names"));
  CHECK_THAT(with_bad({.id = "i2", .fields = {{"genre", 3}}}), Contains("genre: expected names, found a number"));
  const std::vector<float> vector{1, 2};
  CHECK_THAT(with_bad({.id = "i2", .fields = {{"genre", vector}}}), Contains("genre: expected names, found a vector"));
  CHECK_THAT(with_bad({.id = "i2", .fields = {{"price", std::numeric_limits<double>::infinity()}}}),
             Contains("finite"));
  CHECK_THAT(with_bad({.id = 5}), Contains("expected an id of strings"));
  CHECK_THAT(with_bad({.id = ""}), Contains("item 1 of the batch"));
  const std::vector<Item> many{
      {.id = "new 1"}, {.id = "i1", .fields = {{"genre", "a"}}}, {.id = "new 2"}, {.id = "new 3"}};
  CHECK_THAT(refused(ErrorCode::limit_exceeded, [&] { recommender.upsert_items(many); }), Contains("limit of 52"));
  CHECK(recommender.info().items == 50);
  recommender.upsert_items(std::span(many).first(3));
  CHECK(recommender.info().items == 52);
  CHECK(recommender.recommend({.user = "nobody", .policy = &policy}).items.size() == 1);
  CHECK(recommender.observe({.user = "u1", .item = "of an event"}) == Observed::recorded);  // has room of its own
  recommender.upsert_items({});
  CHECK_THAT(refused(ErrorCode::invalid_argument,
                     [&] {
                       Recommender::open(make_model(), {.item_fields = {{"a b", FieldType::number}}});
                     }),
             Contains("item_fields") && Contains("\"a b\""));
  CHECK_THAT(refused(ErrorCode::invalid_argument,
                     [&] {
                       Recommender::open(make_model(), {.item_fields = {{"poster", FieldType::vector}}});
                     }),
             Contains("item_fields: expected a category or a number, found \"poster\", a vector"));
}

TEST_CASE("An item that no model knows yet is unavailable, and filtered by what an upsert said once one does",
          "[serving][live][UR-62]") {
  Recommender recommender = Recommender::open(make_model({.items = 50}), {.item_fields = kFields});
  recommender.upsert_item({.id = "i60", .fields = {{"price", 3}}});
  const Policy policy = recommender.compile({.filter = "price = 3"});
  for (const char* user : {"u1", "nobody"}) {
    const Answer answer = recommender.recommend({.user = user, .exclude_seen = false, .policy = &policy});
    CHECK(answer.items.empty());
    CHECK(answer.shortfall.unavailable == 1);
    CHECK(answer.shortfall.filtered == 50);
  }
  CHECK(recommender.rank("u1", {"i60"}).shortfall.unavailable == 1);
  recommender.reload(make_model({.seed = 3, .items = 80}));
  CHECK(item_ids(recommender.recommend({.user = "u1", .exclude_seen = false, .policy = &policy})) ==
        std::vector<std::string>{"i60"});
}

TEST_CASE("A thousand items come and go while four threads recommend, and the old answers come back (UR-05)",
          "[serving][live][concurrency][UR-05]") {
  Recommender recommender = Recommender::open(make_model({.items = 1'050}), {.item_fields = kFields});
  std::vector<std::string> ids;
  for (std::size_t i = 50; i < 1'050; ++i) ids.push_back(item_name(i));
  for (const std::string& id : ids) recommender.remove_item(id);
  const Request request{.user = "u1", .k = 50, .now = kNow};
  const Answer before = recommender.recommend(request);
  std::atomic<bool> stop = false;
  std::vector<std::thread> readers;
  std::atomic<std::size_t> wrong = 0;
  for (int t = 0; t < 4; ++t) {
    readers.emplace_back([&] {
      while (!stop) wrong += recommender.recommend(request).items.size() < before.items.size();
    });
  }
  const std::size_t known = recommender.info().items;
  for (int round = 0; round < 2; ++round) {
    std::size_t missing = 0;
    for (std::size_t i = 0; i < ids.size(); ++i) {
      recommender.upsert_item({.id = ids[i], .fields = {{"genre", "New"}, {"price", i}}});
      missing += !returns(recommender, ids[i]);
    }
    CHECK(missing == 0);
    for (const std::string& id : ids) recommender.remove_item(id);
    CHECK(same_items(recommender.recommend(request), before));
  }
  stop = true;
  for (std::thread& reader : readers) reader.join();
  CHECK(wrong == 0);
  CHECK(recommender.info().items == known);
}

namespace {

// Items whose flags change all the time: the first third is removed and listed, the second leaves its time and comes
// back, the last leaves the filter and comes back. `state` of an item goes 0 shown, 1 on its way out, 2 hidden, 3 on
// its way back, 4 shown again...
class Flips {
 public:
  static constexpr std::size_t kItems = 96, kWriters = 3, kReaders = 5;
  static constexpr std::size_t kApart = 64;  // handles: what happens to one helps no other

  Flips() {
    for (std::size_t i = 0; i < kItems; ++i) {
      ids_.push_back(item_name(i * kApart));
      recommender_.upsert_item({.id = ids_[i], .fields = {{"genre", "shown"}}});
    }
  }

  void write(std::size_t writer, std::size_t flips) {
    Answer answer;
    std::array<std::uint64_t, kItems> before;
    for (std::size_t flip = 0; flip < flips || answered < 2'000; ++flip) {
      const std::size_t item = (writer + kWriters * flip) % kItems;  // each item has one writer
      ++state_[item];
      (state_[item] % 4 == 1 ? hide(item) : show(item));
      ++state_[item];
      ++flipped;
      if (flip % 16 == 0) ask(answer, before);
    }
  }

  void read() {
    Answer answer;
    std::array<std::uint64_t, kItems> before;
    while (!stop) ask(answer, before);
  }

  std::atomic<bool> stop = false;
  std::atomic<std::size_t> answered = 0, flipped = 0, violations = 0;

 private:
  void hide(std::size_t item) {
    const std::string& id = ids_[item];
    switch (item / kWriters % 3) {
      case 0: recommender_.remove_item(id); break;
      case 1: recommender_.upsert_item({.id = id, .available_until = kNow}); break;
      default: recommender_.upsert_item({.id = id, .fields = {{"genre", "hidden"}}});
    }
  }
  void show(std::size_t item) {
    const std::string& id = ids_[item];
    switch (item / kWriters % 3) {
      case 0: recommender_.upsert_item({.id = id}); break;
      case 1: recommender_.upsert_item({.id = id, .available_until = kNow + 1}); break;
      default: recommender_.upsert_item({.id = id, .fields = {{"genre", "shown|other"}}});
    }
  }

  void ask(Answer& answer, std::array<std::uint64_t, kItems>& before) {
    for (std::size_t i = 0; i < kItems; ++i) before[i] = state_[i];
    const std::size_t turn = answered++;
    const char* const user = turn % 2 == 0 ? "u1" : "nobody";
    recommender_.recommend({.user = user, .k = kItems, .now = kNow, .exclude_seen = false, .policy = &shown_}, answer);
    std::array<bool, kItems> found{};
    for (const Recommendation& r : answer.items) {
      found[static_cast<std::size_t>(std::ranges::find(ids_, r.item.text()) - ids_.begin())] = true;
    }
    for (std::size_t i = 0; i < kItems; ++i) {
      if (before[i] % 2 == 0 && state_[i] == before[i]) violations += found[i] != (before[i] % 4 == 0);
    }
  }

  Recommender recommender_ = Recommender::open(make_model({.items = kItems * kApart}), {.item_fields = kFields});
  const Policy shown_ = recommender_.compile({.filter = "genre = 'shown'"});
  std::vector<std::string> ids_;
  std::array<std::atomic<std::uint64_t>, kItems> state_{};
};

}  // namespace

TEST_CASE("No answer of any thread violates a flag that was set before the call began (UR-18)",
          "[serving][live][concurrency][UR-18]") {
  const char* const asked = std::getenv("ATTUNE_FLIPS");  // the long form: 1000000
  const std::size_t flips = asked ? static_cast<std::size_t>(std::atoll(asked)) : 100'000;
  Flips scene;
  std::vector<std::thread> writers, readers;
  for (std::size_t t = 0; t < Flips::kReaders; ++t) readers.emplace_back([&] { scene.read(); });
  for (std::size_t t = 0; t < Flips::kWriters; ++t) {
    writers.emplace_back([&, t] { scene.write(t, flips / Flips::kWriters + 1); });
  }
  for (std::thread& thread : writers) thread.join();
  scene.stop = true;
  for (std::thread& thread : readers) thread.join();
  CHECK(scene.flipped >= flips);
  CHECK(scene.answered >= 2'000);
  CHECK(scene.violations == 0);
}
