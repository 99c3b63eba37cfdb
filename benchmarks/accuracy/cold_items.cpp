// SPDX-License-Identifier: Apache-2.0

// How good are answers about items that nobody has chosen yet? Three questions, each prints one JSON object:
//
//   cold_items ranking [SEEDS]             MovieLens-1M: 30 % of the items are in no training event; for each user only
//                                          these are ranked, by what he did with the others and by what they are
//   cold_items catalogue [SEEDS]           the same items among all others: the rest is replayed in order of time, and
//   the
//                                          last event of each user is to be among the ten best
//   cold_items stream LOG ITEMS SCHEMA     a log in order of time: a model of its first nine tenths, then the rest
//   event
//                                          by event: was what came next among the ten best? SCHEMA is the JSON text of
//                                          docs/features.md
//
// Data sets are read from ATTUNE_DATA_DIR.

#include <algorithm>
#include <array>
#include <charconv>
#include <chrono>
#include <cmath>
#include <cstdlib>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>
#include <string>
#include <string_view>
#include <vector>

#include "attune/data/reader.hpp"
#include "attune/data/split.hpp"
#include "attune/model/content_tower.hpp"
#include "attune/model/ials_model.hpp"
#include "attune/recommender.hpp"
#include "attune/training/trainer.hpp"

