// SPDX-License-Identifier: Apache-2.0

// Users with ids that nobody may read elsewhere: what goes wrong, what is logged and what is written beside models and
// stores is kept and searched for them.

#include <algorithm>
#include <exception>
#include <filesystem>
#include <mutex>
#include <set>
#include <string>
#include <vector>

#include "attune/data/categories.hpp"
#include "attune/error.hpp"
#include "attune/model/featurizer.hpp"
#include "attune/recommender.hpp"
#include "attune/serving/explanation.hpp"
#include "attune/serving/people.hpp"
#include "attune/serving/shadow.hpp"
#include "attune/serving/sqlite_event_store.hpp"
#include "attune/serving/telemetry.hpp"
#include "attune/training/evaluation.hpp"
#include "attune/training/tuner.hpp"
#include "attune/training/updater.hpp"
#include "catch.hpp"
#include "serving/failing_sqlite.hpp"
#include "serving/stored_events.hpp"
#include "training/small_training.hpp"

using namespace attune;
using namespace std::string_literals;
using test::read_text;
using test::TemporaryDirectory;
using test::traces;
using test::write_text;
namespace fs = std::filesystem;

namespace {

const std::string kPlanted = "planted-user-7f3a";
std::string planted(std::size_t user) { return std::to_string(user).insert(0, kPlanted); }

// All that is said: errors and lines of the log.
class Said final : public Telemetry {
 public:
  ~Said() override {
    for (const std::string& text : texts_) {
      if (text.find(kPlanted) != std::string::npos) FAIL_CHECK("it says who: " << text);
    }
  }
  template <class Call>
  bool fails(Call call) {
    try {
      call();
      return false;
    } catch (const std::exception& error) {
      add(error.what());
      return true;
    }
  }
  void add(std::string_view text) {
    const std::lock_guard lock(mutex_);
    texts_.emplace_back(text);
  }
  void log(LogLevel, std::string_view line) noexcept override { add(line); }
  std::size_t size() const noexcept { return texts_.size(); }

 private:
  std::mutex mutex_;
  std::vector<std::string> texts_;
};

// Everybody walks from item to item; events [begin, end).
InteractionLog log_of(std::size_t users, std::size_t begin, std::size_t end, IdKind kind = IdKind::string) {
  InteractionLog log(kind);
  for (std::size_t user = 0; user < users; ++user) {
    const std::string name = planted(user);
    for (std::size_t i = begin; i < end; ++i) {
      const std::string item = std::to_string((7 * user + i) % 20).insert(0, "i");
      log.append({.user = kind == IdKind::string ? Id(name) : Id(user),
                  .item = item,
                  .timestamp = static_cast<Timestamp>(1000 * i + user)});
    }
  }
  return log;
}

Split parts_of(std::size_t users = 30) {
  return split(group_by_user(log_of(users, 0, 12)), SplitOptions::parse("leave-one-out"));
}

TrainedModel small_model(std::size_t users = 30) {
  const Split parts = parts_of(users);
  TrainedModel model = Trainer(test::small_config()).fit(parts.train, parts.validation);
  model.histories = parts.all;
  return model;
}

struct BadFile {
  std::string text;
  ReadOptions options = {};
};

std::vector<BadFile> bad_files() {
  const std::string u = kPlanted, header = "user,item,rating,timestamp,event,event_id\n";
  const std::string good = header + u + ",i1,5,1700000000,,a\n";
  ReadOptions numbers;
  numbers.user_ids = IdKind::int64;
  std::string kinds = "user,item,event\n";
  for (int i = 0; i < 255; ++i) kinds += "x,i,kind" + std::to_string(i) + "\n";
  return {{u + ",i1,5\n" + u + ",i2,5\n"},
          {u + "\n" + u + "\n"},
          {"user,item,user\n" + u + ",i1," + u + "\n"},
          {"user,item\n" + u + "\n"},
          {"user,item\n" + u + ",i1," + u + "\n"},
          {"user,item\n\"" + u + "\"x,i1\n"},
          {"user,item\n\"" + u + ",i1\n"},
          {"user,item\n\"" + u + "\0\",i1\n"s},
          {"user,item\n" + u + ",\n"},
          {"user,item\n" + u + ",i1\n", numbers},
          {header + u + ",i1," + u + ",1700000000,,b\n"},
          {good + u + ",i1," + u + ",1700000000,,b\n"},
          {good + u + ",i1,5," + u + ",,b\n"},
          {good + "i1,i2," + u + ",1700000000,,b\n"},
          {good + u + ",i1,5,1700000000000,,b\n"},
          {good + u + ",i1,5,1700000000,,b\0\n"s},
          {kinds + u + ",i," + u + "\n"},
          {"user,item\n" + u + std::string(17 << 20, 'x') + ",i1\n"},
          {"{\"user\":\"" + u + "\",\"item\":[1]}\n"},
          {"{\"user\":\"" + u + "\",\"item\":1}\n{\"" + u + "\":1}\n"},
          {"{\"user\":\"" + u + "\",\"item\":1}\n{\"user\":\"" + u + "\",\"user\":\"" + u + "\"}\n"},
          {"{\"user\":\"" + u + "\",\"item\":1,\"rating\":\"" + u + "\"}\n"},
          {"{\"user\":\"" + u},
          {"{\"" + u + "\":{\"i1\":5}}\n"},
          {"{\"" + u + "\":1,\"" + u + "\":2}\n"},
          {"user_id:token\titem_id:token\n" + u + "\n"},
          {"user_id:token\t" + u + "\n" + u + "\ti\n"},
          {"\xFF\xFE" + u},
          {"PK\x03\x04" + u},
          {"\x1f\x8b\x08" + u},
          {"user,item,rating\n" + u + ",i1,1\n", {.min_rating = 5.0f}}};
}

}  // namespace

