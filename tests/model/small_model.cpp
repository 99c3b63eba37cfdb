// SPDX-License-Identifier: Apache-2.0
#include "model/small_model.hpp"

#include <algorithm>
#include <span>

#include "model/config_json.hpp"
#include "model/count_json.hpp"
#include "model/counts_file.hpp"

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
    return std::tuple(c.block, c.embedding_dim, c.num_blocks, c.num_heads, c.inner_dim, c.max_sequence_length, c.hop,
                      c.activation, c.norm_placement, c.mask, c.embedding_norm, c.final_norm, c.scale_items,
                      c.layer_norm_epsilon, c.dropout, c.attention_dropout, c.score, c.temperature, c.mask_token,
                      c.absolute_positions, c.relative_positions, c.bias_per_head, c.time_buckets, c.request_time,
                      c.attention_divisor, c.learned_norms, c.feed_forward);
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

// Of the library's own files: the options as JSON and every tensor, bit for bit.
std::string counts_difference(const TrainedModel& a, const TrainedModel& b) {
  const auto x = detail::options_of(*a.counts), y = detail::options_of(*b.counts);
  if (x->index() != y->index()) return "kind of counts";
  const auto fields = [](const CountOptions& options) {
    detail::Json json = detail::Json::object();
    std::visit([&](const auto& typed) { detail::visit_options(typed, detail::ConfigWriter(json)); }, options);
    return json.dump();
  };
  if (fields(*x) != fields(*y)) return "options of the counts";
  return detail::counts_bytes(nullptr, a.counts.get()) == detail::counts_bytes(nullptr, b.counts.get()) ? "" : "counts";
}

}  // namespace

std::string difference(const TrainedModel& a, const TrainedModel& b) {
  if (a.version != b.version) return "version";
  if (a.notes != b.notes) return "notes";
  if (a.blend_weight != b.blend_weight) return "blend weight";
  if (a.weight_storage != b.weight_storage) return "weight storage";
  if (!same_ids(*a.item_ids, *b.item_ids)) return "item ids";
  if (!a.encoder != !b.encoder || !a.popularity != !b.popularity || !a.counts != !b.counts ||
      !a.histories != !b.histories) {
    return "parts";
  }
  std::string found;
  if (a.calibration.scores != b.calibration.scores || a.calibration.probabilities != b.calibration.probabilities) {
    found += "calibration ";
  }
  if (a.ranker.candidates != b.ranker.candidates || !same_bits(a.ranker.weights, b.ranker.weights)) found += "ranker ";
  if (a.encoder) found += encoder_difference(*a.encoder, *b.encoder);
  if (a.popularity && !same_bits(a.popularity->counts(), b.popularity->counts())) found += "popularity";
  if (a.counts) found += counts_difference(a, b);
  if (a.histories) found += histories_difference(*a.histories, *b.histories);
  return found;
}

}  // namespace attune::test
