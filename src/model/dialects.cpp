// SPDX-License-Identifier: Apache-2.0
#include "model/dialects.hpp"

#include <algorithm>

namespace attune::inline v0_1 {
namespace {

using detail::DialectTable;
using detail::Form;

void as_it_is(EncoderConfig&) {}
void post_norm(EncoderConfig& config) { config.norm_placement = NormPlacement::post; }
void pre_norm(EncoderConfig& config) { config.norm_placement = NormPlacement::pre; }
void query_norm(EncoderConfig& config) { config.norm_placement = NormPlacement::query; }
void query_norm_before_zeros(EncoderConfig& config) {
  config.norm_placement = NormPlacement::query;
  config.padding = Padding::zeros;
}
void masked_padding(EncoderConfig& config) { config.padding = Padding::none; }
void dot_of_normalised(EncoderConfig& config) {
  config.final_norm = true;
  config.score = ScoreKind::dot;
}

// Of all of them: what only training reads does not matter.
EncoderConfig served() {
  EncoderConfig config;
  config.dropout = 0;
  config.score = ScoreKind::dot;
  return config;
}

// SASRec whose positions count to the newest event, as left padding has it.
EncoderConfig left_padded(double epsilon) {
  EncoderConfig config = served();
  config.activation = Activation::relu;
  config.position_origin = PositionOrigin::newest;
  config.layer_norm_epsilon = epsilon;
  return config;
}

EncoderConfig hstu() {
  EncoderConfig config = served();
  config.block = BlockKind::hstu;
  config.bias_per_head = false;
  config.final_norm = false;
  config.layer_norm_epsilon = 1e-6;
  return config;
}

DialectTable recbole() {
  DialectTable table{.dialect = Dialect::recbole,
                     .name = "recbole",
                     .block = "trm_encoder.layer.#.multi_head_attention.query.weight",
                     .items = "item_embedding.weight",
                     .positions = "position_embedding.weight",
                     .origins = {{"embedding_norm", {"LayerNorm.*"}},
                                 {"attention.qkv",
                                  {"trm_encoder.layer.#.multi_head_attention.query.*",
                                   "trm_encoder.layer.#.multi_head_attention.key.*",
                                   "trm_encoder.layer.#.multi_head_attention.value.*"}},
                                 {"attention.output", {"trm_encoder.layer.#.multi_head_attention.dense.*"}},
                                 {"attention_norm", {"trm_encoder.layer.#.multi_head_attention.LayerNorm.*"}},
                                 {"feed_forward.inner", {"trm_encoder.layer.#.feed_forward.dense_1.*"}},
                                 {"feed_forward.outer", {"trm_encoder.layer.#.feed_forward.dense_2.*"}},
                                 {"feed_forward_norm", {"trm_encoder.layer.#.feed_forward.LayerNorm.*"}}},
                     .config = served(),
                     .variants = {{"post_ln", post_norm}},
                     .sizes = {{"n_heads", &EncoderConfig::num_heads},
                               {"n_layers", &EncoderConfig::num_blocks},
                               {"hidden_size", &EncoderConfig::embedding_dim},
                               {"inner_size", &EncoderConfig::inner_dim},
                               {"MAX_ITEM_LIST_LENGTH", &EncoderConfig::max_sequence_length}},
                     .activation = "hidden_act",
                     .epsilon = "layer_norm_eps"};
  table.config.embedding_norm = true;
  table.config.final_norm = false;
  table.config.layer_norm_epsilon = 1e-12;
  return table;
}

DialectTable pmixer() {
  DialectTable table{.dialect = Dialect::pmixer,
                     .name = "pmixer",
                     .block = "attention_layers.#.in_proj_weight",
                     .items = "item_emb.weight",
                     .positions = "pos_emb.weight",
                     .origins = {{"attention.qkv", {"attention_layers.#.in_proj_*"}},
                                 {"attention.output", {"attention_layers.#.out_proj.*"}},
                                 {"attention_norm", {"attention_layernorms.#.*"}},
                                 {"feed_forward.inner", {"forward_layers.#.conv1.*"}, Form::convolution},
                                 {"feed_forward.outer", {"forward_layers.#.conv2.*"}, Form::convolution},
                                 {"feed_forward_norm", {"forward_layernorms.#.*"}},
                                 {"final_norm", {"last_layernorm.*"}}},
                     .config = left_padded(1e-8),
                     .variants = {{"post_ln", post_norm, 1},
                                  {"pre_ln", pre_norm, 1},
                                  {"2024", query_norm, 1},
                                  {"2020", query_norm_before_zeros, 0}},
                     .choose = true,
                     .variant_setting = "norm_first",
                     .variant_values = {{"False", "post_ln"}, {"True", "pre_ln"}},
                     .sizes = {{"num_heads", &EncoderConfig::num_heads},
                               {"num_blocks", &EncoderConfig::num_blocks},
                               {"hidden_units", &EncoderConfig::embedding_dim},
                               {"maxlen", &EncoderConfig::max_sequence_length}},
                     .epsilon = "layernorm_eps"};
  table.config.scale_items = true;
  table.config.padding = Padding::learned;
  return table;
}

DialectTable meta_hstu() {
  DialectTable table{
      .dialect = Dialect::hstu,
      .name = "hstu",
      .block = "_hstu._attention_layers.#._uvqk",
      .items = "_embedding_module._item_emb.weight",
      .positions = "_input_features_preproc._pos_emb.weight",
      .ignored = {"_attn_mask"},
      .origins = {{"projection", {"_hstu._attention_layers.#._uvqk"}, Form::gates},
                  {"position_bias", {"_hstu._attention_layers.#._rel_attn_bias._pos_w"}, Form::distances},
                  {"time_bias", {"_hstu._attention_layers.#._rel_attn_bias._ts_w"}, Form::plain},
                  {"output", {"_hstu._attention_layers.#._o.*"}},
                  {"final_norm", {}, Form::identity}},
      .config = hstu(),
      .variants = {{"l2_norm", as_it_is}, {"layer_norm", dot_of_normalised}},
      .sizes = {{"num_heads", &EncoderConfig::num_heads},
                {"num_blocks", &EncoderConfig::num_blocks},
                {"embedding_dim", &EncoderConfig::embedding_dim}},
      .epsilon = "eps",
      .window = "max_sequence_len"};
  table.config.scale_items = true;
  table.config.score = ScoreKind::cosine;
  return table;
}

DialectTable gsasrec() {
  return {.dialect = Dialect::gsasrec,
          .name = "gsasrec",
          .block = "transformer_blocks.#.multihead_attention.query_proj.weight",
          .items = "item_embedding.weight",
          .rows_behind = 1,  // it pads with the id behind the last
          .outputs = "output_embedding.weight",
          .positions = "position_embedding.weight",
          .origins = {{"attention.qkv",
                       {"transformer_blocks.#.multihead_attention.query_proj.*",
                        "transformer_blocks.#.multihead_attention.key_proj.*",
                        "transformer_blocks.#.multihead_attention.val_proj.*"}},
                      {"attention.output", {}, Form::identity},
                      {"attention_norm", {"transformer_blocks.#.first_norm.*"}},
                      {"feed_forward.inner", {"transformer_blocks.#.dense1.*"}},
                      {"feed_forward.outer", {"transformer_blocks.#.dense2.*"}},
                      {"feed_forward_norm", {"transformer_blocks.#.second_norm.*"}},
                      {"final_norm", {"seq_norm.*"}}},
          .config = left_padded(1e-5),
          .variants = {{"query_ln", query_norm}},
          .sizes = {{"num_heads", &EncoderConfig::num_heads},
                    {"num_blocks", &EncoderConfig::num_blocks},
                    {"embedding_dim", &EncoderConfig::embedding_dim},
                    {"sequence_length", &EncoderConfig::max_sequence_length}}};
}

// What both models of RecTools share.
DialectTable rectools() {
  return {.items = "item_model.item_net_blocks.0.ids_emb.weight",
          .positions = "pos_encoding_layer.pos_emb.weight",
          .positions_optional = true,
          .positions_reversed = true,
          .sizes = {{"n_heads", &EncoderConfig::num_heads},
                    {"n_blocks", &EncoderConfig::num_blocks},
                    {"n_factors", &EncoderConfig::embedding_dim},
                    {"session_max_len", &EncoderConfig::max_sequence_length}},
          .score = "distance",
          .scale = "use_scale_factor"};
}

DialectTable rectools_sasrec() {
  DialectTable table = rectools();
  table.dialect = Dialect::rectools_sasrec;
  table.name = "rectools-sasrec";
  table.block = "transformer_layers.transformer_blocks.#.multi_head_attn.in_proj_weight";
  table.origins = {{"attention.qkv", {"transformer_layers.transformer_blocks.#.multi_head_attn.in_proj_*"}},
                   {"attention.output", {"transformer_layers.transformer_blocks.#.multi_head_attn.out_proj.*"}},
                   {"attention_norm", {"transformer_layers.transformer_blocks.#.q_layer_norm.*"}},
                   {"feed_forward.inner", {"transformer_layers.transformer_blocks.#.feed_forward.ff_linear_1.*"}},
                   {"feed_forward.outer", {"transformer_layers.transformer_blocks.#.feed_forward.ff_linear_2.*"}},
                   {"feed_forward_norm", {"transformer_layers.transformer_blocks.#.ff_layer_norm.*"}},
                   {"final_norm", {"transformer_layers.last_layernorm.*"}}};
  table.config = left_padded(1e-5);
  table.config.norm_placement = NormPlacement::query;
  table.config.padding = Padding::zeros;
  table.config.final_norm_epsilon = 1e-8;
  table.variants = {{"counted_padding", as_it_is}, {"key_padding_mask", masked_padding}};
  table.variant_setting = "use_key_padding_mask";
  table.variant_values = {{"False", "counted_padding"}, {"True", "key_padding_mask"}};
  return table;
}

DialectTable rectools_hstu() {
  DialectTable table = rectools();
  table.dialect = Dialect::rectools_hstu;
  table.name = "rectools-hstu";
  table.block = "transformer_layers.stu_blocks.#.uvqk_proj";
  table.origins = {{"input_norm", {"transformer_layers.stu_blocks.#.norm_input.*"}},
                   {"projection", {"transformer_layers.stu_blocks.#.uvqk_proj"}, Form::gates},
                   {"position_bias", {"transformer_layers.stu_blocks.#.rel_attn.pos_weights"}, Form::distances},
                   {"time_bias", {"transformer_layers.stu_blocks.#.rel_attn.time_weights"}, Form::plain},
                   {"context_norm", {"transformer_layers.stu_blocks.#.norm_attn_output.*"}},
                   {"output", {"transformer_layers.stu_blocks.#.output_mlp.*"}}};
  table.config = hstu();
  table.config.position_origin = PositionOrigin::newest;
  table.config.learned_norms = true;
  table.variants = {{"learned_norms", as_it_is}};
  table.epsilon = "epsilon";
  table.told = true;  // since what it does unless told otherwise has changed with its versions
  return table;
}

}  // namespace

const std::vector<DialectTable>& detail::dialects() {
  static const std::vector<DialectTable> all{recbole(), pmixer(),          meta_hstu(),
                                             gsasrec(), rectools_sasrec(), rectools_hstu()};
  return all;
}

const DialectTable& detail::table_of(Dialect dialect) {
  return *std::ranges::find(dialects(), dialect, &DialectTable::dialect);
}

detail::ParameterName::ParameterName(std::string_view parameter) {
  constexpr std::string_view kBlocks = "blocks.";
  if (parameter.starts_with(kBlocks)) {
    parameter.remove_prefix(kBlocks.size());
    block = parameter.substr(0, parameter.find('.'));
    parameter.remove_prefix(block.size() + 1);
  }
  for (const std::string_view one : {"weight", "bias"}) {
    if (parameter.size() > one.size() && parameter.ends_with(one) &&
        parameter[parameter.size() - one.size() - 1] == '.') {
      kind = one;
      parameter.remove_suffix(one.size() + 1);
      break;
    }
  }
  layer = parameter;
}

std::string detail::ParameterName::theirs(std::string_view pattern) const {
  std::string name;
  for (const char c : pattern) {
    if (c == '#') {
      name += block;
    } else if (c == '*') {
      name += kind;
    } else {
      name += c;
    }
  }
  return name;
}

const detail::Origin* detail::origin_of(const DialectTable& table, const ParameterName& name) {
  const auto found = std::ranges::find(table.origins, std::string_view(name.layer), &Origin::ours);
  return found == table.origins.end() ? nullptr : &*found;
}

std::string_view to_string(Dialect dialect) noexcept { return detail::table_of(dialect).name; }

std::optional<Dialect> dialect_of(std::string_view name) noexcept {
  const auto& all = detail::dialects();
  const auto found = std::ranges::find(all, name, &DialectTable::name);
  return found == all.end() ? std::nullopt : std::optional(found->dialect);
}

}  // namespace attune::inline v0_1
