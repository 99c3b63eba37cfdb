// SPDX-License-Identifier: Apache-2.0

// How near do the kernels come to what one core can do? One thread, at the level that ATTUNE_SIMD names or this CPU
// likes best. The matrix kernels of training, at the shapes of an encoder 64 wide over 200 tokens and of a softmax over
// 3,416 items, in full precision and with inputs rounded where the level can, against the peak of the same arithmetic
// ("peak_..."); multiply and add are two operations. The kernels of serving, on data that fits the second-level cache
// and on data that no cache holds, against reading as many bytes ("read").

#include <benchmark/benchmark.h>

#include <algorithm>
#include <attune/detail/kernels.hpp>
#include <attune/detail/training_pass.hpp>
#include <attune/model/workspace.hpp>
#include <cstdint>
#include <limits>
#include <random>
#include <span>
#include <vector>

#include "ceilings.hpp"

namespace {

using attune::Buffer;
using Table = attune::detail::KernelTable<float>;

std::span<float> filled(Buffer<float>& buffer, std::size_t count) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<float> uniform(-0.5f, 0.5f);
  const std::span<float> x = buffer.take(count);
  for (float& value : x) value = uniform(random);
  return x;
}

// Of one iteration: how many operations it did, or bytes it read.
void report(benchmark::State& state, double count, const char* of_what = "operations") {
  state.counters[of_what] = benchmark::Counter(count, benchmark::Counter::kIsIterationInvariantRate);
  state.SetLabel(attune::simd_level());
}

// C [m, n] = A * B over k; how A and B lie is `kProduct`'s affair.
template <Table::Matmul* Table::*kProduct>
void product(benchmark::State& state) {
  const auto m = static_cast<std::size_t>(state.range(0)), n = static_cast<std::size_t>(state.range(1)),
             k = static_cast<std::size_t>(state.range(2));
  const Table& kernels = attune::detail::kernels<float>();
  constexpr bool kTransposedA = kProduct == &Table::matmul_tn || kProduct == &Table::rounded_tn;
  constexpr bool kTransposedB = kProduct == &Table::matmul_nt || kProduct == &Table::rounded_nt;
  Buffer<float> buffers[3];
  const auto a = filled(buffers[0], m * k), b = filled(buffers[1], k * n), c = filled(buffers[2], m * n);
  for (auto _ : state) {
    (kernels.*kProduct)(c.data(), n, a.data(), kTransposedA ? m : k, b.data(), kTransposedB ? k : n, m, n, k, false);
    benchmark::ClobberMemory();
  }
  report(state, static_cast<double>(2 * m * n * k));
}

// Forward, and both gradients, of `positions`.
template <attune::detail::SoftmaxTable<float> Table::*kSoftmax>
void softmax(benchmark::State& state) {
  const auto positions = static_cast<std::size_t>(state.range(0)), rows = static_cast<std::size_t>(state.range(1)),
             dim = static_cast<std::size_t>(state.range(2));
  const auto& kernels = attune::detail::kernels<float>().*kSoftmax;
  Buffer<float> buffers[8];
  const auto table = filled(buffers[0], rows * dim), hidden = filled(buffers[1], positions * dim),
             shifts = filled(buffers[2], positions), d_table = filled(buffers[3], rows * dim);
  const auto packed = buffers[4].take(kernels.packed_size(rows, dim)),
             weights = buffers[5].take(kernels.weights_size(positions, rows)),
             d_hidden = buffers[6].take(hidden.size()), sums = buffers[7].take(positions);
  kernels.pack(packed.data(), table.data(), rows, dim);
  for (auto _ : state) {
    kernels.forward(d_hidden.data(), sums.data(), weights.data(), hidden.data(), packed.data(), 1.0f, shifts.data(),
                    positions, rows, dim);
    kernels.backward(d_table.data(), weights.data(), hidden.data(), positions, rows, dim);
    benchmark::ClobberMemory();
  }
  report(state, static_cast<double>(6 * positions * rows * dim));
}

constexpr std::size_t kDim = 64;

// Bytes that the caller walks through; the second-level cache holds the fewer.
constexpr std::int64_t kInCache = std::int64_t{1} << 19, kInMemory = std::int64_t{1} << 28;
void sizes(benchmark::internal::Benchmark* benchmark) { benchmark->ArgName("bytes")->Arg(kInCache)->Arg(kInMemory); }

void read(benchmark::State& state) {
  const std::vector<std::byte> bytes(static_cast<std::size_t>(state.range(0)), std::byte{1});
  const auto ahead = static_cast<std::size_t>(state.range(1));
  for (auto _ : state) benchmark::DoNotOptimize(ceilings::read(bytes, ahead));
  report(state, static_cast<double>(bytes.size()), "bytes");
}

