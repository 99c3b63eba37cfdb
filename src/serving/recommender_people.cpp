// SPDX-License-Identifier: Apache-2.0

// Users alike, and users who watch together.

#include <algorithm>
#include <cmath>
#include <utility>

#include "attune/detail/top_k.hpp"
#include "attune/executor.hpp"
#include "attune/serving/people.hpp"
#include "serving/eligibility.hpp"
#include "serving/group_engine.hpp"
#include "serving/recommender_impl.hpp"

namespace attune::inline v0_1 {
namespace {

using Close = std::span<const Friendships::Closeness>;

// Of what histories hold, how much is also in one of them.
class SharedItems {
 public:
  explicit SharedItems(std::span<const ItemHandle> items) : size_(items.size()) {
    for (const ItemHandle item : items) place(item) = kOwn;
  }
  // The cosine of the sets of items.
  float with(HistoryView history) {
    ++last_;
    std::size_t common = 0, others = 0;
    for (const ItemHandle item : history.items) {
      std::uint64_t& seen = place(item);
      if (seen >> 1 == last_) continue;
      common += seen & kOwn;
      ++others;
      seen = last_ << 1 | (seen & kOwn);
    }
    if (common == 0) return 0;
    return static_cast<float>(static_cast<double>(common) /
                              std::sqrt(static_cast<double>(size_) * static_cast<double>(others)));
  }

