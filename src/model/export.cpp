// SPDX-License-Identifier: Apache-2.0
#include "attune/model/export.hpp"

#include <algorithm>
#include <deque>
#include <locale>
#include <sstream>
#include <string>
#include <utility>

#include "attune/error.hpp"
#include "attune/model/safetensors.hpp"
#include "attune/model/scorer_rows.hpp"
#include "data/little_endian.hpp"
#include "model/config_json.hpp"
#include "model/dialects.hpp"

namespace attune::inline v0_1 {
namespace {

using detail::Json;

const SequenceEncoder<float>& require_encoder(const TrainedModel& model) {
  if (!model.encoder) throw Error(ErrorCode::unsupported, "export: expected an encoder, found none");
  return *model.encoder;
}

Json json_of(const EncoderConfig& config) {
  Json json = Json::object();
  detail::visit_encoder(config, detail::ConfigWriter(json));
  return json;
}

// Compared with an imported one that has the same sizes; what only training reads does not matter, nor where the window
// slides, which RecBole leaves to its user.
void check_is_recbole(const EncoderConfig& config, const detail::DialectTable& table) {
  EncoderConfig expected = table.config;
  table.variants.front().apply(expected);
  for (const auto& [key, member] : table.sizes) expected.*member = config.*member;
  expected.hop = config.hop;
  expected.activation = config.activation;
  expected.layer_norm_epsilon = config.layer_norm_epsilon;
  expected.dropout = config.dropout;
  expected.attention_dropout = config.attention_dropout;
  expected.temperature = config.temperature;
  const Json theirs = json_of(expected), ours = json_of(config);
  for (const auto& [field, value] : theirs.items()) {
    if (ours.at(field) == value) continue;
    throw Error(ErrorCode::unsupported, "export to RecBole: " + field + ": expected " + detail::text_of(value) +
                                            ", found " + detail::text_of(ours.at(field)));
  }
}

const char* activation_there(Activation activation) {
  switch (activation) {
    case Activation::gelu: return "gelu";
    case Activation::relu: return "relu";
    case Activation::silu: return "swish";
    case Activation::tanh: return "tanh";
    case Activation::sigmoid: break;
  }
  return "sigmoid";
}

std::string text_of(double number) {
  std::ostringstream text;
  text.imbue(std::locale::classic());
  text.precision(17);
  text << number;
  return text.str();
}

// What import_model() turns and puts side by side, taken apart and turned back.
class RecboleTensors {
 public:
  explicit RecboleTensors(SafetensorsWriter& writer) : writer_(writer) {}

  void add(std::string name, std::vector<std::size_t> shape, std::vector<float> values) {
    writer_.add(std::move(name), std::move(shape), std::span<const float>(kept_.emplace_back(std::move(values))));
  }
  void add(const Parameter& parameter, std::span<const float> weights, const detail::DialectTable& table) {
    const detail::ParameterName name(parameter.name);
    const detail::Origin& origin = *detail::origin_of(table, name);
    const std::size_t out = parameter.shape.back(), part = out / origin.theirs.size();
    for (std::size_t t = 0; t < origin.theirs.size(); ++t) {
      if (parameter.shape.size() == 1) {
        const auto begin = weights.begin() + static_cast<std::ptrdiff_t>(t * part);
        add(name.theirs(origin.theirs[t]), {part}, {begin, begin + static_cast<std::ptrdiff_t>(part)});
        continue;
      }
      const std::size_t in = parameter.shape.front();
      std::vector<float> turned(part * in);
      for (std::size_t o = 0; o < part; ++o) {
        for (std::size_t i = 0; i < in; ++i) turned[o * in + i] = weights[i * out + t * part + o];
      }
      add(name.theirs(origin.theirs[t]), {part, in}, std::move(turned));
    }
  }

