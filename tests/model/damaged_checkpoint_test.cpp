// SPDX-License-Identifier: Apache-2.0
// Model directories that were damaged, or written by somebody who wishes us ill: one Error that names the file.
#include <algorithm>
#include <filesystem>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "attune/error.hpp"
#include "attune/model/checkpoint.hpp"
#include "attune/model/safetensors.hpp"
#include "catch.hpp"
#include "model/histories_file.hpp"
#include "model/manifest.hpp"
#include "model/small_model.hpp"
#include "temporary_directory.hpp"

using namespace attune;
using namespace attune::test;
namespace fs = std::filesystem;

namespace {

const std::vector<std::string> kFiles{"manifest.json", "weights.safetensors", "counts.safetensors",
                                      "items.ids",     "histories.bin",       "opening.safetensors"};

// A saved model whose files a test may change.
class SavedModel {
 public:
  explicit SavedModel(const TrainedModel& model = small_model()) { model.save(path()); }
  std::string path() const { return directory_ / "model"; }
  std::string path(const std::string& file) const { return directory_ / ("model/" + file); }
  std::string read(const std::string& file) const { return read_text(path(file)); }
  void write(const std::string& file, const std::string& text) const { write_text(path(file), text); }

  // Changes the manifest as somebody would who knows how its checksum is made.
  void change_manifest(const std::function<void(detail::Manifest&)>& change) const {
    auto manifest = detail::parse_manifest(read("manifest.json"), "manifest");
    change(manifest);
    write("manifest.json", detail::manifest_text(manifest));
  }
  // The same for what no manifest of ours would say.
  void write_manifest(nlohmann::ordered_json json) const {
    json.erase("checksum");
    const std::string text = json.dump();
    json["checksum"] = detail::hex_of(detail::crc32_of(std::as_bytes(std::span(text))));
    write("manifest.json", json.dump(2));
  }
  // Puts other content into a file, with its size and checksum in the manifest.
  void forge(const std::string& file, std::span<const std::byte> bytes) const {
    write_bytes(path(file), bytes);
    change_manifest([&](auto& manifest) { manifest.files[file] = {bytes.size(), detail::crc32_of(bytes)}; });
  }

  std::optional<Error> error() const {
    try {
      TrainedModel::load(path());
    } catch (const Error& error) {
      return error;
    }
    return std::nullopt;
  }
  void require_error(ErrorCode code, const std::string& part) const {
    const auto found = error();
    INFO(part);
    REQUIRE(found);
    INFO(found->what());
    CHECK(found->code() == code);
    CHECK(std::string(found->what()).find(part) != std::string::npos);
  }

