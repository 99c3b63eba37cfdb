// SPDX-License-Identifier: Apache-2.0

// How good is a model that was trained where no history leaves its user? Prints one JSON object:
//
//   federated_simulation ml-100k|ml-1m [PASSES] [THREADS] [LOCAL_STEPS] [SEED] [TAKE_PART]
//
// Every user is a client with his own training events (leave-one-out, order alone, ml-1m with the items of the SASRec
// paper). Messages are those of a deployment, handed over within the process, in the clear: secure aggregation would
// give the same sums. In a pass (40) each client is asked once; a tenth of those asked drop out. Encoder, learning rate
// and batches are those of sasrec-small. Then every user's device makes the model its own, or, where TAKE_PART is below
// 100 percent, that of those who did not take part: how is chosen on validation.
// Data sets are read from ATTUNE_DATA_DIR.

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <iostream>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <string>
#include <unordered_set>
#include <vector>

#include "attune/data/reader.hpp"
#include "attune/data/split.hpp"
#include "attune/model/scorer_rows.hpp"
#include "attune/privacy/federated.hpp"
#include "attune/privacy/personal_encoder.hpp"
#include "attune/training/trainer.hpp"

namespace {

using namespace attune;
using Json = nlohmann::ordered_json;

constexpr double kDropOut = 0.1;
constexpr std::size_t kValidateEvery = 5;  // passes

std::string file(const std::string& name) {
  const char* const directory = std::getenv("ATTUNE_DATA_DIR");
  return (directory == nullptr ? "" : std::string(directory) + "/") + name + ".csv.xz";
}

// Items that count; empty: all.
std::unordered_set<std::string> kept_items(const std::string& data) {
  std::unordered_set<std::string> kept;
  if (data != "ml-1m") return kept;
  DelimitedReader reader(file("ml-1m.sasrec_items"));
  const std::size_t item = reader.required_column("item");
  for (std::vector<std::string_view> fields; reader.next(fields);) kept.emplace(fields[item]);
  return kept;
}

Split read(const std::string& data) {
  const std::unordered_set<std::string> kept = kept_items(data);
  DelimitedReader reader(file(data + ".interactions"));
  const std::size_t user = reader.required_column("user"), item = reader.required_column("item");
  InteractionLog log;
  for (std::vector<std::string_view> fields; reader.next(fields);) {
    if (!kept.empty() && !kept.contains(std::string(fields[item]))) continue;
    log.append({.user = fields[user], .item = fields[item]});
  }
  return split(group_by_user(std::move(log)), SplitOptions::parse("leave-one-out"));
}

struct Settings {
  std::size_t passes = 40, threads = 1, local_steps = 1;
  std::uint64_t seed = 1;
  std::size_t take_part = 100;  // percent of the users
};

// Answers as the devices do: each history is that of a user who lets the model learn from it first.
class PersonalModel {
 public:
  PersonalModel(const FederatedPlan& plan, const PersonalOptions& options, const SequenceEncoder<float>& common)
      : plan_(plan), options_(options), common_(common), rows_(common.items(), common.config().score) {}

  std::size_t num_items() const noexcept { return plan_.num_items; }
  detail::ScoreAll session() const {
    auto personal = std::make_shared<PersonalEncoder>(plan_, options_);
    personal->follow(common_);
    auto workspace = std::make_shared<Workspace>();
    return [this, personal, workspace](HistoryView history, const Context& context, std::span<float> scores) {
      personal->reset();
      if (history.size() > 1) personal->learn(history, history.size());
      std::vector<float> vector(common_.dim());
      personal->encoder().encode(vector, history, context, *workspace);
      if (rows_.prepare(vector, workspace->query)) rows_.dot(scores.data(), workspace->query.data(), 0, scores.size());
    };
  }

 private:
  const FederatedPlan& plan_;
  const PersonalOptions options_;
  const SequenceEncoder<float>& common_;
  const ScorerRows<float> rows_;
};

class Simulation {
 public:
  Simulation(const Split& split, const Settings& settings)
      : split_(split),
        settings_(settings),
        executor_(settings.threads),
        preset_(TrainerConfig::preset("sasrec-small").adapted_to(split.train)),
        clients_(users_with_targets()),
        plan_(plan()),
        server_(plan_, server_options()) {
    for (std::size_t i = 0; i < executor_.concurrency(); ++i) devices_.emplace_back(plan_);
  }