namespace {

using namespace attune;
using Json = nlohmann::ordered_json;

std::string data_directory() {
  const char* const directory = std::getenv("ATTUNE_DATA_DIR");
  return directory == nullptr || *directory == '\0' ? "" : std::string(directory) + "/";
}

constexpr std::size_t kListed = 30;

struct Quality {
  double recall = 0, ndcg = 0;
};

// Of scores, one for each candidate; `relevant` says which of them the user chose.
Quality quality_of(std::span<const float> scores, const std::vector<bool>& relevant) {
  std::vector<std::size_t> order(scores.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  const std::size_t listed = std::min(kListed, order.size());
  std::partial_sort(
      order.begin(), order.begin() + static_cast<std::ptrdiff_t>(listed), order.end(),
      [&](std::size_t a, std::size_t b) { return scores[a] > scores[b] || (scores[a] == scores[b] && a < b); });
  const auto chosen = static_cast<std::size_t>(std::ranges::count(relevant, true));
  double hits = 0, gain = 0, ideal = 0;
  for (std::size_t rank = 0; rank < listed; ++rank) {
    const double discount = 1 / std::log2(static_cast<double>(rank) + 2);
    if (relevant[order[rank]]) {
      hits += 1;
      gain += discount;
    }
    if (rank < chosen) ideal += discount;
  }
  return {hits / static_cast<double>(chosen), gain / ideal};
}

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
}

// The middle 95 % of the mean over users drawn with replacement.
std::array<double, 2> interval(const std::vector<double>& values) {
  constexpr std::size_t kResamples = 1000;
  std::mt19937_64 random(1);
  std::vector<double> means(kResamples);
  for (double& resampled : means) {
    double sum = 0;
    for (std::size_t i = 0; i < values.size(); ++i) sum += values[random() % values.size()];
    resampled = sum / static_cast<double>(values.size());
  }
  std::ranges::sort(means);
  return {means[kResamples / 40], means[kResamples - 1 - kResamples / 40]};
}

std::vector<double> difference(const std::vector<double>& a, const std::vector<double>& b) {
  std::vector<double> result(a.size());
  for (std::size_t i = 0; i < a.size(); ++i) result[i] = a[i] - b[i];
  return result;
}

// MovieLens-1M with what is known of its films.
struct Films {
  Films() {
    const std::string from = data_directory();
    histories = group_by_user(read_interactions(from + "ml-1m.interactions.csv.xz"));
    const Json at_hand =
        Json::array({{{"name", "genres"}, {"type", "category"}},
                     {{"name", "title"}, {"type", "text"}, {"words", {1, 1}}, {"characters", Json::array()}},
                     {{"name", "year"}, {"type", "number"}, {"buckets", 16}, {"file", from + "ml-1m.item_text.csv.xz"}},
                     {{"name", "certificate"}, {"type", "category"}, {"file", from + "ml-1m.item_text.csv.xz"}},
                     {{"name", "people"},
                      {"type", "category"},
                      {"columns", {"directors", "writers", "actors"}},
                      {"separator", ", "},
                      {"min_count", 2},
                      {"file", from + "ml-1m.item_text.csv.xz"}},
                     {{"name", "plot"},
                      {"type", "text"},
                      {"words", {1, 1}},
                      {"characters", Json::array()},
                      {"file", from + "ml-1m.item_text.csv.xz"}},
                     {{"name", "abstract"},
                      {"type", "text"},
                      {"words", {1, 1}},
                      {"characters", Json::array()},
                      {"file", from + "ml-1m.item_abstracts.csv.xz"}},
                     {{"name", "poster"},
                      {"type", "vector"},
                      {"columns", "f0..f63"},
                      {"file", from + "ml-1m.image_features.csv.xz"}}});
    features = FeatureSchema::parse(Json{{"items", at_hand}}.dump(), "the films' schema").items;
    DelimitedReader reader(from + "ml-1m.items.csv.xz");
    records = read_feature_records(reader, features, *histories.item_ids);
    // How much there is to say of a film tells how well it is known.
    for (const auto& [text, name] : {std::pair{"plot", "plot_length"}, {"abstract", "abstract_length"}}) {
      FeatureSpec& length = features.emplace_back();
      length.name = name;
      length.kind = FeatureKind::number;
      length.buckets = 12;
      for (std::size_t item = 0; item < histories.num_items(); ++item) {
        std::size_t characters = 0;
        for (const FieldValue& value : records.of(item)) {
          if (value.field() == text) characters += value.names().size();
        }
        if (characters != 0) records.add(item, {name, static_cast<double>(characters)});
      }
    }
  }
  Histories histories;
  std::vector<FeatureSpec> features;
  FeatureRecords records;
};

// The events on other items.
Histories without(const Histories& histories, const std::vector<bool>& left_out) {
  Histories rest;
  rest.user_ids = histories.user_ids;
  rest.item_ids = histories.item_ids;
  for (std::size_t user = 0; user < histories.num_users(); ++user) {
    const HistoryView history = histories.of(user);
    for (std::size_t event = 0; event < history.size(); ++event) {
      if (left_out[history.items[event]]) continue;
      rest.items.push_back(history.items[event]);
      rest.times.push_back(history.times[event]);
      rest.kinds.push_back(0);
      rest.values.push_back(1);
    }
    rest.offsets.push_back(rest.items.size());
  }
  return rest;
}

struct PerUser {
  std::vector<double> recall, ndcg;
};

class ColdRanking {
 public:
  ColdRanking(const Films& films, std::uint64_t seed, Executor& executor)
      : films_(films), executor_(executor), is_cold_(films.histories.num_items()) {
    std::vector<ItemHandle> order(is_cold_.size());
    std::iota(order.begin(), order.end(), ItemHandle{0});
    std::shuffle(order.begin(), order.end(), std::mt19937_64(seed));
    cold_.assign(order.begin(), order.begin() + std::lround(0.3 * static_cast<double>(order.size())));
    for (const ItemHandle item : cold_) is_cold_[item] = true;
    for (ItemHandle item = 0; item < is_cold_.size(); ++item) {
      if (!is_cold_[item]) warm_.push_back(item);
    }
    known_ = without(films.histories, is_cold_);
    const IalsOptions options{.embedding_dim = 128, .decay = 1};
    users_ = IalsModel::fit(known_, options, &executor);
    const std::size_t dim = options.embedding_dim;
    factors_ = EmbeddingTable<float>(is_cold_.size(), dim);
    for (const ItemHandle item : warm_)
      std::copy_n(users_.factors().data() + item * dim, dim, factors_.row(item).begin());
  }

