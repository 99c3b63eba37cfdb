// SPDX-License-Identifier: Apache-2.0
// SASRec as RecBole computes it (post norm, right padded): the recorded outputs, loss and gradients of tests/golden.
#include <algorithm>
#include <cmath>
#include <string>
#include <vector>

#include "attune/model/safetensors.hpp"
#include "attune/model/transformer_encoder.hpp"
#include "attune/training/objective.hpp"
#include "catch.hpp"
#include "random_encoder.hpp"

using namespace attune;
using namespace attune::test;

namespace {

// One dense parameter of ours and where RecBole keeps it: tensors side by side, PyTorch's [out, in] turned to [in,
// out].
struct Origin {
  std::vector<std::string> tensors;
  bool transposed = false;
};

Origin origin_of(const std::string& name) {
  if (name == "position_embedding.weight") return {{"position_embedding.weight"}};
  if (name.starts_with("embedding_norm.")) return {{"LayerNorm." + name.substr(15)}};
  const std::size_t dot = name.find('.', 7);  // behind "blocks.<index>"
  const std::string layer = "trm_encoder.layer." + name.substr(7, dot - 7) + ".", rest = name.substr(dot + 1);
  const std::string kind = rest.substr(rest.rfind('.') + 1);
  const bool matrix = kind == "weight";
  const std::string attention = layer + "multi_head_attention.", feed_forward = layer + "feed_forward.";
  if (rest.starts_with("attention.qkv.")) {
    return {{attention + "query." + kind, attention + "key." + kind, attention + "value." + kind}, matrix};
  }
  if (rest.starts_with("attention.output.")) return {{attention + "dense." + kind}, matrix};
  if (rest.starts_with("attention_norm.")) return {{attention + "LayerNorm." + kind}};
  if (rest.starts_with("feed_forward.inner.")) return {{feed_forward + "dense_1." + kind}, matrix};
  if (rest.starts_with("feed_forward.outer.")) return {{feed_forward + "dense_2." + kind}, matrix};
  return {{feed_forward + "LayerNorm." + kind}};
}

class Golden {
 public:
  explicit Golden(const std::string& name)
      : file_(SafetensorsFile::open(std::string(ATTUNE_TEST_DIR) + "/golden/" + name + ".safetensors")) {}

  std::vector<float> floats(const std::string& name) const { return file_.floats(*file_.find(name)); }
  std::vector<std::int64_t> integers(const std::string& name) const { return file_.integers(*file_.find(name)); }
  std::size_t extent(const std::string& name, std::size_t axis) const { return file_.find(name)->shape[axis]; }

  EncoderConfig config() const {
    const auto number = [&](const char* key) { return std::stoul(file_.metadata().find(key)->second); };
    EncoderConfig config;
    config.embedding_dim = number("hidden_size");
    config.num_blocks = number("n_layers");
    config.num_heads = number("n_heads");
    config.inner_dim = number("inner_size");
    config.max_sequence_length = number("MAX_ITEM_LIST_LENGTH");
    config.activation = file_.metadata().find("hidden_act")->second == "relu" ? Activation::relu : Activation::gelu;
    config.norm_placement = NormPlacement::post;
    config.embedding_norm = true;
    config.final_norm = false;
    config.layer_norm_epsilon = std::stod(file_.metadata().find("layer_norm_eps")->second);
    config.score = ScoreKind::dot;
    return config;
  }

  // What the tensors with this prefix ("model." or "grad.") hold for one dense parameter, in our layout.
  std::vector<float> parameter(const std::string& prefix, const Parameter& parameter) const {
    const Origin origin = origin_of(parameter.name);
    if (!origin.transposed) {
      std::vector<float> joined;
      for (const std::string& tensor : origin.tensors) {
        const std::vector<float> part = floats(prefix + tensor);
        joined.insert(joined.end(), part.begin(), part.end());
      }
      return joined;
    }
    const std::size_t in = parameter.shape[0], out = parameter.shape[1];
    std::vector<float> joined(in * out);
    std::size_t column = 0;
    for (const std::string& tensor : origin.tensors) {
      const std::vector<float> part = floats(prefix + tensor);
      for (std::size_t row = 0; row < part.size() / in; ++row, ++column) {
        for (std::size_t i = 0; i < in; ++i) joined[i * out + column] = part[row * in + i];
      }
    }
    return joined;
  }

  SasrecEncoder encoder() const {
    SasrecEncoder encoder(config(), extent("model.item_embedding.weight", 0));
    for (const Parameter& part : encoder.parameters().list()) {
      const std::vector<float> values = parameter("model.", part);
      REQUIRE(values.size() == part.size);
      std::ranges::copy(values, encoder.weights().begin() + static_cast<std::ptrdiff_t>(part.offset));
    }
    std::ranges::copy(floats("model.item_embedding.weight"), encoder.items().chunk(0).begin());
    return encoder;
  }

