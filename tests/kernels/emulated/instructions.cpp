// SPDX-License-Identifier: Apache-2.0
#include "kernels/emulated/instructions.hpp"

#include <immintrin.h>

namespace attune::emulated {

void convert_to_bf16(std::uint16_t (&y)[32], const float (&upper)[16], const float (&lower)[16]) {
  _mm512_storeu_si512(y, as<__m512i>(_mm512_cvtne2ps_pbh(_mm512_loadu_ps(upper), _mm512_loadu_ps(lower))));
}
void dot_product(float (&sums)[16], const std::uint16_t (&a)[32], const std::uint16_t (&b)[32]) {
  _mm512_storeu_ps(sums, _mm512_dpbf16_ps(_mm512_loadu_ps(sums), as<__m512bh>(_mm512_loadu_si512(a)),
                                          as<__m512bh>(_mm512_loadu_si512(b))));
}
void dot_bytes(std::int32_t (&sums)[16], const std::uint8_t (&a)[64], const std::int8_t (&b)[64]) {
  _mm512_storeu_si512(sums,
                      _mm512_dpbusd_epi32(_mm512_loadu_si512(sums), _mm512_loadu_si512(a), _mm512_loadu_si512(b)));
}
void scale_by_power(float (&y)[16], const float (&x)[16], const float (&exponent)[16]) {
  _mm512_storeu_ps(y, _mm512_scalef_ps(_mm512_loadu_ps(x), _mm512_loadu_ps(exponent)));
}
void round_to_integer(float (&y)[16], const float (&x)[16]) {
  _mm512_storeu_ps(y, _mm512_roundscale_ps(_mm512_loadu_ps(x), _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
void interleave_halves(std::uint16_t (&low)[32], std::uint16_t (&high)[32], const std::uint16_t (&a)[32],
                       const std::uint16_t (&b)[32]) {
  _mm512_storeu_si512(low, _mm512_unpacklo_epi16(_mm512_loadu_si512(a), _mm512_loadu_si512(b)));
  _mm512_storeu_si512(high, _mm512_unpackhi_epi16(_mm512_loadu_si512(a), _mm512_loadu_si512(b)));
}
void shuffle_quarters(std::uint32_t (&y)[16], const std::uint32_t (&a)[16], const std::uint32_t (&b)[16]) {
  _mm512_storeu_si512(y, _mm512_shuffle_i32x4(_mm512_loadu_si512(a), _mm512_loadu_si512(b), 0xd8));
}

void configure(const std::uint8_t (&config)[64]) { _tile_loadconfig(config); }
void release() { _tile_release(); }
void load_tile_0(const void* from, std::uint64_t stride) { _tile_loadd(0, from, stride); }
void store_tile_0(void* to, std::uint64_t stride) { _tile_stored(0, to, stride); }
void zero_tile_0() { _tile_zero(0); }
void load_tile_1(const void* from, std::uint64_t stride) { _tile_loadd(1, from, stride); }
void load_tile_2(const void* from, std::uint64_t stride) { _tile_loadd(2, from, stride); }
void multiply_1_by_2_into_0() { _tile_dpbf16ps(0, 1, 2); }
void multiply_bytes_1_by_2_into_0() { _tile_dpbsud(0, 1, 2); }
void multiply_1_by_1_into_0() { _tile_dpbf16ps(0, 1, 1); }

}  // namespace attune::emulated
