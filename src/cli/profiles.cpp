// SPDX-License-Identifier: Apache-2.0
#include "cli/profiles.hpp"

#include <algorithm>
#include <memory>
#include <nlohmann/json.hpp>
#include <ostream>

#include "attune/data/feature_table.hpp"
#include "attune/error.hpp"
#include "cli/report.hpp"
#include "data/json_object.hpp"

namespace attune::cli {

std::optional<Profiles> read_profiles(const TrainOptions& options, const Histories& train) {
  if (options.users.empty()) return std::nullopt;
  FeatureSchema schema = FeatureSchema::load(options.schema);
  if (schema.users.empty()) {
    throw Error(ErrorCode::invalid_config, options.schema + ": users: expected at least one feature, found none");
  }
  DelimitedReader reader(options.users);
  FeatureReport report;
  FeatureRecords records = read_feature_records(reader, schema.users, *train.user_ids, {.id_column = "user"}, &report);
  Profiles profiles{options.users, std::move(schema.users), std::move(records), std::move(report)};
  std::vector<std::uint32_t> trained;
  for (std::uint32_t user = 0; user < train.num_users(); ++user) {
    if (!train.of(user).empty()) trained.push_back(user);
  }
  try {
    profiles.featurizer = Featurizer::fit(profiles.features, profiles.records, trained);
  } catch (const Error& error) {
    throw Error(error.code(), profiles.file + ": users that are trained: " + error.what());
  }
  return profiles;
}

void fit_profiles(TrainedModel& model, Profiles& profiles, TrainerConfig config, const Split& split, Executor& executor,
                  const Progress& progress) {
  const std::vector<bool> held_out = users_to_hold_out(split.train);
  config.refit = config.rerank = config.calibrate = false;
  config.teacher = nullptr;  // who may have seen them
  const TrainedModel without =
      Trainer{config, &executor}.fit(without_events_of(split.train, held_out), split.validation, progress);
  const FeatureTable features = profiles.featurizer.table(profiles.records);
  model.user_prior = std::make_shared<const UserPrior>(
      fit_user_prior(without, profiles.featurizer, features, split.train, held_out,
                     {.exclude_seen = config.exclude_seen, .executor = &executor}, &profiles.learned));
  profiles.importance.assign(model.user_prior->importance().begin(), model.user_prior->importance().end());
}

Json profiles_json(const std::optional<Profiles>& profiles) {
  if (!profiles) return {};
  Json features = Json::array(), steps = Json::array();
  for (std::size_t f = 0; f < profiles->features.size(); ++f) {
    features.push_back({{"name", profiles->features[f].name},
                        {"importance", profiles->importance[f]},
                        {"missing", profiles->read.features[f].missing}});
  }
  for (std::size_t events = 0; events < profiles->learned.by_events.size(); ++events) {
    const UserPriorReport::Step& step = profiles->learned.by_events[events];
    steps.push_back(
        {{"events", events},
         {"queries", step.queries},
         {"ndcg@10",
          {{"popularity", step.popularity}, {"counts", step.counts}, {"model", step.model}, {"together", step.sum}}}});
  }
  return {{"held_out", profiles->learned.users}, {"features", std::move(features)}, {"by_events", std::move(steps)}};
}

void print_profiles(std::ostream& out, const std::optional<Profiles>& profiles) {
  if (!profiles) return;
  out << "next events of " << plural(profiles->learned.users, "user", "users") << " who were held out, ndcg@10:\n";
  std::vector<std::vector<std::string>> rows{{"events", "popularity", "counts", "model", "together"}};
  for (std::size_t events = 0; events < profiles->learned.by_events.size(); ++events) {
    const UserPriorReport::Step& step = profiles->learned.by_events[events];
    rows.push_back({std::to_string(events), fixed(step.popularity, 4), fixed(step.counts, 4), fixed(step.model, 4),
                    fixed(step.sum, 4)});
  }
  print_table(out, rows, "rrrrr");
}

ProfileText::ProfileText(const std::string& text) {
  if (text.empty()) return;
  if (text.starts_with('{')) {
    read_json(text);
    return;
  }
  for (const std::string& field : split_commas(text)) {
    const std::size_t at = field.find('=');
    if (at == 0 || at == std::string::npos) {
      throw UsageError("--profile: expected FIELD=VALUE,... or a JSON object, found \"" + field + "\"");
    }
    fields_.emplace_back(field.substr(0, at), field.substr(at + 1));
  }
}

void ProfileText::read_json(const std::string& text) {
  try {
    const Json json = detail::parse_object<Json>(text, "--profile");
    for (const auto& [name, value] : json.items()) {
      if (value.is_string()) {
        fields_.emplace_back(name, value.get<std::string>());
      } else if (value.is_number()) {
        fields_.emplace_back(name, value.get<double>());
      } else {
        fields_.emplace_back(name, value.get<std::vector<float>>());
      }
    }
  } catch (const Error& error) {
    throw UsageError(error.what());
  } catch (const Json::exception&) {
    throw UsageError("--profile: expected an object of texts, numbers and lists of numbers");
  }
}

std::vector<FieldValue> ProfileText::values() const {
  std::vector<FieldValue> values;
  for (const auto& [name, value] : fields_) {
    if (const auto* const text = std::get_if<std::string>(&value)) {
      values.emplace_back(name, *text);
    } else if (const auto* const number = std::get_if<double>(&value)) {
      values.emplace_back(name, *number);
    } else {
      values.emplace_back(name, std::span<const float>(std::get<std::vector<float>>(value)));
    }
  }
  return values;
}

}  // namespace attune::cli
