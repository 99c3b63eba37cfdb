// SPDX-License-Identifier: Apache-2.0

// The simplest model of all, trained and served through the library's seams: one vector per user, one per item, their
// cosine is the score. It learns with the library's objective and optimiser and answers for its users before they did
// anything; whoever it does not know gets what is popular.
//   two_tower INTERACTIONS [EPOCHS]

#include <algorithm>
#include <attune/attune.hpp>
#include <cstdio>
#include <iostream>
#include <memory>
#include <numeric>
#include <random>
#include <string>
#include <vector>

struct Towers {
  attune::EmbeddingTable<float> users, items;
};

void fill(attune::EmbeddingTable<float>& table, std::mt19937_64& random) {
  std::normal_distribution<float> normal(0.0f, 0.02f);
  for (std::size_t row = 0; row < table.rows(); ++row)
    std::ranges::generate(table.row(row), [&] { return normal(random); });
}

// Softmax of the cosines of a user with all items, for every event there is.
Towers train(const attune::Histories& events, std::size_t dim, std::size_t epochs) {
  constexpr std::size_t kBatch = 256;
  constexpr double kTemperature = 0.1;
  Towers towers{{events.num_users(), dim}, {events.num_items(), dim}};
  std::mt19937_64 random{1};
  fill(towers.users, random);
  fill(towers.items, random);

  const attune::AdamOptions adam{.learning_rate = 1e-2};
  attune::Adam user_adam(0, {}, events.num_users(), dim, adam), item_adam(0, {}, events.num_items(), dim, adam);
  attune::GradientBuffer d_users(0, events.num_users(), dim), d_items(0, events.num_items(), dim);
  attune::OutputTable<float> outputs;
  attune::OutputGradient<float> d_outputs;
  attune::ObjectiveScratch<float> scratch;

  std::vector<attune::UserHandle> user_of;
  for (attune::UserHandle user = 0; user < events.num_users(); ++user) user_of.resize(events.offsets[user + 1], user);
  std::vector<std::size_t> order(events.num_events());
  std::iota(order.begin(), order.end(), std::size_t{0});
  for (std::size_t epoch = 0; epoch < epochs; ++epoch) {
    std::ranges::shuffle(order, random);
    for (std::size_t begin = 0; begin < order.size(); begin += kBatch) {
      const std::span batch = std::span(order).subspan(begin, std::min(kBatch, order.size() - begin));
      std::vector<attune::UserHandle> users;
      std::vector<attune::ItemHandle> targets;
      for (const std::size_t event : batch) {
        users.push_back(user_of[event]);
        targets.push_back(events.items[event]);
      }
      user_adam.settle(towers.users, users);
      std::vector<float> hidden, d_hidden(batch.size() * dim);  // [batch, dim]
      for (const attune::UserHandle user : users) {
        const auto row = towers.users.row(user);
        hidden.insert(hidden.end(), row.begin(), row.end());
      }
      outputs.assign(towers.items, attune::ScoreKind::cosine, kTemperature);
      attune::softmax_cross_entropy<float>(d_hidden, d_outputs, d_items, hidden, targets, {}, outputs, 0.0, scratch);
      attune::softmax_cross_entropy_fold(d_items, outputs, d_outputs);
      for (std::size_t i = 0; i < users.size(); ++i) {
        const auto gradient = d_users.row(users[i]);
        for (std::size_t d = 0; d < dim; ++d) gradient[d] += d_hidden[i * dim + d];
      }
      const double mean = 1.0 / static_cast<double>(batch.size());
      user_adam.step({}, towers.users, d_users, mean);
      item_adam.step({}, towers.items, d_items, mean);
      d_users.clear();
      d_items.clear();
    }
  }
  user_adam.settle_all(towers.users);
  item_adam.settle_all(towers.items);
  return towers;
}

// The user's vector is a row of a table: no history is read, nothing is computed.
class UserTable {
 public:
  UserTable(attune::EmbeddingTable<float> rows, std::shared_ptr<const attune::IdMap> ids)
      : rows_(std::move(rows)), ids_(std::move(ids)) {}

  std::size_t dim() const noexcept { return rows_.dim(); }
  bool knows(attune::ItemHandle) const noexcept { return true; }
  bool needs_history() const noexcept { return false; }
  void encode(std::span<float> user_vector, attune::HistoryView, const attune::Context& context,
              attune::Workspace&) const {
    const attune::UserHandle user = ids_->find(context.user);
    if (user == attune::kNoHandle) {
      std::ranges::fill(user_vector, 0.0f);
    } else {
      std::ranges::copy(rows_.row(user), user_vector.begin());
    }
  }

 private:
  attune::EmbeddingTable<float> rows_;
  std::shared_ptr<const attune::IdMap> ids_;
};
static_assert(attune::Encoder<UserTable>);

using TwoTower = attune::Engine<UserTable, attune::CosineScorer<float>, attune::CountsColdStart>;

// What evaluate() asks of a model.
struct UnderTest {
  const TwoTower& engine;
  std::size_t num_items() const { return engine.size(); }
  auto session() const {
    std::vector<attune::ItemHandle> items(engine.size());
    std::iota(items.begin(), items.end(), attune::ItemHandle{0});
    return [this, items, workspace = std::make_shared<attune::Workspace>()](
               attune::HistoryView history, const attune::Context& context, std::span<float> scores) {
      engine.score(history, context, items, scores, nullptr, *workspace);
    };
  }
};

void print(const char* who, const attune::Answer& answer) {
  std::printf("%s, answered by the %s:", who, std::string(attune::to_string(answer.source)).c_str());
  for (const auto& next : answer.items) std::printf(" %s", attune::to_string(next.item).c_str());
  std::printf("\n");
}

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    std::cerr << "usage: two_tower INTERACTIONS [EPOCHS]\n";
    return 2;
  }
  try {
    const auto split = attune::split(attune::group_by_user(attune::clean(attune::read_interactions(argv[1]), {})),
                                     attune::SplitOptions::parse("leave-one-out"));
    const attune::IdMap& users = *split.train.user_ids;
    Towers towers = train(split.train, 64, argc > 2 ? std::stoul(argv[2]) : 8);
    const auto popularity = std::make_shared<const attune::PopularityModel>(attune::PopularityModel::fit(split.train));
    attune::ScorerRows<float> rows(towers.items, attune::ScoreKind::cosine);
    TwoTower engine(UserTable(std::move(towers.users), split.train.user_ids),
                    attune::CosineScorer<float>(std::move(rows)), attune::CountsColdStart(popularity, nullptr));

    const attune::EvaluationOptions options{.cutoffs = {10}, .bootstrap = 0};
    const auto report = attune::evaluate(UnderTest{engine}, popularity->counts(), split.test, options);
    std::printf("HR@10 %.4f  NDCG@10 %.4f\n", report.hit_rate_at(10), report.ndcg_at(10));

    auto recommender = attune::make_recommender(
        std::move(engine), {.item_ids = *split.train.item_ids, .version = "two towers", .user_ids = users.kind()});
    print("a user it knows", recommender.recommend({.user = users.id(0), .k = 5}));
    print("a stranger", recommender.recommend({.user = "nobody has this name", .k = 5}));
  } catch (const attune::Error& error) {
    std::cerr << "two_tower: " << error.what() << '\n';
    return 1;
  }
}
