// SPDX-License-Identifier: Apache-2.0
#pragma once

// A policy's rules, and which items its filters match: worked out once for all threads, brought up to date by what
// changed since.

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "attune/serving/catalogue.hpp"
#include "attune/serving/policy.hpp"
#include "serving/filter.hpp"
#include "serving/item_columns.hpp"

namespace attune::inline v0_1::detail {

class CompiledPolicy {
 public:
  // Throws Error(invalid_argument) for a filter that is none, an amount that is not finite, or a cap of 0 or of what is
  // no category field.
  CompiledPolicy(const PolicyRules& rules, std::shared_ptr<const Catalogue> catalogue);

  const Catalogue& catalogue() const noexcept { return *catalogue_; }
  bool has_filter() const noexcept { return filter_.has_value(); }
  std::span<const float> amounts() const noexcept { return amounts_; }  // of the boosts
  // Of the caps, the fields by number and the most items of one name.
  std::span<const std::size_t> capped_fields() const noexcept { return capped_fields_; }
  std::span<const std::size_t> caps() const noexcept { return caps_; }

  // The rest with this locked.
  std::mutex& mutex() const noexcept { return mutex_; }
  bool current(std::size_t groups) const noexcept { return groups <= groups_ && changes_ == catalogue_->changes(); }
  // For the items of `groups` groups at least. With the catalogue's columns locked.
  void refresh(const ItemColumns& columns, std::size_t groups) const;
  std::uint64_t changes() const noexcept { return changes_; }  // of the catalogue, that are in the bits
  std::span<const std::uint64_t> filter_bits() const noexcept { return filter_->bits; }
  std::span<const std::uint64_t> boost_bits(std::size_t boost) const noexcept { return boosts_[boost].bits; }

 private:
  void add_cap(const Cap& cap, const std::string& rule);

  struct Matches {
    explicit Matches(Filter what) : filter(std::move(what)) {}
    void update(const ItemColumns& columns, std::size_t group) { bits[group] = filter.matches(columns, group, names); }
    Filter filter;
    std::vector<std::uint32_t> names;  // numbers of those that the filter speaks of
    std::vector<std::uint64_t> bits;   // [groups]
  };
  template <class Visit>
  void for_each_filter(Visit&& visit) const;

  const std::shared_ptr<const Catalogue> catalogue_;
  std::vector<float> amounts_;
  std::vector<std::size_t> capped_fields_, caps_;
  mutable std::mutex mutex_;
  mutable std::optional<Matches> filter_;
  mutable std::vector<Matches> boosts_;
  mutable std::size_t groups_ = 0;
  mutable std::uint64_t changes_ = 0;
};

}  // namespace attune::inline v0_1::detail
