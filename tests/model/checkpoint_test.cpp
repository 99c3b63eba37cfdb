// SPDX-License-Identifier: Apache-2.0
// Saving and loading of models that are as they should be, and saving where it must be refused or fails.
#include "attune/model/checkpoint.hpp"

#include <cerrno>
#include <cmath>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "attune/error.hpp"
#include "attune/model/safetensors.hpp"
#include "attune/model/transformer_encoder.hpp"
#include "catch.hpp"
#include "errors.hpp"
#include "model/manifest.hpp"
#include "model/small_model.hpp"
#include "platform/failing_calls.hpp"
#include "temporary_directory.hpp"

using namespace attune;
using namespace attune::test;
namespace fs = std::filesystem;

namespace {

void require_error(const std::optional<Error>& error, ErrorCode code, const std::string& part) {
  REQUIRE(error);
  INFO(error->what());
  CHECK(error->code() == code);
  CHECK(std::string(error->what()).find(part) != std::string::npos);
}

std::map<std::string, std::string> files_of(const fs::path& directory) {
  std::map<std::string, std::string> files;
  for (const auto& entry : fs::directory_iterator(directory)) {
    files[entry.path().filename().string()] = read_text(entry.path());
  }
  return files;
}

std::size_t entries_in(const fs::path& directory) {
  return static_cast<std::size_t>(std::distance(fs::directory_iterator(directory), fs::directory_iterator()));
}

TrainedModel saved_and_loaded(const TrainedModel& model) {
  const TemporaryDirectory directory;
  model.save(directory / "model");
  return TrainedModel::load(directory / "model");
}

void check_round_trip(TrainedModel model) {
  const TrainedModel loaded = saved_and_loaded(model);
  CHECK_FALSE(loaded.version.empty());
  CHECK(loaded.score_kind() == model.score_kind());
  model.version = loaded.version;
  CHECK(difference(model, loaded) == "");
}

// A count model of a host's own.
class HostCounts final : public CountModel {
 public:
  std::string_view name() const noexcept override { return "host"; }
  std::size_t num_items() const noexcept override { return 6; }
  bool knows(ItemHandle) const noexcept override { return false; }
  void score_all(HistoryView, std::span<float> scores, Workspace&) const override { std::ranges::fill(scores, 0.0f); }
};

// What the hook of the last test replaces, and before which read.
std::string replaced_directory;
int replaced_at = 0;

}  // namespace

TEST_CASE("A model is the same, bit for bit, after saving and loading", "[model][checkpoint]") {
  check_round_trip(small_model(6, GENERATE(IdKind::string, IdKind::int64)));
}

TEST_CASE("A calibration comes back bit for bit, and one that is none is not saved", "[model][checkpoint]") {
  TrainedModel model = small_model();
  model.calibration = {{-1.1f, 0.3f, 7.0f}, {1e-7f, 0.1f, 0.7f}};
  check_round_trip(model);
  model.calibration.probabilities[2] = 0.05f;
  const TemporaryDirectory directory;
  require_error(error_of([&] { model.save(directory / "model"); }), ErrorCode::invalid_argument, "never fall");
  CHECK(entries_in(directory.path()) == 0);
}

TEST_CASE("A ranker comes back bit for bit as a required feature, and one that is none is not saved",
          "[model][checkpoint]") {
  TrainedModel model = small_model();
  model.ranker = {37, {0.1f, -1e-20f, 3e30f, 0.0f, -0.0f, 1.0f / 3, 5, 6, 7}};
  check_round_trip(model);
  const TemporaryDirectory directory;
  model.save(directory / "model");
  const auto json = nlohmann::json::parse(read_text(directory / "model/manifest.json"));
  CHECK(json["required_features"].back() != "ranker.linear");  // the blend is named last, as ever
  CHECK(json["required_features"].dump().find("ranker.linear") != std::string::npos);
  TrainedModel bad = model;
  bad.ranker.weights.pop_back();
  require_error(error_of([&] { bad.save(directory / "bad"); }), ErrorCode::invalid_argument, "9 weights");
  bad = model;
  bad.encoder = nullptr;
  bad.blend_weight = 0;
  require_error(error_of([&] { bad.save(directory / "bad"); }), ErrorCode::invalid_argument,
                "a ranker, but no encoder");
  CHECK(entries_in(directory.path()) == 1);
}