  PerUser by_content(std::initializer_list<std::string_view> names) const {
    std::vector<FeatureSpec> features;
    for (const FeatureSpec& feature : films_.features) {
      if (names.size() == 0 || std::ranges::find(names, feature.name) != names.end()) features.push_back(feature);
    }
    const std::size_t dim = factors_.dim();
    Featurizer featurizer = Featurizer::fit(std::move(features), films_.records, warm_);
    const FeatureTable table = featurizer.table(films_.records);
    const ContentTower tower =
        ContentTower::fit(std::move(featurizer), table, {factors_, ScoreKind::dot}, {.executor = &executor_});
    EmbeddingTable<float> vectors(cold_.size(), dim);
    for (std::size_t c = 0; c < cold_.size(); ++c) tower.embed(vectors.row(c), table, cold_[c]);
    Workspace workspace;
    std::vector<float> user_vector(dim);
    return measure([&](std::size_t user, std::span<float> scores) {
      users_.fold_in(user_vector, known_.of(user), workspace);
      for (std::size_t c = 0; c < scores.size(); ++c) {
        const auto row = std::as_const(vectors).row(c);
        scores[c] = std::inner_product(row.begin(), row.end(), user_vector.begin(), 0.0f);
      }
    });
  }

  // The mean cosine of what is known of an item and of those that the user chose.
  PerUser by_likeness() const {
    const Featurizer featurizer = Featurizer::fit(films_.features, films_.records, warm_);
    const FeatureTable table = featurizer.table(films_.records);
    std::vector<std::vector<float>> likeness(is_cold_.size(), std::vector<float>(cold_.size()));
    for (std::size_t c = 0; c < cold_.size(); ++c) {
      for (std::size_t f = 0; f < table.num_features(); ++f) {
        std::vector<float> dense(table.shape(f).width);
        visit(table.of(cold_[c], f), [&](std::size_t column, float value) { dense[column] = value; });
        for (const ItemHandle item : warm_) {
          visit(table.of(item, f),
                [&](std::size_t column, float value) { likeness[item][c] += value * dense[column]; });
        }
      }
    }
    return measure([&](std::size_t user, std::span<float> scores) {
      std::ranges::fill(scores, 0.0f);
      for (const ItemHandle item : known_.of(user).items) {
        for (std::size_t c = 0; c < scores.size(); ++c) scores[c] += likeness[item][c];
      }
    });
  }

  // What nobody can know beforehand: how often each was chosen.
  PerUser by_future_popularity() const {
    std::vector<float> counts(is_cold_.size());
    for (const ItemHandle item : films_.histories.items) counts[item] += 1;
    return measure([&](std::size_t, std::span<float> scores) {
      for (std::size_t c = 0; c < scores.size(); ++c) scores[c] = counts[cold_[c]];
    });
  }

 private:
  template <class Visit>
  static void visit(const FeatureBlock& block, Visit&& visit) {
    for (std::size_t i = 0; i < block.values.size(); ++i) {
      visit(block.columns.empty() ? i : std::size_t{block.columns[i]}, block.values[i]);
    }
  }

  // Over users who chose a cold item; score(user, scores) fills in one for each of them.
  template <class Score>
  PerUser measure(Score&& score) const {
    PerUser result;
    std::vector<float> scores(cold_.size());
    std::vector<bool> relevant(cold_.size());
    std::vector<std::size_t> place(is_cold_.size());
    for (std::size_t c = 0; c < cold_.size(); ++c) place[cold_[c]] = c;
    for (std::size_t user = 0; user < films_.histories.num_users(); ++user) {
      relevant.assign(cold_.size(), false);
      bool any = false;
      for (const ItemHandle item : films_.histories.of(user).items) {
        if (!is_cold_[item]) continue;
        relevant[place[item]] = any = true;
      }
      if (!any) continue;
      score(user, std::span(scores));
      const Quality quality = quality_of(scores, relevant);
      result.recall.push_back(quality.recall);
      result.ndcg.push_back(quality.ndcg);
    }
    return result;
  }

