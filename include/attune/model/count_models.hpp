// SPDX-License-Identifier: Apache-2.0
#pragma once

// All models that only count: the baselines every encoder must beat, the answers of a cold start, servable models of
// their own, and the additive term of a blend.

#include <cstdint>
#include <memory>
#include <string_view>
#include <variant>

#include "attune/model/ease_model.hpp"
#include "attune/model/ials_model.hpp"
#include "attune/model/item_knn_model.hpp"
#include "attune/model/markov_model.hpp"
#include "attune/model/popularity_model.hpp"
#include "attune/model/repeat_model.hpp"

namespace attune::inline v0_1 {

enum class CountKind : std::uint8_t { popularity, markov, item_knn, ease, ials, repeat };
ATTUNE_EXPORT std::string_view to_string(CountKind kind) noexcept;  // CountModel::name()

// The options of one of them, in the order of CountKind.
using CountOptions =
    std::variant<PopularityOptions, MarkovOptions, ItemKnnOptions, EaseOptions, IalsOptions, RepeatOptions>;
inline CountKind kind_of(const CountOptions& options) noexcept { return static_cast<CountKind>(options.index()); }

// Throws what the model's own fit() throws. Without an executor the calling thread works.
ATTUNE_EXPORT std::shared_ptr<const CountModel> fit_counts(const Histories& histories, const CountOptions& options,
                                                           Executor* executor = nullptr);

}  // namespace attune::inline v0_1
