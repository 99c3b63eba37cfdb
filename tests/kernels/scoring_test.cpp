// SPDX-License-Identifier: Apache-2.0
#include <cmath>
#include <cstring>
#include <string>

#include "attune/detail/kernels.hpp"
#include "catch.hpp"
#include "kernels/all_tables.hpp"
#include "kernels/guarded.hpp"

using namespace attune;
using namespace attune::test;

namespace {

bool same_bits(const Guarded& x, const Guarded& y) {
  return std::memcmp(x.data(), y.data(), x.cols() * sizeof(float)) == 0;
}

// Values of very different sizes, so that another order of additions or a fused operation shows.
void spread(Guarded& x, Random& random) {
  for (std::size_t i = 0; i < x.rows(); ++i) {
    for (std::size_t j = 0; j < x.cols(); ++j) x(i, j) = random.uniform(-1, 1) * std::exp2(random.uniform(-20, 20));
  }
}

}  // namespace

TEST_CASE("Every level gives the bits of the reference dot product", "[kernels][scoring]") {
  Random random(1);
  for (const auto* kernels : all_tables()) {
    for (const std::size_t dim : Sizes{0, 16, 32, 48, 64, 80, 128, 256}) {
      for (const std::size_t count : Sizes{0, 1, 2, 3, 5, 7, 8, 9, 15, 16, 17, 23, 64, 65}) {
        INFO(kernels->level << " dim " << dim << " count " << count);
        Guarded query(dim), rows(count, dim, dim + 5), scores(count), expected(count);
        spread(query, random);
        spread(rows, random);
        kReference.dot_rows(expected.data(), query.data(), rows.data(), rows.ld(), dim, count);
        kernels->dot_rows(scores.data(), query.data(), rows.data(), rows.ld(), dim, count);
        CHECK(same_bits(scores, expected));
        CHECK(scores.intact());

        std::vector<std::uint32_t> backwards;
        for (std::size_t i = count; i-- > 0;) backwards.push_back(static_cast<std::uint32_t>(i));
        Guarded chosen(count), expected_chosen(count);
        for (std::size_t i = 0; i < count; ++i) expected_chosen[i] = expected[count - 1 - i];
        kernels->dot_rows_at(chosen.data(), query.data(), rows.data(), rows.ld(), dim, backwards.data(), count);
        CHECK(same_bits(chosen, expected_chosen));
        CHECK(chosen.intact());
      }
    }
  }
}

TEST_CASE("The dot product keeps zeros, denormals, infinities and NaN", "[kernels][scoring]") {
  const float denormal = 1e-40f;
  for (const auto* kernels : all_tables()) {
    INFO(kernels->level);
    Guarded query(16), rows(5, 16, 16), scores(5);
    for (std::size_t i = 0; i < 16; ++i) query[i] = 1.0f;
    for (std::size_t i = 0; i < 16; ++i) rows(1, i) = -0.0f;
    rows(2, 3) = denormal;
    rows(3, 15) = kInfinity;
    rows(4, 8) = kNaN;
    kernels->dot_rows(scores.data(), query.data(), rows.data(), 16, 16, 5);
    CHECK((scores[0] == 0.0f && !std::signbit(scores[0])));
    CHECK((scores[1] == 0.0f && !std::signbit(scores[1])));
    CHECK(scores[2] == denormal);
    CHECK(scores[3] == kInfinity);
    CHECK(std::isnan(scores[4]));
  }
}

TEST_CASE("Every level finishes scores with the bits of the reference", "[kernels][scoring]") {
  Random random(2);
  for (const auto* kernels : all_tables()) {
    for (const std::size_t count : Sizes{0, 1, 2, 7, 8, 9, 15, 16, 17, 31, 32, 33, 63, 64}) {
      for (const bool with_additive : {false, true}) {
        INFO(kernels->level << " count " << count << " additive " << with_additive);
        Guarded scores(count, random), additive(count, random);
        if (count > 2) scores[1] = scores[2] = -0.0f;
        Guarded expected = scores;
        const float* term = with_additive ? additive.data() : nullptr;
        const float threshold = 0.3f;
        const std::uint64_t passed = kReference.finish_scores(expected.data(), 1.7f, term, threshold, count);
        CHECK(kernels->finish_scores(scores.data(), 1.7f, term, threshold, count) == passed);
        CHECK(same_bits(scores, expected));
        CHECK(scores.intact());
      }
    }
  }
}

TEST_CASE("A score passes at the threshold, and NaN never does", "[kernels][scoring]") {
  for (const auto* kernels : all_tables()) {
    INFO(kernels->level);
    Guarded scores(20);
    scores[0] = 0.5f;
    scores[1] = kNaN;
    scores[2] = std::nextafter(0.5f, 0.0f);
    scores[18] = kInfinity;
    scores[19] = -kInfinity;
    CHECK(kernels->finish_scores(scores.data(), 1.0f, nullptr, 0.5f, 20) == ((1u << 0) | (1u << 18)));
    CHECK(kernels->finish_scores(scores.data(), 1.0f, nullptr, kNaN, 20) == 0);
    CHECK(kernels->finish_scores(scores.data(), 1.0f, nullptr, -kInfinity, 20) == ((1u << 20) - 1 - (1u << 1)));
  }
}
