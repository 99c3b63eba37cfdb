// SPDX-License-Identifier: Apache-2.0
#include "attune/types.hpp"

namespace attune::inline v0_1 {

std::string to_string(const Id& id) { return id.is_number() ? std::to_string(id.number()) : std::string(id.text()); }

std::string_view to_string(ScoreKind kind) noexcept {
  switch (kind) {
    case ScoreKind::cosine: return "cosine";
    case ScoreKind::dot: return "dot";
    case ScoreKind::blend: return "blend";
    case ScoreKind::count: return "count";
  }
  return "unknown";
}

std::string_view to_string(WeightStorage storage) noexcept {
  return storage == WeightStorage::int8 ? "int8" : "float32";
}

std::string_view to_string(Source source) noexcept {
  switch (source) {
    case Source::model: return "model";
    case Source::content: return "content";
    case Source::profile: return "profile";
    case Source::neighbours: return "neighbours";
    case Source::counts: return "counts";
    case Source::popularity: return "popularity";
  }
  return "unknown";
}

}  // namespace attune::inline v0_1
