// SPDX-License-Identifier: Apache-2.0
#include <vector>

#include "catch.hpp"
#include "format/allocation_meter.hpp"
#include "random_encoder.hpp"

using namespace attune;
using namespace attune::test;

TEST_CASE("Serving allocates nothing once the workspace is warm", "[model][encoder]") {
  EncoderConfig config;
  config.embedding_dim = 32;
  config.inner_dim = 64;
  config.max_sequence_length = 50;
  const auto encoder = random_encoder<float>(config, 100);
  const std::vector<ItemHandle> items = random_items(300, 100, 1);
  auto state = encoder.make_state();
  Workspace workspace;
  std::vector<float> vector(encoder.dim());
  encoder.encode(vector, {std::span(items).first(50)}, {}, workspace);

  const AllocationMeter meter;
  for (std::size_t n = 1; n <= items.size(); ++n) {
    const HistoryView history{std::span(items).first(n)};
    encoder.advance(state, history, workspace);
    encoder.user_vector(vector, state, {}, workspace);
    if (n % 7 == 0) encoder.encode(vector, history, {}, workspace);
  }
  CHECK(meter.count() == 0);

  encoder.make_state();
  CHECK(meter.count() > 0);  // the counter does count
}
