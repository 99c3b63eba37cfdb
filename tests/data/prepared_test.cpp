// SPDX-License-Identifier: Apache-2.0
#include "attune/data/prepared.hpp"

#include <filesystem>
#include <functional>
#include <random>

#include "attune/error.hpp"
#include "catch.hpp"
#include "data/compression.hpp"
#include "data/reading.hpp"
#include "temporary_directory.hpp"

using namespace attune;
using namespace attune::test;

namespace {

using Texts = std::vector<std::string>;

// What reading, cleaning and grouping in memory make of the events of all files.
Histories grouped_in_memory(const Texts& files, const ReadOptions& reading, bool drop_duplicates) {
  InteractionLog all(reading.user_ids, reading.item_ids);
  for (const std::string& file : files) {
    const InteractionLog log = read_interactions(file, reading);
    for (const std::string& kind : log.event_kinds()) all.event_kind(kind);
    for (std::size_t row = 0; row < log.size(); ++row) {
      all.append({.user = log.user_ids().id(log.users()[row]),
                  .item = log.item_ids().id(log.items()[row]),
                  .timestamp = log.times()[row],
                  .event = log.event_kinds()[log.kinds()[row]],
                  .value = log.values()[row]});
    }
  }
  return group_by_user(clean(all, {.drop_duplicates = drop_duplicates}));
}

Texts texts_of(const IdMap& ids) {
  Texts texts;
  for (std::uint32_t handle = 0; handle < ids.size(); ++handle) texts.push_back(to_string(ids.id(handle)));
  return texts;
}

void require_same(const Histories& a, const Histories& b) {
  REQUIRE(a.user_ids->kind() == b.user_ids->kind());
  REQUIRE(a.item_ids->kind() == b.item_ids->kind());
  REQUIRE(texts_of(*a.user_ids) == texts_of(*b.user_ids));
  REQUIRE(texts_of(*a.item_ids) == texts_of(*b.item_ids));
  REQUIRE(a.event_kinds == b.event_kinds);
  REQUIRE(a.offsets == b.offsets);
  REQUIRE(a.items == b.items);
  REQUIRE(a.times == b.times);
  REQUIRE(a.kinds == b.kinds);
  REQUIRE(a.values == b.values);
}

// A folder of files, and what is made of them beside.
class Workplace {
 public:
  std::string write(const std::string& name, const std::string& text) const {
    write_text(directory_ / name, text);
    return path(name);
  }
  std::string path(const std::string& name) const { return (directory_ / name).string(); }
  std::string folder() const { return path("prepared"); }
  std::string part(const std::string& file) const { return folder() + '/' + file; }
  Texts names() const {
    Texts names;
    for (const auto& entry : std::filesystem::directory_iterator(directory_.path())) {
      names.push_back(entry.path().filename().string());
    }
    std::sort(names.begin(), names.end());
    return names;
  }

 private:
  TemporaryDirectory directory_;
};

constexpr const char* kEvents =
    "user,item,timestamp,rating,event\n"
    "u,a,30,5,view\nv,b,10,1,buy\nu,b,10,2,view\nw,c,5,3,\nu,a,30,4,view\nv,a,10,1,view\nu,c,30,1,view\n";

Failure failure_of_opening(const Workplace& work, std::size_t shard = PreparedHistories::kAllShards) {
  return failure_of([&] { PreparedHistories::open(work.folder(), shard); });
}

// Files with few users, items and times, so that ties and duplicates are common; each in units of its own.
class RandomFiles {
 public:
  explicit RandomFiles(std::uint64_t seed) : random_(seed), has_(random_() % 32), positions_(random_() % 4 == 0) {}

  Texts write(const Workplace& work) {
    Texts files;
    for (std::size_t i = 0, count = 1 + random_() % 4; i < count; ++i) {
      files.push_back(work.write("events" + std::to_string(i) + ".csv", text()));
    }
    return files;
  }
  ReadOptions reading() {
    ReadOptions reading;
    if (random_() % 2 == 0) reading.user_ids = IdKind::int64;
    if (random_() % 2 == 0) reading.item_ids = IdKind::int64;
    if ((has_ & 1) != 0 && random_() % 2 == 0) reading.min_rating = 2.0f;
    return reading;
  }

