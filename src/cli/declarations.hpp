// SPDX-License-Identifier: Apache-2.0
#pragma once

// How options are declared: what several verbs share, and the verbs on files and keys. Those on models, and the
// parsing, are in arguments.cpp.

#include <CLI/CLI.hpp>
#include <cstddef>
#include <string>
#include <vector>

#include "cli/arguments.hpp"

namespace attune::cli {

// Validators whose limits are not repeated in the help: the descriptions say them.
CLI::Validator quietly(CLI::Validator validator);
CLI::Validator one_of(std::vector<std::string> words);
CLI::Validator whole();
CLI::Validator from_one_to(std::size_t most);

void add_common(CLI::App& verb, CommonOptions& options);
void add_file(CLI::App& verb, DataOptions& options);
void add_skip_bad_lines(CLI::App& verb, DataOptions& options);
void add_min_rating(CLI::App& verb, DataOptions& options);

void add_convert(CLI::App& verb, ConvertOptions& options);
void add_prepare(CLI::App& verb, PrepareInteractionsOptions& options);
void add_embed(CLI::App& verb, EmbedOptions& options);
void add_metrics(CLI::App& verb, MetricsOptions& options);
void add_privacy_epsilon(CLI::App& verb, PrivacyEpsilonOptions& options);
void add_privacy_calibrate(CLI::App& verb, PrivacyCalibrateOptions& options);
void add_privacy_key(CLI::App& verb, PrivacyKeyOptions& options);
void add_privacy_seal(CLI::App& verb, PrivacySealOptions& options);
void add_privacy_unseal(CLI::App& verb, PrivacyUnsealOptions& options);
void add_privacy_pseudonymise(CLI::App& verb, PrivacyPseudonymiseOptions& options);

// What the declarations of the whole tool say, for a shell and as a manual page in troff.
std::string completion_script(const CLI::App& app, const std::string& shell);
std::string manual_page(const CLI::App& app);

}  // namespace attune::cli
