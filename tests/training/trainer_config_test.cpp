// SPDX-License-Identifier: Apache-2.0
#include <memory>
#include <string>

#include "attune/error.hpp"
#include "attune/training/trainer.hpp"
#include "catch.hpp"

namespace attune {
namespace {

std::string error_of(const std::string& json) {
  TrainerConfig config;
  const std::string before = config.to_json();
  try {
    config.apply_json(json, "train.json");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::invalid_config);
    CHECK(config.to_json() == before);
    return error.what();
  }
  return {};
}

bool contains(const std::string& text, const std::string& part) { return text.find(part) != std::string::npos; }

}  // namespace

TEST_CASE("A configuration file overrides the fields that it names", "[training][trainer_config]") {
  TrainerConfig config;
  config.apply_json(R"({"encoder": {"embedding_dim": 32, "activation": "relu", "norm_placement": "post",
                                    "final_norm": false, "score": "dot"},
                        "adam": {"learning_rate": 3e-3}, "epochs": 5, "markov": {"decay": 0.5}})",
                    "train.json");
  CHECK(config.encoder.embedding_dim == 32);
  CHECK(config.encoder.activation == Activation::relu);
  CHECK(config.encoder.norm_placement == NormPlacement::post);
  CHECK(!config.encoder.final_norm);
  CHECK(config.encoder.score == ScoreKind::dot);
  CHECK(config.encoder.num_blocks == TrainerConfig{}.encoder.num_blocks);
  CHECK(config.adam.learning_rate == 3e-3);
  CHECK(config.epochs == 5);
  CHECK(config.markov.decay == 0.5);
}

TEST_CASE("A configuration names the model that counts, and the options of each", "[training][trainer_config]") {
  TrainerConfig config;
  CHECK(config.counts == CountKind::markov);
  CHECK(std::holds_alternative<MarkovOptions>(config.count_options()));
  config.apply_json(R"({"counts": "item-knn", "counts_alone": true, "popularity": {"window_days": 7},
                        "item_knn": {"neighbours": 50}, "ease": {"lambda": 10, "max_items": 20000},
                        "ials": {"embedding_dim": 32, "decay": 0.5}})",
                    "train.json");
  CHECK(config.counts == CountKind::item_knn);
  CHECK(config.counts_alone);
  CHECK(std::get<ItemKnnOptions>(config.count_options()).neighbours == 50);
  config.counts = CountKind::popularity;
  CHECK(std::get<PopularityOptions>(config.count_options()).window_days == 7);
  config.counts = CountKind::ease;
  CHECK(std::get<EaseOptions>(config.count_options()).max_items == 20000);
  config.counts = CountKind::ials;
  config.seed = 9;
  CHECK(std::get<IalsOptions>(config.count_options()).decay == 0.5);
  CHECK(std::get<IalsOptions>(config.count_options()).seed == 9);
  TrainerConfig copy;
  copy.apply_json(config.to_json(), "copy");
  CHECK(copy.to_json() == config.to_json());
}

TEST_CASE("What a configuration says comes back from its own text", "[training][trainer_config]") {
  TrainerConfig config;
  config.encoder.hop = 7;
  config.encoder.activation = Activation::silu;
  config.adam.weight_decay = 0.125;
  config.seed = 18446744073709551615u;
  config.exclude_seen = false;
  config.event_weights = {{"view", 0.25}, {"", 2.0}};
  config.objective.loss = LossKind::gbce;
  config.windows = Windows::all;
  config.schedule = Schedule::linear;
  config.distillation = {.weight = 0.75, .targets = 7, .temperature = 1.5};
  TrainerConfig copy;
  copy.apply_json(config.to_json(), "copy");
  CHECK(copy.to_json() == config.to_json());
  CHECK(copy.seed == config.seed);
}

TEST_CASE("Unknown and ill-typed fields are named", "[training][trainer_config]") {
  CHECK(contains(error_of(R"({"epoch": 5})"), "train.json: epoch: no such field"));
  CHECK(contains(error_of(R"({"encoder": {"dim": 5}})"), "train.json: encoder.dim: no such field"));
  CHECK(contains(error_of(R"({"epochs": "5"})"), "epochs: expected an integer of at least 0, found \"5\""));
  CHECK(contains(error_of(R"({"epochs": -5})"), "epochs"));
  CHECK(contains(error_of(R"({"epochs": 1.5})"), "epochs"));
  CHECK(contains(error_of(R"({"adam": {"beta1": true}})"), "adam.beta1: expected a number"));
  CHECK(contains(error_of(R"({"encoder": {"activation": "elu"}})"), "expected one of relu, gelu, silu, tanh, sigmoid"));
  CHECK(contains(error_of(R"({"exclude_seen": 1})"), "expected true or false"));
  CHECK(contains(error_of(R"({"encoder": 5})"), "encoder: expected an object"));
  CHECK(contains(error_of(R"({"epochs": 5, "epochs": 6})"), "epochs stands there twice"));
  CHECK(contains(error_of("[1]"), "expected a JSON object"));
  CHECK(contains(error_of("{\"epochs\": "), "train.json"));
}

