// SPDX-License-Identifier: Apache-2.0
#include "attune/training/optimizer.hpp"

#include <cmath>
#include <string>
#include <vector>

#include "attune/model/safetensors.hpp"
#include "catch.hpp"

namespace attune {
namespace {

float random_value(std::uint64_t seed, std::uint64_t index) {
  return static_cast<float>(static_cast<double>(detail::mix(seed, index) >> 11) * 0x1p-52 - 1.0);
}

std::vector<float> random_vector(std::size_t n, std::uint64_t seed) {
  std::vector<float> x(n);
  for (std::size_t i = 0; i < n; ++i) x[i] = random_value(seed, i);
  return x;
}

void check_near(std::span<const float> actual, std::span<const float> expected, double margin) {
  REQUIRE(actual.size() == expected.size());
  for (std::size_t i = 0; i < actual.size(); ++i) {
    INFO("element " << i);
    CHECK(static_cast<double>(actual[i]) == Approx(static_cast<double>(expected[i])).margin(margin).epsilon(0));
  }
}

AdamOptions options_of(const SafetensorsFile& file) {
  const auto number = [&](const char* key) { return std::stod(file.metadata().find(key)->second); };
  const std::string& betas = file.metadata().find("betas")->second;
  return {.learning_rate = number("lr"),
          .beta1 = std::stod(betas),
          .beta2 = std::stod(betas.substr(betas.find(',') + 1)),
          .epsilon = number("eps"),
          .weight_decay = number("weight_decay")};
}

// An optimiser over item rows alone.
struct Rows {
  Rows(std::size_t rows, std::size_t dim, const AdamOptions& options)
      : items(rows, dim), gradient(0, rows, dim), adam(0, {}, rows, dim, options) {
    for (std::size_t r = 0; r < rows; ++r) {
      for (std::size_t d = 0; d < dim; ++d) items.row(r)[d] = random_value(1, r * dim + d);
    }
  }
  void step(double learning_rate_scale) {
    adam.step({}, items, gradient, 1.0, learning_rate_scale);
    gradient.clear();
  }
  EmbeddingTable<float> items;
  GradientBuffer gradient;
  Adam adam;
};

}  // namespace

TEST_CASE("Five steps equal those of torch.optim", "[training][optimizer][golden]") {
  const std::string name = GENERATE("optimizer_adam", "optimizer_adamw");
  const auto file = SafetensorsFile::open(std::string(ATTUNE_TEST_DIR) + "/golden/" + name + ".safetensors");
  const auto tensor = [&](const std::string& key) { return file.floats(*file.find(key)); };
  auto dense = tensor("w.0");
  const std::size_t rows = 7, dim = 5;
  EmbeddingTable<float> items(rows, dim);
  std::copy(dense.begin(), dense.end(), items.row(0).begin());

  Adam adam(dense.size(), std::vector<bool>(dense.size(), true), rows, dim, options_of(file));
  GradientBuffer gradient(dense.size(), rows, dim);
  for (int t = 1; t <= 5; ++t) {
    gradient.clear();
    const auto g = tensor("g." + std::to_string(t));
    std::copy(g.begin(), g.end(), gradient.dense().begin());
    for (std::size_t r = 0; r < rows; ++r) {
      std::copy_n(g.begin() + static_cast<std::ptrdiff_t>(r * dim), dim,
                  gradient.row(static_cast<ItemHandle>(r)).begin());
    }
    adam.step(dense, items, gradient);
    const auto expected = tensor("w." + std::to_string(t));
    check_near(dense, expected, 1e-6);
    check_near(items.chunk(0), expected, 1e-6);
  }
  CHECK(adam.steps() == 5);
}

TEST_CASE("Weight decay touches only the elements that are marked", "[training][optimizer]") {
  std::vector<float> weights{1.0f, 1.0f, 1.0f};
  EmbeddingTable<float> items(0, 1);
  Adam adam(3, {true, false, true}, 0, 1, {.learning_rate = 0.1, .weight_decay = 0.5});
  adam.step(weights, items, GradientBuffer(3, 0, 1));
  CHECK(weights == std::vector<float>{0.95f, 1.0f, 0.95f});
}

TEST_CASE("An optimiser goes on from the state of another", "[training][optimizer]") {
  const AdamOptions options{.learning_rate = 0.01, .weight_decay = 0.05};
  Rows one(3, 2, options);
  for (std::uint64_t step = 0; step < 5; ++step) {
    one.gradient.row(static_cast<ItemHandle>(step % 2))[0] = 0.5f;
    one.step(1.0 / static_cast<double>(step + 1));
  }
  Rows other(3, 2, options);
  std::ranges::copy(one.items.chunk(0), other.items.chunk(0).begin());
  other.adam.restore(one.adam.state());
  CHECK(other.adam.steps() == 5);
  for (Rows* rows : {&one, &other}) {
    rows->gradient.row(2)[1] = -1.0f;
    rows->step(0.3);
    rows->adam.settle_all(rows->items);
  }
  CHECK(std::ranges::equal(one.items.chunk(0), other.items.chunk(0)));

  AdamState state = one.adam.state();
  state.row_steps[1] = 7;
  CHECK_THROWS_AS(other.adam.restore(state), Error);
  state = one.adam.state();
  state.row_m.pop_back();
  CHECK_THROWS_AS(other.adam.restore(state), Error);
}

TEST_CASE("Rows that wait for their gradient end where a dense optimiser takes them", "[training][optimizer]") {
  const AdamOptions options{
      .learning_rate = 0.01, .beta1 = 0.9, .beta2 = GENERATE(0.98, 0.999), .weight_decay = GENERATE(0.0, 0.05)};
  const std::size_t rows = 5, dim = 3;
  Rows sparse(rows, dim, options), dense(rows, dim, options);
  for (std::uint64_t step = 0; step < 900; ++step) {
    const double rate = 0.5 + 0.5 * std::cos(static_cast<double>(step) / 300);
    for (std::size_t r = 0; r < rows; ++r) {
      // Row 0 always, row 1 every other step, row 2 twice far apart, row 3 once, row 4 never.
      const bool touched =
          r == 0 || (r == 1 && step % 2 == 0) || (r == 2 && (step == 3 || step == 800)) || (r == 3 && step == 10);
      const auto row = dense.gradient.row(static_cast<ItemHandle>(r));
      if (!touched) continue;
      const auto g = random_vector(dim, 1000 * step + r);
      std::copy(g.begin(), g.end(), row.begin());
      std::copy(g.begin(), g.end(), sparse.gradient.row(static_cast<ItemHandle>(r)).begin());
    }
    sparse.step(rate);
    dense.step(rate);
    if (step == 400) {
      const ItemHandle read[] = {2};
      sparse.adam.settle(sparse.items, read);
      check_near(sparse.items.row(2), dense.items.row(2), 1e-6);
    }
  }
  sparse.adam.settle_all(sparse.items);
  check_near(sparse.items.chunk(0), dense.items.chunk(0), 1e-6);
}

TEST_CASE("A gradient buffer keeps rows in the order of their first touch", "[training][optimizer]") {
  GradientBuffer gradient(2, 10, 2);
  gradient.row(7)[0] = 1;
  gradient.row(3)[1] = 2;
  gradient.row(7)[1] = 3;
  gradient.dense()[1] = 4;
  CHECK(std::vector<ItemHandle>(gradient.touched().begin(), gradient.touched().end()) == std::vector<ItemHandle>{7, 3});
  CHECK(gradient.touched_row(0)[1] == 3.0f);
  CHECK(gradient.squared_norm() == 1 + 4 + 9 + 16);

  GradientBuffer sum(2, 10, 2);
  sum.row(3)[1] = 10;
  sum.add(gradient);
  CHECK(sum.row(3)[1] == 12.0f);
  CHECK(sum.row(7)[0] == 1.0f);
  CHECK(sum.dense()[1] == 4.0f);

  gradient.clear();
  CHECK(gradient.touched().empty());
  CHECK(gradient.squared_norm() == 0);
  CHECK(gradient.row(7)[1] == 0.0f);
}

}  // namespace attune
