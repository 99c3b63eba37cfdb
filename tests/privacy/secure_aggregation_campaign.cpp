// SPDX-License-Identifier: Apache-2.0

// Rounds of secure aggregation in which clients drop out: every pattern of up to MOST clients, every number of clients
// from 3 to 100 with nobody and with as many as may, and random patterns of 7 to 40 clients. Each ends with the exact
// sum of those that sent an input or, below the threshold, with none.
//   secure_aggregation_campaign [RANDOM [MOST [LARGEST]]]

#include <algorithm>
#include <charconv>
#include <cstring>
#include <iostream>
#include <numeric>

#include "privacy/simulated_round.hpp"

namespace {

using namespace attune;
using namespace attune::test;

std::size_t argument(int count, char** arguments, int place, std::size_t otherwise) {
  if (place >= count) return otherwise;
  std::size_t number = otherwise;
  std::from_chars(arguments[place], arguments[place] + std::strlen(arguments[place]), number);
  return number;
}

struct Tally {
  std::size_t rounds = 0, sums = 0;

  void run(const AggregationRound& setting, const std::vector<int>& sends) {
    SimulatedRound round(setting);
    const std::string problem = round.outcome(sends);
    if (!problem.empty()) {
      std::string pattern;
      for (const int count : sends) pattern += std::to_string(count);
      throw std::runtime_error(pattern + ": " + problem);
    }
    ++rounds;
    sums += round.server.stage() == AggregationStage::done;
  }
  void print(const char* what) const {
    std::cout << what << ": " << rounds << " rounds, " << sums << " with a sum, all exact; the others refused one\n";
  }
};

void every_pattern(std::size_t most) {
  Tally tally;
  std::uint64_t patterns = 36;
  for (std::size_t n = 3; n <= most; ++n) {
    patterns *= 6;
    for (std::uint64_t number = 0; number < patterns; ++number) {
      tally.run(round_of(n, 2, 32, n / 2 + 1), dropouts(n, number));
    }
  }
  tally.print("every pattern");
}

void every_number(std::size_t largest) {
  Tally tally;
  std::mt19937 random(3);
  for (std::size_t n = 3; n <= largest; ++n) {
    const AggregationRound setting = round_of(n, 5, n % 2 == 0 ? 32 : 64);
    tally.run(setting, std::vector<int>(n, 5));
    std::vector<std::size_t> order(n);
    std::iota(order.begin(), order.end(), 0u);
    std::shuffle(order.begin(), order.end(), random);
    std::vector<int> sends(n, 5);
    for (std::size_t i = 0; i + setting.least_clients() < n; ++i) sends[order[i]] = static_cast<int>(i % 5);
    tally.run(setting, sends);
  }
  tally.print("every number of clients");
}

void random_patterns(std::size_t rounds) {
  Tally tally;
  std::mt19937 random(1);
  for (std::size_t i = 0; i < rounds; ++i) {
    const std::size_t n = std::uniform_int_distribution<std::size_t>(7, i % 10 == 0 ? 40 : 12)(random);
    tally.run(round_of(n, 4, i % 2 == 0 ? 32 : 64), random_dropouts(n, i % 4 == 0 ? 0.6 : 0.9, random));
  }
  tally.print("random patterns");
}

}  // namespace

int main(int count, char** arguments) {
  try {
    random_patterns(argument(count, arguments, 1, 50));
    every_pattern(argument(count, arguments, 2, 3));
    every_number(argument(count, arguments, 3, 12));
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
}
