// SPDX-License-Identifier: Apache-2.0
#pragma once

// AVX-512 and AMX on a CPU that has neither: found before the system's <immintrin.h>, which it includes, and then put
// in place of the intrinsics that src/kernels uses. What AVX2 has stays real, halves of a vector go through it, the
// rest is plain loops; tiles are in tiles.cpp. An intrinsic that is missing here does not compile.

#include_next <immintrin.h>

#include <cstddef>
#include <cstdint>

namespace attune::emulated {

#define ATTUNE_EMULATED static inline __attribute__((always_inline))

typedef float Floats16 __attribute__((vector_size(64)));
typedef std::int32_t Words16 __attribute__((vector_size(64)));
typedef std::uint32_t Bits16 __attribute__((vector_size(64)));
typedef std::int64_t Longs8 __attribute__((vector_size(64)));
typedef std::uint16_t Shorts32 __attribute__((vector_size(64)));

template <class To, class From>
ATTUNE_EMULATED To as(From x) {
  static_assert(sizeof(To) == sizeof(From));
  To y;
  __builtin_memcpy(&y, &x, sizeof(y));
  return y;
}

struct Halves {
  __m256 part[2];
};
template <class F, class... Vectors>
ATTUNE_EMULATED __m512 by_halves(F f, Vectors... x) {
  return as<__m512>(Halves{{f(as<Halves>(x).part[0]...), f(as<Halves>(x).part[1]...)}});
}
struct IntegerHalves {
  __m256i part[2];
};
template <class F, class... Vectors>
ATTUNE_EMULATED __m512i integers_by_halves(F f, Vectors... x) {
  return as<__m512i>(IntegerHalves{{f(as<IntegerHalves>(x).part[0]...), f(as<IntegerHalves>(x).part[1]...)}});
}

ATTUNE_EMULATED __m512 set1_ps(float x) { return as<__m512>(Floats16{x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x}); }

// What a mask leaves out is neither read nor written.
ATTUNE_EMULATED __m512 maskz_loadu_ps(__mmask16 mask, const void* from) {
  Floats16 x = {};
  for (int i = 0; i < 16; ++i) {
    if ((mask >> i & 1) != 0) {
      float value;
      __builtin_memcpy(&value, static_cast<const float*>(from) + i, sizeof(value));
      x[i] = value;
    }
  }
  return as<__m512>(x);
}
template <int kLanes, class Vector>
ATTUNE_EMULATED void store_lanes(void* to, unsigned mask, Vector x) {
  for (int i = 0; i < kLanes; ++i) {
    if ((mask >> i & 1) != 0) {
      const float value = x[i];
      __builtin_memcpy(static_cast<float*>(to) + i, &value, sizeof(value));
    }
  }
}
ATTUNE_EMULATED __m512 loadu_ps(const void* from) {
  __m512 x;
  __builtin_memcpy(&x, from, sizeof(x));
  return x;
}
ATTUNE_EMULATED __m512i loadu_si512(const void* from) {
  __m512i x;
  __builtin_memcpy(&x, from, sizeof(x));
  return x;
}
ATTUNE_EMULATED void storeu_ps(void* to, __m512 x) { __builtin_memcpy(to, &x, sizeof(x)); }
ATTUNE_EMULATED void storeu_si512(void* to, __m512i x) { __builtin_memcpy(to, &x, sizeof(x)); }

ATTUNE_EMULATED __m512 mask_mov_ps(__m512 otherwise, __mmask16 mask, __m512 x) {
  Floats16 y = as<Floats16>(otherwise);
  for (int i = 0; i < 16; ++i) {
    if ((mask >> i & 1) != 0) y[i] = as<Floats16>(x)[i];
  }
  return as<__m512>(y);
}

template <int kPredicate>
ATTUNE_EMULATED __mmask16 cmp_ps_mask(__m512 a, __m512 b) {
  const auto compare = [&](int half) {
    return _mm256_movemask_ps(_mm256_cmp_ps(as<Halves>(a).part[half], as<Halves>(b).part[half], kPredicate));
  };
  return static_cast<__mmask16>(compare(0) | compare(1) << 8);
}

// Rounds to an integer, which is what the immediates 0 (to nearest even) and 8 (without exceptions) ask for.
template <int kControl>
ATTUNE_EMULATED __m512 roundscale_ps(__m512 x) {
  static_assert(kControl == 8, "expected rounding to the nearest integer");
  return by_halves([](__m256 half) { return _mm256_round_ps(half, 8); }, x);
}

// a * 2^floor(b). Infinity and zero where that leaves the range, also for infinite b; NaN for NaN.
ATTUNE_EMULATED __m512 scalef_ps(__m512 a, __m512 b) {
  Floats16 y = as<Floats16>(a);
  for (int i = 0; i < 16; ++i) {
    const float exponent = __builtin_floorf(as<Floats16>(b)[i]);
    if (exponent != exponent) {
      y[i] = exponent;
    } else {
      y[i] = __builtin_ldexpf(y[i], exponent > 1000.0f    ? 1000
                                    : exponent < -1000.0f ? -1000
                                                          : static_cast<int>(exponent));
    }
  }
  return as<__m512>(y);
}

// Conversion to bfloat16: nearest even, denormals to zero, NaN quiet.
ATTUNE_EMULATED std::uint16_t to_bf16(float x) {
  const std::uint32_t bits = as<std::uint32_t>(x), size = bits & 0x7fffffffu;
  if (size > 0x7f800000u) return static_cast<std::uint16_t>(bits >> 16 | 0x40u);
  if (size < 0x00800000u) return static_cast<std::uint16_t>(bits >> 16 & 0x8000u);
  return static_cast<std::uint16_t>((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}
ATTUNE_EMULATED __m512bh cvtne2ps_pbh(__m512 upper, __m512 lower) {
  Shorts32 y;
  for (int i = 0; i < 16; ++i) {
    y[i] = to_bf16(as<Floats16>(lower)[i]);
    y[16 + i] = to_bf16(as<Floats16>(upper)[i]);
  }
  return as<__m512bh>(y);
}

// a * b + c in one rounding, with denormal inputs and outputs taken for zero of their sign.
ATTUNE_EMULATED __m256 without_denormals(__m256 x) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  const __m256 normal = _mm256_cmp_ps(_mm256_andnot_ps(sign, x), _mm256_set1_ps(0x1p-126f), _CMP_NLT_UQ);
  return _mm256_and_ps(x, _mm256_or_ps(normal, sign));
}
ATTUNE_EMULATED __m512 flushing_fma(__m512 a, __m512 b, __m512 c) {
  return by_halves(
      [](__m256 x, __m256 y, __m256 z) {
        return without_denormals(_mm256_fmadd_ps(without_denormals(x), without_denormals(y), without_denormals(z)));
      },
      a, b, c);
}
ATTUNE_EMULATED __m512 even_bf16(__m512i pairs) { return as<__m512>(as<Bits16>(pairs) << 16); }
ATTUNE_EMULATED __m512 odd_bf16(__m512i pairs) { return as<__m512>(as<Bits16>(pairs) & 0xffff0000u); }

// The odd products are added before the even ones.
ATTUNE_EMULATED __m512 dpbf16_ps(__m512 sum, __m512bh a, __m512bh b) {
  const __m512i x = as<__m512i>(a), y = as<__m512i>(b);
  return flushing_fma(even_bf16(x), even_bf16(y), flushing_fma(odd_bf16(x), odd_bf16(y), sum));
}

template <int kControl>
ATTUNE_EMULATED __m512i shuffle_i32x4(__m512i a, __m512i b) {
  const Longs8 x = as<Longs8>(a), y = as<Longs8>(b);
  Longs8 z;
  for (int lane = 0; lane < 4; ++lane) {
    const int from = kControl >> (2 * lane) & 3;
    for (int i = 0; i < 2; ++i) z[2 * lane + i] = lane < 2 ? x[2 * from + i] : y[2 * from + i];
  }
  return as<__m512i>(z);
}
ATTUNE_EMULATED __m512i permutexvar_epi16(__m512i indices, __m512i x) {
  Shorts32 y;
  for (int i = 0; i < 32; ++i) y[i] = as<Shorts32>(x)[as<Shorts32>(indices)[i] & 31];
  return as<__m512i>(y);
}

ATTUNE_EMULATED __m512 cvtepi32_ps(__m512i x) { return as<__m512>(__builtin_convertvector(as<Words16>(x), Floats16)); }

ATTUNE_EMULATED __mmask16 cmpge_epi32(__m512i a, __m512i b) {
  unsigned mask = 0;
  for (unsigned i = 0; i < 16; ++i) mask |= unsigned{as<Words16>(a)[i] >= as<Words16>(b)[i]} << i;
  return static_cast<__mmask16>(mask);
}

// Sums of 4 products of unsigned bytes with signed ones, added without saturation.
ATTUNE_EMULATED __m512i dpbusd_epi32(__m512i sums, __m512i a, __m512i b) {
  Words16 y = as<Words16>(sums);
  for (int i = 0; i < 16; ++i) {
    for (int byte = 0; byte < 4; ++byte) {
      y[i] += static_cast<std::int32_t>(as<Bits16>(a)[i] >> (8 * byte) & 255u) *
              static_cast<std::int8_t>(as<Bits16>(b)[i] >> (8 * byte) & 255u);
    }
  }
  return as<__m512i>(y);
}

ATTUNE_EMULATED __m256i maskz_loadu_epi16(__mmask16 mask, const void* from) {
  std::uint16_t words[16] = {};
  for (int i = 0; i < 16; ++i) {
    if ((mask >> i & 1) != 0)
      __builtin_memcpy(words + i, static_cast<const std::uint16_t*>(from) + i, sizeof(words[i]));
  }
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(words));
}
ATTUNE_EMULATED __m512i cvtepu16_epi32(__m256i words) {
  std::uint16_t from[16];
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(from), words);
  Words16 y;
  for (int i = 0; i < 16; ++i) y[i] = from[i];
  return as<__m512i>(y);
}
ATTUNE_EMULATED __m512i cvtepu8_epi32(__m128i bytes) {
  struct Bytes16 {
    std::uint8_t value[16];
  };
  Words16 y;
  for (int i = 0; i < 16; ++i) y[i] = as<Bytes16>(bytes).value[i];
  return as<__m512i>(y);
}
template <int kScale>
ATTUNE_EMULATED __m512 i32gather_ps(__m512i indices, const void* from) {
  Floats16 y;
  for (int i = 0; i < 16; ++i) {
    float value;
    const std::ptrdiff_t offset = static_cast<std::ptrdiff_t>(as<Words16>(indices)[i]) * kScale;
    __builtin_memcpy(&value, static_cast<const unsigned char*>(from) + offset, sizeof(value));
    y[i] = value;
  }
  return as<__m512>(y);
}

