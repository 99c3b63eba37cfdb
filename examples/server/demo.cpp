// SPDX-License-Identifier: Apache-2.0
#include "demo.hpp"

#include <algorithm>
#include <attune/data/reader.hpp>
#include <attune/model/content_tower.hpp>
#include <attune/serving/cold_start.hpp>
#include <attune/serving/cosine_scorer.hpp>
#include <attune/serving/make_recommender.hpp>
#include <attune/serving/shared_encoder.hpp>
#include <charconv>
#include <cmath>
#include <limits>
#include <set>
#include <sstream>
#include <utility>

#include "input.hpp"

namespace {

// A column of the file as it is, or the number that it holds: NaN where it is empty.
double number_of(std::string_view text, const std::string& place, const std::string& field) {
  if (text.empty()) return std::numeric_limits<double>::quiet_NaN();
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error == std::errc{} && end == text.data() + text.size() && std::isfinite(value)) return value;
  throw attune::Error(attune::ErrorCode::invalid_data,
                      place + field + ": expected a number, found \"" + std::string(text) + '"');
}

// The model without what only users, or another part of it, give.
attune::TrainedModel bare(const attune::TrainedModel& model) {
  attune::TrainedModel alone = model;
  alone.histories = nullptr;
  alone.user_prior = nullptr;
  alone.content = nullptr;
  alone.ranker = {};
  alone.calibration = {};
  alone.blend_weight = 0;
  return alone;
}

// What a user's exported events come to: those of the history, and the items that he dislikes now.
struct Events {
  std::vector<std::string> items;
  std::vector<attune::Timestamp> times;
  std::set<std::string> disliked;
  json newest = json::array();  // impressions left out, oldest first
  std::size_t count = 0;
};

Events read_events(const std::string& exported) {
  Events events;
  std::istringstream lines(exported);
  for (std::string line; std::getline(lines, line);) {
    json event = json::parse(line);
    if (!event.contains("item") || event["event"] == "shown") continue;  // a profile, an impression
    const std::string item = event["item"];
    if (event["event"] == "dislike") {
      events.disliked.insert(item);
    } else {
      events.disliked.erase(item);
      events.items.push_back(item);
      events.times.push_back(event.value("timestamp", attune::kNoTime));
    }
    events.newest.push_back({{"item", item}, {"event", event["event"]}});
    ++events.count;
    if (events.newest.size() > Demo::kShownEvents) events.newest.erase(0);
  }
  return events;
}

}  // namespace

Demo::Demo(const attune::TrainedModel& model, const std::string& file, std::vector<attune::ItemField> fields)
    : item_kind_(model.item_ids->kind()), fields_(std::move(fields)) {
  read(*model.item_ids, file);
  choose_users(model);
  if (model.encoder) {
    encoder_ = attune::Recommender::open(bare(model));
    content_ = by_content(model);
  }
  if (model.counts) {
    attune::TrainedModel counts = bare(model);
    counts.encoder = nullptr;
    counts_ = attune::Recommender::open(counts);
  }
}

void Demo::read(const attune::IdMap& ids, const std::string& file) {
  attune::DelimitedReader reader(file);
  const std::size_t item = reader.required_column("item"), title = reader.required_column("title");
  std::vector<std::size_t> columns;
  for (const attune::ItemField& field : fields_) columns.push_back(reader.required_column(field.name));
  for (std::vector<std::string_view> record; reader.next(record);) {
    if (record.size() != reader.columns().size())
      throw attune::Error(attune::ErrorCode::invalid_data, reader.place() + "expected " +
                                                               std::to_string(reader.columns().size()) +
                                                               " fields, found " + std::to_string(record.size()));
    Described next{.item = std::string(record[item]), .title = std::string(record[title]), .names = {}, .numbers = {}};
    if (ids.find(as_id(next.item, item_kind_)) == attune::kNoHandle || by_item_.contains(next.item)) continue;
    if (next.title.empty()) next.title = next.item;
    for (std::size_t f = 0; f < fields_.size(); ++f) {
      const bool is_number = fields_[f].type == attune::FieldType::number;
      next.names.emplace_back(is_number ? std::string_view() : record[columns[f]]);
      next.numbers.push_back(is_number ? number_of(record[columns[f]], reader.place(), fields_[f].name) : 0);
    }
    by_item_.emplace(next.item, items_.size());
    items_.push_back(std::move(next));
  }
  if (items_.size() >= 2) return;
  throw attune::Error(attune::ErrorCode::invalid_data,
                      file + ": expected at least two items of the model, found " + std::to_string(items_.size()));
}

void Demo::choose_users(const attune::TrainedModel& model) {
  const std::size_t users = model.histories ? model.histories->num_users() : 0, shown = std::min(users, kShownUsers);
  for (std::size_t i = 0; i < shown; ++i) {
    const std::size_t user = i * users / shown;
    users_.push_back({{"user", attune::to_string(model.histories->user_ids->id(static_cast<attune::UserHandle>(user)))},
                      {"events", model.histories->of(user).size()}});
  }
}

