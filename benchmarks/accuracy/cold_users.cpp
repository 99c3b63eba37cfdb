// SPDX-License-Identifier: Apache-2.0

// How good are answers for users of whom nothing but a profile and their first events is known? Prints one JSON object:
//
//   cold_users ml-100k|ml-1m [EPOCHS] [FOLDS] [THREADS]
//   cold_users plot RESULT.json PLOT.svg                   draws what the first printed
//
// Users are dealt into five parts. Of each part, the first FOLDS of them, a model (sasrec-small, at most EPOCHS epochs)
// is trained on the users of the other four, and is then asked for the next event of those it has never seen: told
// their profile, and their first 0, 1, 2, 3 and 5 events. Data sets are read from ATTUNE_DATA_DIR.

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <fstream>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <random>
#include <string>
#include <vector>

#include "attune/data/reader.hpp"
#include "attune/data/split.hpp"
#include "attune/model/content_tower.hpp"
#include "attune/training/trainer.hpp"
#include "attune/training/user_prior_training.hpp"
#include "cli/plot.hpp"

namespace {

using namespace attune;
using Json = nlohmann::ordered_json;
using Row = std::vector<float>;  // a score for each item

constexpr std::size_t kFolds = 5, kListed = 10;
constexpr std::array<std::size_t, 5> kEvents{0, 1, 2, 3, 5};
constexpr const char* kSchema = R"({"users": [
  {"name": "age", "type": "number", "buckets": 8},
  {"name": "gender", "type": "category"},
  {"name": "occupation", "type": "category"}]})";

struct DataSet {
  explicit DataSet(const std::string& name) {
    const char* const directory = std::getenv("ATTUNE_DATA_DIR");
    const std::string from = directory == nullptr ? "" : std::string(directory) + "/";
    histories = group_by_user(read_interactions(from + name + ".interactions.csv.xz"));
    features = FeatureSchema::parse(kSchema, "the users' schema").users;
    DelimitedReader reader(from + name + ".users.csv.xz");
    records = read_feature_records(reader, features, *histories.user_ids, {.id_column = "user"});
  }
  Histories histories;
  std::vector<FeatureSpec> features;
  FeatureRecords records;
};

// Of the best of the scores without `seen`: gain of the items of `relevant` over that of an ideal list.
double ndcg(const Row& scores, std::span<const ItemHandle> seen, std::span<const ItemHandle> relevant) {
  Row left = scores;
  for (const ItemHandle item : seen) left[item] = -std::numeric_limits<float>::infinity();
  std::vector<ItemHandle> order(left.size());
  std::iota(order.begin(), order.end(), ItemHandle{0});
  std::partial_sort(order.begin(), order.begin() + kListed, order.end(),
                    [&](ItemHandle a, ItemHandle b) { return left[a] > left[b] || (left[a] == left[b] && a < b); });
  double gain = 0, ideal = 0;
  for (std::size_t rank = 0; rank < kListed; ++rank) {
    const double discount = 1 / std::log2(static_cast<double>(rank) + 2);
    if (std::ranges::find(relevant, order[rank]) != relevant.end()) gain += discount;
    if (rank < relevant.size()) ideal += discount;
  }
  return gain / ideal;
}

// By what answers, at how many events: what each user adds.
using Gains = std::map<std::string, std::array<std::vector<double>, kEvents.size()>>;

double mean(const std::vector<double>& values) {
  return std::accumulate(values.begin(), values.end(), 0.0) /
         static_cast<double>(std::max<std::size_t>(values.size(), 1));
}

// The middle 95 % of the mean difference over users drawn with replacement.
std::array<double, 2> interval(const std::vector<double>& a, const std::vector<double>& b) {
  constexpr std::size_t kResamples = 2000;
  std::mt19937_64 random(1);
  std::vector<double> means(kResamples);
  for (double& resampled : means) {
    double sum = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
      const std::size_t drawn = random() % a.size();
      sum += a[drawn] - b[drawn];
    }
    resampled = sum / static_cast<double>(a.size());
  }
  std::ranges::sort(means);
  return {means[kResamples / 40], means[kResamples - 1 - kResamples / 40]};
}

