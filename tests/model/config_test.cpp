// SPDX-License-Identifier: Apache-2.0
#include "attune/model/config.hpp"

#include <cmath>
#include <functional>
#include <string>
#include <vector>

#include "attune/error.hpp"
#include "catch.hpp"

using namespace attune;

namespace {

struct Refusal {
  std::string field;
  std::function<void(EncoderConfig&)> spoil;
};

std::string message_of(const EncoderConfig& config) {
  try {
    config.validate();
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::invalid_config);
    return error.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("The default configuration is valid", "[model][config]") { CHECK_NOTHROW(EncoderConfig{}.validate()); }

TEST_CASE("The limits themselves are valid", "[model][config]") {
  EncoderConfig config;
  config.embedding_dim = 4096;
  config.num_blocks = 64;
  config.num_heads = 64;
  config.inner_dim = 4096;
  config.max_sequence_length = 65536;
  config.hop = 65536;
  config.dropout = config.attention_dropout = 0.95;
  CHECK_NOTHROW(config.validate());
  config.embedding_dim = config.num_blocks = config.num_heads = config.inner_dim = config.max_sequence_length = 1;
  config.hop = 0;
  config.dropout = 0.0;
  config.attention_dropout = 1.0 / 512;
  config.layer_norm_epsilon = 1e-12;
  config.score = ScoreKind::dot;
  CHECK_NOTHROW(config.validate());
}

TEST_CASE("A value outside its limits is refused by the name of its field", "[model][config]") {
  const std::size_t huge = std::size_t{1} << 31;
  const std::vector<Refusal> refusals = {
      {"embedding_dim", [](auto& c) { c.embedding_dim = 0; }},
      {"embedding_dim", [](auto& c) { c.embedding_dim = 4098; }},
      {"num_blocks", [](auto& c) { c.num_blocks = 0; }},
      {"padding", [](auto& c) { c.padding = Padding::zeros; }},
      {"padding",
       [](auto& c) {
         c.padding = Padding::learned;
         c.position_origin = PositionOrigin::newest;
         c.mask = AttentionMask::bidirectional;
       }},
      {"padding",
       [](auto& c) {
         c.padding = Padding::learned;
         c.position_origin = PositionOrigin::newest;
         c.embedding_norm = true;
       }},
      {"padding",
       [](auto& c) {
         c.padding = Padding::learned;
         c.position_origin = PositionOrigin::newest;
         c.block = BlockKind::hstu;
       }},
      {"position_origin",
       [](auto& c) {
         c.position_origin = PositionOrigin::newest;
         c.mask = AttentionMask::bidirectional;
         c.mask_token = true;
       }},
      {"final_norm_epsilon", [](auto& c) { c.final_norm_epsilon = 2; }},
      {"num_blocks", [=](auto& c) { c.num_blocks = huge; }},
      {"num_heads", [](auto& c) { c.num_heads = 0; }},
      {"num_heads", [](auto& c) { c.num_heads = 3; }},
      {"num_heads", [=](auto& c) { c.num_heads = huge; }},
      {"inner_dim", [](auto& c) { c.inner_dim = 0; }},
      {"inner_dim", [](auto& c) { c.inner_dim = 4097; }},
      {"max_sequence_length", [](auto& c) { c.max_sequence_length = 0; }},
      {"max_sequence_length", [](auto& c) { c.max_sequence_length = 65537; }},
      {"hop", [](auto& c) { c.hop = c.max_sequence_length + 1; }},
      {"layer_norm_epsilon", [](auto& c) { c.layer_norm_epsilon = 0.0; }},
      {"layer_norm_epsilon", [](auto& c) { c.layer_norm_epsilon = NAN; }},
      {"layer_norm_epsilon", [](auto& c) { c.layer_norm_epsilon = INFINITY; }},
      {"dropout", [](auto& c) { c.dropout = -0.1; }},
      {"dropout", [](auto& c) { c.dropout = 1.0; }},
      {"dropout", [](auto& c) { c.dropout = NAN; }},
      {"dropout", [](auto& c) { c.dropout = 0.0019; }},
      {"attention_dropout", [](auto& c) { c.attention_dropout = 1e-300; }},
      {"attention_dropout", [](auto& c) { c.attention_dropout = 1.0; }},
      {"score", [](auto& c) { c.score = ScoreKind::count; }},
      {"score", [](auto& c) { c.score = ScoreKind::blend; }},
      {"temperature", [](auto& c) { c.temperature = 0.0; }},
      {"temperature", [](auto& c) { c.temperature = -1.0; }},
      {"temperature", [](auto& c) { c.temperature = NAN; }},
  };
  for (const Refusal& refusal : refusals) {
    EncoderConfig config;
    refusal.spoil(config);
    CHECK_THAT(message_of(config), Catch::Matchers::StartsWith("config: " + refusal.field + " must be "));
  }
}

TEST_CASE("A refusal says what is allowed and what was found", "[model][config]") {
  EncoderConfig config;
  config.num_heads = 3;
  CHECK(message_of(config) == "config: num_heads must be a divisor of embedding_dim (64), found 3");
  config = {};
  config.dropout = 1.5;
  CHECK(message_of(config) == "config: dropout must be 0, or 1/512 to 0.95 (it is rounded to 1/256), found 1.5");
  config.dropout = 0.0019;
  CHECK(message_of(config) == "config: dropout must be 0, or 1/512 to 0.95 (it is rounded to 1/256), found 0.0019");
}

TEST_CASE("The window keeps at most W events, slides by whole hops and never backwards", "[model][config]") {
  for (const std::size_t window : {1u, 7u, 20u}) {
    for (std::size_t hop = 1; hop <= window; ++hop) {
      for (std::size_t n = 0; n < 5 * window; ++n) {
        const std::size_t start = window_start(n, window, hop);
        REQUIRE(start % hop == 0);
        REQUIRE(n - start <= window);
        REQUIRE(n - start + hop > std::min(n, window));
        REQUIRE(start <= window_start(n + 1, window, hop));
      }
    }
  }
}

TEST_CASE("A hop of 0 stands for a quarter of the window", "[model][config]") {
  EncoderConfig config;
  config.max_sequence_length = 200;
  CHECK(config.effective_hop() == 50);
  config.max_sequence_length = 3;
  CHECK(config.effective_hop() == 1);
  config.hop = 2;
  CHECK(config.effective_hop() == 2);
}

TEST_CASE("What appending leaves valid is cacheable, and what training knows is trainable", "[model][config]") {
  EncoderConfig config;
  CHECK((config.cacheable() && config.trainable()));
  config.norm_placement = NormPlacement::query;
  CHECK((config.cacheable() && !config.trainable()));
  config.norm_placement = NormPlacement::post;
  config.position_origin = PositionOrigin::newest;
  CHECK((!config.cacheable() && !config.trainable()));
  config.absolute_positions = false;
  CHECK((config.cacheable() && !config.trainable()));
  config.padding = Padding::zeros;
  CHECK((!config.cacheable() && !config.trainable()));
  config = {};
  config.separate_outputs = true;
  CHECK((config.cacheable() && !config.trainable()));
}
