// SPDX-License-Identifier: Apache-2.0
#pragma once

// What hosts said of users, by id, beside the rows that the model which serves makes of it. Safe from any number of
// threads; whoever changes a profile in several steps holds a lock of his own.

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <shared_mutex>
#include <string>
#include <string_view>
#include <unordered_map>

#include "attune/data/feature_table.hpp"
#include "attune/model/featurizer.hpp"
#include "attune/types.hpp"
#include "serving/kept_fields.hpp"

namespace attune::inline v0_1 {

// Of a record, one row; null where a value is none of its feature's.
std::shared_ptr<const FeatureTable> read_profile(const Featurizer& featurizer, std::span<const FieldValue> record);

class UserProfiles {
 public:
  UserProfiles(IdKind users, std::size_t budget_bytes) : users_(users), budget_bytes_(budget_bytes) {}

  KeptFields of(const Id& user) const;
  // What is empty takes a profile away. False, and nothing changed, where the budget leaves no room.
  bool put(const Id& user, KeptFields fields);
  void erase(const Id& user) { put(user, {}); }
  // Everybody who has one, in any order; `visit` must not call this object.
  void visit_users(const std::function<void(const Id&)>& visit) const;
  bool has_room(const Id& user, const KeptFields& fields) const;

  // Of a known user, one row; null for others, and where a value is none of its feature's. Made once for a generation.
  std::shared_ptr<const FeatureTable> row(const Id& user, const Featurizer& featurizer, std::uint64_t generation) const;
  // Rows of everybody but those, in any order; `visit` must not call this object.
  using Visitor = std::function<void(const Id&, const FeatureTable&)>;
  void visit_rows(const Featurizer& featurizer, std::uint64_t generation, const Visitor& visit) const;

 private:
  struct Profile {
    KeptFields fields;
    std::size_t bytes = 0;
    std::shared_ptr<const FeatureTable> row = nullptr;
    std::uint64_t generation = 0;  // of the row; 0: none was made
  };
  struct Hash {
    using is_transparent = void;
    std::size_t operator()(std::string_view key) const noexcept { return std::hash<std::string_view>{}(key); }
  };
  using Profiles = std::unordered_map<std::string, Profile, Hash, std::equal_to<>>;
  class Key;
  static std::size_t bytes_of(std::string_view key, const KeptFields& fields) noexcept;
  bool fits(std::string_view key, const KeptFields& fields) const noexcept;  // with the mutex held
  Id id_of(const std::string& key) const noexcept;

  const IdKind users_;
  const std::size_t budget_bytes_;
  mutable std::shared_mutex mutex_;
  mutable Profiles profiles_;  // whose rows const members make
  std::size_t bytes_ = 0;
};

}  // namespace attune::inline v0_1