  const Films& films_;
  Executor& executor_;
  std::vector<bool> is_cold_;
  std::vector<ItemHandle> cold_;
  std::vector<std::uint32_t> warm_;
  Histories known_;
  IalsModel users_;
  EmbeddingTable<float> factors_;
};

// The last event of each user is asked for when all others have been told.
class ColdCatalogue {
 public:
  ColdCatalogue(const Films& films, std::uint64_t seed, Executor& executor)
      : films_(films), is_cold_(drawn(films.histories.num_items(), seed)) {
    for (UserHandle user = 0; user < films.histories.num_users(); ++user) {
      const HistoryView history = films.histories.of(user);
      for (std::size_t event = 0; event < history.size(); ++event) {
        events_.push_back({user, history.items[event], history.times[event], event + 1 == history.size()});
      }
    }
    std::ranges::stable_sort(events_, {}, &Event::time);
    train(executor);
  }

  Json measure() const {
    const std::vector<bool> with = hits(true), without = hits(false), popular = popularity_hits(),
                            alike = likeness_hits();
    Json result;
    for (const bool cold : {true, false}) {
      const auto share = [&](const std::vector<bool>& hit) {
        double sum = 0, count = 0;
        for (UserHandle user = 0; user < hit.size(); ++user) {
          if (is_cold_[target(user)] != cold) continue;
          sum += hit[user];
          count += 1;
        }
        return sum / count;
      };
      result[cold ? "new items, hr@10" : "trained items, hr@10"] = {{"attune", share(with)},
                                                                    {"without new items", share(without)},
                                                                    {"popularity so far", share(popular)},
                                                                    {"content kNN", share(alike)}};
    }
    return result;
  }

 private:
  struct Event {
    UserHandle user;
    ItemHandle item;
    Timestamp time;
    bool last;  // of its user
  };

  static std::vector<bool> drawn(std::size_t items, std::uint64_t seed) {
    std::vector<bool> cold(items);
    std::fill(cold.begin(), cold.begin() + std::lround(0.3 * static_cast<double>(items)), true);
    std::shuffle(cold.begin(), cold.end(), std::mt19937_64(seed));
    return cold;
  }
  ItemHandle target(UserHandle user) const { return films_.histories.of(user).items.back(); }

  void train(Executor& executor) {
    InteractionLog log;
    for (const Event& event : events_) {
      if (event.last || is_cold_[event.item]) continue;
      log.append({.user = films_.histories.user_ids->id(event.user),
                  .item = films_.histories.item_ids->id(event.item),
                  .timestamp = event.time});
    }
    const Split parts = split(group_by_user(std::move(log)), {.kind = SplitOptions::Kind::leave_one_out});
    TrainerConfig config = TrainerConfig::preset("sasrec-small");
    config.epochs = 12;
    model_ = Trainer(config, &executor).fit(parts.train, parts.validation);
    model_.histories = nullptr;
    FeatureRecords records(model_.num_items());
    for (ItemHandle item = 0; item < model_.num_items(); ++item) {
      const ItemHandle film = films_.histories.item_ids->find(model_.item_ids->id(item));
      for (const FieldValue& value : films_.records.of(film)) records.add(item, value);
    }
    Featurizer featurizer = Featurizer::fit(films_.features, records);
    const FeatureTable table = featurizer.table(records);
    model_.content = std::make_shared<const ContentTower>(
        ContentTower::fit(std::move(featurizer), table, {model_.encoder->items(), model_.encoder->config().score},
                          {.executor = &executor}));
  }

