// SPDX-License-Identifier: Apache-2.0

// What is known of users besides their events.

#include <algorithm>
#include <cmath>
#include <mutex>
#include <utility>

#include "attune/detail/top_k.hpp"
#include "attune/error.hpp"
#include "attune/serving/event_store.hpp"
#include "data/text.hpp"
#include "serving/recommender_impl.hpp"

namespace attune::inline v0_1 {
namespace {

[[noreturn]] void refuse_profile(const std::string& why) {
  throw Error(ErrorCode::invalid_argument, "upsert_user: " + why);
}

// Throws Error(invalid_argument) for what the model does not read, or reads otherwise.
void check_fields(std::span<const FieldValue> fields, const UserPrior* prior) {
  for (const FieldValue& value : fields) {
    const bool infinite = value.type() == FieldType::number && std::isinf(value.number());
    const bool bad = std::ranges::any_of(value.vector(), [](float number) { return !std::isfinite(number); });
    const std::string name = detail::in_quotes(value.field(), '"');
    if (infinite || bad) refuse_profile("field " + name + ": expected finite numbers, found others");
    if (prior != nullptr && !reads(prior->featurizer(), value.field())) {
      refuse_profile("expected fields that the model reads, found " + name);
    }
  }
  if (prior == nullptr) return;
  FeatureTable row(prior->featurizer().shapes());
  try {
    prior->featurizer().apply(fields, row);
  } catch (const Error& error) {
    if (error.code() != ErrorCode::invalid_data) throw;
    refuse_profile(error.what());
  }
}

// Each feature to unit length, side by side.
float cosine(const FeatureTable& a, const FeatureTable& b) noexcept {
  float sum = 0;
  std::size_t of_a = 0, of_b = 0;
  const auto length = [](const FeatureBlock& block) {
    float squares = 0;
    for (const float value : block.values) squares += value * value;
    return std::sqrt(squares);
  };
  for (std::size_t f = 0; f < a.num_features(); ++f) {
    const FeatureBlock x = a.of(0, f), y = b.of(0, f);
    const float lengths = length(x) * length(y);
    of_a += !x.missing();
    of_b += !y.missing();
    if (!(lengths > 0)) continue;
    float product = 0;
    for (std::size_t i = 0, j = 0; i < x.values.size() && j < y.values.size();) {
      const std::size_t of_x = x.columns.empty() ? i : x.columns[i], of_y = y.columns.empty() ? j : y.columns[j];
      if (of_x == of_y) product += x.values[i] * y.values[j];
      i += of_x <= of_y;
      j += of_y <= of_x;
    }
    sum += product / lengths;
  }
  return of_a == 0 || of_b == 0 ? 0.0f : sum / std::sqrt(static_cast<float>(of_a) * static_cast<float>(of_b));
}

}  // namespace

void Recommender::upsert_user(const User& user) { impl_->upsert(user); }

void Recommender::Impl::upsert(const User& user) {
  if (!users.accepts(user.id)) refuse_profile("expected the id of a user, found one that no user can have");
  check_fields(user.fields, current()->prior.get());
  const std::lock_guard lock(profiles_mutex);
  KeptFields fields = profiles.of(user.id);
  fields.set(user.fields);
  keep_profile(user.id, std::move(fields));
}

void Recommender::Impl::keep_profile(const Id& user, KeptFields fields) {
  if (!profiles.has_room(user, fields)) {
    throw Error(ErrorCode::limit_exceeded, "profiles: expected at most profile_budget_bytes, " +
                                               std::to_string(options.profile_budget_bytes) + ", found more");
  }
  if (options.event_store) options.event_store->put_profile(user, fields.empty() ? std::string() : fields.to_json());
  profiles.put(user, std::move(fields));
}

KeptFields Recommender::Impl::merge_profiles(const Id& from, const Id& to) {
  KeptFields before = profiles.of(to), merged = before;
  const KeptFields more = profiles.of(from);
  if (more.empty()) return before;
  merged.add_missing(more);
  keep_profile(to, std::move(merged));
  return before;
}

void Recommender::Impl::replay_profiles() {
  std::size_t left_out = 0;
  options.event_store->visit_profiles([&](const Id& user, std::string_view profile) {
    left_out += !users.accepts(user) || !profiles.put(user, KeptFields::parse(profile));
  });
  if (left_out == 0) return;
  log(LogLevel::warning, std::to_string(left_out) +
                             " stored profiles are not served: ids of another kind than the model's, or beyond "
                             "profile_budget_bytes");
}

void Recommender::Impl::profile_put(const Id& user, std::string_view profile) {
  const std::lock_guard lock(profiles_mutex);
  if (users.accepts(user)) profiles.put(user, profile.empty() ? KeptFields() : KeptFields::parse(profile));
}

const FeatureTable* Recommender::Impl::profile_of(const Snapshot& now, const Id& user, std::span<const FieldValue> said,
                                                  HistoryView history, RequestScratch& scratch) const {
  if (!now.prior || !UserPrior::is_about(history)) return nullptr;
  const Featurizer& featurizer = now.prior->featurizer();
  scratch.profile = said.empty() ? profiles.row(user, featurizer, now.generation) : read_profile(featurizer, said);
  return scratch.profile.get();
}

std::optional<std::vector<SimilarUser>> Recommender::Impl::users_alike(const Snapshot& now, const Id& user,
                                                                       const SimilarUsersOptions& wanted,
                                                                       std::span<const Friendships::Closeness> close,
                                                                       Workspace& workspace, IdMap& names) const {
  if (!now.prior || !users.read(user).distinct.empty()) return std::nullopt;
  const Featurizer& featurizer = now.prior->featurizer();
  const std::shared_ptr<const FeatureTable> own = profiles.row(user, featurizer, now.generation);
  if (!own) return std::nullopt;
  IdMap found(names.kind());
  std::vector<ScoredHandle> scores;
  profiles.visit_rows(featurizer, now.generation, [&](const Id& other, const FeatureTable& row) {
    if (other == user) return;
    float score = cosine(*own, row);
    const auto known = std::ranges::find(close, other, &Friendships::Closeness::user);
    if (known != close.end()) {
      if (known->direct && !wanted.include_friends) return;
      score += wanted.friend_weight * known->closeness;
    }
    if (score > 0) scores.push_back({found.insert(other), score});
  });
  detail::TopK best(workspace.top, std::min(wanted.k, scores.size()));
  for (const ScoredHandle& one : scores) best.push(one);
  std::vector<SimilarUser> result;
  for (const ScoredHandle& one : best.finish()) {
    result.push_back({names.id(names.insert(found.id(one.item))), one.score});
  }
  return result;
}

}  // namespace attune::inline v0_1
