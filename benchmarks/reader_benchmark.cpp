// SPDX-License-Identifier: Apache-2.0

// How many bytes of interactions does one thread read per second, from a file that the system has in its cache?
// MovieLens-1M, decompressed, where ATTUNE_DATA_DIR has it; and a million ratings in its form (6,040 users in turn,
// 3,706 items, whole stars, seconds), generated, delimited and as JSON lines.

#include <benchmark/benchmark.h>

#include <attune/data/reader.hpp>
#include <cstdint>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace {

constexpr std::size_t kRatings = 1'000'209, kUsers = 6'040, kItems = 3'706;

// A file that is gone at the end.
class TemporaryFile {
 public:
  TemporaryFile()
      : path_(std::filesystem::temp_directory_path() /
              ("attune-reader-benchmark-" + std::to_string(std::random_device()()) + ".txt")) {}
  TemporaryFile(const TemporaryFile&) = delete;
  ~TemporaryFile() { std::filesystem::remove(path_); }
  std::string path() const { return path_.string(); }
  std::size_t bytes() const { return std::filesystem::file_size(path_); }

 private:
  std::filesystem::path path_;
};

// What stands around and between the four fields of a line.
struct Form {
  const char *header, *before_user, *before_item, *before_rating, *before_timestamp, *behind;
};
constexpr Form kCommas{"user,item,rating,timestamp\n", "", ",", ",", ",", "\n"};
constexpr Form kTwoColons{"user::item::rating::timestamp\n", "", "::", "::", "::", "\n"};
constexpr Form kObjects{"", R"({"user":")", R"(","item":")", R"(","rating":)", R"(,"timestamp":)", "}\n"};

class Ratings : public TemporaryFile {
 public:
  explicit Ratings(const Form& form) {
    std::ofstream out(path());
    out << form.header;
    std::mt19937 random(1);
    for (std::size_t i = 0; i < kRatings; ++i) {
      out << form.before_user << 1 + i * kUsers / kRatings << form.before_item << 1 + random() % kItems
          << form.before_rating << 1 + random() % 5 << form.before_timestamp << 956'703'932 + random() % 90'000'000
          << form.behind;
    }
  }
};

// All columns of MovieLens-1M.
class Movielens : public TemporaryFile {
 public:
  explicit Movielens(const std::string& compressed) {
    attune::DelimitedReader reader(compressed);
    std::ofstream out(path());
    write(out, reader.columns());
    for (std::vector<std::string_view> fields; reader.next(fields);) write(out, fields);
  }

 private:
  template <class Fields>
  static void write(std::ofstream& out, const Fields& fields) {
    for (std::size_t i = 0; i < fields.size(); ++i) out << (i == 0 ? "" : ",") << fields[i];
    out << '\n';
  }
};

void read(benchmark::State& state, const TemporaryFile& file, attune::IdKind ids) {
  const attune::ReadOptions options{.user_ids = ids, .item_ids = ids};
  for (auto _ : state) {
    const attune::InteractionLog log = attune::read_interactions(file.path(), options);
    if (log.size() != kRatings) state.SkipWithError("not every rating was read");
  }
  state.SetBytesProcessed(state.iterations() * static_cast<std::int64_t>(file.bytes()));
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kRatings));
}

void read_movielens(benchmark::State& state, attune::IdKind ids) {
  const char* const folder = std::getenv("ATTUNE_DATA_DIR");
  const std::string compressed = std::string(folder ? folder : "") + "/ml-1m.interactions.csv.xz";
  if (folder == nullptr || !std::filesystem::exists(compressed)) {
    return state.SkipWithError("ATTUNE_DATA_DIR does not name a folder with MovieLens-1M");
  }
  read(state, Movielens(compressed), ids);
}

void read_ratings(benchmark::State& state, const Form& form, attune::IdKind ids) { read(state, Ratings(form), ids); }

BENCHMARK_CAPTURE(read_movielens, text_ids, attune::IdKind::string)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(read_movielens, int64_ids, attune::IdKind::int64)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(read_ratings, commas, kCommas, attune::IdKind::string)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(read_ratings, commas_int64_ids, kCommas, attune::IdKind::int64)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(read_ratings, two_colons, kTwoColons, attune::IdKind::string)->Unit(benchmark::kMillisecond);
BENCHMARK_CAPTURE(read_ratings, json_lines, kObjects, attune::IdKind::string)->Unit(benchmark::kMillisecond);

}  // namespace

BENCHMARK_MAIN();
