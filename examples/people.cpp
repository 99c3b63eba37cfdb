// SPDX-License-Identifier: Apache-2.0

// People beside films, on the model that the quick start leaves:
//   people ITEMS MODEL_DIRECTORY USER [FRIENDS]
// suggests friends for the user, then a film for an evening with the two who are most like him, and says to each why;
// last, what to ask somebody new about, and what to show him once he has said who he is.
// ITEMS is a file with the columns item and title, FRIENDS one with the columns user and friend.

#include <attune/data/reader.hpp>
#include <attune/error.hpp>
#include <attune/recommender.hpp>
#include <attune/serving/explanation.hpp>
#include <attune/serving/people.hpp>
#include <cstdio>
#include <iostream>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace {

using Titles = std::map<std::string, std::string, std::less<>>;

Titles read_titles(const std::string& file) {
  attune::DelimitedReader reader{file};
  const std::size_t item = reader.required_column("item"), title = reader.required_column("title");
  Titles titles;
  for (std::vector<std::string_view> fields; reader.next(fields);) {
    if (fields.size() == reader.columns().size()) titles.emplace(fields[item], fields[title]);
  }
  return titles;
}

std::string title_of(const attune::Id& item, const Titles& titles) {
  const auto title = titles.find(attune::to_string(item));
  return title == titles.end() ? attune::to_string(item) : title->second;
}

// People who are alike, but for friends whom he has.
void suggest_friends(const attune::Recommender& recommender, const std::string& user,
                     const attune::Friendships& friendships) {
  const attune::SimilarUsers alike = recommender.similar_users(
      user, {.k = 5, .friendships = &friendships, .friend_weight = 0.5f, .include_friends = false});
  std::printf("Friends to suggest to %s (by the %s)\n", user.c_str(),
              std::string(attune::to_string(alike.source)).c_str());
  for (const attune::SimilarUser& other : alike.users) {
    std::printf("  %7.4f  %s\n", static_cast<double>(other.score), attune::to_string(other.user).c_str());
  }
}

// What one of the group may be told about a film.
void say_why(const attune::Recommender& recommender, const attune::Id& user, const attune::Id& item,
             const Titles& titles) {
  const attune::Explanation explanation = recommender.explain(user, item);
  std::vector<std::string> reasons;
  for (const attune::Id& reason : explanation.reasons(3)) reasons.push_back(title_of(reason, titles));
  const std::vector<std::string_view> views(reasons.begin(), reasons.end());
  const attune::Because because;
  std::printf("    %s: %s\n", attune::to_string(user).c_str(), reasons.empty() ? "nothing" : because(views).c_str());
}

void plan_evening(const attune::Recommender& recommender, const std::vector<attune::Id>& group, const Titles& titles) {
  for (const auto strategy : {attune::GroupStrategy::average, attune::GroupStrategy::least_misery}) {
    const bool is_average = strategy == attune::GroupStrategy::average;
    std::printf("\nFor an evening of %zu, %s\n", group.size(),
                is_average ? "by the mean of their scores" : "so that nobody suffers");
    const attune::Answer films = recommender.recommend_group(group, {.k = 3}, {.strategy = strategy});
    for (const attune::Recommendation& film : films.items) {
      std::printf("  %9.4f  %s\n", static_cast<double>(film.score), title_of(film.item, titles).c_str());
    }
    if (films.items.empty()) continue;
    for (const attune::Id& user : group) say_why(recommender, user, films.items[0].item, titles);
  }
}

// A model whose users had features when it was trained answers from the profile, another one from what is popular.
void welcome(attune::Recommender& recommender, const Titles& titles) {
  std::cout << "\nTo ask somebody new: have you seen\n";
  for (const attune::Recommendation& film : recommender.onboarding_items({.k = 5}).items) {
    std::printf("  %s\n", title_of(film.item, titles).c_str());
  }
  const std::string newcomer = "somebody new";
  try {
    recommender.upsert_user({.id = newcomer, .fields = {{"age", 25}, {"gender", std::string_view("F")}}});
  } catch (const attune::Error&) {  // the model reads other fields
  }
  const attune::Answer films = recommender.recommend({.user = newcomer, .k = 3});
  std::printf("For a woman of 25 (by the %s)\n", std::string(attune::to_string(films.source)).c_str());
  for (const attune::Recommendation& film : films.items) std::printf("  %s\n", title_of(film.item, titles).c_str());
  recommender.forget_user(newcomer);
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4 && argc != 5) {
    std::cerr << "usage: people ITEMS MODEL_DIRECTORY USER [FRIENDS]\n";
    return 2;
  }
  try {
    const Titles titles = read_titles(argv[1]);
    auto recommender = attune::Recommender::open(argv[2]);
    const std::string user = argv[3];
    const attune::Friendships friendships = argc == 5 ? attune::Friendships::read(argv[4]) : attune::Friendships();
    suggest_friends(recommender, user, friendships);
    const attune::SimilarUsers two = recommender.similar_users(user, 2);  // their ids live as long as this
    std::vector<attune::Id> group{user};
    for (const attune::SimilarUser& other : two.users) group.push_back(other.user);
    plan_evening(recommender, group, titles);
    welcome(recommender, titles);
  } catch (const attune::Error& error) {
    std::cerr << "people: " << error.what() << '\n';
    return 1;
  }
}
