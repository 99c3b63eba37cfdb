// SPDX-License-Identifier: Apache-2.0
#pragma once

// One function per verb, each in the file of its name. They throw attune::Error.

#include "cli/arguments.hpp"
#include "cli/console.hpp"

namespace attune::cli {

void run(const TrainOptions& options, Console& console);
void train_private(const TrainOptions& options, Console& console);  // with --privacy-epsilon
void run(const TuneOptions& options, Console& console);
void run(const UpdateOptions& options, Console& console);
void run(const CompressOptions& options, Console& console);
void run(const ImportModelOptions& options, Console& console);
void run(const ExportModelOptions& options, Console& console);
void run(const ConvertOptions& options, Console& console);
void run(const PrepareInteractionsOptions& options, Console& console);
void run(const EmbedOptions& options, Console& console);
void run(const EvaluateOptions& options, Console& console);
void run(const RecommendOptions& options, Console& console);
void run(const ScoreOptions& options, Console& console);
void run(const ExplainOptions& options, Console& console);
void run(const InspectOptions& options, Console& console);
void run(const MetricsOptions& options, Console& console);
void run(const PrivacyEpsilonOptions& options, Console& console);
void run(const PrivacyCalibrateOptions& options, Console& console);
void run(const PrivacyKeyOptions& options, Console& console);
void run(const PrivacySealOptions& options, Console& console);
void run(const PrivacyUnsealOptions& options, Console& console);
void run(const PrivacyPseudonymiseOptions& options, Console& console);
void run(const DoctorOptions& options, Console& console);
void run(const CompletionOptions& options, Console& console);
void run(const ManualOptions& options, Console& console);

}  // namespace attune::cli
