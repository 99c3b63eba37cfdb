// SPDX-License-Identifier: Apache-2.0
#pragma once

// Curves, dots and bars as SVG that follows the light or dark scheme of whoever looks at it.

#include <array>
#include <cstddef>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace attune::cli {

struct Plot {
  enum class Form { line, dots, bars };
  struct Series {
    std::string name;                                    // shown when pointed at
    std::vector<std::pair<double, double>> points = {};  // lines: ordered by x, with a dot at the last one
    bool highlighted = false;                            // drawn last
    std::string label = {};                              // of a line, at its end
    Form form = Form::line;                              // bars stand evenly on the axis
    std::vector<std::string> names = {};                 // of the points, in place of the one above
    std::size_t colour = 0;                              // of dots, below kColours
  };
  struct Tick {
    double value;
    std::string label;
  };
  struct Scale {
    std::vector<Tick> ticks = {};                               // round numbers unless there are some
    std::optional<std::array<double, 2>> range = std::nullopt;  // that of the points unless there is one
    double least_step = 1e-4;
  };
  static constexpr std::size_t kColours = 9;  // the last one is grey

  std::string title;
  std::vector<std::string> subtitle = {};  // lines
  std::string x_label, y_label;
  std::vector<Series> series = {};
  std::vector<double> marks = {};  // x of vertical lines
  Scale x = {.least_step = 1}, y = {};
  double width = 860, height = 500;  // pixels

  std::string svg() const;      // an image that stands alone
  std::string element() const;  // for a page that has style() and says the title itself; read aloud by the title
  static const char* style();   // rules of CSS
};

}  // namespace attune::cli
