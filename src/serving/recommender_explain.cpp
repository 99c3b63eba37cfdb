// SPDX-License-Identifier: Apache-2.0

// Explanations: the item is scored again for histories that lack something.

#include <algorithm>
#include <cmath>
#include <numeric>
#include <optional>
#include <utility>

#include "attune/detail/reduced_history.hpp"
#include "attune/serving/explanation.hpp"
#include "serving/eligibility.hpp"
#include "serving/recommender_impl.hpp"

namespace attune::inline v0_1 {
namespace {

using Events = std::vector<std::size_t>;  // positions in the history, ascending

// How an item stands for a history.
struct Standing {
  EngineAnswer by{{}, Source::popularity};  // without the items
  float score = 0, margin = 0;              // see Explanation
};

// An item, and the histories for which it is scored.
class Explainer {
 public:
  // `rivals` has the items that it is compared with.
  Explainer(const detail::EngineInterface& engine, HistoryView history, const Context& context, ItemHandle item,
            std::span<const std::uint64_t> rivals, Workspace& workspace)
      : engine_(engine), history_(history), context_(context), item_(item), rivals_(rivals), workspace_(workspace) {}

  Standing standing_without(std::span<const std::size_t> events) {
    const HistoryView history = events.empty() ? history_ : reduced_.without(history_, events);
    Standing standing;
    const EngineAnswer best =
        engine_.recommend_beside(item_, standing.score, history, context_, rivals_, kRivals, workspace_);
    if (events.empty()) best_.assign(best.items.begin(), best.items.end());
    float sum = 0;
    for (const ScoredHandle& rival : best.items) sum += rival.score;
    standing.by = {{}, best.source, best.blended};
    standing.margin = standing.score - (best.items.empty() ? 0.0f : sum / static_cast<float>(best.items.size()));
    return standing;
  }

  // The events to be left out, ascending, and whether these are all that say something. Behind standing_without({}).
  Events choose(const ExplanationOptions& options, bool& complete) {
    Events events(history_.size());
    std::iota(events.begin(), events.end(), std::size_t{0});
    std::erase_if(events, [&](std::size_t event) { return history_.items[event] == kNoHandle; });
    complete = options.full || events.size() <= options.events;
    if (complete) return events;
    const std::vector<float> attributions = attribute();
    const auto matters_more = [&](std::size_t a, std::size_t b) {
      const float of_a = std::abs(attributions[a]), of_b = std::abs(attributions[b]);
      return of_a > of_b || (of_a == of_b && a > b);
    };
    const auto newest = static_cast<std::ptrdiff_t>(options.events / 3);
    const auto others = static_cast<std::ptrdiff_t>(options.events) - newest;
    std::partial_sort(events.begin(), events.begin() + others, events.end() - newest, matters_more);
    events.erase(events.begin() + others, events.end() - newest);
    return events;
  }

  // How far the item stands above the last of the best k for a history without these events; nothing where it is not
  // among them.
  std::optional<float> lead(const Events& left_out, std::size_t k, std::span<const std::uint64_t> eligible) {
    const HistoryView history = reduced_.without(history_, left_out);
    const auto best = engine_.recommend(history, context_, eligible, {}, k, nullptr, workspace_).items;
    const auto place = std::ranges::find(best, item_, &ScoredHandle::item);
    if (place == best.end()) return std::nullopt;
    return place->score - best.back().score;
  }

  // Nothing where none of at most `most_removed` events is found.
  Events find_counterfactual(std::span<const Contribution> contributions, const ExplanationOptions& options,
                             std::span<const std::uint64_t> eligible) {
    constexpr std::size_t kTried = 5;
    const auto with = [](Events events, std::size_t event) {
      events.insert(std::ranges::upper_bound(events, event), event);
      return events;
    };
    Events left_out;
    while (left_out.size() < options.most_removed) {
      std::optional<std::pair<float, std::size_t>> least;
      std::size_t tried = 0;
      for (const Contribution& one : contributions) {
        if (std::ranges::binary_search(left_out, one.event)) continue;
        if (tried++ == kTried) break;
        Events more = with(left_out, one.event);
        const std::optional<float> above = lead(more, options.k, eligible);
        if (!above) return without_superfluous(std::move(more), options.k, eligible);
        if (!least || *above < least->first) least = {*above, one.event};
      }
      if (!least) break;
      left_out = with(std::move(left_out), least->second);
    }
    return {};
  }

 private:
  static constexpr std::size_t kRivals = 10;

  // To the margin, with the rivals as they are.
  std::vector<float> attribute() {
    std::vector<ItemHandle> items{item_};
    std::vector<float> shares{1.0f}, attributions(history_.size());
    for (const ScoredHandle& rival : best_) {
      items.push_back(rival.item);
      shares.push_back(-1.0f / static_cast<float>(best_.size()));
    }
    engine_.attributions(attributions, history_, context_, items, shares, workspace_);
    return attributions;
  }

  Events without_superfluous(Events events, std::size_t k, std::span<const std::uint64_t> eligible) {
    for (std::size_t i = 0; i < events.size() && events.size() > 1;) {
      Events fewer = events;
      fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(i));
      if (lead(fewer, k, eligible)) {
        ++i;
      } else {
        events = std::move(fewer);
        i = 0;
      }
    }
    return events;
  }

