// SPDX-License-Identifier: Apache-2.0
#include "attune/model/count_models.hpp"

#include <utility>

namespace attune::inline v0_1 {

std::string_view to_string(CountKind kind) noexcept {
  switch (kind) {
    case CountKind::popularity: return "popularity";
    case CountKind::markov: return "markov";
    case CountKind::item_knn: return "item-knn";
    case CountKind::ease: return "ease";
    case CountKind::ials: return "ials";
    case CountKind::repeat: return "repeat";
  }
  return "unknown";
}

namespace {

struct Fit {
  const Histories& histories;
  Executor* executor;

  template <class Model>
  static std::shared_ptr<const CountModel> shared(Model model) {
    return std::make_shared<const Model>(std::move(model));
  }
  auto operator()(const PopularityOptions& options) const { return shared(PopularityModel::fit(histories, options)); }
  auto operator()(const MarkovOptions& options) const { return shared(MarkovModel::fit(histories, options)); }
  auto operator()(const ItemKnnOptions& options) const {
    return shared(ItemKnnModel::fit(histories, options, executor));
  }
  auto operator()(const EaseOptions& options) const { return shared(EaseModel::fit(histories, options, executor)); }
  auto operator()(const IalsOptions& options) const { return shared(IalsModel::fit(histories, options, executor)); }
  auto operator()(const RepeatOptions& options) const { return shared(RepeatModel::fit(histories, options)); }
};

}  // namespace

std::shared_ptr<const CountModel> fit_counts(const Histories& histories, const CountOptions& options,
                                             Executor* executor) {
  return std::visit(Fit{histories, executor}, options);
}

}  // namespace attune::inline v0_1