TEST_CASE("Values out of range are refused by name", "[training][trainer_config]") {
  CHECK(contains(error_of(R"({"epochs": 0})"), "epochs"));
  CHECK(contains(error_of(R"({"patience": 0})"), "patience"));
  CHECK(contains(error_of(R"({"batch_sequences": 0})"), "batch_sequences"));
  CHECK(contains(error_of(R"({"gradient_slots": 0})"), "gradient_slots"));
  CHECK(contains(error_of(R"({"adam": {"learning_rate": 0}})"), "adam.learning_rate"));
  CHECK(contains(error_of(R"({"adam": {"beta1": 1}})"), "adam.beta1"));
  CHECK(contains(error_of(R"({"adam": {"learning_rate": 1, "weight_decay": 1}})"), "adam.weight_decay"));
  CHECK(contains(error_of(R"({"final_learning_rate": 1.5})"), "final_learning_rate"));
  CHECK(contains(error_of(R"({"encoder": {"embedding_dim": 0}})"), "embedding_dim"));
  CHECK(contains(error_of(R"({"encoder": {"mask": "bidirectional"}})"), "encoder.mask"));
  CHECK(contains(error_of(R"({"markov": {"decay": 0}})"), "markov.decay"));
  CHECK(contains(error_of(R"({"average": 1})"), "average"));
  CHECK(contains(error_of(R"({"overlap": 200})"), "overlap"));
  CHECK(contains(error_of(R"({"mask_probability": 0})"), "mask_probability"));
  CHECK(contains(error_of(R"({"item_dropout": 1})"), "item_dropout"));
  CHECK(contains(error_of(R"({"distillation": {"weight": 1.5}})"), "distillation.weight"));
  CHECK(contains(error_of(R"({"distillation": {"targets": 0}})"), "distillation.targets"));
  CHECK(contains(error_of(R"({"distillation": {"temperature": 0}})"), "distillation.temperature"));
  CHECK(contains(error_of(R"({"distillation": {"teacher": "model"}})"), "distillation.teacher: no such field"));
  CHECK(contains(error_of(R"({"event_weights": {"view": -1}})"), "event_weights"));
  CHECK(contains(error_of(R"({"event_weights": {"view": "1"}})"), "event_weights.view: expected a number"));
  CHECK(contains(error_of(R"({"objective": {"negatives": 0}})"), "objective.negatives"));
  CHECK(contains(error_of(R"({"encoder": {"time_buckets": 5}})"), "time_buckets must be 0 unless block is hstu"));
  CHECK(
      contains(error_of(R"({"encoder": {"block": "hstu", "mask": "bidirectional"}})"), "mask must be causal for hstu"));
  CHECK(contains(error_of(R"({"encoder": {"block": "hstu", "request_time": true}})"), "request_time"));
  CHECK(contains(error_of(R"({"encoder": {"mask_token": true}})"), "mask_token"));
  for (const char* served : {R"("norm_placement": "query")", R"("position_origin": "newest")",
                             R"("position_origin": "newest", "padding": "zeros")", R"("separate_outputs": true)"}) {
    CHECK(contains(error_of(std::string(R"({"encoder": {)").append(served).append("}}")), "one that training knows"));
  }
  CHECK(contains(error_of(R"({"popularity": {"window_days": -1}})"), "popularity.window_days"));
  CHECK(contains(error_of(R"({"item_knn": {"neighbours": 0}})"), "item_knn.neighbours"));
  CHECK(contains(error_of(R"({"ease": {"lambda": 0}})"), "ease.lambda"));
  CHECK(contains(error_of(R"({"ials": {"embedding_dim": 20}})"), "ials.embedding_dim"));
  CHECK(contains(error_of(R"({"ials": {"seed": 1}})"), "train.json: ials.seed: no such field"));
  CHECK(contains(error_of(R"({"counts": "slim"})"), "one of popularity, markov, item-knn, ease, ials, repeat"));
}

TEST_CASE("What a teacher cannot teach is refused", "[training][trainer_config]") {
  TrainerConfig config;
  config.teacher = make_encoder(config.encoder, 3);
  const auto refused = [&]() -> std::string {
    try {
      config.validate();
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::invalid_config);
      return error.what();
    }
    return {};
  };
  CHECK_NOTHROW(config.validate());
  config.objective.loss = GENERATE(LossKind::sampled_softmax, LossKind::bce, LossKind::gbce);
  CHECK(contains(refused(), "objective.loss must be softmax, as there is a teacher"));
  config.objective.loss = LossKind::softmax;
  config.counts_alone = true;
  CHECK(contains(refused(), "counts_alone must be false"));
  const EncoderConfig both_ways = TrainerConfig::preset("bert4rec").encoder;
  config.counts_alone = false;
  config.encoder = both_ways;
  CHECK(contains(refused(), "encoder.mask_token must be false"));
  config.encoder = {};
  config.teacher = make_encoder(both_ways, 3);
  CHECK(contains(refused(), "teacher must be causal"));
  EncoderConfig to_newest;
  to_newest.position_origin = PositionOrigin::newest;
  config.teacher = make_encoder(to_newest, 3);
  CHECK(contains(refused(), "teacher must be an encoder that training knows"));
}

