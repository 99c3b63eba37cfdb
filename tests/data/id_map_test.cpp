// SPDX-License-Identifier: Apache-2.0
#include "attune/data/id_map.hpp"

#include <limits>
#include <random>
#include <utility>

#include "attune/error.hpp"
#include "catch.hpp"
#include "data/reading.hpp"

using namespace attune;
using attune::test::failure_of;

namespace {

constexpr std::int64_t kMin = std::numeric_limits<std::int64_t>::min();
constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();

std::vector<std::byte> bytes_of(const IdMap& map) {
  std::vector<std::byte> bytes;
  map.serialize(bytes);
  return bytes;
}

void require_same(const IdMap& a, const IdMap& b) {
  REQUIRE(a.kind() == b.kind());
  REQUIRE(a.size() == b.size());
  for (std::uint32_t handle = 0; handle < a.size(); ++handle) {
    REQUIRE(a.id(handle) == b.id(handle));
    REQUIRE(b.find(a.id(handle)) == handle);
  }
}

IdMap sample(IdKind kind) {
  IdMap map(kind);
  for (int i = 0; i < 1000; ++i) {
    if (kind == IdKind::int64) {
      map.insert(i * 7919 - 1000);
    } else {
      map.insert(std::string(static_cast<std::size_t>(i % 40), 'x') + std::to_string(i));
    }
  }
  return map;
}

}  // namespace

TEST_CASE("Handles count up in order of first sight and stay", "[data][id_map]") {
  IdMap map;
  REQUIRE(map.insert("b") == 0);
  REQUIRE(map.insert("a") == 1);
  REQUIRE(map.insert("b") == 0);
  REQUIRE(map.size() == 2);
  REQUIRE(map.find("a") == 1);
  REQUIRE(map.find("c") == kNoHandle);
  REQUIRE(map.id(0).text() == "b");
}

TEST_CASE("Text ids of any length and alphabet are kept apart (UR-50)", "[data][id_map]") {
  IdMap map;
  std::vector<std::string> ids{"-1",
                               "2147483648",
                               "9223372036854775807",
                               "9148955329465708066",
                               "3f2504e0-4f89-11d3-9a0c-0305e82c3301",
                               "H\xC3\xA9l\xC3\xA8ne",
                               "\xE6\x97\xA5\xE6\x9C\xAC",
                               "a,b",
                               "say \"hi\"",
                               " lead",
                               "lead",
                               "\xFF\xFE"};
  for (std::size_t size = 1; size <= 40; ++size) {
    ids.push_back(std::string(size, 'z'));
    ids.push_back(std::string(size, 'z') + "y");
    ids.push_back("y" + std::string(size, 'z'));
  }
  for (std::uint32_t i = 0; i < ids.size(); ++i) REQUIRE(map.insert(ids[i]) == i);
  for (std::uint32_t i = 0; i < ids.size(); ++i) {
    REQUIRE(map.find(ids[i]) == i);
    REQUIRE(map.id(i).text() == ids[i]);
  }
}

TEST_CASE("Numbers from the ends of the range take no more memory than small ones (UR-50)", "[data][id_map]") {
  IdMap small(IdKind::int64), extreme(IdKind::int64);
  for (int i = 0; i < 5; ++i) small.insert(i);
  for (const std::int64_t number : {kMin, std::int64_t{-1}, std::int64_t{0}, std::int64_t{1} << 31, kMax}) {
    extreme.insert(number);
  }
  REQUIRE(extreme.memory_bytes() == small.memory_bytes());
  REQUIRE(extreme.find(kMin) == 0);
  REQUIRE(extreme.find(-1) == 1);
  REQUIRE(extreme.find(std::uint64_t{1} << 31) == 3);
  REQUIRE(extreme.find(kMax) == 4);
  REQUIRE(extreme.find(std::numeric_limits<std::uint64_t>::max()) == kNoHandle);
}