void dot_rows(benchmark::State& state) {
  Buffer<float> buffers[3];
  const auto rows = filled(buffers[0], static_cast<std::size_t>(state.range(0)) / sizeof(float)),
             query = filled(buffers[1], kDim);
  const auto scores = buffers[2].take(kDim);
  for (auto _ : state) {
    for (std::size_t row = 0; row < rows.size() / kDim; row += kDim) {  // 64 at once, as the scan does
      attune::detail::kernels<float>().dot_rows(scores.data(), query.data(), rows.data() + row * kDim, kDim, kDim,
                                                kDim);
      benchmark::ClobberMemory();
    }
  }
  report(state, static_cast<double>(rows.size_bytes()), "bytes");
}

// No row passes.
template <Table::BoundRows* Table::*kBound, std::size_t kBits>
void bound(benchmark::State& state) {
  constexpr std::size_t kGroup = attune::detail::kCodedGroup, kBlock = kGroup * (kDim * kBits / 8 + 2);
  constexpr std::size_t kBlocksAtOnce = 16;
  constexpr float kNever = std::numeric_limits<float>::infinity();
  const std::size_t steps = static_cast<std::size_t>(state.range(0)) / (kBlock * kBlocksAtOnce);
  Buffer<std::uint8_t> buffer;
  const auto blocks = buffer.take(steps * kBlocksAtOnce * kBlock);
  std::ranges::fill(blocks, std::uint8_t{1});
  const std::vector<std::int8_t> codes(kDim, 1);
  const attune::detail::CodedQuery<float> query{codes.data(), kDim, 0, 1, 1, 1, 1, 1};
  std::vector<float> bounds(kBlocksAtOnce * kGroup);
  std::uint64_t passed[kBlocksAtOnce];
  for (auto _ : state) {
    for (std::size_t step = 0; step < steps; ++step) {
      const std::uint8_t* const at = blocks.data() + step * kBlocksAtOnce * kBlock;
      (attune::detail::kernels<float>().*kBound)(bounds.data(), passed, query, at, nullptr, nullptr, kNever,
                                                 bounds.size(), at + kBlocksAtOnce * kBlock);
      benchmark::ClobberMemory();
    }
  }
  report(state, static_cast<double>(blocks.size()), "bytes");
}

// 64 queries, none of which any row matches.
void match_int8(benchmark::State& state) {
  constexpr std::size_t kGroup = attune::detail::kCodedGroup, kBlock = kGroup * (kDim + 2), kQueries = 64;
  const std::size_t num_blocks = static_cast<std::size_t>(state.range(0)) / kBlock;
  Buffer<std::uint8_t> buffer;
  const auto blocks = buffer.take(num_blocks * kBlock);
  std::ranges::fill(blocks, std::uint8_t{1});
  const std::vector<std::int8_t> codes(kQueries * kDim, 1);
  const std::vector<std::int32_t> least(kQueries, std::numeric_limits<std::int32_t>::max());
  std::vector<attune::detail::CodedMatch> matches(kQueries * num_blocks);
  for (auto _ : state) {
    benchmark::DoNotOptimize(attune::detail::kernels<float>().match_int8(matches.data(), codes.data(), least.data(),
                                                                         kQueries, kDim, blocks.data(), num_blocks));
  }
  report(state, static_cast<double>(2 * kQueries * kDim * kGroup * num_blocks));
}

// One row attends to caches of 200 positions in two heads, one after the other.
template <bool kSilu, class S>
void attend(benchmark::State& state) {
  constexpr std::size_t kPositions = 200, kHeads = 2, kHeld = kPositions * kDim;
  constexpr std::size_t kKeys =
      (kPositions + attune::detail::kLanes - 1) / attune::detail::kLanes * attune::detail::kLanes * kDim;
  const std::size_t caches = static_cast<std::size_t>(state.range(0)) / ((kKeys + kHeld) * sizeof(S));
  std::vector<S> cached(caches * (kKeys + kHeld));  // 0: times do not depend on it
  Buffer<float> buffers[4];
  const auto query = filled(buffers[0], kDim), position_bias = filled(buffers[1], kHeads * kKeys);
  const auto out = buffers[2].take(kDim), scores = buffers[3].take((kHeads + 1) * kKeys);
  const attune::detail::CacheQueries<float> queries{query.data(), kDim, 1, kPositions, 0};
  const attune::detail::AttentionBias<float> bias{position_bias.data(), nullptr, nullptr};
  const float scale = 0.125f;
  const auto& kernels = attune::detail::kernels<float>();
  for (auto _ : state) {
    for (std::size_t i = 0; i < caches; ++i) {
      const S* const keys = cached.data() + i * (kKeys + kHeld);
      const std::size_t ahead = i + 1 < caches ? kKeys + kHeld : 0;
      const attune::detail::CachedRows<S> rows{keys, keys + kKeys, kHeads, kDim / kHeads, ahead};
      if constexpr (kSilu) {
        attune::detail::for_elements<S, float>(kernels.silu_attend_cached, kernels.silu_attend_rounded)(
            out.data(), queries, rows, &bias, kKeys, &scale, scores.data());
      } else {
        attune::detail::for_elements<S, float>(kernels.attend_cached, kernels.attend_rounded)(out.data(), queries, rows,
                                                                                              scale, scores.data());
      }
      benchmark::ClobberMemory();
    }
  }
  report(state, static_cast<double>(caches * 2 * kHeld * sizeof(S)), "bytes");
}

