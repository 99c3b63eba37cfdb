// SPDX-License-Identifier: Apache-2.0
#pragma once

// Queries as a model understands them, and what its ranker reads of their candidates.

#include "attune/data/split.hpp"
#include "attune/model/checkpoint.hpp"
#include "model/candidate_features.hpp"

namespace attune::inline v0_1::detail {

// The same queries in the handles of the model. Items it does not have get handles beyond all of its own, each a
// different one. Throws Error(invalid_argument) for histories without item ids.
EvaluationQueries in_handles_of(const TrainedModel& model, const EvaluationQueries& queries);

// Whether the encoder answers this history: it knows an event of it.
bool answered_by_encoder(const TrainedModel& model, HistoryView history) noexcept;

// In the model's own handles. It has an encoder.
CandidateFeatures candidate_features(const TrainedModel& model);

}  // namespace attune::inline v0_1::detail
