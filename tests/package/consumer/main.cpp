// SPDX-License-Identifier: Apache-2.0
#include <attune/recommender.hpp>

#include <iostream>
#include <string>

double first_unit();
double second_unit();

int main() {
  try {
    attune::Recommender::open("there is no such directory");
    return 1;
  } catch (const attune::Error& error) {
    if (std::string(error.what()).find("there is no such directory") == std::string::npos) return 2;
  }
  if (first_unit() != second_unit()) return 3;
  std::cout << "attune " << attune::version() << " at level " << attune::simd_level() << '\n';
}
