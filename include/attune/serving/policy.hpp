// SPDX-License-Identifier: Apache-2.0
#pragma once

// What a host wants of answers besides what the model says of them. Rules are compiled once (Recommender::compile) and
// handed in with requests (Request::policy), from any number of threads at once. All but caps are applied in the scan,
// before the k best are chosen. They follow the catalogue: the next request obeys what an upsert changed.

#include <cstddef>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "attune/version.hpp"

namespace attune::inline v0_1 {

namespace detail {
class CompiledPolicy;
}

// Adds `amount`, of at most 1e30 in size, to the score of every item that `filter` matches, whoever scores it; the
// score in the answer has it too.
struct Boost {
  std::string filter;
  float amount = 0;
};

// At most `most` items of a list, all its pages together, have the same name in a category field. An item with several
// names counts for each, one without is not capped.
struct Cap {
  std::string field;
  std::size_t most = 1;  // at least 1
};

// A filter is an expression over RecommenderOptions::item_fields:
//
//   genre = "Drama" and (price < 10 or not brand in ("a", 'b')) and year >= 1990
//
//   or, and, not, ( )        in this order of strength, weakest first; keywords in any case
//   field = value            has the name, equals the number;   field != value: of a category, has not the name
//   field < <= > >= value    of numbers; every comparison with a number that is missing is false, != too
//   field in (value, ...)    = one of them
//   has(field)               has a name or a number at all
//   "text", 'text'           with \" \' \\ for what would end it; numbers as in 1990, -0.5, 1e3
//
// At most 65,536 bytes, nested at most 64 deep.
struct PolicyRules {
  std::string filter = {};         // what an answer may hold; empty: everything
  std::vector<Boost> boosts = {};  // in the order in which they are added
  std::vector<Cap> caps = {};
};

// Rules ready for use: cheap to copy, immutable. One that was never compiled has no rules.
class ATTUNE_EXPORT Policy {
 public:
  Policy() = default;

 private:
  friend class Recommender;
  explicit Policy(std::shared_ptr<const detail::CompiledPolicy> compiled) : compiled_(std::move(compiled)) {}
  std::shared_ptr<const detail::CompiledPolicy> compiled_;
};

}  // namespace attune::inline v0_1
