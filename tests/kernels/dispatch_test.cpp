// SPDX-License-Identifier: Apache-2.0
#include <algorithm>
#include <cstdlib>
#include <string>

#include "attune/detail/kernels.hpp"
#include "attune/error.hpp"
#include "catch.hpp"
#include "kernels/levels.hpp"

using namespace attune;
using Catch::Matchers::Contains;

TEST_CASE("The scalar level is always there and every level is complete", "[kernels][dispatch]") {
  const auto compiled = detail::compiled_levels(), supported = detail::supported_levels();
  REQUIRE_FALSE(supported.empty());
  CHECK(supported.front() == "scalar");
  for (const auto level : supported) {
    INFO(level);
    CHECK(std::count(compiled.begin(), compiled.end(), level) == 1);
    const auto& table = detail::kernels_of_level(level);
    CHECK(table.level == level);
    CHECK((table.matmul_nn && table.matmul_nt && table.matmul_tn && table.dot_rows && table.finish_scores));
    CHECK((table.rounded_nn && table.rounded_nt && table.rounded_tn));
    for (const auto* softmax : {&table.softmax_table, &table.rounded_softmax_table}) {
      CHECK((softmax->packed_size && softmax->weights_size && softmax->pack && softmax->forward && softmax->backward));
    }
    CHECK((table.layer_norm_forward && table.layer_norm_backward && table.softmax_forward && table.softmax_backward));
    CHECK((table.exp_sum && table.max && table.activation_forward && table.activation_backward));
    CHECK((table.add && table.scaled_add && table.scale && table.add_rows && table.sum_rows));
    CHECK((table.attend_cached && table.attend_rounded && table.adam && table.silu_attention_forward &&
           table.silu_attention_backward));
    CHECK((table.silu_attend_cached && table.silu_attend_rounded && table.scatter_add && table.multiply));
  }
}

TEST_CASE("The forced level is the active one, else the last supported", "[kernels][dispatch]") {
  const char* forced = std::getenv("ATTUNE_SIMD");
  const std::string expected = forced && *forced ? forced : std::string(detail::supported_levels().back());
  CHECK(detail::float_kernels().level == expected);
  CHECK(&detail::float_kernels() == &detail::kernels_of_level(expected));
}

TEST_CASE("A name that is no level is refused with those that are", "[kernels][dispatch]") {
  for (const char* name : {"", "AVX2", "avx2 ", "sse4", "reference"}) {
    try {
      detail::kernels_of_level(name);
      FAIL("accepted '" << name << "'");
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::invalid_argument);
      CHECK_THAT(error.what(), Contains("expected one of scalar, avx2, avx512, avx512vnni, amx, neon"));
    }
  }
}

TEST_CASE("A level that is not supported is refused with what is missing", "[kernels][dispatch]") {
  const auto supported = detail::supported_levels();
  for (const char* name : {"avx2", "avx512", "avx512vnni", "amx", "neon"}) {
    if (std::count(supported.begin(), supported.end(), name) == 1) continue;
    try {
      detail::kernels_of_level(name);
      FAIL("accepted " << name);
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::unsupported);
      CHECK_THAT(error.what(), Contains(std::string("ATTUNE_SIMD=") + name) && Contains("lacks"));
    }
  }
}