TEST_CASE("Every kind of encoder comes back as it was saved", "[model][checkpoint]") {
  TrainedModel model = small_model();
  EncoderConfig config = small_config();
  SECTION("hstu") { config.block = BlockKind::hstu; }
  SECTION("hstu with times") {
    config.block = BlockKind::hstu;
    config.time_buckets = 12;
    config.request_time = true;
    config.learned_norms = true;
    config.bias_per_head = false;
    config.attention_divisor = 7;
    config.absolute_positions = false;
    config.feed_forward = true;
  }
  SECTION("a mask token") {
    config.mask = AttentionMask::bidirectional;
    config.mask_token = true;
  }
  const std::shared_ptr<SequenceEncoder<float>> encoder = make_encoder(config, 6);
  encoder->initialize(3);
  model.encoder = encoder;
  check_round_trip(model);
}

TEST_CASE("Counts of every kind come back as they were, alone and in a blend", "[model][checkpoint]") {
  const auto options = all_count_options();
  const TrainedModel model = counting(small_model(), options[GENERATE(0u, 1u, 2u, 3u, 4u, 5u)]);
  check_round_trip(model);
  TrainedModel alone = model;
  alone.encoder = nullptr;
  alone.blend_weight = 0;
  check_round_trip(alone);
  const TrainedModel loaded = saved_and_loaded(alone);
  std::vector<float> scores(6), again(6);
  alone.counts->score_all(alone.histories->of(0), scores);
  loaded.counts->score_all(loaded.histories->of(0), again);
  CHECK(scores == again);
}

TEST_CASE("Counts of kinds that attune 0.1.0 does not know are required features", "[model][checkpoint]") {
  const TemporaryDirectory directory;
  const auto features = [&](const TrainedModel& model) {
    model.save(directory / "model");
    const auto json = nlohmann::json::parse(read_text(directory / "model/manifest.json"));
    return json["required_features"].get<std::vector<std::string>>();
  };
  using Features = std::vector<std::string>;
  const auto options = all_count_options();
  const TrainedModel model = small_model();
  CHECK(features(model) == Features{"encoder.sasrec", "blend.markov"});
  CHECK(features(counting(model, options[2])) == Features{"encoder.sasrec", "counts.item-knn"});
  CHECK(features(counting(model, options[3])) == Features{"encoder.sasrec", "counts.ease"});
  CHECK(features(counting(model, options[4])) == Features{"encoder.sasrec", "counts.ials"});
  CHECK(features(counting(model, options[5])) == Features{"encoder.sasrec", "counts.repeat"});
  CHECK(features(counting(model, options[0])) == Features{"encoder.sasrec", "popularity.window", "counts.popularity"});
  TrainedModel plain = model;
  plain.blend_weight = 0;
  CHECK(features(plain) == Features{"encoder.sasrec"});
}

TEST_CASE("Saving what was loaded writes the same bytes", "[model][checkpoint]") {
  const TemporaryDirectory directory;
  small_model().save(directory / "one");
  TrainedModel::load(directory / "one").save(directory / "other");
  CHECK(files_of(directory.path() / "one") == files_of(directory.path() / "other"));
  CHECK(files_of(directory.path() / "one").size() == 6);
}

