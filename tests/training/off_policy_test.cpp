// SPDX-License-Identifier: Apache-2.0
#include "attune/training/off_policy.hpp"

#include <cmath>
#include <limits>

#include "attune/detail/dropout.hpp"
#include "attune/error.hpp"
#include "catch.hpp"
#include "temporary_directory.hpp"

using namespace attune;
using namespace attune::test;

namespace {

// Logged by a policy that takes action a of four with probability (a + 1) / 10; action a pays with probability
// (a + 1) / 5. The new policy takes them all with probability 1/4.
std::vector<LoggedDecision> logged(std::size_t count, std::uint64_t seed) {
  std::vector<LoggedDecision> decisions;
  for (std::uint64_t i = 0; i < count; ++i) {
    const auto uniform = [&](std::uint64_t n) {
      return static_cast<double>(detail::mix(detail::mix(seed, i), n) >> 11) * 0x1p-53;
    };
    const double drawn = uniform(0);
    const int action = drawn < 0.1 ? 0 : drawn < 0.3 ? 1 : drawn < 0.6 ? 2 : 3;
    decisions.push_back({0.1 * (action + 1), uniform(1) < 0.2 * (action + 1) ? 1.0 : 0.0, 0.25});
  }
  return decisions;
}
constexpr double kTruth = (0.2 + 0.4 + 0.6 + 0.8) / 4;

std::string complaint(const std::vector<LoggedDecision>& decisions, const OffPolicyOptions& options = {}) {
  try {
    off_policy(decisions, options);
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::invalid_argument);
    return error.what();
  }
  return "";
}

}  // namespace

TEST_CASE("Off-policy estimates are those of their formulas", "[training][off_policy]") {
  const std::vector<LoggedDecision> decisions{{0.5, 1, 0.25}, {0.1, 0, 0.4}, {0.25, -2, 0.25}, {1, 3, 0}};
  const auto report = off_policy(decisions, {.bootstrap = 0});
  CHECK(report.decisions == 4);
  CHECK(report.logged == Approx(0.5));
  CHECK(report.ips == Approx((0.5 - 2) / 4));
  CHECK(report.snips == Approx((0.5 - 2) / 5.5));
  CHECK(report.effective_sample_size == Approx(5.5 * 5.5 / (0.25 + 16 + 1)));
  CHECK(report.mean_weight == Approx(5.5 / 4));
  CHECK(report.largest_weight == Approx(4));
  CHECK(report.clipped == 0);

  const auto clipped = off_policy(decisions, {.max_weight = 0.75, .bootstrap = 0});
  CHECK(clipped.clipped == 2);
  CHECK(clipped.largest_weight == Approx(0.75));
  CHECK(clipped.ips == Approx((0.5 - 1.5) / 4));
  CHECK(clipped.snips == Approx((0.5 - 1.5) / 2));
}

TEST_CASE("Both estimates find the truth, and their intervals hold it", "[training][off_policy]") {
  std::size_t held_ips = 0, held_snips = 0;
  constexpr std::size_t kTimes = 100;
  for (std::uint64_t seed = 0; seed < kTimes; ++seed) {
    const auto report = off_policy(logged(400, seed), {.bootstrap = 200});
    CHECK(report.ips == Approx(kTruth).margin(0.2));
    CHECK(report.snips == Approx(kTruth).margin(0.2));
    CHECK(report.mean_weight == Approx(1).margin(0.25));
    held_ips += report.ips_interval[0] <= kTruth && kTruth <= report.ips_interval[1];
    held_snips += report.snips_interval[0] <= kTruth && kTruth <= report.snips_interval[1];
  }
  CHECK(held_ips >= 88);
  CHECK(held_snips >= 88);
  CHECK(held_ips < kTimes);
  CHECK(held_snips < kTimes);
}

TEST_CASE("A new policy that is the old one earns what was logged", "[training][off_policy]") {
  auto decisions = logged(300, 3);
  for (LoggedDecision& decision : decisions) decision.target_probability = decision.propensity;
  const auto report = off_policy(decisions);
  CHECK(report.ips == Approx(report.logged));
  CHECK(report.snips == Approx(report.logged));
  CHECK(report.effective_sample_size == Approx(300));
  CHECK(report.ips_interval[0] < report.logged);
  CHECK(report.ips_interval[1] > report.logged);
}

