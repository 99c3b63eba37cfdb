// SPDX-License-Identifier: Apache-2.0
#include "attune/training/protocol.hpp"

#include <array>
#include <charconv>
#include <limits>
#include <utility>

namespace attune::inline v0_1 {
namespace {

constexpr float kNoMinimum = -std::numeric_limits<float>::infinity();  // as notes write it

}  // namespace

Split EvaluationProtocol::divide(Histories histories, bool asked) {
  const bool falls_back = !asked && histories.times.empty();
  if (falls_back) split = SplitOptions::parse("leave-one-out");
  Split parts = attune::split(std::move(histories), split);
  if (falls_back) parts.note.insert(0, "no times, so leave-one-out in place of the temporal split; ");
  return parts;
}

void EvaluationProtocol::write(std::map<std::string, std::string>& notes) const {
  notes["split"] = split.name();
  notes["baskets"] = split.baskets ? "on" : "off";
  notes["seen"] = exclude_seen ? "filter" : "keep";
  notes["request_time"] = request_time ? "on" : "off";
  notes["k_core"] = std::to_string(k_core);
  std::array<char, 64> text;
  const auto end = std::to_chars(text.data(), text.data() + text.size(), min_rating.value_or(kNoMinimum));
  notes["min_rating"] = std::string(text.data(), end.ptr);
}

EvaluationProtocol EvaluationProtocol::read(const std::map<std::string, std::string>& notes) {
  EvaluationProtocol protocol;
  const auto value_of = [&notes](const char* name, const std::string& otherwise) {
    const auto found = notes.find(name);
    return found == notes.end() ? otherwise : found->second;
  };
  protocol.split = SplitOptions::parse(value_of("split", protocol.split.name()));
  protocol.split.baskets = value_of("baskets", "off") == "on";
  protocol.exclude_seen = value_of("seen", "filter") == "filter";
  protocol.request_time = value_of("request_time", "off") == "on";
  const std::string core = value_of("k_core", "0"), rating = value_of("min_rating", "-inf");
  std::from_chars(core.data(), core.data() + core.size(), protocol.k_core);
  float minimum = kNoMinimum;
  std::from_chars(rating.data(), rating.data() + rating.size(), minimum);
  if (minimum > kNoMinimum) protocol.min_rating = minimum;
  return protocol;
}

}  // namespace attune::inline v0_1
