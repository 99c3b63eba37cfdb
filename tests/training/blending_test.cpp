// SPDX-License-Identifier: Apache-2.0
#include "training/blending.hpp"

#include <chrono>

#include "attune/executor.hpp"
#include "catch.hpp"
#include "training/small_training.hpp"
#include "training/validation.hpp"

using namespace attune;
using namespace attune::test;

TEST_CASE("Weights of a blend are tried while there is time that is not reserved", "[training][blending]") {
  const Split parts =
      leave_one_out(histories_of(60, 12, 40, [](std::size_t u, std::size_t i) { return (u + 7 * i) % 40; }));
  TrainerConfig config = small_config();
  config.epochs = 1;
  config.blend = true;
  TrainedModel model = Trainer(config).fit(parts.train, parts.validation);
  InlineExecutor executor;
  // How many weights are tried in ten seconds, when each takes one.
  const auto tried = [&](double spent, double reserved) {
    platform::Clock::time_point time{};
    const detail::TimeBudget budget(10, spent, reserved, [&] { return time; });
    std::size_t count = 0;
    const auto slow = [&](const BlendReport&) {
      ++count;
      time += std::chrono::seconds(1);
      return true;
    };
    REQUIRE(detail::choose_blend(model, parts.train, parts.validation, detail::validation_options(config, executor),
                                 config, budget, {.blend = slow}));
    CHECK(budget.left() >= 0);
    CHECK(budget.spent() == spent + static_cast<double>(count));
    return count;
  };
  CHECK(tried(0, 0) == 8);
  CHECK(tried(0, 4) == 5);  // the last of them ends when one second is left, which is no more than one weight took
  CHECK(tried(6, 0) == 3);
  CHECK(tried(6, 3) == 1);
  CHECK(tried(6, 4) == 0);
}
