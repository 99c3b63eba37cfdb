// SPDX-License-Identifier: Apache-2.0
// Models trained elsewhere: every score is the recorded one of tests/golden, and what does not fit is refused by name.
#include "attune/model/import.hpp"

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <map>
#include <numeric>

#include "attune/error.hpp"
#include "attune/model/export.hpp"
#include "attune/model/safetensors.hpp"
#include "attune/model/scorer_rows.hpp"
#include "catch.hpp"
#include "errors.hpp"
#include "temporary_directory.hpp"

using namespace attune;
using attune::test::TemporaryDirectory;

namespace {

std::string golden_file(const std::string& name) {
  return std::string(ATTUNE_TEST_DIR) + "/golden/" + name + ".safetensors";
}

struct Asked {
  std::vector<ItemHandle> items;
  std::vector<Timestamp> times;
  Timestamp now = kNoTime;
};

// Histories as each project keeps them: 0 is padding, on the left or on the right; seconds. Items begin with row 1.
std::vector<Asked> queries_of(const SafetensorsFile& file) {
  const TensorInfo* ids = nullptr;
  for (const char* name : {"input.histories", "input.log_seqs", "input.item_id_list", "input.past_ids"}) {
    if (ids == nullptr) ids = file.find(name);
  }
  const std::size_t width = ids->shape[1];
  const std::vector<std::int64_t> all = file.integers(*ids);
  const TensorInfo* const times = file.find("input.timestamps");
  const std::vector<std::int64_t> seconds = times != nullptr ? file.integers(*times) : std::vector<std::int64_t>{};
  std::vector<Asked> queries(ids->shape[0]);
  for (std::size_t q = 0; q < queries.size(); ++q) {
    const std::size_t stride = times != nullptr ? times->shape[1] : 0;
    std::size_t last = 0;
    for (std::size_t i = 0; i < width; ++i) {
      const std::int64_t id = all[q * width + i];
      if (id == 0) continue;
      queries[q].items.push_back(static_cast<ItemHandle>(id - 1));
      if (times != nullptr) queries[q].times.push_back(seconds[q * stride + i] * 1000);
      last = i;
    }
    if (times != nullptr) queries[q].now = seconds[q * stride + last + 1] * 1000;
  }
  return queries;
}

// Recorded scores of items, without that of the padding in front.
std::vector<std::vector<float>> scores_of(const SafetensorsFile& file) {
  const TensorInfo* scores = nullptr;
  for (const char* name : {"output.scores", "output.logits_all_items", "output.cosine_all_items"}) {
    if (scores == nullptr) scores = file.find(name);
  }
  const std::size_t width = scores->shape[1];
  const std::vector<float> all = file.floats(*scores);
  std::vector<std::vector<float>> rows;
  for (std::size_t row = 0; row < scores->shape[0]; ++row) {
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(row * width);
    rows.emplace_back(begin + 1, begin + static_cast<std::ptrdiff_t>(width));
  }
  return rows;
}

std::vector<std::size_t> best_ten(const std::vector<float>& scores) {
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::ranges::stable_sort(order, std::greater(), [&](std::size_t item) { return scores[item]; });
  order.resize(std::min<std::size_t>(order.size(), 10));
  return order;
}

std::vector<float> scores_by(const TrainedModel& model, const Asked& query) {
  Workspace workspace;
  std::vector<float> vector(model.encoder->dim());
  model.encoder->encode(vector, {query.items, query.times}, {.now = query.now}, workspace);
  const ScorerRows<float> rows(model.encoder->outputs(), model.encoder->config().score);
  std::vector<float> scores(rows.size());
  REQUIRE(rows.prepare(vector, workspace.query));
  rows.dot(scores.data(), workspace.query.data(), 0, rows.size());
  return scores;
}

void check_scores(const TrainedModel& model, const std::string& golden) {
  const SafetensorsFile file = SafetensorsFile::open(golden_file(golden));
  const std::vector<Asked> queries = queries_of(file);
  const std::vector<std::vector<float>> expected = scores_of(file);
  REQUIRE(queries.size() == expected.size());
  for (std::size_t q = 0; q < queries.size(); ++q) {
    INFO(golden << ", history " << q << " of " << queries[q].items.size() << " events");
    const std::vector<float> scores = scores_by(model, queries[q]);
    REQUIRE(scores.size() == expected[q].size());
    float worst = 0;
    for (std::size_t item = 0; item < scores.size(); ++item) {
      worst = std::max(worst, std::abs(scores[item] - expected[q][item]));
    }
    CHECK(worst <= 1e-4f);
    CHECK(best_ten(scores) == best_ten(expected[q]));
  }
}

// A checkpoint that a test changes before it is written.
struct Weights {
  std::map<std::string, std::pair<std::vector<std::size_t>, std::vector<float>>> tensors;
  std::map<std::string, std::string> metadata;

