// SPDX-License-Identifier: Apache-2.0
#pragma once

// Hyper-parameters of an encoder, their limits, and the window rule that training, evaluation and serving share.

#include <algorithm>
#include <cstddef>
#include <string>

#include "attune/detail/kernel_table.hpp"
#include "attune/types.hpp"

namespace attune::inline v0_1 {

using detail::Activation;

enum class BlockKind : std::uint8_t { sasrec, hstu, custom };  // custom: a host's own, which no file can name
enum class NormPlacement : std::uint8_t { pre, post, query };  // see sasrec_block.hpp
enum class PositionOrigin : std::uint8_t { oldest, newest };  // counted from the oldest event | to the newest, at W - 1
// What fills the window in front of the oldest event and is attended to like an event: a row that every block reads as
// zeros, or a learned one that goes through the blocks.
enum class Padding : std::uint8_t { none, zeros, learned };
enum class AttentionMask : std::uint8_t { causal, bidirectional };

struct EncoderConfig {
  BlockKind block = BlockKind::sasrec;
  std::size_t embedding_dim = 64;
  std::size_t num_blocks = 2;
  std::size_t num_heads = 2;
  std::size_t inner_dim = 256;            // of the feed-forward layer
  std::size_t max_sequence_length = 200;  // W: most events the encoder looks at
  std::size_t hop = 0;                    // H: the window slides by this many events; 0 means max(1, W / 4)

  AttentionMask mask = AttentionMask::causal;
  // A learned row stands where an event is hidden: what masked training predicts, and the last row of every encoded
  // suffix, which takes one place of the window. Needs a bidirectional mask.
  bool mask_token = false;
  bool absolute_positions = true;  // a learned row per position
  PositionOrigin position_origin = PositionOrigin::oldest;
  Padding padding = Padding::none;  // needs sasrec and positions to the newest

  Activation activation = Activation::gelu;           // of the feed-forward layer
  NormPlacement norm_placement = NormPlacement::pre;  // sasrec

  // hstu
  bool relative_positions = true;     // a learned bias of attention per distance
  bool bias_per_head = true;          // each head has its own of these, else they share one
  std::size_t time_buckets = 0;       // learned bias per gap in time, each bucket 1.35 times as wide; 0: order alone
  bool request_time = false;          // rows know when the event they predict happens; needs time_buckets
  std::size_t attention_divisor = 0;  // of the sum over keys; 0: their number
  bool learned_norms = false;         // norms with scale and shift
  bool feed_forward = false;          // a feed-forward layer behind attention, as sasrec always has

  bool embedding_norm = false;  // layer norm of item + position
  bool final_norm = true;       // layer norm after the last block (a cosine score makes it needless for hstu)
  bool scale_items = false;     // multiply item rows by sqrt(embedding_dim)
  double layer_norm_epsilon = 1e-8;
  double final_norm_epsilon = 0;   // of the final norm; 0: as the others
  double dropout = 0.2;            // of the input and of the residual branches
  double attention_dropout = 0.0;  // of the attention weights (sasrec)

  bool separate_outputs = false;        // items have a second row each, which scores are made of
  ScoreKind score = ScoreKind::cosine;  // cosine or dot
  double temperature = 0.05;            // cosine logits are divided by it in training

  std::size_t effective_hop() const noexcept {
    return hop != 0 ? hop : std::max<std::size_t>(1, max_sequence_length / 4);
  }
  // Most events of a history that are encoded at once.
  std::size_t window() const noexcept { return max_sequence_length - (mask_token ? 1 : 0); }

  // Appending an event leaves the rows of older ones as they are.
  bool cacheable() const noexcept {
    return mask == AttentionMask::causal && padding == Padding::none &&
           !(absolute_positions && position_origin == PositionOrigin::newest);
  }
  // Training knows it. Other encoders were trained elsewhere (model/import.hpp) and are only served.
  bool trainable() const noexcept {
    return norm_placement != NormPlacement::query && position_origin == PositionOrigin::oldest &&
           padding == Padding::none && !separate_outputs;
  }

  // Throws Error(invalid_config) naming the field, what is allowed and what was given. Upper limits: width and inner
  // width 4096, 64 blocks, 64 heads, window 65536, with time buckets 8192. Dropout rates are rounded to 1/256: one
  // below 1/512 that is not 0 is refused, since it would drop nothing.
  ATTUNE_EXPORT void validate() const;
};

// Where the encoded suffix of a history of n events begins: 0 for n <= W, else ceil((n - W) / H) * H. A function of n
// alone, so that what is served equals what was evaluated; a slide re-encodes once every H events.
constexpr std::size_t window_start(std::size_t n, std::size_t window, std::size_t hop) noexcept {
  return n <= window ? 0 : (n - window + hop - 1) / hop * hop;
}

}  // namespace attune::inline v0_1