  const detail::EngineInterface& engine_;
  const HistoryView history_;
  const Context context_;
  const ItemHandle item_;
  const std::span<const std::uint64_t> rivals_;
  Workspace& workspace_;
  detail::ReducedHistory reduced_;
  std::vector<ScoredHandle> best_;  // rivals for the whole history
};

// What was seen, or is disliked, or is the item itself, and so is no rival of it.
std::vector<ItemHandle> no_rivals(const UserView& user, ItemHandle item) {
  std::vector<ItemHandle> items(user.distinct.begin(), user.distinct.end());
  for (const Dislike& one : user.disliked) items.push_back(one.item);
  items.push_back(item);
  std::ranges::sort(items);
  items.erase(std::unique(items.begin(), items.end()), items.end());
  return items;
}

}  // namespace

void Recommender::Impl::explain(Explanation& answer, const Snapshot& now, const UserView& user, const Context& context,
                                ItemHandle item, const ExplanationOptions& wanted, RequestScratch& scratch) {
  if (!now.lists(item)) {
    answer.source = now.engine->score(user.history, context, {}, {}, nullptr, scratch.workspace);
    answer.score_kind = now.score_kind({{}, answer.source});
    return;
  }
  std::vector<ItemHandle> left_out = no_rivals(user, item);
  std::vector<std::uint64_t> rivals;
  {
    const Eligibility eligible(scratch, now, {}, nullptr, context.now, left_out);
    rivals.assign(eligible.bits().begin(), eligible.bits().end());
  }
  Explainer explainer(*now.engine, user.history, context, item, rivals, scratch.workspace);
  const Standing whole = explainer.standing_without({});
  answer.source = whole.by.source;
  answer.score_kind = now.score_kind(whole.by);
  if (!std::isfinite(whole.score)) return;
  answer.score = whole.score;
  answer.margin = whole.margin;
  if (whole.by.ranked_by() == Source::model && now.content && now.content->has(item)) {
    const auto vector = now.engine->user_vector(user.history, context, nullptr, scratch.workspace);
    answer.features = features_of(now, item, {vector.begin(), vector.end()});
  }
  for (const std::size_t event : explainer.choose(wanted, answer.complete)) {
    const Timestamp time = user.history.times.empty() ? kNoTime : user.history.times[event];
    Standing without = explainer.standing_without({&event, 1});
    if (without.by.ranked_by() != whole.by.ranked_by() || !std::isfinite(without.score)) without = {};
    answer.contributions.push_back({catalogue->id(user.history.items[event]), time, event, whole.score - without.score,
                                    whole.margin - without.margin});
  }
  std::ranges::sort(answer.contributions, [](const Contribution& a, const Contribution& b) {
    return a.margin > b.margin || (a.margin == b.margin && a.event > b.event);
  });
  if (wanted.k == 0) return;
  // What was seen stays seen: only the scores are those of another history.
  std::erase(left_out, item);
  const Eligibility eligible(scratch, now, {}, nullptr, context.now, left_out);
  answer.counterfactual.among_best = explainer.lead({}, wanted.k, eligible.bits()).has_value();
  if (!answer.counterfactual.among_best) return;
  for (const std::size_t event : explainer.find_counterfactual(answer.contributions, wanted, eligible.bits())) {
    const auto found = std::ranges::find(answer.contributions, event, &Contribution::event);
    answer.counterfactual.events.push_back(*found);
  }
}

Explanation Recommender::Impl::explain(const UserView& user, const Id& user_id, const Id& item,
                                       const ExplanationOptions& wanted) {
  const auto now = current();
  const ScratchPool::Lease scratch = pool.take();
  const Context context{.now = time_of(wanted.now, user.history),
                        .features = {},
                        .user = user_id,
                        .disliked = user.disliked,
                        .profile = profile_of(*now, user_id, {}, user.history, *scratch)};
  Explanation answer;
  try {
    explain(answer, *now, user, context, catalogue->find(item), wanted, *scratch);
  } catch (const Error& error) {
    note_damage(*now, error, *scratch);
    answer = {};
    answer.source = now->engine->score({}, context, {}, {}, nullptr, scratch->workspace);
    answer.score_kind = now->score_kind({{}, answer.source});
  }
  answer.model_version = now->version;
  answer.keep_alive_ = now;
  return answer;
}

Explanation Recommender::explain(const Id& user, const Id& item) const { return explain(user, item, {}); }

Explanation Recommender::explain(const Id& user_id, const Id& item, const ExplanationOptions& options) const {
  const Impl::Timed timed(*impl_, Operation::explain);
  UserCopy copy;
  if (const std::shared_ptr<UserRecord> user = impl_->users.find(user_id)) {
    const std::lock_guard lock(user->mutex);
    copy = UserCopy(*user);
  }
  return impl_->explain(copy.view(), user_id, item, options);
}

Explanation Recommender::explain_history(std::span<const Id> items, const Id& item, const ExplanationOptions& options,
                                         std::span<const Timestamp> times) const {
  const Impl::Timed timed(*impl_, Operation::explain);
  if (times.size() != items.size()) times = {};
  UserCopy copy;
  copy.times.assign(times.begin(), times.end());
  for (const Id& id : items) copy.items.push_back(impl_->catalogue->find(id));
  copy.distinct = copy.items;
  std::erase(copy.distinct, kNoHandle);
  std::ranges::sort(copy.distinct);
  copy.distinct.erase(std::unique(copy.distinct.begin(), copy.distinct.end()), copy.distinct.end());
  return impl_->explain(copy.view(), {}, item, options);
}

}  // namespace attune::inline v0_1
