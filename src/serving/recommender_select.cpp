// SPDX-License-Identifier: Apache-2.0

// Answers that are more than the k best: caps, pins, diversity, pages.

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "attune/serving/cursor.hpp"
#include "attune/serving/exploration.hpp"
#include "serving/eligibility.hpp"
#include "serving/item_columns.hpp"
#include "serving/recommender_impl.hpp"

namespace attune::inline v0_1 {

// Vectors are the engine's, fields the catalogue's. Where one of the vectors is damaged, no two items are alike.
class Recommender::Impl::Relations final : public ItemRelations {
 public:
  Relations(Impl& impl, const Snapshot& now, RequestScratch& scratch, std::span<const std::size_t> capped_fields)
      : impl_(impl), now_(now), scratch_(scratch), capped_fields_(capped_fields) {}

  void similarities(ItemHandle item, std::span<const ItemHandle> others, std::span<float> cosines) override {
    try {
      now_.engine->similarities(item, others, cosines);
    } catch (const Error& error) {
      impl_.note_damage(now_, error, scratch_);
      std::ranges::fill(cosines, 0.0f);
    }
  }
  void read_values(std::span<const ItemHandle> items, ItemValues& values) override {
    now_.catalogue->read_columns([&](const detail::ItemColumns& columns) {
      for (const ItemHandle item : items) {
        for (std::size_t cap = 0; cap < capped_fields_.size(); ++cap) {
          for (const std::uint32_t name : columns.names(capped_fields_[cap], item)) values.add(cap, name);
        }
        values.end_item();
      }
    });
  }

 private:
  Impl& impl_;
  const Snapshot& now_;
  RequestScratch& scratch_;
  const std::span<const std::size_t> capped_fields_;
};

// Of what became of impressions so far. A vector that is damaged counts as none.
class Recommender::Impl::Bounds final : public UpperBounds {
 public:
  Bounds(Impl& impl, const Snapshot& now, RequestScratch& scratch, const ExplorationOptions* exploration)
      : impl_(impl), now_(now), scratch_(scratch) {
    if (exploration == nullptr || exploration->method != ExplorationMethod::linucb) return;
    width_ = exploration->width > 0 ? exploration->width : 0;
    impl_.bandit.learn(impl_.users.exposure(), now_.generation, now_.engine->dim(),
                       [&](ItemHandle item, std::span<float> vector) { read(item, vector); });
  }

  double of(ItemHandle item) override {
    scratch_.item_vector.resize(now_.engine->dim());
    read(item, scratch_.item_vector);
    return impl_.bandit.upper_bound(now_.generation, scratch_.item_vector, width_);
  }

 private:
  void read(ItemHandle item, std::span<float> vector) {
    try {
      if (now_.lists(item) && now_.engine->vector(item, vector)) return;
    } catch (const Error& error) {
      impl_.note_damage(now_, error, scratch_);
    }
    std::ranges::fill(vector, 0.0f);
  }

