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

bool reads(const Featurizer& featurizer, std::string_view field) noexcept {
  return std::ranges::any_of(featurizer.features(), [&](const FeatureSpec& feature) {
    // A vector comes under the name of its feature, whatever columns of a file it was read from.
    if (feature.kind == FeatureKind::vector) return feature.name == field;
    return std::ranges::find(feature.fields(), field) != feature.fields().end();
  });
}

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
  const std::lock_guard lock(content_mutex);
  const std::shared_ptr<const Snapshot> now = current();
  if (!now->tower) return catalogue->upsert(items);
  const Featurizer& featurizer = now->tower->featurizer();
  FeatureTable features(featurizer.shapes());
  for (std::size_t i = 0; i < items.size(); ++i) {
    try {
      featurizer.apply(items[i].fields, features);
    } catch (const Error& error) {
      if (error.code() != ErrorCode::invalid_data) throw;
      throw Error(ErrorCode::invalid_argument, "upsert, item " + std::to_string(i) + " of the batch (" +
                                                   detail::in_quotes(to_string(items[i].id), '"') +
                                                   "): " + error.what());
    }
  }
  catalogue->upsert(for_catalogue(items, *catalogue, featurizer));
  std::vector<ItemHandle> handles;
  for (const Item& item : items) {
    handles.push_back(catalogue->find(item.id));
    contents.set(handles.back(), item.fields);
  }
  std::ranges::sort(handles);
  handles.erase(std::unique(handles.begin(), handles.end()), handles.end());
  auto next = with_contents(*now, handles);
  const std::lock_guard swap(snapshot_mutex);
  snapshot.swap(next);
}

std::shared_ptr<const Snapshot> Recommender::Impl::with_contents(const Snapshot& now,
                                                                 std::span<const ItemHandle> items) {
  const ContentTower& tower = *now.tower;
  FeatureTable features(tower.featurizer().shapes());
  std::vector<ItemHandle> read;
  for (const ItemHandle item : items) {
    try {
      tower.featurizer().apply(contents.of(item), features);
      read.push_back(item);
    } catch (const Error& error) {  // this model reads a field otherwise than the one that took it
      if (error.code() != ErrorCode::invalid_data) throw;
    }
  }
  std::vector<float> rows(read.size() * tower.dim()), terms;
  for (std::size_t i = 0; i < read.size(); ++i) {
    const auto vector = std::span(rows).subspan(i * tower.dim(), tower.dim());
    tower.embed(vector, features, i);
    new_items.set_content(read[i], vector);
    terms.push_back(new_items.describe(read[i], vector, tower.mean_length(), now.num_listed));
  }
  return with_content(now, read, rows, terms, ++editions);
}

std::vector<FeatureContribution> Recommender::Impl::features_of(const Snapshot& now, ItemHandle item,
                                                                std::vector<float> user_vector) {
  constexpr std::size_t kMembers = 3;
  const ContentTower& tower = *now.tower;
  const Featurizer& featurizer = tower.featurizer();
  FeatureTable features(featurizer.shapes());
  float share = 0;  // of content in the vector
  {
    const std::lock_guard lock(content_mutex);
    featurizer.apply(contents.of(item), features);
    share = new_items.content_share(item);
  }
  const float length = now.engine->kind() == ScoreKind::dot ? 1.0f : detail::length_of(user_vector);
  for (float& x : user_vector) x *= share / length;
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

void Recommender::Impl::learn(const UserRecord& user, ItemHandle item) {
  new_items.count_event();
  const auto is_new = [](const Snapshot& now, ItemHandle one) { return now.content && now.content->has(one); };
  if (!is_new(*current(), item)) return;
  const std::lock_guard lock(content_mutex);
  const std::shared_ptr<const Snapshot> now = current();
  if (!is_new(*now, item)) return;
  std::vector<float> vector(now->tower->dim()), before(vector.size());
  float found = 0;
  for (std::size_t back = user.items.size(); back-- > 0 && found < 3;) {
    try {
      if (is_new(*now, user.items[back]) || !now->engine->vector(user.items[back], vector)) continue;
    } catch (const Error& error) {
      note_damage(*now, error);
      continue;
    }
    for (std::size_t d = 0; d < vector.size(); ++d) before[d] += vector[d];
    ++found;
  }
  for (float& x : before) x /= std::max(found, 1.0f);
  if (!new_items.add_event(item, found == 0 ? std::span<const float>{} : before)) return;
  const float term = new_items.describe(item, vector, now->tower->mean_length(), now->num_listed);
  auto next = with_content(*now, {&item, 1}, vector, {&term, 1}, now->edition);
  const std::lock_guard swap(snapshot_mutex);
  snapshot.swap(next);
}

}  // namespace attune::inline v0_1
