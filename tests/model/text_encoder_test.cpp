// SPDX-License-Identifier: Apache-2.0
// BERT as PyTorch's own modules compute it: the recorded rows and pooled vectors of tests/golden.
#include "attune/model/text_encoder.hpp"

#include <cmath>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "attune/error.hpp"
#include "attune/model/safetensors.hpp"
#include "catch.hpp"
#include "model/bert_checkpoint.hpp"
#include "random_encoder.hpp"
#include "temporary_directory.hpp"

using namespace attune;
using namespace attune::test;

namespace {

namespace fs = std::filesystem;

const fs::path kGolden = fs::path(ATTUNE_TEST_DIR) / "golden";

struct Expected {
  explicit Expected(const fs::path& directory)
      : file(SafetensorsFile::open((directory / "expected.safetensors").string())) {
    const std::vector<std::int64_t> tokens = file.integers(*file.find("tokens"));
    auto next = tokens.begin();
    for (const std::int64_t length : file.integers(*file.find("lengths"))) {
      texts.emplace_back(next, next + length);
      next += length;
    }
  }
  std::vector<float> floats(const std::string& name) const { return file.floats(*file.find(name)); }

  SafetensorsFile file;
  std::vector<std::vector<ItemHandle>> texts;
};

// A text of words that are these tokens between [CLS] and [SEP].
std::string text_of(const std::vector<ItemHandle>& tokens) {
  std::string text;
  for (std::size_t i = 1; i + 1 < tokens.size(); ++i) {
    text += tokens[i] == 3 ? "unheard " : std::string("w").append(std::to_string(tokens[i])) + ' ';
  }
  return text;
}

// A copy of a golden checkpoint that a test may spoil.
class Copy {
 public:
  explicit Copy(const std::string& name = "bert_d24_l2_h2") {
    fs::copy(kGolden / name, directory_.path(), fs::copy_options::recursive);
  }
  fs::path path() const { return directory_.path(); }
  void write(const std::string& name, const std::string& text) const {
    fs::create_directories((directory_ / name).parent_path());
    write_text(directory_ / name, text);
  }
  void configure(const std::string& field, const nlohmann::json& value) const {
    auto config = nlohmann::json::parse(read_text(directory_ / "config.json"));
    config[field] = value;
    write("config.json", config.dump());
  }
  void remove(const std::string& field) const {
    auto config = nlohmann::json::parse(read_text(directory_ / "config.json"));
    config.erase(field);
    write("config.json", config.dump());
  }
  TextEncoder load(const TextEncoderOptions& options = {}) const {
    return TextEncoder::load(directory_.path(), options);
  }
  // Whether loading throws an error of this code whose message names this.
  void check_refused(ErrorCode code, const std::string& named, const TextEncoderOptions& options = {}) const {
    try {
      load(options);
    } catch (const Error& error) {
      INFO(error.what());
      CHECK(error.code() == code);
      CHECK(std::string(error.what()).find(named) != std::string::npos);
      return;
    }
    FAIL("nothing was refused where " + named + " should be");
  }

 private:
  TemporaryDirectory directory_;
};

std::vector<float> encode(const TextEncoder& encoder, const std::vector<std::string>& texts) {
  InlineExecutor executor;
  return encoder.encode(texts, executor).rows;
}

// Rewrites the tensors of a checkpoint.
void change_tensors(
    const fs::path& file,
    const std::function<void(std::string& name, std::vector<std::size_t>& shape, std::vector<float>& values)>& change) {
  const auto before = SafetensorsFile::open(file.string());
  std::vector<std::vector<float>> kept;
  SafetensorsWriter writer;
  for (const TensorInfo& tensor : before.tensors()) {
    if (tensor.dtype == DType::i64) continue;
    std::string name = tensor.name;
    std::vector<std::size_t> shape = tensor.shape;
    std::vector<float>& values = kept.emplace_back(before.floats(tensor));
    change(name, shape, values);
    if (!name.empty()) writer.add(name, shape, std::span<const float>(values));
  }
  write_bytes(file, writer.bytes());
}

}  // namespace

TEST_CASE("Rows of tokens equal PyTorch's", "[model][text][golden]") {
  const fs::path directory = kGolden / GENERATE("bert_d16_l1_h1", "bert_d24_l2_h2", "bert_d32_l3_h4");
  const Expected expected(directory);
  const SasrecEncoder encoder = detail::load_bert(directory);
  SequenceBatch batch;
  for (const auto& text : expected.texts) batch.add_sequence({.items = text});
  std::vector<float> hidden(batch.num_tokens() * encoder.dim());
  Buffer<float> scratch;
  encoder.encode_rows(hidden, scratch, batch);
  CHECK(largest_difference<float>(hidden, expected.floats("hidden")) <= 1e-4);
}

