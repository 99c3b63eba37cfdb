// SPDX-License-Identifier: Apache-2.0
#pragma once

// As much of the ONNX format as a graph of float tensors takes: protocol buffers written by hand (onnx.proto, IR
// version 8), standard operators alone.

#include <bit>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "attune/version.hpp"

namespace attune::inline v0_1::detail {

// A message of protocol buffers: fields appended one after the other.
class ProtoMessage {
 public:
  void number(unsigned field, std::uint64_t value) {
    varint(std::uint64_t{field} << 3);
    varint(value);
  }
  void real(unsigned field, float value) {
    varint(std::uint64_t{field} << 3 | 5);
    const auto bits = std::bit_cast<std::uint32_t>(value);
    for (unsigned shift = 0; shift < 32; shift += 8) bytes_ += static_cast<char>(bits >> shift & 0xFF);
  }
  void text(unsigned field, std::string_view value) {
    varint(std::uint64_t{field} << 3 | 2);
    varint(value.size());
    bytes_ += value;
  }
  void message(unsigned field, const ProtoMessage& value) { text(field, value.bytes_); }
  const std::string& bytes() const noexcept { return bytes_; }

 private:
  void varint(std::uint64_t value) {
    for (; value >= 0x80; value >>= 7) bytes_ += static_cast<char>((value & 0x7F) | 0x80);
    bytes_ += static_cast<char>(value);
  }
  std::string bytes_;
};

// Nodes in the order they are added; each gives the name of its output.
class OnnxGraph {
 public:
  using Value = std::variant<std::int64_t, float, std::vector<std::int64_t>>;
  using Attributes = std::initializer_list<std::pair<const char*, Value>>;
  static constexpr std::uint64_t kOpset = 17;

  std::string node(const char* operation, const std::vector<std::string>& inputs, Attributes attributes = {}) {
    ProtoMessage node;
    for (const std::string& input : inputs) node.text(1, input);
    const std::string output = next_name();
    node.text(2, output);
    node.text(4, operation);
    for (const auto& [name, value] : attributes) node.message(5, attribute(name, value));
    graph_.message(1, node);
    return output;
  }
  std::string tensor(std::string name, const std::vector<std::size_t>& shape, std::span<const float> values) {
    return initializer(std::move(name), shape, 1, std::as_bytes(values));
  }
  // A list of integers, as shapes and indices are.
  std::string integers(std::initializer_list<std::int64_t> values) {
    return initializer(next_name(), {values.size()}, 7, std::as_bytes(std::span(values)));
  }
  std::string integer(std::int64_t value) {
    return initializer(next_name(), {}, 7, std::as_bytes(std::span(&value, 1)));
  }
  std::string scalar(float value) { return initializer(next_name(), {}, 1, std::as_bytes(std::span(&value, 1))); }

  // A list of integers of any length.
  void input(const char* name, const char* extent) { graph_.message(11, value_info(name, 7, extent, 0)); }
  // `value` becomes a list of `count` floats.
  void output(const char* name, const std::string& value, std::size_t count) {
    ProtoMessage node;
    node.text(1, value);
    node.text(2, name);
    node.text(4, "Identity");
    graph_.message(1, node);
    graph_.message(12, value_info(name, 1, nullptr, count));
  }
  std::vector<std::byte> bytes(const std::vector<std::pair<std::string, std::string>>& metadata) const {
    ProtoMessage model, graph = graph_, opset;
    graph.text(2, "encoder");
    opset.text(1, "");
    opset.number(2, kOpset);
    model.number(1, 8);
    model.text(2, "attune");
    model.text(3, attune::version());
    model.message(7, graph);
    model.message(8, opset);
    for (const auto& [key, value] : metadata) {
      ProtoMessage entry;
      entry.text(1, key);
      entry.text(2, value);
      model.message(14, entry);
    }
    const auto bytes = std::as_bytes(std::span(model.bytes()));
    return {bytes.begin(), bytes.end()};
  }

 private:
  std::string next_name() { return std::string("t").append(std::to_string(++names_)); }
  static ProtoMessage attribute(const char* name, const Value& value) {
    enum : std::uint64_t { kFloat = 1, kInt = 2, kInts = 7 };
    ProtoMessage attribute;
    attribute.text(1, name);
    if (const auto* const number = std::get_if<std::int64_t>(&value)) {
      attribute.number(3, static_cast<std::uint64_t>(*number));
      attribute.number(20, kInt);
    } else if (const auto* const real = std::get_if<float>(&value)) {
      attribute.real(2, *real);
      attribute.number(20, kFloat);
    } else {
      for (const std::int64_t one : std::get<std::vector<std::int64_t>>(value)) {
        attribute.number(8, static_cast<std::uint64_t>(one));
      }
      attribute.number(20, kInts);
    }
    return attribute;
  }
  std::string initializer(std::string name, const std::vector<std::size_t>& shape, std::uint64_t type,
                          std::span<const std::byte> values) {
    ProtoMessage tensor;
    for (const std::size_t extent : shape) tensor.number(1, extent);
    tensor.number(2, type);
    tensor.text(8, name);
    tensor.text(9, {reinterpret_cast<const char*>(values.data()), values.size()});
    graph_.message(5, tensor);
    return name;
  }
  static ProtoMessage value_info(const char* name, std::uint64_t type, const char* extent, std::size_t count) {
    ProtoMessage dimension, shape, tensor, kind, info;
    extent != nullptr ? dimension.text(2, extent) : dimension.number(1, count);
    shape.message(1, dimension);
    tensor.number(1, type);
    tensor.message(2, shape);
    kind.message(1, tensor);
    info.text(1, name);
    info.message(2, kind);
    return info;
  }

  ProtoMessage graph_;
  std::size_t names_ = 0;
};

}  // namespace attune::inline v0_1::detail
