// SPDX-License-Identifier: Apache-2.0
#include "attune/data/sequence_batch.hpp"

#include "catch.hpp"

using namespace attune;

namespace {

template <class T>
std::vector<T> copy(std::span<const T> values) {
  return {values.begin(), values.end()};
}

}  // namespace

TEST_CASE("Training sequences are shifted by one event", "[data][sequence_batch]") {
  const std::vector<ItemHandle> items{5, 6, 7}, others{8, 9};
  const std::vector<Timestamp> times{10, 20, 30}, other_times{40, 50};
  const std::vector<float> weights{1, 2, 3}, other_weights{4, 5};
  SequenceBatch batch;
  batch.add_training_sequence({items, times, {}, weights}, 77);
  batch.add_training_sequence({others, other_times, {}, other_weights}, 78);
  REQUIRE(batch.num_sequences() == 2);
  REQUIRE(batch.num_tokens() == 3);
  REQUIRE(batch.begin(1) == 2);
  REQUIRE(batch.length(0) == 2);
  REQUIRE(batch.length(1) == 1);
  REQUIRE(copy(batch.items()) == std::vector<ItemHandle>{5, 6, 8});
  REQUIRE(copy(batch.targets()) == std::vector<ItemHandle>{6, 7, 9});
  REQUIRE(copy(batch.times()) == std::vector<Timestamp>{10, 20, 40});
  REQUIRE(copy(batch.next_times()) == std::vector<Timestamp>{20, 30, 50});
  REQUIRE(copy(batch.weights()) == std::vector<float>{2, 3, 5});
  REQUIRE(copy(batch.keys()) == std::vector<std::uint64_t>{77, 78});
}

TEST_CASE("Events of context are inputs, but no targets", "[data][sequence_batch]") {
  const std::vector<ItemHandle> items{5, 6, 7, 8};
  SequenceBatch batch;
  batch.add_training_sequence({items}, 1, 2);
  REQUIRE(copy(batch.items()) == std::vector<ItemHandle>{5, 6, 7});
  REQUIRE(copy(batch.targets()) == std::vector<ItemHandle>{kNoHandle, kNoHandle, 8});
}

TEST_CASE("Hidden events are the targets of their own places", "[data][sequence_batch]") {
  const std::vector<ItemHandle> items{5, 6, 7, 8};
  const std::vector<float> weights{1, 2, 3, 4};
  const std::vector<std::uint8_t> hidden{0, 1, 0, 1};
  SequenceBatch batch;
  batch.add_sequence({items, {}, {}, weights});
  batch.add_masked_sequence({items, {}, {}, weights}, hidden, 9);
  REQUIRE(copy(batch.items().subspan(4)) == std::vector<ItemHandle>{5, kNoHandle, 7, kNoHandle});
  REQUIRE(copy(batch.targets().subspan(4)) == std::vector<ItemHandle>{kNoHandle, 6, kNoHandle, 8});
  REQUIRE(copy(batch.weights().subspan(4)) == std::vector<float>{0, 2, 0, 4});
  REQUIRE(batch.keys()[1] == 9);
}

TEST_CASE("Sequences without targets keep all events and know the next times", "[data][sequence_batch]") {
  const std::vector<ItemHandle> items{5, 6};
  const std::vector<Timestamp> times{10, 20};
  SequenceBatch batch;
  batch.add_sequence({items, times}, 3);
  REQUIRE(copy(batch.items()) == items);
  REQUIRE(copy(batch.targets()) == std::vector<ItemHandle>{kNoHandle, kNoHandle});
  REQUIRE(copy(batch.next_times()) == std::vector<Timestamp>{20, kNoTime});
  REQUIRE(copy(batch.weights()) == std::vector<float>{0, 0});
}

TEST_CASE("A sequence may know when the next event happens", "[data][sequence_batch]") {
  const std::vector<ItemHandle> items{5, 6};
  const std::vector<Timestamp> times{10, 20};
  SequenceBatch batch;
  batch.add_sequence({items, times}, 3, 35);
  REQUIRE(copy(batch.next_times()) == std::vector<Timestamp>{20, 35});
}

TEST_CASE("Without weights each target counts once, without times there are none", "[data][sequence_batch]") {
  const std::vector<ItemHandle> items{5, 6, 7};
  SequenceBatch batch;
  batch.add_training_sequence({items}, 1);
  REQUIRE(copy(batch.weights()) == std::vector<float>{1, 1});
  REQUIRE(batch.times().empty());
  REQUIRE(batch.next_times().empty());
}

TEST_CASE("A cleared batch is like new", "[data][sequence_batch]") {
  const std::vector<ItemHandle> items{5, 6, 7};
  const std::vector<Timestamp> times{10, 20, 30};
  SequenceBatch batch;
  batch.add_training_sequence({items, times}, 1);
  batch.clear();
  REQUIRE(batch.num_sequences() == 0);
  REQUIRE(batch.num_tokens() == 0);
  batch.add_training_sequence({items}, 2);
  REQUIRE(batch.begin(0) == 0);
  REQUIRE(batch.length(0) == 2);
  REQUIRE(batch.times().empty());
  REQUIRE(copy(batch.keys()) == std::vector<std::uint64_t>{2});
}
