// SPDX-License-Identifier: Apache-2.0
// Models that are used where their files are: ids, rows and what is kept ready for opening.
#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <limits>
#include <optional>

#include "attune/detail/checked_blocks.hpp"
#include "attune/error.hpp"
#include "attune/model/checkpoint.hpp"
#include "attune/model/safetensors.hpp"
#include "catch.hpp"
#include "data/sum64.hpp"
#include "errors.hpp"
#include "model/manifest.hpp"
#include "model/opening_file.hpp"
#include "model/small_model.hpp"
#include "temporary_directory.hpp"

using namespace attune;
using namespace attune::test;
using detail::CheckedBlocks;

namespace {

std::vector<std::byte> some_bytes(std::size_t size) {
  std::vector<std::byte> bytes(size);
  for (std::size_t i = 0; i < size; ++i) bytes[i] = static_cast<std::byte>(i * 37 + i / 251);
  return bytes;
}

class SavedModel {
 public:
  SavedModel() { small_model().save(path()); }
  std::string path() const { return directory_ / "model"; }
  std::string path(const std::string& file) const { return path() + '/' + file; }
  void flip(const std::string& file, std::size_t at) const {
    std::string text = read_text(path(file));
    text.at(at) = static_cast<char>(text[at] ^ 4);
    write_text(path(file), text);
  }
  // With a fitting size and checksum in the manifest.
  void forge(const std::string& file, std::span<const std::byte> bytes) const {
    write_bytes(path(file), bytes);
    auto manifest = detail::parse_manifest(read_text(path("manifest.json")), "manifest");
    manifest.files[file] = {bytes.size(), detail::crc32_of(bytes), detail::sum64_of(bytes)};
    write_text(path("manifest.json"), detail::manifest_text(manifest));
  }
  TrainedModel load() const { return TrainedModel::load(path(), ModelAccess::mapped); }
  std::optional<Error> error() const {
    return error_of([&] { load(); });
  }

 private:
  TemporaryDirectory directory_;
};

}  // namespace

TEST_CASE("A block is refused when it is touched and damaged, and no other is", "[model][checked_blocks]") {
  constexpr std::size_t kBlock = CheckedBlocks::kBlockBytes;
  std::vector<std::byte> bytes = some_bytes(3 * kBlock + 100);
  const std::vector<std::uint64_t> sums = CheckedBlocks::sums_of(bytes);
  REQUIRE(sums.size() == 4);
  bytes[kBlock + 7] ^= std::byte{1};
  const CheckedBlocks blocks(bytes, sums, nullptr, "file");
  blocks.require(0, kBlock);
  blocks.require(2 * kBlock, kBlock + 100);
  blocks.require(kBlock + 7, 0);
  for (const std::size_t begin : {kBlock - 1, kBlock, 2 * kBlock - 1}) {
    const auto error = error_of([&] { blocks.require(begin, 2); });
    REQUIRE(error);
    CHECK(error->code() == ErrorCode::corrupt_file);
    CHECK(std::string(error->what()).starts_with("file: bytes 4096 to 8192"));
  }
}

TEST_CASE("Where finite numbers are expected no other is good", "[model][checked_blocks]") {
  std::vector<float> numbers(2048, 1.0f);
  numbers[5] = numbers[1500] = std::numeric_limits<float>::infinity();
  const auto bytes = std::as_bytes(std::span(numbers));
  const std::vector<std::uint64_t> sums = CheckedBlocks::sums_of(bytes);
  CheckedBlocks blocks(bytes, sums, nullptr, "file");
  blocks.require(0, bytes.size());
  blocks.expect_finite(6 * sizeof(float), bytes.size());
  blocks.require(0, 100);
  const auto error = error_of([&] { blocks.require(6000, 1); });
  REQUIRE(error);
  CHECK(error->code() == ErrorCode::non_finite);
  CHECK(std::string(error->what()).find("byte 6000") != std::string::npos);
}