class Fold {
 public:
  Fold(const DataSet& data, std::vector<bool> asked, std::size_t epochs, Executor& executor)
      : data_(data), asked_(std::move(asked)), train_(without_events_of(data.histories, asked_)) {
    std::vector<std::uint32_t> known;
    for (std::uint32_t user = 0; user < asked_.size(); ++user) {
      if (!asked_[user]) known.push_back(user);
    }
    Featurizer featurizer = Featurizer::fit(data.features, data.records, known);
    features_ = featurizer.table(data.records);
    const std::vector<bool> held_out = users_to_hold_out(train_);
    const TrainedModel helper = train(without_events_of(train_, held_out), epochs, executor);
    prior_ = std::make_shared<const UserPrior>(
        fit_user_prior(helper, featurizer, features_, train_, held_out, {.executor = &executor}, &report_));
    model_ = train(train_, epochs, executor);
    fit_ridge(std::move(featurizer), executor);
  }

  Json learned() const {
    Json json;
    for (std::size_t n = 0; n < report_.by_events.size(); ++n) {
      const UserPrior::Weights& w = prior_->schedule()[n];
      json.push_back({{"events", n},
                      {"weights", {w.popularity, w.first_choices, w.profile, w.counts, w.model}},
                      {"held out",
                       {report_.by_events[n].popularity, report_.by_events[n].counts, report_.by_events[n].model,
                        report_.by_events[n].sum}}});
    }
    return {{"smoothing", report_.smoothing}, {"importance", prior_->importance()}, {"schedule", json}};
  }

  void measure(Gains& gains) {
    for (UserHandle user = 0; user < asked_.size(); ++user) {
      const HistoryView whole = data_.histories.of(user);
      for (std::size_t n = 0; n < kEvents.size() && asked_[user]; ++n) {
        if (whole.size() <= kEvents[n]) continue;
        const HistoryView history = whole.first(kEvents[n]);
        for (const auto& [name, scores] : answers(user, history)) {
          gains[name][n].push_back(ndcg(scores, history.items, whole.items.subspan(kEvents[n], 1)));
        }
      }
    }
  }

 private:
  static TrainedModel train(const Histories& histories, std::size_t epochs, Executor& executor) {
    const Split split = attune::split(histories, {.kind = SplitOptions::Kind::leave_one_out});
    TrainerConfig config = TrainerConfig::preset("sasrec-small");
    config.epochs = epochs;
    config.refit = true;
    TrainedModel model = Trainer(config, &executor).fit(split.train, split.validation);
    model.popularity = std::make_shared<const PopularityModel>(PopularityModel::fit(histories));
    model.counts = std::make_shared<const MarkovModel>(MarkovModel::fit(histories));
    return model;
  }

  void fit_ridge(Featurizer featurizer, Executor& executor) {
    EmbeddingTable<float> vectors(asked_.size(), model_.encoder->dim());
    Workspace workspace;
    for (UserHandle user = 0; user < asked_.size(); ++user) {
      const HistoryView history = train_.of(user);
      const auto known = [&](ItemHandle item) { return model_.encoder->knows(item); };
      if (history.empty() || !std::ranges::all_of(history.items, known)) continue;
      model_.encoder->encode(vectors.row(user), history, {.now = history.times.back()}, workspace);
    }
    rows_ = std::make_unique<ScorerRows<float>>(model_.encoder->items(), model_.encoder->config().score);
    ridge_ = std::make_unique<ContentTower>(
        ContentTower::fit(std::move(featurizer), features_, {vectors, ScoreKind::cosine}, {.executor = &executor}));
  }