TEST_CASE("An id of the other kind is unknown and cannot be inserted", "[data][id_map]") {
  IdMap texts, numbers(IdKind::int64);
  texts.insert("5");
  numbers.insert(5);
  REQUIRE(texts.find(5) == kNoHandle);
  REQUIRE(numbers.find("5") == kNoHandle);
  REQUIRE(texts.find(Id()) == kNoHandle);
  REQUIRE(numbers.find(Id()) == kNoHandle);
  for (const Id id : {Id(5), Id(""), Id(), Id(std::string_view("a\0b", 3))}) {
    REQUIRE_FALSE(texts.accepts(id));
    REQUIRE(failure_of([&] { texts.insert(id); }).code == ErrorCode::invalid_data);
  }
  for (const Id id : {Id("5"), Id(""), Id()}) {
    REQUIRE_FALSE(numbers.accepts(id));
    REQUIRE(failure_of([&] { numbers.insert(id); }).code == ErrorCode::invalid_data);
  }
  REQUIRE(texts.size() == 1);
  REQUIRE(numbers.size() == 1);
}

TEST_CASE("Text stays at its address while the map grows and moves", "[data][id_map]") {
  IdMap map;
  map.insert("first");
  const char* const address = map.id(0).text().data();
  for (int i = 0; i < 100'000; ++i) map.insert("item-" + std::to_string(i));
  IdMap moved = std::move(map);
  IdMap assigned;
  assigned = std::move(moved);
  REQUIRE(assigned.id(0).text().data() == address);
  REQUIRE(assigned.id(0).text() == "first");
  REQUIRE(assigned.size() == 100'001);
}

TEST_CASE("A copy has text of its own", "[data][id_map]") {
  IdMap copy;
  {
    IdMap map = sample(IdKind::string);
    copy = map;
    map.insert("later");
    REQUIRE(copy.find("later") == kNoHandle);
  }
  require_same(sample(IdKind::string), copy);
  copy.insert("one more");
  REQUIRE(copy.find("one more") == 1000);
}

TEST_CASE("A hundred thousand random ids are found again", "[data][id_map]") {
  std::mt19937_64 random(7);
  IdMap texts, numbers(IdKind::int64);
  std::vector<std::int64_t> drawn;
  for (int i = 0; i < 100'000; ++i) {
    const auto number = static_cast<std::int64_t>(random());
    drawn.push_back(number);
    texts.insert(std::to_string(number));
    numbers.insert(number);
  }
  for (std::uint32_t i = 0; i < drawn.size(); ++i) {
    REQUIRE(texts.find(std::to_string(drawn[i])) == i);
    REQUIRE(numbers.find(drawn[i]) == i);
    REQUIRE(numbers.find(drawn[i] ^ 1) != i);
  }
}

TEST_CASE("Id maps survive their binary form", "[data][id_map]") {
  for (const IdKind kind : {IdKind::string, IdKind::int64}) {
    require_same(sample(kind), IdMap::deserialize(bytes_of(sample(kind)), "ids"));
    REQUIRE(IdMap::deserialize(bytes_of(IdMap(kind)), "ids").size() == 0);
  }
}

TEST_CASE("The binary form is kind, count and ids in little-endian order", "[data][id_map]") {
  IdMap texts, numbers(IdKind::int64);
  texts.insert("ab");
  numbers.insert(-2);
  const auto bytes = [](std::initializer_list<int> values) {
    std::vector<std::byte> result;
    for (const int value : values) result.push_back(static_cast<std::byte>(value));
    return result;
  };
  REQUIRE(bytes_of(texts) == bytes({0, 1, 0, 0, 0, 2, 0, 0, 0, 'a', 'b'}));
  REQUIRE(bytes_of(numbers) == bytes({1, 1, 0, 0, 0, 0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF}));
}

TEST_CASE("A binary form that is cut off or too long is refused", "[data][id_map]") {
  for (const IdKind kind : {IdKind::string, IdKind::int64}) {
    IdMap map(kind);
    for (int i = 0; i < 5; ++i) kind == IdKind::int64 ? map.insert(i) : map.insert("id" + std::to_string(i));
    auto bytes = bytes_of(map);
    for (std::size_t size = 0; size < bytes.size(); ++size) {
      const auto failure = failure_of([&] { IdMap::deserialize(std::span(bytes).first(size), "items.bin"); });
      REQUIRE(failure.code == ErrorCode::corrupt_file);
      REQUIRE(failure.says("items.bin: "));
    }
    bytes.push_back(std::byte{0});
    REQUIRE(failure_of([&] { IdMap::deserialize(bytes, "ids"); }).says("1 more bytes"));
  }
}

TEST_CASE("A binary form with a bad kind, count or id is refused", "[data][id_map]") {
  IdMap texts, numbers(IdKind::int64);
  for (const char* text : {"ab", "cd"}) texts.insert(text);
  for (const int number : {1, 2}) numbers.insert(number);
  const auto refused = [](const IdMap& map, std::size_t offset, std::byte value) {
    auto bytes = bytes_of(map);
    bytes[offset] = value;
    return failure_of([&] { IdMap::deserialize(bytes, "ids"); });
  };
  REQUIRE(refused(texts, 0, std::byte{2}).says("expected an id kind of 0 or 1, found 2"));
  REQUIRE(refused(texts, 4, std::byte{255}).says("found only 12 bytes"));
  REQUIRE(refused(numbers, 4, std::byte{127}).says("found only 16 bytes"));
  REQUIRE(refused(numbers, 13, std::byte{1}).says("repeats"));
  REQUIRE(refused(texts, 10, std::byte{0}).says("id 0 is empty or contains NUL"));
  REQUIRE(refused(texts, 5, std::byte{255}).says("more bytes, found"));

  auto repeated = bytes_of(texts);
  repeated[15] = std::byte{'a'};
  repeated[16] = std::byte{'b'};
  REQUIRE(failure_of([&] { IdMap::deserialize(repeated, "ids"); }).says("id 1 repeats an earlier one"));
}

TEST_CASE("A flipped bit in the binary form gives an error or a sound map", "[data][id_map]") {
  for (const IdKind kind : {IdKind::string, IdKind::int64}) {
    IdMap map(kind);
    for (int i = 1; i <= 3; ++i) kind == IdKind::int64 ? map.insert(i) : map.insert("id" + std::to_string(i));
    for (std::size_t bit = 0; bit < 8 * bytes_of(map).size(); ++bit) {
      auto bytes = bytes_of(map);
      bytes[bit / 8] ^= std::byte{1} << (bit % 8);
      IdMap read;
      const auto failure = failure_of([&] { read = IdMap::deserialize(bytes, "ids"); });
      REQUIRE((failure.code == ErrorCode::corrupt_file || read.size() == 3));
      for (std::uint32_t handle = 0; handle < read.size(); ++handle) REQUIRE(read.find(read.id(handle)) == handle);
    }
  }
}

TEST_CASE("A map that is used where its bytes are is the map they were written from", "[data][id_map]") {
  for (const IdKind kind : {IdKind::string, IdKind::int64}) {
    for (const std::size_t count : {0u, 1u, 2u, 12u, 13u, 5000u}) {
      IdMap ids(kind);
      for (std::size_t i = 0; i < count; ++i) {
        kind == IdKind::string ? ids.insert("id " + std::to_string(i * i)) : ids.insert(i * 1'000'003);
      }
      std::vector<std::byte> bytes;
      ids.serialize(bytes);
      const IdMap::Index index = ids.index();
      IdMap view = IdMap::view(bytes, index.seed, index.slots, index.offsets, nullptr, "ids");
      REQUIRE(view.size() == count);
      REQUIRE(view.kind() == kind);
      for (std::uint32_t i = 0; i < count; ++i) {
        REQUIRE(view.id(i) == ids.id(i));
        REQUIRE(view.find(ids.id(i)) == i);
      }
      REQUIRE(view.find("unknown") == kNoHandle);
      REQUIRE(view.find(-1) == kNoHandle);
      const Id newcomer = kind == IdKind::string ? Id("newcomer") : Id(-7);
      const IdMap copy = view;
      REQUIRE(view.insert(newcomer) == count);
      REQUIRE(view.find(newcomer) == count);
      REQUIRE(view.id(static_cast<std::uint32_t>(count)) == newcomer);
      REQUIRE(copy.find(newcomer) == kNoHandle);
      if (count > 0) REQUIRE(view.insert(ids.id(0)) == 0);
      ids.insert(newcomer);
      std::vector<std::byte> of_view, of_ids;
      view.serialize(of_view);
      ids.serialize(of_ids);
      REQUIRE(of_view == of_ids);
    }
  }
}

TEST_CASE("The hash of an index depends on every id", "[data][id_map]") {
  const auto seed_of = [](const std::vector<std::int64_t>& numbers) {
    IdMap ids(IdKind::int64);
    for (const std::int64_t number : numbers) ids.insert(number);
    return ids.index().seed;
  };
  CHECK(seed_of({1, 2, 3}) == seed_of({1, 2, 3}));
  CHECK(seed_of({1, 2, 3}) != seed_of({1, 2, 4}));
  CHECK(seed_of({1, 2, 3}) != seed_of({5, 2, 3}));
}