  std::vector<bool> hits(bool with_new_items) const {
    Recommender recommender = Recommender::open(model_);
    std::vector<Item> items;
    for (ItemHandle item = 0; with_new_items && item < is_cold_.size(); ++item) {
      const auto fields = films_.records.of(item);
      if (is_cold_[item])
        items.push_back({.id = films_.histories.item_ids->id(item), .fields = {fields.begin(), fields.end()}});
    }
    const auto start = std::chrono::steady_clock::now();
    recommender.upsert_items(items);
    const std::chrono::duration<double, std::micro> taken = std::chrono::steady_clock::now() - start;
    if (with_new_items) std::cerr << "an upsert takes " << taken.count() / static_cast<double>(items.size()) << " us\n";
    std::vector<bool> hit(films_.histories.num_users());
    for (const Event& event : events_) {
      const Id user = films_.histories.user_ids->id(event.user), item = films_.histories.item_ids->id(event.item);
      if (event.last) {
        const Answer answer = recommender.recommend({.user = user, .k = kBest, .now = event.time});
        hit[event.user] = std::ranges::find(answer.items, item, &Recommendation::item) != answer.items.end();
      } else {
        recommender.observe({.user = user, .item = item, .timestamp = event.time});
      }
    }
    return hit;
  }

  // Whether fewer than ten items that the user has not had score as much as the target.
  bool is_hit(UserHandle user, std::span<const float> scores) const {
    const HistoryView history = films_.histories.of(user);
    const std::span<const ItemHandle> had = history.items.first(history.size() - 1);
    std::vector<bool> seen(scores.size());
    for (const ItemHandle item : had) seen[item] = true;
    std::size_t before = 0;
    for (ItemHandle item = 0; item < scores.size(); ++item) {
      before += !seen[item] && item != target(user) && scores[item] >= scores[target(user)];
    }
    return before < kBest;
  }

  std::vector<bool> popularity_hits() const {
    std::vector<float> counts(is_cold_.size());
    std::vector<bool> hit(films_.histories.num_users());
    for (const Event& event : events_) {
      if (event.last) hit[event.user] = is_hit(event.user, counts);
      if (!event.last) counts[event.item] += 1;
    }
    return hit;
  }

  std::vector<bool> likeness_hits() const {
    const Featurizer featurizer = Featurizer::fit(films_.features, films_.records);
    const FeatureTable table = featurizer.table(films_.records);
    std::vector<bool> hit(films_.histories.num_users());
    for (UserHandle user = 0; user < hit.size(); ++user) {
      const HistoryView history = films_.histories.of(user);
      std::vector<float> scores(is_cold_.size());
      for (std::size_t f = 0; f < table.num_features(); ++f) {
        std::vector<float> sum(table.shape(f).width);
        const auto visit = [](const FeatureBlock& block, auto&& with) {
          for (std::size_t i = 0; i < block.values.size(); ++i)
            with(block.columns.empty() ? i : block.columns[i], block.values[i]);
        };
        for (const ItemHandle item : history.items.first(history.size() - 1)) {
          visit(table.of(item, f), [&](std::size_t column, float value) { sum[column] += value; });
        }
        for (ItemHandle item = 0; item < scores.size(); ++item) {
          visit(table.of(item, f), [&](std::size_t column, float value) { scores[item] += value * sum[column]; });
        }
      }
      hit[user] = is_hit(user, scores);
    }
    return hit;
  }

