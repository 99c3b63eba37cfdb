// SPDX-License-Identifier: Apache-2.0
#include "attune/model/count_model.hpp"

#include <memory>
#include <vector>

#include "attune/model/count_models.hpp"
#include "catch.hpp"
#include "model/count_data.hpp"

using namespace attune;
using namespace attune::test;

namespace {

// A host's own: one more for every event on an odd item.
class OddItems final : public CountModel {
 public:
  std::string_view name() const noexcept override { return "odd"; }
  std::size_t num_items() const noexcept override { return 4; }
  bool knows(ItemHandle item) const noexcept override { return item < 4 && item % 2 == 1; }
  void score_all(HistoryView history, std::span<float> scores, Workspace&) const override {
    std::ranges::fill(scores, 0.0f);
    for (const ItemHandle item : history.items) {
      if (knows(item)) ++scores[item];
    }
  }
  using CountModel::score_all;
};

}  // namespace

TEST_CASE("A count model knows a history when it knows one of its events", "[model][count_model]") {
  const OddItems model;
  const std::vector<ItemHandle> known{0, 2, 3}, unknown{0, 2, 5};
  CHECK(model.knows_any({known}));
  CHECK(!model.knows_any({unknown}));
  CHECK(!model.knows_any({}));
  CHECK(scores_of(model, {3, 3, 1}) == std::vector<float>{0, 1, 0, 2});
}

TEST_CASE("The scores of a count model are its terms unless it says otherwise", "[model][count_model]") {
  std::vector<float> terms{-1.5f, 0.0f, 2.0f};
  OddItems().to_terms(terms);
  CHECK(terms == std::vector<float>{-1.5f, 0.0f, 2.0f});
}

TEST_CASE("The scores of some items are theirs among all, and 0 beyond the items", "[model][count_model]") {
  const Histories histories = histories_of(5, {{3, 1, 2, 3, 0}, {1, 2, 4}, {2, 3, 3, 1}, {0, 4, 1, 2}});
  for (const CountOptions& options : std::vector<CountOptions>{PopularityOptions{}, MarkovOptions{}, ItemKnnOptions{},
                                                               EaseOptions{.lambda = 2}, RepeatOptions{}}) {
    const std::shared_ptr<const CountModel> model = fit_counts(histories, options);
    INFO(model->name());
    for (const std::vector<ItemHandle>& items : {std::vector<ItemHandle>{}, {1, 2}, {0, 9, 3, 1, 1}}) {
      const std::vector<float> all = scores_of(*model, items);
      const std::vector<ItemHandle> handles{4, 0, kNoHandle, 2, 4, 77};
      std::vector<float> scores(handles.size(), -1.0f);
      Workspace workspace;
      model->score({items}, handles, scores, workspace);
      for (std::size_t i = 0; i < handles.size(); ++i) {
        CHECK(scores[i] == Approx(handles[i] < all.size() ? all[handles[i]] : 0.0f).epsilon(1e-5));
      }
    }
  }
}

TEST_CASE("Counts answer a history that they know, popularity every other", "[model][count_model]") {
  const OddItems counts, popularity;
  const std::vector<ItemHandle> known{1}, unknown{2};
  CHECK(answering(&counts, &popularity, {known}) == &counts);
  CHECK(answering(&counts, &popularity, {unknown}) == &popularity);
  CHECK(answering(&counts, nullptr, {unknown}) == &counts);
  CHECK(answering(nullptr, &popularity, {known}) == &popularity);
  CHECK(answering(nullptr, nullptr, {known}) == nullptr);
}

TEST_CASE("What an event adds to a score is the score without it less", "[model][count_model]") {
  const Histories histories = histories_of(5, {{3, 1, 2, 3, 0}, {1, 2, 4}, {2, 3, 3, 1}, {0, 4, 1, 2}});
  const std::vector<ItemHandle> items{1, 9, 3, 2, 3}, of{2, 4}, one{1};
  const std::vector<float> shares{1.0f, -0.5f}, whole{1.0f};
  for (const CountOptions& options : std::vector<CountOptions>{PopularityOptions{}, MarkovOptions{}, ItemKnnOptions{},
                                                               EaseOptions{.lambda = 2}, RepeatOptions{}}) {
    const std::shared_ptr<const CountModel> model = fit_counts(histories, options);
    INFO(model->name());
    for (const bool as_terms : {false, true}) {
      const auto score = [&](const std::vector<ItemHandle>& events) {
        std::vector<float> scores = scores_of(*model, events);
        if (as_terms) model->to_terms(scores);
        return scores[2] - 0.5f * scores[4];
      };
      std::vector<float> differences(items.size(), 9.0f);
      Workspace workspace;
      model->leave_one_out(differences, {items}, of, shares, as_terms, workspace);
      for (std::size_t i = 0; i < items.size(); ++i) {
        std::vector<ItemHandle> fewer = items;
        fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(i));
        CHECK(differences[i] == Approx(score(items) - score(fewer)).margin(1e-5));
      }
      CHECK(differences[1] == 0);
    }
  }
  const std::vector<ItemHandle> many(1500, 1);
  std::vector<float> differences(many.size());
  Workspace workspace;
  OddItems().leave_one_out(differences, {many}, one, whole, false, workspace);
  CHECK(differences[499] == 0);
  CHECK(differences[500] == 1);
}
