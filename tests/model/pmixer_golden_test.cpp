// SPDX-License-Identifier: Apache-2.0
// SASRec.pytorch with binary cross-entropy: the recorded loss and gradients of tests/golden, for both norm placements.
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

constexpr std::size_t kDim = 24, kLength = 10, kItems = 61;  // item 0 pads on the left

class Golden {
 public:
  explicit Golden(const std::string& name)
      : file_(SafetensorsFile::open(std::string(ATTUNE_TEST_DIR) + "/golden/" + name + ".safetensors")) {}

  std::vector<float> floats(const std::string& name) const { return file_.floats(*file_.find(name)); }
  std::vector<std::int64_t> integers(const std::string& name) const { return file_.integers(*file_.find(name)); }

  EncoderConfig config() const {
    EncoderConfig config;
    config.embedding_dim = config.inner_dim = kDim;
    config.max_sequence_length = kLength;
    config.activation = Activation::relu;
    config.norm_placement =
        file_.metadata().find("norm_first")->second == "True" ? NormPlacement::pre : NormPlacement::post;
    config.scale_items = true;
    config.layer_norm_epsilon = 1e-8;
    config.score = ScoreKind::dot;
    return config;
  }

  // What the tensors with this prefix ("model." or "grad.") hold for one dense parameter, in our layout.
  std::vector<float> parameter(const std::string& prefix, const Parameter& parameter) const {
    const std::string& name = parameter.name;
    if (name == "position_embedding.weight") {
      const std::vector<float> rows = floats(prefix + "pos_emb.weight");  // position 0 is for padding
      return {rows.begin() + kDim, rows.end()};
    }
    const std::string kind = name.substr(name.rfind('.') + 1);
    if (name.starts_with("final_norm.")) return floats(prefix + "last_layernorm." + kind);
    const std::size_t dot = name.find('.', 7);  // behind "blocks.<index>"
    const std::string block = name.substr(7, dot - 7), rest = name.substr(dot + 1);
    const auto in = [&](const char* layer) { return prefix + layer + "." + block + "."; };
    if (rest.starts_with("attention_norm.")) return floats(in("attention_layernorms") + kind);
    if (rest.starts_with("feed_forward_norm.")) return floats(in("forward_layernorms") + kind);
    std::vector<float> values;
    if (rest.starts_with("attention.qkv.")) values = floats(in("attention_layers") + "in_proj_" + kind);
    if (rest.starts_with("attention.output.")) values = floats(in("attention_layers") + "out_proj." + kind);
    if (rest.starts_with("feed_forward.inner.")) values = floats(in("forward_layers") + "conv1." + kind);
    if (rest.starts_with("feed_forward.outer.")) values = floats(in("forward_layers") + "conv2." + kind);
    if (kind == "bias") return values;
    std::vector<float> turned(values.size());  // [out, in] there
    const std::size_t inputs = parameter.shape[0], outputs = parameter.shape[1];
    for (std::size_t i = 0; i < inputs; ++i) {
      for (std::size_t o = 0; o < outputs; ++o) turned[i * outputs + o] = values[o * inputs + i];
    }
    return turned;
  }

  SasrecEncoder encoder() const {
    SasrecEncoder encoder(config(), kItems);
    for (const Parameter& part : encoder.parameters().list()) {
      const std::vector<float> values = parameter("model.", part);
      REQUIRE(values.size() == part.size);
      std::ranges::copy(values, encoder.weights().begin() + static_cast<std::ptrdiff_t>(part.offset));
    }
    std::ranges::copy(floats("model.item_emb.weight"), encoder.items().chunk(0).begin());
    return encoder;
  }

 private:
  SafetensorsFile file_;
};

double relative_difference(std::span<const float> a, std::span<const float> b) {
  float largest = 1e-6f;
  for (const float value : b) largest = std::max(largest, std::abs(value));
  return largest_difference<float>(a, b) / static_cast<double>(largest);
}