TEST_CASE("Vectors of texts equal PyTorch's, pooled both ways", "[model][text][golden]") {
  const fs::path directory = kGolden / GENERATE("bert_d16_l1_h1", "bert_d24_l2_h2", "bert_d32_l3_h4");
  const Pooling pooling = GENERATE(Pooling::mean, Pooling::cls);
  const Expected expected(directory);
  const TextEncoder encoder = TextEncoder::load(directory, {.pooling = pooling});
  const std::vector<float> vectors = expected.floats(pooling == Pooling::mean ? "mean" : "cls");
  std::vector<std::string> texts;
  std::vector<float> wanted;
  for (std::size_t i = 0; i < expected.texts.size(); ++i) {
    if (expected.texts[i].size() < 2) continue;  // no text has fewer tokens than [CLS] and [SEP]
    texts.push_back(text_of(expected.texts[i]));
    CHECK(encoder.tokens(texts.back()) == expected.texts[i]);
    const auto row = vectors.begin() + static_cast<std::ptrdiff_t>(i * encoder.dim());
    wanted.insert(wanted.end(), row, row + static_cast<std::ptrdiff_t>(encoder.dim()));
  }
  CHECK(largest_difference<float>(encode(encoder, texts), wanted) <= 1e-4);
}

TEST_CASE("A vector does not depend on threads or on what stands beside its text", "[model][text]") {
  const TextEncoder encoder = TextEncoder::load(kGolden / "bert_d32_l3_h4");
  std::vector<std::string> texts;
  for (std::size_t i = 0; i < 200; ++i) {
    std::string text;
    for (std::size_t word = 0; word < i % 47; ++word) {
      text += std::string("w").append(std::to_string(4 + (i * 7 + word) % 36)) + ' ';
    }
    texts.push_back(text);
  }
  InlineExecutor alone;
  const TextEncoder::Vectors all = encoder.encode(texts, alone);
  CHECK(all.truncated == 4 * (46 - 38));  // 40 positions hold 38 words
  for (const std::size_t threads : {2u, 3u}) {
    ThreadPool pool(threads);
    CHECK(encoder.encode(texts, pool).rows == all.rows);
  }
  for (std::size_t i = 0; i < texts.size(); ++i) {
    const std::vector<float> one = encode(encoder, {texts[i]});
    const auto row = all.rows.begin() + static_cast<std::ptrdiff_t>(i * encoder.dim());
    CHECK(std::equal(one.begin(), one.end(), row));
  }
}

TEST_CASE("Vectors have unit length, for an empty text too, and no text gives none", "[model][text]") {
  const TextEncoder encoder = TextEncoder::load(kGolden / "bert_d16_l1_h1");
  for (const std::string text : {"w4 w5", "", "\xFF\xFE"}) {
    double squared = 0.0;
    for (const float value : encode(encoder, {text})) squared += static_cast<double>(value * value);
    CHECK(squared == Approx(1.0));
  }
  CHECK(encode(encoder, {""}) == encode(encoder, {"\xFF\xFE"}));
  CHECK(encode(encoder, {}).empty());
}

TEST_CASE("Pooling and length are as published unless they are given", "[model][text]") {
  const Copy copy;
  CHECK(copy.load().pooling() == Pooling::mean);
  CHECK(copy.load().max_length() == 40);
  copy.write("1_Pooling/config.json", R"({"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": false})");
  copy.write("sentence_bert_config.json", R"({"max_seq_length": 12, "do_lower_case": false})");
  CHECK(copy.load().pooling() == Pooling::cls);
  CHECK(copy.load().max_length() == 12);
  CHECK(copy.load({.pooling = Pooling::mean, .max_length = 20}).pooling() == Pooling::mean);
  CHECK(copy.load({.pooling = Pooling::mean, .max_length = 20}).max_length() == 20);
  copy.write("modules.json", R"([{"path": "", "type": "sentence_transformers.models.Transformer"},
    {"path": "2_Pooling", "type": "sentence_transformers.models.Pooling"}])");
  CHECK(copy.load().pooling() == Pooling::mean);  // there is no 2_Pooling

  copy.check_refused(ErrorCode::invalid_config, "3 to 40", {.max_length = 41});
  copy.check_refused(ErrorCode::invalid_config, "max_length", {.max_length = 2});
  copy.write("sentence_bert_config.json", R"({"max_seq_length": 400})");
  copy.check_refused(ErrorCode::invalid_config, "max_seq_length");
}

TEST_CASE("A tenth of the positions is enough for a text that is cut there", "[model][text]") {
  const Copy copy;
  const TextEncoder encoder = copy.load({.max_length = 4});
  CHECK(encode(encoder, {"w7 w8 w9 w10"}) == encode(encoder, {"w7 w8"}));
}

TEST_CASE("Older checkpoints leave out what was always the same", "[model][text]") {
  const Copy copy;
  const std::vector<float> before = encode(copy.load(), {"w7 w8"});
  for (const char* field : {"model_type", "layer_norm_eps", "hidden_act", "architectures"}) copy.remove(field);
  CHECK(encode(copy.load(), {"w7 w8"}) == before);
  copy.configure("position_embedding_type", "absolute");
  CHECK(encode(copy.load(), {"w7 w8"}) == before);
}

