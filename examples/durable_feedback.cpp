// SPDX-License-Identifier: Apache-2.0

// Feedback that survives the process. Lines from standard input, until they end:
//   USER ITEM      the user did something with the item; the answer is the ten items to show him next
//   merge FROM TO  FROM turns out to be TO
//   export USER    everything that is known of the user
//   forget USER    and nothing is
// Run it twice with the same store, and it goes on where it was.
//   durable_feedback MODEL_DIRECTORY STORE_FILE

#include <attune/recommender.hpp>
#include <attune/serving/sqlite_event_store.hpp>
#include <iostream>
#include <memory>
#include <sstream>
#include <string>

int main(int argc, char** argv) {
  if (argc != 3) {
    std::cerr << "usage: durable_feedback MODEL_DIRECTORY STORE_FILE < LINES\n";
    return 2;
  }
  try {
    auto store = std::make_shared<attune::SqliteEventStore>(argv[2]);
    auto recommender = attune::Recommender::open(argv[1], {.event_store = store});
    for (std::string line; std::getline(std::cin, line);) {
      std::istringstream words(line);
      std::string first, second, third;
      words >> first >> second >> third;
      if (first == "merge") {
        recommender.merge_users(second, third);
      } else if (first == "export") {
        std::cout << recommender.export_user(second);
      } else if (first == "forget") {
        recommender.forget_user(second);
      } else {
        // A server would answer its client from the completion. It comes from another thread.
        recommender.observe({.user = first, .item = second}, [](bool stored) {
          if (!stored) std::cerr << "an event will not survive this process\n";
        });
        for (const auto& next : recommender.recommend({.user = first, .k = 10}).items) {
          std::cout << attune::to_string(next.item) << ' ';
        }
        std::cout << '\n';
      }
    }
    store->flush();
  } catch (const attune::Error& error) {
    std::cerr << "durable_feedback: " << error.what() << '\n';
    return 1;
  }
}