  static constexpr std::size_t kBest = 10;
  const Films& films_;
  std::vector<bool> is_cold_;
  std::vector<Event> events_;
  TrainedModel model_;
};

Json catalogue(std::size_t seeds) {
  const Films films;
  ThreadPool executor(2);
  Json runs = Json::array();
  for (std::size_t seed = 1; seed <= seeds; ++seed) {
    runs.push_back(ColdCatalogue(films, seed, executor).measure());
    std::cerr << runs.back().dump() << '\n';
  }
  return runs;
}

Json ranking(std::size_t seeds) {
  const Films films;
  ThreadPool executor(2);
  Json runs = Json::array();
  std::map<std::string, std::vector<double>> recalls, ndcgs;
  for (std::size_t seed = 1; seed <= seeds; ++seed) {
    const ColdRanking cold(films, seed, executor);
    std::map<std::string, PerUser> results;
    results["all content"] = cold.by_content({});
    results["text"] = cold.by_content(
        {"genres", "title", "year", "certificate", "people", "plot", "abstract", "plot_length", "abstract_length"});
    results["picture"] = cold.by_content({"poster"});
    results["genres"] = cold.by_content({"genres"});
    results["content kNN"] = cold.by_likeness();
    results["popularity to come"] = cold.by_future_popularity();
    Json run{{"seed", seed}, {"users", results["text"].ndcg.size()}};
    for (const auto& [name, result] : results) {
      recalls[name].push_back(mean(result.recall));
      ndcgs[name].push_back(mean(result.ndcg));
      run[name] = {{"recall@30", mean(result.recall)},
                   {"recall_interval", interval(result.recall)},
                   {"ndcg@30", mean(result.ndcg)},
                   {"ndcg_interval", interval(result.ndcg)}};
    }
    for (const char* const alone : {"text", "picture"}) {
      run[std::string("all content less ") + alone + ", ndcg@30"] =
          interval(difference(results["all content"].ndcg, results[alone].ndcg));
    }
    std::cerr << run.dump() << '\n';
    runs.push_back(std::move(run));
  }
  Json means;
  for (const auto& [name, values] : recalls)
    means[name] = {{"recall@30", mean(values)}, {"ndcg@30", mean(ndcgs[name])}};
  return {{"means", std::move(means)}, {"runs", std::move(runs)}};
}

// The most popular items so far that the user has not had.
class PopularitySoFar {
 public:
  void add(const std::string& item) { ++counts_[item]; }
  bool lists(const std::string& item, const std::vector<std::string>& seen, std::size_t k) const {
    const auto count = counts_.find(item);
    if (count == counts_.end()) return false;
    std::size_t before = 0;
    for (const auto& [other, times] : counts_) {
      before += times >= count->second && other != item && std::ranges::find(seen, other) == seen.end();
      if (before >= k) return false;
    }
    return true;
  }

