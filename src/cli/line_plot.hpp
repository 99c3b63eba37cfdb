// SPDX-License-Identifier: Apache-2.0
#pragma once

// Curves as an SVG image that stands alone and follows the light or dark scheme of whoever looks at it.

#include <string>
#include <utility>
#include <vector>

namespace attune::cli {

struct LinePlot {
  struct Series {
    std::string name;                                    // shown when pointed at
    std::vector<std::pair<double, double>> points = {};  // ordered by x; drawn with a dot at the last one
    bool highlighted = false;                            // drawn last, and named at its end
    std::string label = {};                              // that name
  };
  std::string title;
  std::vector<std::string> subtitle = {};  // lines
  std::string x_label, y_label;
  std::vector<Series> series = {};
  std::vector<double> marks = {};  // x of vertical lines

  std::string svg() const;
};

}  // namespace attune::cli
