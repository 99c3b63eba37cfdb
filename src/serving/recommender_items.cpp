// SPDX-License-Identifier: Apache-2.0

// Items that hosts bring, and the vectors that their content gives them.

#include <algorithm>
#include <functional>
#include <mutex>
#include <numeric>
#include <utility>

#include "attune/detail/engine_impl.hpp"
#include "attune/error.hpp"
#include "data/text.hpp"
#include "serving/recommender_impl.hpp"

namespace attune::inline v0_1 {
namespace {

// Items without the fields that content alone reads.
std::vector<Item> for_catalogue(std::span<const Item> items, const Catalogue& catalogue, const Featurizer& featurizer) {
  std::vector<Item> left(items.begin(), items.end());
  for (Item& item : left) {
    std::erase_if(item.fields, [&](const FieldValue& value) {
      return std::ranges::find(catalogue.fields(), value.field(), &ItemField::name) == catalogue.fields().end() &&
             reads(featurizer, value.field());
    });
  }
  return left;
}

}  // namespace

void Recommender::upsert_items(std::span<const Item> items) { impl_->upsert(items); }

bool Recommender::remove_item(const Id& item) { return impl_->catalogue->remove(item); }

void Recommender::Impl::upsert(std::span<const Item> items) {
  const std::shared_ptr<const Snapshot> now = current();
  if (!now->tower) return catalogue->upsert(items);
  const Featurizer& featurizer = now->tower->featurizer();
  ReadContents read{now->tower, FeatureTable(featurizer.shapes()), {}};
  for (std::size_t i = 0; i < items.size(); ++i) {
    try {
      featurizer.apply(items[i].fields, read.features);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::invalid_data) throw;
      throw Error(ErrorCode::invalid_argument, "upsert, item " + std::to_string(i) + " of the batch (" +
                                                   detail::in_quotes(to_string(items[i].id), '"') +
                                                   "): " + error.what());
    }
  }
  catalogue->upsert(for_catalogue(items, *catalogue, featurizer));
  constexpr std::size_t kTogether = 64;  // so that others get between
  for (std::size_t first = 0; first < items.size(); first += kTogether) {
    std::vector<ItemHandle> handles;
    const std::lock_guard lock(content_mutex);
    for (std::size_t i = first; i < std::min(first + kTogether, items.size()); ++i) {
      if (items[i].fields.empty()) continue;
      handles.push_back(catalogue->find(items[i].id));
      if (contents.has(handles.back())) {
        read.rows.erase(handles.back());
      } else {
        read.rows[handles.back()] = i;
      }
      contents.set(handles.back(), items[i].fields);
    }
    std::ranges::sort(handles);
    handles.erase(std::unique(handles.begin(), handles.end()), handles.end());
    if (auto latest = current(); latest->tower) show(with_contents(std::move(latest), handles, *new_items, &read));
    take_in_events();
  }
}

void Recommender::Impl::show(std::shared_ptr<const Snapshot> next) {
  const std::lock_guard swap(snapshot_mutex);
  snapshot.swap(next);
}

std::shared_ptr<const Snapshot> Recommender::Impl::with_contents(std::shared_ptr<const Snapshot> now,
                                                                 std::span<const ItemHandle> items, NewItems& known,
                                                                 const ReadContents* read) {
  const ContentTower& tower = *now->tower;
  FeatureTable features(tower.featurizer().shapes());
  std::vector<FeatureBlock> blocks(features.num_features());
  std::vector<ItemHandle> taken;
  for (const ItemHandle item : items) {
    if (!now->takes_content(item)) continue;
    try {
      if (read && read->tower == now->tower && read->rows.contains(item)) {
        const std::size_t row = read->rows.at(item);
        for (std::size_t f = 0; f < blocks.size(); ++f) blocks[f] = read->features.of(row, f);
        features.add_row(blocks);
      } else {
        tower.featurizer().apply(contents.of(item), features);
      }
      taken.push_back(item);
    } catch (const Error& error) {  // this model reads a field otherwise than the one that took it
      if (error.code() != ErrorCode::invalid_data) throw;
    }
  }
  std::vector<float> rows;
  std::vector<ContentFacts> facts;
  std::vector<ItemHandle> changed;
  for (std::size_t i = 0; i < taken.size(); ++i) {
    rows.resize(rows.size() + tower.dim());
    const auto row = std::span(rows).last(tower.dim());
    const bool says_something = tower.embed(row, features, i);
    if (!says_something && !now->content->has(taken[i])) {
      rows.resize(rows.size() - tower.dim());
      continue;
    }
    changed.push_back(taken[i]);
    ContentFacts& fact = facts.emplace_back();
    if (!says_something) continue;
    known.set_content(taken[i], row, *events_told);
    fact = known.describe(taken[i], row, tower.mean_length());
  }
  if (changed.empty()) return now;
  return with_content(*now, changed, rows, facts, ++editions);
}