// Bytes read; as many again are written, but for the gradient.
void adam(benchmark::State& state) {
  const std::size_t count = static_cast<std::size_t>(state.range(0)) / (4 * sizeof(float));
  Buffer<float> buffers[4];
  const auto w = filled(buffers[0], count), m = filled(buffers[1], count), v = filled(buffers[2], count),
             g = filled(buffers[3], count);
  for (float& x : v) x *= x;
  const attune::detail::AdamStep<float> step{0.9f, 0.999f, 1e-8f, 1e-6f, 1, 0, 1};
  for (auto _ : state) {
    attune::detail::kernels<float>().adam(w.data(), m.data(), v.data(), g.data(), count, step);
    benchmark::ClobberMemory();
  }
  report(state, static_cast<double>(4 * count * sizeof(float)), "bytes");
}

void encoder_shapes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"m", "n", "k"})->Args({200, 64, 64})->Args({200, 192, 64})->Args({200, 256, 64});
}
void weight_shapes(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"m", "n", "k"})->Args({64, 64, 200})->Args({64, 192, 200})->Args({64, 256, 200});
}
void catalogues(benchmark::internal::Benchmark* benchmark) {
  benchmark->ArgNames({"positions", "rows", "dim"})->Args({64, 3'416, 64})->Args({128, 3'416, 64});
}

BENCHMARK(product<&Table::matmul_nn>)->Name("nn")->Apply(encoder_shapes);
BENCHMARK(product<&Table::rounded_nn>)->Name("rounded_nn")->Apply(encoder_shapes);
BENCHMARK(product<&Table::matmul_nt>)->Name("nt")->Apply(encoder_shapes);
BENCHMARK(product<&Table::rounded_nt>)->Name("rounded_nt")->Apply(encoder_shapes);
BENCHMARK(product<&Table::matmul_tn>)->Name("tn")->Apply(weight_shapes);
BENCHMARK(product<&Table::rounded_tn>)->Name("rounded_tn")->Apply(weight_shapes);
BENCHMARK(softmax<&Table::softmax_table>)->Name("softmax")->Apply(catalogues);
BENCHMARK(softmax<&Table::rounded_softmax_table>)->Name("rounded_softmax")->Apply(catalogues);

BENCHMARK(read)->ArgNames({"bytes", "ahead"})->ArgsProduct({{kInCache, kInMemory}, {0, 8192}});
BENCHMARK(dot_rows)->Apply(sizes);
BENCHMARK(bound<&Table::bound_int8, 8>)->Name("bound_int8")->Apply(sizes);
BENCHMARK(bound<&Table::bound_int4, 4>)->Name("bound_int4")->Apply(sizes);
BENCHMARK(match_int8)->Apply(sizes);
BENCHMARK(attend<false, float>)->Name("attend_cached")->Apply(sizes);
BENCHMARK(attend<false, std::uint16_t>)->Name("attend_rounded")->Apply(sizes);
BENCHMARK(attend<true, float>)->Name("silu_attend_cached")->Apply(sizes);
BENCHMARK(attend<true, std::uint16_t>)->Name("silu_attend_rounded")->Apply(sizes);
BENCHMARK(adam)->Apply(sizes);

// A peak is known for the arithmetic that the level has.
void add_peaks() {
#if defined(__x86_64__)
  const auto add = [](const char* name, double (*multiply_add)(std::size_t)) {
    benchmark::RegisterBenchmark(name, [=](benchmark::State& state) {
      constexpr std::size_t kRounds = 10'000;
      double operations = 0;
      for (auto _ : state) operations = multiply_add(kRounds);
      report(state, operations);
    });
  };
  if (ceilings::level_has("avx512")) {
    add("peak_float", ceilings::multiply_add_avx512<ceilings::Arithmetic::floats>);
  } else if (ceilings::level_has("avx2")) {
    add("peak_float", ceilings::multiply_add_avx2);
  }
  if (ceilings::level_has("avx512vnni")) {
    add("peak_bfloat16", ceilings::multiply_add_avx512<ceilings::Arithmetic::bfloat16>);
    add("peak_int8", ceilings::multiply_add_avx512<ceilings::Arithmetic::int8>);
  }
#endif
}

}  // namespace

int main(int argc, char** argv) {
  add_peaks();
  benchmark::Initialize(&argc, argv);
  benchmark::RunSpecifiedBenchmarks();
}
