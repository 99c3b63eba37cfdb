// SPDX-License-Identifier: Apache-2.0
#include "kernels/avx512/bytes.hpp"

#include "kernels/families.hpp"
#include "kernels/generic/bounds.hpp"

namespace attune::inline v0_1::detail {
namespace {

struct DotBytes : Bytes {
  static DotBytes load(const std::uint8_t* p) { return {Bytes::load(p)}; }
  DotBytes masked(std::uint8_t mask) const { return {Bytes::masked(mask)}; }
  // As _mm512_dpbusd_epi32, for which g++ 12 copies the sums to and fro.
  static Sums multiply_add(Sums sums, DotBytes codes, __m512i query) {
    __asm__("vpdpbusd %2, %1, %0" : "+v"(sums) : "v"(codes.v), "v"(query));
    return sums;
  }
};

}  // namespace
}  // namespace attune::inline v0_1::detail

void attune::detail::avx512vnni::fill_bounds(KernelTable<float>& table) { set_bounds<DotBytes>(table); }