TEST_CASE("A compressed model has its matrices in 8 bits and is the same again however often it is saved",
          "[model][checkpoint]") {
  TrainedModel model = small_model();
  EncoderConfig config = small_config();
  config.block = GENERATE(BlockKind::sasrec, BlockKind::hstu);
  const std::shared_ptr<SequenceEncoder<float>> encoder = make_encoder(config, 6);
  encoder->initialize(3);
  std::ranges::fill(encoder->items().row(4), 0.0f);
  model.encoder = encoder;
  const TemporaryDirectory directory;
  model.save(directory / "whole");
  compressed(model).save(directory / "one");
  const TrainedModel loaded = TrainedModel::load(directory / "one");
  CHECK(loaded.weight_storage == WeightStorage::int8);
  CHECK(loaded.version != TrainedModel::load(directory / "whole").version);
  CHECK(largest_difference(loaded.encoder->weights(), model.encoder->weights()) < 0.02);
  for (std::size_t item = 0; item < 6; ++item) CHECK(loaded.encoder->knows(ItemHandle(item)) == (item != 4));
  loaded.save(directory / "other");
  CHECK(files_of(directory.path() / "one") == files_of(directory.path() / "other"));

  const auto weights = SafetensorsFile::open(directory / "one/weights.safetensors");
  for (const TensorInfo& tensor : weights.tensors()) {
    const bool scale = tensor.name.ends_with(".scale");
    CHECK(tensor.dtype == (tensor.shape.size() == 2 && !scale ? DType::i8 : DType::f32));
  }
  const auto opening = SafetensorsFile::open(directory / "one/opening.safetensors");
  for (const TensorInfo& tensor : opening.tensors()) CHECK(tensor.name.starts_with("ids."));
  const auto manifest = nlohmann::json::parse(read_text(directory / "one/manifest.json"));
  CHECK(manifest["required_features"].dump().find("weights.int8") != std::string::npos);
}

TEST_CASE("A model that only counts has no weights to compress", "[model][checkpoint]") {
  TrainedModel model = compressed(small_model());
  model.encoder = nullptr;
  model.blend_weight = 0;
  CHECK(saved_and_loaded(model).weight_storage == WeightStorage::float32);
}

TEST_CASE("Every part but the item ids may be missing", "[model][checkpoint]") {
  TrainedModel model = small_model();
  const int without = GENERATE(0, 1, 2, 3, 4, 5);
  model.blend_weight = 0;
  if (without == 0) model.encoder = nullptr;
  if (without == 1) model.popularity = nullptr;
  if (without == 2) model.counts = nullptr;
  if (without == 3) model.histories = nullptr;
  if (without == 4) model.popularity = nullptr, model.counts = nullptr;
  if (without == 5) model.encoder = nullptr, model.counts = nullptr, model.histories = nullptr;
  check_round_trip(model);
}

TEST_CASE("One item in all, and none, are catalogues", "[model][checkpoint]") {
  check_round_trip(small_model(1));
  TrainedModel empty;
  empty.item_ids = std::make_shared<const IdMap>();
  empty.encoder = std::make_shared<const SasrecEncoder>(small_config(), 0);
  auto histories = std::make_shared<Histories>();
  histories->item_ids = empty.item_ids;
  histories->user_ids = std::make_shared<const IdMap>(IdKind::int64);
  empty.histories = histories;
  empty.popularity = std::make_shared<const PopularityModel>(PopularityModel::fit(*histories));
  empty.counts = fit_counts(*histories, MarkovOptions{});
  check_round_trip(empty);
}

TEST_CASE("Events need neither times nor kinds nor values", "[model][checkpoint]") {
  TrainedModel model = small_model();
  auto histories = std::make_shared<Histories>(*model.histories);
  histories->times.clear();
  if (GENERATE(false, true)) histories->kinds.clear();
  if (GENERATE(false, true)) histories->values.clear();
  model.histories = histories;
  check_round_trip(model);
}

TEST_CASE("More rows than one chunk of the table come back in order", "[model][checkpoint]") {
  const std::size_t rows = EmbeddingTable<float>::kChunkRows + 3;
  TrainedModel model;
  model.item_ids = ids_of(rows, IdKind::int64, "");
  model.encoder = std::make_shared<const SasrecEncoder>(random_encoder<float>(small_config(), rows));
  check_round_trip(model);
}

