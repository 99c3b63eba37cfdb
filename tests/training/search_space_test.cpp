// SPDX-License-Identifier: Apache-2.0
#include "attune/training/search_space.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "catch.hpp"
#include "training/small_training.hpp"

using attune::Distribution;
using attune::ErrorCode;
using attune::SearchSpace;
using attune::TrainerConfig;
using attune::test::code_of;

namespace {

SearchSpace space_of(const std::string& text) { return SearchSpace::from_json(text, "space.json"); }

// Why a space is refused.
std::string refusal(const std::string& text) {
  std::string message;
  INFO(text);
  CHECK(code_of([&] { space_of(text); }, &message) == ErrorCode::invalid_config);
  CHECK(message.rfind("space.json: ", 0) == 0);
  return message;
}

bool holds(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

// The configurations of the first `count` samples.
std::vector<TrainerConfig> configurations(const SearchSpace& space, std::size_t count, std::uint64_t seed = 1) {
  std::vector<TrainerConfig> all(count);
  for (std::size_t n = 0; n < count; ++n) all[n].apply_json(space.overrides(space.sample(seed, n)), "sample");
  return all;
}

}  // namespace

TEST_CASE("A space names its parameters in the order of the file and keeps fixed values", "[search_space]") {
  const SearchSpace space = space_of(R"({"adam": {"learning_rate": {"log_uniform": [1e-4, 1e-2]}, "beta1": 0.8},
    "encoder": {"num_blocks": {"choice": [2, 4, 8]}, "dropout": {"uniform": [0.1, 0.5]}, "block": "hstu"},
    "batch_sequences": {"integer": [16, 256]}, "warmup_steps": 7})");
  std::vector<std::string> fields;
  for (const auto& parameter : space.parameters()) fields.push_back(parameter.field());
  CHECK(fields ==
        std::vector<std::string>{"adam.learning_rate", "encoder.num_blocks", "encoder.dropout", "batch_sequences"});
  CHECK(space.parameters()[0].distribution == Distribution::log_uniform);
  CHECK(space.parameters()[1].choices == std::vector<std::string>{"2", "4", "8"});
  CHECK(space.parameters()[3].high == 256);
  CHECK(space.named({"0.003", "4", "0.2", "32"}) ==
        R"({"adam.learning_rate":0.003,"encoder.num_blocks":4,"encoder.dropout":0.2,"batch_sequences":32})");
  for (const TrainerConfig& config : configurations(space, 5)) {
    CHECK(config.adam.beta1 == 0.8);
    CHECK(config.encoder.block == attune::BlockKind::hstu);
    CHECK(config.warmup_steps == 7);
  }
}

TEST_CASE("Samples fill their ranges and no more", "[search_space]") {
  const SearchSpace space = space_of(R"({"adam": {"learning_rate": {"log_uniform": [1e-4, 1e-2]}},
    "encoder": {"dropout": {"uniform": [0.1, 0.5]}}, "batch_sequences": {"log_integer": [16, 256]},
    "patience": {"integer": [1, 4]}, "schedule": {"choice": ["cosine", "linear", "constant"]}})");
  constexpr std::size_t kSamples = 4000;
  std::vector<double> rates, dropouts, batches;
  std::map<std::size_t, double> patience;
  std::map<attune::Schedule, double> schedules;
  for (const TrainerConfig& config : configurations(space, kSamples)) {
    rates.push_back(config.adam.learning_rate);
    dropouts.push_back(config.encoder.dropout);
    batches.push_back(static_cast<double>(config.batch_sequences));
    patience[config.patience] += 1.0 / kSamples;
    schedules[config.schedule] += 1.0 / kSamples;
  }
  const auto check = [](std::vector<double> values, double low, double median, double high) {
    std::sort(values.begin(), values.end());
    CHECK(values.front() >= low);
    CHECK(values.front() < 1.05 * low);
    CHECK(values[values.size() / 2] == Approx(median).epsilon(0.1));
    CHECK(values.back() <= high);
    CHECK(values.back() > 0.95 * high);
  };
  check(rates, 1e-4, 1e-3, 1e-2);
  check(dropouts, 0.1, 0.3, 0.5);
  check(batches, 16, 64, 256);
  CHECK(patience.size() == 4);
  for (const auto& [value, share] : patience) CHECK(share == Approx(0.25).margin(0.03));
  CHECK(schedules.size() == 3);
  for (const auto& [value, share] : schedules) CHECK(share == Approx(1.0 / 3).margin(0.03));
}

TEST_CASE("A sample is a function of seed and number, and its numbers are short", "[search_space]") {
  const SearchSpace space = space_of(R"({"adam": {"learning_rate": {"log_uniform": [1e-4, 1e-2]}},
    "encoder": {"dropout": {"uniform": [0.1, 0.5]}}})");
  std::set<std::vector<std::string>> seen;
  for (std::uint64_t n = 0; n < 50; ++n) {
    const auto values = space.sample(3, n);
    CHECK(values == space.sample(3, n));
    CHECK(values != space.sample(4, n));
    seen.insert(values);
    CHECK(std::count_if(values[1].begin(), values[1].end(), [](char c) { return c >= '0' && c <= '9'; }) <= 5);
  }
  CHECK(seen.size() == 50);
}