TEST_CASE("What is wrong with a file of interactions says no user", "[privacy][planted]") {
  Said said;
  const TemporaryDirectory directory;
  const std::string file = (directory / "events.csv").string();
  for (const BadFile& bad : bad_files()) {
    write_text(file, bad.text);
    INFO(bad.text.substr(0, 100));
    CHECK(said.fails([&] { read_interactions(file, bad.options); }));
    ReadOptions skipping = bad.options;
    skipping.bad_value = BadValue::skip;
    LoadReport report;
    said.fails([&] { read_interactions(file, skipping, &report); });
    for (const auto& dropped : report.dropped) said.add(dropped.reason);
  }
  InteractionLog log;
  CHECK(said.fails([&] { log.append({.user = kPlanted + "\0"s, .item = "i"}); }));
  CHECK(said.fails([&] { log.append({.user = kPlanted, .item = 5}); }));
  CHECK(said.fails([&] { log.append({.user = kPlanted, .item = "i", .value = NAN}); }));
  CHECK(said.fails([&] { IdMap(IdKind::int64).insert(kPlanted); }));
  log.append({.user = kPlanted, .item = "i"});
  CHECK(said.fails([&] { clean(log, {.k_core = 2}); }));
}

TEST_CASE("What is wrong with a file of users says none of them", "[privacy][planted]") {
  Said said;
  const TemporaryDirectory directory;
  const std::string file = (directory / "users.csv").string();
  IdMap users;
  users.insert(kPlanted);
  users.insert("other");
  const FeatureSpec age{.name = "age", .kind = FeatureKind::number}, since{.name = "since", .kind = FeatureKind::time};
  const FeatureSpec taste{.name = "taste", .kind = FeatureKind::vector, .columns = {"a", "b"}};
  const auto refuses = [&](const std::string& text, const FeatureSpec& feature) {
    write_text(file, text);
    DelimitedReader reader(file);
    return said.fails([&] { read_feature_records(reader, {&feature, 1}, users, {.id_column = "user"}); });
  };
  CHECK(refuses("user,age\n" + kPlanted + "\n", age));
  CHECK(refuses("user,age\nother," + kPlanted + "\n", age));
  CHECK(refuses("user,age\n" + kPlanted + "," + kPlanted + "\n", age));
  CHECK(refuses("user,since\nother," + kPlanted + "\n", since));
  CHECK(refuses("user,a,b\nother,1," + kPlanted + "\n", taste));
  CHECK(refuses("user,a,b\n" + kPlanted + ",1,\n", taste));
  CHECK(refuses("user,old\n" + kPlanted + ",1\n", age));
  write_text(file, "user,friend\n" + kPlanted + "\n");
  CHECK(said.fails([&] { Friendships::read(file); }));
  write_text(file, "user,friend\n1," + kPlanted + "\n");
  CHECK(said.fails([&] { Friendships::read(file, IdKind::int64); }));
  write_text(file, "user,group\n" + kPlanted + "\n");
  CHECK(said.fails([&] {
    DelimitedReader reader(file);
    read_categories(reader, "user", std::vector<std::string>{"group"}, users);
  }));
}

