// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <vector>

#include "attune/detail/kernels.hpp"
#include "catch.hpp"
#include "kernels/all_tables.hpp"
#include "kernels/guarded.hpp"

using namespace attune;
using namespace attune::test;

namespace {

using BoundRows = detail::KernelTable<float>::BoundRows* detail::KernelTable<float>::*;

// Blocks of as many bytes as the kernels read, not one more, and a query for them.
struct Coded {
  Coded(std::size_t width, std::size_t bits, std::size_t count)
      : blocks((count + 63) / 64 * (64 * width * bits / 8 + 128)), codes(width) {
    query = {codes.data(), width, -12345, 0x1.3p-9f, 0x1.7p-8f, 0x1.1p-7f, 0.013f, 1.7f};
  }
  std::vector<std::uint8_t> blocks;
  std::vector<std::int8_t> codes;
  detail::CodedQuery<float> query;
};

void compare(const Coded& coded, BoundRows kernel, std::size_t count, const float* norms, const float* additive,
             float threshold) {
  Guarded expected(count);
  std::vector<std::uint64_t> expected_bits((count + 63) / 64, 7);
  (kReference.*kernel)(expected.data(), expected_bits.data(), coded.query, coded.blocks.data(), norms, additive,
                       threshold, count, coded.blocks.data());
  for (const auto* kernels : all_tables()) {
    INFO(kernels->level << " width " << coded.query.width << " count " << count << " norms " << (norms != nullptr)
                        << " additive " << (additive != nullptr));
    Guarded bounds(count);
    std::vector<std::uint64_t> bits(expected_bits.size() + 1, 7);
    (kernels->*kernel)(bounds.data(), bits.data(), coded.query, coded.blocks.data(), norms, additive, threshold, count,
                       coded.blocks.data());
    CHECK(std::memcmp(bounds.data(), expected.data(), count * sizeof(float)) == 0);
    CHECK(bounds.intact());
    CHECK(std::equal(expected_bits.begin(), expected_bits.end(), bits.begin()));
    CHECK(bits.back() == 7);
  }
}

}  // namespace

TEST_CASE("Every level gives the bits of the reference bounds", "[kernels][bounds]") {
  Random random(1);
  const auto [kernel, bits] = GENERATE(std::pair{&detail::KernelTable<float>::bound_int8, std::size_t{8}},
                                       std::pair{&detail::KernelTable<float>::bound_int4, std::size_t{4}});
  for (const std::size_t width : Sizes{0, 8, 16, 24, 56, 64, 72, 128, 200}) {
    for (const std::size_t count : Sizes{0, 1, 7, 16, 63, 64, 65, 100, 200}) {
      Coded coded(width, bits, count);
      for (auto& byte : coded.blocks) byte = static_cast<std::uint8_t>(random.uniform(0, 256));
      for (auto& code : coded.codes) code = static_cast<std::int8_t>(random.uniform(-64, 65));
      Guarded norms(count, random, 0.1f, 10.0f), additive(count, random);
      for (const float threshold : {-kInfinity, 0.1f, 3.0f}) {
        compare(coded, kernel, count, nullptr, nullptr, threshold);
        compare(coded, kernel, count, nullptr, additive.data(), threshold);
        compare(coded, kernel, count, norms.data(), nullptr, threshold);
        compare(coded, kernel, count, norms.data(), additive.data(), threshold);
      }
    }
  }
}

TEST_CASE("Sums of codes do not saturate at the extremes", "[kernels][bounds]") {
  const auto [kernel, bits] = GENERATE(std::pair{&detail::KernelTable<float>::bound_int8, std::size_t{8}},
                                       std::pair{&detail::KernelTable<float>::bound_int4, std::size_t{4}});
  for (const int sign : {-1, 1}) {
    for (const std::size_t width : Sizes{8, 64, 256}) {
      Coded coded(width, bits, 64);
      std::ranges::fill(coded.blocks, std::uint8_t{255});
      std::ranges::fill(coded.codes, static_cast<std::int8_t>(64 * sign));
      const auto largest = static_cast<std::int32_t>(64 * ((1u << bits) - 1) * width);
      coded.query.offset = sign < 0 ? largest + 100 : 0;  // what a clipped sum would exceed
      compare(coded, kernel, 64, nullptr, nullptr, 0);
      coded.query = {coded.codes.data(), width, coded.query.offset, 1.0f / 255, 0, 0, 0, 1};
      Guarded bounds(64);
      std::uint64_t passed = 0;
      (detail::kernels<float>().*kernel)(bounds.data(), &passed, coded.query, coded.blocks.data(), nullptr, nullptr, 0,
                                         64, coded.blocks.data());
      CHECK(bounds[0] == Approx(sign < 0 ? 100.0f : static_cast<float>(largest)));
      CHECK(bounds[63] == bounds[0]);
    }
  }
}