  Impl& impl_;
  const Snapshot& now_;
  RequestScratch& scratch_;
  double width_ = 0;
};

bool Recommender::Impl::selects(const Request& request) noexcept {
  const auto& policy = policy_of(request);
  const ExplorationOptions* const exploration = request.exploration;
  return request.diversity > 0 || !request.pinned.empty() || request.cursor != nullptr ||
         (policy && !policy->caps().empty()) ||
         (exploration != nullptr && (exploration->share > 0 || exploration->new_item_quota > 0));
}

// What earlier pages showed, each item once.
void Recommender::Impl::find_shown(const Request& request, RequestScratch& scratch) const {
  scratch.shown.clear();
  if (request.cursor == nullptr) return;
  for (const Id& id : request.cursor->shown()) {
    const ItemHandle item = catalogue->find(id);
    if (item != kNoHandle && std::ranges::find(scratch.shown, item) == scratch.shown.end()) {
      scratch.shown.push_back(item);
    }
  }
}

// The places of pinned items: those of this page, of later ones, and of earlier ones where they were shown.
void Recommender::Impl::find_pins(const Request& request, const UserView& user, RequestScratch& scratch) const {
  std::vector<PinnedSlot>& pins = scratch.pins;
  pins.clear();
  if (request.pinned.empty()) return;
  for (const auto& [id, position] : request.pinned) {
    const ItemHandle item = catalogue->find(id);
    const bool denied = std::ranges::find(request.deny, id) != request.deny.end();
    const bool disliked = std::ranges::binary_search(user.disliked, item, {}, &Dislike::item);
    const bool twice = std::ranges::find(pins, item, &PinnedSlot::item) != pins.end();
    if (item == kNoHandle || denied || disliked || twice) continue;
    const PinnedSlot pin{item, std::min(position, Cursor::kMostPosition)};
    pins.insert(std::ranges::upper_bound(pins, pin.slot, {}, &PinnedSlot::slot), pin);
  }
  const Timestamp at = time_of(request.now, user.history);
  catalogue->read_columns([&](const detail::ItemColumns& columns) {
    std::erase_if(pins, [&](const PinnedSlot& pin) { return !columns.is_live(pin.item, at); });
  });
  for (std::size_t i = 1; i < pins.size(); ++i) pins[i].slot = std::max(pins[i].slot, pins[i - 1].slot + 1);
  const std::size_t first = request.cursor == nullptr ? 0 : request.cursor->position();
  std::erase_if(pins, [&](const PinnedSlot& pin) {
    const bool shown = std::ranges::find(scratch.shown, pin.item) != scratch.shown.end();
    return shown != (pin.slot < first);
  });
}

// Those that the source of the answer can give; under caps all, for anyone's place may be capped.
std::span<const ItemHandle> Recommender::Impl::find_new(const Snapshot& now, const Found& found,
                                                        const Eligibility& eligible, const SelectionRules& rules,
                                                        const SelectionInput& input, RequestScratch& scratch) {
  scratch.listed.assign(input.shown.begin(), input.shown.end());
  for (const PinnedSlot& pin : input.pins) scratch.listed.push_back(pin.item);
  std::ranges::sort(scratch.listed);
  const auto& possible = found.answer.ranked_by() == Source::model ? now.scorable : now.listed;
  const std::size_t most = rules.caps.empty() ? input.k : std::numeric_limits<std::size_t>::max();
  return scratch.explorer.find_new(eligible.bits(), possible, scratch.listed, most);
}

// Asks for ever more candidates until the selection is content.
Selection Recommender::Impl::choose(Found& found, const Snapshot& now, const UserView& user, const Request& request,
                                    const Eligibility& eligible, detail::EngineState* state, RequestScratch& scratch) {
  const auto& policy = policy_of(request);
  const bool capped = policy && &policy->catalogue() == now.catalogue.get();
  Relations relations(*this, now, scratch, capped ? policy->capped_fields() : std::span<const std::size_t>{});
  const RankingStage stage = ranking_stage(now);
  Bounds bounds(*this, now, scratch, request.exploration);
  scratch.explorer.start(request.exploration, request.user, users.exposure(), bounds);
  const SelectionRules rules{.diversity = request.diversity > 0 ? std::min(double{request.diversity}, 1.0) : 0.0,
                             .method = request.diversity_method,
                             .pool = std::max(request.diversity_pool, stage.candidates),
                             .caps = capped ? policy->caps() : std::span<const std::size_t>{},
                             .explorer = scratch.explorer.explores() ? &scratch.explorer : nullptr};
  SelectionInput input{.shown = scratch.shown, .pins = scratch.pins, .k = request.k};
  if (request.cursor != nullptr) {
    input.first_slot = request.cursor->position();
    if (request.cursor->ended()) input.k = 0;
  }
  bool explored = false;
  for (std::size_t wanted = Selector::first_pool(rules, input);;) {
    const std::size_t asked = most_wanted(now, wanted);
    found.answer = ask(now, user.history, context_of(request, user), eligible, asked, state, scratch);
    const std::size_t num_found = found.answer.items.size();
    found.answer.items = scoring_enough(found.answer.items, request.min_score);
    found.complete = num_found < asked || asked == now.engine->size() || found.answer.items.size() < num_found;
    found.reranked = order(found.answer, stage, now, user.history, context_of(request, user), scratch);
    if (rules.explorer != nullptr && !explored) input.new_items = find_new(now, found, eligible, rules, input, scratch);
    explored = true;
    input.candidates = found.answer.items;
    input.complete = found.complete;
    input.by_place = found.reranked != 0;
    const Selection selection = scratch.selector.select(input, rules, relations);
    if (selection.wanted == 0) return selection;
    wanted = selection.wanted;
  }
}

// Gives pinned items that were no candidates the engine's scores, where it has any.
void Recommender::Impl::score_pins(std::span<ScoredHandle> items, const Snapshot& now, const UserView& user,
                                   const Request& request, std::span<const float> boosts, detail::EngineState* state,
                                   RequestScratch& scratch) {
  const auto unscored = [](const ScoredHandle& item) { return !std::isfinite(item.score); };
  if (std::ranges::none_of(items, unscored)) return;
  scratch.listed.clear();
  for (const ScoredHandle& item : items) {
    if (unscored(item) && now.lists(item.item)) scratch.listed.push_back(item.item);
  }
  if (scratch.listed.empty()) return;
  scratch.scores.assign(scratch.listed.size(), Selector::kNoScore);
  try {
    now.engine->score(user.history, context_of(request, user), scratch.listed, scratch.scores, state,
                      scratch.workspace);
  } catch (const Error& error) {
    note_damage(now, error, scratch);
    if (state != nullptr) state->reset();
    std::ranges::fill(scratch.scores, Selector::kNoScore);
  }
  std::size_t next = 0;
  for (ScoredHandle& item : items) {
    if (!unscored(item)) continue;
    if (now.lists(item.item)) item.score = scratch.scores[next++] + (boosts.empty() ? 0.0f : boosts[item.item]);
  }
}

void Recommender::Impl::select(std::shared_ptr<const Snapshot> now, const UserView& user, const Request& request,
                               const Eligibility& eligible, detail::EngineState* state, RequestScratch& scratch,
                               Answer& answer) {
  find_shown(request, scratch);
  find_pins(request, user, scratch);
  Found found;
  const Selection selection = choose(found, *now, user, request, eligible, state, scratch);
  const Source ranked_by = found.answer.ranked_by();
  const std::size_t num_enough = found.answer.items.size();
  score_pins(selection.items, *now, user, request, eligible.boosts(), state, scratch);
  found.answer.items = selection.items;
  fill(answer, std::move(now), found.answer, Scores::of_next_event, eligible.boosts());
  for (std::size_t i = 0; i < answer.items.size(); ++i) {
    Recommendation& item = answer.items[i];
    item.propensity = selection.propensities[i];
    item.pinned = std::ranges::find(scratch.pins, selection.items[i].item, &PinnedSlot::item) != scratch.pins.end();
    if (std::isfinite(item.score)) continue;
    item.score = 0;
    item.probability = std::numeric_limits<float>::quiet_NaN();
  }
  answer.reranked = found.reranked;
  answer.shortfall = eligible.shortfall(ranked_by);
  constexpr float kAny = -std::numeric_limits<float>::infinity();
  const bool some_are_below = found.complete && answer.items.size() < request.k && request.min_score > kAny;
  if (some_are_below) answer.shortfall.below_min_score = eligible.size(ranked_by) - num_enough;
  answer.shortfall.capped = selection.capped;
  if (request.cursor == nullptr) return;
  request.cursor->advance(request.k);
  for (const Recommendation& item : answer.items) request.cursor->add(item.item);
}

}  // namespace attune::inline v0_1
