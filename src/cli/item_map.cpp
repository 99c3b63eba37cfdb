// SPDX-License-Identifier: Apache-2.0
#include "cli/item_map.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "attune/model/popularity_model.hpp"
#include "attune/model/scorer_rows.hpp"
#include "cli/console.hpp"
#include "cli/plot.hpp"

namespace attune::cli {
namespace {

constexpr std::size_t kItems = 2000, kFewest = 3;

std::vector<ItemHandle> items_to_show(const TrainedModel& model, const ScorerRows<float>& rows) {
  std::vector<ItemHandle> items;
  for (ItemHandle item = 0; item < rows.size(); ++item) {
    if (rows.scorable(item)) items.push_back(item);
  }
  if (model.popularity) {
    const std::span<const std::uint64_t> counts = model.popularity->counts();
    const auto events = [&](ItemHandle item) { return item < counts.size() ? counts[item] : 0; };
    std::ranges::stable_sort(items, [&](ItemHandle a, ItemHandle b) { return events(a) > events(b); });
  }
  items.resize(std::min(items.size(), kItems));
  return items;
}

// Points in as few dimensions as a picture has.
struct Projection {
  std::vector<std::pair<double, double>> points;
  std::array<double, 2> explained{};  // shares of the variance
};

// The direction in which `covariance` [dim, dim] is largest, by power iteration, and how large it is there.
std::pair<std::vector<double>, double> principal(const std::vector<double>& covariance, std::size_t dim) {
  constexpr int kSteps = 500;
  std::size_t widest = 0;
  for (std::size_t d = 1; d < dim; ++d) {
    if (covariance[d * dim + d] > covariance[widest * dim + widest]) widest = d;
  }
  const auto column = covariance.begin() + static_cast<std::ptrdiff_t>(widest * dim);
  std::vector<double> direction(column, column + static_cast<std::ptrdiff_t>(dim)), next(dim);
  double length = 0;
  for (int step = 0; step < kSteps; ++step) {
    length = std::sqrt(std::inner_product(direction.begin(), direction.end(), direction.begin(), 0.0));
    if (length == 0) return {std::move(direction), 0};
    for (double& x : direction) x /= length;
    for (std::size_t d = 0; d < dim; ++d) {
      next[d] = std::inner_product(direction.begin(), direction.end(),
                                   covariance.begin() + static_cast<std::ptrdiff_t>(d * dim), 0.0);
    }
    std::swap(direction, next);
  }
  // `next` is of length 1, and `direction` what the covariance makes of it.
  const double largest = std::inner_product(direction.begin(), direction.end(), next.begin(), 0.0);
  return {std::move(next), largest};
}

// Centres vectors [n, dim] and lays them out along their two principal components.
std::optional<Projection> project(std::vector<double> vectors, std::size_t dim) {
  const std::size_t n = vectors.size() / dim;
  std::vector<double> covariance(dim * dim, 0), mean(dim, 0);
  for (std::size_t i = 0; i < vectors.size(); ++i) mean[i % dim] += vectors[i] / static_cast<double>(n);
  for (std::size_t i = 0; i < vectors.size(); ++i) vectors[i] -= mean[i % dim];
  for (std::size_t i = 0; i < n; ++i) {
    const double* const v = vectors.data() + i * dim;
    for (std::size_t a = 0; a < dim; ++a) {
      for (std::size_t b = 0; b < dim; ++b) covariance[a * dim + b] += v[a] * v[b] / static_cast<double>(n);
    }
  }
  double total = 0;
  for (std::size_t d = 0; d < dim; ++d) total += covariance[d * dim + d];
  if (!(total > 0)) return std::nullopt;
  Projection found;
  found.points.resize(n);
  for (std::size_t axis = 0; axis < 2; ++axis) {
    const auto [direction, variance] = principal(covariance, dim);
    found.explained[axis] = variance / total;
    for (std::size_t i = 0; i < n; ++i) {
      const auto at = vectors.begin() + static_cast<std::ptrdiff_t>(i * dim);
      const double along = std::inner_product(direction.begin(), direction.end(), at, 0.0);
      (axis == 0 ? found.points[i].first : found.points[i].second) = along;
    }
    for (std::size_t a = 0; a < dim; ++a) {
      for (std::size_t b = 0; b < dim; ++b) covariance[a * dim + b] -= variance * direction[a] * direction[b];
    }
  }
  return found;
}

// The categories that most of the items have get a colour each; an item has that of the rarest of its own among them.
class Colours {
 public:
  static constexpr std::size_t kOther = Plot::kColours - 1;

