// SPDX-License-Identifier: Apache-2.0
#include "attune/model/workspace.hpp"

#include <cstdint>
#include <utility>

#include "catch.hpp"

namespace attune {
namespace {

TEST_CASE("a buffer grows to the largest use and then stays where it is", "[model][workspace]") {
  Buffer<float> buffer;
  CHECK(buffer.memory_bytes() == 0);
  CHECK(buffer.take(0).empty());
  const float* const large = buffer.take(1000).data();
  CHECK(buffer.take(10).data() == large);
  CHECK(buffer.take(10).size() == 10);
  CHECK(buffer.take(1000).data() == large);
  CHECK(buffer.memory_bytes() == 1000 * sizeof(float));
}

TEST_CASE("the memory of a buffer begins at a cache line", "[model][workspace]") {
  for (const std::size_t count : {1u, 3u, 100u, 4097u}) {
    Buffer<double> buffer;
    CHECK(reinterpret_cast<std::uintptr_t>(buffer.take(count).data()) % 64 == 0);
  }
}

TEST_CASE("a moved buffer takes its memory along", "[model][workspace]") {
  Buffer<float> first;
  const float* const memory = first.take(8).data();
  Buffer<float> second(std::move(first));
  CHECK(second.data() == memory);
  Buffer<float> third;
  third = std::move(second);
  CHECK(third.data() == memory);
  CHECK(third.memory_bytes() == 8 * sizeof(float));
}

}  // namespace
}  // namespace attune