  explicit Weights(const std::string& golden) {
    const SafetensorsFile file = SafetensorsFile::open(golden_file(golden));
    for (const TensorInfo& tensor : file.tensors()) {
      if (tensor.dtype == DType::f32) tensors[tensor.name] = {tensor.shape, file.floats(tensor)};
    }
    metadata.insert(file.metadata().begin(), file.metadata().end());
  }
  std::string write(const TemporaryDirectory& directory) const {
    SafetensorsWriter writer;
    for (const auto& [key, value] : metadata) writer.metadata(key, value);
    for (const auto& [name, tensor] : tensors) writer.add(name, tensor.first, std::span<const float>(tensor.second));
    test::write_bytes(directory / "weights.safetensors", writer.bytes());
    return (directory / "weights.safetensors").string();
  }
};

void check_refused(const std::string& file, const ImportOptions& options, ErrorCode code,
                   const std::vector<std::string>& words) {
  std::string message;
  CHECK(test::code_of([&] { import_model(file, options); }, &message) == code);
  INFO(message);
  for (const std::string& word : words) CHECK(message.find(word) != std::string::npos);
}

struct Case {
  const char* golden;
  Dialect dialect;
  const char* variant;  // as options
  const char* noted;
  bool cacheable;
};

}  // namespace

TEST_CASE("Every score of an imported model is the one it had where it was trained", "[model][import][golden]") {
  const Case one = GENERATE(values<Case>({
      {"recbole_sasrec_gelu_d64_h2", Dialect::recbole, "", "post_ln", true},
      {"recbole_sasrec_relu_d32_h4", Dialect::recbole, "", "post_ln", true},
      {"recbole_sasrec_swish", Dialect::recbole, "", "post_ln", true},
      {"recbole_sasrec_tanh", Dialect::recbole, "", "post_ln", true},
      {"recbole_sasrec_sigmoid", Dialect::recbole, "", "post_ln", true},
      {"pmixer_sasrec_postln_d32_h2", Dialect::pmixer, "", "post_ln", false},
      {"pmixer_sasrec_preln_d32_h2", Dialect::pmixer, "", "pre_ln", false},
      {"pmixer_sasrec_2024", Dialect::pmixer, "", "2024", false},
      {"pmixer_sasrec_2020", Dialect::pmixer, "2020", "2020", false},
      {"hstu_d32_b3_h4", Dialect::hstu, "", "l2_norm", true},
      {"hstu_d50_b2_h1", Dialect::hstu, "", "l2_norm", true},
      {"hstu_d50_b4_h2", Dialect::hstu, "l2_norm", "l2_norm", true},
      {"gsasrec_untied", Dialect::gsasrec, "", "query_ln", false},
      {"gsasrec_tied", Dialect::gsasrec, "", "query_ln", false},
      {"rectools_sasrec_counted_padding", Dialect::rectools_sasrec, "", "counted_padding", false},
      {"rectools_sasrec_key_padding_mask", Dialect::rectools_sasrec, "", "key_padding_mask", false},
      {"rectools_sasrec_without_positions", Dialect::rectools_sasrec, "", "key_padding_mask", true},
      {"rectools_hstu_times", Dialect::rectools_hstu, "", "learned_norms", true},
      {"rectools_hstu_positions", Dialect::rectools_hstu, "", "learned_norms", false},
      {"rectools_hstu_order", Dialect::rectools_hstu, "", "learned_norms", true},
  }));
  INFO(one.golden);
  const bool told = GENERATE(true, false);
  ImportOptions options;
  if (told) options.dialect = one.dialect;
  options.variant = one.variant;
  TrainedModel model = import_model(golden_file(one.golden), options);
  CHECK(model.notes.at("dialect") == to_string(one.dialect));
  CHECK(model.notes.at("variant") == one.noted);
  CHECK(model.encoder->cacheable() == one.cacheable);
  CHECK(model.item_ids->id(0) == Id("1"));
  check_scores(model, one.golden);

  const TemporaryDirectory directory;
  model.save((directory / "model").string());
  const std::string manifest = test::read_text(directory / "model" / "manifest.json");
  CHECK((manifest.find("encoder.served") == std::string::npos) == model.encoder->config().trainable());
  for (const ModelAccess access : {ModelAccess::in_memory, ModelAccess::mapped}) {
    const TrainedModel loaded = TrainedModel::load((directory / "model").string(), access);
    check_scores(loaded, one.golden);
    CHECK(loaded.encoder->cacheable() == one.cacheable);
  }
}

