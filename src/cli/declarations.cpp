// SPDX-License-Identifier: Apache-2.0
#include "cli/declarations.hpp"

#include <algorithm>
#include <thread>
#include <utility>

namespace attune::cli {
namespace {

void add_key_file(CLI::App& verb, std::string& file) {
  verb.add_option("--key-file", file, "Key of the host: 64 hexadecimal digits, as 'attune privacy key' makes them")
      ->type_name("FILE")
      ->required();
}

void add_output(CLI::App& verb, std::string& output, const std::string& description) {
  verb.add_option("--output", output, description)->type_name("FILE")->required();
}

// How the records of a file are found in it.
void add_reading(CLI::App& verb, DataOptions& options) {
  verb.add_option_function<std::string>(
          "--columns", [&options](const std::string& text) { options.columns = split_commas(text); },
          "Columns of a file without a header line, as in user,item,,timestamp;\nof JSON lines: other names for the "
          "fields of the first line")
      ->type_name("A,B,...");
  verb.add_flag("--skip-header", options.skip_header, "The first line names columns that --columns replaces")
      ->needs("--columns");
  verb.add_option("--separator", options.separator, "What stands between two fields (default: found out)")
      ->type_name("TEXT");
  verb.add_option_function<std::string>(
          "--encoding",
          [&options](const std::string& text) {
            options.encoding = text == "latin-1" ? Encoding::latin_1 : Encoding::utf_8;
          },
          "What the file is in (default: utf-8, and latin-1 for u.item of\nMovieLens 100K)")
      ->check(one_of({"utf-8", "latin-1"}))
      ->type_name("utf-8|latin-1");
}

}  // namespace

CLI::Validator quietly(CLI::Validator validator) { return validator.description(""); }
CLI::Validator one_of(std::vector<std::string> words) { return quietly(CLI::IsMember(std::move(words))); }
CLI::Validator whole() { return quietly(CLI::NonNegativeNumber); }
CLI::Validator from_one_to(std::size_t most) { return quietly(CLI::Range(std::size_t{1}, most)); }

void add_common(CLI::App& verb, CommonOptions& options) {
  options.threads = std::max(1u, std::thread::hardware_concurrency());
  verb.add_flag("--json", options.json, "Print one JSON object on standard output and nothing else there");
  verb.add_flag("--quiet", options.quiet, "No progress on standard error");
  verb.add_option("--threads", options.threads, "Threads to use (default: what the machine has)")
      ->type_name("N")
      ->check(from_one_to(1024));
  verb.add_option("--seed", options.seed, "Seed of everything random")->type_name("N")->check(whole());
  verb.add_option("--config", options.config, "Training options as a JSON file ('-': standard input)")
      ->type_name("FILE");
}

void add_file(CLI::App& verb, DataOptions& options) {
  verb.add_option(
          "--interactions", options.interactions,
          "Delimited, RecBole's atomic file or JSON lines with the columns user, item\nand, if known, timestamp; "
          "plain, .gz or .xz; '-' is standard input; or a\nfolder that prepare wrote")
      ->type_name("FILE")
      ->required();
  add_reading(verb, options);
}

void add_skip_bad_lines(CLI::App& verb, DataOptions& options) {
  verb.add_flag("--skip-bad-lines", options.skip_bad_lines, "Count lines that cannot be read instead of stopping");
}

void add_min_rating(CLI::App& verb, DataOptions& options) {
  verb.add_option("--min-rating", options.min_rating, "Drop events with a lower rating")->type_name("R");
}

void add_prepare(CLI::App& verb, PrepareInteractionsOptions& options) {
  verb.add_option(
          "--interactions", options.files,
          "One or more files, as train reads them, whose events are taken one file\nafter the other; '-' is standard "
          "input")
      ->type_name("FILE")
      ->take_all()
      ->required();
  add_reading(verb, options.data);
  add_skip_bad_lines(verb, options.data);
  add_min_rating(verb, options.data);
  verb.add_option("--output", options.output, "Folder to write, which train takes in place of a file")
      ->type_name("DIR")
      ->required();
  verb.add_option("--shards", options.shards, "Divide the users into N ranges with about as many events each")
      ->type_name("N")
      ->check(from_one_to(1'000'000))
      ->capture_default_str();
  verb.add_option("--memory", options.memory,
                  "Bytes for events on their way, as in 512MB; ids of users and items come\non top (default: 512MB)")
      ->type_name("BYTES")
      ->transform(quietly(CLI::AsSizeValue(false)));
  add_common(verb, options.common);
}

void add_convert(CLI::App& verb, ConvertOptions& options) {
  verb.add_option(
          "input", options.data.interactions,
          "Interactions, items or users: delimited, RecBole's atomic file or JSON\nlines; plain, .gz or .xz; '-' "
          "is standard input")
      ->type_name("FILE")
      ->required();
  verb.add_option(
          "output", options.output,
          "File to write, in the form that its name says: .csv, .tsv, .jsonl,\n.ndjson, .inter, .item or .user, "
          "and .gz behind it to compress")
      ->type_name("FILE")
      ->required();
  add_reading(verb, options.data);
  add_skip_bad_lines(verb, options.data);
  add_common(verb, options.common);
}

void add_embed(CLI::App& verb, EmbedOptions& options) {
  verb.add_option("--model", options.model,
                  "Directory of a pretrained BERT: config.json, model.safetensors and\ntokenizer.json or vocab.txt")
      ->type_name("DIR")
      ->required();
  verb.add_option("--items", options.items, "Items: a table with a column item; '-' is standard input")
      ->type_name("FILE")
      ->required();
  verb.add_option_function<std::string>(
          "--text", [&options](const std::string& text) { options.columns = split_commas(text); },
          "Columns of that file with text, which are joined")
      ->type_name("A,B,...")
      ->required();
  verb.add_option("--output", options.output, "NumPy file to write: a row of float32 for each item")
      ->type_name("FILE")
      ->capture_default_str();
  verb.add_option("--ids", options.ids,
                  "Text file to write: the item of each row\n(default: the output with .ids.txt for .npy)")
      ->type_name("FILE");
  verb.add_option_function<std::string>(
          "--pooling",
          [&options](const std::string& text) { options.pooling = text == "cls" ? Pooling::cls : Pooling::mean; },
          "What becomes of the vectors of the tokens: their mean, or that of\nthe first (default: as the model was "
          "published)")
      ->check(one_of({"mean", "cls"}))
      ->type_name("mean|cls");
  verb.add_option("--max-length", options.max_length,
                  "Tokens of a text that are read (default: as the model was\npublished)")
      ->type_name("N")
      ->check(whole());
  add_common(verb, options.common);
}

void add_metrics(CLI::App& verb, MetricsOptions& options) {
  CLI::Option* file = verb.add_option(
      "file", options.file, "JSON with cutoffs, recommended, relevant and train_item_count; '-' is standard input");
  file->type_name("FILE");
  CLI::Option* logged = verb.add_option("--logged", options.logged,
                                        "Instead: what a new policy would have earned, from a table with the columns\n"
                                        "propensity, reward and target_probability");
  logged->type_name("FILE")->excludes(file);
  verb.add_option("--clip", options.clip, "Largest weight of a logged decision (default: none)")
      ->type_name("W")
      ->check(quietly(CLI::PositiveNumber))
      ->needs(logged);
  add_common(verb, options.common);
}

void add_privacy_epsilon(CLI::App& verb, PrivacyEpsilonOptions& options) {
  verb.add_option("--sampling-probability", options.sampling_probabilities,
                  "With which a record takes part in a step (Poisson sampling)")
      ->type_name("Q1,Q2,...")
      ->delimiter(',')
      ->capture_default_str();
  verb.add_option("--noise-multiplier", options.noise_multipliers,
                  "Standard deviation of the noise, in units of the bound on a record")
      ->type_name("S1,S2,...")
      ->delimiter(',')
      ->required();
  verb.add_option("--steps", options.steps, "How often; several values are several mechanisms on the same data")
      ->type_name("N1,N2,...")
      ->delimiter(',')
      ->capture_default_str();
  verb.add_option("--delta", options.delta, "Probability that the promise fails")->type_name("D")->required();
  verb.add_option_function<std::string>(
          "--accountant", [&options](const std::string& text) { options.renyi = text == "renyi"; },
          "tight: the distribution of the privacy loss (default);\nrenyi: Renyi divergences, a looser bound")
      ->check(one_of({"tight", "renyi"}))
      ->type_name("tight|renyi");
  verb.add_option("--order", options.order, "By the Renyi divergence of this order alone")->type_name("A");
  add_common(verb, options.common);
}

void add_privacy_calibrate(CLI::App& verb, PrivacyCalibrateOptions& options) {
  verb.add_option("--epsilon", options.epsilon, "Budget: how far neighbours can be told apart")
      ->type_name("E")
      ->required();
  verb.add_option("--delta", options.delta, "Probability that the promise fails")->type_name("D")->required();
  verb.add_option("--sampling-probability", options.sampling_probability,
                  "With which a record takes part in a step (Poisson sampling)")
      ->type_name("Q")
      ->capture_default_str();
  verb.add_option("--steps", options.steps, "How often")->type_name("N")->capture_default_str();
  add_common(verb, options.common);
}

void add_privacy_key(CLI::App& verb, PrivacyKeyOptions& options) {
  add_output(verb, options.output, "File to write, that its user alone may read; it must not be there");
  add_common(verb, options.common);
}

void add_privacy_seal(CLI::App& verb, PrivacySealOptions& options) {
  add_key_file(verb, options.key_file);
  verb.add_option("--input", options.input, "Model directory or any file; '-' is standard input")
      ->type_name("PATH")
      ->required();
  add_output(verb, options.output, "File to write");
  add_common(verb, options.common);
}

void add_privacy_unseal(CLI::App& verb, PrivacyUnsealOptions& options) {
  add_key_file(verb, options.key_file);
  verb.add_option("--input", options.input, "Sealed file")->type_name("FILE")->required();
  add_output(verb, options.output, "File or model directory to write, that its user alone may read");
  add_common(verb, options.common);
}

void add_privacy_pseudonymise(CLI::App& verb, PrivacyPseudonymiseOptions& options) {
  add_key_file(verb, options.key_file);
  add_file(verb, options.data);
  add_output(verb, options.output, "CSV file to write: the same, with pseudonyms in the column of users");
  add_common(verb, options.common);
}

}  // namespace attune::cli
