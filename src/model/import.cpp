// SPDX-License-Identifier: Apache-2.0
#include "attune/model/import.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <set>
#include <span>
#include <utility>
#include <vector>

#include "attune/error.hpp"
#include "attune/model/sequence_encoder.hpp"
#include "data/text.hpp"
#include "model/block_parameters.hpp"
#include "model/config_json.hpp"
#include "model/dialects.hpp"

namespace attune::inline v0_1 {
namespace {

using detail::DialectTable;
using detail::DialectVariant;
using detail::Form;
using detail::Origin;
using detail::ParameterName;
using Shape = std::vector<std::size_t>;

constexpr std::string_view kVariant = "variant";

std::string block_name(const DialectTable& table, std::size_t block) {
  return ParameterName("blocks." + std::to_string(block) + ".").theirs(table.block);
}

// The tensors below a prefix, and which of them were asked for.
class Checkpoint {
 public:
  Checkpoint(const SafetensorsFile& file, std::string prefix) : file_(file), prefix_(std::move(prefix)) {}

  const std::string& name() const noexcept { return file_.name(); }
  const auto& metadata() const noexcept { return file_.metadata(); }
  const TensorInfo* find(std::string_view tensor) const {
    asked_.insert(prefix_ + std::string(tensor));
    return file_.find(prefix_ + std::string(tensor));
  }
  const TensorInfo& require(std::string_view tensor, const Shape& shape) const {
    asked_.insert(prefix_ + std::string(tensor));
    return file_.require(prefix_ + std::string(tensor), shape);
  }
  // One with so many extents, none of them 0.
  const TensorInfo& require_rank(std::string_view tensor, std::size_t rank) const {
    const TensorInfo* const found = find(tensor);
    if (found == nullptr) return require(tensor, {});  // says that it is missing
    if (found->shape.size() == rank && found->elements() > 0) return *found;
    throw Error(ErrorCode::corrupt_file, "\"" + name() + "\": tensor " + detail::in_quotes(found->name, '"') +
                                             ": expected " + std::to_string(rank) + " extents above 0, found " +
                                             std::to_string(found->shape.size()));
  }
  std::vector<float> values(std::string_view tensor, const Shape& shape) const {
    return file_.floats(require(tensor, shape));
  }
  void refuse_others(const std::vector<std::string_view>& ignored) const {
    for (const TensorInfo& tensor : file_.tensors()) {
      if (!tensor.name.starts_with(prefix_) || asked_.contains(tensor.name)) continue;
      if (std::ranges::find(ignored, std::string_view(tensor.name).substr(prefix_.size())) != ignored.end()) continue;
      throw Error(ErrorCode::corrupt_file, "\"" + name() + "\": tensor " + detail::in_quotes(tensor.name, '"') +
                                               " is not one that such a model has");
    }
  }

 private:
  const SafetensorsFile& file_;
  std::string prefix_;
  mutable std::set<std::string> asked_;
};

// What stands before the names of a dialect's tensors; nothing where it is not this dialect.
std::optional<std::string> prefix_of(const SafetensorsFile& file, const DialectTable& table) {
  const std::string block = block_name(table, 0);
  for (const char* const usual : {"model.", ""}) {
    if (file.find(usual + block) != nullptr) return usual;
  }
  for (const TensorInfo& tensor : file.tensors()) {
    if (tensor.name.ends_with("." + block)) return tensor.name.substr(0, tensor.name.size() - block.size());
  }
  return std::nullopt;
}

const DialectTable& find_dialect(const SafetensorsFile& file, const std::optional<Dialect>& wanted) {
  std::string known;
  for (const DialectTable& table : detail::dialects()) {
    if (wanted ? table.dialect == *wanted : prefix_of(file, table).has_value()) return table;
    known += (known.empty() ? "" : ", ") + std::string(table.name);
  }
  throw Error(ErrorCode::unsupported,
              "\"" + file.name() + "\": expected the tensors of one of " + known + ", found others");
}

// Hyper-parameters by their names there.
class Settings {
 public:
  Settings(const Checkpoint& checkpoint, const DialectTable& table, const ImportOptions& options)
      : file_(checkpoint.name()), given_(options.settings) {
    if (options.num_heads) add(std::string(table.sizes.front().first), std::to_string(*options.num_heads));
    for (const auto& [key, value] : checkpoint.metadata()) {
      if (is_read(key, table)) add(key, value);
    }
    for (const auto& [key, value] : options.settings) {
      if (!is_read(key, table)) refuse(key, "a setting of " + std::string(table.name) + " that matters", value);
    }
  }