#undef ATTUNE_EMULATED

// In tiles.cpp. They throw where the hardware would fault.
void load_config(const void* config);
void release_tiles();
void zero_tile(int tile);
void load_tile(int tile, const void* from, std::size_t stride);
void store_tile(int tile, void* to, std::size_t stride);
void multiply_bf16(int sums, int left, int right);
void multiply_bytes(int sums, int left, int right);

}  // namespace attune::emulated

#define ATTUNE_BY_HALVES(name, ...) \
  attune::emulated::by_halves([](auto... half) { return _mm256_##name(half...); }, __VA_ARGS__)
#define ATTUNE_INTEGERS_BY_HALVES(name, ...) \
  attune::emulated::integers_by_halves([](auto... half) { return _mm256_##name(half...); }, __VA_ARGS__)

#undef _mm512_set1_ps
#undef _mm512_set1_epi32
#undef _mm512_setzero_ps
#undef _mm512_setzero_si512
#undef _mm512_loadu_ps
#undef _mm512_loadu_si512
#undef _mm512_maskz_loadu_ps
#undef _mm512_storeu_ps
#undef _mm512_storeu_si512
#undef _mm512_mask_storeu_ps
#undef _mm256_mask_storeu_ps
#undef _mm512_mask_mov_ps
#undef _mm512_cmp_ps_mask
#define _mm512_set1_ps(x) attune::emulated::set1_ps(x)
#define _mm512_set1_epi32(x) attune::emulated::as<__m512i>(attune::emulated::Words16{} + (x))
#define _mm512_setzero_ps() \
  __m512 {}
#define _mm512_setzero_si512() \
  __m512i {}
#define _mm512_loadu_ps(from) attune::emulated::loadu_ps(from)
#define _mm512_loadu_si512(from) attune::emulated::loadu_si512(from)
#define _mm512_maskz_loadu_ps(mask, from) attune::emulated::maskz_loadu_ps(mask, from)
#define _mm512_storeu_ps(to, x) attune::emulated::storeu_ps(to, x)
#define _mm512_storeu_si512(to, x) attune::emulated::storeu_si512(to, x)
#define _mm512_mask_storeu_ps(to, mask, x) attune::emulated::store_lanes<16>(to, mask, x)
#define _mm256_mask_storeu_ps(to, mask, x) attune::emulated::store_lanes<8>(to, mask, x)
#define _mm512_mask_mov_ps(otherwise, mask, x) attune::emulated::mask_mov_ps(otherwise, mask, x)
#define _mm512_cmp_ps_mask(a, b, predicate) attune::emulated::cmp_ps_mask<predicate>(a, b)

#undef _mm512_add_ps
#undef _mm512_sub_ps
#undef _mm512_mul_ps
#undef _mm512_div_ps
#undef _mm512_min_ps
#undef _mm512_max_ps
#undef _mm512_sqrt_ps
#undef _mm512_fmadd_ps
#undef _mm512_roundscale_ps
#undef _mm512_scalef_ps
#define _mm512_add_ps(a, b) ATTUNE_BY_HALVES(add_ps, a, b)
#define _mm512_sub_ps(a, b) ATTUNE_BY_HALVES(sub_ps, a, b)
#define _mm512_mul_ps(a, b) ATTUNE_BY_HALVES(mul_ps, a, b)
#define _mm512_div_ps(a, b) ATTUNE_BY_HALVES(div_ps, a, b)
#define _mm512_min_ps(a, b) ATTUNE_BY_HALVES(min_ps, a, b)
#define _mm512_max_ps(a, b) ATTUNE_BY_HALVES(max_ps, a, b)
#define _mm512_sqrt_ps(a) ATTUNE_BY_HALVES(sqrt_ps, a)
#define _mm512_fmadd_ps(a, b, c) ATTUNE_BY_HALVES(fmadd_ps, a, b, c)
#define _mm512_roundscale_ps(x, control) attune::emulated::roundscale_ps<control>(x)
#define _mm512_scalef_ps(a, b) attune::emulated::scalef_ps(a, b)

#undef _mm512_castsi512_ps
#undef _mm512_castps_si512
#undef _mm512_castps512_ps256
#undef _mm512_extractf32x8_ps
#undef _mm512_slli_epi32
#undef _mm512_unpacklo_epi16
#undef _mm512_unpackhi_epi16
#undef _mm512_unpacklo_epi32
#undef _mm512_unpackhi_epi32
#undef _mm512_unpacklo_epi64
#undef _mm512_unpackhi_epi64
#undef _mm512_shuffle_i32x4
#undef _mm512_permutexvar_epi16
#define _mm512_castsi512_ps(x) attune::emulated::as<__m512>(x)
#define _mm512_castps_si512(x) attune::emulated::as<__m512i>(x)
#define _mm512_castps512_ps256(x) attune::emulated::as<attune::emulated::Halves>(x).part[0]
#define _mm512_extractf32x8_ps(x, half) attune::emulated::as<attune::emulated::Halves>(x).part[half]
#define _mm512_slli_epi32(x, count) \
  attune::emulated::as<__m512i>(attune::emulated::as<attune::emulated::Bits16>(x) << (count))
#define _mm512_unpacklo_epi16(a, b) ATTUNE_INTEGERS_BY_HALVES(unpacklo_epi16, a, b)
#define _mm512_unpackhi_epi16(a, b) ATTUNE_INTEGERS_BY_HALVES(unpackhi_epi16, a, b)
#define _mm512_unpacklo_epi32(a, b) ATTUNE_INTEGERS_BY_HALVES(unpacklo_epi32, a, b)
#define _mm512_unpackhi_epi32(a, b) ATTUNE_INTEGERS_BY_HALVES(unpackhi_epi32, a, b)
#define _mm512_unpacklo_epi64(a, b) ATTUNE_INTEGERS_BY_HALVES(unpacklo_epi64, a, b)
#define _mm512_unpackhi_epi64(a, b) ATTUNE_INTEGERS_BY_HALVES(unpackhi_epi64, a, b)
#define _mm512_shuffle_i32x4(a, b, control) attune::emulated::shuffle_i32x4<control>(a, b)
#define _mm512_permutexvar_epi16(indices, x) attune::emulated::permutexvar_epi16(indices, x)

#undef _mm512_cvtepi32_ps
#undef _mm512_and_si512
#undef _mm512_add_epi32
#undef _mm512_srai_epi32
#undef _mm512_maddubs_epi16
#undef _mm512_madd_epi16
#undef _mm512_dpbusd_epi32
#undef _mm512_cmpge_epi32_mask
#define _mm512_cvtepi32_ps(x) attune::emulated::cvtepi32_ps(x)
#define _mm512_and_si512(a, b) ATTUNE_INTEGERS_BY_HALVES(and_si256, a, b)
#define _mm512_add_epi32(a, b) ATTUNE_INTEGERS_BY_HALVES(add_epi32, a, b)
#define _mm512_srai_epi32(x, count) \
  attune::emulated::as<__m512i>(attune::emulated::as<attune::emulated::Words16>(x) >> (count))
#define _mm512_maddubs_epi16(a, b) ATTUNE_INTEGERS_BY_HALVES(maddubs_epi16, a, b)
#define _mm512_madd_epi16(a, b) ATTUNE_INTEGERS_BY_HALVES(madd_epi16, a, b)
#define _mm512_dpbusd_epi32(sums, a, b) attune::emulated::dpbusd_epi32(sums, a, b)
#define _mm512_cmpge_epi32_mask(a, b) attune::emulated::cmpge_epi32(a, b)

#undef _mm256_maskz_loadu_epi16
#undef _mm512_cvtepu16_epi32
#undef _mm512_cvtepu8_epi32
#undef _mm512_i32gather_ps
#define _mm256_maskz_loadu_epi16(mask, from) attune::emulated::maskz_loadu_epi16(mask, from)
#define _mm512_cvtepu16_epi32(words) attune::emulated::cvtepu16_epi32(words)
#define _mm512_cvtepu8_epi32(bytes) attune::emulated::cvtepu8_epi32(bytes)
#define _mm512_i32gather_ps(indices, from, scale) attune::emulated::i32gather_ps<scale>(indices, from)

#undef _mm512_cvtne2ps_pbh
#undef _mm512_dpbf16_ps
#define _mm512_cvtne2ps_pbh(upper, lower) attune::emulated::cvtne2ps_pbh(upper, lower)
#define _mm512_dpbf16_ps(sum, a, b) attune::emulated::dpbf16_ps(sum, a, b)

#undef _tile_loadconfig
#undef _tile_release
#undef _tile_zero
#undef _tile_loadd
#undef _tile_stored
#undef _tile_dpbf16ps
#undef _tile_dpbsud
#define _tile_loadconfig(config) attune::emulated::load_config(config)
#define _tile_release() attune::emulated::release_tiles()
#define _tile_zero(tile) attune::emulated::zero_tile(tile)
#define _tile_loadd(tile, from, stride) attune::emulated::load_tile(tile, from, stride)
#define _tile_stored(tile, to, stride) attune::emulated::store_tile(tile, to, stride)
#define _tile_dpbf16ps(sums, left, right) attune::emulated::multiply_bf16(sums, left, right)
#define _tile_dpbsud(sums, left, right) attune::emulated::multiply_bytes(sums, left, right)
