// SPDX-License-Identifier: Apache-2.0
#include "training/sequences.hpp"

#include <algorithm>
#include <numeric>
#include <utility>
#include <vector>

#include "attune/detail/dropout.hpp"
#include "catch.hpp"

namespace attune {

using detail::TrainingSequence;

TEST_CASE("A sequence is the newest window of a user and one target more", "[training][sequences]") {
  Histories histories;
  histories.items.assign(3 + 1 + 0 + 9, 0);
  histories.offsets = {0, 3, 4, 4, 13};
  const auto sequences = detail::training_sequences(histories, 4);
  REQUIRE(sequences.size() == 2);
  CHECK(sequences[0].user == 0);
  CHECK(sequences[0].begin == 0);
  CHECK(sequences[0].length == 3);
  CHECK(sequences[1].user == 3);
  CHECK(sequences[1].begin == 4);
  CHECK(sequences[1].length == 5);
}

TEST_CASE("Windows make every event of a long history a target once, cut anew in every epoch",
          "[training][sequences]") {
  Histories histories;
  histories.items.assign(100 + 9 + 1 + 2, 0);
  histories.offsets = {0, 100, 109, 110, 112};
  const std::size_t window = 20, overlap = GENERATE(0u, 6u);
  std::vector<std::vector<std::size_t>> cuts;
  for (const std::size_t epoch : {1u, 1u, 2u, 3u}) {
    std::vector<std::size_t> targets(112, 0), begins;
    for (const TrainingSequence& sequence : detail::training_windows(histories, window, overlap, 5, epoch)) {
      CHECK(sequence.length <= window + 1);
      CHECK(sequence.context <= overlap);
      const std::size_t first = histories.offsets[sequence.user] + sequence.begin;
      for (std::size_t i = 1 + sequence.context; i < sequence.length; ++i) ++targets[first + i];
      begins.push_back(first);
      // Context is missing only where the history begins or the window is full.
      const bool full = sequence.length == window + 1 || sequence.begin == 0;
      CHECK((sequence.context == overlap || full || sequence.begin + sequence.length == 100));
    }
    // A rest of fewer than eight targets at the beginning of a long history may be left out.
    for (std::size_t i = 8; i < 100; ++i) CHECK(targets[i] == 1);
    for (std::size_t i = 1; i < 8; ++i) CHECK(targets[i] <= 1);
    for (std::size_t i = 101; i < 109; ++i) CHECK(targets[i] == 1);
    CHECK((targets[0] == 0 && targets[100] == 0 && targets[109] == 0 && targets[110] == 0 && targets[111] == 1));
    cuts.push_back(begins);
  }
  CHECK(cuts[0] == cuts[1]);
  CHECK((cuts[1] != cuts[2] || cuts[2] != cuts[3]));
}

TEST_CASE("Short windows leave out no more than a rest", "[training][sequences]") {
  Histories histories;
  histories.items.assign(100, 0);
  histories.offsets = {0, 100};
  for (std::size_t window = 1; window <= 20; ++window) {
    for (std::size_t overlap = 0; overlap < window; ++overlap) {
      INFO("window " << window << ", overlap " << overlap);
      std::vector<std::size_t> ever(100, 0);
      for (std::size_t epoch = 1; epoch <= 40; ++epoch) {
        std::vector<std::size_t> targets(100, 0);
        for (const TrainingSequence& sequence : detail::training_windows(histories, window, overlap, 5, epoch)) {
          for (std::size_t i = 1 + sequence.context; i < sequence.length; ++i) ++targets[sequence.begin + i];
        }
        for (std::size_t i = 8; i < 100; ++i) REQUIRE(targets[i] == 1);
        for (std::size_t i = 1; i < 100; ++i) ever[i] += targets[i];
      }
      if (window > 1 && window - overlap > 1) {  // otherwise every epoch cuts alike
        REQUIRE(std::all_of(ever.begin() + 1, ever.end(), [](std::size_t times) { return times > 0; }));
      }
    }
  }
}

TEST_CASE("Covering windows make every event but the first a target once, behind half a window where there is one",
          "[training][sequences]") {
  Histories histories;
  histories.items.assign(100 + 9 + 1 + 0 + 2, 0);
  histories.offsets = {0, 100, 109, 110, 110, 112};
  const std::size_t window = GENERATE(1u, 2u, 7u, 20u, 99u, 500u);
  std::vector<std::size_t> targets(112, 0);
  for (const TrainingSequence& sequence : detail::covering_windows(histories, window)) {
    CHECK(sequence.length >= 2);
    CHECK(sequence.length <= window + 1);
    const std::size_t first = histories.offsets[sequence.user] + sequence.begin;
    CHECK(first + sequence.length <= histories.offsets[sequence.user + 1]);
    CHECK((sequence.begin == 0 || sequence.context + 1 >= window / 2));
    for (std::size_t i = 1 + sequence.context; i < sequence.length; ++i) ++targets[first + i];
  }
  for (std::size_t i = 0; i < 112; ++i) CHECK(targets[i] == (i == 0 || i == 100 || i == 109 || i == 110 ? 0 : 1));
}

TEST_CASE("An epoch visits every sequence once, in an order of its own", "[training][sequences]") {
  std::vector<std::size_t> first(50), again(50), second(50);
  detail::shuffle(first, 7, 1);
  detail::shuffle(again, 7, 1);
  detail::shuffle(second, 7, 2);
  CHECK(first == again);
  CHECK(first != second);
  CHECK(!std::is_sorted(first.begin(), first.end()));
  std::sort(first.begin(), first.end());
  for (std::size_t i = 0; i < 50; ++i) CHECK(first[i] == i);
}

TEST_CASE("The order of an epoch is drawn from a stream of its own", "[training][sequences]") {
  std::vector<std::size_t> order(50), expected(50);
  detail::shuffle(order, 7, 3);
  std::iota(expected.begin(), expected.end(), std::size_t{0});
  const std::uint64_t stream = detail::stream_of(7, detail::Purpose::shuffle, 3);
  for (std::size_t i = 50; i > 1; --i) std::swap(expected[i - 1], expected[detail::mix(stream, i) % i]);
  CHECK(order == expected);
}

TEST_CASE("Hands get all sequences and about the same number of events", "[training][sequences]") {
  std::vector<TrainingSequence> batch;
  std::size_t events = 0;
  for (UserHandle user = 0; user < 40; ++user) {
    batch.push_back({user, 0, 2 + (user * 37) % 60});
    events += batch.back().length;
  }
  std::vector<detail::Hand> hands(4);
  detail::deal(hands, batch);
  std::vector<UserHandle> dealt;
  for (const auto& hand : hands) {
    std::size_t held = 0;
    for (const TrainingSequence& sequence : hand.sequences) {
      held += sequence.length;
      dealt.push_back(sequence.user);
    }
    CHECK(hand.events == held);
    CHECK(held > events / 4 - 10);
    CHECK(held < events / 4 + 10);
  }
  std::sort(dealt.begin(), dealt.end());
  REQUIRE(dealt.size() == batch.size());
  for (UserHandle user = 0; user < dealt.size(); ++user) CHECK(dealt[user] == user);
}

}  // namespace attune
