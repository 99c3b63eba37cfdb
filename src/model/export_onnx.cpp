// SPDX-License-Identifier: Apache-2.0
// The encoder of a model as an ONNX graph: the same rows as SasrecBlock and TransformerEncoder compute, in standard
// operators.

#include <cmath>

#include "attune/error.hpp"
#include "attune/model/export.hpp"
#include "model/model_files.hpp"
#include "model/onnx_writer.hpp"

namespace attune::inline v0_1 {
namespace {

using detail::OnnxGraph;
using Name = std::string;  // of a value of the graph

void check_supported(const EncoderConfig& config) {
  const auto require = [](bool holds, const char* field, const char* expected) {
    if (holds) return;
    throw Error(ErrorCode::unsupported, std::string("export to ONNX: ") + field + ": expected " + expected);
  };
  require(config.block == BlockKind::sasrec, "block", "sasrec");
  require(config.mask == AttentionMask::causal, "mask", "causal");
}

class EncoderGraph {
 public:
  explicit EncoderGraph(const SequenceEncoder<float>& encoder)
      : encoder_(encoder), config_(encoder.config()), dim_(static_cast<std::int64_t>(encoder.dim())) {
    for (const Parameter& parameter : encoder.parameters().list()) {
      graph_.tensor(parameter.name, parameter.shape, encoder.weights().subspan(parameter.offset, parameter.size));
    }
  }

  std::vector<std::byte> bytes() {
    graph_.input("events", "events");
    const Name count = graph_.node("Shape", {"events"});
    window_ = graph_.integers({static_cast<std::int64_t>(config_.max_sequence_length)});
    const Name room = graph_.node("Sub", {window_, count});
    Name x = embedded(count, room);
    if (config_.embedding_norm) x = norm("embedding_norm", x, config_.layer_norm_epsilon);
    Name padding;
    if (config_.padding == Padding::learned) padding = graph_.node("Reshape", {"padding.weight", row_shape()});
    if (config_.padding == Padding::zeros) padding = zero_row();
    const Name mask = causal_mask(count);
    for (std::size_t b = 0; b < config_.num_blocks; ++b) {
      const std::string block = std::string("blocks.").append(std::to_string(b)) + '.';
      const Name pads = padding.empty()
                            ? ""
                            : graph_.node("Expand", {padding, graph_.node("Concat", {room, width()}, {{"axis", 0}})});
      const Name next = attend(block, x, pads, pads.empty() ? mask : widened(mask, count, room));
      if (config_.padding == Padding::learned && b + 1 < config_.num_blocks) padding = attend(block, padding, "", "");
      x = next;
    }
    x = graph_.node("Gather", {x, graph_.integers({-1})}, {{"axis", 0}});
    const double last = config_.final_norm_epsilon != 0 ? config_.final_norm_epsilon : config_.layer_norm_epsilon;
    if (config_.final_norm) x = norm("final_norm", x, last);
    graph_.output("user_vector", graph_.node("Reshape", {x, width()}), encoder_.dim());
    return graph_.bytes({{"max_sequence_length", std::to_string(config_.max_sequence_length)},
                         {"score", std::string(to_string(config_.score))}});
  }

 private:
  Name width() { return graph_.integers({dim_}); }
  Name row_shape() { return graph_.integers({1, dim_}); }
  Name zero_row() {
    const std::vector<float> zeros(encoder_.dim());
    return graph_.tensor("padding.zeros", {1, encoder_.dim()}, zeros);
  }
  Name norm(const std::string& name, const Name& x, double epsilon) {
    return graph_.node("LayerNormalization", {x, name + ".weight", name + ".bias"},
                       {{"axis", -1}, {"epsilon", static_cast<float>(epsilon)}});
  }
  Name linear(const std::string& name, const Name& x) {
    return graph_.node("Add", {graph_.node("MatMul", {x, name + ".weight"}), name + ".bias"});
  }

  // [n, D] from the rows of items.
  Name embedded(const Name& count, const Name& room) {
    graph_.tensor("items.weight", {encoder_.items().rows(), encoder_.dim()}, detail::values_of(encoder_.items()));
    Name x = graph_.node("Gather", {"items.weight", "events"}, {{"axis", 0}});
    if (config_.scale_items) {
      x = graph_.node("Mul", {x, graph_.scalar(static_cast<float>(std::sqrt(static_cast<double>(encoder_.dim()))))});
    }
    if (!config_.absolute_positions) return x;
    const bool newest = config_.position_origin == PositionOrigin::newest;
    const Name begin = newest ? room : graph_.integers({0}), end = newest ? window_ : count;
    return graph_.node("Add",
                       {x, graph_.node("Slice", {"position_embedding.weight", begin, end, graph_.integers({0})})});
  }

  // [n, n]: nothing where a row may look, else as good as minus infinity.
  Name causal_mask(const Name& count) {
    const Name square = graph_.node("Concat", {count, count}, {{"axis", 0}});
    return graph_.node("Trilu", {graph_.node("Expand", {graph_.scalar(-1e30f), square}), graph_.integer(1)},
                       {{"upper", 1}});
  }
  // [n, padding + n]
  Name widened(const Name& mask, const Name& count, const Name& room) {
    const Name shape = graph_.node("Concat", {count, room}, {{"axis", 0}});
    return graph_.node("Concat", {graph_.node("Expand", {graph_.scalar(0), shape}), mask}, {{"axis", 1}});
  }