TEST_CASE("Infinite terms make infinite bounds, and NaN never passes", "[kernels][bounds]") {
  const auto kernel = GENERATE(&detail::KernelTable<float>::bound_int8, &detail::KernelTable<float>::bound_int4);
  Coded coded(8, 8, 20);
  Guarded additive(20);
  additive[1] = kInfinity;
  additive[2] = -kInfinity;
  additive[3] = kNaN;
  for (const auto* kernels : all_tables()) {
    INFO(kernels->level);
    Guarded bounds(20);
    std::uint64_t passed = 0;
    (kernels->*kernel)(bounds.data(), &passed, coded.query, coded.blocks.data(), nullptr, additive.data(),
                       std::numeric_limits<float>::lowest(), 20, coded.blocks.data());
    CHECK(passed == ((1u << 20) - 1 - (1u << 2) - (1u << 3)));
    CHECK(bounds[1] == kInfinity);
    CHECK(bounds[2] == -kInfinity);
  }
}

TEST_CASE("Every level finds the rows that the reference finds for many queries at once", "[kernels][bounds]") {
  Random random(3);
  for (const std::size_t width : Sizes{8, 16, 56, 64, 72, 200}) {
    for (const std::size_t num_queries : Sizes{16, 32, 64}) {
      for (const std::size_t num_blocks : Sizes{0, 1, 3}) {
        std::vector<std::uint8_t> blocks(num_blocks * 64 * (width + 2));
        for (auto& byte : blocks) byte = static_cast<std::uint8_t>(random.uniform(0, 256));
        std::vector<std::int8_t> codes(num_queries * width);
        for (auto& code : codes) code = static_cast<std::int8_t>(random.uniform(-64, 65));
        const float spread = 40.0f * 256.0f * std::sqrt(static_cast<float>(width));
        std::vector<std::int32_t> least(num_queries);
        for (auto& sum : least) sum = static_cast<std::int32_t>(random.uniform(-0.5f * spread, 1.5f * spread));
        least[0] = std::numeric_limits<std::int32_t>::min();
        least[1] = std::numeric_limits<std::int32_t>::max();
        std::vector<detail::CodedMatch> expected(num_queries * num_blocks);
        expected.resize(kReference.match_int8(expected.data(), codes.data(), least.data(), num_queries, width,
                                              blocks.data(), num_blocks));
        for (const auto* kernels : all_tables()) {
          INFO(kernels->level << " width " << width << " queries " << num_queries << " blocks " << num_blocks);
          std::vector<detail::CodedMatch> found(num_queries * num_blocks + 1);
          found.back() = {7, 7, 7};
          const std::size_t count = kernels->match_int8(found.data(), codes.data(), least.data(), num_queries, width,
                                                        blocks.data(), num_blocks);
          REQUIRE(count == expected.size());
          if (count != 0) CHECK(std::memcmp(found.data(), expected.data(), count * sizeof(found[0])) == 0);
          CHECK(found.back().rows == 7);
        }
      }
    }
  }
}

TEST_CASE("Sums of many queries do not saturate at the extremes", "[kernels][bounds]") {
  for (const int sign : {-1, 1}) {
    const auto extreme = static_cast<std::int32_t>(64 * 255 * 64) * sign;
    const std::vector<std::uint8_t> blocks(64 * (64 + 2), std::uint8_t{255});
    const std::vector<std::int8_t> codes(16 * 64, static_cast<std::int8_t>(64 * sign));
    std::vector<std::int32_t> least(16, extreme + 1);
    least[3] = extreme;
    for (const auto* kernels : all_tables()) {
      INFO(kernels->level);
      std::vector<detail::CodedMatch> found(16);
      REQUIRE(kernels->match_int8(found.data(), codes.data(), least.data(), 16, 64, blocks.data(), 1) == 1);
      CHECK(found[0].query == 3);
      CHECK(found[0].block == 0);
      CHECK(found[0].rows == ~std::uint64_t{0});
    }
  }
}