  Json run() {
    std::mt19937_64 random(settings_.seed);
    for (std::size_t pass = 1; pass <= settings_.passes; ++pass) {
      std::vector<std::uint64_t> waiting = clients_;
      while (!waiting.empty()) waiting = without(waiting, round(waiting, random));
      Json line{
          {"pass", pass}, {"seconds", seconds()}, {"update_norm", norms_ / static_cast<double>(rounds_per_pass())}};
      norms_ = 0;
      if (pass % kValidateEvery == 0) line["validation"] = figures(measured(split_.validation));
      std::cerr << line.dump() << '\n';
    }
    return {{"clients", clients_.size()},
            {"items", plan_.num_items},
            {"values", plan_.num_values()},
            {"clients per round", plan_.clients_per_round},
            {"local steps", plan_.local_steps},
            {"rounds", server_.round()},
            {"asked", asked_},
            {"answered", answered_},
            {"MB down", megabytes_down_},
            {"MB up", megabytes_up_},
            {"seconds", seconds()},
            {"threads", settings_.threads},
            {"seed", settings_.seed},
            {"test", figures(measured(split_.test))},
            {"personal", personalised()}};
  }

 private:
  bool takes_part(std::uint64_t user) const { return user * 37 % 100 < settings_.take_part; }
  // Of those who stay away, where anybody does.
  EvaluationQueries asked_of(const EvaluationQueries& all) const {
    if (settings_.take_part >= 100) return all;
    EvaluationQueries some{.histories = all.histories, .queries = {}};
    for (const auto& query : all.queries) {
      if (!takes_part(query.user)) some.queries.push_back(query);
    }
    return some;
  }

  std::vector<std::uint64_t> users_with_targets() const {
    std::vector<std::uint64_t> users;
    for (std::size_t user = 0; user < split_.train.num_users(); ++user) {
      if (split_.train.of(user).size() >= 2 && takes_part(user)) users.push_back(user);
    }
    return users;
  }

  FederatedPlan plan() const {
    FederatedPlan plan;
    plan.num_items = split_.train.num_items();
    plan.encoder = preset_.encoder;
    std::size_t longest = 0;
    for (const std::uint64_t user : clients_) longest = std::max(longest, split_.train.of(user).size());
    plan.encoder.max_sequence_length = std::min(plan.encoder.max_sequence_length, longest - 1);
    plan.objective = preset_.objective;
    plan.clients_per_round = preset_.batch_sequences;
    plan.local_steps = settings_.local_steps;
    return plan;
  }

  std::size_t rounds_per_pass() const {
    return (clients_.size() + preset_.batch_sequences - 1) / preset_.batch_sequences;
  }

  FederatedServerOptions server_options() {
    FederatedServerOptions options;
    options.adam = preset_.adam;
    options.rounds = settings_.passes * rounds_per_pass();
    options.warmup_rounds = preset_.warmup_steps;
    options.final_learning_rate = preset_.final_learning_rate;
    options.seed = settings_.seed;
    options.executor = &executor_;
    return options;
  }

  // Of the clients that wait. Returns whom it asked.
  std::vector<std::uint64_t> round(const std::vector<std::uint64_t>& waiting, std::mt19937_64& random) {
    const FederatedRound round = server_.begin_round(waiting);
    std::vector<std::uint64_t> answering;
    for (const std::uint64_t client : round.clients) {
      if (std::uniform_real_distribution<>()(random) >= kDropOut) answering.push_back(client);
    }
    if (answering.empty()) answering.push_back(round.clients.front());
    for (FederatedClient& device : devices_) device.begin(round.message);
    std::vector<std::vector<std::byte>> updates(answering.size());
    executor_.run(answering.size(), [&](std::size_t i, std::size_t worker) {
      const std::uint64_t client = answering[i];
      updates[i] = devices_[worker].update(
          {.client = client, .history = split_.train.of(client), .seed = settings_.seed * 1'000'003 + client});
    });
    for (const auto& update : updates) server_.add(update);
    asked_ += round.clients.size();
    answered_ += answering.size();
    megabytes_down_ += 1e-6 * static_cast<double>(round.message.size() * round.clients.size());
    megabytes_up_ += 1e-6 * static_cast<double>(updates.front().size() * updates.size());
    norms_ += server_.finish_round().update_norm;
    return round.clients;
  }

