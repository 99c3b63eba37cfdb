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

// An item, and what is to be explained about it.
class Explainer {
 public:
  Explainer(const detail::EngineInterface& engine, HistoryView history, const Context& context, ItemHandle item,
            Workspace& workspace)
      : engine_(engine), history_(history), context_(context), item_(item), workspace_(workspace) {}

  // Of the item; without `scorable` of nothing, and only the source counts.
  Source score(HistoryView history, bool scorable, float& score) {
    return engine_.score(history, context_, {&item_, scorable ? 1u : 0u}, {&score, 1}, nullptr, workspace_);
  }

  // The events to be left out, and whether these are all that say something.
  Events choose(const ExplanationOptions& options, bool& complete) {
    Events events(history_.size());
    std::iota(events.begin(), events.end(), std::size_t{0});
    std::erase_if(events, [&](std::size_t event) { return history_.items[event] == kNoHandle; });
    complete = options.full || events.size() <= options.events;
    if (complete) return events;
    std::vector<float> attributions(history_.size());
    engine_.attributions(attributions, history_, context_, item_, workspace_);
    const auto matters_more = [&](std::size_t a, std::size_t b) {
      return attributions[a] > attributions[b] || (attributions[a] == attributions[b] && a > b);
    };
    const auto end = events.begin() + static_cast<std::ptrdiff_t>(options.events);
    std::partial_sort(events.begin(), end, events.end(), matters_more);
    events.erase(end, events.end());
    return events;
  }

  float weight(std::size_t event, float whole, Source source) {
    float without = 0;
    const bool same = score(reduced_.without(history_, {&event, 1}), true, without) == source;
    return same && std::isfinite(without) ? whole - without : whole;
  }

  // How far the item stands above the last of the best k for a history without these events; nothing where it is not
  // among them.
  std::optional<float> margin(const Events& left_out, std::size_t k, std::span<const std::uint64_t> eligible) {
    const HistoryView history = reduced_.without(history_, left_out);
    const auto best = engine_.recommend(history, context_, eligible, {}, k, nullptr, workspace_).items;
    const auto place = std::ranges::find(best, item_, &ScoredHandle::item);
    if (place == best.end()) return std::nullopt;
    return place->score - best.back().score;
  }

  // Nothing where none of at most `most` events is found.
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
        const std::optional<float> above = margin(more, options.k, eligible);
        if (!above) return without_superfluous(std::move(more), options.k, eligible);
        if (!least || *above < least->first) least = {*above, one.event};
      }
      if (!least) break;
      left_out = with(std::move(left_out), least->second);
    }
    return {};
  }

 private:
  Events without_superfluous(Events events, std::size_t k, std::span<const std::uint64_t> eligible) {
    for (std::size_t i = 0; i < events.size() && events.size() > 1;) {
      Events fewer = events;
      fewer.erase(fewer.begin() + static_cast<std::ptrdiff_t>(i));
      if (margin(fewer, k, eligible)) {
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
  Workspace& workspace_;
  detail::ReducedHistory reduced_;
};

}  // namespace

// What was watched stays watched: only the scores are those of another history.
Counterfactual Recommender::Impl::find_counterfactual(const Snapshot& now, const UserView& user, const Context& context,
                                                      ItemHandle item, std::span<const Contribution> contributions,
                                                      const ExplanationOptions& wanted, RequestScratch& scratch) {
  Counterfactual found;
  std::vector<ItemHandle> seen(user.distinct.begin(), user.distinct.end());
  for (const Dislike& one : user.disliked) seen.push_back(one.item);
  std::ranges::sort(seen);
  seen.erase(std::unique(seen.begin(), seen.end()), seen.end());
  std::erase(seen, item);
  const Eligibility eligible(scratch, now, {}, nullptr, context.now, seen);
  Explainer explainer(*now.engine, user.history, context, item, scratch.workspace);
  found.among_best = explainer.margin({}, wanted.k, eligible.bits()).has_value();
  if (!found.among_best) return found;
  for (const std::size_t event : explainer.find_counterfactual(contributions, wanted, eligible.bits())) {
    found.events.push_back(*std::ranges::find(contributions, event, &Contribution::event));
  }
  return found;
}

Explanation Recommender::Impl::explain(const UserView& user, const Id& user_id, const Id& item_id,
                                       const ExplanationOptions& wanted) {
  const auto now = current();
  const ScratchPool::Lease scratch = pool.take();
  const ItemHandle item = catalogue->find(item_id);
  const Context context{
      .now = time_of(wanted.now, user.history), .features = {}, .user = user_id, .disliked = user.disliked};
  Explainer explainer(*now->engine, user.history, context, item, scratch->workspace);
  Explanation answer;
  try {
    float score = 0;
    const bool listed = now->lists(item);
    answer.source = explainer.score(user.history, listed, score);
    if (listed && std::isfinite(score)) {
      answer.score = score;
      const Events events = explainer.choose(wanted, answer.complete);
      for (const std::size_t event : events) {
        const Timestamp time = user.history.times.empty() ? kNoTime : user.history.times[event];
        answer.contributions.push_back(
            {catalogue->id(user.history.items[event]), time, event, explainer.weight(event, score, answer.source)});
      }
      std::ranges::sort(answer.contributions, [](const Contribution& a, const Contribution& b) {
        return a.weight > b.weight || (a.weight == b.weight && a.event > b.event);
      });
      if (wanted.k != 0) {
        answer.counterfactual = find_counterfactual(*now, user, context, item, answer.contributions, wanted, *scratch);
      }
    }
  } catch (const Error& error) {
    note_damage(*now, error);
    answer = {};
    float unused = 0;
    answer.source = explainer.score({}, false, unused);
  }
  answer.score_kind = now->score_kind(answer.source);
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
