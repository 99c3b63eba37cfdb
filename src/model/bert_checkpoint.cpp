// SPDX-License-Identifier: Apache-2.0
#include "model/bert_checkpoint.hpp"

#include <algorithm>
#include <array>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "attune/error.hpp"
#include "attune/model/safetensors.hpp"
#include "model/json_fields.hpp"

namespace attune::inline v0_1::detail {
namespace {

// Of what has no model_type, as the first checkpoints, the names of the architectures must be BERT's.
void check_architecture(const JsonFields& config) {
  config.require_text("model_type", "bert");
  config.require_text("hidden_act", "gelu");
  config.require_text("position_embedding_type", "absolute");
  if (config.flag("is_decoder").value_or(false)) config.not_supported("is_decoder", "false");
  if (config.find("model_type") != nullptr || config.find("architectures") == nullptr) return;
  for (const JsonFields::Json& name : *config.find("architectures")) {
    if (!name.is_string() || !name.get_ref<const std::string&>().starts_with("Bert")) {
      config.not_supported("architectures", "those of BERT");
    }
  }
}

EncoderConfig encoder_config(const JsonFields& config) {
  check_architecture(config);
  EncoderConfig result;
  result.embedding_dim = config.required_count("hidden_size");
  result.num_blocks = config.required_count("num_hidden_layers");
  result.num_heads = config.required_count("num_attention_heads");
  result.inner_dim = config.required_count("intermediate_size");
  result.max_sequence_length = config.required_count("max_position_embeddings");
  result.layer_norm_epsilon =
      config.number("layer_norm_eps").value_or(1e-12);  // older files leave out what it always was
  result.mask = AttentionMask::bidirectional;
  result.norm_placement = NormPlacement::post;
  result.embedding_norm = true;
  result.final_norm = false;
  result.dropout = 0.0;
  try {
    result.validate();
  } catch (const Error& error) {
    throw Error(error.code(), config.name() + ": " + error.what());
  }
  return result;
}

// The tensors of a checkpoint by the names that they are published under.
class Tensors {
 public:
  using Shape = std::vector<std::size_t>;

  explicit Tensors(SafetensorsFile file)
      : file_(std::move(file)),
        prefix_(file_.find("bert.embeddings.word_embeddings.weight") != nullptr ? "bert." : "") {}

  // Norms of checkpoints that came from TensorFlow call weight and bias gamma and beta.
  const TensorInfo& info(const std::string& name, const Shape& shape) const {
    std::string full = prefix_ + name;
    if (file_.find(full) == nullptr) {
      for (const auto& [now, before] : {std::pair("LayerNorm.weight", "gamma"), std::pair("LayerNorm.bias", "beta")}) {
        if (!full.ends_with(now)) continue;
        std::string old = full.substr(0, full.rfind('.') + 1) + before;
        if (file_.find(old) != nullptr) full = std::move(old);
      }
    }
    return file_.require(full, shape);
  }
  std::vector<float> values(const std::string& name, const Shape& shape) const {
    return file_.floats(info(name, shape));
  }

 private:
  SafetensorsFile file_;
  std::string prefix_;
};

// Where the values of one of our parameters stand: [out, in] matrices, to be turned, or vectors, side by side.
struct BertOrigin {
  std::vector<std::string> tensors;
  bool matrix = false;
};

BertOrigin bert_origin_of(const std::string& parameter) {
  if (parameter.starts_with("embedding_norm.")) return {{"embeddings.LayerNorm" + parameter.substr(14)}};
  const std::size_t block = std::string_view("blocks.").size(), layer = parameter.find('.', block) + 1;
  const std::size_t kind_at = parameter.rfind('.');
  const std::string part = parameter.substr(layer, kind_at - layer), kind = parameter.substr(kind_at);
  const std::string prefix = "encoder.layer." + parameter.substr(block, layer - block);
  const bool matrix = kind == ".weight";
  if (part == "attention.qkv") {
    const std::string self = prefix + "attention.self.";
    return {{self + "query" + kind, self + "key" + kind, self + "value" + kind}, matrix};
  }
  if (part == "attention.output") return {{prefix + "attention.output.dense" + kind}, matrix};
  if (part == "attention_norm") return {{prefix + "attention.output.LayerNorm" + kind}};
  if (part == "feed_forward.inner") return {{prefix + "intermediate.dense" + kind}, matrix};
  if (part == "feed_forward.outer") return {{prefix + "output.dense" + kind}, matrix};
  return {{prefix + "output.LayerNorm" + kind}};
}

// `weights` is [in, out] or [out].
void fill(std::span<float> weights, const Parameter& parameter, const Tensors& tensors) {
  const BertOrigin origin = bert_origin_of(parameter.name);
  const std::size_t out = parameter.shape.back(), part = out / origin.tensors.size();
  for (std::size_t t = 0; t < origin.tensors.size(); ++t) {
    float* const column = weights.data() + t * part;
    if (!origin.matrix) {
      std::ranges::copy(tensors.values(origin.tensors[t], {part}), column);
      continue;
    }
    const std::size_t in = parameter.shape.front();
    const std::vector<float> values = tensors.values(origin.tensors[t], {part, in});
    for (std::size_t i = 0; i < in; ++i) {
      for (std::size_t o = 0; o < part; ++o) column[i * out + o] = values[o * in + i];
    }
  }
}

// Before memory is taken for the encoder: as many blocks, as wide, as the configuration says.
void check_size(const Tensors& tensors, const EncoderConfig& config, std::size_t num_tokens) {
  tensors.info("embeddings.word_embeddings.weight", {num_tokens, config.embedding_dim});
  for (std::size_t block = 0; block < config.num_blocks; ++block) {
    tensors.info("encoder.layer." + std::to_string(block) + ".intermediate.dense.weight",
                 {config.inner_dim, config.embedding_dim});
  }
}

}  // namespace

SasrecEncoder load_bert(const std::filesystem::path& directory) {
  const JsonFields fields = JsonFields::read(directory / "config.json");
  const EncoderConfig config = encoder_config(fields);
  const std::size_t num_tokens = fields.required_count("vocab_size"), dim = config.embedding_dim;
  const std::size_t num_types = fields.required_count("type_vocab_size");
  const Tensors tensors(SafetensorsFile::open((directory / "model.safetensors").string()));
  check_size(tensors, config, num_tokens);
  std::vector<float> positions =
      tensors.values("embeddings.position_embeddings.weight", {config.max_sequence_length, dim});
  if (num_types > 0) {
    const std::vector<float> types = tensors.values("embeddings.token_type_embeddings.weight", {num_types, dim});
    for (std::size_t i = 0; i < positions.size(); ++i) positions[i] += types[i % dim];
  }

  SasrecEncoder encoder(config, num_tokens);
  for (const Parameter& parameter : encoder.parameters().list()) {
    const std::span<float> weights = encoder.weights().subspan(parameter.offset, parameter.size);
    if (parameter.name == "position_embedding.weight") {
      std::ranges::copy(positions, weights.begin());
    } else {
      fill(weights, parameter, tensors);
    }
  }
  const std::vector<float> rows = tensors.values("embeddings.word_embeddings.weight", {num_tokens, dim});
  for (std::size_t row = 0; row < num_tokens; ++row) {
    std::copy_n(rows.data() + row * dim, dim, encoder.items().row(row).data());
  }
  return encoder;
}

}  // namespace attune::inline v0_1::detail