TEST_CASE("The second token type and the pooler have no influence, the first type has", "[model][text]") {
  const Copy copy;
  const fs::path file = copy.path() / "model.safetensors";
  const std::vector<float> before = encode(copy.load(), {"w7 w8"});
  const auto change = [&](const std::string& part, std::size_t from) {
    change_tensors(file, [&](const std::string& name, const auto&, std::vector<float>& values) {
      if (name.find(part) == std::string::npos) return;
      for (std::size_t i = from; i < values.size(); ++i) values[i] += 1.0f + static_cast<float>(i % 3);
    });
  };
  change("pooler", 0);
  change("token_type_embeddings", 24);
  CHECK(encode(copy.load(), {"w7 w8"}) == before);
  change("token_type_embeddings", 0);
  CHECK_FALSE(encode(copy.load(), {"w7 w8"}) == before);
}

TEST_CASE("Another architecture is refused by name", "[model][text]") {
  const auto refused = [](const std::string& field, const nlohmann::json& value, const std::string& named) {
    const Copy copy;
    copy.configure(field, value);
    copy.check_refused(ErrorCode::unsupported, named);
  };
  for (const char* type : {"roberta", "mpnet", "xlm-roberta", "distilbert"}) refused("model_type", type, type);
  refused("hidden_act", "gelu_new", "hidden_act");
  refused("hidden_act", "relu", "relu");
  refused("position_embedding_type", "relative_key", "relative_key");
  refused("is_decoder", true, "is_decoder");
  const Copy nameless;
  nameless.remove("model_type");
  nameless.configure("architectures", nlohmann::json::array({"RobertaModel"}));
  nameless.check_refused(ErrorCode::unsupported, "RobertaModel");
  const Copy dense;
  dense.write("modules.json", R"([{"path": "2_Dense", "type": "sentence_transformers.models.Dense"}])");
  dense.check_refused(ErrorCode::unsupported, "Dense");
  const Copy pooled;
  pooled.write("1_Pooling/config.json", R"({"pooling_mode_max_tokens": true})");
  pooled.check_refused(ErrorCode::unsupported, "pooling_mode_max_tokens");
  pooled.write("1_Pooling/config.json", R"({"pooling_mode_cls_token": true, "pooling_mode_mean_tokens": true})");
  pooled.check_refused(ErrorCode::unsupported, "pooling_mode_mean_tokens");
}

TEST_CASE("Hyper-parameters are never guessed, and have to fit the tensors", "[model][text]") {
  for (const char* field : {"hidden_size", "num_hidden_layers", "num_attention_heads", "intermediate_size",
                            "max_position_embeddings", "vocab_size", "type_vocab_size"}) {
    const Copy copy;
    copy.remove(field);
    copy.check_refused(ErrorCode::invalid_config, field);
    copy.configure(field, "many");
    copy.check_refused(ErrorCode::invalid_config, field);
  }
  const auto misfit = [](const char* field, std::size_t value, ErrorCode code, const std::string& named) {
    const Copy copy;
    copy.configure(field, value);
    copy.check_refused(code, named);
  };
  misfit("hidden_size", 48, ErrorCode::corrupt_file, "word_embeddings");
  misfit("vocab_size", 41, ErrorCode::corrupt_file, "word_embeddings");
  misfit("num_hidden_layers", 3, ErrorCode::corrupt_file, "encoder.layer.2");
  misfit("intermediate_size", 48, ErrorCode::corrupt_file, "intermediate");
  misfit("max_position_embeddings", 41, ErrorCode::corrupt_file, "position_embeddings");
  misfit("type_vocab_size", 3, ErrorCode::corrupt_file, "token_type_embeddings");
  misfit("num_attention_heads", 5, ErrorCode::invalid_config, "config.json");
  misfit("hidden_size", 0, ErrorCode::invalid_config, "config.json");
}

TEST_CASE("A checkpoint with a missing file or tensor, or a weight that is no number, is refused by its name",
          "[model][text]") {
  for (const std::string file : {"config.json", "model.safetensors", "vocab.txt"}) {
    const Copy copy;
    fs::remove(copy.path() / file);
    copy.check_refused(ErrorCode::io_error, file);
  }
  const std::string missing = "encoder.layer.1.attention.output.dense.bias";
  const Copy copy;
  change_tensors(copy.path() / "model.safetensors", [&](std::string& name, const auto&, const auto&) {
    if (name == "bert." + missing) name.clear();
  });
  copy.check_refused(ErrorCode::corrupt_file, missing);
  const Copy infinite;
  change_tensors(infinite.path() / "model.safetensors", [&](const std::string& name, const auto&, auto& values) {
    if (name == "bert." + missing) values[3] = INFINITY;
  });
  infinite.check_refused(ErrorCode::non_finite, missing);
}
