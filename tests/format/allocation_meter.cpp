// SPDX-License-Identifier: Apache-2.0
#include "format/allocation_meter.hpp"

#include <malloc.h>

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <cstdlib>
#include <new>

namespace {

std::atomic<bool> watching = false;
std::atomic<std::size_t> allocations = 0, allowed_allocations = 0, largest_bytes = 0, peak_bytes = 0;
std::atomic<std::ptrdiff_t> live_bytes = 0;  // negative when what is freed was allocated before

void raise(std::atomic<std::size_t>& most, std::size_t value) {
  for (std::size_t before = most; value > before && !most.compare_exchange_weak(before, value);) {
  }
}

void* allocate(std::size_t size, std::size_t alignment = alignof(std::max_align_t)) {
  if (watching && ++allocations > allowed_allocations) throw std::bad_alloc();
  void* const memory =
      std::aligned_alloc(alignment, (std::max<std::size_t>(size, 1) + alignment - 1) / alignment * alignment);
  if (memory == nullptr) throw std::bad_alloc();
  if (watching) {
    const auto usable = static_cast<std::ptrdiff_t>(::malloc_usable_size(memory));
    raise(largest_bytes, size);
    raise(peak_bytes, static_cast<std::size_t>(std::max<std::ptrdiff_t>(live_bytes += usable, 0)));
  }
  return memory;
}

void release(void* memory) noexcept {
  if (watching && memory != nullptr) live_bytes -= static_cast<std::ptrdiff_t>(::malloc_usable_size(memory));
  std::free(memory);
}

}  // namespace

void* operator new(std::size_t size) { return allocate(size); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept {
  try {
    return allocate(size);
  } catch (const std::bad_alloc&) {
    return nullptr;
  }
}
void* operator new(std::size_t size, std::align_val_t alignment) {
  return allocate(size, static_cast<std::size_t>(alignment));
}
void* operator new[](std::size_t size) { return allocate(size); }
void operator delete(void* memory) noexcept { release(memory); }
void operator delete[](void* memory) noexcept { release(memory); }
void operator delete(void* memory, std::size_t) noexcept { release(memory); }
void operator delete[](void* memory, std::size_t) noexcept { release(memory); }
void operator delete(void* memory, std::align_val_t) noexcept { release(memory); }
void operator delete(void* memory, std::size_t, std::align_val_t) noexcept { release(memory); }

namespace attune::test {

AllocationMeter::AllocationMeter(std::size_t allowed) noexcept {
  allocations = 0;
  allowed_allocations = allowed;
  largest_bytes = 0;
  peak_bytes = 0;
  live_bytes = 0;
  watching = true;
}
AllocationMeter::~AllocationMeter() { watching = false; }
std::size_t AllocationMeter::count() const noexcept { return allocations; }
std::size_t AllocationMeter::largest() const noexcept { return largest_bytes; }
std::size_t AllocationMeter::peak() const noexcept { return peak_bytes; }

}  // namespace attune::test
