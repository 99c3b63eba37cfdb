// SPDX-License-Identifier: Apache-2.0
#include "serving/selection.hpp"

#include <algorithm>
#include <cmath>
#include <map>
#include <random>
#include <set>

#include "catch.hpp"

using namespace attune;

namespace {

using Handles = std::vector<ItemHandle>;

// Items with vectors of their own (or none) and with values for two caps.
struct Shop final : ItemRelations {
  std::vector<std::vector<double>> vectors;                  // empty: no vector
  std::vector<std::vector<std::uint32_t>> creators, genres;  // for caps 0 and 1

  Shop(std::size_t items, std::size_t dim, std::uint64_t seed) {
    std::mt19937_64 random(seed);
    std::normal_distribution<double> normal;
    for (std::size_t i = 0; i < items; ++i) {
      std::vector<double> vector(dim);
      for (double& x : vector) x = normal(random) + 0.5;
      if (i % 7 == 6) vector.clear();
      vectors.push_back(std::move(vector));
      creators.push_back({static_cast<std::uint32_t>(random() % 4)});
      genres.emplace_back();
      for (std::uint32_t genre = 0; genre < 5; ++genre) {
        if (random() % 4 == 0) genres.back().push_back(genre);
      }
    }
  }
  double cosine(ItemHandle a, ItemHandle b) const {
    const auto dot = [&](ItemHandle x, ItemHandle y) {
      double sum = 0;
      for (std::size_t d = 0; d < vectors[x].size(); ++d) sum += vectors[x][d] * vectors[y][d];
      return sum;
    };
    if (vectors[a].empty() || vectors[b].empty()) return 0;
    return dot(a, b) / std::sqrt(dot(a, a) * dot(b, b));
  }
  void similarities(ItemHandle item, std::span<const ItemHandle> others, std::span<float> cosines) override {
    for (std::size_t i = 0; i < others.size(); ++i) cosines[i] = static_cast<float>(cosine(item, others[i]));
  }
  void read_values(std::span<const ItemHandle> items, ItemValues& values) override {
    for (const ItemHandle item : items) {
      for (const std::uint32_t creator : creators[item]) values.add(0, creator);
      for (const std::uint32_t genre : genres[item]) values.add(1, genre);
      values.end_item();
    }
  }
};

// Scores that fall unevenly from 5.
std::vector<ScoredHandle> candidates_of(std::size_t items, std::uint64_t seed = 3) {
  std::mt19937_64 random(seed);
  std::vector<ScoredHandle> candidates;
  for (ItemHandle i = 0; i < items; ++i) {
    candidates.push_back({i, 5.0f - static_cast<float>(random() % 1000) / 250.0f});
  }
  std::ranges::sort(candidates, ranks_before);
  return candidates;
}

Handles handles(const Selection& selection) {
  Handles result;
  for (const auto& item : selection.items) result.push_back(item.item);
  return result;
}

Handles first_of(std::span<const ScoredHandle> candidates, std::size_t count) {
  Handles result;
  for (std::size_t i = 0; i < std::min(count, candidates.size()); ++i) result.push_back(candidates[i].item);
  return result;
}

// The determinant of the cosines of these items, by elimination.
double determinant(const Shop& shop, const Handles& items) {
  const std::size_t n = items.size();
  std::vector<double> a(n * n);
  for (std::size_t i = 0; i < n; ++i) {
    for (std::size_t j = 0; j < n; ++j) a[i * n + j] = i == j ? 1.0 : shop.cosine(items[i], items[j]);
  }
  double result = 1;
  for (std::size_t p = 0; p < n; ++p) {
    result *= a[p * n + p];
    for (std::size_t i = p + 1; i < n; ++i) {
      const double factor = a[i * n + p] / a[p * n + p];
      for (std::size_t j = p; j < n; ++j) a[i * n + j] -= factor * a[p * n + j];
    }
  }
  return result;
}

// Both methods from their definitions: every choice looks at all that was chosen before.
Handles chosen_slowly(const Shop& shop, std::span<const ScoredHandle> candidates, Handles chosen, std::size_t k,
                      double diversity, DiversityMethod method) {
  const double first = candidates.front().score, last = candidates.back().score;
  const std::size_t before = chosen.size();
  while (chosen.size() < before + k) {
    double largest = -std::numeric_limits<double>::infinity();
    ItemHandle best = kNoHandle;
    for (const ScoredHandle& candidate : candidates) {
      if (std::ranges::find(chosen, candidate.item) != chosen.end()) continue;
      double redundancy = 0;
      if (method == DiversityMethod::dpp) {
        Handles with = chosen;
        with.push_back(candidate.item);
        redundancy = std::log(determinant(shop, chosen)) - std::log(determinant(shop, with));
      } else if (!chosen.empty()) {
        redundancy = -1;
        for (const ItemHandle item : chosen) redundancy = std::max(redundancy, shop.cosine(item, candidate.item));
      }
      const double relevance = (candidate.score - last) / (first - last);
      const double value = (1 - diversity) * relevance - diversity * redundancy;
      if (value > largest) {
        largest = value;
        best = candidate.item;
      }
    }
    if (best == kNoHandle) break;
    chosen.push_back(best);
  }
  return {chosen.begin() + static_cast<std::ptrdiff_t>(before), chosen.end()};
}

constexpr DiversityMethod kMethods[] = {DiversityMethod::mmr, DiversityMethod::dpp};

}  // namespace

