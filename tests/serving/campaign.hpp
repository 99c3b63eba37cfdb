// SPDX-License-Identifier: Apache-2.0
#pragma once

// What programs share that press a recommender for as long as they are told to.

#include <algorithm>
#include <atomic>
#include <charconv>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <iostream>
#include <vector>

#include "attune/recommender.hpp"

namespace attune::test {

// Argument `place` of the program, a whole number.
inline std::size_t argument(int argc, char** argv, int place, std::size_t otherwise) {
  std::size_t number = otherwise;
  if (argc > place) std::from_chars(argv[place], argv[place] + std::strlen(argv[place]), number);
  return number;
}

// What did not hold, from any thread.
class Expectations {
 public:
  void expect(bool holds, const char* what) noexcept {
    if (holds) return;
    ++failures_;
    const char* none = nullptr;
    first_.compare_exchange_strong(none, what);
  }
  // The exit status of the program.
  int report() const {
    if (failures_ == 0) return 0;
    std::cerr << failures_ << " times not so, first: " << first_ << '\n';
    return 1;
  }

 private:
  std::atomic<std::size_t> failures_ = 0;
  std::atomic<const char*> first_ = nullptr;
};

// What holds for every answer to a request for k items.
inline bool is_sound(const Answer& answer, std::size_t k) {
  std::vector<std::string_view> ids;
  for (const Recommendation& item : answer.items) {
    if (!std::isfinite(item.score)) return false;
    ids.push_back(item.item.text());
  }
  std::ranges::sort(ids);
  return ids.size() <= k && std::ranges::adjacent_find(ids) == ids.end() && !answer.model_version.empty();
}

}  // namespace attune::test
