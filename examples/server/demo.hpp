// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the page at / shows besides the answers of the API: titles, users to be, and what the parts of the model say
// each by itself. Const members are safe from any number of threads.

#include <attune/model/checkpoint.hpp>
#include <attune/recommender.hpp>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

class Demo {
 public:
  static constexpr std::size_t kShownEvents = 60, kShownUsers = 12, kItemsOfPart = 5;

  // The page itself.
  static std::string_view page() noexcept;

  // `file`: of items, with the columns item, title and those of the fields. Throws attune::Error that names file, line
  // or column, expected and found.
  Demo(const attune::TrainedModel& model, const std::string& file, std::vector<attune::ItemField> fields);

  // What the file says of the items that the model knows, for Recommender::upsert_items. Lives as long as this.
  std::vector<attune::Item> items() const;
  // The title, or the item itself where the file has none. Lives as long as this, and `item`.
  std::string_view title(const std::string& item) const;
  // Every item with its title and fields, and some users of the model.
  nlohmann::json catalogue() const;
  // Of a user's events, as Recommender::export_user() has them: the newest, and the best items of encoder, content and
  // counts for them; null of a part that the model lacks.
  nlohmann::json user(const std::string& exported) const;

 private:
  struct Described {
    std::string item, title;
    std::vector<std::string> names;  // by field, of categories
    std::vector<double> numbers;     // by field, of numbers
  };
  void read(const attune::IdMap& ids, const std::string& file);
  void choose_users(const attune::TrainedModel& model);
  // A recommender that ranks by what title and fields say of items, for the user vector of the model's encoder.
  attune::Recommender by_content(const attune::TrainedModel& model) const;

  attune::IdKind item_kind_;
  std::vector<attune::ItemField> fields_;
  std::vector<Described> items_;
  std::map<std::string, std::size_t, std::less<>> by_item_;
  nlohmann::json users_ = nlohmann::json::array();
  std::optional<attune::Recommender> encoder_, content_, counts_;
};
