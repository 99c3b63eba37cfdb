// SPDX-License-Identifier: Apache-2.0
#pragma once

// A host's own engine behind the facade: users, histories, caches and ids are the library's, encoder, scorer and cold
// start are the host's.

#include <memory>
#include <string>
#include <utility>

#include "attune/data/id_map.hpp"
#include "attune/detail/engine_adapter.hpp"
#include "attune/recommender.hpp"
#include "attune/serving/engine.hpp"

namespace attune::inline v0_1 {

// What the facade asks besides the engine.
struct EngineNames {
  IdMap item_ids;                  // ids of the handles [0, engine.size()), in order
  std::string version = "custom";  // names the engine in answers
  IdKind user_ids = IdKind::string;
};

namespace detail {
template <class E>
EngineParts engine_parts(E engine, EngineNames names) {
  return {std::make_unique<EngineAdapter<E>>(std::move(engine)), std::move(names.item_ids), std::move(names.version),
          names.user_ids};
}
}  // namespace detail

// Throws Error(invalid_argument) unless there are as many ids as the engine has handles.
template <Encoder E, Scorer S, ColdStart C>
Recommender make_recommender(Engine<E, S, C> engine, EngineNames names, RecommenderOptions options = {}) {
  return detail::make_recommender(detail::engine_parts(std::move(engine), std::move(names)), std::move(options));
}

// Swaps the engine while requests run. Handles keep their meaning: ids the recommender has already must stand at the
// same places as in Recommender::item_ids(), new ones come next. Throws Error(invalid_argument) where they do not, and
// then the old engine keeps serving. `names.user_ids` must be what it was.
template <Encoder E, Scorer S, ColdStart C>
void reload(Recommender& recommender, Engine<E, S, C> engine, EngineNames names) {
  detail::reload(recommender, detail::engine_parts(std::move(engine), std::move(names)));
}

}  // namespace attune::inline v0_1