// BCE of one position against one given negative: drawn from a sampler that knows no other item.
double position_loss(std::span<float> d_hidden, GradientBuffer& gradient, std::span<const float> hidden,
                     ItemHandle target, ItemHandle negative, float weight, const SasrecEncoder& encoder) {
  std::vector<std::uint64_t> counts(kItems, 0);
  counts[negative] = 1;
  const NegativeSampler sampler(counts, 0.0);
  const ObjectiveConfig objective{.loss = LossKind::bce, .negatives = 1};
  const std::uint64_t key = 0;
  ObjectiveScratch<float> scratch;
  return sampled_loss<float>(d_hidden, gradient, hidden, {&target, 1}, {&weight, 1}, {&key, 1}, encoder.items(),
                             ScoreKind::dot, 1.0, objective, sampler, scratch);
}

}  // namespace

TEST_CASE("Binary cross-entropy and all gradients equal SASRec.pytorch's", "[model][golden]") {
  const Golden golden(GENERATE("grad_pmixer_sasrec_preln_bce", "grad_pmixer_sasrec_postln_bce"));
  const std::vector<std::int64_t> sequences = golden.integers("input.log_seqs"), targets = golden.integers("input.pos"),
                                  negatives = golden.integers("input.neg");
  const auto padded = std::ranges::count(targets, 0);
  const float weight = 1.0f / static_cast<float>(static_cast<std::ptrdiff_t>(targets.size()) - padded);  // mean
  GradientBuffer gradient(golden.encoder().weights().size(), kItems, kDim);
  std::vector<float> d_positions(kLength * kDim);
  double loss = 0;
  for (std::size_t s = 0; s < sequences.size() / kLength; ++s) {
    // A padded place has neither item nor position, and every later place attends to it.
    SasrecEncoder encoder = golden.encoder();
    std::vector<ItemHandle> items(kLength);
    std::size_t padding = 0;
    for (std::size_t i = 0; i < kLength; ++i) {
      items[i] = static_cast<ItemHandle>(sequences[s * kLength + i]);
      padding += items[i] == 0;
    }
    std::fill_n(encoder.weights().begin(), padding * kDim, 0.0f);
    std::ranges::fill(encoder.items().row(0), 0.0f);
    SequenceBatch batch;
    batch.add_sequence({items}, s);
    std::vector<float> hidden(kLength * kDim), d_hidden(hidden.size()), d_inputs(hidden.size());
    Buffer<float> tape;
    encoder.forward(hidden, tape, batch);
    for (std::size_t i = padding; i < kLength; ++i) {
      const auto target = static_cast<ItemHandle>(targets[s * kLength + i]);
      const auto negative = static_cast<ItemHandle>(negatives[s * kLength + i]);
      loss += position_loss(std::span(d_hidden).subspan(i * kDim, kDim), gradient,
                            std::span(hidden).subspan(i * kDim, kDim), target, negative, weight, encoder);
    }
    encoder.backward(gradient.dense(), d_inputs, d_hidden, tape, batch);
    for (std::size_t i = padding * kDim; i < kLength * kDim; ++i) {
      gradient.row(items[i / kDim])[i % kDim] += d_inputs[i];
    }
    for (std::size_t i = padding * kDim; i < kLength * kDim; ++i) d_positions[i] += gradient.dense()[i];
    std::fill_n(gradient.dense().begin(), kLength * kDim, 0.0f);
  }
  std::ranges::copy(d_positions, gradient.dense().begin());

  CHECK(loss == Approx(static_cast<double>(golden.floats("output.loss")[0])).epsilon(1e-5));
  const SasrecEncoder layout = golden.encoder();
  for (const Parameter& parameter : layout.parameters().list()) {
    INFO(parameter.name);
    const std::span<const float> ours = gradient.dense().subspan(parameter.offset, parameter.size);
    CHECK(relative_difference(ours, golden.parameter("grad.", parameter)) <= 1e-4);
  }
  std::vector<float> items;
  for (ItemHandle item = 0; item < kItems; ++item) {
    items.insert(items.end(), gradient.row(item).begin(), gradient.row(item).end());
  }
  CHECK(relative_difference(items, golden.floats("grad.item_emb.weight")) <= 1e-4);
}