TEST_CASE("Off-policy intervals are the same for any number of threads, and move with the seed",
          "[training][off_policy]") {
  const auto decisions = logged(100, 5);
  const auto alone = off_policy(decisions);
  ThreadPool pool(3);
  const auto threaded = off_policy(decisions, {.executor = &pool});
  CHECK(threaded.ips_interval == alone.ips_interval);
  CHECK(threaded.snips_interval == alone.snips_interval);
  CHECK(off_policy(decisions, {.seed = 2}).ips_interval != alone.ips_interval);
}

TEST_CASE("A resample without weight does not spoil the interval", "[training][off_policy]") {
  const auto report = off_policy(std::vector<LoggedDecision>{{0.5, 1, 1}, {0.5, 0, 0}});
  CHECK(report.snips == 1);
  CHECK(report.snips_interval == std::array<double, 2>{1, 1});
  CHECK(off_policy(std::vector<LoggedDecision>{{0.5, 1, 1}, {0.5, 0, 0}}, {.bootstrap = 1}).snips == 1);
}

TEST_CASE("Logged decisions that cannot be are refused with their place", "[training][off_policy]") {
  constexpr double kNaN = std::numeric_limits<double>::quiet_NaN(), kInfinity = std::numeric_limits<double>::infinity();
  for (const double propensity : {0.0, -0.1, 1.1, kNaN, kInfinity}) {
    CHECK(
        complaint({{0.5, 1, 1}, {propensity, 1, 1}}).find("decisions[1].propensity: expected a probability above 0") !=
        std::string::npos);
  }
  for (const double probability : {-0.1, 1.1, kNaN}) {
    CHECK(complaint({{0.5, 1, probability}}).find("decisions[0].target_probability: ") != std::string::npos);
  }
  for (const double reward : {kNaN, kInfinity}) {
    CHECK(complaint({{0.5, reward, 1}}).find("decisions[0].reward: expected a finite number") != std::string::npos);
  }
  CHECK(complaint({{0.5, 1, 0}}).find("found none") != std::string::npos);
  CHECK(complaint({}).find("found none") != std::string::npos);
  CHECK(complaint({{0.5, 1, 1}, {1e-320, 1, 1}}).find("decisions[1].propensity: expected a finite ratio") !=
        std::string::npos);
  CHECK(complaint({{1e-320, 1, 1}}, {.max_weight = 10}).find("decisions[0].propensity: ") != std::string::npos);
  CHECK(complaint({{0.5, 1, 1}, {1e-320, 1, 0}}).empty());
  for (const double weight : {0.0, -1.0, kNaN}) {
    CHECK(complaint({{0.5, 1, 1}}, {.max_weight = weight}).find("max_weight: ") != std::string::npos);
  }
}

TEST_CASE("Logged decisions are read from their columns, and refused with file and line", "[training][off_policy]") {
  const TemporaryDirectory directory;
  const auto read = [&](const std::string& text) {
    write_text(directory / "log.csv", text);
    return read_logged_decisions((directory / "log.csv").string());
  };
  const auto complaint_of = [&](const std::string& text) -> std::string {
    try {
      read(text);
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::invalid_data);
      return error.what();
    }
    return "";
  };
  const auto decisions = read("user,target_probability,reward,propensity\nu,0.5,-1,0.25\nv,0,2e1, 1\n");
  REQUIRE(decisions.size() == 2);
  CHECK(decisions[0].propensity == 0.25);
  CHECK(decisions[0].reward == -1);
  CHECK(decisions[0].target_probability == 0.5);
  CHECK(decisions[1].reward == 20);

  const std::string header = "propensity,reward,target_probability\n0.5,1,1\n";
  for (const std::string propensity : {"0", "-0.5", "1.5", "nan", "inf", "", "half"}) {
    INFO(propensity);
    CHECK(complaint_of(header + propensity + ",1,1\n")
              .find("log.csv:3: propensity: expected a probability above 0, found '" + propensity + "'") !=
          std::string::npos);
  }
  CHECK(complaint_of(header + "0.5,nan,1\n").find("log.csv:3: reward: ") != std::string::npos);
  CHECK(complaint_of(header + "0.5,1,2\n").find("log.csv:3: target_probability: ") != std::string::npos);
  CHECK(complaint_of(header + "1e-320,1,1\n").find("log.csv:3: propensity: expected a finite ratio") !=
        std::string::npos);
  CHECK(complaint_of(header + "0.5,1\n").find("target_probability: expected a probability, found no field") !=
        std::string::npos);
  CHECK(complaint_of("propensity,reward\n0.5,1\n").find("expected a column 'target_probability'") != std::string::npos);
}