TEST_CASE("A state that is carried forward says what a full pass over an imported model says", "[model][import]") {
  const std::string golden =
      GENERATE("recbole_sasrec_tanh", "pmixer_sasrec_2020", "pmixer_sasrec_postln_d32_h2", "gsasrec_untied",
               "rectools_sasrec_without_positions", "rectools_hstu_times", "rectools_hstu_positions");
  INFO(golden);
  const TrainedModel model = import_model(golden_file(golden));
  const SequenceEncoder<float>& encoder = *model.encoder;
  Workspace workspace;
  std::vector<float> forward(encoder.dim()), anew(encoder.dim());
  const Asked query = queries_of(SafetensorsFile::open(golden_file(golden))).back();  // longer than the window
  const HistoryView history{query.items, query.times};
  for (const StateStorage storage : {StateStorage::float32, StateStorage::bfloat16}) {
    auto state = encoder.make_state(storage);
    for (std::size_t n = 1; n <= history.size(); ++n) {
      encoder.advance(state, history.first(n), workspace);
      encoder.user_vector(forward, state, {.now = query.now}, workspace);
      encoder.encode(anew, history.first(n), {.now = query.now}, workspace);
      for (std::size_t d = 0; d < anew.size(); ++d) {
        CHECK(forward[d] == Approx(anew[d]).margin(storage == StateStorage::float32 ? 1e-5 : 0.1));
      }
    }
  }
}

TEST_CASE("An imported model slides by as many events as it is told", "[model][import]") {
  const std::string file = golden_file("recbole_sasrec_tanh");
  const TrainedModel exact = import_model(file), sliding = import_model(file, {.hop = 3});
  const std::size_t window = exact.encoder->config().max_sequence_length;
  const auto vector_of = [&](const TrainedModel& model, std::span<const ItemHandle> items) {
    Workspace workspace;
    std::vector<float> out(model.encoder->dim());
    model.encoder->encode(out, HistoryView{items}, {}, workspace);
    return out;
  };
  std::vector<ItemHandle> items;
  for (std::size_t n = 0; n < window + 4; ++n) items.push_back(static_cast<ItemHandle>(n % 3));
  const std::span<const ItemHandle> all(items);
  CHECK(vector_of(sliding, all.first(window)) == vector_of(exact, all.first(window)));
  // With window + 1 to window + 3 events it begins at the fourth.
  CHECK(vector_of(sliding, all.first(window + 1)) == vector_of(exact, all.subspan(3, window - 2)));
  CHECK(vector_of(sliding, all.first(window + 3)) == vector_of(exact, all.subspan(3, window)));
  CHECK_THROWS_WITH(import_model(file, {.hop = window + 1}), Catch::Contains("hop"));
}

TEST_CASE("Of a file with a prefix only what is below it is read", "[model][import]") {
  const TemporaryDirectory directory;
  Weights weights("recbole_sasrec_tanh");
  weights.tensors["grad.item_embedding.weight"] = {{1}, {std::numeric_limits<float>::quiet_NaN()}};
  check_scores(import_model(weights.write(directory)), "recbole_sasrec_tanh");

  Weights bare("recbole_sasrec_tanh");
  std::erase_if(bare.tensors, [](const auto& tensor) { return !tensor.first.starts_with("model."); });
  decltype(bare.tensors) renamed;
  for (const auto& [name, tensor] : bare.tensors) renamed[name.substr(6)] = tensor;
  bare.tensors = renamed;
  check_scores(import_model(bare.write(directory)), "recbole_sasrec_tanh");
  bare.tensors["other_layer.weight"] = {{1}, {0}};
  check_refused(bare.write(directory), {}, ErrorCode::corrupt_file,
                {"other_layer.weight", "not one that such a model has"});

  bare.tensors.clear();
  for (const auto& [name, tensor] : renamed) bare.tensors["module.net." + name] = tensor;
  check_scores(import_model(bare.write(directory)), "recbole_sasrec_tanh");
}

