// SPDX-License-Identifier: Apache-2.0

// A band that nobody has heard stands in the lists of its listeners from the first day, by the tags of its music alone.
//   music INTERACTIONS ITEMS [EPOCHS]
// of Last.fm: files with the columns user, item, position, and item, attributes (tags, one number each). Half of a
// known band's tags describe the new one.

#include <attune/attune.hpp>
#include <cstdio>
#include <iostream>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace {

attune::TrainedModel train(const std::string& interactions, std::size_t epochs) {
  const auto split = attune::split(attune::group_by_user(attune::clean(attune::read_interactions(interactions), {})),
                                   attune::SplitOptions::parse("leave-one-out"));
  auto config = attune::TrainerConfig::preset("sasrec-small");
  config.epochs = epochs;
  attune::TrainedModel model = attune::Trainer(config).fit(split.train, split.validation);
  const attune::Report report = attune::evaluate(model, split.test, {.cutoffs = {10}, .bootstrap = 0});
  std::printf("HR@10 %.4f  NDCG@10 %.4f\n", report.hit_rate_at(10), report.ndcg_at(10));
  return model;
}

// Tags are words of a text: how often one was given counts, and one that every band has says little.
const std::vector<attune::FeatureSpec>& schema() {
  static const std::vector<attune::FeatureSpec> tags{{.name = "tags",
                                                      .kind = attune::FeatureKind::text,
                                                      .columns = {"attributes"},
                                                      .words = {1, 1},
                                                      .characters = {}}};
  return tags;
}

// The model learns what tags tell of a band's vector.
void learn_tags(attune::TrainedModel& model, const attune::FeatureRecords& records) {
  const auto featurizer = attune::Featurizer::fit(schema(), records);
  const attune::ScorerRows<float> vectors(model.encoder->items(), model.encoder->config().score);
  attune::ContentTowerReport report;
  model.content = std::make_shared<const attune::ContentTower>(
      attune::ContentTower::fit(featurizer, featurizer.table(records), vectors, {}, &report));
  std::printf("tags explain %.0f %% of a band's vector\n", 100 * report.explained);
}

// The band with the most to say.
attune::ItemHandle best_described(const attune::FeatureRecords& records) {
  attune::ItemHandle best = 0;
  std::size_t longest = 0;
  for (attune::ItemHandle item = 0; item < records.rows(); ++item) {
    for (const attune::FieldValue& field : records.of(item)) {
      if (field.names().size() <= longest) continue;
      longest = field.names().size();
      best = item;
    }
  }
  return best;
}

void print(const char* what, const attune::Answer& answer) {
  std::printf("%s:", what);
  for (const attune::Recommendation& item : answer.items) std::printf(" %s", attune::to_string(item.item).c_str());
  std::printf("\n");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 3 || argc > 4) {
    std::cerr << "usage: music INTERACTIONS ITEMS [EPOCHS]\n";
    return 2;
  }
  try {
    attune::TrainedModel model = train(argv[1], argc > 3 ? std::stoul(argv[3]) : 20);
    attune::DelimitedReader reader{argv[2]};
    const auto records = attune::read_feature_records(reader, schema(), *model.item_ids);
    learn_tags(model, records);

    const attune::ItemHandle known = best_described(records);
    const std::string name = attune::to_string(model.item_ids->id(known));
    const std::string_view tags = records.of(known).front().names();
    auto station = attune::Recommender::open(model);
    station.upsert_item(
        {.id = "a new band", .fields = {{"attributes", tags.substr(0, tags.find(' ', tags.size() / 2))}}});
    print(("like band " + name).c_str(), station.similar_items(name, 6));
    print("like the new band", station.similar_items("a new band", 5));

    const auto list = station.recommend_history({name}, {.k = model.num_items()});
    for (std::size_t place = 0; place < list.items.size(); ++place) {
      if (list.items[place].item != attune::Id("a new band")) continue;
      std::printf("for those who listen to %s the new band stands at place %zu of %zu\n", name.c_str(), place + 1,
                  list.items.size());
    }
  } catch (const std::exception& error) {
    std::cerr << "music: " << error.what() << '\n';
    return 1;
  }
}
