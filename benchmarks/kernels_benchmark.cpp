// SPDX-License-Identifier: Apache-2.0

// How much arithmetic do the matrix kernels of training do in a second? One thread, at the level that ATTUNE_SIMD names
// or this CPU likes best, at the shapes of an encoder 64 wide over 200 tokens and of a softmax over 3,416 items; in
// full precision and with inputs rounded where the level can. Multiply and add are two operations.

#include <benchmark/benchmark.h>

#include <attune/detail/kernels.hpp>
#include <attune/model/workspace.hpp>
#include <cstdint>
#include <random>
#include <span>

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

void report(benchmark::State& state, std::size_t operations) {
  state.counters["operations"] =
      benchmark::Counter(static_cast<double>(operations), benchmark::Counter::kIsIterationInvariantRate);
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
  report(state, 2 * m * n * k);
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
  report(state, 6 * positions * rows * dim);
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

}  // namespace

BENCHMARK_MAIN();
