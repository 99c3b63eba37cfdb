// SPDX-License-Identifier: Apache-2.0

// How many bytes of interactions does one thread read per second? A million ratings in the form of MovieLens-1M (6,040
// users in turn, 3,706 items, whole stars, seconds), generated, as a file that the system has in its cache.

#include <benchmark/benchmark.h>

#include <attune/data/reader.hpp>
#include <cstdint>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>

namespace {

constexpr std::size_t kRatings = 1'000'209, kUsers = 6'040, kItems = 3'706;

// A file that is gone at the end.
class Ratings {
 public:
  explicit Ratings(const std::string& separator) {
    const std::string name = "attune-reader-benchmark-" + std::to_string(std::random_device()()) + ".txt";
    path_ = std::filesystem::temp_directory_path() / name;
    std::ofstream out(path_);
    out << "user" << separator << "item" << separator << "rating" << separator << "timestamp\n";
    std::mt19937 random(1);
    for (std::size_t i = 0; i < kRatings; ++i) {
      out << 1 + i * kUsers / kRatings << separator << 1 + random() % kItems << separator << 1 + random() % 5
          << separator << 956'703'932 + random() % 90'000'000 << '\n';
    }
  }
  Ratings(const Ratings&) = delete;
  ~Ratings() { std::filesystem::remove(path_); }
  std::string path() const { return path_.string(); }
  std::size_t bytes() const { return std::filesystem::file_size(path_); }

 private:
  std::filesystem::path path_;
};

void read(benchmark::State& state, const std::string& separator, attune::IdKind ids) {
  const Ratings file(separator);
  const attune::ReadOptions options{.user_ids = ids, .item_ids = ids};
  for (auto _ : state) {
    const attune::InteractionLog log = attune::read_interactions(file.path(), options);
    if (log.size() != kRatings) state.SkipWithError("not every rating was read");
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(file.bytes()));
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kRatings));
}

BENCHMARK_CAPTURE(read, commas, ",", attune::IdKind::string)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(read, commas_int64_ids, ",", attune::IdKind::int64)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(read, two_colons, "::", attune::IdKind::string)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
