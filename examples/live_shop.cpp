// SPDX-License-Identifier: Apache-2.0

// A shop whose shelf changes while it recommends. Lines from standard input:
//   stock ITEM SHELF PRICE    it is there, on this shelf, at this price
//   sold ITEM                 it is not
//   show RULE                 five items for the user under a rule such as  shelf = "films" and price < 5
//   live_shop MODEL_DIRECTORY USER < LINES

#include <attune/recommender.hpp>
#include <attune/serving/policy.hpp>
#include <iostream>
#include <sstream>
#include <string>

void show(const attune::Recommender& shop, const std::string& user, const std::string& rule) {
  const attune::Policy policy = shop.compile({.filter = rule});
  const attune::Answer answer = shop.recommend({.user = user, .k = 5, .policy = &policy});
  for (const auto& item : answer.items) std::cout << attune::to_string(item.item) << ' ';
  std::cout << '(' << answer.shortfall.seen << " seen, " << answer.shortfall.unavailable << " not there, "
            << answer.shortfall.filtered << " against the rule)\n";
}

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: live_shop MODEL_DIRECTORY USER < LINES\n";
    return 2;
  }
  try {
    auto shop = attune::Recommender::open(
        argv[1], {.item_fields = {{"shelf", attune::FieldType::category}, {"price", attune::FieldType::number}}});
    for (std::string line; std::getline(std::cin, line);) {
      std::istringstream words(line);
      std::string verb, item, shelf;
      double price = 0;
      words >> verb;
      if (verb == "show") {
        show(shop, argv[2], line.substr(verb.size()));
      } else if (verb == "sold" && words >> item) {
        shop.remove_item(item);
      } else if (verb == "stock" && words >> item >> shelf >> price) {
        shop.upsert_item({.id = item, .fields = {{"shelf", shelf}, {"price", price}}});
      } else {
        std::cerr << "live_shop: expected stock, sold or show, found \"" << line << "\"\n";
        return 1;
      }
    }
  } catch (const attune::Error& error) {
    std::cerr << "live_shop: " << error.what() << '\n';
    return 1;
  }
}