TEST_CASE("Directories of earlier versions mean what they meant", "[model][checkpoint]") {
  const TemporaryDirectory directory;
  small_model().save(directory / "model");
  const std::string path = directory / "model/manifest.json";
  auto manifest = detail::parse_manifest(read_text(path), path);
  SECTION("a hop of 0 is a quarter of the window") {
    manifest.encoder->hop = 0;
    write_text(path, detail::manifest_text(manifest));
    CHECK(TrainedModel::load(directory / "model").encoder->config().effective_hop() == 2);
  }
  SECTION("a dropout that dropped nothing is none") {
    manifest.encoder->dropout = 0.0019;
    manifest.encoder->attention_dropout = 1e-9;
    write_text(path, detail::manifest_text(manifest));
    const TrainedModel loaded = TrainedModel::load(directory / "model");
    CHECK(loaded.encoder->config().dropout == 0.0);
    CHECK(loaded.encoder->config().attention_dropout == 0.0);
  }
}

TEST_CASE("The version follows from what answers depend on, unless it is given", "[model][checkpoint]") {
  const TrainedModel model = small_model();
  const std::string version = saved_and_loaded(model).version;
  CHECK(version.size() == 8);
  CHECK(saved_and_loaded(model).version == version);

  TrainedModel other = model;
  auto histories = std::make_shared<Histories>(*model.histories);
  histories->times[1] += 1;
  other.histories = histories;
  other.notes["who"] = "somebody else";
  CHECK(saved_and_loaded(other).version == version);
  other.blend_weight = 0.31;
  CHECK(saved_and_loaded(other).version != version);
  other.blend_weight = model.blend_weight;

  auto encoder = random_encoder<float>(small_config(), model.num_items());
  encoder.items().row(3)[4] += 1e-3f;
  other.encoder = std::make_shared<const SasrecEncoder>(std::move(encoder));
  CHECK(saved_and_loaded(other).version != version);

  other.version = "spring";
  CHECK(saved_and_loaded(other).version == "spring");
}

TEST_CASE("The score kind follows from the parts", "[model][checkpoint]") {
  TrainedModel model = small_model();
  CHECK(model.score_kind() == ScoreKind::blend);
  model.blend_weight = 0;
  CHECK(model.score_kind() == ScoreKind::cosine);
  EncoderConfig config = small_config();
  config.score = ScoreKind::dot;
  model.encoder = std::make_shared<const SasrecEncoder>(config, 6);
  CHECK(model.score_kind() == ScoreKind::dot);
  model.encoder = nullptr;
  CHECK(model.score_kind() == ScoreKind::count);
}