 private:
  TemporaryDirectory directory_;
};

std::string replaced(std::string text, const std::string& from, const std::string& to) {
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

// The weights of the small model with one tensor changed on the way.
std::vector<std::byte> weights_with(const SavedModel& saved,
                                    const std::function<bool(TensorInfo&, std::vector<float>&)>& change) {
  const auto file = SafetensorsFile::open(saved.path("weights.safetensors"));
  std::vector<std::pair<TensorInfo, std::vector<float>>> tensors;
  for (TensorInfo tensor : file.tensors()) {
    auto values = file.floats(tensor);
    if (change(tensor, values)) tensors.emplace_back(std::move(tensor), std::move(values));
  }
  SafetensorsWriter writer;
  for (const auto& [tensor, values] : tensors) writer.add(tensor.name, tensor.shape, std::span<const float>(values));
  return writer.bytes();
}

// A tensor of a file with its bytes.
struct RawTensor {
  TensorInfo info;
  std::vector<std::byte> data;
  template <class Number>
  std::span<Number> as() {
    return {reinterpret_cast<Number*>(data.data()), data.size() / sizeof(Number)};
  }
};

// The weights of a compressed model with all its tensors changed on the way, by name.
std::vector<std::byte> codes_with(const SavedModel& saved,
                                  const std::function<void(std::map<std::string, RawTensor>&)>& change) {
  const auto file = SafetensorsFile::open(saved.path("weights.safetensors"));
  std::map<std::string, RawTensor> tensors;
  for (const TensorInfo& info : file.tensors()) {
    const auto data = file.bytes(info);
    tensors[info.name] = {info, {data.begin(), data.end()}};
  }
  change(tensors);
  SafetensorsWriter writer;
  for (auto& [name, tensor] : tensors) {
    if (tensor.info.dtype == DType::i8) {
      writer.add(name, tensor.info.shape, std::span<const std::int8_t>(tensor.as<std::int8_t>()));
    } else {
      writer.add(name, tensor.info.shape, std::span<const float>(tensor.as<float>()));
    }
  }
  return writer.bytes();
}

}  // namespace

TEST_CASE("A file that is missing is named", "[model][checkpoint]") {
  for (const std::string& file : kFiles) {
    const SavedModel saved;
    fs::remove(saved.path(file));
    saved.require_error(ErrorCode::io_error, file);
  }
}

TEST_CASE("A file that is cut short or longer than it was is named", "[model][checkpoint]") {
  const SavedModel saved;
  for (const std::string& file : kFiles) {
    const std::string whole = saved.read(file);
    for (std::size_t size = 0; size < whole.size(); size += std::max<std::size_t>(1, whole.size() / 37)) {
      saved.write(file, whole.substr(0, size));
      saved.require_error(ErrorCode::corrupt_file, file);
    }
    saved.write(file, whole.substr(0, whole.size() - 1));
    if (file != "manifest.json") saved.require_error(ErrorCode::corrupt_file, file);  // its last byte is a line break
    saved.write(file, whole + "garbage");
    saved.require_error(ErrorCode::corrupt_file, file);
    saved.write(file, whole);
  }
  CHECK_FALSE(saved.error());
}

TEST_CASE("A flipped bit in any file is noticed", "[model][checkpoint]") {
  const SavedModel saved;
  for (const std::string& file : kFiles) {
    const std::string whole = saved.read(file);
    const std::size_t step = file == "manifest.json" ? 1 : std::max<std::size_t>(1, whole.size() / 101);
    for (std::size_t at = 0; at < whole.size(); at += step) {
      std::string flipped = whole;
      flipped[at] = static_cast<char>(flipped[at] ^ 1 << at % 8);
      saved.write(file, flipped);
      const auto error = saved.error();
      INFO(file << ", byte " << at << ": " << whole[at] << " became " << flipped[at]);
      REQUIRE(error);
      CHECK(std::string(error->what()).find(file) != std::string::npos);
    }
    saved.write(file, whole);
  }
}

TEST_CASE("A manifest may be indented in another way, and nothing else", "[model][checkpoint]") {
  const SavedModel saved;
  std::string text = saved.read("manifest.json");
  std::erase(text, '\n');
  saved.write("manifest.json", text);
  CHECK_FALSE(saved.error());
  saved.write("manifest.json", replaced(text, "leave-one-out", "leave-two-out"));
  saved.require_error(ErrorCode::corrupt_file, "checksum");
}

TEST_CASE("A model of a newer format is refused with both versions", "[model][checkpoint]") {
  const SavedModel saved;
  saved.write("manifest.json", replaced(saved.read("manifest.json"), "\"format_version\": 1", "\"format_version\": 7"));
  saved.require_error(ErrorCode::unsupported_version, "the model has format version 7, this attune reads up to 1");
}

TEST_CASE("A feature that this build does not know is refused by name", "[model][checkpoint]") {
  const SavedModel saved;
  saved.write("manifest.json", replaced(saved.read("manifest.json"), "encoder.sasrec", "encoder.oracle"));
  saved.require_error(ErrorCode::unsupported, "\"encoder.oracle\"");
}

TEST_CASE("A manifest that is not one says what was expected", "[model][checkpoint]") {
  const SavedModel saved;
  const std::string text = saved.read("manifest.json");
  const ErrorCode corrupt = ErrorCode::corrupt_file;
  const std::vector<std::pair<std::string, std::string>> damages{
      {"", "parse error"},
      {"[]", "expected a JSON object"},
      {"{}", "format is missing"},
      {"{\"format\": \"web\"}", "expected attune-model, found \"web\""},
      {"{\"format\": 7}", "expected text, found 7"},
      {std::string(100'000, '['), "at most 32 levels"},
      {replaced(text, "\"format_version\": 1", "\"format_version\": 0"), "expected at least 1"},
      {replaced(text, "\"format_version\": 1", "\"format_version\": -1"), "expected an integer"},
      {replaced(text, "\"format_version\": 1", "\"format_version\": 1.0"), "expected an integer"},
      {replaced(text, "\"format_version\"", "\"format\": \"attune-model\", \"format_version\""), "stands there twice"},
      {replaced(text, "\"checksum\"", "\"checksums\""), "checksum is missing"},
  };
  for (const auto& [damaged, problem] : damages) {
    saved.write("manifest.json", damaged);
    saved.require_error(corrupt, problem);
    saved.require_error(corrupt, "manifest.json");
  }
  saved.write("manifest.json", std::string((1 << 20) + 1, ' '));
  saved.require_error(ErrorCode::limit_exceeded, "manifest.json");
}

TEST_CASE("Safetensors case S62: a tensor that is missing or has the wrong shape is named", "[model][checkpoint]") {
  const SavedModel saved;
  const std::string name = GENERATE("items.weight", "position_embedding.weight", "final_norm.bias");
  const auto forge = [&](const std::function<bool(TensorInfo&, std::vector<float>&)>& change) {
    saved.forge("weights.safetensors", weights_with(saved, [&](TensorInfo& tensor, std::vector<float>& values) {
                  return tensor.name != name || change(tensor, values);
                }));
  };
  SECTION("missing") {
    forge([](auto&, auto&) { return false; });
    saved.require_error(ErrorCode::corrupt_file, "tensor \"" + name + "\" is missing");
  }
  SECTION("wrong shape") {
    forge([](TensorInfo& tensor, auto&) {
      tensor.shape.push_back(1);
      return true;
    });
    saved.require_error(ErrorCode::corrupt_file, "tensor \"" + name + "\": expected shape [");
  }
  SECTION("not finite") {
    forge([](auto&, std::vector<float>& values) {
      values[3] = INFINITY;
      return true;
    });
    saved.require_error(ErrorCode::non_finite, "tensor \"" + name + "\": element 3");
  }
}

TEST_CASE("Codes and scales that are none are refused by tensor", "[model][checkpoint]") {
  const SavedModel saved(compressed(small_model()));
  const std::string name = GENERATE("items.weight", "position_embedding.weight", "blocks.1.attention.qkv.weight");
  const std::string scale = name + ".scale", quoted = "tensor \"" + name + "\": ";
  using Tensors = std::map<std::string, RawTensor>;
  const auto refused = [&](const std::function<void(Tensors&)>& change, ErrorCode code, const std::string& part) {
    const std::string whole = saved.read("weights.safetensors");
    saved.forge("weights.safetensors", codes_with(saved, change));
    saved.require_error(code, part);
    saved.forge("weights.safetensors", std::as_bytes(std::span(whole)));
    REQUIRE_FALSE(saved.error());
  };
  const ErrorCode corrupt = ErrorCode::corrupt_file;
  const std::string missing = "tensor \"" + scale + "\" is missing";
  refused([&](Tensors& tensors) { tensors.erase(scale); }, corrupt, missing);
  refused([&](Tensors& tensors) { tensors.erase(name); }, corrupt, "tensor \"" + name + "\" is missing");
  refused([&](Tensors& tensors) { std::swap(tensors[scale], tensors[name]); }, corrupt, quoted + "expected shape [");
  refused([&](Tensors& tensors) { tensors[scale].info.shape = {tensors[scale].as<float>().size()}; }, corrupt,
          "tensor \"" + scale + "\": expected shape [");
  refused([&](Tensors& tensors) { std::swap(tensors[name].info.shape[0], tensors[name].info.shape[1]); }, corrupt,
          quoted + "expected shape [");
  refused([&](Tensors& tensors) { tensors[scale].as<float>()[2] = NAN; }, ErrorCode::non_finite,
          scale + "\": element 2");
  refused([&](Tensors& tensors) { tensors[scale].as<float>()[2] = INFINITY; }, ErrorCode::non_finite, "element 2");
  for (const float bad : {-1e-3f, 0.0f, 3e37f}) {
    refused([&](Tensors& tensors) { tensors[scale].as<float>()[3] = bad; }, corrupt,
            scale + "\": element 3: expected a positive scale");
  }
  refused([&](Tensors& tensors) { tensors[name].as<std::int8_t>()[5] = -128; }, corrupt,
          quoted + "element 5: expected a code from -127 to 127, found -128");
  refused(
      [&](Tensors& tensors) {
        tensors[name].info.dtype = DType::f32;
        tensors[name].data.resize(4 * tensors[name].data.size());
      },
      corrupt, quoted + "expected I8, found F32");
  refused([&](Tensors& tensors) { tensors["final_norm.bias.scale"] = tensors[scale]; }, corrupt, "tensors, found");
}

TEST_CASE("Codes are not read as weights, nor weights as codes", "[model][checkpoint]") {
  const SavedModel codes(compressed(small_model()));
  codes.change_manifest([](auto& manifest) { manifest.weight_storage = WeightStorage::float32; });
  codes.require_error(ErrorCode::unsupported, "expected F32, F16 or BF16, found I8");
  const SavedModel weights;
  weights.change_manifest([](auto& manifest) { manifest.weight_storage = WeightStorage::int8; });
  weights.require_error(ErrorCode::corrupt_file, "expected I8, found F32");
}

TEST_CASE("A tensor that nobody asked for is an error", "[model][checkpoint]") {
  const SavedModel saved;
  saved.forge("weights.safetensors", weights_with(saved, [](TensorInfo& tensor, auto&) {
                if (tensor.name == "final_norm.bias") tensor.name = "final_norm.bias.old";
                return true;
              }));
  saved.require_error(ErrorCode::corrupt_file, "tensor \"final_norm.bias\" is missing");
  saved.change_manifest([](auto& manifest) { manifest.encoder->final_norm = false; });
  saved.require_error(ErrorCode::corrupt_file, "tensors, found");
}

TEST_CASE("Safetensors case S63: a configuration out of range is an error, without the memory it asks for",
          "[model][checkpoint]") {
  const std::vector<std::pair<std::string, std::function<void(EncoderConfig&)>>> refused{
      {"num_heads", [](EncoderConfig& c) { c.num_heads = 3; }},
      {"num_blocks", [](EncoderConfig& c) { c.num_blocks = std::size_t{1} << 31; }},
      {"max_sequence_length", [](EncoderConfig& c) { c.max_sequence_length = 0; }},
      {"embedding_dim", [](EncoderConfig& c) { c.embedding_dim = 0; }},
      {"embedding_dim", [](EncoderConfig& c) { c.embedding_dim = ~std::size_t{0}; }},
      {"temperature", [](EncoderConfig& c) { c.temperature = 0; }},
  };
  for (const auto& [field, change] : refused) {
    const SavedModel saved;
    saved.change_manifest([&, &apply = change](auto& manifest) { apply(*manifest.encoder); });
    saved.require_error(ErrorCode::invalid_config, field);
  }
  const std::vector<std::pair<std::string, std::function<void(EncoderConfig&)>>> too_large{
      {"tensor \"items.weight\": expected shape [6, 4096]", [](EncoderConfig& c) { c.embedding_dim = 4096; }},
      {"tensor \"position_embedding.weight\": expected", [](EncoderConfig& c) { c.max_sequence_length = 65536; }},
      {"tensor \"blocks.2.", [](EncoderConfig& c) { c.num_blocks = 64; }},
      {"tensor \"blocks.0.", [](EncoderConfig& c) { c.inner_dim = 4096; }},
  };
  for (const auto& [problem, change] : too_large) {
    const SavedModel saved;
    saved.change_manifest([&, &apply = change](auto& manifest) { apply(*manifest.encoder); });
    saved.require_error(ErrorCode::corrupt_file, problem);
  }
}

TEST_CASE("Numbers that are stored twice must agree", "[model][checkpoint]") {
  using Change = std::function<void(detail::Manifest&)>;
  const std::vector<std::pair<std::string, Change>> refused{
      {"items.ids: expected 7 ids, found 6", [](detail::Manifest& m) { m.items.count = 7; }},
      {"items.ids: the ids are of another kind", [](detail::Manifest& m) { m.items.kind = IdKind::int64; }},
      {"histories.bin: expected 4 ids, found 3", [](detail::Manifest& m) { m.users->count = 4; }},
      {"histories.bin: the ids are of another kind", [](detail::Manifest& m) { m.users->kind = IdKind::int64; }},
      {"files.histories.bin is missing", [](detail::Manifest& m) { m.files.erase("histories.bin"); }},
      {"weights.safetensors: expected 0 bytes", [](detail::Manifest& m) { m.files["weights.safetensors"].size = 0; }},
      {"counts.safetensors: expected checksum 0", [](detail::Manifest& m) { m.files["counts.safetensors"].crc32 = 1; }},
      {"not both an encoder and counts", [](detail::Manifest& m) { m.counts.reset(); }},
  };
  for (const auto& [problem, change] : refused) {
    const SavedModel saved;
    saved.change_manifest(change);
    saved.require_error(ErrorCode::corrupt_file, problem);
  }
}

TEST_CASE("An item catalogue of another length than the weights is an error", "[model][checkpoint]") {
  const SavedModel saved;
  saved.forge("items.ids", detail::item_ids_bytes(*ids_of(5, IdKind::string, "")));
  saved.change_manifest([](auto& manifest) { manifest.items.count = 5; });
  saved.require_error(ErrorCode::corrupt_file, "tensor \"items.weight\": expected shape [5, 8], found [6, 8]");
}

TEST_CASE("Safetensors case S64: a manifest may name nothing outside its directory", "[model][checkpoint]") {
  const std::string name = GENERATE("../items.ids", "/etc/passwd", "a/b", "C:items.ids", "..", "a\\b", "");
  const SavedModel saved;
  saved.change_manifest([&](auto& manifest) { manifest.files[name] = {1, 2}; });
  saved.require_error(ErrorCode::corrupt_file, "expected a bare file name");
}

TEST_CASE("Counts of every kind that were damaged are refused by file", "[model][checkpoint]") {
  const auto options = all_count_options()[GENERATE(0u, 1u, 2u, 3u, 4u, 5u)];
  const SavedModel saved(counting(small_model(), options));
  const std::string whole = saved.read("counts.safetensors");
  for (std::size_t at = 0; at < whole.size(); at += std::max<std::size_t>(1, whole.size() / 101)) {
    std::string flipped = whole;
    flipped[at] = static_cast<char>(flipped[at] ^ 1 << at % 8);
    saved.write("counts.safetensors", flipped);
    saved.require_error(ErrorCode::corrupt_file, "counts.safetensors");
  }
}

TEST_CASE("Tensors of counts that are forged are one error or a model, never more", "[model][checkpoint]") {
  const auto options = all_count_options()[GENERATE(0u, 1u, 2u, 3u, 4u, 5u)];
  const SavedModel saved(counting(small_model(), options));
  const std::string whole = saved.read("counts.safetensors");
  const std::size_t header = 8 + static_cast<unsigned char>(whole[0]) + 256 * static_cast<unsigned char>(whole[1]);
  for (std::size_t at = header; at < whole.size(); ++at) {
    std::string forged = whole;
    forged[at] = static_cast<char>(0xff);
    saved.forge("counts.safetensors", std::as_bytes(std::span(forged)));
    const auto error = saved.error();
    if (error) CHECK(std::string(error->what()).find("counts.safetensors") != std::string::npos);
  }
}

TEST_CASE("A tensor of counts that is missing, of another shape or not asked for is named", "[model][checkpoint]") {
  const SavedModel saved(counting(small_model(), EaseOptions{}));
  const std::vector<std::uint64_t> popularity(6, 1);
  const std::vector<float> weights(36, 0.5f);
  const auto forge = [&](const char* name, std::vector<std::size_t> shape, bool twice = false) {
    SafetensorsWriter writer;
    writer.add("popularity", {6}, std::span<const std::uint64_t>(popularity));
    writer.add(name, shape, std::span<const float>(weights));
    if (twice) writer.add("ials.items", {6, 6}, std::span<const float>(weights));
    saved.forge("counts.safetensors", writer.bytes());
  };
  forge("ease.weights", {6, 6});
  CHECK_FALSE(saved.error());
  forge("ease", {6, 6});
  saved.require_error(ErrorCode::corrupt_file, "tensor \"ease.weights\" is missing");
  forge("ease.weights", {9, 4});
  saved.require_error(ErrorCode::corrupt_file, "tensor \"ease.weights\": expected shape [6, 6]");
  forge("ease.weights", {6, 6}, true);
  saved.require_error(ErrorCode::corrupt_file, "counts.safetensors: expected 2 tensors, found 3");
}

TEST_CASE("Counts that a manifest does not describe as a whole are refused", "[model][checkpoint]") {
  const SavedModel saved(counting(small_model(), PopularityOptions{}));
  saved.change_manifest([](detail::Manifest& manifest) { manifest.popularity.reset(); });
  saved.require_error(ErrorCode::corrupt_file, "popularity: expected true, found false");

  const SavedModel ease(counting(small_model(), EaseOptions{}));
  const std::string text = ease.read("manifest.json");
  for (const std::string field : {"model", "options"}) {
    auto json = nlohmann::ordered_json::parse(text);
    json["counts"].erase(field);
    ease.write_manifest(json);
    ease.require_error(ErrorCode::corrupt_file, "counts." + field + " is missing");
  }
  auto json = nlohmann::ordered_json::parse(text);
  json["counts"]["model"] = "slim";
  ease.write_manifest(json);
  ease.require_error(ErrorCode::invalid_config, "counts.model: expected one of popularity");
  json = nlohmann::ordered_json::parse(text);
  json["markov"] = nlohmann::ordered_json::object();
  ease.write_manifest(json);
  ease.require_error(ErrorCode::corrupt_file, "counts: expected no second count model");
}

TEST_CASE("Options of counts that make no sense are refused by file and field", "[model][checkpoint]") {
  const std::vector<std::pair<std::string, CountOptions>> refused{
      {"ease.lambda", EaseOptions{.lambda = 0}},
      {"item_knn.decay", ItemKnnOptions{.decay = 2}},
      {"ials.embedding_dim", IalsOptions{.embedding_dim = 17}},
      {"markov.steps", MarkovOptions{.steps = 0}},
  };
  for (const auto& [field, options] : refused) {
    const SavedModel saved;
    saved.change_manifest([&, &o = options](detail::Manifest& manifest) { manifest.counts = o; });
    saved.require_error(ErrorCode::invalid_config, field);
  }
}

TEST_CASE("A calibration that is none is refused by file and field", "[model][checkpoint]") {
  const SavedModel saved;
  saved.change_manifest([](detail::Manifest& manifest) { manifest.calibration = {{1.0f, 1.0f}, {0.1f, 0.2f}}; });
  saved.require_error(ErrorCode::corrupt_file, "manifest.json: calibration: expected finite scores that");
}

TEST_CASE("A ranker that is none is refused by file and field", "[model][checkpoint]") {
  TrainedModel model = small_model();
  model.ranker = {50, std::vector<float>(LearnedRanker::kNumFeatures, 0.5f)};
  const SavedModel saved(model);
  REQUIRE_FALSE(saved.error());
  const auto manifest = nlohmann::ordered_json::parse(saved.read("manifest.json"));
  const auto refused = [&](const std::function<void(nlohmann::ordered_json&)>& change, const std::string& part) {
    auto changed = manifest;
    change(changed["ranker"]);
    saved.write_manifest(changed);
    saved.require_error(ErrorCode::corrupt_file, "manifest.json: " + part);
  };
  refused([](auto& ranker) { ranker = 7; }, "ranker.: expected an object");
  refused([](auto& ranker) { ranker.erase("candidates"); }, "ranker.candidates is missing");
  refused([](auto& ranker) { ranker["candidates"] = 0; }, "ranker: expected at least one candidate");
  refused([](auto& ranker) { ranker["candidates"] = -1; }, "ranker.candidates: expected an integer");
  refused([](auto& ranker) { ranker["weights"].erase("age"); }, "ranker.weights.age is missing");
  refused([](auto& ranker) { ranker["weights"]["age"] = "old"; }, "ranker.weights.age: expected a number");
  refused([](auto& ranker) { ranker["weights"]["age"] = 1e300; }, "ranker: expected finite weights");
  refused([](auto& ranker) { ranker["weights"]["colour"] = 1; }, "ranker.weights: expected 9 features");

  saved.write_manifest(manifest);
  saved.change_manifest([](detail::Manifest& counting) {
    counting.encoder.reset();
    counting.blend_weight = 0;
  });
  saved.require_error(ErrorCode::corrupt_file, "manifest.json: a ranker, but no encoder");
}

TEST_CASE("Counts that contradict themselves are refused", "[model][checkpoint]") {
  const SavedModel saved;
  const std::vector<std::uint64_t> popularity(6, 1), offsets{0, 1, 1, 1, 1, 1, 1}, too_large(6, ~std::uint64_t{0});
  const std::vector<std::uint32_t> columns{GENERATE(0u, 6u)};
  const std::vector<float> counts{2.0f};
  const bool huge = GENERATE(false, true);
  SafetensorsWriter writer;
  writer.add("popularity", {6}, std::span<const std::uint64_t>(huge ? too_large : popularity));
  writer.add("markov.offsets", {7}, std::span<const std::uint64_t>(offsets));
  writer.add("markov.columns", {1}, std::span<const std::uint32_t>(columns));
  writer.add("markov.counts", {1}, std::span<const float>(counts));
  writer.add("markov.popularity", {6}, std::span<const std::uint64_t>(popularity));
  saved.forge("counts.safetensors", writer.bytes());
  if (huge) {
    saved.require_error(ErrorCode::unsupported, "\"popularity\": a number beyond 2^63 - 1");
  } else if (columns[0] == 6) {
    saved.require_error(ErrorCode::corrupt_file, "counts.safetensors: transition counts: a column is beyond the items");
  } else {
    CHECK_FALSE(saved.error());
  }
}

TEST_CASE("A manifest nested so deep that copying it would exhaust the stack is refused", "[model][checkpoint]") {
  const SavedModel saved;
  for (const std::string field : {"x", "format", "notes"}) {
    saved.write("manifest.json", "{\"" + field + "\": " + std::string(400'000, '[') + std::string(400'000, ']') + "}");
    saved.require_error(ErrorCode::corrupt_file, "at most 32 levels");
    CHECK_THROWS_AS(small_model().save(saved.path()), Error);
  }
}