TEST_CASE("A recommender says no user, whatever it is asked and told", "[privacy][planted]") {
  const auto said = std::make_shared<Said>();
  const TemporaryDirectory directory;
  const std::string model = (directory / "model").string();
  small_model().save(model);
  TrainedModel of_numbers = small_model();
  of_numbers.histories = std::make_shared<const Histories>(group_by_user(log_of(30, 0, 12, IdKind::int64)));
  const auto store = std::make_shared<SqliteEventStore>((directory / "events.db").string());
  Recommender recommender = Recommender::open(
      model, {.event_store = store, .unknown_event_kinds = UnknownEventKinds::reject, .telemetry = said});
  const std::string user = planted(3), stranger = kPlanted + "-nobody";
  const std::string wrong = kPlanted + "\0"s, longest = kPlanted + std::string(1 << 20, 'x');
  for (const Id id : {Id(user), Id(stranger), Id(wrong), Id(longest), Id(5), Id("")}) {
    said->fails([&] {
      for (int twice = 0; twice < 2; ++twice) recommender.observe({.user = id, .item = "i1", .event_id = "delivery"});
      recommender.observe({.user = id, .item = "i2", .timestamp = 1'700'000'000'000'000});
      recommender.observe({.user = id, .item = "i2", .value = NAN});
      recommender.observe({.user = id, .item = ""});
      recommender.observe({.user = id, .item = "i2", .event = kPlanted});
      recommender.recommend({.user = id});
      recommender.rank(id, {"i1", "nothing"});
      recommender.explain(id, "i1");
      recommender.similar_users(id, 3);
      recommender.export_user(id);
    });
    said->fails([&] { recommender.merge_users(id, wrong); });
    said->fails([&] { recommender.upsert_user({.id = id, .fields = {{"age", std::string_view("x")}}}); });
  }
  CHECK(said->fails([&] { recommender.reload(of_numbers); }));
  CHECK(said->fails([&] { recommender.reload((directory / "nothing").string()); }));
  CHECK(said->fails([&] { recommender.shadow(of_numbers, {}); }));
  CHECK(said->fails([&] { SqliteEventStore second((directory / "events.db").string()); }));
  said->add(to_prometheus(recommender.stats()));
  for (const auto& entry : fs::directory_iterator(model)) {  // every file damaged, and cut
    const std::string right = read_text(entry);
    std::string damaged = right;
    damaged[right.size() / 2] = static_cast<char>(damaged[right.size() / 2] ^ 0x55);
    for (const std::string& text : {damaged, right.substr(0, right.size() / 2)}) {
      write_text(entry, text);
      said->fails([&] { recommender.reload(model); });
      said->fails([&] { recommender.forget_user(planted(7)); });
    }
    write_text(entry, right);
  }
  recommender.forget_user(user);
  CHECK(said->size() > 20);
}

TEST_CASE("A store that is damaged, or whose disk fails, says no user", "[privacy][planted]") {
  Said said;
  const TemporaryDirectory directory;
  const std::string file = (directory / "events.db").string();
  const auto use = [&] {
    SqliteEventStore store(file);
    for (std::size_t i = 0; i < 300; ++i) {
      const std::string user = planted(i % 30), id = kPlanted + "-" + std::to_string(i);
      store.append(std::vector<Interaction>{{.user = user, .item = "i1", .event_id = id}}, {});
    }
    said.fails([&] { store.put_profile(planted(1), R"([["age",5]])"); });
    said.fails([&] { store.erase(planted(2)); });
    said.fails([&] { store.merge(planted(3), planted(4), {}); });
    said.fails([&] { store.prune(5); });
    said.fails([&] { store.flush(); });
    said.fails([&] { test::events_of(store); });
    said.add(store.error());
  };
  use();
  const std::string whole = read_text(file);
  for (std::size_t at = 0; at < whole.size(); at += 1021) {
    std::string damaged = whole;
    damaged.replace(at, std::min<std::size_t>(64, whole.size() - at), 64, '\x5a');
    write_text(file, damaged);
    said.fails(use);
  }
  const std::size_t before = said.size();
  for (int n = 0, reached = true; reached; n += 3) {
    fs::remove(file);
    test::DiskFaults faults;
    faults.for_ever = true;
    faults.fail_at = n;
    said.fails(use);
    reached = faults.calls > n;
  }
  CHECK(said.size() > before + 10);
}

TEST_CASE("Training, updating, measuring and searching say no user", "[privacy][planted]") {
  Said said;
  const TemporaryDirectory directory;
  const Split parts = parts_of(), others = parts_of(29);
  const std::string state = (directory / "state").string();
  const TrainerConfig config = test::small_config();
  const TrainedModel model = small_model();
  Histories timeless = *parts.all;
  timeless.times.clear();
  CHECK(said.fails([&] { Trainer(config).fit(group_by_user(log_of(5, 0, 1)), {}); }));
  CHECK(said.fails([&] {
    Trainer(config).fit(parts.train, parts.validation, {.epoch = [](const EpochReport&) { return false; }},
                        {.path = state});
    Trainer(config).fit(others.train, others.validation, {}, {.path = state, .resume = true});
  }));
  CHECK(said.fails([&] { Updater(UpdaterConfig{}).update(model, log_of(30, 12, 15, IdKind::int64)); }));
  CHECK(said.fails([&] { split(timeless, SplitOptions::parse("temporal:0.9")); }));
  CHECK(said.fails([&] { evaluate(model, others.test, {.cutoffs = {0}}); }));
  said.fails([&] { evaluate(model, others.test, {}); });
  TrainedModel unfit = model;
  auto histories = std::make_shared<Histories>(*model.histories);
  histories->user_ids = std::make_shared<IdMap>();
  unfit.histories = histories;
  CHECK(said.fails([&] { unfit.save((directory / "model").string()); }));
}

TEST_CASE("What training keeps for going on, and a search keeps of its trials, has no id of a user",
          "[privacy][planted][erasure]") {
  const TemporaryDirectory directory;
  const Split parts = parts_of();
  const StateFile state{.path = (directory / "model.training").string()};
  Trainer(test::small_config()).fit(parts.train, parts.validation, {}, state);
  REQUIRE(state.exists());
  TunerOptions options{.trials = 3, .directory = (directory / "search").string()};
  TrainerConfig config = test::small_config();
  const auto space = SearchSpace::from_json(R"({"adam": {"learning_rate": {"log_uniform": [1e-3, 1e-2]}}})", "space");
  Tuner(config, space, options).search(parts.train, parts.validation);
  REQUIRE_FALSE(fs::is_empty(directory / "search"));
  CHECK(traces(directory.path(), kPlanted) == 0);
  small_model().save((directory / "model").string());
  CHECK(traces(directory.path(), kPlanted) == 30);  // it is found where it is
}