TEST_CASE("What tensors do not tell comes from metadata or options, and is never guessed", "[model][import]") {
  const TemporaryDirectory directory;
  Weights weights("recbole_sasrec_tanh");
  weights.metadata.clear();
  const std::string file = weights.write(directory);
  check_refused(file, {}, ErrorCode::invalid_config, {"n_heads", "missing"});
  check_refused(file, {.num_heads = 2}, ErrorCode::invalid_config, {"hidden_act", "missing"});
  check_refused(file, {.settings = {{"hidden_act", "gelu_new"}}, .num_heads = 2}, ErrorCode::invalid_config,
                {"hidden_act", "swish", "gelu_new"});
  check_refused(file, {.settings = {{"hidden_act", "tanh"}}, .num_heads = 3}, ErrorCode::invalid_config, {"num_heads"});
  check_refused(file, {.settings = {{"hidden_act", "tanh"}, {"n_heads", "two"}}}, ErrorCode::invalid_config,
                {"n_heads", "whole number", "two"});
  check_refused(file, {.settings = {{"n_head", "2"}}}, ErrorCode::invalid_config, {"n_head", "recbole"});
  check_scores(import_model(file, {.settings = {{"hidden_act", "tanh"}, {"n_heads", "2"}}}), "recbole_sasrec_tanh");
  check_scores(import_model(file, {.settings = {{"hidden_act", "tanh"}}, .num_heads = 2}), "recbole_sasrec_tanh");
}

TEST_CASE("Settings that contradict the tensors or each other are refused", "[model][import]") {
  const TemporaryDirectory directory;
  const std::string file = golden_file("recbole_sasrec_gelu_d64_h2");
  check_refused(file, {.num_heads = 4}, ErrorCode::invalid_config, {"n_heads", "expected 2", "found 4"});
  check_refused(file, {.settings = {{"hidden_act", "relu"}}}, ErrorCode::invalid_config, {"hidden_act"});
  Weights weights("recbole_sasrec_gelu_d64_h2");
  weights.metadata["n_layers"] = "3";
  check_refused(weights.write(directory), {}, ErrorCode::invalid_config, {"n_layers", "expected 2", "found 3"});
  check_refused(golden_file("hstu_d50_b2_h1"), {.settings = {{"max_sequence_len", "32"}}}, ErrorCode::invalid_config,
                {"max_sequence_len"});
  check_refused(golden_file("rectools_hstu_order"), {.settings = {{"distance", "euclidean"}}},
                ErrorCode::invalid_config, {"distance"});
}

TEST_CASE("A variant is one that the dialect has, and is told where it cannot be seen", "[model][import]") {
  const TemporaryDirectory directory;
  Weights early("pmixer_sasrec_2024");
  early.metadata.erase("variant");
  check_refused(early.write(directory), {}, ErrorCode::invalid_config, {"variant", "post_ln, pre_ln, 2024, 2020"});
  check_refused(early.write(directory), {.variant = "2021"}, ErrorCode::invalid_config, {"variant", "2021"});
  check_scores(import_model(early.write(directory), {.variant = "2024"}), "pmixer_sasrec_2024");
  check_refused(golden_file("pmixer_sasrec_2024"), {.variant = "2020"}, ErrorCode::invalid_config,
                {"variant", "2020", "2024"});
  check_refused(golden_file("pmixer_sasrec_preln_d32_h2"), {.variant = "post_ln"}, ErrorCode::invalid_config,
                {"norm_first", "post_ln", "pre_ln"});
  check_refused(golden_file("hstu_d50_b2_h1"), {.variant = "pre_ln"}, ErrorCode::invalid_config, {"l2_norm"});
  Weights weights("pmixer_sasrec_preln_d32_h2");
  weights.metadata["norm_first"] = "yes";
  check_refused(weights.write(directory), {}, ErrorCode::invalid_config, {"norm_first", "True or False", "yes"});
  weights.metadata.erase("norm_first");
  check_scores(import_model(weights.write(directory), {.variant = "pre_ln"}), "pmixer_sasrec_preln_d32_h2");
  CHECK_FALSE(dialect_of("sasrec").has_value());
  CHECK(dialect_of("rectools-hstu") == Dialect::rectools_hstu);
}