 private:
  std::string number(std::size_t below) { return std::to_string(random_() % below); }
  std::string text() {
    const std::size_t unit = random_() % 3;
    const bool timed = (has_ & 2) != 0;
    std::string text = "user,item";
    if ((has_ & 1) != 0) text += ",rating";
    if ((has_ & 4) != 0) text += ",event";
    if (timed) text += positions_ ? ",position" : unit == 0 ? ",timestamp_ms" : ",timestamp";
    text += '\n';
    for (std::size_t line = 0, lines = 1 + random_() % 400; line < lines; ++line) {
      text += number(30) + ',' + number(20);
      if ((has_ & 1) != 0) text += ',' + number(line == 0 ? 1 : 6) + (line == 0 ? "9" : "");
      if ((has_ & 4) != 0) text += ",kind" + number(3);
      if (timed) text += unit == 2 && !positions_ ? ",2024-05-0" + std::to_string(1 + random_() % 9) : ',' + number(40);
      text += '\n';
    }
    return text;
  }

  std::mt19937_64 random_;
  std::size_t has_;
  bool positions_;
};

}  // namespace

TEST_CASE("Prepared histories are those of the way through memory, whatever the memory, shards and threads",
          "[data][prepared]") {
  for (std::uint64_t seed = 0; seed < 60; ++seed) {
    CAPTURE(seed);
    const Workplace work;
    RandomFiles random(seed);
    const Texts files = random.write(work);
    PrepareOptions options;
    options.reading = random.reading();
    options.drop_duplicates = seed % 5 != 0;
    options.memory = seed % 3 == 0 ? 1 : seed % 3 == 1 ? 20'000 : options.memory;
    options.shards = 1 + seed % 4;
    ThreadPool two(2);
    const PrepareReport report = prepare_histories(files, work.folder(), options, seed % 2 == 0 ? &two : nullptr);
    const Histories expected = grouped_in_memory(files, options.reading, options.drop_duplicates);
    const PreparedHistories prepared = PreparedHistories::open(work.folder());
    REQUIRE(prepared.histories.items.is_mapped());
    require_same(prepared.histories, expected);
    REQUIRE(prepared.min_rating == options.reading.min_rating);
    REQUIRE(report.interactions == expected.num_events());
    REQUIRE(report.users == expected.num_users());
    REQUIRE(report.items == expected.num_items());
    std::size_t read = 0;
    for (const LoadReport& file : report.files) read += file.interactions;
    REQUIRE(read == report.interactions + report.duplicates);
    REQUIRE((options.memory > 1 || read <= 64 || report.runs > 1));
  }
}

TEST_CASE("The shards of a folder are its users, each once and in order", "[data][prepared]") {
  const Workplace work;
  const Texts files = RandomFiles(7).write(work);
  PrepareOptions options;
  options.shards = 3;
  prepare_histories(files, work.folder(), options);
  const PreparedHistories whole = PreparedHistories::open(work.folder());
  REQUIRE(whole.shards.size() == 3);
  std::size_t user = 0, events = 0;
  for (std::size_t shard = 0; shard < 3; ++shard) {
    const Histories part = PreparedHistories::open(work.folder(), shard).histories;
    REQUIRE(part.num_users() == whole.shards[shard].users);
    REQUIRE(part.num_events() == whole.shards[shard].events);
    REQUIRE(part.num_events() > whole.histories.num_events() / 5);
    REQUIRE(part.num_items() == whole.histories.num_items());
    events += part.num_events();
    for (std::size_t own = 0; own < part.num_users(); ++own, ++user) {
      REQUIRE(part.user_ids->id(static_cast<UserHandle>(own)) ==
              whole.histories.user_ids->id(static_cast<UserHandle>(user)));
      REQUIRE(std::ranges::equal(part.of(own).items, whole.histories.of(user).items));
      REQUIRE(std::ranges::equal(part.of(own).times, whole.histories.of(user).times));
    }
  }
  REQUIRE(user == whole.histories.num_users());
  REQUIRE(events == whole.histories.num_events());
  CHECK(failure_of_opening(work, 3).says("expected a shard below 3, found 3"));
}