TEST_CASE("A choice may be among groups of fields", "[search_space]") {
  const SearchSpace space =
      space_of(R"({"encoder": {"choice": [{"block": "hstu", "num_blocks": 4}, {"num_heads": 4}]}})");
  std::set<std::size_t> blocks;
  for (const TrainerConfig& config : configurations(space, 20)) blocks.insert(config.encoder.num_blocks);
  CHECK(blocks == std::set<std::size_t>{2, 4});
}

TEST_CASE("A field that is unknown or of another type is refused by name, wherever it stands", "[search_space]") {
  CHECK(holds(refusal(R"({"encoder": {"dropuot": {"uniform": [0.1, 0.5]}}})"), "encoder.dropuot: no such field"));
  CHECK(holds(refusal(R"({"patience": {"integer": [1, 2]}, "epoch": 3})"), "epoch: no such field"));
  CHECK(holds(refusal(R"({"patience": {"integer": [1, 2]}, "adam": 3})"), "adam: expected an object"));
  CHECK(
      holds(refusal(R"({"encoder": {"num_blocks": {"uniform": [1, 4]}}})"), "encoder.num_blocks: expected an integer"));
  CHECK(holds(refusal(R"({"encoder": {"num_blocks": {"integer": [-1, 4]}}})"),
              "encoder.num_blocks: expected an integer"));
  CHECK(holds(refusal(R"({"encoder": {"num_blocks": {"choice": [1, 2, "four"]}}})"), "found \"four\""));
  CHECK(holds(refusal(R"({"encoder": {"block": {"choice": ["sasrec", "gru"]}}})"), "one of sasrec, hstu"));
  CHECK(holds(refusal(R"({"encoder": {"choice": [{"block": "hstu"}, {"blocks": 3}]}})"),
              "encoder.blocks: no such field"));
  CHECK(holds(refusal(R"({"encoder": {"dropout": {"gaussian": [0.1, 0.5]}}})"), "encoder.dropout: expected a number"));
}

TEST_CASE("A range that holds nothing is refused by name", "[search_space]") {
  const auto refused_range = [](const std::string& range) {
    return refusal(R"({"patience": {"integer": [1, 2]}, "adam": {"learning_rate": )" + range + "}}");
  };
  CHECK(holds(refused_range(R"({"uniform": [0.2, 0.2]})"),
              "adam.learning_rate: expected the low end below the high end"));
  CHECK(holds(refused_range(R"({"uniform": [0.3, 0.2]})"), "found [0.3,0.2]"));
  CHECK(holds(refused_range(R"({"log_uniform": [0, 0.2]})"), "begins above 0"));
  CHECK(holds(refused_range(R"({"log_uniform": [-1, 0.2]})"), "begins above 0"));
  CHECK(holds(refused_range(R"({"uniform": [0.1]})"), "two numbers [low, high]"));
  CHECK(holds(refused_range(R"({"uniform": 0.1})"), "two numbers [low, high]"));
  CHECK(holds(refused_range(R"({"uniform": ["a", "b"]})"), "two numbers [low, high]"));
  CHECK(holds(refused_range(R"({"integer": [0.5, 2]})"), "two integers [low, high]"));
  CHECK(holds(refused_range(R"({"integer": [1, 18446744073709551615]})"), "at most 2^53"));
  CHECK(holds(refused_range(R"({"choice": []})"), "a choice of at least one value"));
  CHECK(holds(refused_range(R"({"choice": 0.1})"), "a choice of at least one value"));
  CHECK(holds(refused_range(R"({"uniform": [0.1, 0.2], "choice": [0.3]})"), "expected uniform to stand alone"));
}

TEST_CASE("A space without a range is refused, and so is what is no object", "[search_space]") {
  CHECK(holds(refusal("{}"), "found none"));
  CHECK(holds(refusal(R"({"epochs": 3})"), "found none"));
  CHECK(holds(refusal("[1]"), "expected a JSON object"));
  CHECK(holds(refusal("{"), "expected a JSON object"));
  CHECK(holds(refusal(R"({"uniform": [1, 2]})"), "expected uniform to stand alone"));
}

TEST_CASE("What trials are compared by cannot vary, but can be fixed", "[search_space]") {
  CHECK(holds(refusal(R"({"epochs": {"integer": [1, 9]}})"), "epochs: expected one value, the same for all trials"));
  CHECK(holds(refusal(R"({"exclude_seen": {"choice": [true, false]}})"), "exclude_seen: expected one value"));
  CHECK(holds(refusal(R"({"encoder": {"choice": [{"request_time": false}]}})"), "encoder.request_time: expected one"));
  CHECK(holds(refusal(R"({"blend": {"choice": [true]}})"), "blend: expected one value"));
  CHECK(holds(refusal(R"({"calibrate": {"choice": [true, false]}})"), "calibrate: expected one value"));
  CHECK(holds(refusal(R"({"refit": {"choice": [true, false]}})"), "refit: expected one value"));
  CHECK(holds(refusal(R"({"rerank_candidates": {"choice": [10, 100]}})"), "rerank_candidates: expected one value"));
  const SearchSpace space = space_of(R"({"epochs": 9, "seed": 4, "patience": {"integer": [1, 9]}})");
  for (const TrainerConfig& config : configurations(space, 3)) CHECK(config.epochs == 9);
}
