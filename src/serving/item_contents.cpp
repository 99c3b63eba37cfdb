// SPDX-License-Identifier: Apache-2.0
#include "serving/item_contents.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace attune::inline v0_1 {
namespace {

bool missing(const FieldValue& value) noexcept {
  switch (value.type()) {
    case FieldType::number: return std::isnan(value.number());
    case FieldType::vector: return value.vector().empty();
    default: return value.names().empty();
  }
}

}  // namespace

std::vector<FieldValue> ItemContents::of(ItemHandle item) const {
  std::vector<FieldValue> values;
  const auto known = items_.find(item);
  if (known == items_.end()) return values;
  for (const Field& field : known->second) {
    if (const auto* const text = std::get_if<std::string>(&field.value)) {
      values.emplace_back(field.name, *text);
    } else if (const auto* const number = std::get_if<double>(&field.value)) {
      values.emplace_back(field.name, *number);
    } else {
      values.emplace_back(field.name, std::span<const float>(std::get<std::vector<float>>(field.value)));
    }
  }
  return values;
}

void ItemContents::set(ItemHandle item, std::span<const FieldValue> changes) {
  if (changes.empty()) return;
  std::vector<Field>& fields = items_[item];
  std::erase_if(fields, [&](const Field& field) {
    return std::ranges::find(changes, field.name, &FieldValue::field) != changes.end();
  });
  for (const FieldValue& change : changes) {
    if (missing(change)) continue;
    Field field{std::string(change.field()), change.number()};
    if (change.type() == FieldType::category) field.value = std::string(change.names());
    if (change.type() == FieldType::vector) {
      field.value = std::vector<float>(change.vector().begin(), change.vector().end());
    }
    fields.push_back(std::move(field));
  }
  if (fields.empty()) items_.erase(item);
}

std::vector<ItemHandle> ItemContents::items() const {
  std::vector<ItemHandle> items;
  for (const auto& [item, fields] : items_) items.push_back(item);
  return items;
}

}  // namespace attune::inline v0_1
