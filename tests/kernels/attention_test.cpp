// SPDX-License-Identifier: Apache-2.0
#include <bit>
#include <cmath>

#include "attune/detail/kernels.hpp"
#include "attune/detail/training_pass.hpp"
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

// The same in bfloat16, and what it is as double.
struct RoundedCache {
  explicit RoundedCache(const Guarded& exact) : rounded(exact.cols()), wide(exact.cols()) {
    for (std::size_t i = 0; i < exact.cols(); ++i) {
      rounded[i] = detail::to_bfloat16(exact.data()[i]);
      wide[i] = std::bit_cast<float>(std::uint32_t{rounded[i]} << 16);
    }
  }
  std::vector<std::uint16_t> rounded;
  std::vector<double> wide;
};

// Two queries of which the second sees one position more, both together and each alone, over a cache in float and in
// bfloat16; one(queries, cache, out, first) attends, wide(...) is the same in double.
template <class One, class Wide>
void check_queries(std::size_t count, std::size_t heads, std::size_t head_dim, float size, double tolerance, One one,
                   Wide wide) {
  const std::size_t dim = heads * head_dim, stride = dim + 3;
  Random random(count * 100 + dim);
  for (const std::size_t step : {0u, 1u}) {
    const std::size_t positions = count + step;
    const Cache cache(positions, dim, random, size);
    const RoundedCache keys(cache.keys), values(cache.values);
    const Guarded queries(stride + dim, random);
    const std::vector<double> wide_queries = queries.widened();
    const auto check_cache = [&](const auto& of_float, const auto& of_double) {
      Guarded out(2 * dim), first(dim), second(dim), scores(2 * (heads + 1) * whole_blocks(positions));
      std::vector<double> expected(2 * dim), wide_scores(scores.cols());
      wide(expected.data(), {wide_queries.data(), stride, 2, count, step}, of_double, wide_scores.data());
      one(out.data(), {queries.data(), stride, 2, count, step}, of_float, 0, scores.data());
      one(first.data(), {queries.data(), stride, 1, count, 0}, of_float, 0, scores.data());
      one(second.data(), {queries.data() + stride, stride, 1, positions, 0}, of_float, 1, scores.data());
      CHECK(worst_error(out, expected, tolerance) <= 1.0);
      CHECK((out.intact() && scores.intact()));
      CHECK(std::equal(first.data(), first.data() + dim, out.data()));
      CHECK(std::equal(second.data(), second.data() + dim, out.data() + dim));
    };
    const std::vector<double> wide_keys = cache.keys.widened(), wide_values = cache.values.widened();
    check_cache(detail::CachedRows<float>{cache.keys.data(), cache.values.data(), heads, head_dim},
                detail::CachedRows<double>{wide_keys.data(), wide_values.data(), heads, head_dim});
    check_cache(detail::CachedRows<std::uint16_t>{keys.rounded.data(), values.rounded.data(), heads, head_dim},
                detail::CachedRows<double>{keys.wide.data(), values.wide.data(), heads, head_dim});
  }
}

void check(std::size_t count, std::size_t heads, std::size_t head_dim, float size) {
  INFO("count " << count << " heads " << heads << " head_dim " << head_dim << " size " << size);
  // The rounding of a logit is an absolute error of its exponent.
  const double tolerance = 4 * kEpsilon * (4.0 + size * static_cast<double>(head_dim));
  check_queries(
      count, heads, head_dim, size, tolerance,
      [&]<class S>(float* out, const detail::CacheQueries<float>& queries, const detail::CachedRows<S>& cache,
                   std::size_t, float* scores) {
        const auto& kernels = detail::kernels<float>();
        detail::for_elements<S, float>(kernels.attend_cached, kernels.attend_rounded)(out, queries, cache, 0.25f,
                                                                                      scores);
      },
      [&](double* out, const detail::CacheQueries<double>& queries, const detail::CachedRows<double>& cache,
          double* scores) { detail::reference_kernels<double>().attend_cached(out, queries, cache, 0.25, scores); });
}

std::vector<std::uint8_t> random_gaps(std::size_t count, Random& random) {
  std::vector<std::uint8_t> gaps(count);
  for (std::size_t j = 0; j < count; ++j) {
    const bool stay = j > 0 && random.uniform(0, 1) < 0.7f;
    gaps[j] = stay ? gaps[j - 1] : static_cast<std::uint8_t>(random.uniform(0, 129));
  }
  return gaps;
}

// Every kind of bias, and none.
template <class Check>
void for_each_bias(std::size_t count, std::size_t heads, Check check_with) {
  Random random(count);
  const Guarded positions(heads * count, random), times(129, random);
  const std::vector<double> wide_positions = positions.widened(), wide_times = times.widened();
  const std::vector<std::uint8_t> gaps = random_gaps(count, random);
  for (const bool position : {false, true}) {
    for (const bool time : {false, true}) {
      INFO("count " << count << " position " << position << " time " << time);
      check_with(detail::AttentionBias<float>{position ? positions.data() : nullptr, times.data(),
                                              time ? gaps.data() : nullptr},
                 detail::AttentionBias<double>{position ? wide_positions.data() : nullptr, wide_times.data(),
                                               time ? gaps.data() : nullptr});
    }
  }
}