TEST_CASE("What RecTools' HSTU scores by and scales has to be told", "[model][import]") {
  const TemporaryDirectory directory;
  for (const char* const setting : {"distance", "use_scale_factor"}) {
    Weights weights("rectools_hstu_order");
    weights.metadata.erase(setting);
    check_refused(weights.write(directory), {}, ErrorCode::invalid_config, {setting, "is missing"});
    weights.metadata[setting] = "1";
    check_refused(weights.write(directory), {}, ErrorCode::invalid_config, {setting, "found 1"});
  }
  Weights scaled("rectools_hstu_order");
  scaled.metadata["use_scale_factor"] = "True";
  CHECK(import_model(scaled.write(directory)).encoder->config().scale_items);
  const ImportOptions sasrec{.settings = {{"use_scale_factor", "True"}}};
  CHECK(import_model(golden_file("rectools_sasrec_counted_padding"), sasrec).encoder->config().scale_items);
  CHECK_FALSE(import_model(golden_file("rectools_sasrec_counted_padding")).encoder->config().scale_items);
}

TEST_CASE("A row of padding that scaling makes infinite is refused", "[model][import]") {
  const TemporaryDirectory directory;
  Weights weights("pmixer_sasrec_2024");
  weights.tensors.at("model.item_emb.weight").second.front() = 3e38f;
  check_refused(weights.write(directory), {}, ErrorCode::non_finite, {"item_emb.weight", "padding"});
}

TEST_CASE("HSTU whose output is normalised by its mean and deviation scores by products", "[model][import]") {
  const TrainedModel cosine = import_model(golden_file("hstu_d50_b2_h1"));
  const TrainedModel products = import_model(golden_file("hstu_d50_b2_h1"), {.variant = "layer_norm"});
  CHECK(products.encoder->config().score == ScoreKind::dot);
  const Asked query = queries_of(SafetensorsFile::open(golden_file("hstu_d50_b2_h1")))[2];
  Workspace workspace;
  std::vector<float> before(50), after(50);
  cosine.encoder->encode(before, {query.items, query.times}, {.now = query.now}, workspace);
  products.encoder->encode(after, {query.items, query.times}, {.now = query.now}, workspace);
  double mean = 0, variance = 0;
  for (const float x : before) mean += static_cast<double>(x) / 50;
  for (const float x : before) variance += (static_cast<double>(x) - mean) * (static_cast<double>(x) - mean) / 50;
  for (std::size_t d = 0; d < 50; ++d) {
    CHECK(after[d] == Approx((static_cast<double>(before[d]) - mean) / std::sqrt(variance + 1e-6)).margin(1e-4));
  }
}

TEST_CASE("Tensors that are missing, misshapen or not finite are named", "[model][import]") {
  const TemporaryDirectory directory;
  const auto refused = [&](const std::string& golden, const ImportOptions& options, ErrorCode code,
                           const std::vector<std::string>& words, const auto& change) {
    Weights weights(golden);
    change(weights.tensors);
    check_refused(weights.write(directory), options, code, words);
  };
  const std::string query = "model.trm_encoder.layer.0.multi_head_attention.query.weight";
  refused("recbole_sasrec_tanh", {}, ErrorCode::unsupported, {"recbole, pmixer, hstu, gsasrec"},
          [&](auto& tensors) { tensors.erase(query); });
  refused("recbole_sasrec_tanh", {.dialect = Dialect::recbole}, ErrorCode::corrupt_file, {"query.weight", "missing"},
          [&](auto& tensors) { tensors.erase(query); });
  refused("recbole_sasrec_tanh", {}, ErrorCode::corrupt_file, {"position_embedding.weight", "missing"},
          [](auto& tensors) { tensors.erase("model.position_embedding.weight"); });
  refused("recbole_sasrec_tanh", {}, ErrorCode::corrupt_file, {"layer.0.feed_forward.LayerNorm.bias", "missing"},
          [](auto& tensors) { tensors.erase("model.trm_encoder.layer.0.feed_forward.LayerNorm.bias"); });
  refused("recbole_sasrec_tanh", {}, ErrorCode::corrupt_file, {query, "expected shape [8, 8]", "found [4, 16]"},
          [&](auto& tensors) {
            tensors[query].first = {4, 16};
          });
  refused("recbole_sasrec_tanh", {}, ErrorCode::corrupt_file, {"item_embedding.weight", "expected 2 extents"},
          [](auto& tensors) { tensors["model.item_embedding.weight"].first = {31 * 8}; });
  refused("recbole_sasrec_tanh", {}, ErrorCode::corrupt_file, {"item_embedding.weight", "expected shape [2, 248]"},
          [](auto& tensors) {
            tensors["model.item_embedding.weight"].first = {1, 31 * 8};
          });
  refused("gsasrec_untied", {}, ErrorCode::corrupt_file, {"output_embedding.weight", "expected shape [32, 8]"},
          [](auto& tensors) {
            tensors["model.output_embedding.weight"].first = {8, 32};
          });
  refused("hstu_d50_b2_h1", {}, ErrorCode::corrupt_file, {"_pos_w", "expected shape [61]"}, [](auto& tensors) {
    auto& [shape, values] = tensors["model._hstu._attention_layers.1._rel_attn_bias._pos_w"];
    values.pop_back();
    shape = {60};
  });
  refused("recbole_sasrec_tanh", {}, ErrorCode::non_finite, {query, "element 3"},
          [&](auto& tensors) { tensors[query].second[3] = std::numeric_limits<float>::infinity(); });
}

