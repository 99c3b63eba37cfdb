// SPDX-License-Identifier: Apache-2.0

// A live click stream: item ids from standard input, one a line; the ten items to show next after each of them.
//   click_stream MODEL_DIRECTORY

#include <attune/recommender.hpp>
#include <iostream>
#include <string>

int main(int argc, char** argv) {
  if (argc != 2) {
    std::cerr << "usage: click_stream MODEL_DIRECTORY < ITEM_IDS\n";
    return 2;
  }
  try {
    auto recommender = attune::Recommender::open(argv[1]);
    attune::Answer answer;  // its memory is reused
    for (std::string item; std::getline(std::cin, item);) {
      recommender.observe({.user = "visitor", .item = item});
      recommender.recommend({.user = "visitor", .k = 10}, answer);
      for (const auto& next : answer.items) std::cout << attune::to_string(next.item) << ' ';
      std::cout << std::endl;
    }
  } catch (const attune::Error& error) {
    std::cerr << "click_stream: " << error.what() << '\n';
    return 1;
  }
}
