// SPDX-License-Identifier: Apache-2.0
#pragma once

// What hosts said of items and users besides their ids, kept so that every model to come can read it. Not synchronised.

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "attune/model/featurizer.hpp"
#include "attune/types.hpp"

namespace attune::inline v0_1 {

// Whether a feature is read from a field of this name. A vector comes under the name of its feature, whatever columns
// of a file it was read from.
bool reads(const Featurizer& featurizer, std::string_view field) noexcept;

// Of one item or user.
class KeptFields {
 public:
  // The values of a field, which may stand there several times, take the place of earlier ones, and what is missing
  // (NaN, "", no numbers) takes a field away.
  void set(std::span<const FieldValue> changes);
  // Fields of another that are not there.
  void add_missing(const KeptFields& other);
  // Valid until a change.
  std::vector<FieldValue> values() const;
  bool empty() const noexcept { return fields_.empty(); }
  std::size_t memory_bytes() const noexcept;

  // [["age",25],["likes","Drama|War"],["poster",[0.5,1]]]; what is not UTF-8 becomes U+FFFD. parse() reads it, and
  // throws Error(corrupt_file) that says nothing of what stands there.
  std::string to_json() const;
  static KeptFields parse(std::string_view json);

 private:
  struct Field {
    std::string name;
    std::variant<std::string, double, std::vector<float>> value;
  };
  std::vector<Field> fields_;
};

class ItemContents {
 public:
  void set(ItemHandle item, std::span<const FieldValue> changes);
  // Valid until set().
  std::vector<FieldValue> of(ItemHandle item) const;
  bool has(ItemHandle item) const { return items_.contains(item); }
  std::vector<ItemHandle> items() const;  // of which something is known

 private:
  std::unordered_map<ItemHandle, KeptFields> items_;
};

}  // namespace attune::inline v0_1
