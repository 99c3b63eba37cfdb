// SPDX-License-Identifier: Apache-2.0
#include <atomic>
#include <cstdlib>
#include <new>
#include <vector>

#include "catch.hpp"
#include "random_encoder.hpp"

using namespace attune;
using namespace attune::test;

namespace {

std::atomic<std::size_t> allocations{0};

void* counted(std::size_t size, std::size_t alignment) {
  ++allocations;
  void* memory = std::aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
  if (memory == nullptr) throw std::bad_alloc();
  return memory;
}

}  // namespace

void* operator new(std::size_t size) { return counted(size, alignof(std::max_align_t)); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  return counted(size, alignof(std::max_align_t));
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  return counted(size, static_cast<std::size_t>(alignment));
}
void operator delete(void* memory) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { std::free(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { std::free(memory); }

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

  const std::size_t before = allocations;
  for (std::size_t n = 1; n <= items.size(); ++n) {
    const HistoryView history{std::span(items).first(n)};
    encoder.advance(state, history, workspace);
    encoder.user_vector(vector, state, {}, workspace);
    if (n % 7 == 0) encoder.encode(vector, history, {}, workspace);
  }
  CHECK(allocations - before == 0);

  encoder.make_state();
  CHECK(allocations - before > 0);  // the counter does count
}
