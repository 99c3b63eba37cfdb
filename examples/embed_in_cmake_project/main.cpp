// SPDX-License-Identifier: Apache-2.0

// What a shop's server would do: open the model once, record what visitors look at, ask what to show them.
//   shop MODEL_DIRECTORY ITEM...

#include <attune/recommender.hpp>
#include <iostream>

int main(int argc, char** argv) {
  if (argc < 3) {
    std::cerr << "usage: shop MODEL_DIRECTORY ITEM...\n";
    return 2;
  }
  try {
    auto shop = attune::Recommender::open(argv[1]);
    for (int i = 2; i < argc; ++i) shop.observe({.user = "visitor", .item = argv[i], .event = "view"});

    const attune::Answer answer = shop.recommend({.user = "visitor", .k = 5});
    for (const auto& shown : answer.items) {
      std::cout << attune::to_string(shown.item) << "  " << shown.score << '\n';
    }
    std::cout << "answered by the " << attune::to_string(answer.source) << " of " << answer.model_version << '\n';
  } catch (const attune::Error& error) {
    std::cerr << "shop: " << error.what() << '\n';
    return 1;
  }
}
