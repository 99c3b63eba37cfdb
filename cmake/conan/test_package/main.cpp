// SPDX-License-Identifier: Apache-2.0
#include <attune/recommender.hpp>
#include <iostream>

int main() { std::cout << "attune " << attune::version() << " at level " << attune::simd_level() << '\n'; }
