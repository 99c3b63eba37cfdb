// SPDX-License-Identifier: Apache-2.0
#include "attune/model/embedding_table.hpp"

#include <algorithm>
#include <cstddef>

#include "catch.hpp"

namespace attune {
namespace {

TEST_CASE("new rows of an embedding table are zero and as wide as it", "[model][embedding_table]") {
  EmbeddingTable<float> table(3, 5);
  table.append_rows(2);
  REQUIRE(table.rows() == 5);
  for (std::size_t row = 0; row < table.rows(); ++row) {
    REQUIRE(table.row(row).size() == 5);
    CHECK(std::ranges::all_of(table.row(row), [](float element) { return element == 0.0f; }));
  }
}

TEST_CASE("rows keep their address and content while the table grows by chunks", "[model][embedding_table]") {
  EmbeddingTable<double> table(1, 3);
  table.row(0)[1] = 7.0;
  const double* const before = table.row(0).data();
  table.append_rows(3 * EmbeddingTable<double>::kChunkRows);
  CHECK(table.row(0).data() == before);
  CHECK(table.row(0)[1] == 7.0);
}

TEST_CASE("the chunks of an embedding table hold its rows once, in order", "[model][embedding_table]") {
  constexpr std::size_t kChunk = EmbeddingTable<float>::kChunkRows;
  EmbeddingTable<float> table(2 * kChunk + 3, 2);
  for (std::size_t row = 0; row < table.rows(); ++row) table.row(row)[1] = static_cast<float>(row);
  REQUIRE(table.num_chunks() == 3);
  CHECK(table.chunk(0).size() == 2 * kChunk);
  CHECK(table.chunk(2).size() == 6);
  CHECK(table.chunk(1)[1] == static_cast<float>(kChunk));
  CHECK(table.chunk(2)[5] == static_cast<float>(2 * kChunk + 2));
  CHECK(table.memory_bytes() == 3 * kChunk * 2 * sizeof(float));
}

TEST_CASE("an empty embedding table has no chunk", "[model][embedding_table]") {
  const EmbeddingTable<float> table(0, 8);
  CHECK(table.rows() == 0);
  CHECK(table.dim() == 8);
  CHECK(table.num_chunks() == 0);
}

}  // namespace
}  // namespace attune