  Colours(const Categories* categories, std::span<const ItemHandle> items) : categories_(categories) {
    if (categories == nullptr) return;
    std::vector<std::size_t> counts(categories->names().size(), 0);
    for (const ItemHandle item : items) {
      for (const std::uint32_t category : categories->of(item)) ++counts[category];
    }
    order_.resize(counts.size());
    std::iota(order_.begin(), order_.end(), 0u);
    std::ranges::stable_sort(order_, [&](std::uint32_t a, std::uint32_t b) { return counts[a] > counts[b]; });
    std::erase_if(order_, [&](std::uint32_t category) { return counts[category] == 0; });
    order_.resize(std::min(order_.size(), kOther));
  }

  bool known() const { return !order_.empty(); }
  std::size_t of(ItemHandle item) const {
    if (!known()) return 0;
    std::size_t colour = kOther;
    for (std::size_t c = 0; c < order_.size(); ++c) {
      if (std::ranges::count(categories_->of(item), order_[c]) != 0) colour = c;
    }
    return colour;
  }
  std::string name(std::size_t colour) const {
    return colour == kOther ? "none of these" : categories_->names()[order_[colour]];
  }

 private:
  const Categories* categories_;
  std::vector<std::uint32_t> order_;  // by colour
};

std::array<double, 2> with_margin(double low, double high) {
  const double margin = 0.03 * (high - low);
  return {low - margin, high + margin};
}

}  // namespace

void add_item_map(HtmlPage& page, const TrainedModel& model, const Categories* categories,
                  const std::function<std::string(ItemHandle)>& title) {
  if (!model.encoder || model.encoder->dim() < 2) return;
  const ScorerRows<float> rows(model.encoder->outputs(), model.encoder->config().score);
  const std::vector<ItemHandle> items = items_to_show(model, rows);
  if (items.size() < kFewest) return;
  std::vector<double> vectors;
  for (const ItemHandle item : items) vectors.insert(vectors.end(), rows.row(item), rows.row(item) + rows.dim());
  const std::optional<Projection> map = project(std::move(vectors), rows.dim());
  if (!map) return;

  const Colours colours(categories, items);
  Plot plot{.title = "Items along the two principal components of their vectors",
            .x_label = "first component",
            .y_label = "second component",
            .x = {.least_step = 1e-4},
            .width = 760,
            .height = 620};
  for (std::size_t c = Plot::kColours; c-- > 0;) {  // those of no colour below all others
    Plot::Series series{.name = "", .form = Plot::Form::dots, .colour = c};
    for (std::size_t i = 0; i < items.size(); ++i) {
      if (colours.of(items[i]) != c) continue;
      series.points.push_back(map->points[i]);
      series.names.push_back(title(items[i]));
    }
    if (!series.points.empty()) plot.series.push_back(std::move(series));
  }
  const auto along = std::ranges::minmax_element(map->points, {}, &std::pair<double, double>::first);
  const auto across = std::ranges::minmax_element(map->points, {}, &std::pair<double, double>::second);
  plot.x.range = with_margin(along.min->first, along.max->first);
  plot.y.range = with_margin(across.min->second, across.max->second);
  page.section("items", "Map of the items");
  if (colours.known()) {
    Rows legend;
    for (auto series = plot.series.rbegin(); series != plot.series.rend(); ++series) {
      legend.push_back({"c" + std::to_string(series->colour),
                        colours.name(series->colour) + " (" + grouped(series->points.size()) + ')'});
    }
    page.legend(legend);
  }
  page.figure(plot.element(),
              "The " + plural(items.size(), "item", "items") +
                  " with the most training events, along the two directions in which their vectors vary most (" +
                  fixed(100 * map->explained[0], 1) + " % and " + fixed(100 * map->explained[1], 1) +
                  " % of the variance). The model takes items near each other for alike. Point at a dot for its name." +
                  (colours.known() ? " An item of several categories has the colour of the rarest of them." : ""),
              true);
}

}  // namespace attune::cli
