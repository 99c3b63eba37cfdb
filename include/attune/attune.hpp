// SPDX-License-Identifier: Apache-2.0
#pragma once

// attune: real-time recommendation inside a C++ program.
//
//   #include <attune/recommender.hpp>
//   #include <iostream>
//
//   int main() {
//     auto recommender = attune::Recommender::open("model");
//     recommender.observe({.user = "u42", .item = "i7", .timestamp = 1700000000000});
//     for (const auto& r : recommender.recommend({.user = "u42", .k = 10}).items) {
//       std::cout << attune::to_string(r.item) << ' ' << r.score << '\n';
//     }
//   }
//
// This header includes everything, in the order of the pipeline. A host that only serves needs recommender.hpp alone.

#include "attune/error.hpp"
#include "attune/executor.hpp"
#include "attune/types.hpp"
#include "attune/version.hpp"

#include "attune/data/categories.hpp"
#include "attune/data/feature_table.hpp"
#include "attune/data/id_map.hpp"
#include "attune/data/interaction_log.hpp"
#include "attune/data/reader.hpp"
#include "attune/data/sequence_batch.hpp"
#include "attune/data/split.hpp"

#include "attune/model/checkpoint.hpp"
#include "attune/model/config.hpp"
#include "attune/model/content_tower.hpp"
#include "attune/model/count_models.hpp"
#include "attune/model/embedding_table.hpp"
#include "attune/model/export.hpp"
#include "attune/model/featurizer.hpp"
#include "attune/model/import.hpp"
#include "attune/model/learned_ranker.hpp"
#include "attune/model/ranker.hpp"
#include "attune/model/safetensors.hpp"
#include "attune/model/sasrec_block.hpp"
#include "attune/model/scorer_rows.hpp"
#include "attune/model/sequence_state.hpp"
#include "attune/model/text_encoder.hpp"
#include "attune/model/transformer_encoder.hpp"
#include "attune/model/user_prior.hpp"

#include "attune/training/evaluation.hpp"
#include "attune/training/memory_estimate.hpp"
#include "attune/training/objective.hpp"
#include "attune/training/off_policy.hpp"
#include "attune/training/optimizer.hpp"
#include "attune/training/protocol.hpp"
#include "attune/training/ranker_training.hpp"
#include "attune/training/search_space.hpp"
#include "attune/training/trainer.hpp"
#include "attune/training/tuner.hpp"
#include "attune/training/updater.hpp"
#include "attune/training/user_prior_training.hpp"

#include "attune/privacy/quantiser.hpp"

#include "attune/concepts.hpp"
#include "attune/recommender.hpp"
#include "attune/serving/catalogue.hpp"
#include "attune/serving/cold_start.hpp"
#include "attune/serving/cosine_scorer.hpp"
#include "attune/serving/cursor.hpp"
#include "attune/serving/engine.hpp"
#include "attune/serving/event_store.hpp"
#include "attune/serving/experiment.hpp"
#include "attune/serving/explanation.hpp"
#include "attune/serving/make_recommender.hpp"
#include "attune/serving/people.hpp"
#include "attune/serving/policy.hpp"
#include "attune/serving/shadow.hpp"
#include "attune/serving/shared_encoder.hpp"
#include "attune/serving/telemetry.hpp"
#include "attune/serving/user_state.hpp"

#include "attune/privacy/accountant.hpp"
#include "attune/privacy/federated.hpp"
#include "attune/privacy/noise.hpp"
#include "attune/privacy/personal_encoder.hpp"
#include "attune/privacy/private_training.hpp"