TEST_CASE("Presets leave dropout and batches to the data", "[training][trainer_config]") {
  // `users` histories of 5 events over `items` items.
  const auto histories = [](std::size_t users, std::size_t items) {
    Histories made;
    auto ids = std::make_shared<IdMap>(IdKind::int64);
    for (std::size_t i = 0; i < items; ++i) ids->insert(i);
    made.item_ids = ids;
    for (std::size_t u = 0; u < users; ++u) {
      for (std::size_t i = 0; i < 5; ++i) made.items.push_back(static_cast<ItemHandle>((5 * u + i) % items));
      made.offsets.push_back(made.items.size());
    }
    return made;
  };
  const TrainerConfig preset = TrainerConfig::preset("default");
  REQUIRE(preset.adapt);

  const TrainerConfig large = preset.adapted_to(histories(6000, 100));
  CHECK(large.encoder.dropout == preset.encoder.dropout);
  CHECK(large.encoder.attention_dropout == preset.encoder.attention_dropout);
  CHECK(large.batch_sequences == preset.batch_sequences);

  const TrainerConfig small = preset.adapted_to(histories(1000, 500));  // 8 targets per item
  CHECK(small.encoder.dropout == 0.5);
  CHECK(small.encoder.attention_dropout == 0.5);
  CHECK(small.batch_sequences == 25);
  CHECK(small.adapted_to(histories(1000, 500)).to_json() == small.to_json());
  CHECK(preset.adapted_to(histories(10, 20)).batch_sequences == 16);

  const double between = preset.adapted_to(histories(1000, 60)).encoder.dropout;  // 67 per item
  CHECK(between > preset.encoder.dropout);
  CHECK(between < 0.5);

  // 149.96 per item: what would be raised is less than a rate can be.
  const TrainerConfig barely = preset.adapted_to(histories(3749, 100));
  CHECK(barely.encoder.attention_dropout == 0.0);
  CHECK_NOTHROW(barely.validate());

  TrainerConfig named = preset;
  named.apply_json(R"({"encoder": {"dropout": 0.3}})", "train.json");
  CHECK(named.adapted_to(histories(1000, 500)).encoder.dropout == 0.3);
  named = preset;
  named.apply_json(R"({"epochs": 5})", "train.json");
  CHECK(named.adapted_to(histories(1000, 500)).encoder.dropout == 0.5);
}

TEST_CASE("Presets are found by name", "[training][trainer_config]") {
  for (const char* name : {"sasrec-small", "default", "hstu-small", "hstu-large", "bert4rec"}) {
    const TrainerConfig config = TrainerConfig::preset(name);
    CHECK_NOTHROW(config.validate());
    CHECK(config.encoder.max_sequence_length == 200);
    TrainerConfig copy;
    copy.apply_json(config.to_json(), "copy");
    CHECK(copy.to_json() == config.to_json());
  }
  const EncoderConfig sasrec = TrainerConfig::preset("sasrec-small").encoder;
  CHECK((sasrec.block == BlockKind::sasrec && sasrec.embedding_dim == 64 && sasrec.num_blocks == 2));
  const EncoderConfig small = TrainerConfig::preset("hstu-small").encoder;
  CHECK((small.block == BlockKind::hstu && small.embedding_dim == 50 && small.num_blocks == 2));
  const EncoderConfig large = TrainerConfig::preset("hstu-large").encoder;
  CHECK((large.block == BlockKind::hstu && large.embedding_dim >= 50 && large.num_blocks == 8 && large.num_heads == 2));
  CHECK(TrainerConfig::preset("bert4rec").encoder.mask == AttentionMask::bidirectional);
  for (const char* name : {"popularity", "markov", "item-knn", "ease", "ials", "repeat"}) {
    const TrainerConfig config = TrainerConfig::preset(name);
    CHECK_NOTHROW(config.validate());
    CHECK(to_string(config.counts) == name);
    CHECK(config.counts_alone);
  }
  CHECK_THROWS_WITH(
      TrainerConfig::preset("sasrec-smal"),
      "preset: expected one of default, sasrec-small, hstu-small, hstu-large, bert4rec, popularity, markov, "
      "item-knn, ease, ials, repeat, found sasrec-smal");
}

}  // namespace attune
