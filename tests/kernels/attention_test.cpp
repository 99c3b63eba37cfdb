// SPDX-License-Identifier: Apache-2.0
#include <cmath>

#include "attune/detail/kernels.hpp"
#include "catch.hpp"
#include "kernels/guarded.hpp"

using namespace attune;
using namespace attune::test;

namespace {

std::size_t whole_blocks(std::size_t count) { return (count + detail::kLanes - 1) / detail::kLanes * detail::kLanes; }

// Keys and values of `count` positions; the rest of the last block of keys is NaN, as memory may hold anything there.
struct Cache {
  Cache(std::size_t count, std::size_t dim, Random& random, float size)
      : keys(whole_blocks(count) * dim, random, -size, size), values(count * dim, random) {
    for (std::size_t t = count; t < whole_blocks(count); ++t) {
      for (std::size_t d = 0; d < dim; ++d) key(t, d, dim) = kNaN;
    }
  }
  float& key(std::size_t t, std::size_t d, std::size_t dim) {
    return keys[(t / detail::kLanes * dim + d) * detail::kLanes + t % detail::kLanes];
  }
  Guarded keys, values;
};

void check(std::size_t count, std::size_t heads, std::size_t head_dim, float size) {
  INFO("count " << count << " heads " << heads << " head_dim " << head_dim << " size " << size);
  const std::size_t dim = heads * head_dim;
  Random random(count * 100 + dim);
  Cache cache(count, dim, random, size);
  Guarded query(dim, random), out(dim), scores(heads * whole_blocks(count));
  std::vector<double> expected(dim), wide_scores(scores.cols());
  detail::reference_kernels<double>().attend_cached(expected.data(), query.widened().data(),
                                                    cache.keys.widened().data(), cache.values.widened().data(), count,
                                                    heads, head_dim, 0.25, wide_scores.data());
  detail::kernels<float>().attend_cached(out.data(), query.data(), cache.keys.data(), cache.values.data(), count, heads,
                                         head_dim, 0.25f, scores.data());
  // The rounding of a logit is an absolute error of its exponent.
  CHECK(worst_error(out, expected, 4 * kEpsilon * (4.0 + size * static_cast<double>(head_dim))) <= 1.0);
  CHECK((out.intact() && scores.intact()));
}

}  // namespace

TEST_CASE("Attention over a cache is right at every length", "[kernels][attention]") {
  for (const std::size_t count : Sizes{0, 1, 2, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 79, 80, 81, 200, 333}) {
    check(count, 1, 64, 1.0f);
    check(count, 2, 32, 1.0f);
    check(count, 2, 25, 1.0f);
  }
}

TEST_CASE("Attention over a cache is right for every width of a head", "[kernels][attention]") {
  for (const std::size_t head_dim : Sizes{1, 3, 8, 16, 17, 48, 100, 128}) {
    check(37, 1, head_dim, 1.0f);
    check(37, 4, head_dim, 1.0f);
  }
}

TEST_CASE("Attention over a cache survives huge logits", "[kernels][attention]") { check(100, 2, 16, 1e5f); }

TEST_CASE("Attention over a cache is all on the largest of huge logits", "[kernels][attention]") {
  Guarded keys(detail::kLanes), scores(detail::kLanes);
  keys[1] = 1.2345e10f;
  const float query[] = {1.0f}, values[] = {2.0f, 3.0f};
  float out[1];
  detail::kernels<float>().attend_cached(out, query, keys.data(), values, 2, 1, 1, 0.3f, scores.data());
  CHECK(out[0] == 3.0f);
}

TEST_CASE("Attention over a cache shows a NaN that it sees", "[kernels][attention]") {
  for (const std::size_t position : Sizes{0, 16, 20}) {
    Random random(9);
    Cache cache(21, 32, random, 1.0f);
    cache.key(position, 3, 32) = kNaN;
    Guarded query(32, random), out(32), scores(2 * 32);
    detail::kernels<float>().attend_cached(out.data(), query.data(), cache.keys.data(), cache.values.data(), 21, 2, 16,
                                           0.25f, scores.data());
    for (std::size_t d = 0; d < 32; ++d) CHECK(std::isnan(out[d]) == (d < 16));
  }
}
