// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>
#include <limits>

namespace attune::test {

// Watches operator new (a test program that links allocation_meter.cpp has its own) from construction on. One at a
// time.
class AllocationMeter {
 public:
  // Of `allowed` allocations; all further ones throw std::bad_alloc.
  explicit AllocationMeter(std::size_t allowed = std::numeric_limits<std::size_t>::max()) noexcept;
  ~AllocationMeter();
  AllocationMeter(const AllocationMeter&) = delete;
  AllocationMeter& operator=(const AllocationMeter&) = delete;

  std::size_t count() const noexcept;    // of allocations
  std::size_t largest() const noexcept;  // bytes of one allocation
  std::size_t peak() const noexcept;     // bytes allocated and not freed at once
};

}  // namespace attune::test