TEST_CASE("A mapped model has the bits of one in memory", "[model][mapped]") {
  const SavedModel saved;
  const TrainedModel mapped = saved.load(), read = TrainedModel::load(saved.path());
  REQUIRE(mapped.opening);
  REQUIRE(mapped.encoder->items().mapped());
  REQUIRE_FALSE(read.opening);
  REQUIRE(mapped.num_items() == read.num_items());
  for (std::uint32_t item = 0; item < read.num_items(); ++item) {
    REQUIRE(mapped.item_ids->id(item) == read.item_ids->id(item));
    REQUIRE(mapped.item_ids->find(read.item_ids->id(item)) == item);
    REQUIRE(std::ranges::equal(mapped.encoder->items().row(item), read.encoder->items().row(item)));
    REQUIRE(mapped.encoder->knows(item) == read.encoder->knows(item));
  }
  REQUIRE(std::ranges::equal(mapped.encoder->weights(), read.encoder->weights()));
  const TemporaryDirectory again;
  mapped.save(again / "model");
  for (const char* file : {"manifest.json", "weights.safetensors", "opening.safetensors", "items.ids"}) {
    CHECK(read_text(again / ("model/" + std::string(file))) == read_text(saved.path(file)));
  }
}

TEST_CASE("A model without a file for opening is read into memory", "[model][mapped]") {
  const SavedModel saved;
  auto manifest = detail::parse_manifest(read_text(saved.path("manifest.json")), "manifest");
  manifest.files.erase("opening.safetensors");
  for (auto& [name, file] : manifest.files) file.sum64.reset();
  write_text(saved.path("manifest.json"), detail::manifest_text(manifest));
  std::filesystem::remove(saved.path("opening.safetensors"));
  const TrainedModel model = saved.load();
  CHECK_FALSE(model.opening);
  CHECK_FALSE(model.encoder->items().mapped());
}

TEST_CASE("Of a compressed model the ids are mapped and the weights are read", "[model][mapped]") {
  const TemporaryDirectory directory;
  const std::string path = directory / "model";
  compressed(small_model()).save(path);
  const TrainedModel read = TrainedModel::load(path), mapped = TrainedModel::load(path, ModelAccess::mapped);
  REQUIRE(mapped.opening);
  CHECK(mapped.opening->weights == nullptr);
  CHECK_FALSE(mapped.encoder->items().mapped());
  CHECK(difference(read, mapped) == "");
  const std::string weights = read_text(path + "/weights.safetensors");
  for (std::size_t at = 0; at < weights.size(); at += 1 + weights.size() / 97) {
    std::string flipped = weights;
    flipped[at] = static_cast<char>(flipped[at] ^ 4);
    write_text(path + "/weights.safetensors", flipped);
    const auto error = error_of([&] { TrainedModel::load(path, ModelAccess::mapped); });
    REQUIRE(error);
    CHECK(error->code() == ErrorCode::corrupt_file);
    CHECK(std::string(error->what()).find("weights.safetensors") != std::string::npos);
  }
}

TEST_CASE("A mapped model outlives its directory", "[model][mapped]") {
  std::optional<TrainedModel> model;
  std::vector<float> row;
  {
    const SavedModel saved;
    model = saved.load();
    const TrainedModel in_memory = TrainedModel::load(saved.path());
    const auto read = in_memory.encoder->items().row(1);
    row.assign(read.begin(), read.end());
  }
  CHECK(std::ranges::equal(model->encoder->items().row(1), row));
}

