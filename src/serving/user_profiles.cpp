// SPDX-License-Identifier: Apache-2.0
#include "serving/user_profiles.hpp"

#include <cstring>
#include <mutex>
#include <utility>

#include "attune/error.hpp"

namespace attune::inline v0_1 {

// The text of an id, or the bytes of its number; empty, as no profile's, for one of the other kind.
class UserProfiles::Key {
 public:
  Key(const Id& id, IdKind kind) noexcept {
    if (kind == IdKind::string) text_ = id.text();
    if (kind == IdKind::string || !id.is_number()) return;
    const std::int64_t number = id.number();
    std::memcpy(bytes_, &number, sizeof number);
    text_ = {bytes_, sizeof bytes_};
  }
  Key(const Key&) = delete;
  Key& operator=(const Key&) = delete;
  operator std::string_view() const noexcept { return text_; }

 private:
  char bytes_[sizeof(std::int64_t)];
  std::string_view text_;
};

std::shared_ptr<const FeatureTable> read_profile(const Featurizer& featurizer, std::span<const FieldValue> record) {
  auto row = std::make_shared<FeatureTable>(featurizer.shapes());
  try {
    featurizer.apply(record, *row);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::invalid_data) throw;
    return nullptr;
  }
  return row;
}

Id UserProfiles::id_of(const std::string& key) const noexcept {
  if (users_ == IdKind::string) return Id(key);
  std::int64_t number = 0;
  std::memcpy(&number, key.data(), sizeof number);
  return Id(number);
}

std::size_t UserProfiles::bytes_of(std::string_view key, const KeptFields& fields) noexcept {
  constexpr std::size_t kNode = sizeof(std::string) + sizeof(Profile) + 4 * sizeof(void*);
  return kNode + key.size() + fields.memory_bytes();
}

bool UserProfiles::fits(std::string_view key, const KeptFields& fields) const noexcept {
  const auto known = profiles_.find(key);
  const std::size_t before = known == profiles_.end() ? 0 : known->second.bytes;
  return fields.empty() || bytes_ - before + bytes_of(key, fields) <= budget_bytes_;
}

KeptFields UserProfiles::of(const Id& user) const {
  const Key key(user, users_);
  const std::shared_lock lock(mutex_);
  const auto known = profiles_.find(std::string_view(key));
  return known == profiles_.end() ? KeptFields() : known->second.fields;
}

bool UserProfiles::has_room(const Id& user, const KeptFields& fields) const {
  const Key key(user, users_);
  const std::shared_lock lock(mutex_);
  return fits(key, fields);
}

bool UserProfiles::put(const Id& user, KeptFields fields) {
  const Key key(user, users_);
  const std::lock_guard lock(mutex_);
  if (!fits(key, fields)) return false;
  if (const auto known = profiles_.find(std::string_view(key)); known != profiles_.end()) {
    bytes_ -= known->second.bytes;
    profiles_.erase(known);
  }
  if (fields.empty()) return true;
  const std::size_t bytes = bytes_of(key, fields);
  profiles_.emplace(std::string_view(key), Profile{std::move(fields), bytes});
  bytes_ += bytes;
  return true;
}

std::shared_ptr<const FeatureTable> UserProfiles::row(const Id& user, const Featurizer& featurizer,
                                                      std::uint64_t generation) const {
  const Key key(user, users_);
  {
    const std::shared_lock lock(mutex_);
    const auto known = profiles_.find(std::string_view(key));
    if (known == profiles_.end()) return nullptr;
    if (known->second.generation == generation) return known->second.row;
  }
  const std::lock_guard lock(mutex_);
  const auto known = profiles_.find(std::string_view(key));
  if (known == profiles_.end()) return nullptr;
  Profile& profile = known->second;
  if (profile.generation != generation) {
    profile.row = read_profile(featurizer, profile.fields.values());
    profile.generation = generation;
  }
  return profile.row;
}

void UserProfiles::visit_users(const std::function<void(const Id&)>& visit) const {
  const std::shared_lock lock(mutex_);
  for (const auto& entry : profiles_) visit(id_of(entry.first));
}

void UserProfiles::visit_rows(const Featurizer& featurizer, std::uint64_t generation, const Visitor& visit) const {
  const std::lock_guard lock(mutex_);
  for (auto& [key, profile] : profiles_) {
    if (profile.generation != generation) {
      profile.row = read_profile(featurizer, profile.fields.values());
      profile.generation = generation;
    }
    if (profile.row) visit(id_of(key), *profile.row);
  }
}

}  // namespace attune::inline v0_1
