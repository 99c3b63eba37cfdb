// SPDX-License-Identifier: Apache-2.0
#include "serving/compiled_policy.hpp"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "attune/error.hpp"
#include "data/text.hpp"

namespace attune::inline v0_1::detail {

CompiledPolicy::CompiledPolicy(const PolicyRules& rules, std::shared_ptr<const Catalogue> catalogue)
    : catalogue_(std::move(catalogue)) {
  const std::span<const ItemField> fields = catalogue_->fields();
  if (!rules.filter.empty()) filter_.emplace(Filter(rules.filter, fields, "PolicyRules::filter"));
  for (std::size_t i = 0; i < rules.boosts.size(); ++i) {
    const std::string rule = "PolicyRules::boosts[" + std::to_string(i) + "]";
    constexpr float kMost = 1e30f;  // a score and many of them have a finite sum
    if (!(std::abs(rules.boosts[i].amount) <= kMost)) {
      throw Error(ErrorCode::invalid_argument, rule + ".amount: expected a number of at most 1e30 in size, found " +
                                                   std::to_string(rules.boosts[i].amount));
    }
    boosts_.emplace_back(Filter(rules.boosts[i].filter, fields, rule + ".filter"));
    amounts_.push_back(rules.boosts[i].amount);
  }
  for (std::size_t i = 0; i < rules.caps.size(); ++i) {
    add_cap(rules.caps[i], "PolicyRules::caps[" + std::to_string(i) + "]");
  }
}

void CompiledPolicy::add_cap(const Cap& cap, const std::string& rule) {
  const std::span<const ItemField> fields = catalogue_->fields();
  const auto field = std::ranges::find(fields, cap.field, &ItemField::name);
  if (field == fields.end() || field->type != FieldType::category) {
    const std::string found = field == fields.end() ? in_quotes(cap.field, '"') : "the number " + cap.field;
    throw Error(ErrorCode::invalid_argument, rule + ".field: expected a category of RecommenderOptions::item_fields (" +
                                                 list_of(fields) + "), found " + found);
  }
  if (cap.most == 0) throw Error(ErrorCode::invalid_argument, rule + ".most: expected at least 1, found 0");
  capped_fields_.push_back(static_cast<std::size_t>(field - fields.begin()));
  caps_.push_back(cap.most);
}

template <class Visit>
void CompiledPolicy::for_each_filter(Visit&& visit) const {
  if (filter_) visit(*filter_);
  for (Matches& boost : boosts_) visit(boost);
}

void CompiledPolicy::refresh(const ItemColumns& columns, std::size_t groups) const {
  for_each_filter([&](Matches& matches) { matches.filter.find_names(columns, matches.names); });
  const auto update = [&](std::size_t group) {
    if (group >= groups_) return;
    for_each_filter([&](Matches& matches) { matches.update(columns, group); });
  };
  const bool caught_up = columns.visit_changed_groups(changes_, groups_, update);
  const std::size_t first = caught_up ? groups_ : 0;
  groups = std::max(groups_, groups);
  for_each_filter([&](Matches& matches) { matches.bits.resize(groups); });
  groups_ = groups;
  for (std::size_t group = first; group < groups; ++group) update(group);
  changes_ = columns.changes();
}

}  // namespace attune::inline v0_1::detail
