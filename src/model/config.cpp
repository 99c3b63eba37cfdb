// SPDX-License-Identifier: Apache-2.0
#include "attune/model/config.hpp"

#include <locale>
#include <sstream>
#include <string>
#include <string_view>

#include "attune/detail/dropout.hpp"
#include "attune/error.hpp"

namespace attune::inline v0_1 {

namespace {

template <class Value>
[[noreturn]] void refuse(std::string_view field, std::string_view allowed, Value found) {
  std::ostringstream message;
  message.imbue(std::locale::classic());
  message << "config: " << field << " must be " << allowed << ", found " << found;
  throw Error(ErrorCode::invalid_config, message.str());
}

void check_count(std::string_view field, std::size_t value, std::size_t most) {
  if (value < 1 || value > most) refuse(field, "1 to " + std::to_string(most), value);
}

// Written so that NaN is refused.
void check_range(std::string_view field, double value, double least, double most, std::string_view allowed) {
  if (!(value >= least && value <= most)) refuse(field, allowed, value);
}

void check_dropout(std::string_view field, double rate) {
  if (rate == 0.0) return;
  check_range(field, rate, detail::Dropout::kLeastRate, 0.95, "0, or 1/512 to 0.95 (it is rounded to 1/256)");
}

}  // namespace

void EncoderConfig::validate() const {
  check_count("embedding_dim", embedding_dim, 4096);
  check_count("num_blocks", num_blocks, 64);
  check_count("num_heads", num_heads, 64);
  if (embedding_dim % num_heads != 0) {
    refuse("num_heads", "a divisor of embedding_dim (" + std::to_string(embedding_dim) + ")", num_heads);
  }
  check_count("inner_dim", inner_dim, 4096);
  check_count("max_sequence_length", max_sequence_length, 65536);
  if (hop > max_sequence_length) {
    refuse("hop", "0 to max_sequence_length (" + std::to_string(max_sequence_length) + ")", hop);
  }
  if (mask_token && max_sequence_length < 2) refuse("max_sequence_length", "at least 2 with mask_token", 1);
  if (mask_token && mask == AttentionMask::causal) refuse("mask_token", "false under a causal mask", "true");
  if (block == BlockKind::hstu && mask != AttentionMask::causal) refuse("mask", "causal for hstu", "bidirectional");
  if (time_buckets > 255) refuse("time_buckets", "0 to 255", time_buckets);
  if (time_buckets > 0 && block != BlockKind::hstu) refuse("time_buckets", "0 unless block is hstu", time_buckets);
  // The bucket of every pair of events takes a byte.
  constexpr std::size_t kLongestWithTimes = 8192;
  if (time_buckets > 0 && max_sequence_length > kLongestWithTimes) {
    refuse("max_sequence_length", "at most 8192 where time_buckets is not 0", max_sequence_length);
  }
  if (mask_token && position_origin == PositionOrigin::newest)
    refuse("position_origin", "oldest with mask_token", "newest");
  if (padding != Padding::none) {
    const char* const found = padding == Padding::zeros ? "zeros" : "learned";
    if (block != BlockKind::sasrec) refuse("padding", "none unless block is sasrec", found);
    if (mask != AttentionMask::causal) refuse("padding", "none under a bidirectional mask", found);
    if (position_origin != PositionOrigin::newest) refuse("padding", "none where position_origin is oldest", found);
    if (embedding_norm) refuse("padding", "none with embedding_norm", found);
  }
  if (request_time && time_buckets == 0) refuse("request_time", "false without time_buckets", "true");
  check_range("layer_norm_epsilon", layer_norm_epsilon, 1e-30, 1.0, "1e-30 to 1");
  if (final_norm_epsilon != 0) check_range("final_norm_epsilon", final_norm_epsilon, 1e-30, 1.0, "0, or 1e-30 to 1");
  check_dropout("dropout", dropout);
  check_dropout("attention_dropout", attention_dropout);
  if (score != ScoreKind::cosine && score != ScoreKind::dot) refuse("score", "cosine or dot", to_string(score));
  check_range("temperature", temperature, 1e-4, 1e4, "0.0001 to 10000");
}

}  // namespace attune::inline v0_1
