// SPDX-License-Identifier: Apache-2.0
// HSTU as Meta's research code computes it: the recorded outputs, loss and gradients of tests/golden.
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

// The columns of U, V, Q, K there, as U, Q, K, V here.
constexpr std::size_t kPartOf[] = {0, 2, 3, 1};

struct Sequence {
  std::vector<ItemHandle> items;  // the last one is the target of the request
  std::vector<Timestamp> times;   // the last one is the time of the request
  HistoryView view() const { return {items, times}; }
};

// Row 0 there is padding; item i is row i - 1 here.
class Golden {
 public:
  explicit Golden(const std::string& name)
      : file_(SafetensorsFile::open(std::string(ATTUNE_TEST_DIR) + "/golden/" + name + ".safetensors")) {}

  std::vector<float> floats(const std::string& name) const { return file_.floats(*file_.find(name)); }
  std::vector<std::int64_t> integers(const std::string& name) const { return file_.integers(*file_.find(name)); }
  std::size_t number(const char* key) const { return std::stoul(file_.metadata().find(key)->second); }
  std::size_t width() const { return file_.find("input.past_ids")->shape[1]; }

  EncoderConfig config() const {
    EncoderConfig config;
    config.block = BlockKind::hstu;
    config.embedding_dim = number("embedding_dim");
    config.num_blocks = number("num_blocks");
    config.num_heads = number("num_heads");
    config.max_sequence_length = width();
    config.hop = 1;
    config.bias_per_head = false;
    config.time_buckets = 129;
    config.request_time = true;
    config.attention_divisor = width();
    config.final_norm = false;
    config.scale_items = true;
    config.layer_norm_epsilon = 1e-6;
    return config;
  }

  // What the tensors with this prefix ("model." or "grad.") hold for one dense parameter, in our layout.
  std::vector<float> parameter(const std::string& prefix, const Parameter& parameter) const {
    const std::string& name = parameter.name;
    if (name == "position_embedding.weight") return floats(prefix + "_input_features_preproc._pos_emb.weight");
    const std::size_t dot = name.find('.', 7);  // behind "blocks.<index>"
    const std::string layer = prefix + "_hstu._attention_layers." + name.substr(7, dot - 7) + ".";
    const std::string rest = name.substr(dot + 1);
    if (rest == "time_bias") return floats(layer + "_rel_attn_bias._ts_w");
    if (rest == "output.bias") return floats(layer + "_o.bias");
    std::vector<float> values(parameter.size);
    if (rest == "position_bias") {  // distances of future keys come behind
      const std::vector<float> all = floats(layer + "_rel_attn_bias._pos_w");
      std::copy_n(all.begin(), values.size(), values.begin());
      return values;
    }
    const std::size_t in = parameter.shape[0], out = parameter.shape[1];
    const std::vector<float> matrix = floats(layer + (rest == "output.weight" ? "_o.weight" : "_uvqk"));
    for (std::size_t i = 0; i < in; ++i) {
      for (std::size_t o = 0; o < out; ++o) {
        const bool output = rest == "output.weight";
        values[i * out + o] = output ? matrix[o * in + i] : matrix[i * out + kPartOf[o / in] * in + o % in];
      }
    }
    return values;
  }
  std::vector<float> items(const std::string& prefix, std::size_t dim) const {
    const std::vector<float> rows = floats(prefix + "_embedding_module._item_emb.weight");
    return {rows.begin() + static_cast<std::ptrdiff_t>(dim), rows.end()};
  }

  HstuEncoder encoder() const {
    HstuEncoder encoder(config(), number("item_num"));
    for (const Parameter& part : encoder.parameters().list()) {
      const std::vector<float> values = parameter("model.", part);
      REQUIRE(values.size() == part.size);
      std::ranges::copy(values, encoder.weights().begin() + static_cast<std::ptrdiff_t>(part.offset));
    }
    std::ranges::copy(items("model.", encoder.dim()), encoder.items().chunk(0).begin());
    return encoder;
  }

  // `ids` names the tensor of items: without the last target ("input.past_ids") it is item 1.
  std::vector<Sequence> sequences(const std::string& ids) const {
    const auto lengths = integers("input.past_lengths"), items = integers(ids), times = integers("input.timestamps");
    std::vector<Sequence> sequences(lengths.size());
    for (std::size_t s = 0; s < lengths.size(); ++s) {
      const auto length = static_cast<std::size_t>(lengths[s]);
      for (std::size_t i = 0; i <= length; ++i) {
        const std::int64_t item = std::max<std::int64_t>(items[s * width() + i], 1);
        sequences[s].items.push_back(static_cast<ItemHandle>(item - 1));
        sequences[s].times.push_back(times[s * width() + i] * 1000);
      }
    }
    return sequences;
  }

 private:
  SafetensorsFile file_;
};

std::vector<float> normalized(std::span<const float> vector) {
  double squares = 0;
  for (const float x : vector) squares += static_cast<double>(x) * static_cast<double>(x);
  std::vector<float> result(vector.begin(), vector.end());
  for (float& x : result) x = static_cast<float>(static_cast<double>(x) / std::sqrt(squares));
  return result;
}