  const std::string* find(std::string_view key) const {
    const auto found = given_.find(std::string(key));
    return key.empty() || found == given_.end() ? nullptr : &found->second;
  }
  std::optional<std::size_t> count(std::string_view key) const { return number<std::size_t>(key, "a whole number"); }
  std::optional<double> real(std::string_view key) const { return number<double>(key, "a number"); }

  [[noreturn]] void refuse(std::string_view key, const std::string& expected, const std::string& found) const {
    throw Error(ErrorCode::invalid_config,
                "\"" + file_ + "\": setting " + std::string(key) + ": expected " + expected + ", found " + found);
  }
  [[noreturn]] void missing(std::string_view key, const std::string& what) const {
    throw Error(ErrorCode::invalid_config, "\"" + file_ + "\": setting " + std::string(key) + " is missing: " + what +
                                               " does not follow from the tensors");
  }

 private:
  static bool is_read(std::string_view key, const DialectTable& table) {
    const std::array single{kVariant,     table.variant_setting, table.activation, table.epsilon,
                            table.window, table.score,           table.scale};
    return !key.empty() && (std::ranges::find(single, key) != single.end() ||
                            std::ranges::any_of(table.sizes, [&](const auto& size) { return size.first == key; }));
  }
  void add(const std::string& key, const std::string& value) {
    const auto [place, fresh] = given_.emplace(key, value);
    if (!fresh && !same(place->second, value)) refuse(key, value, place->second);
  }
  // "1e-8" is "1e-08".
  static bool same(const std::string& a, const std::string& b) {
    const auto x = detail::parse_number<double>(a), y = detail::parse_number<double>(b);
    return a == b || (x && y && *x == *y);
  }
  template <class Number>
  std::optional<Number> number(std::string_view key, const char* expected) const {
    const std::string* const text = find(key);
    if (text == nullptr) return std::nullopt;
    const auto parsed = detail::parse_number<Number>(*text);
    if (!parsed) refuse(key, expected, detail::in_quotes(*text, '"'));
    return parsed;
  }