  static std::vector<std::uint64_t> without(const std::vector<std::uint64_t>& all,
                                            const std::vector<std::uint64_t>& taken) {
    std::vector<std::uint64_t> left;
    std::ranges::set_difference(all, taken, std::back_inserter(left));
    return left;
  }

  EvaluationOptions measuring() {
    return {.cutoffs = {10}, .bootstrap = 0, .executor = &executor_, .keep_user_sums = true};
  }
  static Json figures(const Report& report) {
    return {{"hr@10", report.hit_rate_at(10)}, {"ndcg@10", report.ndcg_at(10)}};
  }

  Report measured(const EvaluationQueries& queries) {
    TrainedModel model;
    model.item_ids = split_.train.item_ids;
    model.encoder = {std::shared_ptr<void>(), &server_.encoder()};
    model.popularity = std::make_shared<const PopularityModel>(PopularityModel::fit(split_.train));  // of the report
    return evaluate(model, queries, measuring());
  }
  Report measured(const EvaluationQueries& queries, const PersonalOptions& options) {
    const PopularityModel popularity = PopularityModel::fit(split_.train);
    return evaluate(PersonalModel(plan_, options, server_.encoder()), popularity.counts(), queries, measuring());
  }

  // The options with the best NDCG@10 in validation, and what they add to it in the test.
  Json personalised() {
    PersonalOptions best;
    double best_ndcg = 0;
    const EvaluationQueries validation = asked_of(split_.validation), test = asked_of(split_.test);
    Json tried;
    for (const std::size_t blocks : {0u, 1u}) {
      for (const double rate : {0.003, 0.01, 0.03, 0.1}) {
        const PersonalOptions options{.blocks = blocks, .steps = 5, .learning_rate = rate};
        const Report report = measured(validation, options);
        tried.push_back({{"blocks", blocks}, {"learning rate", rate}, {"validation", figures(report)}});
        std::cerr << tried.back().dump() << '\n';
        if (report.ndcg_at(10) <= best_ndcg) continue;
        best_ndcg = report.ndcg_at(10);
        best = options;
      }
    }
    const Report personal = measured(test, best), common = measured(test);
    Json gains;
    for (const auto& [metric, gain] : paired_bootstrap(personal.user_sums, common.user_sums)) {
      gains[metric] = {{"mean", gain.difference}, {"interval", gain.interval}};
    }
    return {{"tried", tried},
            {"common, validation", figures(measured(validation))},
            {"blocks", best.blocks},
            {"learning rate", best.learning_rate},
            {"queries", test.size()},
            {"common, test", figures(common)},
            {"test", figures(personal)},
            {"gain", gains}};
  }

  double seconds() const { return std::chrono::duration<double>(std::chrono::steady_clock::now() - started_).count(); }

  const std::chrono::steady_clock::time_point started_ = std::chrono::steady_clock::now();
  const Split& split_;
  const Settings settings_;
  ThreadPool executor_;
  const TrainerConfig preset_;
  const std::vector<std::uint64_t> clients_;
  const FederatedPlan plan_;
  FederatedServer server_;
  std::vector<FederatedClient> devices_;  // one for each thread, which plays many clients
  std::size_t asked_ = 0, answered_ = 0;
  double megabytes_down_ = 0, megabytes_up_ = 0, norms_ = 0;
};

}  // namespace

int main(int argc, char** argv) {
  const auto number = [&](int at, std::size_t otherwise) {
    return argc > at ? static_cast<std::size_t>(std::atoll(argv[at])) : otherwise;
  };
  if (argc < 2 || argc > 7) {
    std::cerr << "usage: federated_simulation ml-100k|ml-1m [PASSES] [THREADS] [LOCAL_STEPS] [SEED] [TAKE_PART]\n";
    return 2;
  }
  try {
    const Split split = read(argv[1]);
    Settings settings;
    settings.passes = number(2, settings.passes);
    settings.threads = number(3, settings.threads);
    settings.local_steps = number(4, settings.local_steps);
    settings.seed = number(5, settings.seed);
    settings.take_part = number(6, settings.take_part);
    Json result{{"data", argv[1]}};
    result.update(Simulation(split, settings).run());
    std::cout << result.dump(2) << '\n';
  } catch (const std::exception& error) {
    std::cerr << "federated_simulation: " << error.what() << '\n';
    return 1;
  }
  return 0;
}
