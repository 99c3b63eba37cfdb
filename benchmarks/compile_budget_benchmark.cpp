// SPDX-License-Identifier: Apache-2.0

// What does a host pay for an #include? Time and preprocessed lines of the facade and of the umbrella header, with the
// compiler that built this program, beside what they may cost. Fails where a header does not compile or has more lines
// than its budget; seconds depend on the machine and are only reported.

#include <benchmark/benchmark.h>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <string>

namespace {

struct Budget {
  const char* header;
  std::size_t lines;
  double seconds;
};
constexpr Budget kBudgets[] = {{"recommender.hpp", 50000, 0.8}, {"attune.hpp", 75000, 1.5}};

struct Cost {
  std::size_t lines = 0;
  double seconds = 0;  // the best of all runs
};
std::map<std::string, Cost> costs;  // of the headers that were asked for

std::filesystem::path scratch() { return ATTUNE_SCRATCH_DIR; }

// Compiles, or only preprocesses, a unit that includes the header and nothing else.
bool compile(const std::string& header, const std::string& mode, const std::filesystem::path& output) {
  const std::filesystem::path unit = scratch() / "compile_budget_unit.cpp";
  std::ofstream{unit} << "#include <attune/" << header << ">\n";
  const std::string command = std::string(ATTUNE_COMPILER) + " -std=c++20 -O2 -I\"" ATTUNE_INCLUDE_DIR "\" " + mode +
                              " \"" + unit.string() + "\" -o \"" + output.string() + '"';
  return std::system(command.c_str()) == 0;
}

// Lines that are neither blank nor markers of the preprocessor.
std::size_t count_lines(const std::filesystem::path& file) {
  std::ifstream in{file};
  std::size_t lines = 0;
  for (std::string line; std::getline(in, line);) {
    const std::size_t first = line.find_first_not_of(" \t\r\f\v");
    lines += first != std::string::npos && line[first] != '#';
  }
  return lines;
}

void include(benchmark::State& state, const Budget& budget) {
  const std::filesystem::path output = scratch() / "compile_budget_unit.out";
  Cost& cost = costs[budget.header];
  if (!compile(budget.header, "-E", output)) return state.SkipWithError("the header does not compile");
  cost.lines = count_lines(output);
  for (auto _ : state) {
    const auto start = std::chrono::steady_clock::now();
    if (!compile(budget.header, "-c", output)) return state.SkipWithError("the header does not compile");
    const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
    state.SetIterationTime(elapsed.count());
    cost.seconds = cost.seconds == 0 ? elapsed.count() : std::min(cost.seconds, elapsed.count());
  }
  state.counters["lines"] = static_cast<double>(cost.lines);
}

}  // namespace

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  for (const Budget& budget : kBudgets) {
    benchmark::RegisterBenchmark((std::string("include/") + budget.header).c_str(),
                                 [&budget](benchmark::State& state) { include(state, budget); })
        ->UseManualTime()
        ->Unit(benchmark::kMillisecond);
  }
  benchmark::RunSpecifiedBenchmarks();
  bool within = true;
  for (const Budget& budget : kBudgets) {
    const auto cost = costs.find(budget.header);
    if (cost == costs.end()) continue;
    std::printf("%s: %zu of %zu lines, %.2f of %.1f s\n", budget.header, cost->second.lines, budget.lines,
                cost->second.seconds, budget.seconds);
    within = within && cost->second.seconds > 0 && cost->second.lines <= budget.lines;
  }
  return within ? 0 : 1;
}