 private:
  std::map<std::string, std::size_t> counts_;
};

struct Event {
  std::string user, item;
  Timestamp time;
};

std::vector<Event> events_of(const InteractionLog& log) {
  std::vector<Event> events;
  for (std::size_t i = 0; i < log.size(); ++i) {
    events.push_back(
        {to_string(log.user_ids().id(log.users()[i])), to_string(log.item_ids().id(log.items()[i])), log.times()[i]});
  }
  std::ranges::stable_sort(events, {}, &Event::time);
  return events;
}

TrainedModel model_of(std::span<const Event> events, const std::vector<FeatureSpec>& features,
                      const std::string& items_file, Executor& executor) {
  InteractionLog log;
  for (const Event& event : events) log.append({.user = event.user, .item = event.item, .timestamp = event.time});
  const Split parts = split(group_by_user(std::move(log)));
  TrainerConfig config = TrainerConfig::preset("sasrec-small");
  config.epochs = 40;
  config.refit = true;
  TrainedModel model = Trainer(config, &executor).fit(with_targets(parts.train, parts.validation), parts.test);
  DelimitedReader reader(items_file);
  const FeatureRecords records = read_feature_records(reader, features, *model.item_ids);
  Featurizer featurizer = Featurizer::fit(features, records);
  const FeatureTable table = featurizer.table(records);
  ContentTowerReport report;
  model.content = std::make_shared<const ContentTower>(
      ContentTower::fit(std::move(featurizer), table, {model.encoder->items(), model.encoder->config().score},
                        {.executor = &executor}, &report));
  std::cerr << "features explain " << report.explained << " of the vectors\n";
  return model;
}

// All items of the file that the model does not have.
void upsert_others(Recommender& recommender, const TrainedModel& model, const std::vector<FeatureSpec>& features,
                   const std::string& items_file) {
  DelimitedReader reader(items_file);
  const std::size_t id = reader.required_column("item");
  std::vector<std::string_view> fields;
  while (reader.next(fields)) {
    if (model.item_ids->find(fields[id]) != kNoHandle) continue;
    Item item{.id = fields[id]};
    for (const FeatureSpec& feature : features) {
      for (const std::string& column : feature.fields())
        item.fields.emplace_back(column, fields[reader.column(column)]);
    }
    recommender.upsert_item(item);
  }
}

Json stream(const std::string& log_file, const std::string& items_file, const std::string& schema) {
  constexpr std::size_t kBest = 10;
  ThreadPool executor(2);
  const std::vector<FeatureSpec> features = FeatureSchema::parse(schema, "the schema").items;
  const std::vector<Event> events = events_of(read_interactions(log_file));
  const std::size_t first = events.size() * 9 / 10;
  const TrainedModel model = model_of(std::span(events).first(first), features, items_file, executor);
  Recommender recommender = Recommender::open(model);
  upsert_others(recommender, model, features, items_file);

  PopularitySoFar popularity;
  std::map<std::string, std::vector<std::string>> seen;
  std::map<std::string, std::array<double, 3>> sums;  // events, hits of attune, of popularity
  for (std::size_t i = 0; i < events.size(); ++i) {
    const auto& [user, item, time] = events[i];
    std::vector<std::string>& had = seen[user];
    if (i >= first && std::ranges::find(had, item) == had.end()) {
      auto& [asked, hits, popular] = sums[model.item_ids->find(item) == kNoHandle ? "new items" : "trained items"];
      const Answer answer = recommender.recommend({.user = user, .k = kBest, .now = time});
      asked += 1;
      hits += std::ranges::find(answer.items, Id(item), &Recommendation::item) != answer.items.end();
      popular += popularity.lists(item, had, kBest);
    }
    if (i >= first) recommender.observe({.user = user, .item = item, .timestamp = time});
    popularity.add(item);
    if (std::ranges::find(had, item) == had.end()) had.push_back(item);
  }
  Json result{{"events", events.size() - first}};
  for (const auto& [name, sum] : sums) {
    result[name] = {{"events", sum[0]}, {"hr@10", sum[1] / sum[0]}, {"popularity so far, hr@10", sum[2] / sum[0]}};
  }
  return result;
}

Json run(std::span<char*> arguments) {
  const std::string_view part = arguments.empty() ? "" : arguments[0];
  if (part == "ranking" || part == "catalogue") {
    std::size_t seeds = 3;
    if (arguments.size() > 1) {
      const std::string_view text = arguments[1];
      std::from_chars(text.data(), text.data() + text.size(), seeds);
    }
    return part == "ranking" ? ranking(seeds) : catalogue(seeds);
  }
  if (part == "stream" && arguments.size() == 4) {
    return stream(data_directory() + arguments[1], data_directory() + arguments[2], arguments[3]);
  }
  return {};
}

}  // namespace

int main(int argc, char** argv) {
  if (data_directory().empty()) {
    std::cerr << "skipped: ATTUNE_DATA_DIR is not set\n";
    return 0;
  }
  try {
    const Json result = run(std::span(argv, static_cast<std::size_t>(argc)).subspan(1));
    if (!result.is_null()) {
      std::cout << result.dump(1) << '\n';
      return 0;
    }
  } catch (const Error& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
  std::cerr << "usage: cold_items ranking [SEEDS] | catalogue [SEEDS] | stream LOG ITEMS SCHEMA\n";
  return 2;
}