TEST_CASE("Without rules the candidates stay as they are", "[serving][selection]") {
  Shop shop(40, 6, 1);
  Selector selector;
  const auto candidates = candidates_of(40);
  for (const std::size_t k : {0u, 1u, 7u, 40u, 41u, 400u}) {
    const Selection selection = selector.select({.candidates = candidates, .complete = true, .k = k}, {}, shop);
    CHECK(handles(selection) == first_of(candidates, k));
    CHECK(selection.wanted == 0);
    CHECK(selection.capped == 0);
  }
  CHECK(selector.select({.complete = true, .k = 3}, {.diversity = 0.5}, shop).items.empty());
  CHECK(selector.select({.complete = true, .k = 3}, {}, shop).items.empty());
}

TEST_CASE("Diverse lists are those of the definitions", "[serving][selection][UR-66]") {
  Selector selector;
  const auto method = GENERATE(DiversityMethod::mmr, DiversityMethod::dpp);
  for (std::uint64_t seed = 1; seed <= 20; ++seed) {
    Shop shop(30, 12, seed);
    const auto candidates = candidates_of(30, seed);
    for (const double diversity : {0.1, 0.3, 0.5, 0.7, 0.9, 1.0}) {
      const SelectionRules rules{.diversity = diversity, .method = method, .pool = 64};
      const auto selection = selector.select({.candidates = candidates, .complete = true, .k = 8}, rules, shop);
      INFO("seed " << seed << ", diversity " << diversity);
      REQUIRE(handles(selection) == chosen_slowly(shop, candidates, {}, 8, diversity, method));
      const Handles shown{3, 8, 21};
      const auto next = selector.select(
          {.candidates = candidates, .complete = true, .shown = shown, .first_slot = 3, .k = 5}, rules, shop);
      REQUIRE(handles(next) == chosen_slowly(shop, candidates, shown, 5, diversity, method));
    }
  }
}

TEST_CASE("A pool of equal scores, of one item, or of the same vector many times has an order",
          "[serving][selection]") {
  Selector selector;
  Shop shop(9, 2, 1);
  for (auto& vector : shop.vectors) vector = {1.0, 2.0};
  std::vector<ScoredHandle> candidates;
  for (ItemHandle i = 0; i < 9; ++i) candidates.push_back({i, 0.25f});
  for (const DiversityMethod method : kMethods) {
    const SelectionRules rules{.diversity = 0.5, .method = method, .pool = 100};
    CHECK(handles(selector.select({.candidates = candidates, .complete = true, .k = 20}, rules, shop)) ==
          first_of(candidates, 9));
    CHECK(handles(selector.select({.candidates = std::span(candidates).first(1), .complete = true, .k = 2}, rules,
                                  shop)) == Handles{0});
  }
}

TEST_CASE("More diversity makes a list less alike", "[serving][selection][UR-66]") {
  // Ten groups of ten items, of the same vector each; the better an item, the lower its group.
  Shop shop(100, 10, 5);
  std::vector<ScoredHandle> candidates;
  for (ItemHandle i = 0; i < 100; ++i) {
    shop.vectors[i].assign(10, 0.1);
    shop.vectors[i][i / 10] = 1.0;
    candidates.push_back({i, 1.0f - 0.09f * static_cast<float>(i / 10) - 0.008f * static_cast<float>(i % 10)});
  }
  Selector selector;
  for (const DiversityMethod method : kMethods) {
    double before = 2;
    std::set<double> levels;
    for (const double diversity : {0.0, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.7, 1.0}) {
      const SelectionRules rules{.diversity = diversity, .method = method, .pool = 100};
      const Handles list = handles(selector.select({.candidates = candidates, .complete = true, .k = 10}, rules, shop));
      REQUIRE(list.size() == 10);
      double alike = 0;
      for (const ItemHandle a : list) {
        for (const ItemHandle b : list) alike += a < b ? shop.cosine(a, b) / 45 : 0.0;
      }
      INFO("diversity " << diversity);
      CHECK(alike <= before + 1e-12);
      before = alike;
      levels.insert(std::round(1e6 * alike));
    }
    CHECK(levels.size() >= 3);
  }
}