  std::string file_;
  std::map<std::string, std::string> given_;
};

// From the option, from a setting of that name, and from what the project itself calls it; they must agree.
const DialectVariant& find_variant(const DialectTable& table, const Settings& settings, const std::string& wanted) {
  std::string name = wanted, known;
  const auto learn = [&](std::string_view key, const std::string& said) {
    if (!name.empty() && name != said) settings.refuse(key, "what goes with the variant " + name, said);
    name = said;
  };
  if (const std::string* const said = settings.find(kVariant)) learn(kVariant, *said);
  if (const std::string* const value = settings.find(table.variant_setting)) {
    const auto& values = table.variant_values;
    const auto meant = std::ranges::find(values, *value, [](const auto& one) { return one.first; });
    if (meant == values.end()) settings.refuse(table.variant_setting, "True or False", detail::in_quotes(*value, '"'));
    learn(table.variant_setting, std::string(meant->second));
  }
  if (name.empty() && !table.choose) return table.variants.front();
  for (const DialectVariant& variant : table.variants) {
    if (variant.name == name) return variant;
    known += (known.empty() ? "" : ", ") + std::string(variant.name);
  }
  if (name.empty()) settings.missing(kVariant, "which one of " + known);
  settings.refuse(kVariant, "one of " + known, detail::in_quotes(name, '"'));
}

void set_activation(EncoderConfig& config, const DialectTable& table, const Settings& settings) {
  if (table.activation.empty()) return;
  const std::string* const name = settings.find(table.activation);
  if (name == nullptr) settings.missing(table.activation, "the activation");
  const std::array<std::pair<std::string_view, Activation>, 5> known{{{"gelu", Activation::gelu},
                                                                      {"relu", Activation::relu},
                                                                      {"swish", Activation::silu},
                                                                      {"tanh", Activation::tanh},
                                                                      {"sigmoid", Activation::sigmoid}}};
  for (const auto& [text, activation] : known) {
    if (text == *name) return void(config.activation = activation);
  }
  settings.refuse(table.activation, "gelu, relu, swish, tanh or sigmoid", detail::in_quotes(*name, '"'));
}

void set_score_and_scale(EncoderConfig& config, const DialectTable& table, const Settings& settings) {
  const std::string *const score = settings.find(table.score), *const scale = settings.find(table.scale);
  if (score == nullptr && table.told) settings.missing(table.score, "dot or cosine");
  if (score != nullptr) {
    if (*score != "dot" && *score != "cosine") settings.refuse(table.score, "dot or cosine", *score);
    config.score = *score == "dot" ? ScoreKind::dot : ScoreKind::cosine;
  }
  if (scale == nullptr && table.told) settings.missing(table.scale, "whether embeddings are multiplied");
  if (scale != nullptr) {
    if (*scale != "True" && *scale != "False") settings.refuse(table.scale, "True or False", *scale);
    config.scale_items = *scale == "True";
  }
}

// The window is as long as the table of positions, or else as the one of distances.
void set_window(EncoderConfig& config, const DialectTable& table, const DialectVariant& variant,
                const Checkpoint& checkpoint, const Settings& settings) {
  std::size_t places = 0;
  config.absolute_positions = !table.positions_optional || checkpoint.find(table.positions) != nullptr;
  if (config.absolute_positions) {
    const std::size_t rows = checkpoint.require_rank(table.positions, 2).shape[0];
    checkpoint.require(table.positions, {std::max(rows, variant.positions_before + 1), config.embedding_dim});
    places = rows - variant.positions_before;
  }
  const ParameterName bias("blocks.0.position_bias"), time("blocks.0.time_bias");
  if (config.block == BlockKind::hstu) {
    const std::string distances = bias.theirs(detail::origin_of(table, bias)->theirs.front());
    const std::string gaps = time.theirs(detail::origin_of(table, time)->theirs.front());
    config.relative_positions = checkpoint.find(distances) != nullptr;
    if (config.relative_positions && places == 0) places = (checkpoint.require_rank(distances, 1).elements() + 1) / 2;
    if (checkpoint.find(gaps) != nullptr) config.time_buckets = checkpoint.require_rank(gaps, 1).elements();
    config.request_time = config.time_buckets > 0;
  }
  const std::string_view length = table.window.empty() ? table.sizes.back().first : table.window;
  if (places == 0) {
    if (!settings.count(length)) settings.missing(length, "the window");
    places = *settings.count(length);
  }
  if (config.block == BlockKind::hstu) config.attention_divisor = places;
  config.max_sequence_length = table.window.empty() ? places : settings.count(table.window).value_or(places);
  if (config.max_sequence_length > places) {
    settings.refuse(table.window, "at most " + std::to_string(places) + ", as many as there are positions",
                    std::to_string(config.max_sequence_length));
  }
}

EncoderConfig config_of(const DialectTable& table, const DialectVariant& variant, const Checkpoint& checkpoint,
                        const Settings& settings, std::size_t hop) {
  EncoderConfig config = table.config;
  variant.apply(config);
  config.hop = hop;
  config.embedding_dim = checkpoint.require_rank(table.items, 2).shape[1];
  config.num_blocks = 0;
  while (config.num_blocks < 65 && checkpoint.find(block_name(table, config.num_blocks)) != nullptr) {
    ++config.num_blocks;
  }
  const ParameterName inner("blocks.0.feed_forward.inner.weight");
  if (const Origin* const origin = detail::origin_of(table, inner)) {
    const std::size_t rank = origin->form == Form::convolution ? 3 : 2;
    config.inner_dim = checkpoint.require_rank(inner.theirs(origin->theirs.front()), rank).shape[0];
  }
  set_window(config, table, variant, checkpoint, settings);
  config.separate_outputs = !table.outputs.empty() && checkpoint.find(table.outputs) != nullptr;
  const auto& [heads_key, heads] = table.sizes.front();
  if (!settings.count(heads_key)) settings.missing(heads_key, "the number of heads");
  config.*heads = *settings.count(heads_key);
  for (const auto& [key, member] : table.sizes) {
    const auto said = settings.count(key);
    if (said && *said != config.*member) settings.refuse(key, std::to_string(config.*member), std::to_string(*said));
  }
  config.layer_norm_epsilon = settings.real(table.epsilon).value_or(config.layer_norm_epsilon);
  set_activation(config, table, settings);
  set_score_and_scale(config, table, settings);
  try {
    config.validate();
  } catch (const Error& error) {
    throw Error(error.code(), "\"" + checkpoint.name() + "\": " + error.what());
  }
  return config;
}

// How each of their tensors must be shaped for one of our parameters.
Shape their_shape(const Parameter& parameter, const Origin& origin, const EncoderConfig& config) {
  if (origin.form == Form::distances) return {2 * config.attention_divisor - 1};
  if (origin.form == Form::plain || origin.form == Form::gates) return parameter.shape;
  const std::size_t out = parameter.shape.back() / origin.theirs.size();
  if (parameter.shape.size() == 1) return {out};
  if (origin.form == Form::convolution) return {out, parameter.shape.front(), 1};
  return {out, parameter.shape.front()};
}

const Origin& require_origin(const DialectTable& table, const ParameterName& name) {
  const Origin* const origin = detail::origin_of(table, name);
  if (origin == nullptr) throw Error(ErrorCode::unsupported, std::string(table.name) + ": has no " + name.layer);
  return *origin;
}

// Before memory is taken for the encoder.
void check_blocks(const EncoderConfig& config, const DialectTable& table, const Checkpoint& checkpoint) {
  for (std::size_t block = 0; block < config.num_blocks; ++block) {
    const ParameterList parameters = detail::block_parameters(config, block);
    for (const Parameter& parameter : parameters.list()) {
      const ParameterName name(parameter.name);
      const Origin& origin = require_origin(table, name);
      for (const std::string_view tensor : origin.theirs) {
        checkpoint.require(name.theirs(tensor), their_shape(parameter, origin, config));
      }
    }
  }
}

// weights [in, out] from values [part, in], in the columns from `first` on.
void turn(std::span<float> weights, std::size_t out, std::size_t first, std::span<const float> values, std::size_t in) {
  for (std::size_t i = 0; i < in; ++i) {
    for (std::size_t o = 0; o < values.size() / in; ++o) weights[i * out + first + o] = values[o * in + i];
  }
}

void fill(std::span<float> weights, const Parameter& parameter, const DialectTable& table, const EncoderConfig& config,
          const Checkpoint& checkpoint) {
  const ParameterName name(parameter.name);
  const Origin& origin = require_origin(table, name);
  const std::size_t in = parameter.shape.front(), out = parameter.shape.back();
  if (origin.form == Form::identity) {  // norms begin as one
    for (std::size_t i = 0; i < in && parameter.shape.size() == 2; ++i) weights[i * out + i] = 1;
    return;
  }
  for (std::size_t t = 0; t < origin.theirs.size(); ++t) {
    const Shape shape = their_shape(parameter, origin, config);
    const std::vector<float> values = checkpoint.values(name.theirs(origin.theirs[t]), shape);
    const std::size_t first = t * shape.front();
    if (origin.form == Form::gates) {
      constexpr std::array<std::size_t, 4> kPartOf{0, 2, 3, 1};
      for (std::size_t i = 0; i < values.size(); ++i) {
        const std::size_t row = i / out, column = i % out;
        weights[i] = values[row * out + kPartOf[column / in] * in + column % in];
      }
    } else if (origin.form == Form::distances) {
      const std::size_t future = config.attention_divisor - config.max_sequence_length;
      std::copy_n(values.begin() + static_cast<std::ptrdiff_t>(future), weights.size(), weights.begin());
    } else if (origin.form == Form::plain || parameter.shape.size() == 1) {
      std::ranges::copy(values, weights.begin() + static_cast<std::ptrdiff_t>(parameter.shape.size() == 1 ? first : 0));
    } else {
      turn(weights, out, first, values, in);
    }
  }
}

std::size_t count_items(const DialectTable& table, const Checkpoint& checkpoint) {
  const Shape& shape = checkpoint.require_rank(table.items, 2).shape;
  const std::size_t others = 1 + table.rows_behind;
  if (shape[0] <= others) checkpoint.require(table.items, {others + 1, shape[1]});
  return shape[0] - others;
}

class Importer {
 public:
  Importer(const DialectTable& table, const DialectVariant& variant, const Checkpoint& checkpoint,
           const EncoderConfig& config, std::size_t num_items)
      : table_(table),
        variant_(variant),
        checkpoint_(checkpoint),
        config_(config),
        dim_(config.embedding_dim),
        num_items_(num_items),
        rows_shape_{num_items + 1 + table.rows_behind, dim_} {
    if (config.separate_outputs) checkpoint.require(table.outputs, rows_shape_);
    check_blocks(config, table, checkpoint);
  }

