// SPDX-License-Identifier: Apache-2.0

// Films by what is written of them and by what their posters look like: vectors that other models made of text and
// pictures, one feature for each, and either may be missing.
//   multimodal DATA_FOLDER [EPOCHS]
// of MovieLens-1M: ml-1m.interactions.csv.xz, ml-1m.items.csv.xz, and ml-1m.text_features.csv.xz and
// ml-1m.image_features.csv.xz with the columns item, f0 ... f63.

#include <attune/attune.hpp>
#include <cstdio>
#include <iostream>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace {

attune::FeatureSpec vectors_of(const std::string& name, const std::string& file) {
  attune::FeatureSpec spec{.name = name, .kind = attune::FeatureKind::vector, .file = file};
  for (int i = 0; i < 64; ++i) spec.columns.push_back(std::string("f").append(std::to_string(i)));
  return spec;
}

attune::TrainedModel train(const std::string& interactions, std::size_t epochs) {
  const auto split = attune::split(attune::group_by_user(attune::clean(attune::read_interactions(interactions), {})),
                                   attune::SplitOptions::parse("leave-one-out"));
  auto config = attune::TrainerConfig::preset("sasrec-small");
  config.epochs = epochs;
  return attune::Trainer(config).fit(split.train, split.validation);
}

// What these features tell of the films' vectors, and how much of them.
std::shared_ptr<const attune::ContentTower> learn(const attune::TrainedModel& model, const std::string& items,
                                                  const std::vector<attune::FeatureSpec>& features) {
  attune::DelimitedReader reader{items};
  attune::FeatureReport read;
  const auto records = attune::read_feature_records(reader, features, *model.item_ids, {}, &read);
  const auto featurizer = attune::Featurizer::fit(features, records);
  const attune::ScorerRows<float> vectors(model.encoder->items(), model.encoder->config().score);
  attune::ContentTowerReport report;
  auto tower = std::make_shared<const attune::ContentTower>(
      attune::ContentTower::fit(featurizer, featurizer.table(records), vectors, {}, &report));
  for (std::size_t f = 0; f < features.size(); ++f) {
    std::printf("%s%s (%zu films without)", f == 0 ? "" : " and ", features[f].name.c_str(), read.features[f].missing);
  }
  std::printf(": %.1f %% of a vector\n", 100 * report.explained);
  return tower;
}

}  // namespace

int main(int argc, char** argv) {
  if (argc < 2 || argc > 3) {
    std::cerr << "usage: multimodal DATA_FOLDER [EPOCHS]\n";
    return 2;
  }
  try {
    const std::string prefix = std::string(argv[1]) + "/ml-1m.", items = prefix + "items.csv.xz";
    attune::TrainedModel model = train(prefix + "interactions.csv.xz", argc > 2 ? std::stoul(argv[2]) : 10);
    const auto text = vectors_of("text", prefix + "text_features.csv.xz"),
               poster = vectors_of("poster", prefix + "image_features.csv.xz");
    learn(model, items, {text});
    learn(model, items, {poster});
    model.content = learn(model, items, {text, poster});

    // A film whose poster is not painted yet is recommended by its text, and moves when the poster comes.
    auto cinema = attune::Recommender::open(model);
    const std::vector<float> written(64, 0.125f), painted{std::vector<float>(64, -0.125f)};
    for (const bool has_poster : {false, true}) {
      if (has_poster) {
        cinema.upsert_item({.id = "new", .fields = {{"poster", std::span(painted)}}});
      } else {
        cinema.upsert_item({.id = "new", .fields = {{"text", std::span(written)}}});
      }
      std::printf("%s poster, nearest to it:", has_poster ? "with a" : "without a");
      for (const auto& film : cinema.similar_items("new", 5).items) {
        std::printf(" %s (%.3f)", attune::to_string(film.item).c_str(), static_cast<double>(film.score));
      }
      std::printf("\n");
    }
  } catch (const std::exception& error) {
    std::cerr << "multimodal: " << error.what() << '\n';
    return 1;
  }
}