TEST_CASE("Relevance by place takes the order for it, not the scores", "[serving][selection]") {
  Shop shop(20, 4, 1);
  Selector selector;
  std::vector<ScoredHandle> candidates = candidates_of(20), even;
  std::ranges::reverse(candidates);  // as a ranker may leave them
  for (std::size_t i = 0; i < 20; ++i) even.push_back({candidates[i].item, 20.0f - static_cast<float>(i)});
  even.push_back({kNoHandle, 0.0f});  // what would come at place 20 has no relevance
  for (const double diversity : {0.01, 0.3}) {
    const Handles expected = chosen_slowly(
        shop,
        [&] {
          auto all = even;
          all.back() = {6, 0.0f};
          return all;
        }(),
        {}, 6, diversity, DiversityMethod::mmr);
    const auto selection = selector.select({.candidates = candidates, .complete = true, .by_place = true, .k = 6},
                                           {.diversity = diversity, .pool = 100}, shop);
    CHECK(handles(selection) == expected);
  }
}

TEST_CASE("A cap holds for each value of each field, and items without a value are free", "[serving][selection]") {
  Selector selector;
  for (std::uint64_t seed = 1; seed <= 30; ++seed) {
    Shop shop(60, 5, seed);
    const auto candidates = candidates_of(60, seed);
    for (const std::size_t limit : {1u, 2u, 5u}) {
      const std::size_t caps[] = {limit, 2 * limit};
      const auto plain = selector.select({.candidates = candidates, .complete = true, .k = 60}, {.caps = caps}, shop);
      std::map<std::uint32_t, std::size_t> creators, genres;
      Handles expected;
      for (const ScoredHandle& candidate : candidates) {
        const auto& creator = shop.creators[candidate.item];
        const auto& genre = shop.genres[candidate.item];
        const auto full = [](auto& counts, const auto& values, std::size_t most) {
          return std::ranges::any_of(values, [&](std::uint32_t value) { return counts[value] == most; });
        };
        if (full(creators, creator, limit) || full(genres, genre, 2 * limit)) continue;
        for (const std::uint32_t value : creator) ++creators[value];
        for (const std::uint32_t value : genre) ++genres[value];
        expected.push_back(candidate.item);
      }
      REQUIRE(handles(plain) == expected);
      CHECK(plain.capped == 60 - expected.size());
      const auto diverse = selector.select({.candidates = candidates, .complete = true, .k = 60},
                                           {.diversity = 0.6, .pool = 10, .caps = caps}, shop);
      std::map<std::uint32_t, std::size_t> seen;
      for (const auto& item : diverse.items) CHECK(++seen[shop.creators[item.item][0]] <= limit);
      CHECK(diverse.items.size() + diverse.capped == 60);
    }
  }
}

TEST_CASE("A pool that is too small says how many candidates it wants", "[serving][selection]") {
  Shop shop(200, 5, 1);
  Selector selector;
  for (auto& creator : shop.creators) creator = {0};
  shop.creators[199] = {1};
  auto candidates = candidates_of(200);
  std::ranges::sort(candidates, {}, &ScoredHandle::item);  // the only other creator comes last
  for (std::size_t i = 0; i < 200; ++i) candidates[i].score = -static_cast<float>(i);
  const std::size_t one[] = {1, 100};
  for (const double diversity : {0.0, 0.4}) {
    const SelectionRules rules{.diversity = diversity, .pool = 10, .caps = one};
    SelectionInput input{.k = 2};
    std::size_t count = Selector::first_pool(rules, input);
    std::vector<std::size_t> counts;
    Selection selection;
    for (;;) {
      counts.push_back(count);
      input.candidates = std::span(candidates).first(std::min<std::size_t>(count, 200));
      input.complete = count >= 200;
      selection = selector.select(input, rules, shop);
      if (selection.wanted == 0) break;
      CHECK(selection.items.empty());
      REQUIRE(selection.wanted > count);
      count = selection.wanted;
    }
    CHECK(counts == std::vector<std::size_t>{10, 20, 40, 80, 160, 320});
    CHECK(handles(selection) == Handles{0, 199});
    CHECK(selection.capped == 198);
  }
  CHECK(Selector::first_pool({}, {.k = 12}) == 12);
  CHECK(Selector::first_pool({.diversity = 0.5, .pool = 100}, {.k = 10}) == 100);
  CHECK(Selector::first_pool({.diversity = 0.5, .pool = 100}, {.k = 26}) == 200);
  CHECK(Selector::first_pool({}, {.k = SIZE_MAX}) == SIZE_MAX);
  CHECK(Selector::first_pool({.diversity = 0.5, .pool = 100}, {.k = SIZE_MAX}) >= kNoHandle);
}