TEST_CASE("Every user may have a shard, but no shard is without a user", "[data][prepared]") {
  const Workplace work;
  const Texts files{work.write("events.csv", "user,item\nu,a\nu,b\nu,c\nu,d\nv,a\nw,a\n")};
  PrepareOptions options;
  options.shards = 3;
  prepare_histories(files, work.folder(), options);
  for (std::size_t shard = 0; shard < 3; ++shard) {
    CHECK(PreparedHistories::open(work.folder(), shard).histories.num_users() == 1);
  }
  options.shards = 4;
  const Failure failure = failure_of([&] { prepare_histories(files, work.folder(), options); });
  CHECK(failure.code == ErrorCode::invalid_argument);
  CHECK(failure.says("expected at most one for each of the 3 users, found 4"));
}

TEST_CASE("Files of different forms, compressions and units are one stream of events", "[data][prepared]") {
  const Workplace work;
  const Texts files{
      work.write("1.csv.gz", gzip("user,item,timestamp\nu,a,1700000002\nv,a,1700000000\n")),
      work.write("2.jsonl.xz", xz("{\"user\":\"u\",\"item\":\"b\",\"timestamp\":1700000001000}\n")),
      work.write("3.tsv", "item\ttimestamp\tuser\nc\t2023-11-14T22:13:20Z\tu\n"),
      work.write("4.csv", "user,item\n"),
  };
  const PrepareReport report = prepare_histories(files, work.folder());
  const Histories histories = PreparedHistories::open(work.folder()).histories;
  CHECK(texts_of(*histories.item_ids) == Texts{"a", "b", "c"});
  CHECK(histories.items == Column<ItemHandle>{2, 1, 0, 0});
  CHECK(histories.times ==
        Column<Timestamp>{1'700'000'000'000, 1'700'000'001'000, 1'700'000'002'000, 1'700'000'000'000});
  REQUIRE(report.files.size() == 4);
  CHECK(report.files[0].compression == "gzip");
  CHECK(report.files[1].time_unit == "milliseconds");
  CHECK(report.files[3].interactions == 0);
  CHECK(report.first_time == 1'700'000'000'000);
  CHECK(report.last_time == 1'700'000'002'000);
}

TEST_CASE("An event id counts once for a user in all files", "[data][prepared]") {
  const Workplace work;
  const Texts files{work.write("1.csv", "user,item,event_id\nu,a,e1\nv,a,e1\n"),
                    work.write("2.csv", "user,item,event_id\nu,b,e1\nu,c,e2\nu,c,\n")};
  const PrepareReport report = prepare_histories(files, work.folder());
  const Histories histories = PreparedHistories::open(work.folder()).histories;
  CHECK(texts_of(*histories.item_ids) == Texts{"a", "c"});
  CHECK(histories.items == Column<ItemHandle>{0, 1, 1, 0});
  REQUIRE(report.files[1].dropped.size() == 1);
  CHECK(report.files[1].dropped[0].reason == "repeated event_id");
}

TEST_CASE("Preparing that fails leaves what was there and nothing beside it", "[data][prepared]") {
  const Workplace work;
  const std::string good = work.write("good.csv", kEvents);
  const std::string bad = work.write("bad.csv", "user,item\nu,a\nu\n");
  const std::string empty = work.write("empty.csv", "user,item\n");
  prepare_histories(std::vector{good}, work.folder());
  const Texts before = work.names();
  const auto failing = [&](const Texts& files) { return failure_of([&] { prepare_histories(files, work.folder()); }); };
  CHECK(failing({good, bad}).says("bad.csv:3: "));
  CHECK(failing({good, work.path("none.csv")}).code == ErrorCode::io_error);
  CHECK(failing({empty, empty}).says("empty.csv and 1 more: expected interactions, found none in 0 records"));
  CHECK(failing({}).says("expected at least 1, found 0"));
  CHECK(work.names() == before);
  CHECK(PreparedHistories::open(work.folder()).histories.num_events() == 6);
  std::filesystem::create_directory(work.path("other"));
  work.write("other/file", "");
  const Failure other = failure_of([&] { prepare_histories(std::vector{good}, work.path("other")); });
  CHECK(other.code == ErrorCode::invalid_argument);
  CHECK(other.says("holds no prepared.json"));
}

