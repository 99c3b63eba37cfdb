// SPDX-License-Identifier: Apache-2.0
#include "attune/data/sequence_batch.hpp"

#include <vector>

#include "catch.hpp"

using attune::HistoryView;
using attune::kNoHandle;
using attune::SequenceBatch;

namespace {

template <class T>
std::vector<T> copy(std::span<const T> values) {
  return {values.begin(), values.end()};
}

const std::vector<attune::ItemHandle> kItems{10, 11, 12};
const std::vector<attune::Timestamp> kTimes{1, 2, 3};
const std::vector<float> kWeights{1, 2, 3};

}  // namespace

TEST_CASE("a training sequence predicts each next event", "[data][sequence_batch]") {
  SequenceBatch batch;
  batch.add_training_sequence({.items = kItems, .times = kTimes, .weights = kWeights}, 7);
  CHECK(batch.num_sequences() == 1);
  CHECK(copy(batch.items()) == std::vector<attune::ItemHandle>{10, 11});
  CHECK(copy(batch.targets()) == std::vector<attune::ItemHandle>{11, 12});
  CHECK(copy(batch.times()) == std::vector<attune::Timestamp>{1, 2});
  CHECK(copy(batch.next_times()) == std::vector<attune::Timestamp>{2, 3});
  CHECK(copy(batch.weights()) == std::vector<float>{2, 3});
  CHECK(batch.keys()[0] == 7);
}

TEST_CASE("sequences are packed back to back without padding", "[data][sequence_batch]") {
  SequenceBatch batch;
  batch.add_training_sequence({.items = kItems}, 1);
  batch.add_sequence({.items = kItems}, 2);
  CHECK(batch.num_tokens() == 5);
  CHECK(batch.begin(1) == 2);
  CHECK(batch.length(0) == 2);
  CHECK(batch.length(1) == 3);
  CHECK(copy(batch.targets()) == std::vector<attune::ItemHandle>{11, 12, kNoHandle, kNoHandle, kNoHandle});
  CHECK(batch.times().empty());
}

TEST_CASE("a cleared batch starts anew", "[data][sequence_batch]") {
  SequenceBatch batch;
  batch.add_sequence({.items = kItems, .times = kTimes});
  batch.clear();
  CHECK(batch.num_sequences() == 0);
  CHECK(batch.num_tokens() == 0);
  batch.add_sequence({.items = kItems});
  CHECK(batch.num_tokens() == 3);
  CHECK(batch.times().empty());
}