  std::shared_ptr<const SequenceEncoder<float>> encoder() const {
    std::shared_ptr<SequenceEncoder<float>> encoder = make_encoder(config_, num_items_);
    const std::vector<float> items = checkpoint_.values(table_.items, rows_shape_);
    copy_rows(encoder->items(), items);
    if (config_.separate_outputs) copy_rows(encoder->outputs(), checkpoint_.values(table_.outputs, rows_shape_));
    const std::vector<float> positions = position_rows();
    for (const Parameter& parameter : encoder->parameters().list()) {
      const std::span<float> weights = encoder->weights().subspan(parameter.offset, parameter.size);
      if (parameter.name == "position_embedding.weight") {
        copy_positions(weights, positions);
      } else if (parameter.name == "padding.weight") {
        const float scale = config_.scale_items ? std::sqrt(static_cast<float>(dim_)) : 1.0f;
        for (std::size_t d = 0; d < dim_; ++d) weights[d] = scale * items[d] + positions[d];
        if (!std::ranges::all_of(weights, [](float weight) { return std::isfinite(weight); })) {
          throw Error(ErrorCode::non_finite, "\"" + checkpoint_.name() + "\": tensor " +
                                                 detail::in_quotes(table_.items, '"') +
                                                 ": expected a row of padding that is finite beside its position");
        }
      } else {
        fill(weights, parameter, table_, config_, checkpoint_);
      }
    }
    return encoder;
  }

