// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <cstddef>

namespace attune::test {

// Watches operator new (a test program that links allocation_meter.cpp has its own) from construction on. One at a
// time.
class AllocationMeter {
 public:
  AllocationMeter() noexcept;
  ~AllocationMeter();
  AllocationMeter(const AllocationMeter&) = delete;
  AllocationMeter& operator=(const AllocationMeter&) = delete;

  std::size_t count() const noexcept;    // of allocations
  std::size_t largest() const noexcept;  // bytes of one allocation
  std::size_t peak() const noexcept;     // bytes allocated and not freed at once
};

}  // namespace attune::test
