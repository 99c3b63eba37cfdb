// SPDX-License-Identifier: Apache-2.0
#pragma once

// The emulated instructions on arrays, for tests that are compiled without them. Outputs first.

#include <cstdint>

namespace attune::emulated {

void convert_to_bf16(std::uint16_t (&y)[32], const float (&upper)[16], const float (&lower)[16]);
void dot_product(float (&sums)[16], const std::uint16_t (&a)[32], const std::uint16_t (&b)[32]);
void dot_bytes(std::int32_t (&sums)[16], const std::uint8_t (&a)[64], const std::int8_t (&b)[64]);
void scale_by_power(float (&y)[16], const float (&x)[16], const float (&exponent)[16]);
void round_to_integer(float (&y)[16], const float (&x)[16]);
void interleave_halves(std::uint16_t (&low)[32], std::uint16_t (&high)[32], const std::uint16_t (&a)[32],
                       const std::uint16_t (&b)[32]);
void shuffle_quarters(std::uint32_t (&y)[16], const std::uint32_t (&a)[16], const std::uint32_t (&b)[16]);  // 0xd8

void configure(const std::uint8_t (&config)[64]);
void release();
void load_tile_0(const void* from, std::uint64_t stride);
void store_tile_0(void* to, std::uint64_t stride);
void zero_tile_0();
void load_tile_1(const void* from, std::uint64_t stride);
void load_tile_2(const void* from, std::uint64_t stride);
void multiply_1_by_2_into_0();
void multiply_bytes_1_by_2_into_0();
void multiply_1_by_1_into_0();

}  // namespace attune::emulated
