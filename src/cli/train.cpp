// SPDX-License-Identifier: Apache-2.0

// attune train: interactions in, a model directory out, with its metrics beside those of the baselines.

#include "attune/training/trainer.hpp"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <optional>
#include <ostream>
#include <span>
#include <utility>

#include "attune/data/feature_table.hpp"
#include "attune/model/content_tower.hpp"
#include "cli/epochs.hpp"
#include "cli/html_report.hpp"
#include "cli/input.hpp"
#include "cli/memory.hpp"
#include "cli/profiles.hpp"
#include "cli/report.hpp"
#include "cli/verbs.hpp"
#include "platform/memory.hpp"

namespace attune::cli {
namespace {

TrainerConfig configuration(const TrainOptions& options) {
  check_standard_input({{"--config", options.common.config}, {"--interactions", options.data.interactions}});
  if (options.items.file == "-") throw UsageError("--items: expected a file, found standard input: it is read twice");
  if (!options.schema.empty() && options.items.file.empty() && options.users.empty()) {
    throw UsageError("--schema: expected --items or --users beside it, found neither");
  }
  TrainerConfig config = trainer_config(options.preset, options.common);
  if (config.counts_alone && (options.epochs || options.time_budget)) {
    throw UsageError("--epochs and --time-budget: a count model alone has no epochs");
  }
  if (config.counts_alone && !options.schema.empty() && options.users.empty()) {
    throw UsageError("--schema: a count model alone has no vectors that features could tell");
  }
  config.epochs = options.epochs.value_or(config.epochs);
  config.time_budget_seconds = options.time_budget.value_or(config.time_budget_seconds);
  apply_protocol(config, options.protocol);
  return config;
}

// Beside the model, where nobody who serves it looks.
StateFile state_file(const TrainOptions& options) {
  std::filesystem::path output = std::filesystem::absolute(options.output).lexically_normal();
  if (!output.has_filename()) output = output.parent_path();
  return {.path = output.string() + ".training", .resume = options.resume};
}

// Whoever forgot --resume can still stop: nothing is replaced before the first epoch has ended.
void explain(const StateFile& state, Console& console) {
  if (state.resume && !state.exists()) {
    console.line("found no interrupted training in " + state.path + ", starting from the beginning");
  } else if (!state.resume && state.exists()) {
    console.line("starting anew: the first epoch will replace the interrupted training in " + state.path +
                 ", which --resume would continue");
  }
}

// What the file of items adds to the report: how many of the catalogue's items it names.
Json items_json(const std::string& file, const IdMap& catalogue) {
  const auto titles = read_titles(file);
  std::size_t named = 0;
  for (const auto& [item, title] : titles) named += catalogue.find(id_of(item, catalogue.kind())) != kNoHandle;
  return {{"file", file}, {"items", titles.size()}, {"in_catalogue", named}, {"untitled", catalogue.size() - named}};
}

// What of an item's features tells its vector.
struct Content {
  std::string file;
  std::vector<FeatureSpec> features;
  FeatureRecords records;
  FeatureReport read;
  ContentTowerReport learned = {};
};

// Statistics are of the items that are trained.
Featurizer featurizer_of(const Content& content, std::span<const std::uint32_t> trained) {
  try {
    return Featurizer::fit(content.features, content.records, trained);
  } catch (const Error& error) {
    throw Error(error.code(), content.file + ": items that are trained: " + error.what());
  }
}

// Items of which the training may learn a vector: no user with a single event teaches any.
std::vector<std::uint32_t> items_to_train(const Histories& train) {
  std::vector<bool> chosen(train.num_items());
  for (std::size_t user = 0; user < train.num_users(); ++user) {
    const HistoryView history = train.of(user);
    for (std::size_t i = 0; history.size() > 1 && i < history.size(); ++i) chosen[history.items[i]] = true;
  }
  std::vector<std::uint32_t> items;
  for (std::uint32_t item = 0; item < chosen.size(); ++item) {
    if (chosen[item]) items.push_back(item);
  }
  return items;
}

void check_content(const Content& content, const Histories& train) {
  const std::vector<std::uint32_t> trained = items_to_train(train);
  const FeatureTable features = featurizer_of(content, trained).table(content.records);
  const auto described = std::ranges::count_if(trained, [&](std::uint32_t item) {
    bool something = false;
    for (std::size_t f = 0; f < features.num_features(); ++f) something |= !features.of(item, f).missing();
    return something;
  });
  if (described >= 2) return;
  throw Error(ErrorCode::invalid_data, content.file + ": expected features of at least two items that are trained, " +
                                           "found those of " + std::to_string(described));
}

// Nothing without a schema and a file; what does not fit is refused before the training.
std::optional<Content> read_content(const TrainOptions& options, const Histories& train) {
  if (options.schema.empty() || options.items.file.empty()) return std::nullopt;
  FeatureSchema schema = FeatureSchema::load(options.schema);
  if (schema.items.empty() && !options.users.empty()) return std::nullopt;
  if (schema.items.empty()) {
    throw Error(ErrorCode::invalid_config, options.schema + ": items: expected at least one feature, found none");
  }
  DelimitedReader reader(options.items.file);
  FeatureReport report;
  FeatureRecords records = read_feature_records(reader, schema.items, *train.item_ids, {}, &report);
  Content content{options.items.file, std::move(schema.items), std::move(records), std::move(report)};
  check_content(content, train);
  return content;
}

void fit_content(TrainedModel& model, Content& content, Executor& executor) {
  std::vector<std::uint32_t> trained;
  for (ItemHandle item = 0; item < model.num_items(); ++item) {
    if (model.encoder->knows(item)) trained.push_back(item);
  }
  Featurizer featurizer = featurizer_of(content, trained);
  const FeatureTable features = featurizer.table(content.records);
  const ScorerRows<float> vectors(model.encoder->outputs(), model.encoder->config().score);
  model.content = std::make_shared<const ContentTower>(
      ContentTower::fit(std::move(featurizer), features, vectors, {.executor = &executor}, &content.learned));
}

Json content_json(const std::optional<Content>& content) {
  if (!content) return {};
  Json features = Json::array();
  for (std::size_t f = 0; f < content->features.size(); ++f) {
    features.push_back({{"name", content->features[f].name},
                        {"importance", content->learned.importance[f]},
                        {"missing", content->read.features[f].missing}});
  }
  return {{"items", content->learned.items},
          {"explained", content->learned.explained},
          {"ridge", content->learned.ridge},
          {"features", std::move(features)}};
}

// What it cannot teach is refused before anything is read.
std::optional<TrainedModel> load_teacher(const std::string& directory, TrainerConfig config) {
  if (directory.empty()) return std::nullopt;
  TrainedModel teacher = TrainedModel::load(directory);
  if (!teacher.encoder) {
    throw Error(ErrorCode::invalid_argument, directory + ": expected a teacher with an encoder, found counts alone");
  }
  config.teacher = teacher.encoder;
  config.validate();
  return teacher;
}

// The encoder of the teacher with the rows of `items`, in their order.
std::shared_ptr<const SequenceEncoder<float>> encoder_for(const IdMap& items, const TrainedModel& teacher,
                                                          const std::string& directory) {
  std::shared_ptr<SequenceEncoder<float>> encoder = make_encoder(teacher.encoder->config(), items.size());
  std::ranges::copy(teacher.encoder->weights(), encoder->weights().begin());
  for (ItemHandle item = 0; item < items.size(); ++item) {
    const ItemHandle known = teacher.item_ids->find(items.id(item));
    if (known == kNoHandle) {
      throw Error(ErrorCode::invalid_data, directory +
                                               ": expected a teacher that knows all items of the interactions, " +
                                               "found none of item " + to_string(items.id(item)));
    }
    std::ranges::copy(teacher.encoder->items().row(known), encoder->items().row(item).begin());
  }
  return encoder;
}

// What reordering adds in validation; null where it was not tried.
Json rerank_json(const RankerReport& report) {
  if (report.lists == 0) return {};
  return {{"lists", report.lists},
          {"engine", {{"ndcg@10", report.engine_ndcg_10}}},
          {"reordered", {{"ndcg@10", report.ndcg_10}}},
          {"standard_error", report.standard_error},
          {"kept", report.kept}};
}

void print_reranking(std::ostream& out, const RankerReport& report) {
  if (report.lists == 0) return;
  out << "reordering takes validation ndcg@10 from " << fixed(report.engine_ndcg_10, 4) << " to "
      << fixed(report.ndcg_10, 4) << (report.kept ? "\n" : ": not kept\n");
}

void print_content(std::ostream& out, const std::optional<Content>& content) {
  if (!content) return;
  out << "features explain " << fixed(100 * content->learned.explained, 1) << " % of the items' vectors:";
  for (std::size_t f = 0; f < content->features.size(); ++f) {
    out << (f == 0 ? " " : ", ") << content->features[f].name << ' ' << fixed(content->learned.importance[f], 2);
  }
  out << '\n';
}

void save(TrainedModel& model, const TrainOptions& options, const Protocol& protocol, std::uint64_t seed,
          const std::optional<TrainedModel>& teacher) {
  if (teacher) model.notes["teacher"] = teacher->version;
  protocol.write(model.notes);
  model.notes["preset"] = options.preset;
  model.notes["seed"] = std::to_string(seed);
  model.save(options.output);
}

// Adds it to a model that is saved already: whatever happens, its training is not lost.
void add_content(TrainedModel& model, Content& content, const TrainOptions& options, Executor& executor,
                 Console& console) {
  console.line("model written to " + options.output + ", still without features; learning what they tell");
  fit_content(model, content, executor);
  model.save(options.output);
}

// The same for what profiles tell.
void add_profiles(TrainedModel& model, Profiles& profiles, const TrainerConfig& config, const Split& split,
                  const TrainOptions& options, Executor& executor, Console& console) {
  console.line("model written to " + options.output + ", still without profiles; training another without some users");
  fit_profiles(model, profiles, config, split, executor, progress_on(console));
  model.save(options.output);
}

// The result for people.
void print_result(std::ostream& out, const Trainer& trainer, const TrainedModel& model,
                  const std::optional<Content>& content, const std::optional<Profiles>& profiles,
                  const Protocol& protocol, const Report& report, const std::vector<Baseline>& baselines,
                  const TrainOptions& options) {
  out << "trained in " << fixed(trainer.train_seconds(), 1) << " s";
  if (model.encoder) out << ", best epoch " << trainer.best_epoch();
  if (trainer.refitted()) out << ", trained once more with the validation part";
  if (model.blend_weight != 0) {
    out << ", blended with " << model.counts->name() << " at weight " << fixed(model.blend_weight, 2);
  }
  out << '\n';
  print_reranking(out, trainer.ranker());
  print_content(out, content);
  print_profiles(out, profiles);
  print_protocol(out, protocol, report);
  if (report.queries != 0) print_comparison(out, report, baselines, 10);
  if (!options.report.empty()) out << "report written to " << options.report << '\n';
  out << "model written to " << options.output << "; ask it with\n  attune recommend --model " << options.output
      << " --history " << to_string(model.item_ids->id(0)) << '\n';
}

MemoryEstimate checked_memory(const TrainerConfig& config, const Histories& train, const TrainOptions& options,
                              Console& console) {
  const MemoryEstimate memory = estimate_memory(config, train, options.common.threads, true);
  explain_memory(memory, platform::available_memory(), options.memory_limit, console);
  return memory;
}

Json training_json(Json load, const Trainer& trainer, const TrainedModel& model, const MemoryEstimate& memory) {
  return {{"load", std::move(load)},
          {"epochs", epochs_json(trainer.epochs())},
          {"best_epoch", trainer.best_epoch()},
          {"resumed_epochs", trainer.resumed_epochs()},
          {"refitted", trainer.refitted()},
          {"train_seconds", trainer.train_seconds()},
          {"memory", memory_json(memory)},
          {"blend_weight", model.blend_weight},
          {"rerank", rerank_json(trainer.ranker())}};
}

HtmlReport page_for(const TrainOptions& options) {
  return HtmlReport(options.report, options.common, options.items.file,
                    {{"--interactions", options.data.interactions},
                     {"--config", options.common.config},
                     {"--items", options.items.file},
                     {"--users", options.users},
                     {"--schema", options.schema},
                     {"--teacher", options.teacher},
                     {"--output", options.output}});
}

void write_page(HtmlReport& page, const TrainOptions& options, const Trainer& trainer, const TrainedModel& model,
                const Protocol& protocol, const Report& report, const std::vector<Baseline>& baselines,
                const EvaluationQueries& test, const Categories* categories) {
  if (!page) return;
  page.add_epochs(trainer.epochs(), trainer.best_epoch());
  page.add_metrics(protocol, report, baselines, 10);
  page.add_items(model, categories);
  page.add_hardest(model, report, test);
  page.add_configuration(model.notes.at("trainer"));
  const std::filesystem::path manifest = std::filesystem::path(options.output) / "manifest.json";
  Rows done{{"model", options.output},
            {"version", Json::parse(read_text(manifest.string())).at("version")},
            {"preset", options.preset},
            {"seconds of training", fixed(trainer.train_seconds(), 1)}};
  if (model.encoder) done.push_back({"best epoch", std::to_string(trainer.best_epoch())});
  if (trainer.refitted()) done.push_back({"refitted", "trained once more with the validation part"});
  if (model.blend_weight != 0) {
    done.push_back(
        {"blended", "with " + std::string(model.counts->name()) + " at weight " + fixed(model.blend_weight, 2)});
  }
  if (!model.ranker.empty()) done.push_back({"reordered", "a small ranker puts the best of a list in order"});
  page.write("attune train: " + options.data.interactions, std::move(done));
}

EvaluationOptions measuring_by(const Protocol& protocol, Executor& executor) {
  return {.exclude_seen = protocol.exclude_seen,
          .request_time = protocol.request_time,
          .bootstrap = 0,
          .executor = &executor,
          .keep_user_sums = true};
}

// The interactions, and what is said of their reading.
Histories read_histories(const TrainOptions& options, Protocol& protocol, Json& load, Console& console) {
  GroupedInteractions interactions = read_histories(options.data, protocol, IdKind::string, console);
  load = load_json(interactions);
  if (!options.items.file.empty())
    load["items_file"] = items_json(options.items.file, *interactions.histories.item_ids);
  if (!console.json()) print_load(console.text(), interactions);
  return std::move(interactions.histories);
}

}  // namespace

void run(const TrainOptions& options, Console& console) {
  if (options.privacy_epsilon) return train_private(options, console);
  TrainerConfig config = configuration(options);
  Protocol protocol;
  protocol.exclude_seen = config.exclude_seen;
  protocol.apply(options.protocol, options.data);
  HtmlReport page = page_for(options);
  TrainedModel::check_replaceable(options.output);
  const std::optional<TrainedModel> teacher = load_teacher(options.teacher, config);

  Json load;
  Split split = split_by(protocol, options.protocol, read_histories(options, protocol, load, console));
  page.add_data(load, split);
  const auto categories = read_item_categories(options.items, *split.all->item_ids).categories;

  std::optional<Content> content = read_content(options, split.train);
  std::optional<Profiles> profiles = read_profiles(options, split.train);
  if (teacher) config.teacher = encoder_for(*split.all->item_ids, *teacher, options.teacher);
  const auto executor = make_executor(options.common);
  const StateFile state = state_file(options);
  explain(state, console);
  const MemoryEstimate memory = checked_memory(config, split.train, options, console);
  Trainer trainer{config, executor.get()};
  TrainedModel model = trainer.fit(split.train, split.validation, progress_on(console), state);
  model.histories = split.all;
  save(model, options, protocol, config.seed, teacher);
  if (content) add_content(model, *content, options, *executor, console);
  state.remove();
  if (profiles) add_profiles(model, *profiles, config, split, options, *executor, console);

  // The baselines learn from what the model has learned from.
  const Histories learned = trainer.refitted() ? with_targets(split.train, split.validation) : std::move(split.train);
  const TrainingUsers training_users = TrainingUsers::count(learned);
  EvaluationOptions measuring = measuring_by(protocol, *executor);
  measuring.training_users = &training_users;
  measuring.categories = categories ? &*categories : nullptr;
  page.ask(measuring);
  if (!split.test.empty()) console.line("measuring " + plural(split.test.size(), "query", "queries"));
  const Report report = evaluate(model, split.test, measuring);
  const std::vector<Baseline> baselines =
      measure_baselines(model, report, &learned, split.test, measuring, true, console);
  write_page(page, options, trainer, model, protocol, report, baselines, split.test, measuring.categories);
  if (!console.json()) {
    return print_result(console.text(), trainer, model, content, profiles, protocol, report, baselines, options);
  }
  Json result = training_json(std::move(load), trainer, model, memory);
  result.update({{"teacher", teacher ? Json(teacher->version) : Json()},
                 {"content", content_json(content)},
                 {"profiles", profiles_json(profiles)},
                 {"protocol", protocol_json(protocol, report)},
                 {"metrics", metrics_json(report.metrics)},
                 {"baselines", baselines_json(baselines)},
                 {"baselines_left_out", left_out_json(baselines)},
                 {"paired", paired_json(baselines)},
                 {"config", Json::parse(config.to_json())},
                 {"model", options.output}});
  if (page) result["report"] = options.report;
  console.object(result);
}

}  // namespace attune::cli