attune::Recommender Demo::by_content(const attune::TrainedModel& model) const {
  std::vector<attune::FeatureSpec> features;
  for (const attune::ItemField& field : fields_) {
    if (field.name == "title") continue;
    features.push_back({.name = field.name,
                        .kind = field.type == attune::FieldType::number ? attune::FeatureKind::number
                                                                        : attune::FeatureKind::category});
  }
  features.push_back({.name = "title", .kind = attune::FeatureKind::text, .dimensions = 4096, .characters = {}});
  const std::size_t rows = model.num_items();
  attune::FeatureRecords records(rows);
  for (const Described& described : items_) {
    const std::size_t row = model.item_ids->find(as_id(described.item, item_kind_));
    for (std::size_t f = 0; f < fields_.size(); ++f) {
      if (fields_[f].name == "title") continue;
      records.add(row, fields_[f].type == attune::FieldType::number
                           ? attune::FieldValue(fields_[f].name, described.numbers[f])
                           : attune::FieldValue(fields_[f].name, std::string_view(described.names[f])));
    }
    records.add(row, {"title", std::string_view(described.title)});
  }
  const attune::ScoreKind kind = model.encoder->config().score;
  attune::Featurizer featurizer = attune::Featurizer::fit(features, records);
  const attune::FeatureTable table = featurizer.table(records);
  // Nothing is chosen by held-out items, which would keep the first page waiting.
  const attune::ContentTowerOptions options{.ridge = 1, .importance = std::vector<double>(features.size(), 1.0)};
  const attune::ContentTower tower =
      attune::ContentTower::fit(std::move(featurizer), table, {model.encoder->outputs(), kind}, options);
  attune::EmbeddingTable<float> vectors(rows, tower.dim());
  for (std::size_t row = 0; row < rows; ++row) tower.embed(vectors.row(row), table, row);
  attune::Engine engine(attune::SharedEncoder(model.encoder),
                        attune::CosineScorer<float>(attune::ScorerRows<float>(vectors, kind)),
                        attune::CountsColdStart(model.popularity, model.counts));
  return attune::make_recommender(std::move(engine), {.item_ids = *model.item_ids, .version = "content"});
}

std::vector<attune::Item> Demo::items() const {
  std::vector<attune::Item> items;
  for (const Described& described : items_) {
    attune::Item item{.id = as_id(described.item, item_kind_)};
    for (std::size_t f = 0; f < fields_.size(); ++f) {
      if (fields_[f].type == attune::FieldType::number) {
        item.fields.emplace_back(fields_[f].name, described.numbers[f]);
      } else {
        item.fields.emplace_back(fields_[f].name, std::string_view(described.names[f]));
      }
    }
    items.push_back(std::move(item));
  }
  return items;
}

std::string_view Demo::title(const std::string& item) const {
  const auto found = by_item_.find(item);
  return found == by_item_.end() ? std::string_view(item) : items_[found->second].title;
}

json Demo::catalogue() const {
  json fields = json::array(), items = json::array();
  for (const attune::ItemField& field : fields_)
    fields.push_back({{"name", field.name}, {"type", field.type == attune::FieldType::number ? "number" : "category"}});
  for (const Described& described : items_) {
    json next{{"item", described.item}, {"title", described.title}};
    for (std::size_t f = 0; f < fields_.size(); ++f) {
      const bool is_number = fields_[f].type == attune::FieldType::number;
      next["fields"].push_back(is_number ? json(described.numbers[f]) : json(described.names[f]));
    }
    items.push_back(std::move(next));
  }
  return {{"fields", std::move(fields)}, {"items", std::move(items)}, {"users", users_}};
}

json Demo::user(const std::string& exported) const {
  const Events events = read_events(exported);
  std::vector<attune::Id> history, disliked;
  for (const std::string& item : events.items) history.push_back(as_id(item, item_kind_));
  for (const std::string& item : events.disliked) disliked.push_back(as_id(item, item_kind_));
  const auto said_by = [&](const std::optional<attune::Recommender>& part) {
    if (!part) return json();
    const attune::Answer answer = part->recommend_history(history, {.k = kItemsOfPart, .deny = disliked}, events.times);
    json items = json::array();
    for (const attune::Recommendation& next : answer.items)
      items.push_back({{"item", attune::to_string(next.item)}, {"score", next.score}});
    return json{{"items", std::move(items)}, {"source", attune::to_string(answer.source)}};
  };
  return {{"events", events.newest},
          {"count", events.count},
          {"encoder", said_by(encoder_)},
          {"content", said_by(content_)},
          {"counts", said_by(counts_)}};
}
