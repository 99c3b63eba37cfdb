// SPDX-License-Identifier: Apache-2.0

// A host's own ranking: the model finds a hundred candidates, what the shop knows of them has the last word. Lines
// "item,bonus" from standard input, say of margins or of stock; a bonus of 1 lifts an item above the model's first.
//   ranker MODEL_DIRECTORY USER < BONUSES

#include <attune/model/ranker.hpp>
#include <attune/recommender.hpp>
#include <iostream>
#include <string>
#include <unordered_map>

using Bonuses = std::unordered_map<std::string, float>;

Bonuses read_bonuses(std::istream& in) {
  Bonuses bonuses;
  for (std::string line; std::getline(in, line);) {
    const std::size_t comma = line.find(',');
    if (comma != std::string::npos) bonuses[line.substr(0, comma)] = std::stof(line.substr(comma + 1));
  }
  return bonuses;
}

void print(const char* title, const attune::Answer& answer) {
  std::cout << title << ':';
  for (const auto& next : answer.items) std::cout << ' ' << attune::to_string(next.item);
  std::cout << " (" << answer.reranked << " reordered)\n";
}

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: ranker MODEL_DIRECTORY USER < BONUSES\n";
    return 2;
  }
  try {
    const auto score = [bonuses = read_bonuses(std::cin)](const attune::RankingQuery&,
                                                          std::span<const attune::Candidate> candidates,
                                                          std::span<float> scores) {
      for (std::size_t i = 0; i < candidates.size(); ++i) {
        const auto bonus = bonuses.find(attune::to_string(candidates[i].item));
        scores[i] = 1.0f / static_cast<float>(1 + candidates[i].rank);
        if (bonus != bonuses.end()) scores[i] += bonus->second;
      }
    };
    const auto plain = attune::Recommender::open(argv[1]);
    const auto ranked = attune::Recommender::open(
        argv[1], {.ranker = attune::make_ranker(score), .ranker_candidates = 100, .ranker_deadline = 5'000'000});
    print("as found", plain.recommend({.user = argv[2], .k = 5}));
    print("as ranked", ranked.recommend({.user = argv[2], .k = 5}));
  } catch (const std::exception& error) {
    std::cerr << "ranker: " << error.what() << '\n';
    return 1;
  }
}
