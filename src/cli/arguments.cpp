// SPDX-License-Identifier: Apache-2.0
#include "cli/arguments.hpp"

#include <CLI/CLI.hpp>
#include <algorithm>
#include <iostream>

#include "attune/version.hpp"
#include "cli/declarations.hpp"

namespace attune::cli {
namespace {

void add_data(CLI::App& verb, DataOptions& options) {
  add_file(verb, options);
  add_skip_bad_lines(verb, options);
  add_min_rating(verb, options);
  verb.add_option("--k-core", options.k_core, "Drop users and items with fewer events, until none is left")
      ->type_name("N")
      ->check(whole());
}

void add_protocol(CLI::App& verb, ProtocolOptions& options, const std::string& default_split) {
  verb.add_option("--split", options.split,
                  "temporal:F (test on the events after the time quantile F),\nleave-one-out, or none; default: " +
                      default_split)
      ->type_name("S");
  verb.add_flag("--basket", options.baskets, "A user's events of one time are one query (temporal split)");
  verb.add_option_function<std::string>(
          "--seen", [&options](const std::string& text) { options.exclude_seen = text == "filter"; },
          "Filter items of the history from the ranking, or keep them")
      ->check(one_of({"filter", "keep"}))
      ->type_name("filter|keep");
  verb.add_option_function<std::string>(
          "--request-time", [&options](const std::string& text) { options.request_time = text == "on"; },
          "Whether the model is told when the target happens")
      ->check(one_of({"on", "off"}))
      ->type_name("on|off");
}

void add_items(CLI::App& verb, ItemOptions& options, const std::string& description) {
  CLI::Option* file = verb.add_option("--items", options.file, description)->type_name("FILE");
  verb.add_option(
          "--categories", options.categories,
          "Column of that file with categories separated by '|', for diversity and\nmiscalibration (default: genres, "
          "where it has one)")
      ->type_name("COLUMN")
      ->needs(file);
}

void add_history(CLI::App& verb, HistoryOptions& options) {
  verb.add_option("--history", options.items, "Item ids, oldest first; '-' reads one id a line from standard input")
      ->type_name("I1,I2,...");
  verb.add_option_function<std::string>(
          "--timestamps", [&options](const std::string& text) { options.timestamps = split_commas(text); },
          "When each of them happened: seconds, milliseconds or ISO-8601")
      ->type_name("T1,T2,...");
  verb.add_option("--now", options.now, "When the request happens (default: at the last event)")->type_name("T");
}

void add_report(CLI::App& verb, std::string& report) {
  verb.add_option("--report", report, "Write a page of HTML that shows all this with pictures, and worst cases")
      ->type_name("FILE");
}

void add_model(CLI::App& verb, std::string& model) {
  verb.add_option("--model", model, "Model directory")->type_name("DIR")->required();
}

void add_preset(CLI::App& verb, std::string& preset) {
  verb.add_option("--preset", preset,
                  "default, sasrec-small, hstu-small, hstu-large, bert4rec,\n"
                  "or a count model alone: popularity, markov, item-knn, ease, ials, repeat")
      ->type_name("NAME")
      ->capture_default_str();
}

void add_train(CLI::App& verb, TrainOptions& options) {
  add_data(verb, options.data);
  add_items(verb, options.items, "Items: a table with the columns item and title");
  verb.add_option("--schema", options.schema,
                  "Features of the files of items and users (docs/features.md): new ones\n"
                  "that have them can be recommended, or answered, at once")
      ->type_name("FILE");
  verb.add_option("--users", options.users,
                  "Users: a table with a column user. A second model is trained\n"
                  "without some of them, who tell what to expect of new users")
      ->type_name("FILE")
      ->needs("--schema");
  verb.add_option("--output", options.output, "Model directory to write")->type_name("DIR")->required();
  add_preset(verb, options.preset);
  verb.add_option("--epochs", options.epochs, "Passes over the data, at most")
      ->type_name("N")
      ->check(from_one_to(1000000));
  verb.add_option("--time-budget", options.time_budget, "Train no longer than this")
      ->type_name("SECONDS")
      ->check(quietly(CLI::PositiveNumber));
  verb.add_option("--memory-limit", options.memory_limit, "Do not begin a training that would need more")
      ->type_name("MB")
      ->check(from_one_to(1'000'000'000));
  verb.add_option("--teacher", options.teacher,
                  "A model to learn from as well, which knows all items of\nthe interactions")
      ->type_name("DIR");
  verb.add_flag("--resume", options.resume,
                "Go on from the last whole epoch of a training with the same options\nthat was interrupted");
  add_report(verb, options.report);
  CLI::Option* epsilon = verb.add_option("--privacy-epsilon", options.privacy_epsilon,
                                         "Train differentially private within this budget (docs/privacy.md)");
  epsilon->type_name("E")->check(quietly(CLI::PositiveNumber));
  for (const char* other :
       {"--schema", "--users", "--time-budget", "--memory-limit", "--teacher", "--resume", "--k-core", "--report"}) {
    epsilon->excludes(other);
  }
  verb.add_option("--privacy-delta", options.privacy_delta,
                  "Probability that the promise fails; choose it well below\none over the number of users")
      ->type_name("D")
      ->needs(epsilon)
      ->capture_default_str();
  verb.add_option_function<std::string>(
          "--privacy-unit",
          [&options](const std::string& text) {
            options.privacy_unit = text == "user" ? PrivacyUnit::user : PrivacyUnit::event;
          },
          "What is kept private: all that a user did (default), or a single event")
      ->check(one_of({"user", "event"}))
      ->needs(epsilon)
      ->type_name("user|event");
  add_protocol(verb, options.protocol, "temporal:0.9\n(leave-one-out for a file without times)");
  add_common(verb, options.common);
}

void add_tune(CLI::App& verb, TuneOptions& options) {
  add_data(verb, options.data);
  verb.add_option("--space", options.space,
                  "What to search: a JSON file of training options with ranges, as in\n"
                  "{\"adam\": {\"learning_rate\": {\"log_uniform\": [1e-4, 1e-2]}}}")
      ->type_name("FILE")
      ->required();
  verb.add_option("--output", options.output, "Directory of the search: new, empty, or to be resumed")
      ->type_name("DIR")
      ->required();
  add_preset(verb, options.preset);
  verb.add_option("--trials", options.tuner.trials, "Configurations to try, at most")
      ->type_name("N")
      ->check(from_one_to(100'000))
      ->capture_default_str();
  verb.add_option("--budget", options.tuner.budget_seconds, "Search no longer than this")
      ->type_name("SECONDS")
      ->check(quietly(CLI::PositiveNumber));
  verb.add_option("--epochs", options.epochs, "Passes over the data that a trial is planned for")
      ->type_name("N")
      ->check(from_one_to(1000000));
  verb.add_option("--eta", options.tuner.eta, "One in this many goes on at each rung")
      ->type_name("N")
      ->check(quietly(CLI::Range(std::size_t{2}, std::size_t{1000})))
      ->capture_default_str();
  verb.add_option("--first-rung", options.tuner.first_rung,
                  "Epochs before the first comparison\n(default: about epochs / eta^2)")
      ->type_name("N")
      ->check(from_one_to(1000000));
  verb.add_flag("--resume", options.tuner.resume,
                "Go on with the search in --output; more trials and more time may be given");
  add_report(verb, options.report);
  add_protocol(verb, options.protocol, "temporal:0.9\n(leave-one-out for a file without times)");
  add_common(verb, options.common);
}

void add_update(CLI::App& verb, UpdateOptions& options) {
  add_model(verb, options.model);
  add_data(verb, options.data);
  verb.add_option("--output", options.output, "Model directory to write; may be that of --model")
      ->type_name("DIR")
      ->required();
  verb.add_option("--epochs", options.updater.epochs, "Passes over the new events")
      ->type_name("N")
      ->check(from_one_to(1000))
      ->capture_default_str();
  verb.add_option("--learning-rate", options.updater.learning_rate, "Share of the rate that the model was trained with")
      ->type_name("R")
      ->check(quietly(CLI::PositiveNumber))
      ->capture_default_str();
  verb.add_option("--replay", options.updater.replay, "Old histories in an epoch for each one with new events")
      ->type_name("R")
      ->check(whole())
      ->capture_default_str();
  add_protocol(verb, options.protocol, "temporal:0.9, the newest tenth of the new events");
  add_common(verb, options.common);
}

void add_compress(CLI::App& verb, CompressOptions& options) {
  verb.add_option("model", options.model, "Model directory")->type_name("DIR")->required();
  verb.add_option("--output", options.output, "Model directory to write; may be the same")
      ->type_name("DIR")
      ->required();
  add_common(verb, options.common);
}

void add_import(CLI::App& verb, ImportModelOptions& options) {
  verb.add_option("file", options.file, "Weights: a safetensors file (docs/import.md says how to make one)")
      ->type_name("FILE")
      ->required();
  verb.add_option("--dialect", options.dialect,
                  "Where they were trained: recbole, pmixer, hstu, gsasrec,\nrectools-sasrec, rectools-hstu (default: "
                  "found out)")
      ->type_name("NAME");
  verb.add_option("--variant", options.variant,
                  "pmixer: post_ln, pre_ln, 2024, 2020; hstu: l2_norm, layer_norm;\nrectools-sasrec: counted_padding, "
                  "key_padding_mask")
      ->type_name("NAME");
  verb.add_option("--heads", options.heads, "Attention heads, where the metadata of the file does not say")
      ->type_name("N")
      ->check(from_one_to(64));
  verb.add_option(
          "--hop", options.hop,
          "Long histories slide by N events: above 1 answers sooner, with scores that\nleave out up to N - 1 of the "
          "oldest events")
      ->type_name("N")
      ->check(from_one_to(1000000))
      ->capture_default_str();
  verb.add_option("--item-ids", options.item_ids,
                  "The item of each row: one id a line, or a table with the columns\nitem and, if known, row "
                  "(default: 1, 2, ...)")
      ->type_name("FILE");
  verb.add_option("--output", options.output, "Model directory to write")->type_name("DIR")->required();
  add_common(verb, options.common);
  verb.get_option("--config")
      ->description("Hyper-parameters by the names they have there, as a JSON file\n('-': standard input)");
}

void add_export(CLI::App& verb, ExportModelOptions& options) {
  verb.add_option("model", options.model, "Model directory")->type_name("DIR")->required();
  verb.add_option("--format", options.format,
                  "recbole: the weights by RecBole's names, as safetensors;\nnpy: vectors of items and users, whose "
                  "products are the scores;\nonnx: the encoder as a graph for ONNX Runtime")
      ->type_name("recbole|npy|onnx")
      ->check(one_of({"recbole", "npy", "onnx"}))
      ->required();
  verb.add_option("--output", options.output, "File to write, with the ids of the items beside it; for npy a directory")
      ->type_name("PATH")
      ->required();
  add_common(verb, options.common);
}

void add_evaluate(CLI::App& verb, EvaluateOptions& options) {
  add_model(verb, options.model);
  add_data(verb, options.data);
  add_protocol(verb, options.protocol, "as the model was trained");
  verb.add_option("--cutoffs", options.cutoffs, "Lengths of the list to measure at")
      ->type_name("K1,K2,...")
      ->delimiter(',')
      ->check(from_one_to(1000000));
  verb.add_flag("--baselines", options.baselines,
                "Measure popularity, markov, item-knn and ease beside it, and repeat where\nseen items are kept, "
                "trained on what the model was trained on");
  verb.add_option("--against", options.against, "Another model: measure it on the same queries, and the difference")
      ->type_name("DIR");
  add_items(verb, options.items, "Items: a table with a column item");
  verb.add_option("--provider", options.provider, "Column of that file: show how much exposure each provider gets")
      ->type_name("COLUMN")
      ->needs("--items");
  verb.add_option(
          "--sampled", options.sampled,
          "Also rank targets among N sampled items alone: hr@10/sampledN, for\ncomparing with numbers published so")
      ->type_name("N")
      ->check(from_one_to(1000000));
  verb.add_flag("--segments", options.segments,
                "Measure cold and warm users, and head and tail items as targets, apart");
  verb.add_option("--cold", options.cold_below, "Users with fewer events before the query are cold")
      ->type_name("N")
      ->check(from_one_to(1000000))
      ->capture_default_str();
  CLI::Option* users = verb.add_option("--users", options.users, "Users: a table with a column user");
  users->type_name("FILE");
  verb.add_option_function<std::string>(
          "--group", [&options](const std::string& text) { options.groups = split_commas(text); },
          "Columns of that file: measure the users of each group apart")
      ->type_name("A,B,...")
      ->needs(users);
  users->needs("--group");
  add_report(verb, options.report);
  add_common(verb, options.common);
}

void add_user_or_history(CLI::App& verb, std::optional<std::string>& user, HistoryOptions& history) {
  CLI::Option* option = verb.add_option("--user", user, "A user of the model")->type_name("U");
  add_history(verb, history);
  option->excludes("--history")->excludes("--timestamps");
}

void add_titles(CLI::App& verb, std::string& items) {
  verb.add_option("--items", items, "Items with titles to show: a table with the columns item and title")
      ->type_name("FILE");
}

void add_recommend(CLI::App& verb, RecommendOptions& options) {
  add_model(verb, options.model);
  add_user_or_history(verb, options.user, options.history);
  verb.add_option("--profile", options.profile,
                  "Who asks, of whom little else is known: FIELD=VALUE,... or a JSON\n"
                  "object of the features that the model reads of users")
      ->type_name("PROFILE");
  verb.add_option("-k", options.k, "How many items")->type_name("N")->check(whole())->capture_default_str();
  verb.add_option_function<std::string>(
          "--seen", [&options](const std::string& text) { options.exclude_seen = text == "filter"; },
          "Filter items of the history from the answer (default), or keep them")
      ->check(one_of({"filter", "keep"}))
      ->type_name("filter|keep");
  add_titles(verb, options.items);
  add_common(verb, options.common);
}

void add_score(CLI::App& verb, ScoreOptions& options) {
  add_model(verb, options.model);
  add_history(verb, options.history);
  verb.get_option("--history")->required();
  add_common(verb, options.common);
}

void add_explain(CLI::App& verb, ExplainOptions& options) {
  add_model(verb, options.model);
  add_user_or_history(verb, options.user, options.history);
  verb.add_option("--item", options.item, "The item to be explained")->type_name("X")->required();
  CLI::Option* events = verb.add_option("--events", options.events,
                                        "How many events are left out, one after the other, to see what changes");
  events->type_name("N")->check(whole())->capture_default_str();
  verb.add_flag("--full", options.full, "Leave out every event")->excludes(events);
  verb.add_option("--top", options.top, "Also look for events without which the item would not be among the best K")
      ->type_name("K")
      ->check(whole());
  add_titles(verb, options.items);
  add_common(verb, options.common);
}

void add_inspect(CLI::App& verb, InspectOptions& options) {
  verb.add_option("path", options.path, "Model directory or safetensors file")->type_name("PATH")->required();
  add_common(verb, options.common);
}

void add_doctor(CLI::App& verb, DoctorOptions& options) { add_common(verb, options.common); }

void add_completion(CLI::App& verb, CompletionOptions& options) {
  verb.add_option("shell", options.shell, "The shell that is to read it")
      ->type_name("bash|zsh|fish")
      ->check(one_of({"bash", "zsh", "fish"}))
      ->required();
  add_common(verb, options.common);
  verb.parse_complete_callback(
      [&verb, &options] { options.script = completion_script(*verb.get_parent(), options.shell); });
}

void add_manual(CLI::App& verb, ManualOptions& options) {
  add_common(verb, options.common);
  verb.parse_complete_callback([&verb, &options] { options.page = manual_page(*verb.get_parent()); });
}

// The verb's name, what it does, its options as values and how they are declared.
template <class Options>
void add_verb(CLI::App& app, const std::string& name, const std::string& description, Options& options,
              void (*declare)(CLI::App&, Options&), std::optional<Command>& chosen) {
  CLI::App* verb = app.add_subcommand(name, description);
  declare(*verb, options);
  verb->final_callback([&options, &chosen] { chosen = options; });
}

// Of what was not expected the names of options alone: the rest may be the id of a user.
std::string reason_of(const CLI::App& app, const CLI::Error& error) {
  if (dynamic_cast<const CLI::ExtrasError*>(&error) == nullptr) return error.what();
  const std::vector<std::string> words = app.remaining(true);
  if (app.get_subcommands().empty() && !words.front().starts_with('-')) {
    return "expected a verb, found '" + words.front() + "'";
  }
  std::string reason = "expected no further arguments, found " + std::to_string(words.size());
  for (const std::string& word : words) {
    if (word.starts_with('-')) reason += ", " + word.substr(0, word.find('='));
  }
  return reason;
}

struct PrivacyOptions {
  PrivacyEpsilonOptions epsilon;
  PrivacyCalibrateOptions calibrate;
  PrivacyKeyOptions key;
  PrivacySealOptions seal;
  PrivacyUnsealOptions unseal;
  PrivacyPseudonymiseOptions pseudonymise;
};
void add_privacy(CLI::App& app, PrivacyOptions& options, std::optional<Command>& chosen) {
  CLI::App& privacy = *app.add_subcommand("privacy", "Budgets of differential privacy, sealed files and pseudonyms");
  privacy.require_subcommand(1);
  add_verb(privacy, "epsilon", "The privacy that mechanisms with Gaussian noise leave", options.epsilon,
           add_privacy_epsilon, chosen);
  add_verb(privacy, "calibrate", "The noise that keeps within a budget", options.calibrate, add_privacy_calibrate,
           chosen);
  add_verb(privacy, "key", "Make a key for the next three", options.key, add_privacy_key, chosen);
  add_verb(privacy, "seal", "Encrypt a file or a model directory", options.seal, add_privacy_seal, chosen);
  add_verb(privacy, "unseal", "Decrypt what was sealed, if nobody has changed it", options.unseal, add_privacy_unseal,
           chosen);
  add_verb(privacy, "pseudonymise", "Replace the ids of users by pseudonyms under a key", options.pseudonymise,
           add_privacy_pseudonymise, chosen);
}

// One line for the reason, one for where to look.
ParsedArguments complain(const CLI::App& app, std::string reason) {
  std::string verb;
  for (const CLI::App* parsed : app.get_subcommands()) verb = ' ' + parsed->get_name();
  std::replace(reason.begin(), reason.end(), '\n', ' ');
  std::cerr << "attune: " << reason << "\nSee 'attune" << verb << " --help'.\n";
  return {std::nullopt, kWrongUsage};
}

}  // namespace

std::string quoted(const std::string& word) {
  constexpr const char* kPlain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=:,./@%";
  if (!word.empty() && word.find_first_not_of(kPlain) == std::string::npos) return word;
  std::string text = "'";
  for (const char c : word) text += c == '\'' ? std::string("'\\''") : std::string(1, c);
  return text + '\'';
}

std::vector<std::string> split_commas(const std::string& text) {
  std::vector<std::string> parts;
  std::size_t begin = 0;
  for (std::size_t comma; (comma = text.find(',', begin)) != std::string::npos; begin = comma + 1) {
    parts.push_back(text.substr(begin, comma - begin));
  }
  parts.push_back(text.substr(begin));
  return parts;
}

ParsedArguments parse_arguments(int argc, const char* const* argv) {
  CLI::App app{"attune: train, measure and ask recommenders that run inside C++ programs", "attune"};
  app.set_version_flag("--version", std::string("attune ") + version());
  app.require_subcommand(0, 1);
  app.option_defaults()->take_last();  // an option given twice: the last one counts

  TrainOptions train;
  TuneOptions tune;
  UpdateOptions update;
  CompressOptions compress;
  ImportModelOptions import_model;
  ExportModelOptions export_model;
  ConvertOptions convert;
  PrepareInteractionsOptions prepare;
  EmbedOptions embed;
  EvaluateOptions evaluate;
  RecommendOptions recommend;
  ScoreOptions score;
  ExplainOptions explain;
  InspectOptions inspect;
  MetricsOptions metrics;
  PrivacyOptions privacy;
  DoctorOptions doctor;
  CompletionOptions completion;
  ManualOptions manual;
  std::optional<Command> chosen;
  add_verb(app, "train", "Train a model on interactions and write it to a directory", train, add_train, chosen);
  add_verb(app, "tune", "Search the training options that suit interactions best", tune, add_tune, chosen);
  add_verb(app, "update", "Teach a model the events that came after it", update, add_update, chosen);
  add_verb(app, "compress", "Write a model with its weights in 8 bits", compress, add_compress, chosen);
  add_verb(app, "import", "Make a model of weights that were trained in PyTorch", import_model, add_import, chosen);
  add_verb(app, "export", "Write a model in the forms that other programs read", export_model, add_export, chosen);
  add_verb(app, "convert", "Write interactions, items or users in another form", convert, add_convert, chosen);
  add_verb(app, "prepare", "Group interactions that do not fit into memory, to train on where they lie", prepare,
           add_prepare, chosen);
  add_verb(app, "embed", "Turn texts of items into vectors by a pretrained language model", embed, add_embed, chosen);
  add_verb(app, "evaluate", "Measure a model on interactions", evaluate, add_evaluate, chosen);
  add_verb(app, "recommend", "Answer for a user of the model or for a bare history", recommend, add_recommend, chosen);
  add_verb(app, "score", "Score every item of the model for a history", score, add_score, chosen);
  add_verb(app, "explain", "Show which past events speak for an item", explain, add_explain, chosen);
  add_verb(app, "inspect", "Show what a model directory or a safetensors file holds", inspect, add_inspect, chosen);
  add_verb(app, "metrics", "Measure ready-made lists, or a policy on logged decisions", metrics, add_metrics, chosen);
  add_privacy(app, privacy, chosen);
  add_verb(app, "doctor", "Show the version, the build and the instruction sets in use", doctor, add_doctor, chosen);
  add_verb(app, "completion", "Write a script that completes command lines in a shell", completion, add_completion,
           chosen);
  add_verb(app, "manual", "Write the manual page, as 'man -l -' reads it", manual, add_manual, chosen);

  try {
    app.parse(argc, argv);
  } catch (const CLI::Error& error) {
    if (error.get_exit_code() != 0) return complain(app, reason_of(app, error));
    app.exit(error);  // prints the help or the version that was asked for
    return {};
  }
  if (!chosen) return complain(app, "expected a verb, found none");
  std::string typed = "attune";
  for (int i = 1; i < argc; ++i) typed += ' ' + quoted(argv[i]);
  std::visit([&typed](auto& options) { options.common.command = std::move(typed); }, *chosen);
  return {std::move(chosen), kDone};
}

}  // namespace attune::cli
