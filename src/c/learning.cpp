// SPDX-License-Identifier: Apache-2.0

// Training and measuring behind attune.h: the verbs of the tool, without what files say of items and users.

#include <algorithm>
#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "attune/data/reader.hpp"
#include "attune/executor.hpp"
#include "attune/training/evaluation.hpp"
#include "attune/training/protocol.hpp"
#include "attune/training/trainer.hpp"
#include "c/boundary.hpp"
#include "data/cleaned_file.hpp"

namespace attune::c {
namespace {

// The options of a call, each taken once; finish() refuses what nobody took.
class Options {
 public:
  explicit Options(const char* text) : left_(text == nullptr ? Json::object() : object_of(text, "options")) {}

  Json take(const char* name) {
    Json value;
    if (const auto found = left_.find(name); found != left_.end()) {
      value = std::move(*found);
      left_.erase(name);
    }
    return value;
  }
  std::optional<std::string> text(const char* name) {
    return take<std::string>(name, "a text", [](const Json& value) { return value.is_string(); });
  }
  std::optional<std::size_t> count(const char* name) {
    return take<std::size_t>(name, "a whole number, 0 or more",
                             [](const Json& value) { return value.is_number_unsigned(); });
  }
  std::optional<bool> flag(const char* name) {
    return take<bool>(name, "true or false", [](const Json& value) { return value.is_boolean(); });
  }
  std::optional<float> number(const char* name) {
    return take<float>(name, "a number", [](const Json& value) { return value.is_number(); });
  }
  template <class Value>
  std::optional<std::vector<Value>> list(const char* name, const char* expected, bool (*is_value)(const Json&)) {
    return take<std::vector<Value>>(name, expected, [is_value](const Json& value) {
      return value.is_array() && std::all_of(value.begin(), value.end(), is_value);
    });
  }
  IdKind ids(const char* name) {
    const std::string kind = text(name).value_or("string");
    if (kind != "string" && kind != "int64") refuse(where(name), "\"string\" or \"int64\"", kind);
    return kind == "int64" ? IdKind::int64 : IdKind::string;
  }
  void finish() const {
    for (const auto& [name, value] : left_.items()) {
      throw Error(ErrorCode::invalid_argument, where(name) + ": no such option; attune.h lists them");
    }
  }

 private:
  static std::string where(const std::string& name) { return "options: " + name; }

  template <class Value, class Check>
  std::optional<Value> take(const char* name, const char* expected, Check&& is_value) {
    const Json value = take(name);
    if (value.is_null()) return std::nullopt;
    if (!is_value(value)) refuse(where(name), expected, value);
    return value.template get<Value>();
  }