// Scores of up to `size`; the relative error of exp is that of its argument.
void check_silu_rows(std::size_t count, float size) {
  for_each_bias(count, 1, [&](const auto& bias, const auto& wide_bias) {
    Random random(count + 1);
    Guarded scores(count, random, -size, size), d(count, random);
    std::vector<double> expected = scores.widened(), expected_back = scores.widened(), expected_d = d.widened();
    Guarded again(count);
    std::copy_n(scores.data(), count, again.data());
    const auto reference = detail::reference_kernels<double>();
    reference.silu_attention_forward(expected.data(), wide_bias, 0.125, count);
    reference.silu_attention_backward(expected_d.data(), expected_back.data(), wide_bias, 0.125, count);
    detail::kernels<float>().silu_attention_forward(scores.data(), bias, 0.125f, count);
    detail::kernels<float>().silu_attention_backward(d.data(), again.data(), bias, 0.125f, count);
    const double tolerance = 4 * kEpsilon * (2.0 + static_cast<double>(size));
    CHECK(worst_error(scores, expected, tolerance) <= 1.0);
    CHECK(worst_error(again, expected_back, tolerance) <= 1.0);
    CHECK(worst_error(d, expected_d, tolerance) <= 1.0);
    CHECK((scores.intact() && again.intact() && d.intact()));
  });
}

void check_silu_cached(std::size_t count, std::size_t heads, std::size_t head_dim) {
  for_each_bias(count + 1, heads, [&](const auto& bias, const auto& wide_bias) {
    INFO("heads " << heads << " head_dim " << head_dim);
    // The second row has a scale and a time bias of its own.
    const std::vector<std::uint8_t> other_gaps(count + 1, 7);
    auto second = bias;
    auto wide_second = wide_bias;
    if (bias.gaps) second.gaps = wide_second.gaps = other_gaps.data();
    const detail::AttentionBias<float> biases[] = {bias, second};
    const detail::AttentionBias<double> wide_biases[] = {wide_bias, wide_second};
    const float scales[] = {0.25f, 0.5f};
    const double wide_scales[] = {0.25, 0.5};
    // A score of up to head_dim, times as many values as there are.
    const double size = static_cast<double>(count + 2) * static_cast<double>(head_dim);
    check_queries(
        count, heads, head_dim, 1.0f, kEpsilon * size,
        [&]<class S>(float* out, const detail::CacheQueries<float>& queries, const detail::CachedRows<S>& cache,
                     std::size_t first, float* scores) {
          const auto& kernels = detail::kernels<float>();
          detail::for_elements<S, float>(kernels.silu_attend_cached, kernels.silu_attend_rounded)(
              out, queries, cache, biases + first, count + 1, scales + first, scores);
        },
        [&](double* out, const detail::CacheQueries<double>& queries, const detail::CachedRows<double>& cache,
            double* scores) {
          detail::reference_kernels<double>().silu_attend_cached(out, queries, cache, wide_biases, count + 1,
                                                                 wide_scales, scores);
        });
  });
}

}  // namespace

TEST_CASE("Pointwise attention is right at every length, forward and backward", "[kernels][attention]") {
  for (std::size_t count = 0; count <= 257; ++count) check_silu_rows(count, 3.0f);
  check_silu_rows(200, 100.0f);
}

TEST_CASE("Pointwise attention over a cache is right at every length", "[kernels][attention]") {
  for (const std::size_t count : Sizes{0, 1, 2, 15, 16, 17, 31, 32, 33, 48, 63, 64, 65, 79, 80, 81, 200, 333}) {
    check_silu_cached(count, 1, 64);
    check_silu_cached(count, 2, 25);
  }
  for (const std::size_t head_dim : Sizes{1, 3, 8, 16, 17, 48, 100, 128}) check_silu_cached(37, 2, head_dim);
}

TEST_CASE("Sums by bucket are right at every length", "[kernels][attention]") {
  for (const std::size_t count : kLengths) {
    Random random(count);
    const Guarded d(count, random);
    const std::vector<std::uint8_t> gaps = random_gaps(count, random);
    Guarded sums(129, random);
    std::vector<double> expected = sums.widened();
    detail::reference_kernels<double>().scatter_add(expected.data(), d.widened().data(), gaps.data(), count);
    detail::kernels<float>().scatter_add(sums.data(), d.data(), gaps.data(), count);
    CHECK(worst_error(sums, expected, 100 * kEpsilon) <= 1.0);
    CHECK(sums.intact());
  }
}

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
  Guarded keys(detail::kLanes), scores(2 * detail::kLanes);
  keys[1] = 1.2345e10f;
  const float query[] = {1.0f}, values[] = {2.0f, 3.0f};
  float out[1];
  detail::kernels<float>().attend_cached(out, {query, 1, 1, 2, 0}, {keys.data(), values, 1, 1}, 0.3f, scores.data());
  CHECK(out[0] == 3.0f);
}

TEST_CASE("Attention over a cache shows a NaN that it sees", "[kernels][attention]") {
  for (const std::size_t position : Sizes{0, 16, 20}) {
    Random random(9);
    Cache cache(21, 32, random, 1.0f);
    cache.key(position, 3, 32) = kNaN;
    Guarded query(32, random), out(32), scores(3 * 32);
    detail::kernels<float>().attend_cached(out.data(), {query.data(), 32, 1, 21, 0},
                                           {cache.keys.data(), cache.values.data(), 2, 16}, 0.25f, scores.data());
    for (std::size_t d = 0; d < 32; ++d) CHECK(std::isnan(out[d]) == (d < 16));
  }
}