  std::vector<std::vector<ItemHandle>> histories() const {
    const std::vector<std::int64_t> ids = integers("input.item_id_list"), lengths = integers("input.item_length");
    const std::size_t width = extent("input.item_id_list", 1);
    std::vector<std::vector<ItemHandle>> histories(lengths.size());
    for (std::size_t s = 0; s < lengths.size(); ++s) {
      const auto begin = ids.begin() + static_cast<std::ptrdiff_t>(s * width);
      std::transform(begin, begin + static_cast<std::ptrdiff_t>(lengths[s]), std::back_inserter(histories[s]),
                     [](std::int64_t id) { return static_cast<ItemHandle>(id); });
    }
    return histories;
  }

 private:
  SafetensorsFile file_;
};

// The largest difference in relation to the largest value.
double relative_difference(std::span<const float> a, std::span<const float> b) {
  float largest = 1e-6f;  // key biases have no influence: their gradient is rounding noise
  for (const float value : b) largest = std::max(largest, std::abs(value));
  return largest_difference<float>(a, b) / static_cast<double>(largest);
}

}  // namespace

TEST_CASE("User vectors and logits equal RecBole's", "[model][golden]") {
  const Golden golden(GENERATE("recbole_sasrec_gelu_d64_h2", "recbole_sasrec_relu_d32_h4", "grad_recbole_sasrec_ce"));
  const SasrecEncoder encoder = golden.encoder();
  const std::vector<std::vector<ItemHandle>> histories = golden.histories();
  Workspace workspace;
  std::vector<float> vectors, logits;
  for (const std::vector<ItemHandle>& history : histories) {
    std::vector<float> vector(encoder.dim());
    encoder.encode(vector, {history}, {}, workspace);
    vectors.insert(vectors.end(), vector.begin(), vector.end());
    for (std::size_t item = 0; item < encoder.items().rows(); ++item) {
      float logit = 0.0f;
      for (std::size_t d = 0; d < vector.size(); ++d) logit += vector[d] * encoder.items().row(item)[d];
      logits.push_back(logit);
    }
  }
  CHECK(largest_difference<float>(vectors, golden.floats("output.user_embedding")) <= 1e-4);
  if (histories.size() == 5) {  // the file with gradients records no logits
    CHECK(largest_difference<float>(logits, golden.floats("output.logits_all_items")) <= 1e-4);
  }
}

TEST_CASE("Loss and all gradients equal RecBole's", "[model][golden]") {
  const Golden golden("grad_recbole_sasrec_ce");
  const SasrecEncoder encoder = golden.encoder();
  const std::vector<std::vector<ItemHandle>> histories = golden.histories();
  const std::vector<std::int64_t> last_targets = golden.integers("input.target");
  SequenceBatch batch;
  std::vector<ItemHandle> targets;
  for (std::size_t s = 0; s < histories.size(); ++s) {
    batch.add_sequence({histories[s]}, s);
    targets.resize(batch.num_tokens(), kNoHandle);
    targets.back() = static_cast<ItemHandle>(last_targets[s]);
  }
  const std::vector<float> weights(batch.num_tokens(), 1.0f / static_cast<float>(histories.size()));  // mean

  std::vector<float> hidden(batch.num_tokens() * encoder.dim()), d_hidden(hidden.size()), d_inputs(hidden.size());
  Buffer<float> tape;
  OutputTable<float> table;
  ObjectiveScratch<float> scratch;
  OutputGradient<float> outputs;
  GradientBuffer gradient(encoder.weights().size(), encoder.items().rows(), encoder.dim());
  table.assign(encoder.items(), ScoreKind::dot, 1.0);
  encoder.forward(hidden, tape, batch);
  const double loss =
      softmax_cross_entropy<float>(d_hidden, outputs, gradient, hidden, targets, weights, table, 0.0, scratch);
  softmax_cross_entropy_fold(gradient, table, outputs);
  encoder.backward(gradient.dense(), d_inputs, d_hidden, tape, batch);
  for (std::size_t i = 0; i < batch.num_tokens(); ++i) {
    for (std::size_t d = 0; d < encoder.dim(); ++d)
      gradient.row(batch.items()[i])[d] += d_inputs[i * encoder.dim() + d];
  }

  CHECK(loss == Approx(static_cast<double>(golden.floats("output.loss")[0])).epsilon(1e-5));
  for (const Parameter& parameter : encoder.parameters().list()) {
    INFO(parameter.name);
    const std::span<const float> ours = gradient.dense().subspan(parameter.offset, parameter.size);
    CHECK(relative_difference(ours, golden.parameter("grad.", parameter)) <= 1e-4);
  }
  std::vector<float> items;
  for (ItemHandle item = 0; item < encoder.items().rows(); ++item) {
    items.insert(items.end(), gradient.row(item).begin(), gradient.row(item).end());
  }
  CHECK(relative_difference(items, golden.floats("grad.item_embedding.weight")) <= 1e-4);
}