TEST_CASE("Pinned items stand where they are asked for, once, and count", "[serving][selection]") {
  Shop shop(30, 5, 1);
  Selector selector;
  const auto candidates = candidates_of(30);
  const ItemHandle best = candidates[0].item, last = candidates[29].item;
  for (std::size_t slot = 0; slot < 8; ++slot) {
    for (const ItemHandle item : {best, last}) {
      const PinnedSlot pin[] = {{item, slot}};
      Handles expected = first_of(candidates, 30);
      std::erase(expected, item);
      expected.insert(expected.begin() + static_cast<std::ptrdiff_t>(slot), item);
      expected.resize(8);
      const auto selection =
          selector.select({.candidates = candidates, .complete = true, .pins = pin, .k = 8}, {}, shop);
      CHECK(handles(selection) == expected);
      for (const ScoredHandle& chosen : selection.items) {
        CHECK(std::ranges::find(candidates, chosen) != candidates.end());
      }
    }
  }
  // Behind the end of a list they follow one after the other; on other pages they are not.
  const PinnedSlot pins[] = {{29, 1}, {5, 40}, {7, 41}, {9, 60}};
  const Selection all = selector.select({.candidates = candidates, .complete = true, .pins = pins, .k = 50}, {}, shop);
  CHECK(all.items.size() == 29);
  CHECK(all.items[1].item == 29);
  CHECK(all.items[27].item == 5);
  CHECK(all.items[28].item == 7);
  const PinnedSlot stranger[] = {{99, 1}};
  const Selection with_stranger =
      selector.select({.candidates = candidates, .complete = true, .pins = stranger, .k = 2}, {}, shop);
  CHECK(with_stranger.items[1] == ScoredHandle{99, Selector::kNoScore});
  // A pin takes its creator's place among two, wherever it stands.
  for (auto& creator : shop.creators) creator = {0};
  const std::size_t two[] = {2, 100};
  const PinnedSlot late[] = {{last, 9}};
  const Selection capped =
      selector.select({.candidates = candidates, .complete = true, .pins = late, .k = 10}, {.caps = two}, shop);
  CHECK(handles(capped) == Handles{best, last});
  CHECK(capped.capped == 28);
  // What is like a pin is less wanted.
  shop.vectors[candidates[0].item] = shop.vectors[29] = {1, 1, 1, 1, 1};
  const PinnedSlot alike[] = {{candidates[0].item == 29 ? 28u : 29u, 0}};
  const Selection diverse = selector.select({.candidates = candidates, .complete = true, .pins = alike, .k = 2},
                                            {.diversity = 0.9, .pool = 100}, shop);
  CHECK(diverse.items[1].item != candidates[0].item);
}

TEST_CASE("Pages of any size are one list", "[serving][selection][UR-19]") {
  Selector selector;
  const auto candidates = candidates_of(120);
  Shop shop(120, 6, 9);  // vectors of fewer elements than there are items: only rounding is left of most of them
  const std::size_t caps[] = {40, 12};
  const std::vector<PinnedSlot> pins{{100, 0}, {50, 7}, {candidates[2].item, 8}, {51, 21}, {52, 22}};
  for (const std::size_t limit : {0u, 2u}) {
    for (const double diversity : {0.0, 0.3, 0.8}) {
      for (const DiversityMethod method : kMethods) {
        const SelectionRules rules{
            .diversity = diversity,
            .method = method,
            .pool = 8,
            .caps = limit == 0 ? std::span<const std::size_t>{} : std::span<const std::size_t>(caps)};
        const auto answer = [&](std::span<const ItemHandle> shown, std::size_t first_slot, std::size_t k) {
          SelectionInput input{.shown = shown, .pins = pins, .first_slot = first_slot, .k = k};
          for (std::size_t count = Selector::first_pool(rules, input);;) {
            input.candidates = std::span(candidates).first(std::min<std::size_t>(count, 120));
            input.complete = count >= 120;
            const Selection selection = selector.select(input, rules, shop);
            if (selection.wanted == 0) return handles(selection);
            count = selection.wanted;
          }
        };
        const Handles whole = answer({}, 0, 60);
        CHECK(std::set(whole.begin(), whole.end()).size() == whole.size());
        for (const std::size_t size : {1u, 7u, 30u}) {
          Handles pages;
          for (std::size_t slot = 0; slot < 60; slot += size) {
            const Handles page = answer(pages, slot, std::min<std::size_t>(size, 60 - slot));
            pages.insert(pages.end(), page.begin(), page.end());
          }
          CHECK(pages == whole);
        }
      }
    }
  }
}
