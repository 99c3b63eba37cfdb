// SPDX-License-Identifier: Apache-2.0
// The binary files of a model directory, read without the checksum that usually stands before them.
#include "model/histories_file.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "attune/error.hpp"
#include "catch.hpp"
#include "format/allocation_meter.hpp"

using namespace attune;
using attune::test::AllocationMeter;

namespace {

using Bytes = std::vector<std::byte>;

std::shared_ptr<const IdMap> ids_of(const std::vector<std::string>& texts) {
  auto ids = std::make_shared<IdMap>();
  for (const std::string& text : texts) ids->insert(text);
  return ids;
}

const auto kItems = ids_of({"a", "b", "c"});

Histories small_histories() {
  Histories histories;
  histories.item_ids = kItems;
  histories.user_ids = ids_of({"first", "second"});
  histories.event_kinds = {"", "view"};
  histories.offsets = {0, 2, 3};
  histories.items = {0, 2, 1};
  histories.times = {5, 6, kNoTime};
  histories.kinds = {0, 1, 0};
  histories.values = {1.0f, 2.0f, -0.5f};
  return histories;
}

// Whether the bytes are read; then what was read keeps every promise of Histories.
bool reads(const Bytes& bytes) {
  try {
    const Histories read = detail::parse_histories(bytes, kItems, "histories.bin");
    std::size_t events = 0;
    for (std::size_t user = 0; user < read.num_users(); ++user) {
      const HistoryView history = read.of(user);
      events += history.size();
      for (const ItemHandle item : history.items) {
        if (item >= 3) throw std::logic_error("an item beyond the catalogue");
      }
      for (const std::uint8_t kind : history.kinds) {
        if (kind >= read.event_kinds.size()) throw std::logic_error("a kind without a name");
      }
      for (const float value : history.weights) {
        if (!std::isfinite(value)) throw std::logic_error("a value that is not finite");
      }
    }
    if (events != read.num_events()) throw std::logic_error("events of nobody");
    return true;
  } catch (const Error& error) {
    if (std::string(error.what()).find("histories.bin") != 0) throw std::logic_error("a message that names no file");
    return false;
  }
}

// Overwrites bytes with a number.
template <class Number>
Bytes with(Bytes bytes, std::size_t at, Number number) {
  std::memcpy(&bytes[at], &number, sizeof(number));
  return bytes;
}

// Where the header has them.
constexpr std::size_t kVersion = 8, kFlags = 12, kKinds = 16, kUsers = 20, kEvents = 28, kIdBytes = 36;

}  // namespace

TEST_CASE("No truncation of a histories file is read, nor one with a byte too many", "[format][histories_file]") {
  const Bytes whole = detail::histories_bytes(small_histories());
  REQUIRE(reads(whole));
  for (std::size_t size = 0; size < whole.size(); ++size) {
    INFO(size);
    if (reads({whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size)})) FAIL("read");
  }
  Bytes longer = whole;
  longer.push_back(std::byte{0});
  CHECK_FALSE(reads(longer));
}

TEST_CASE("Every flipped bit of a histories file gives an error or sound histories", "[format][histories_file]") {
  Bytes bytes = detail::histories_bytes(small_histories());
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    for (int bit = 0; bit < 8; ++bit) {
      bytes[i] ^= static_cast<std::byte>(1 << bit);
      reads(bytes);
      bytes[i] ^= static_cast<std::byte>(1 << bit);
    }
  }
  CHECK(reads(bytes));
}

TEST_CASE("Counts that no file could hold take no memory", "[format][histories_file]") {
  const Bytes whole = detail::histories_bytes(small_histories());
  for (const std::uint64_t huge : {std::uint64_t{1} << 31, std::uint64_t{1} << 61, ~std::uint64_t{0}}) {
    for (const std::size_t at : {kUsers, kEvents, kIdBytes}) {
      const Bytes bytes = with(whole, at, huge);
      bool read = true;
      std::size_t largest = 0;
      {
        const AllocationMeter meter;
        read = reads(bytes);
        largest = meter.largest();
      }
      CHECK_FALSE(read);
      CHECK(largest < 2000);
    }
  }
  CHECK_FALSE(reads(with(whole, kKinds, std::uint32_t{0})));
  CHECK_FALSE(reads(with(whole, kKinds, std::uint32_t{257})));
  CHECK_FALSE(reads(with(whole, kFlags, std::uint32_t{8})));
}

TEST_CASE("A histories file of a newer version says so", "[format][histories_file]") {
  const Bytes newer = with(detail::histories_bytes(small_histories()), kVersion, std::uint32_t{3});
  try {
    detail::parse_histories(newer, kItems, "histories.bin");
    FAIL("accepted");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::unsupported_version);
    CHECK(error.what() == std::string("histories.bin: format version 3, this attune reads up to 1"));
  }
}

TEST_CASE("Histories that contradict themselves are refused", "[format][histories_file]") {
  const std::vector<std::pair<std::string, void (*)(Histories&)>> damages{
      {"offsets that fall",
       [](Histories& h) {
         h.offsets = {0, 5, 3};
       }},
      {"offsets not from zero",
       [](Histories& h) {
         h.offsets = {1, 2, 3};
       }},
      {"offsets short of the events",
       [](Histories& h) {
         h.offsets = {0, 2, 2};
       }},
      {"an item beyond the catalogue", [](Histories& h) { h.items[1] = 3; }},
      {"a kind without a name", [](Histories& h) { h.kinds[2] = 2; }},
      {"a first kind that is not the plain one",
       [](Histories& h) {
         h.event_kinds = {"view", ""};
       }},
      {"a value that is NaN", [](Histories& h) { h.values[0] = std::nanf(""); }},
      {"an id too few", [](Histories& h) { h.user_ids = ids_of({"first"}); }},
  };
  for (const auto& [name, damage] : damages) {
    INFO(name);
    Histories histories = small_histories();
    damage(histories);
    CHECK_FALSE(reads(detail::histories_bytes(histories)));
  }
}

TEST_CASE("An item id file is read back, and no truncation of it", "[format][histories_file]") {
  const Bytes whole = detail::item_ids_bytes(*kItems);
  const IdMap read = detail::parse_item_ids(whole, "items.ids");
  REQUIRE(read.size() == 3);
  CHECK(read.find("c") == 2);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    CHECK_THROWS_AS(detail::parse_item_ids(std::span(whole).first(size), "items.ids"), Error);
  }
}
