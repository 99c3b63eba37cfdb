// SPDX-License-Identifier: Apache-2.0
#pragma once

// The vectors of a model's items as a picture.

#include <functional>
#include <string>

#include "attune/data/categories.hpp"
#include "attune/model/checkpoint.hpp"
#include "cli/html.hpp"

namespace attune::cli {

// Adds a section with the items that have the most training events, along the two principal components of their
// vectors, in the colours of their `categories` (null: not known). Nothing of a model without vectors, or with too few.
void add_item_map(HtmlPage& page, const TrainedModel& model, const Categories* categories,
                  const std::function<std::string(ItemHandle)>& title);

}  // namespace attune::cli