TEST_CASE("Parts that do not fit together are not saved", "[model][checkpoint]") {
  const auto changed_histories = [](TrainedModel& model, const std::function<void(Histories&)>& change) {
    auto histories = std::make_shared<Histories>(*model.histories);
    change(*histories);
    model.histories = histories;
  };
  using Change = std::function<void(TrainedModel&)>;
  const std::vector<std::pair<std::string, Change>> refused{
      {"it has no item ids", [](TrainedModel& m) { m.item_ids = nullptr; }},
      {"one row per item id", [](TrainedModel& m) { m.encoder = std::make_shared<SasrecEncoder>(small_config(), 5); }},
      {"one count per item id", [](TrainedModel& m) { m.popularity = std::make_shared<PopularityModel>(); }},
      {"one row per item id", [](TrainedModel& m) { m.counts = std::make_shared<MarkovModel>(); }},
      {"a blend weight", [](TrainedModel& m) { m.blend_weight = std::nan(""); }},
      {"a blend weight", [](TrainedModel& m) { m.counts = nullptr; }},
      {"a blend weight", [](TrainedModel& m) { m.encoder = nullptr; }},
      {"no file has a place for", [](TrainedModel& m) { m.counts = std::make_shared<HostCounts>(); }},
      {"another popularity than its own",
       [](TrainedModel& m) { m.counts = std::make_shared<PopularityModel>(*m.popularity); }},
      {"another popularity than its own",
       [](TrainedModel& m) {
         m.counts = m.popularity;
         m.popularity = nullptr;
       }},
      {"not UTF-8", [](TrainedModel& m) { m.notes["x"] = std::string("\xFF"); }},
      {"not UTF-8", [](TrainedModel& m) { m.version = std::string("\xFF"); }},
      {"other item ids", [](TrainedModel& m) { m.histories = small_histories(ids_of(7, IdKind::string, ""), {}); }},
      {"other item ids", [](TrainedModel& m) { m.histories = small_histories(ids_of(6, IdKind::string, "x"), {}); }},
      {"one user id per user",
       [&](TrainedModel& m) { changed_histories(m, [](Histories& h) { h.user_ids = nullptr; }); }},
      {"one user id per user",
       [&](TrainedModel& m) { changed_histories(m, [](Histories& h) { h.user_ids = ids_of(2, {}, ""); }); }},
      {"differ in length", [&](TrainedModel& m) { changed_histories(m, [](Histories& h) { h.items.pop_back(); }); }},
      {"differ in length", [&](TrainedModel& m) { changed_histories(m, [](Histories& h) { h.times.pop_back(); }); }},
      {"no id for", [&](TrainedModel& m) { changed_histories(m, [](Histories& h) { h.items[0] = 6; }); }},
      {"not finite", [&](TrainedModel& m) { changed_histories(m, [](Histories& h) { h.values[0] = INFINITY; }); }},
  };
  const TemporaryDirectory directory;
  for (const auto& [problem, change] : refused) {
    TrainedModel model = small_model();
    change(model);
    require_error(error_of([&] { model.save(directory / "model"); }), ErrorCode::invalid_argument, problem);
    CHECK(entries_in(directory.path()) == 0);
  }
}

TEST_CASE("Weights that are not finite are not saved, and named", "[model][checkpoint]") {
  const TemporaryDirectory directory;
  TrainedModel model = small_model();
  auto encoder = random_encoder<float>(small_config(), 6);
  const Parameter& last = encoder.parameters().list().back();
  const bool in_items = GENERATE(true, false);
  (in_items ? encoder.items().row(2)[1] : encoder.weights()[last.offset + 1]) = std::nanf("");
  model.encoder = std::make_shared<const SasrecEncoder>(std::move(encoder));
  const auto error = error_of([&] { model.save(directory / "model"); });
  require_error(error, ErrorCode::non_finite, in_items ? "element 17 of items.weight" : "element 1 of " + last.name);
  CHECK(entries_in(directory.path()) == 0);
}

TEST_CASE("What is not a model is not replaced by one", "[model][checkpoint]") {
  const TemporaryDirectory directory;
  const TrainedModel model = small_model();
  const auto refuse = [&](ErrorCode code, const std::string& part) {
    const auto before = files_of(directory.path() / "place");
    require_error(error_of([&] { model.save(directory / "place"); }), code, part);
    require_error(error_of([&] { TrainedModel::check_replaceable(directory / "place"); }), code, part);
    CHECK(files_of(directory.path() / "place") == before);
    CHECK(entries_in(directory.path()) == 1);
  };
  fs::create_directory(directory / "place");
  write_text(directory / "place/thesis.txt", "precious");
  refuse(ErrorCode::invalid_argument, "holds no manifest.json");
  write_text(directory / "place/manifest.json", R"({"name": "a web page"})");
  refuse(ErrorCode::invalid_argument, "manifest.json is not that of a model");
  fs::remove_all(directory / "place");
  model.save(directory / "place");
  write_text(directory / "place/thesis.txt", "precious");
  refuse(ErrorCode::invalid_argument, "thesis.txt, which is not part of a model");
  fs::remove(directory / "place/thesis.txt");
  model.save(directory / "place");
  CHECK(difference(TrainedModel::load(directory / "place"), saved_and_loaded(model)) == "");
}

