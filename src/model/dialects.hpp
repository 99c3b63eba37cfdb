// SPDX-License-Identifier: Apache-2.0
#pragma once

// The checkpoints of other projects as one table: what their tensors are called and how they are shaped, and which
// configuration computes what they compute.

#include <cstddef>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "attune/model/config.hpp"
#include "attune/model/import.hpp"

namespace attune::inline v0_1::detail {

// How the values of one of our parameters stand in theirs.
enum class Form : std::uint8_t {
  linear,       // matrices [out, in], to be turned, and vectors; several of them side by side
  convolution,  // the same with a third extent of 1
  gates,        // [in, 4 in]: U, V, Q, K, where ours are U, Q, K, V
  distances,    // [2 N - 1], of which ours are those of the past
  plain,        // as ours
  identity      // they have none: ones on the diagonal, no shift
};

struct Origin {
  std::string_view ours;                 // a layer within its block, or a parameter
  std::vector<std::string_view> theirs;  // '#' is the number of the block, '*' weight or bias
  Form form = Form::linear;
};

struct DialectVariant {
  std::string_view name;
  void (*apply)(EncoderConfig& config);
  std::size_t positions_before = 0;  // rows of the table of positions in front of those of events
};

struct DialectTable {
  Dialect dialect = {};
  std::string_view name = {};
  std::string_view block = {};    // a tensor that every block has, and no other dialect
  std::string_view items = {};    // row 0 is padding
  std::size_t rows_behind = 0;    // of items
  std::string_view outputs = {};  // as many rows, where scores are made of others than the items'
  std::string_view positions = {};
  bool positions_optional = false;
  bool positions_reversed = false;  // the first row is that of the newest event
  std::vector<std::string_view> ignored = {};
  std::vector<Origin> origins = {};
  EncoderConfig config = {};  // what it has in common; sizes come from the tensors
  // The first is what it is without a word; with `choose` there must be a word.
  std::vector<DialectVariant> variants = {};
  bool choose = false;
  // A setting whose values name variants: "norm_first", {{"True", "pre_ln"}, ...}.
  std::string_view variant_setting = {};
  std::vector<std::pair<std::string_view, std::string_view>> variant_values = {};
  // Settings by their names there. The first is the number of heads, the others repeat what tensors say.
  std::vector<std::pair<std::string_view, std::size_t EncoderConfig::*>> sizes = {};
  std::string_view activation = {};  // "": always the one of `config`
  std::string_view epsilon = {};
  std::string_view window = {};  // of what may be shorter than the table of positions
  std::string_view score = {};   // dot or cosine
  std::string_view scale = {};   // whether embeddings are multiplied by the root of their width
  bool told = false;             // score and scale have to be
};

const std::vector<DialectTable>& dialects();
const DialectTable& table_of(Dialect dialect);

// One of our parameters as the table names it: "blocks.3.attention.qkv.weight" is {"attention.qkv", "weight", "3"}.
struct ParameterName {
  explicit ParameterName(std::string_view parameter);
  std::string layer, kind, block;
  // The name of a tensor, with '#' and '*' filled in.
  std::string theirs(std::string_view pattern) const;
};
const Origin* origin_of(const DialectTable& table, const ParameterName& name);

}  // namespace attune::inline v0_1::detail