  // [heads, rows, width of a head]
  Name heads(const Name& x) {
    const auto count = static_cast<std::int64_t>(config_.num_heads);
    return graph_.node("Transpose", {graph_.node("Reshape", {x, graph_.integers({-1, count, dim_ / count})})},
                       {{"perm", std::vector<std::int64_t>{1, 0, 2}}});
  }
  // A third of what attention projects: 0 queries, 1 keys, 2 values.
  Name projected(const std::string& block, const Name& x, std::int64_t part) {
    const auto third = [&](const char* kind, std::int64_t axis) {
      return graph_.node("Slice", {block + "attention.qkv." + kind, graph_.integers({part * dim_}),
                                   graph_.integers({(part + 1) * dim_}), graph_.integers({axis})});
    };
    return heads(graph_.node("Add", {graph_.node("MatMul", {x, third("weight", 1)}), third("bias", 0)}));
  }

  // A block: x [R, D], behind `pads`, which are keys and values alone; either may be empty.
  Name attend(const std::string& block, const Name& x, const Name& pads, const Name& mask) {
    const double epsilon = config_.layer_norm_epsilon;
    const bool pre = config_.norm_placement == NormPlacement::pre, post = config_.norm_placement == NormPlacement::post;
    const Name normed = post ? x : norm(block + "attention_norm", x, epsilon);
    Name keys = pre ? normed : x;
    if (!pads.empty()) {
      const Name front = pre ? norm(block + "attention_norm", pads, epsilon) : pads;
      keys = graph_.node("Concat", {front, keys}, {{"axis", 0}});
    }
    const std::size_t head_dim = encoder_.dim() / config_.num_heads;
    const Name turned =
        graph_.node("Transpose", {projected(block, keys, 1)}, {{"perm", std::vector<std::int64_t>{0, 2, 1}}});
    Name weights =
        graph_.node("Mul", {graph_.node("MatMul", {projected(block, normed, 0), turned}),
                            graph_.scalar(static_cast<float>(1.0 / std::sqrt(static_cast<double>(head_dim))))});
    if (!mask.empty()) weights = graph_.node("Add", {weights, mask});
    weights = graph_.node("Softmax", {weights}, {{"axis", -1}});
    const Name context = graph_.node("Transpose", {graph_.node("MatMul", {weights, projected(block, keys, 2)})},
                                     {{"perm", std::vector<std::int64_t>{1, 0, 2}}});
    const Name joined = graph_.node("Reshape", {context, graph_.integers({-1, dim_})});
    const Name attended = graph_.node("Add", {pre ? x : normed, linear(block + "attention.output", joined)});
    if (pre) {
      return graph_.node("Add", {attended, feed_forward(block, norm(block + "feed_forward_norm", attended, epsilon))});
    }
    const Name middle = norm(block + (post ? "attention_norm" : "feed_forward_norm"), attended, epsilon);
    const Name sum = graph_.node("Add", {middle, feed_forward(block, middle)});
    return post ? norm(block + "feed_forward_norm", sum, epsilon) : sum;
  }

  Name feed_forward(const std::string& block, const Name& x) {
    return linear(block + "feed_forward.outer", activated(linear(block + "feed_forward.inner", x)));
  }
  Name activated(const Name& x) {
    switch (config_.activation) {
      case Activation::relu: return graph_.node("Relu", {x});
      case Activation::tanh: return graph_.node("Tanh", {x});
      case Activation::sigmoid: return graph_.node("Sigmoid", {x});
      case Activation::silu: return graph_.node("Mul", {x, graph_.node("Sigmoid", {x})});
      case Activation::gelu: break;
    }
    const Name erf = graph_.node("Erf", {graph_.node("Mul", {x, graph_.scalar(0.70710678f)})});
    const Name half = graph_.node("Mul", {x, graph_.scalar(0.5f)});
    return graph_.node("Mul", {half, graph_.node("Add", {erf, graph_.scalar(1)})});
  }

  const SequenceEncoder<float>& encoder_;
  const EncoderConfig& config_;
  std::int64_t dim_;
  OnnxGraph graph_;
  Name window_;
};

}  // namespace

std::vector<std::byte> export_onnx(const TrainedModel& model) {
  constexpr std::size_t kMostFloats = std::size_t{1} << 28;  // protocol buffers end at 2 GiB
  if (!model.encoder) throw Error(ErrorCode::unsupported, "export: expected an encoder, found none");
  check_supported(model.encoder->config());
  const std::size_t floats = model.encoder->items().rows() * model.encoder->dim() + model.encoder->weights().size();
  if (floats > kMostFloats) {
    throw Error(ErrorCode::limit_exceeded, "export to ONNX: expected at most " + std::to_string(kMostFloats) +
                                               " weights, found " + std::to_string(floats));
  }
  return EncoderGraph(*model.encoder).bytes();
}

}  // namespace attune::inline v0_1