// Nobody waits here, and least of all with a user's record locked: what cannot be taken in now is by whoever holds the
// content, or by the next.
void Recommender::Impl::learn(const UserRecord& user, ItemHandle item) {
  events_told->fetch_add(1, std::memory_order_relaxed);
  const std::shared_ptr<const Snapshot> now = current();
  const auto is_new = [&](ItemHandle one) { return now->content && now->content->has(one); };
  if (!is_new(item)) return;
  std::vector<float> vector(now->tower->dim()), before(vector.size());
  float found = 0;
  for (std::size_t back = user.items.size(); back-- > 0 && found < 3;) {
    try {
      if (is_new(user.items[back]) || !now->engine->vector(user.items[back], vector)) continue;
    } catch (const Error&) {  // damage, which an answer will meet and note
      continue;
    }
    for (std::size_t d = 0; d < vector.size(); ++d) before[d] += vector[d];
    ++found;
  }
  for (float& x : before) x /= std::max(found, 1.0f);
  if (found == 0) before.clear();
  {
    const std::lock_guard lock(learned_mutex);
    learned.push_back({item, now->generation, std::move(before)});
  }
  if (const std::unique_lock lock(content_mutex, std::try_to_lock); lock) take_in_events();
}

void Recommender::Impl::take_in_events() {
  std::vector<Learned> taken;
  {
    const std::lock_guard lock(learned_mutex);
    taken.swap(learned);
  }
  const std::shared_ptr<const Snapshot> now = current();
  std::vector<ItemHandle> items;
  for (const Learned& one : taken) {
    if (one.generation != now->generation || !now->content || !now->content->has(one.item)) continue;
    if (new_items->add_event(one.item, one.before)) items.push_back(one.item);
  }
  if (items.empty()) return;
  std::ranges::sort(items);
  items.erase(std::unique(items.begin(), items.end()), items.end());
  const std::size_t dim = now->tower->dim();
  std::vector<float> rows(items.size() * dim);
  std::vector<ContentFacts> facts;
  for (std::size_t i = 0; i < items.size(); ++i) {
    facts.push_back(new_items->describe(items[i], std::span(rows).subspan(i * dim, dim), now->tower->mean_length()));
  }
  show(with_content(*now, items, rows, facts, ++editions));
}

std::vector<FeatureContribution> Recommender::Impl::features_of(const Snapshot& now, ItemHandle item,
                                                                std::vector<float> user_vector) {
  constexpr std::size_t kMembers = 3;
  const ContentTower& tower = *now.tower;
  const Featurizer& featurizer = tower.featurizer();
  FeatureTable features(featurizer.shapes());
  {
    const std::lock_guard lock(content_mutex);
    featurizer.apply(contents.of(item), features);
  }
  const float length = now.engine->kind() == ScoreKind::dot ? 1.0f : detail::length_of(user_vector);
  for (float& x : user_vector) x *= now.content->facts(item).share / length;
  std::vector<FeatureContribution> contributions;
  for (std::size_t f = 0; f < featurizer.num_features(); ++f) {
    const FeatureBlock block = features.of(0, f);
    if (block.missing()) continue;
    std::vector<std::pair<float, std::size_t>> members;
    FeatureContribution& contribution = contributions.emplace_back();
    contribution.feature = featurizer.name(f);
    for (std::size_t c = 0; c < block.values.size(); ++c) {
      const std::size_t column = block.columns.empty() ? c : block.columns[c];
      const auto weights = tower.weights(f).subspan(column * tower.dim(), tower.dim());
      const float adds =
          block.values[c] * std::inner_product(weights.begin(), weights.end(), user_vector.begin(), 0.0f);
      contribution.weight += adds;
      if (adds > 0) members.emplace_back(adds, column);
    }
    std::ranges::sort(members, std::greater());
    members.resize(std::min(members.size(), kMembers));
    for (const auto& [adds, column] : members) contribution.members.push_back(featurizer.column_name(f, column));
  }
  std::ranges::stable_sort(contributions, std::greater(), &FeatureContribution::weight);
  return contributions;
}

}  // namespace attune::inline v0_1
