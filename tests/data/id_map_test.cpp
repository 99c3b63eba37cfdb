// SPDX-License-Identifier: Apache-2.0
#include "attune/data/id_map.hpp"

#include <cstdint>
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "attune/error.hpp"
#include "catch.hpp"

using attune::Error;
using attune::ErrorCode;
using attune::Id;
using attune::IdKind;
using attune::IdMap;
using attune::kNoHandle;

namespace {

ErrorCode code_of(auto&& call) {
  try {
    call();
  } catch (const Error& error) {
    return error.code();
  }
  FAIL("expected an Error");
  return {};
}

std::vector<std::byte> bytes_of(const IdMap& map) {
  std::vector<std::byte> bytes;
  map.serialize(bytes);
  return bytes;
}

IdMap texts(const std::vector<std::string>& ids) {
  IdMap map;
  for (const std::string& id : ids) map.insert(id);
  return map;
}

}  // namespace

TEST_CASE("handles are given in order of first sight", "[data][id_map]") {
  IdMap map;
  CHECK(map.insert("b") == 0);
  CHECK(map.insert("a") == 1);
  CHECK(map.insert("b") == 0);
  CHECK(map.size() == 2);
  CHECK(map.find("a") == 1);
  CHECK(map.find("c") == kNoHandle);
  CHECK(map.id(0) == Id("b"));
}

TEST_CASE("an id of the other kind or an empty one is unknown and cannot be inserted", "[data][id_map]") {
  IdMap map;
  map.insert("7");
  CHECK(map.find(7) == kNoHandle);
  CHECK(map.find("") == kNoHandle);
  CHECK(map.find(Id()) == kNoHandle);
  CHECK(code_of([&] { map.insert(7); }) == ErrorCode::invalid_data);
  CHECK(code_of([&] { map.insert(""); }) == ErrorCode::invalid_data);
  CHECK(code_of([&] { map.insert(std::string("a\0b", 3)); }) == ErrorCode::invalid_data);
  IdMap numbers(IdKind::int64);
  CHECK(code_of([&] { numbers.insert("7"); }) == ErrorCode::invalid_data);
}

TEST_CASE("extreme numbers are ids and cost no more than small ones (UR-50)", "[data][id_map]") {
  const std::vector<std::int64_t> ids{-1,
                                      0,
                                      std::int64_t{1} << 31,
                                      9'148'955'329'465'708'066,
                                      std::numeric_limits<std::int64_t>::max(),
                                      std::numeric_limits<std::int64_t>::min()};
  IdMap map(IdKind::int64);
  for (const std::int64_t id : ids) map.insert(id);
  for (std::uint32_t h = 0; h < ids.size(); ++h) {
    CHECK(map.id(h).number() == ids[h]);
    CHECK(map.find(ids[h]) == h);
  }
  CHECK(map.find(std::numeric_limits<std::uint64_t>::max()) == kNoHandle);
  CHECK(map.memory_bytes() < 4096);
}

TEST_CASE("text stays at its address while the map grows and moves", "[data][id_map]") {
  IdMap map;
  map.insert("first");
  const char* const address = map.id(0).text().data();
  for (int i = 0; i < 100'000; ++i) map.insert("id" + std::to_string(i));
  const IdMap moved = std::move(map);
  CHECK(static_cast<const void*>(moved.id(0).text().data()) == static_cast<const void*>(address));
  for (std::uint32_t i = 0; i < 100'000; i += 997) CHECK(moved.find("id" + std::to_string(i)) == i + 1);
}

TEST_CASE("a copy has text of its own", "[data][id_map]") {
  IdMap map = texts({"a", "b"});
  const IdMap copy = map;
  map.insert("c");
  CHECK(copy.size() == 2);
  CHECK(copy.find("c") == kNoHandle);
  CHECK(copy.id(1) == Id("b"));
}

TEST_CASE("the binary form of an id map gives the same map", "[data][id_map]") {
  const IdMap map =
      texts({"u42", "a long id with, a comma and \"quotes\"", "\xc3\xa9t\xc3\xa9", std::string(5000, 'x')});
  const IdMap read = IdMap::deserialize(bytes_of(map), "items.ids");
  REQUIRE(read.size() == map.size());
  for (std::uint32_t h = 0; h < map.size(); ++h) CHECK(read.id(h) == map.id(h));

  IdMap numbers(IdKind::int64);
  for (const std::int64_t id : {5, -3, 0}) numbers.insert(id);
  const IdMap read_numbers = IdMap::deserialize(bytes_of(numbers), "items.ids");
  CHECK(read_numbers.kind() == IdKind::int64);
  CHECK(read_numbers.find(-3) == 1);
  CHECK(IdMap::deserialize(bytes_of(IdMap()), "items.ids").size() == 0);
}

TEST_CASE("every truncation of an id map is refused by name", "[data][id_map]") {
  const std::vector<std::byte> bytes = bytes_of(texts({"one", "two", "three"}));
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    try {
      IdMap::deserialize(std::span(bytes).first(size), "items.ids");
      FAIL("accepted " << size << " bytes");
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::corrupt_file);
      CHECK_THAT(error.what(), Catch::Contains("items.ids"));
    }
  }
  std::vector<std::byte> longer = bytes;
  longer.push_back(std::byte{0});
  CHECK(code_of([&] { IdMap::deserialize(longer, "items.ids"); }) == ErrorCode::corrupt_file);
}

TEST_CASE("a flipped bit gives an error or a map that stays in bounds", "[data][id_map]") {
  const std::vector<std::byte> bytes = bytes_of(texts({"one", "two", "three"}));
  for (std::size_t bit = 0; bit < bytes.size() * 8; ++bit) {
    std::vector<std::byte> damaged = bytes;
    damaged[bit / 8] ^= std::byte{1} << (bit % 8);
    try {
      const IdMap map = IdMap::deserialize(damaged, "items.ids");
      for (std::uint32_t h = 0; h < map.size(); ++h) CHECK(map.find(map.id(h)) == h);
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::corrupt_file);
    }
  }
}
