// SPDX-License-Identifier: Apache-2.0
#include "format/allocation_meter.hpp"

#include <malloc.h>

#include <algorithm>
#include <cstdlib>
#include <new>

namespace {

bool watching = false;
std::size_t allocations = 0, largest_bytes = 0, peak_bytes = 0;
std::ptrdiff_t live_bytes = 0;  // negative when what is freed was allocated before

void* allocate(std::size_t size) {
  void* const memory = std::malloc(std::max<std::size_t>(size, 1));
  if (memory == nullptr) throw std::bad_alloc();
  if (watching) {
    ++allocations;
    largest_bytes = std::max(largest_bytes, size);
    live_bytes += static_cast<std::ptrdiff_t>(::malloc_usable_size(memory));
    peak_bytes = std::max(peak_bytes, static_cast<std::size_t>(std::max<std::ptrdiff_t>(live_bytes, 0)));
  }
  return memory;
}

void release(void* memory) noexcept {
  if (watching && memory != nullptr) live_bytes -= static_cast<std::ptrdiff_t>(::malloc_usable_size(memory));
  std::free(memory);
}

}  // namespace

void* operator new(std::size_t size) { return allocate(size); }
void* operator new(std::size_t size, const std::nothrow_t&) noexcept { return allocate(size); }
void* operator new[](std::size_t size) { return allocate(size); }
void operator delete(void* memory) noexcept { release(memory); }
void operator delete[](void* memory) noexcept { release(memory); }
void operator delete(void* memory, std::size_t) noexcept { release(memory); }
void operator delete[](void* memory, std::size_t) noexcept { release(memory); }

namespace attune::test {

AllocationMeter::AllocationMeter() noexcept {
  allocations = largest_bytes = peak_bytes = 0;
  live_bytes = 0;
  watching = true;
}
AllocationMeter::~AllocationMeter() { watching = false; }
std::size_t AllocationMeter::count() const noexcept { return allocations; }
std::size_t AllocationMeter::largest() const noexcept { return largest_bytes; }
std::size_t AllocationMeter::peak() const noexcept { return peak_bytes; }

}  // namespace attune::test