 private:
  std::vector<float> position_rows() const {
    const TensorInfo* const tensor = checkpoint_.find(table_.positions);
    return tensor == nullptr ? std::vector<float>{} : checkpoint_.values(table_.positions, tensor->shape);
  }
  void copy_rows(EmbeddingTable<float>& rows, std::span<const float> values) const {
    for (std::size_t row = 0; row < num_items_; ++row) {
      std::copy_n(values.data() + (row + 1) * dim_, dim_, rows.row(row).data());
    }
  }
  void copy_positions(std::span<float> weights, std::span<const float> rows) const {
    const std::size_t count = config_.max_sequence_length;
    for (std::size_t place = 0; place < count; ++place) {
      const std::size_t row = variant_.positions_before + (table_.positions_reversed ? count - 1 - place : place);
      std::copy_n(rows.data() + row * dim_, dim_, weights.data() + place * dim_);
    }
  }

  const DialectTable& table_;
  const DialectVariant& variant_;
  const Checkpoint& checkpoint_;
  const EncoderConfig& config_;
  std::size_t dim_, num_items_;
  Shape rows_shape_;  // of the items
};

std::shared_ptr<const IdMap> ids_of(const ImportOptions& options, std::size_t num_items) {
  if (!options.item_ids) {
    auto numbers = std::make_shared<IdMap>();
    for (std::size_t row = 1; row <= num_items; ++row) numbers->insert(std::to_string(row));
    return numbers;
  }
  if (options.item_ids->size() == num_items) return options.item_ids;
  throw Error(ErrorCode::invalid_argument, "item ids: expected " + std::to_string(num_items) +
                                               ", one for each row of an item, found " +
                                               std::to_string(options.item_ids->size()));
}

}  // namespace

TrainedModel import_model(const std::string& file, const ImportOptions& options) {
  return import_model(SafetensorsFile::open(file), options);
}

TrainedModel import_model(const SafetensorsFile& file, const ImportOptions& options) {
  const DialectTable& table = find_dialect(file, options.dialect);
  const Checkpoint checkpoint(file, prefix_of(file, table).value_or(""));
  const Settings settings(checkpoint, table, options);
  checkpoint.require_rank(block_name(table, 0), 2);
  const DialectVariant& variant = find_variant(table, settings, options.variant);
  const std::size_t num_items = count_items(table, checkpoint);
  const EncoderConfig config = config_of(table, variant, checkpoint, settings, options.hop);
  const Importer importer(table, variant, checkpoint, config, num_items);
  TrainedModel model;
  model.item_ids = ids_of(options, num_items);
  model.encoder = importer.encoder();
  checkpoint.refuse_others(table.ignored);
  model.notes = {{"dialect", std::string(table.name)}, {"variant", std::string(variant.name)}};
  return model;
}

}  // namespace attune::inline v0_1
