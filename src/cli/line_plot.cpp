// SPDX-License-Identifier: Apache-2.0
#include "cli/line_plot.hpp"

#include <algorithm>
#include <cmath>
#include <limits>

#include "cli/console.hpp"

namespace attune::cli {
namespace {

// Pixels.
constexpr double kWidth = 860, kHeight = 500, kLeft = 76, kRight = 100, kBottom = 60, kLine = 20;

// Colours stand in plain rules, twice, because few viewers but browsers know variables.
constexpr const char* kStyle = R"(<style>
  .ground { fill: #ffffff; }
  text { font: 13px system-ui, sans-serif; fill: #59636e; }
  .title { font-size: 17px; font-weight: 600; fill: #1f2328; }
  .grid { stroke: #d8dee4; }
  .mark { stroke: #6e7781; stroke-dasharray: 4 4; }
  .line { fill: none; stroke: #7d93ad; stroke-width: 1.5; stroke-linejoin: round; }
  .dot { fill: #7d93ad; }
  .best .line { stroke: #c4420b; stroke-width: 3; }
  .best .dot, .best text { fill: #c4420b; }
  .best text { paint-order: stroke; stroke: #ffffff; stroke-width: 4px; }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #14181d; }
    text { fill: #9aa4af; }
    .title { fill: #e6edf3; }
    .grid { stroke: #30363d; }
    .mark { stroke: #9aa4af; }
    .line { stroke: #6f87a3; }
    .dot { fill: #6f87a3; }
    .best .line { stroke: #ff8a4c; }
    .best .dot, .best text { fill: #ff8a4c; }
    .best text { stroke: #14181d; }
  }
</style>
)";

std::string escaped(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    if (c == '&')
      safe += "&amp;";
    else if (c == '<')
      safe += "&lt;";
    else if (c == '>')
      safe += "&gt;";
    else if (c == '"')
      safe += "&quot;";
    else
      safe += c;
  }
  return safe;
}

std::string at(double pixels) { return fixed(pixels, 1); }

// An attribute, with the space before it.
std::string attribute(const char* name, const std::string& value) {
  return std::string(" ") + name + "=\"" + value + '"';
}

std::string text_at(double x, double y, const char* anchor, const std::string& text, const std::string& more = "") {
  return "<text" + attribute("x", at(x)) + attribute("y", at(y)) + attribute("text-anchor", anchor) + more + '>' +
         escaped(text) + "</text>\n";
}

std::string line(const char* kind, double x1, double y1, double x2, double y2) {
  return "<line" + attribute("class", kind) + attribute("x1", at(x1)) + attribute("y1", at(y1)) +
         attribute("x2", at(x2)) + attribute("y2", at(y2)) + "/>\n";
}

// A range with round ends, which ticks divide in steps of 1, 2 or 5 times a power of ten.
class Axis {
 public:
  Axis(double low, double high, double least_step, double from, double to) : from_(from), to_(to) {
    constexpr double kTicks = 6;
    if (!(low < high)) {  // one value, or none
      low = std::isfinite(low) ? low : 0;
      high = low + std::max(least_step, std::abs(low) * 0.1);
    }
    const double power = std::pow(10.0, std::floor(std::log10((high - low) / kTicks)));
    step_ = 10 * power;
    for (const double factor : {5.0, 2.0, 1.0}) {
      if ((high - low) / (factor * power) <= kTicks) step_ = factor * power;
    }
    step_ = std::max(step_, least_step);
    low_ = std::floor(low / step_ + kSlack) * step_;
    high_ = std::ceil(high / step_ - kSlack) * step_;
  }
  double pixel(double value) const { return from_ + (value - low_) / (high_ - low_) * (to_ - from_); }
  std::vector<double> ticks() const {
    std::vector<double> all;
    for (double n = 0; low_ + n * step_ <= high_ + kSlack * step_; ++n) all.push_back(low_ + n * step_);
    return all;
  }
  std::string label(double tick) const {
    return fixed(tick, static_cast<int>(std::max(0.0, -std::floor(std::log10(step_) + kSlack))));
  }

 private:
  static constexpr double kSlack = 1e-9;  // of what rounding may have moved
  double from_, to_, step_ = 1, low_ = 0, high_ = 1;
};

std::string drawn(const LinePlot::Series& series, const Axis& x, const Axis& y) {
  std::string points;
  for (const auto& [px, py] : series.points) points += at(x.pixel(px)) + ',' + at(y.pixel(py)) + ' ';
  points.pop_back();
  const double end_x = x.pixel(series.points.back().first), end_y = y.pixel(series.points.back().second);
  std::string svg = series.highlighted ? "<g class=\"best\">" : "<g>";
  svg += "<title>" + escaped(series.name) + "</title>\n<polyline" + attribute("class", "line") +
         attribute("points", points) + "/>\n<circle" + attribute("class", "dot") + attribute("cx", at(end_x)) +
         attribute("cy", at(end_y)) + attribute("r", series.highlighted ? "4.5" : "3") + "/>\n";
  if (series.highlighted) svg += text_at(end_x + 9, end_y + 4, "start", series.label);
  return svg + "</g>\n";
}

// Of the curves; the subtitle stands above.
double top_of(const LinePlot& plot) { return 56 + kLine * static_cast<double>(plot.subtitle.size()); }

std::string drawn_axes(const LinePlot& plot, const Axis& x, const Axis& y) {
  const double right = kWidth - kRight, bottom = kHeight - kBottom, top = top_of(plot);
  std::string svg;
  for (const double tick : y.ticks()) {
    svg += line("grid", kLeft, y.pixel(tick), right, y.pixel(tick));
    svg += text_at(kLeft - 9, y.pixel(tick) + 4, "end", y.label(tick));
  }
  for (const double tick : x.ticks()) svg += text_at(x.pixel(tick), bottom + 20, "middle", x.label(tick));
  for (const double mark : plot.marks) svg += line("mark", x.pixel(mark), top, x.pixel(mark), bottom);
  svg += text_at((kLeft + right) / 2, kHeight - 16, "middle", plot.x_label);
  const double middle = (top + bottom) / 2;
  return svg + text_at(20, middle, "middle", plot.y_label, attribute("transform", "rotate(-90 20 " + at(middle) + ")"));
}

}  // namespace

std::string LinePlot::svg() const {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  double left = kInfinity, right = -kInfinity, low = kInfinity, high = -kInfinity;
  for (const Series& one : series) {
    for (const auto& [px, py] : one.points) {
      left = std::min(left, px);
      right = std::max(right, px);
      low = std::min(low, py);
      high = std::max(high, py);
    }
  }
  for (const double mark : marks) right = std::max(right, mark);
  const Axis x(std::min(left, 0.0), right, 1, kLeft, kWidth - kRight);
  const Axis y(low, high, 1e-4, kHeight - kBottom, top_of(*this));

  const std::string size = at(kWidth) + ' ' + at(kHeight);
  std::string svg = "<svg xmlns=\"http://www.w3.org/2000/svg\"" + attribute("viewBox", "0 0 " + size) +
                    attribute("role", "img") + attribute("aria-label", escaped(title)) + ">\n" + kStyle +
                    "<rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n" +
                    text_at(kLeft, 32, "start", title, attribute("class", "title")) + drawn_axes(*this, x, y);
  for (std::size_t i = 0; i < subtitle.size(); ++i) {
    svg += text_at(kLeft, 54 + kLine * static_cast<double>(i), "start", subtitle[i]);
  }
  for (const bool highlighted : {false, true}) {
    for (const Series& one : series) {
      if (one.highlighted == highlighted && !one.points.empty()) svg += drawn(one, x, y);
    }
  }
  return svg + "</svg>\n";
}

}  // namespace attune::cli
