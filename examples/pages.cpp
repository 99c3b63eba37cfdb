// SPDX-License-Identifier: Apache-2.0

// A list page by page, as a shop shows it: at most one item of a creator, not all items alike, and a promotion at the
// third place. Each run prints a page of three and the token with which the next run goes on, as a
// browser would send it back. Lines "item,creator" from standard input.
//   pages MODEL_DIRECTORY USER PROMOTION [TOKEN] < CREATORS

#include <attune/recommender.hpp>
#include <attune/serving/cursor.hpp>
#include <attune/serving/policy.hpp>
#include <iostream>
#include <string>

void read_creators(std::istream& in, attune::Recommender& recommender) {
  for (std::string line; std::getline(in, line);) {
    const std::size_t comma = line.find(',');
    if (comma == std::string::npos) continue;
    const std::string item = line.substr(0, comma), creator = line.substr(comma + 1);
    recommender.upsert_item({.id = item, .fields = {{"creator", creator}}});
  }
}

int main(int argc, char** argv) {
  if (argc != 4 && argc != 5) {
    std::cerr << "usage: pages MODEL_DIRECTORY USER PROMOTION [TOKEN] < CREATORS\n";
    return 2;
  }
  try {
    attune::Cursor cursor = attune::Cursor::from_token(argc == 5 ? argv[4] : "");
    auto recommender = attune::Recommender::open(argv[1], {.item_fields = {{"creator", attune::FieldType::category}}});
    read_creators(std::cin, recommender);
    const attune::Policy policy = recommender.compile({.caps = {{"creator", 1}}});
    const attune::PinnedItem promotion[] = {{argv[3], 2}};
    const attune::Answer answer = recommender.recommend(
        {.user = argv[2], .k = 3, .policy = &policy, .diversity = 0.3f, .pinned = promotion, .cursor = &cursor});
    for (const auto& next : answer.items) std::cout << attune::to_string(next.item) << (next.pinned ? "! " : " ");
    std::cout << '\n' << cursor.token() << '\n';
  } catch (const std::exception& error) {
    std::cerr << "pages: " << error.what() << '\n';
    return 1;
  }
}