// The largest difference in relation to the largest value.
double relative_difference(std::span<const float> a, std::span<const float> b) {
  float largest = 1e-6f;
  for (const float value : b) largest = std::max(largest, std::abs(value));
  return largest_difference<float>(a, b) / static_cast<double>(largest);
}

}  // namespace

TEST_CASE("User vectors of every position equal those of Meta's HSTU", "[model][golden]") {
  const Golden golden(GENERATE("hstu_d32_b3_h4", "hstu_d50_b2_h1", "hstu_d50_b4_h2"));
  const HstuEncoder encoder = golden.encoder();
  const std::vector<Sequence> sequences = golden.sequences("input.past_ids");
  const std::vector<float> expected = golden.floats("output.encoded_embeddings");
  SequenceBatch batch;
  for (std::size_t s = 0; s < sequences.size(); ++s) batch.add_training_sequence(sequences[s].view(), s);
  std::vector<float> hidden(batch.num_tokens() * encoder.dim());
  Buffer<float> tape;
  encoder.forward(hidden, tape, batch);
  for (std::size_t s = 0; s < sequences.size(); ++s) {
    for (std::size_t i = 0; i < batch.length(s); ++i) {
      const auto row = std::span(hidden).subspan((batch.begin(s) + i) * encoder.dim(), encoder.dim());
      const auto there = std::span(expected).subspan((s * golden.width() + i) * encoder.dim(), encoder.dim());
      CHECK(largest_difference<float>(normalized(row), there) <= 1e-4);
    }
  }
}

TEST_CASE("Served user vectors and cosines equal those of Meta's HSTU, encoded at once and event by event",
          "[model][golden]") {
  const Golden golden(GENERATE("hstu_d32_b3_h4", "hstu_d50_b2_h1", "hstu_d50_b4_h2"));
  const HstuEncoder encoder = golden.encoder();
  const std::vector<float> expected = golden.floats("output.cosine_all_items");
  const std::size_t dim = encoder.dim(), rows = encoder.items().rows() + 1;
  Workspace workspace;
  std::vector<float> vector(dim);
  std::size_t index = 0;
  for (const Sequence& sequence : golden.sequences("input.past_ids")) {
    const HistoryView history = sequence.view().first(sequence.items.size() - 1);
    const Context request{.now = sequence.times.back()};
    const auto check = [&] {
      const std::vector<float> unit = normalized(vector);
      for (std::size_t item = 1; item < rows; ++item) {
        const std::vector<float> row = normalized(encoder.items().row(item - 1));
        float cosine = 0;
        for (std::size_t d = 0; d < dim; ++d) cosine += unit[d] * row[d];
        REQUIRE(cosine == Approx(expected[index * rows + item]).margin(1e-4));
      }
    };
    encoder.encode(vector, history, request, workspace);
    check();
    auto state = encoder.make_state();
    for (std::size_t n = 1; n <= history.size(); ++n) {
      encoder.advance(state, history.first(n), workspace);
      encoder.user_vector(vector, state, {.now = sequence.times.back() + 5}, workspace);  // what others asked meanwhile
    }
    encoder.user_vector(vector, state, request, workspace);
    check();
    ++index;
  }
}

TEST_CASE("Loss and all gradients equal those of Meta's HSTU", "[model][golden]") {
  const Golden golden("grad_hstu_cosine_ce");
  const HstuEncoder encoder = golden.encoder();
  SequenceBatch batch;
  for (const Sequence& sequence : golden.sequences("input.next_ids")) {
    batch.add_training_sequence(sequence.view(), batch.num_sequences());
  }
  const std::size_t tokens = batch.num_tokens(), dim = encoder.dim();
  const std::vector<float> weights(tokens, 1.0f / static_cast<float>(tokens));  // mean

  std::vector<float> hidden(tokens * dim), d_hidden(hidden.size()), d_inputs(hidden.size());
  Buffer<float> tape;
  OutputTable<float> table;
  ObjectiveScratch<float> scratch;
  OutputGradient<float> outputs;
  GradientBuffer gradient(encoder.weights().size(), encoder.items().rows(), dim);
  table.assign(encoder.items(), ScoreKind::cosine, 0.05);
  encoder.forward(hidden, tape, batch);
  const double loss =
      softmax_cross_entropy<float>(d_hidden, outputs, gradient, hidden, batch.targets(), weights, table, 0.0, scratch);
  softmax_cross_entropy_fold(gradient, table, outputs);
  encoder.backward(gradient.dense(), d_inputs, d_hidden, tape, batch);
  for (std::size_t i = 0; i < tokens; ++i) {
    for (std::size_t d = 0; d < dim; ++d) gradient.row(batch.items()[i])[d] += d_inputs[i * dim + d];
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
  CHECK(relative_difference(items, golden.items("grad.", dim)) <= 1e-4);
}
