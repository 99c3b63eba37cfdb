// SPDX-License-Identifier: Apache-2.0

// An item that is better than all others, and that nobody would ever see: the model ranks it last. In a simulated world
// visitors click every second time they are shown this item, and every twentieth time they are shown another. One shop
// shows them the best items, the other explores and learns from what it showed.
//   new_item MODEL_DIRECTORY [REQUESTS]

#include <attune/recommender.hpp>
#include <attune/serving/exploration.hpp>
#include <iostream>
#include <random>
#include <string>

struct Outcome {
  int shown = 0, clicks = 0, lately = 0;  // of the item; of all items; in how many of the last hundred lists it stood
};

Outcome run(const char* model, const std::string& item, int requests, bool explores) {
  auto shop = attune::Recommender::open(model, {.event_kinds = {{"shown", 0}, {"click", 1}}});
  std::mt19937 chance(1);
  Outcome outcome;
  for (int request = 0; request < requests; ++request) {
    const std::string visitor = "visitor " + std::to_string(request);
    const attune::ExplorationOptions exploration{.share = 0.3, .request = static_cast<std::uint64_t>(request)};
    const attune::Answer list =
        shop.recommend({.user = visitor, .k = 5, .exploration = explores ? &exploration : nullptr});
    for (const auto& shown : list.items) {
      const bool is_it = attune::to_string(shown.item) == item;
      shop.observe({.user = visitor, .item = shown.item, .event = "shown"});
      outcome.shown += is_it;
      outcome.lately += is_it && request >= requests - 100;
      if (chance() % 20 >= (is_it ? 10u : 1u)) continue;
      shop.observe({.user = visitor, .item = shown.item, .event = "click"});
      ++outcome.clicks;
    }
  }
  return outcome;
}

int main(int argc, char** argv) {
  if (argc != 2 && argc != 3) {
    std::cerr << "usage: new_item MODEL_DIRECTORY [REQUESTS]\n";
    return 2;
  }
  try {
    const int requests = argc == 3 ? std::stoi(argv[2]) : 2000;
    const auto everything = attune::Recommender::open(argv[1]).recommend({.user = "a visitor", .k = 1'000'000});
    const std::string item = attune::to_string(everything.items.back().item);
    for (const bool explores : {false, true}) {
      const Outcome outcome = run(argv[1], item, requests, explores);
      std::cout << (explores ? "exploring: " : "the best: ") << item << " was shown " << outcome.shown
                << " times, lately in " << outcome.lately << " of 100 lists; " << outcome.clicks << " clicks in all\n";
    }
  } catch (const std::exception& error) {
    std::cerr << "new_item: " << error.what() << '\n';
    return 1;
  }
}