  Json left_;
};

// Takes over what the caller asks for; whether a split was.
bool apply(Options& options, EvaluationProtocol& protocol) {
  const auto asked = options.text("split");
  if (asked) {
    const bool baskets = protocol.split.baskets;
    protocol.split = SplitOptions::parse(*asked);
    protocol.split.baskets = baskets && protocol.split.kind == SplitOptions::Kind::temporal;
  }
  if (const auto minimum = options.number("min_rating")) protocol.min_rating = minimum;
  protocol.k_core = options.count("k_core").value_or(protocol.k_core);
  return asked.has_value();
}

Json protocol_json(const EvaluationProtocol& protocol, const Report& report, const std::string& note) {
  return {{"split", protocol.split.name()},
          {"users", report.users},
          {"items", report.items},
          {"queries", report.queries},
          {"seen", protocol.exclude_seen ? "filter" : "keep"},
          {"request_time", protocol.request_time ? "on" : "off"},
          {"min_rating", protocol.min_rating ? Json(*protocol.min_rating) : Json()},
          {"k_core", protocol.k_core},
          {"note", note}};
}

ReadOptions reading_of(Options& options) {
  ReadOptions reading;
  reading.columns =
      options.list<std::string>("columns", "a list of texts", [](const Json& value) { return value.is_string(); })
          .value_or(reading.columns);
  reading.separator = options.text("separator").value_or("");
  if (options.flag("skip_bad_lines").value_or(false)) reading.bad_value = BadValue::skip;
  reading.user_ids = options.ids("user_ids");
  if (const auto encoding = options.text("encoding")) {
    if (*encoding != "utf-8" && *encoding != "latin-1") {
      refuse("options: encoding", "\"utf-8\" or \"latin-1\"", *encoding);
    }
    reading.encoding = *encoding == "latin-1" ? Encoding::latin_1 : Encoding::utf_8;
  }
  return reading;
}

detail::CleanedFile read_interactions(const char* file, ReadOptions reading, const EvaluationProtocol& protocol) {
  reading.min_rating = protocol.min_rating;
  return detail::read_cleaned(file, reading, protocol.k_core);
}

// Every record accounted for.
Json load_json(const detail::CleanedFile& read) {
  return {{"file", read.load.file},
          {"records", read.load.records},
          {"time_unit", read.load.time_unit},
          {"interactions", read.cleaning.after},
          {"users", read.cleaning.users},
          {"items", read.cleaning.items},
          {"dropped", detail::dropped_json(read.load)}};
}

Json epoch_json(const EpochReport& epoch, bool refit) {
  Json json{{"epoch", epoch.epoch}, {"epochs", epoch.epochs}, {"loss", epoch.loss}};
  if (epoch.validated) {
    json["hr@10"] = epoch.hit_rate_10;
    json["ndcg@10"] = epoch.ndcg_10;
  }
  json["best"] = epoch.best;
  json["refit"] = refit;
  json["seconds"] = epoch.seconds;
  return json;
}

Progress progress_to(attune_progress callback, void* context) {
  if (callback == nullptr) return {};
  const auto tell = [callback, context](const EpochReport& epoch, bool refit) {
    const int wish = callback(text_of(epoch_json(epoch, refit)).c_str(), context);
    if (wish < 0) throw Error(ErrorCode::cancelled, "training: given up in epoch " + std::to_string(epoch.epoch));
    return wish == 0;
  };
  return {.epoch = [tell](const EpochReport& epoch) { return tell(epoch, false); },
          .refit = [tell](const EpochReport& epoch) { return tell(epoch, true); }};
}

std::string train(const char* interactions, const char* preset, const char* output, Options options,
                  const Progress& progress) {
  TrainerConfig config = TrainerConfig::preset(preset);
  if (const Json overrides = options.take("config"); !overrides.is_null()) {
    config.apply_json(text_of(overrides), "options: config");
  }
  config.validate();
  EvaluationProtocol protocol;
  protocol.exclude_seen = config.exclude_seen;
  const bool split_given = apply(options, protocol);
  ReadOptions reading = reading_of(options);
  reading.item_ids = options.ids("item_ids");
  ThreadPool executor(options.count("threads").value_or(1));
  options.finish();
  TrainedModel::check_replaceable(output);

  detail::CleanedFile read = read_interactions(interactions, std::move(reading), protocol);
  const Split parts = protocol.divide(group_by_user(std::move(read.log)), split_given);
  Trainer trainer(config, &executor);
  TrainedModel model = trainer.fit(parts.train, parts.validation, progress);
  model.histories = parts.all;
  protocol.write(model.notes);
  model.notes["preset"] = preset;
  model.notes["seed"] = std::to_string(config.seed);
  model.save(output);

  const Report report =
      evaluate(model, parts.test,
               {.exclude_seen = protocol.exclude_seen, .bootstrap = 0, .seed = config.seed, .executor = &executor});
  Json epochs = Json::array();
  for (const EpochReport& epoch : trainer.epochs()) epochs.push_back(epoch_json(epoch, false));
  return text_of({{"load", load_json(read)},
                  {"epochs", std::move(epochs)},
                  {"best_epoch", trainer.best_epoch()},
                  {"refitted", trainer.refitted()},
                  {"train_seconds", trainer.train_seconds()},
                  {"blend_weight", model.blend_weight},
                  {"protocol", protocol_json(protocol, report, parts.note)},
                  {"metrics", report.metrics},
                  {"model", output}});
}

std::string evaluate(const char* directory, const char* interactions, Options options) {
  const TrainedModel model = TrainedModel::load(directory);
  EvaluationProtocol protocol = EvaluationProtocol::read(model.notes);
  apply(options, protocol);
  protocol.exclude_seen = options.flag("exclude_seen").value_or(protocol.exclude_seen);
  ReadOptions reading = reading_of(options);
  reading.item_ids = model.item_ids->kind();
  ThreadPool executor(options.count("threads").value_or(1));
  EvaluationOptions measuring{
      .exclude_seen = protocol.exclude_seen, .request_time = protocol.request_time, .executor = &executor};
  measuring.cutoffs = options
                          .list<std::size_t>("cutoffs", "a list of whole numbers, 1 or more",
                                             [](const Json& value) {
                                               return value.is_number_unsigned() && value.get<std::size_t>() != 0;
                                             })
                          .value_or(measuring.cutoffs);
  measuring.bootstrap = options.count("bootstrap").value_or(measuring.bootstrap);
  options.finish();

  detail::CleanedFile read = read_interactions(interactions, std::move(reading), protocol);
  const Split parts = protocol.divide(group_by_user(std::move(read.log)), true);
  if (parts.test.empty()) {
    throw Error(ErrorCode::invalid_data,
                std::string(interactions) + ": expected test events, found none by the split " + protocol.split.name());
  }
  const Report report = attune::evaluate(model, parts.test, measuring);
  return text_of({{"load", load_json(read)},
                  {"protocol", protocol_json(protocol, report, parts.note)},
                  {"metrics", report.metrics},
                  {"confidence", report.confidence}});
}

}  // namespace
}  // namespace attune::c

attune_status attune_train(const char* interactions, const char* preset, const char* output, const char* options,
                           attune_progress progress, void* context, char** report) {
  using namespace attune::c;
  return guarded([&] {
    const std::string made = train(required(interactions, "interactions"), preset == nullptr ? "default" : preset,
                                   required(output, "output"), Options(options), progress_to(progress, context));
    if (report != nullptr) hand_over(made, report);
  });
}

attune_status attune_evaluate(const char* model, const char* interactions, const char* options, char** report) {
  using namespace attune::c;
  return guarded([&] {
    required(report, "report");
    hand_over(evaluate(required(model, "model"), required(interactions, "interactions"), Options(options)), report);
  });
}
