// SPDX-License-Identifier: Apache-2.0

// A cinema announces a film that nobody has seen. What it is (genres, a title) gives it a vector, so that it stands in
// lists from the next call on; what its first visitors chose before moves it from there.
//   movies MODEL_DIRECTORY     trained with a schema of items that has genres and a title:
//   attune train --interactions data/movietweetings-10core.interactions.csv.xz
//     --items data/movietweetings-10core.items.csv.xz --schema examples/movies.schema.json --output model

#include <algorithm>
#include <attune/data/id_map.hpp>
#include <attune/recommender.hpp>
#include <attune/serving/explanation.hpp>
#include <iostream>
#include <string>
#include <vector>

namespace {

// The film's place in the whole list of somebody who has just watched another one, from 1; 0: it is not there.
std::size_t place(const attune::Recommender& cinema, const std::string& watched, const std::string& film) {
  const auto list = cinema.recommend_history({watched}, {.k = 1'000'000});
  const auto found = std::ranges::find(list.items, attune::Id(film), &attune::Recommendation::item);
  return found == list.items.end() ? 0 : static_cast<std::size_t>(found - list.items.begin()) + 1;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: movies MODEL_DIRECTORY\n";
    return 2;
  }
  try {
    auto cinema = attune::Recommender::open(argv[1]);
    const std::string film = "announced", watched = attune::to_string(cinema.item_ids().id(0));
    cinema.upsert_item(
        {.id = film, .fields = {{"genres", "Animation|Comedy|Family"}, {"title", "The Toy Monsters (2013)"}}});
    std::cout << "announced: at place " << place(cinema, watched, film) << " for those who watched " << watched << '\n';

    const std::vector<attune::Id> history{watched};
    for (const auto& feature : cinema.explain_history(history, film, {}).features) {
      std::cout << "  " << feature.feature << " adds " << feature.weight;
      for (const std::string& member : feature.members) std::cout << "  " << member;
      std::cout << '\n';
    }

    for (int visitor = 0; visitor < 30; ++visitor) {
      const std::string name = "visitor " + std::to_string(visitor);
      cinema.observe({.user = name, .item = watched});
      cinema.observe({.user = name, .item = film});
    }
    std::cout << "after 30 visitors who had watched " << watched << ": at place " << place(cinema, watched, film)
              << '\n';
  } catch (const std::exception& error) {
    std::cerr << "movies: " << error.what() << '\n';
    return 1;
  }
}