TEST_CASE("Prepared histories stay usable while their folder is replaced", "[data][prepared]") {
  const Workplace work;
  const std::string file = work.write("events.csv", kEvents);
  prepare_histories(std::vector{file}, work.folder());
  const Histories old = PreparedHistories::open(work.folder()).histories;
  prepare_histories(std::vector{work.write("events.csv", "user,item\nx,y\n")}, work.folder());
  require_same(old, grouped_in_memory({work.write("events.csv", kEvents)}, {}, true));
  CHECK(PreparedHistories::open(work.folder()).histories.times.empty());
}

TEST_CASE("A folder that is damaged anywhere is refused by the name of the file", "[data][prepared]") {
  const Workplace work;
  PrepareOptions options;
  options.shards = 2;
  prepare_histories(std::vector{work.write("events.csv", kEvents)}, work.folder(), options);
  for (const std::string file :
       {"users.ids", "items.ids", "groups.bin", "items.bin", "times.bin", "kinds.bin", "values.bin"}) {
    CAPTURE(file);
    const std::string whole = read_text(work.part(file));
    for (std::size_t at = 0; at < whole.size(); ++at) {
      std::string changed = whole;
      changed[at] = static_cast<char>(changed[at] ^ 1);
      write_text(work.part(file), changed);
      const Failure failure = failure_of_opening(work);
      REQUIRE(failure.code == ErrorCode::corrupt_file);
      REQUIRE(failure.says(file));
    }
    write_text(work.part(file), whole.substr(1));
    REQUIRE(failure_of_opening(work).code == ErrorCode::corrupt_file);
    std::filesystem::remove(work.part(file));
    REQUIRE(failure_of_opening(work).code == ErrorCode::io_error);
    REQUIRE(failure_of_opening(work).says(file));
    write_text(work.part(file), whole);
  }
  CHECK(PreparedHistories::open(work.folder()).histories.num_events() == 6);
}

TEST_CASE("A shard is refused where it is damaged itself, and not where another is", "[data][prepared]") {
  const Workplace work;
  PrepareOptions options;
  options.shards = 2;
  prepare_histories(std::vector{work.write("events.csv", kEvents)}, work.folder(), options);
  std::string values = read_text(work.part("values.bin"));
  values.back() = static_cast<char>(values.back() ^ 1);
  write_text(work.part("values.bin"), values);
  CHECK(PreparedHistories::open(work.folder(), 0).histories.num_users() == 1);
  const Failure failure = failure_of_opening(work, 1);
  CHECK(failure.code == ErrorCode::corrupt_file);
  CHECK(failure.says("values.bin: shard 1: expected checksum"));
}

TEST_CASE("A manifest that does not fit is refused by the name of the field", "[data][prepared]") {
  const Workplace work;
  prepare_histories(std::vector{work.write("events.csv", kEvents)}, work.folder());
  const std::string whole = read_text(work.part("prepared.json"));
  const auto with = [&](const std::string& from, const std::string& to) {
    std::string text = whole;
    const std::size_t at = text.find(from);
    REQUIRE(at != std::string::npos);
    write_text(work.part("prepared.json"), text.replace(at, from.size(), to));
    return failure_of_opening(work);
  };
  CHECK(with("\"version\":1", "\"version\":2").code == ErrorCode::unsupported_version);
  CHECK(with("\"version\":1", "\"version\":2").says("format version 2, this attune reads up to 1"));
  CHECK(with("\"version\":1", "\"version\":0").code == ErrorCode::corrupt_file);
  CHECK(with("\"users\":3", "\"users\":4").code == ErrorCode::corrupt_file);
  CHECK(with("\"users\":3", "\"users\":18446744073709551615").code == ErrorCode::corrupt_file);
  CHECK(with("\"interactions\":6", "\"interactions\":7").code == ErrorCode::corrupt_file);
  CHECK(with("\"items\":3", "\"items\":\"3\"").says("field items: expected a count"));
  CHECK(with("\"times\":true", "\"times\":1").says("field times: expected true or false"));
  CHECK(with("\"min_rating\":null,", "").says("field min_rating is missing"));
  CHECK(with("\"shards\":[", "\"shards\":[{\"users\":4,\"events\":1},").says("more users than there are"));
  CHECK(with("\"shards\":[", "\"shards\":[],\"other\":[").says("the shards do not have all users"));
  CHECK(with("{", "").code == ErrorCode::corrupt_file);
  std::filesystem::remove(work.part("prepared.json"));
  CHECK(failure_of_opening(work).says("expected a folder that prepare wrote, found one without prepared.json"));
}
