// SPDX-License-Identifier: Apache-2.0
#include "model/small_model.hpp"

#include <algorithm>
#include <span>

namespace attune::test {
namespace {

template <class Container>
bool same_bits(const Container& a, const Container& b) {
  const auto x = std::as_bytes(std::span(a)), y = std::as_bytes(std::span(b));
  return std::ranges::equal(x, y);
}

bool same_ids(const IdMap& a, const IdMap& b) {
  std::vector<std::byte> x, y;
  a.serialize(x);
  b.serialize(y);
  return x == y;
}

std::string encoder_difference(const SequenceEncoder<float>& a, const SequenceEncoder<float>& b) {
  const EncoderConfig &x = a.config(), &y = b.config();
  const auto fields = [](const EncoderConfig& c) {
    return std::tuple(c.embedding_dim, c.num_blocks, c.num_heads, c.inner_dim, c.max_sequence_length, c.hop,
                      c.activation, c.norm_placement, c.mask, c.embedding_norm, c.final_norm, c.scale_items,
                      c.layer_norm_epsilon, c.dropout, c.attention_dropout, c.score, c.temperature);
  };
  if (fields(x) != fields(y)) return "configuration";
  if (!same_bits(a.weights(), b.weights())) return "weights";
  if (a.items().rows() != b.items().rows()) return "rows";
  for (std::size_t row = 0; row < a.items().rows(); ++row) {
    if (!same_bits(a.items().row(row), b.items().row(row))) return "row " + std::to_string(row);
  }
  return "";
}

std::string histories_difference(const Histories& a, const Histories& b) {
  if (!same_ids(*a.user_ids, *b.user_ids)) return "users";
  if (!same_ids(*a.item_ids, *b.item_ids)) return "items of the histories";
  if (a.event_kinds != b.event_kinds) return "event kinds";
  if (a.offsets != b.offsets || a.items != b.items || a.times != b.times || a.kinds != b.kinds) return "events";
  return same_bits(a.values, b.values) ? "" : "values";
}

std::string markov_difference(const MarkovModel& a, const MarkovModel& b) {
  const auto options = [](const MarkovOptions& o) {
    return std::tuple(o.steps, o.history, o.decay, o.popularity_power, o.smoothing);
  };
  if (options(a.options()) != options(b.options())) return "options of the counts";
  const MarkovModel::Counts &x = a.counts(), &y = b.counts();
  const bool same =
      x.offsets == y.offsets && x.columns == y.columns && same_bits(x.counts, y.counts) && x.popularity == y.popularity;
  return same ? "" : "counts";
}

}  // namespace

std::string difference(const TrainedModel& a, const TrainedModel& b) {
  if (a.version != b.version) return "version";
  if (a.notes != b.notes) return "notes";
  if (a.blend_weight != b.blend_weight) return "blend weight";
  if (!same_ids(*a.item_ids, *b.item_ids)) return "item ids";
  if (!a.encoder != !b.encoder || !a.popularity != !b.popularity || !a.markov != !b.markov ||
      !a.histories != !b.histories) {
    return "parts";
  }
  std::string found;
  if (a.encoder) found += encoder_difference(*a.encoder, *b.encoder);
  if (a.popularity && !same_bits(a.popularity->counts(), b.popularity->counts())) found += "popularity";
  if (a.markov) found += markov_difference(*a.markov, *b.markov);
  if (a.histories) found += histories_difference(*a.histories, *b.histories);
  return found;
}

}  // namespace attune::test