 private:
  static constexpr std::uint64_t kOwn = 1;
  std::uint64_t& place(ItemHandle item) {
    if (item >= seen_.size()) seen_.resize(item + std::size_t{1});
    return seen_[item];
  }
  std::size_t size_;
  std::uint64_t last_ = 0;
  std::vector<std::uint64_t> seen_;  // by item: the last history that had it, and whether it is one's own
};

// The members' histories as one, in order of time.
UserCopy all_together(std::span<const GroupMember> members) {
  struct Event {
    Timestamp time;
    ItemHandle item;
    std::uint8_t kind;
    float weight;
  };
  std::vector<Event> events;
  UserCopy all;
  for (const auto& [id, user] : members) {
    for (std::size_t i = 0; i < user.items.size(); ++i) {
      events.push_back({user.times[i], user.items[i], user.kinds[i], user.weights[i]});
    }
    all.distinct.insert(all.distinct.end(), user.distinct.begin(), user.distinct.end());
    all.disliked.insert(all.disliked.end(), user.disliked.begin(), user.disliked.end());
  }
  std::ranges::stable_sort(events, {}, &Event::time);
  for (const Event& event : events) {
    all.times.push_back(event.time);
    all.items.push_back(event.item);
    all.kinds.push_back(event.kind);
    all.weights.push_back(event.weight);
  }
  std::ranges::sort(all.distinct);
  all.distinct.erase(std::unique(all.distinct.begin(), all.distinct.end()), all.distinct.end());
  std::ranges::stable_sort(all.disliked, {}, &Dislike::item);
  const auto same_item = [](const Dislike& a, const Dislike& b) { return a.item == b.item; };
  all.disliked.erase(std::unique(all.disliked.begin(), all.disliked.end(), same_item), all.disliked.end());
  return all;
}

}  // namespace

// Those who share items, or are close.
std::vector<SimilarUser> Recommender::Impl::users_who_share(const Id& user, const SimilarUsersOptions& wanted,
                                                            Close close, Workspace& workspace, IdMap& names) const {
  SharedItems shared(users.read(user).distinct);
  IdMap known(names.kind()), found(names.kind());
  for (const Friendships::Closeness& one : close) known.insert(one.user);
  detail::TopK best(workspace.top, std::min(wanted.k, users.num_users()));
  users.visit([&](const Id& other, HistoryView history) {
    if (other == user) return;
    float score = shared.with(history);
    if (const std::uint32_t at = known.find(other); at != kNoHandle) {
      if (close[at].direct && !wanted.include_friends) return;
      score += wanted.friend_weight * close[at].closeness;
    }
    if (score > 0) best.push({found.insert(other), score});
  });
  std::vector<SimilarUser> result;
  for (const ScoredHandle& one : best.finish()) {
    result.push_back({names.id(names.insert(found.id(one.item))), one.score});
  }
  return result;
}

SimilarUsers Recommender::similar_users(const Id& user, std::size_t k) const {
  return similar_users(user, SimilarUsersOptions{.k = k});
}

SimilarUsers Recommender::similar_users(const Id& user, const SimilarUsersOptions& options) const {
  Impl::Timed timed(*impl_, Operation::similar_users);
  InlineExecutor inline_executor;
  Executor& executor = impl_->options.executor ? *impl_->options.executor : inline_executor;
  const auto now = impl_->current();
  impl_->vectors.refresh(*now, impl_->users, executor, impl_->pool);
  std::vector<Friendships::Closeness> close;
  if (options.friendships != nullptr) close = options.friendships->close_to(user);
  const ScratchPool::Lease scratch = impl_->pool.take();
  SimilarUsers answer;
  for (bool all_are_known = false; !all_are_known;) {
    auto names = std::make_shared<IdMap>(impl_->users.kind());
    auto nearest = impl_->vectors.nearest(user, options, close, scratch->workspace, *names);
    answer.source = nearest ? Source::model : Source::counts;
    auto alike = nearest ? std::nullopt : impl_->users_alike(*now, user, options, close, scratch->workspace, *names);
    if (alike) {
      answer.source = Source::profile;
      answer.users = std::move(*alike);
      answer.keep_alive_ = std::move(names);
      break;
    }
    answer.users =
        nearest ? std::move(*nearest) : impl_->users_who_share(user, options, close, scratch->workspace, *names);
    // Who was let go or forgotten may have a vector until now.
    all_are_known = !nearest || std::ranges::all_of(answer.users, [&](const SimilarUser& other) {
      return impl_->users.contains(other.user);
    });
    if (!all_are_known) impl_->vectors.erase_unknown(impl_->users);
    answer.keep_alive_ = std::move(names);
  }
  timed.items(answer.users.size());
  return answer;
}

Answer Recommender::recommend_group(std::span<const Id> user_ids, const Request& request,
                                    const GroupOptions& options) const {
  Impl::Timed timed(*impl_, Operation::recommend_group);
  const auto now = impl_->current();
  std::vector<GroupMember> members;
  for (const Id& id : user_ids) {
    if (std::ranges::find(members, id, &GroupMember::id) != members.end()) continue;
    members.push_back({id, {}});
    if (const std::shared_ptr<UserRecord> user = impl_->users.find(id)) {
      const std::lock_guard lock(user->mutex);
      members.back().user = UserCopy(*user);
    }
  }
  if (members.empty()) members.emplace_back();
  const UserCopy all = all_together(members);
  Request of_group = request;
  of_group.user = {};
  of_group.now = time_of(request.now, all.history());

  const ScratchPool::Lease scratch = impl_->pool.take();
  auto engine = std::make_unique<GroupEngine>(*now->engine, members, options,
                                              [&](const Error& error) { impl_->note_damage(*now, error, *scratch); });
  Answer answer;
  try {
    engine->listen(context_of(of_group, {}), scratch->workspace);
    auto group = std::make_shared<Snapshot>();
    group->engine = std::move(engine);
    group->version = now->version;
    group->weights = now->weights;
    group->catalogue = now->catalogue;
    group->generation = now->generation;
    group->edition = now->edition;
    group->of_model = now->of_model;
    group->listed = now->listed;
    group->scorable = now->scorable;
    group->num_listed = now->num_listed;
    group->num_scorable = now->num_scorable;
    impl_->recommend(std::move(group), all.view(), of_group, nullptr, *scratch, answer);
  } catch (const Error& error) {
    impl_->note_damage(*now, error, *scratch);
    impl_->recommend(now, {{}, all.distinct, all.disliked}, of_group, nullptr, *scratch, answer);
  }
  answer.model_version = now->version;
  answer.keep_alive_ = now;
  impl_->count(answer, request);
  timed.items(answer.items.size());
  return answer;
}

}  // namespace attune::inline v0_1
