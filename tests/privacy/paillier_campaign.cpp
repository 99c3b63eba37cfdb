// SPDX-License-Identifier: Apache-2.0

// Random sums of packed ciphertexts, all exact: SUMS of them under a key of 1,024 bits, which the library itself would
// refuse, and LONGER ones under a key of 3,072 bits.
//   paillier_campaign [SUMS [LONGER]]

#include <charconv>
#include <cstring>
#include <iostream>

#include "privacy/packed_sums.hpp"

namespace {

std::size_t argument(int count, char** arguments, int place, std::size_t otherwise) {
  if (place >= count) return otherwise;
  std::size_t number = otherwise;
  std::from_chars(arguments[place], arguments[place] + std::strlen(arguments[place]), number);
  return number;
}

bool exact(unsigned key_bits, std::size_t sums) {
  const std::size_t wrong = attune::test::wrong_packed_sums(key_bits, sums, 2);
  std::cout << key_bits << " bits: " << sums << " random packed sums, " << wrong << " of them wrong\n";
  return wrong == 0;
}

}  // namespace

int main(int count, char** arguments) {
  attune::detail::prepare_sodium();
  const bool short_keys = exact(1'024, argument(count, arguments, 1, 100));
  const bool long_keys = exact(3'072, argument(count, arguments, 2, 2));
  return short_keys && long_keys ? 0 : 1;
}