TEST_CASE("Rows get the ids they are given, one each", "[model][import]") {
  auto ids = std::make_shared<IdMap>();
  for (int i = 0; i < 30; ++i) ids->insert("film " + std::to_string(i));
  const TrainedModel model = import_model(golden_file("recbole_sasrec_tanh"), {.item_ids = ids});
  CHECK(model.item_ids->id(29) == Id("film 29"));
  ids->insert("one too many");
  check_refused(golden_file("recbole_sasrec_tanh"), {.item_ids = ids}, ErrorCode::invalid_argument,
                {"expected 30", "found 31"});
}

TEST_CASE("What an event adds is told for encoders that have no backward pass", "[model][import]") {
  const TrainedModel model = import_model(golden_file("pmixer_sasrec_2020"));
  CHECK_FALSE(model.encoder->config().trainable());
  Asked query = queries_of(SafetensorsFile::open(golden_file("pmixer_sasrec_2020")))[2];
  Workspace workspace;
  std::vector<float> direction(model.encoder->dim(), 0.5f), attributions(query.items.size());
  model.encoder->attributions(attributions, {query.items}, {}, direction, workspace);
  const auto value = [&] {
    std::vector<float> vector(model.encoder->dim());
    model.encoder->encode(vector, {query.items}, {}, workspace);
    return std::accumulate(vector.begin(), vector.end(), 0.0f) * 0.5f;
  };
  const float whole = value();
  query.items.erase(query.items.begin() + 1);
  CHECK(attributions[1] == Approx(whole - value()).margin(1e-5));
}

TEST_CASE("The final norm has an epsilon of its own where it is given one", "[model][import]") {
  const TrainedModel model = import_model(golden_file("rectools_sasrec_counted_padding"));
  CHECK(model.encoder->config().final_norm_epsilon == 1e-8);
  EncoderConfig config = model.encoder->config();
  config.final_norm_epsilon = 1.0;
  const auto damped = make_encoder(config, model.num_items());
  std::ranges::copy(model.encoder->weights(), damped->weights().begin());
  std::ranges::copy(model.encoder->items().chunk(0), damped->items().chunk(0).begin());
  const std::vector<ItemHandle> history{3, 1, 4};
  Workspace workspace;
  std::vector<float> before(8), after(8);
  model.encoder->encode(before, {history}, {}, workspace);
  damped->encode(after, {history}, {}, workspace);
  const auto bias = std::ranges::find(model.encoder->parameters().list(), "final_norm.bias", &Parameter::name);
  double ratio = 0;
  for (std::size_t d = 0; d < 8; ++d) {
    const auto shift = static_cast<double>(model.encoder->weights()[bias->offset + d]);
    const double here = (static_cast<double>(after[d]) - shift) / (static_cast<double>(before[d]) - shift);
    if (d > 0) CHECK(here == Approx(ratio).epsilon(1e-3));
    ratio = here;
  }
  CHECK((ratio > 0.01 && ratio < 0.99));
}