TEST_CASE("A file where the directory should be is an error", "[model][checkpoint]") {
  const TemporaryDirectory directory;
  write_text(directory / "file", "text");
  require_error(error_of([&] { small_model().save(directory / "file"); }), ErrorCode::io_error, "Not a directory");
  require_error(error_of([&] { small_model().save(directory / "file/model"); }), ErrorCode::io_error,
                "Not a directory");
  CHECK(read_text(directory / "file") == "text");
}

TEST_CASE("A model that is replaced has only its own files", "[model][checkpoint]") {
  const TemporaryDirectory directory;
  TrainedModel model = small_model();
  model.save(directory / "model");
  model.histories = nullptr;
  model.save(directory / "model");
  CHECK_FALSE(fs::exists(directory / "model/histories.bin"));
  CHECK_FALSE(TrainedModel::load(directory / "model").histories);
}

TEST_CASE("A disk that is full leaves the old model, whole", "[model][checkpoint]") {
  const TemporaryDirectory directory;
  const TrainedModel old_model = small_model(3), new_model = small_model(9);
  old_model.save(directory / "model");
  const auto before = files_of(directory.path() / "model");
  int failures = 0;
  for (;; ++failures) {
    std::optional<Error> error;
    {
      Faults faults;
      faults.fail_at = failures;
      faults.error = ENOSPC;
      error = error_of([&] { new_model.save(directory / "model"); });
    }
    if (!error) break;
    require_error(error, ErrorCode::io_error, "No space left on device");
    REQUIRE(files_of(directory.path() / "model") == before);
    REQUIRE(entries_in(directory.path()) == 1);
  }
  CHECK(failures > 10);
  CHECK(TrainedModel::load(directory / "model").num_items() == 9);
}

TEST_CASE("Loading while another model is saved gives the one or the other, whole", "[model][checkpoint]") {
  const TemporaryDirectory directory;
  small_model(3).save(directory / "model");
  replaced_directory = directory / "model";
  const ModelAccess access = GENERATE(ModelAccess::in_memory, ModelAccess::mapped);
  replaced_at = GENERATE(0, 1, 2, 3, 4, 5);  // manifest, items.ids, opening, weights, counts, histories
  std::optional<TrainedModel> loaded;
  {
    Faults faults;
    faults.before_open = [](int number) {
      if (number == replaced_at) small_model(9).save(replaced_directory);
    };
    loaded = TrainedModel::load(replaced_directory, access);
  }
  TrainedModel expected = small_model(9);
  expected.version = loaded->version;
  CHECK(difference(*loaded, expected) == "");
}

TEST_CASE("A mapped model is not another one's vectors by its own checksums", "[model][checkpoint]") {
  const auto save = [](float changed) {
    constexpr std::size_t kItems = 1000, kDim = 16;
    IdMap ids(IdKind::int64);
    for (std::size_t item = 0; item < kItems; ++item) ids.insert(item);
    EncoderConfig config;
    config.embedding_dim = kDim;
    const std::shared_ptr<SequenceEncoder<float>> encoder = make_encoder(config, kItems);
    encoder->initialize(1);
    encoder->items().row(kItems / 2)[0] = changed;
    TrainedModel model;
    model.item_ids = std::make_shared<const IdMap>(std::move(ids));
    model.encoder = encoder;
    model.save(replaced_directory);
  };
  const TemporaryDirectory directory;
  replaced_directory = directory / "model";
  save(0.25f);
  static decltype(save) save_another = save;
  Faults faults;
  faults.before_open = [](int number) {
    if (number == 3) save_another(0.5f);  // weights
  };
  const TrainedModel model = TrainedModel::load(replaced_directory, ModelAccess::mapped);
  CHECK(model.encoder->items().row(500)[0] == 0.5f);
}
