// SPDX-License-Identifier: Apache-2.0
#include "attune/privacy/accountant.hpp"

#include <cmath>
#include <fstream>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <vector>

#include "attune/error.hpp"
#include "catch.hpp"
#include "errors.hpp"

namespace attune {
namespace {

using test::code_of;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

double renyi(const GaussianMechanism& mechanism, double delta) { return renyi_epsilon({&mechanism, 1}, delta).epsilon; }
double tight(const GaussianMechanism& mechanism, double delta) { return tight_epsilon({&mechanism, 1}, delta).epsilon; }

}  // namespace

TEST_CASE("Both accountants agree with the reference implementation", "[privacy][accountant]") {
  const auto golden = nlohmann::json::parse(std::ifstream(ATTUNE_TEST_DIR "/golden/dp_accounting.json"));
  REQUIRE(golden["cases"].size() == 11);
  for (const auto& record : golden["cases"]) {
    INFO(record.dump());
    const GaussianMechanism mechanism{record["sampling_probability"], record["noise_multiplier"], record["steps"]};
    const double delta = record["delta"], order = record["rdp_optimal_order"];
    const double rdp = record["rdp_epsilon"], pld = record["pld_epsilon"];
    const double epsilon = renyi_epsilon({&mechanism, 1}, delta, {&order, 1}).epsilon;
    if (order == std::floor(order)) {
      CHECK(epsilon == Approx(rdp).epsilon(1e-10));
    } else {  // the reference is an upper bound at fractional orders
      CHECK(epsilon >= pld);
      CHECK(epsilon <= rdp * (1 + 1e-12));
    }
    CHECK(renyi(mechanism, delta) <= rdp * (1 + 1e-12));
    CHECK(tight(mechanism, delta) == Approx(pld).epsilon(1e-3));
    CHECK(tight(mechanism, delta) <= renyi(mechanism, delta));
  }
}

TEST_CASE("Renyi accounting gives the figures of published tests", "[privacy][accountant]") {
  struct Case {
    double noise, q;
    std::uint64_t steps;
    double delta, epsilon;
  };
  // Of Opacus, TensorFlow Privacy and dp_accounting, computed anew with 30 digits.
  for (const Case& c : {Case{1.5, 0.04, 2250, 1e-5, 7.32911117148}, Case{1.3, 0.0025, 6000, 1e-5, 0.724223402610596},
                        Case{1.0, 0.001, 30000, 1e-7, 1.41549884954454}, Case{0.7, 1, 2, 1e-5, 10.8602035739693},
                        Case{0.7, 0.01, 120, 1e-5, 3.23919219391}, Case{0.35, 1, 2, 1e-5, 26.2880373599692},
                        Case{0.35, 0.01, 120, 1e-5, 22.5970358137}, Case{1.0, 1, 5, 1e-6, 13.3763791633579},
                        Case{1.0, 0.0064, 782, 1e-6, 1.61639405133672}, Case{4.530877117, 1, 1, 1e-6, 1.00000028965},
                        Case{1.1, 256.0 / 60000, 14063, 1e-5, 2.59665552868},
                        Case{0.8, 0.01, 1000, 1e-6, 4.29334080176}, Case{1.0, 0.01, 1000, 1e-6, 2.43669380302},
                        Case{1.0, 0.05, 200, 1e-6, 6.09661018656}, Case{2.0, 0.1, 100, 1e-5, 2.58056880866},
                        Case{4.0, 1, 100, 1e-5, 14.1322261632}, Case{1.0, 1, 1, 1e-5, 4.72850706722}}) {
    INFO("noise " << c.noise << ", q " << c.q << ", steps " << c.steps);
    CHECK(renyi({c.q, c.noise, c.steps}, c.delta) == Approx(c.epsilon).epsilon(3e-11));
  }
}

TEST_CASE("Renyi divergences are exact at whole and at fractional orders", "[privacy][accountant]") {
  const GaussianMechanism mechanism{.sampling_probability = 0.01, .noise_multiplier = 2.5, .steps = 50};
  CHECK(renyi_divergence(mechanism, 1.5) == Approx(6.50070897188e-04).epsilon(1e-11));
  CHECK(renyi_divergence(mechanism, 2.5) == Approx(1.08541805692e-03).epsilon(1e-11));
  CHECK(renyi_divergence(mechanism, 5) == Approx(2.18075656231e-03).epsilon(1e-11));
  CHECK(renyi_divergence(mechanism, 50) == Approx(2.38460375387e-02).epsilon(1e-11));
  CHECK(renyi_divergence(mechanism, 100) == Approx(1.67416307548e+02).epsilon(1e-11));
  // The quadrature of fractional orders runs into the sums of whole ones.
  for (const double order : {2.0, 3.0, 7.0, 20.0}) {
    for (const GaussianMechanism& at :
         {GaussianMechanism{0.3, 0.5, 1}, {1e-3, 1.0, 1}, {0.9, 8.0, 1}, {1e-6, 0.7, 1}}) {
      INFO("order " << order << ", q " << at.sampling_probability << ", noise " << at.noise_multiplier);
      CHECK(renyi_divergence(at, order * (1 + 1e-13)) == Approx(renyi_divergence(at, order)).epsilon(1e-10));
    }
  }
}

TEST_CASE("Mechanisms on the same data add up", "[privacy][accountant]") {
  const std::vector<GaussianMechanism> mixed{{1e-5, 1.0, 10}, {1e-4, 3.0, 4}};
  std::vector<double> whole;
  for (int order = 2; order <= 32; ++order) whole.push_back(order);
  const PrivacyLoss loss = renyi_epsilon(mixed, 1e-5, whole);
  CHECK(loss.epsilon == Approx(0.336344063393).epsilon(1e-10));
  CHECK(loss.order == 23.0);
  const std::vector<GaussianMechanism> halves{{0.05, 2.0, 80}, {0.05, 2.0, 120}}, none{{0.05, 2.0, 200}, {0, 0, 5}};
  CHECK(tight_epsilon(halves, 1e-6).epsilon == Approx(tight({0.05, 2.0, 200}, 1e-6)).epsilon(1e-3));
  CHECK(tight_epsilon(none, 1e-6).epsilon == Approx(tight({0.05, 2.0, 200}, 1e-6)).epsilon(1e-12));
  const std::vector<GaussianMechanism> both{{1, 2.0, 4}, {0.05, 2.0, 200}};
  CHECK(tight_epsilon(both, 1e-6).epsilon > tight({1, 1.0, 1}, 1e-6));
  CHECK(tight_epsilon(both, 1e-6).epsilon < tight({1, 1.0, 1}, 1e-6) + tight({0.05, 2.0, 200}, 1e-6));
}

TEST_CASE("The tight accountant keeps to another tight one, and Renyi stays above both", "[privacy][accountant]") {
  struct Case {
    double noise, q;
    std::uint64_t steps;
    double epsilon;
  };
  // Upper bounds of Microsoft's PRV accountant at delta 1e-6, whose own error is 0.01.
  for (const Case& c : {Case{0.8, 0.001, 100, 0.270403364058}, Case{1.5, 0.05, 100, 1.953853135684},
                        Case{2.0, 0.05, 100, 1.283637379624}, Case{0.8, 0.2, 100, 24.333664177923},
                        Case{2.0, 0.2, 100, 5.672056608824}, Case{1.5, 0.001, 50000, 0.704218384556},
                        Case{0.8, 0.001, 1000, 0.477771266185}, Case{1.5, 0.05, 1000, 6.209969246577},
                        Case{0.8, 0.001, 20000, 1.296009257570}, Case{1.5, 0.001, 20000, 0.437005108655},
                        Case{2.0, 0.05, 20000, 24.421718570323}, Case{3.0, 0.05, 50000, 24.942005643144}}) {
    INFO("noise " << c.noise << ", q " << c.q << ", steps " << c.steps);
    CHECK(renyi({c.q, c.noise, c.steps}, 1e-6) > c.epsilon);
    CHECK(tight({c.q, c.noise, c.steps}, 1e-6) <= c.epsilon);
    CHECK(tight({c.q, c.noise, c.steps}, 1e-6) >= c.epsilon - 0.0105);
  }
}

TEST_CASE("Calibration finds the least noise of the analytic Gaussian mechanism", "[privacy][accountant]") {
  struct Case {
    double epsilon, delta, noise;
  };
  for (const Case& c : {Case{1, 1e-5, 3.73063163482}, Case{1, 1e-6, 4.22467888933}, Case{0.5, 1e-5, 7.03182667558},
                        Case{3, 1e-6, 1.54386141778}, Case{8, 1e-5, 0.600229072199}}) {
    INFO("epsilon " << c.epsilon << ", delta " << c.delta);
    CHECK(tight({1, c.noise, 1}, c.delta) == Approx(c.epsilon).epsilon(1e-9));
    const double noise = calibrate_noise(c.epsilon, c.delta, 1, 1);
    CHECK(noise >= c.noise);
    CHECK(noise <= c.noise * (1 + 2e-4));
  }
}

TEST_CASE("Calibrated noise keeps within the budget with what was spent before", "[privacy][accountant]") {
  const std::vector<GaussianMechanism> spent{{1, 1.0, 1}};
  const double noise = calibrate_noise(8, 1e-5, 0.04, 500, spent);
  std::vector<GaussianMechanism> all = spent;
  all.push_back({0.04, noise, 500});
  CHECK(tight_epsilon(all, 1e-5).epsilon <= 8);
  CHECK(tight_epsilon(all, 1e-5).epsilon >= 7.99);
  CHECK(noise > calibrate_noise(8, 1e-5, 0.04, 500));
}

TEST_CASE("A budget that no noise meets is refused", "[privacy][accountant]") {
  const std::vector<GaussianMechanism> spent{{1, 1.0, 1}};
  CHECK(code_of([&] { calibrate_noise(4.3, 1e-5, 0.04, 500, spent); }) == ErrorCode::limit_exceeded);
  CHECK(code_of([&] { calibrate_noise(0, 1e-5, 1, 1); }) == ErrorCode::invalid_argument);
  CHECK(code_of([&] { calibrate_noise(1, 0, 1, 1); }) == ErrorCode::limit_exceeded);
}

TEST_CASE("The edges of accounting are defined", "[privacy][accountant]") {
  for (const auto epsilon : {renyi, tight}) {
    CHECK(epsilon({0, 1, 10}, 1e-5) == 0);
    CHECK(epsilon({0.5, 1, 0}, 1e-5) == 0);
    CHECK(epsilon({0.5, 0, 10}, 1e-5) == kInfinity);
    CHECK(epsilon({0.5, 1, 10}, 0) == kInfinity);
    CHECK(epsilon({0, 1, 10}, 0) == 0);
    CHECK(epsilon({1, 1, 1}, 1) == 0);
    for (const GaussianMechanism& bad : {GaussianMechanism{-0.1, 1, 1}, {1.1, 1, 1}, {0.5, -1, 1}}) {
      CHECK(code_of([&] { epsilon(bad, 1e-5); }) == ErrorCode::invalid_argument);
    }
    CHECK(code_of([&] { epsilon({1, 1, 1}, 1.5); }) == ErrorCode::invalid_argument);
    CHECK(code_of([&] { epsilon({1, 1, 1}, -0.5); }) == ErrorCode::invalid_argument);
  }
  CHECK(code_of([] { renyi_divergence({1, 1, 1}, 1); }) == ErrorCode::invalid_argument);
  const double tiny = tight({0.01, 1.1, 1000}, 1e-12);  // below what Fourier transforms can tell
  CHECK(tiny == renyi({0.01, 1.1, 1000}, 1e-12));
}

TEST_CASE("Less noise, more steps, more sampling and a smaller delta cost more", "[privacy][accountant]") {
  std::mt19937_64 random(1);
  const auto between = [&](double low, double high) { return std::uniform_real_distribution(low, high)(random); };
  for (int i = 0; i < 200; ++i) {
    const GaussianMechanism mechanism{std::pow(10, between(-4, -0.3)), between(0.5, 5),
                                      static_cast<std::uint64_t>(between(1, 2000))};
    const double delta = std::pow(10, between(-8, -3));
    INFO(mechanism.sampling_probability << ' ' << mechanism.noise_multiplier << ' ' << mechanism.steps << ' ' << delta);
    GaussianMechanism less = mechanism, more = mechanism, often = mechanism;
    less.noise_multiplier *= 0.9;
    more.steps = more.steps * 5 / 4 + 1;
    often.sampling_probability *= 1.2;
    const double at = renyi(mechanism, delta);
    CHECK(renyi(less, delta) >= at);
    CHECK(renyi(more, delta) >= at);
    CHECK(renyi(often, delta) >= at);
    CHECK(renyi(mechanism, delta / 2) >= at);
    if (i % 10 != 0) continue;
    const double least = tight(mechanism, delta);
    CHECK(least <= at);
    CHECK(tight(less, delta) >= least);
    CHECK(tight(more, delta) >= least);
    CHECK(tight(mechanism, delta / 2) >= least);
  }
}

}  // namespace attune