TEST_CASE("Whatever byte of a mapped model is damaged, nothing damaged is used", "[model][mapped]") {
  const SavedModel saved;
  const TrainedModel good = TrainedModel::load(saved.path());
  std::size_t late = 0;
  for (const char* file :
       {"weights.safetensors", "items.ids", "counts.safetensors", "histories.bin", "opening.safetensors"}) {
    const std::string whole = read_text(saved.path(file));
    for (std::size_t at = 0; at < whole.size(); at += 1 + whole.size() / 97) {
      INFO(file << " byte " << at);
      saved.flip(file, at);
      const auto error = error_of([&] {
        const TrainedModel model = saved.load();
        ++late;
        for (std::uint32_t item = 0; item < good.num_items(); ++item) model.encoder->items().row(item);
      });
      REQUIRE(error);
      CHECK(error->code() == ErrorCode::corrupt_file);
      CHECK(std::string(error->what()).find(file) != std::string::npos);
      write_text(saved.path(file), whole);
    }
  }
  CHECK_FALSE(saved.error());
  CHECK(late == 0);  // a file this small is one block, which holds weights that are needed at once
}

TEST_CASE("A file for opening that does not fit its model is refused", "[model][mapped]") {
  const SavedModel saved;
  const auto file = SafetensorsFile::open(saved.path("opening.safetensors"));
  const auto forged = [&](const std::string& tensor, const std::function<void(std::vector<std::uint64_t>&)>& change) {
    std::vector<std::pair<std::string, std::vector<std::uint64_t>>> tensors;
    for (const TensorInfo& info : file.tensors()) {
      if (info.dtype != DType::u64) continue;
      std::vector<std::uint64_t> numbers(info.elements());
      std::memcpy(numbers.data(), file.bytes(info).data(), numbers.size() * sizeof(std::uint64_t));
      if (info.name == tensor) change(numbers);
      if (info.name == tensor && numbers.empty()) continue;
      tensors.emplace_back(info.name, std::move(numbers));
    }
    SafetensorsWriter writer;
    for (const auto& [name, numbers] : tensors) {
      writer.add(name, {numbers.size()}, std::span<const std::uint64_t>(numbers));
    }
    saved.forge("opening.safetensors", writer.bytes());
    return saved.error();
  };
  const auto none = forged("", [](auto&) {});
  INFO((none ? none->what() : ""));
  REQUIRE_FALSE(none);
  using Numbers = std::vector<std::uint64_t>;
  const std::vector<std::pair<std::string, std::function<void(Numbers&)>>> cases{
      {"ids.seed", [](Numbers& n) { n.clear(); }},
      {"ids.seed", [](Numbers& n) { n.push_back(1); }},
      {"ids.slots", [](Numbers& n) { n.clear(); }},
      {"ids.slots", [](Numbers& n) { n.pop_back(); }},
      {"ids.slots", [](Numbers& n) { n.resize(2 * n.size(), ~std::uint64_t{0}); }},
      {"ids.slots", [](Numbers& n) { n.assign(n.size(), 0); }},
      {"ids.slots", [](Numbers& n) { n.assign(n.size(), ~std::uint64_t{0}); }},
      {"ids.offsets", [](Numbers& n) { n.clear(); }},
      {"ids.offsets", [](Numbers& n) { n.pop_back(); }},
      {"ids.offsets", [](Numbers& n) { std::swap(n[1], n[2]); }},
      {"ids.offsets", [](Numbers& n) { n[1] = ~std::uint64_t{0}; }},
      {"ids.offsets", [](Numbers& n) { ++n.back(); }},
      {"rows.nonzero", [](Numbers& n) { n.push_back(0); }},
      {"rows.scorable", [](Numbers& n) { n.clear(); }},
      {"rows.scorable", [](Numbers& n) { n.back() |= std::uint64_t{1} << 63; }},
      {"weights.sums", [](Numbers& n) { n.push_back(0); }},
      {"weights.sums", [](Numbers& n) { n.clear(); }},
  };
  for (const auto& [tensor, change] : cases) {
    const auto error = forged(tensor, change);
    INFO(tensor);
    REQUIRE(error);
    CHECK(error->code() == ErrorCode::corrupt_file);
    INFO(error->what());
  }
}