  std::map<std::string, Row> answers(UserHandle user, HistoryView history) {
    std::map<std::string, Row> answers;
    Row scores(train_.num_items());
    model_.popularity->score_all({}, scores, workspace_);
    answers["popularity"] = scores;
    if (history.empty()) {
      Row vector(ridge_->dim());
      ridge_->embed(vector, features_, user);
      if (rows_->prepare(vector, workspace_.query))
        rows_->dot(scores.data(), workspace_.query.data(), 0, scores.size());
      answers["ridge to user vectors"] = scores;
    } else {
      model_.counts->score_all(history, scores, workspace_);
      answers["markov"] = scores;
      ModelUnderTest(model_).session()(history, {}, scores);
      answers["model alone"] = scores;
    }
    FeatureTable profile(prior_->featurizer().shapes());
    prior_->featurizer().apply(data_.records.of(user), profile);
    for (const bool with : {true, false}) {
      Row terms(train_.num_items());
      const auto beside = history.empty() ? UserPrior::Beside::nothing : UserPrior::Beside::model;
      prior_->sum(terms, history, with ? &profile : nullptr, model_.popularity.get(), model_.counts.get(), beside,
                  workspace_);
      for (std::size_t i = 0; i < terms.size() && !history.empty(); ++i) terms[i] += scores[i];
      answers[with ? "attune" : "attune, without profile"] = terms;
    }
    return answers;
  }

  const DataSet& data_;
  const std::vector<bool> asked_;
  const Histories train_;
  FeatureTable features_;
  TrainedModel model_;
  std::shared_ptr<const UserPrior> prior_;
  UserPriorReport report_;
  std::unique_ptr<ScorerRows<float>> rows_;
  std::unique_ptr<ContentTower> ridge_;
  Workspace workspace_;
};

Json summary(const Gains& gains) {
  Json result;
  for (std::size_t n = 0; n < kEvents.size(); ++n) {
    const std::string base = kEvents[n] == 0 ? "popularity" : "markov";
    Json row{{"events", kEvents[n]}};
    for (const auto& [name, by_events] : gains) {
      if (by_events[n].empty()) continue;
      row["users"] = by_events[n].size();
      row[name] = {{"ndcg@10", mean(by_events[n])}};
      if (name != base) row[name]["above " + base] = interval(by_events[n], gains.at(base)[n]);
    }
    result.push_back(std::move(row));
  }
  return result;
}

// What answers by how many events are known.
void plot(const std::string& result, const std::string& file) {
  const Json json = Json::parse(std::ifstream(result));
  cli::Plot plot{.title = "NDCG@10 of the next event of users a model has never seen",
                 .subtitle = {"MovieLens " + json.at("data").get<std::string>().substr(3) + ", by events known"},
                 .x_label = "events",
                 .y_label = "ndcg@10"};
  for (const char* const name : {"popularity", "markov", "model alone", "attune, without profile", "attune"}) {
    const bool own = std::string(name) == "attune";
    cli::Plot::Series series{.name = name, .highlighted = own, .label = own ? name : ""};
    for (const Json& row : json.at("answers")) {
      if (row.contains(name)) series.points.emplace_back(row.at("events"), row.at(name).at("ndcg@10"));
    }
    plot.series.push_back(std::move(series));
  }
  std::ofstream(file) << plot.svg();
}

}  // namespace

int main(int argc, char** argv) {
  const auto number = [&](int at, std::size_t otherwise) {
    return argc > at ? static_cast<std::size_t>(std::atoi(argv[at])) : otherwise;
  };
  if (argc < 2) {
    std::cerr << "usage: cold_users ml-100k|ml-1m [EPOCHS] [FOLDS] [THREADS]\n";
    return 2;
  }
  try {
    if (argc == 4 && argv[1] == std::string("plot")) {
      plot(argv[2], argv[3]);
      return 0;
    }
    const DataSet data(argv[1]);
    ThreadPool executor(number(4, 1));
    std::vector<std::size_t> part(data.histories.num_users());
    for (std::size_t user = 0; user < part.size(); ++user) part[user] = user % kFolds;
    std::shuffle(part.begin(), part.end(), std::mt19937_64(1));
    Gains gains;
    Json folds;
    for (std::size_t fold = 0; fold < std::min(number(3, kFolds), kFolds); ++fold) {
      std::vector<bool> asked;
      for (const std::size_t of_user : part) asked.push_back(of_user == fold);
      Fold one(data, std::move(asked), number(2, 40), executor);
      one.measure(gains);
      folds.push_back(one.learned());
      std::cerr << "fold " << fold + 1 << ": " << summary(gains).dump() << '\n';
    }
    std::cout << Json{{"data", argv[1]}, {"answers", summary(gains)}, {"learned", folds}}.dump(2) << '\n';
  } catch (const std::exception& error) {
    std::cerr << error.what() << '\n';
    return 1;
  }
  return 0;
}