 private:
  SafetensorsWriter& writer_;
  std::deque<std::vector<float>> kept_;  // which the writer takes no copies of
};

}  // namespace

std::vector<std::byte> export_recbole(const TrainedModel& model) {
  const SequenceEncoder<float>& encoder = require_encoder(model);
  const detail::DialectTable& table = detail::table_of(Dialect::recbole);
  const EncoderConfig& config = encoder.config();
  check_is_recbole(config, table);
  if (model.blend_weight != 0) {
    throw Error(ErrorCode::unsupported,
                "export to RecBole: blend_weight: expected 0, found " + text_of(model.blend_weight));
  }
  SafetensorsWriter writer;
  for (const auto& [key, member] : table.sizes) writer.metadata(std::string(key), std::to_string(config.*member));
  writer.metadata(std::string(table.activation), activation_there(config.activation));
  writer.metadata(std::string(table.epsilon), text_of(config.layer_norm_epsilon));

  RecboleTensors tensors(writer);
  const std::size_t rows = encoder.items().rows(), dim = encoder.dim();
  std::vector<float> items((rows + 1) * dim);
  for (std::size_t row = 0; row < rows; ++row) {
    std::ranges::copy(encoder.items().row(row), items.begin() + static_cast<std::ptrdiff_t>((row + 1) * dim));
  }
  tensors.add(std::string(table.items), {rows + 1, dim}, std::move(items));
  for (const Parameter& parameter : encoder.parameters().list()) {
    const std::span<const float> weights = encoder.weights().subspan(parameter.offset, parameter.size);
    if (parameter.name == "position_embedding.weight") {
      tensors.add(std::string(table.positions), parameter.shape, {weights.begin(), weights.end()});
    } else {
      tensors.add(parameter, weights, table);
    }
  }
  return writer.bytes();
}

ExportedVectors export_item_vectors(const TrainedModel& model) {
  const SequenceEncoder<float>& encoder = require_encoder(model);
  const ScorerRows<float> rows(encoder.outputs(), encoder.config().score);
  ExportedVectors vectors{encoder.dim(), {}};
  vectors.values.reserve(rows.size() * encoder.dim());
  for (std::size_t item = 0; item < rows.size(); ++item) {
    vectors.values.insert(vectors.values.end(), rows.row(item), rows.row(item) + encoder.dim());
  }
  return vectors;
}

ExportedVectors export_user_vectors(const TrainedModel& model) {
  const SequenceEncoder<float>& encoder = require_encoder(model);
  if (!model.histories) throw Error(ErrorCode::unsupported, "export: expected histories of users, found none");
  const std::size_t dim = encoder.dim(), users = model.histories->num_users();
  const ScorerRows<float> rows(EmbeddingTable<float>(0, dim), encoder.config().score);
  ExportedVectors vectors{dim, std::vector<float>(users * dim)};
  std::vector<float> vector(dim);
  Workspace workspace;
  for (std::size_t user = 0; user < users; ++user) {
    const HistoryView history = model.histories->of(user);
    std::vector<ItemHandle> items;
    std::vector<Timestamp> times;
    for (std::size_t i = 0; i < history.size(); ++i) {
      if (!encoder.knows(history.items[i])) continue;
      items.push_back(history.items[i]);
      if (!history.times.empty()) times.push_back(history.times[i]);
    }
    const Timestamp now = history.times.empty() ? kNoTime : history.times.back();
    encoder.encode(vector, {items, times}, {.now = now}, workspace);
    if (!rows.prepare(vector, workspace.query)) continue;
    std::copy_n(workspace.query.data(), dim, vectors.values.begin() + static_cast<std::ptrdiff_t>(user * dim));
  }
  return vectors;
}

std::vector<std::byte> npy_bytes(std::span<const float> values, std::size_t width) {
  constexpr std::size_t kAlignment = 64, kBeforeText = 10;
  std::string text = "{'descr': '<f4', 'fortran_order': False, 'shape': (" +
                     std::to_string(width == 0 ? 0 : values.size() / width) + ", " + std::to_string(width) + "), }";
  while ((kBeforeText + text.size() + 1) % kAlignment != 0) text += ' ';
  text += '\n';
  std::vector<std::byte> bytes;
  bytes.reserve(kBeforeText + text.size() + values.size_bytes());
  const std::string magic("\x93NUMPY\x01\x00", 8);
  detail::append_array(bytes, std::span<const char>(magic));
  detail::append_number(bytes, static_cast<std::uint16_t>(text.size()));
  detail::append_array(bytes, std::span<const char>(text));
  detail::append_array(bytes, values);
  return bytes;
}

}  // namespace attune::inline v0_1
