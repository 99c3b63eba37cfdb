// SPDX-License-Identifier: Apache-2.0
#include "cli/plot.hpp"

#include <algorithm>
#include <cmath>
#include <limits>
#include <tuple>

#include "cli/console.hpp"
#include "cli/html.hpp"

namespace attune::cli {
namespace {

// Pixels.
constexpr double kLeft = 76, kBottom = 60, kLine = 20;

// Colours stand in plain rules, twice, because few viewers but browsers know variables.
constexpr const char* kStyle = R"(  .ground { fill: #ffffff; }
  text { font: 13px system-ui, sans-serif; fill: #59636e; }
  .title { font-size: 17px; font-weight: 600; fill: #1f2328; }
  .grid { stroke: #d8dee4; }
  .mark { stroke: #6e7781; stroke-dasharray: 4 4; }
  .line { fill: none; stroke: #7d93ad; stroke-width: 1.5; stroke-linejoin: round; }
  .dot, .bar { fill: #7d93ad; }
  .best .line { stroke: #c4420b; stroke-width: 3; }
  .best .dot, .best .bar, .best text { fill: #c4420b; }
  .best text { paint-order: stroke; stroke: #ffffff; stroke-width: 4px; }
  .c0 { fill: #3b7fc4; color: #3b7fc4; } .c1 { fill: #d9791a; color: #d9791a; } .c2 { fill: #2f9e6e; color: #2f9e6e; }
  .c3 { fill: #c2569b; color: #c2569b; } .c4 { fill: #b39a00; color: #b39a00; } .c5 { fill: #7a6fd0; color: #7a6fd0; }
  .c6 { fill: #a3623a; color: #a3623a; } .c7 { fill: #2aa5b5; color: #2aa5b5; } .c8 { fill: #8b949e; color: #8b949e; }
  @media (prefers-color-scheme: dark) {
    .ground { fill: #14181d; }
    text { fill: #9aa4af; }
    .title { fill: #e6edf3; }
    .grid { stroke: #30363d; }
    .mark { stroke: #9aa4af; }
    .line { stroke: #6f87a3; }
    .dot, .bar { fill: #6f87a3; }
    .best .line { stroke: #ff8a4c; }
    .best .dot, .best .bar, .best text { fill: #ff8a4c; }
    .best text { stroke: #14181d; }
  }
)";

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

// A range with round ends, which ticks divide in steps of 1, 2 or 5 times a power of ten; or as a scale has it.
class Axis {
 public:
  Axis(const Plot::Scale& scale, double low, double high, double from, double to) : from_(from), to_(to) {
    if (scale.range) std::tie(low, high) = std::pair((*scale.range)[0], (*scale.range)[1]);
    if (!(low < high)) {  // one value, or none
      low = std::isfinite(low) ? low : 0;
      high = low + std::max(scale.least_step, std::abs(low) * 0.1);
    }
    const double step = std::max(step_for(high - low), scale.least_step);
    const bool is_round = !scale.range && scale.ticks.empty();
    low_ = is_round ? std::floor(low / step + kSlack) * step : low;
    high_ = is_round ? std::ceil(high / step - kSlack) * step : high;
    for (const Plot::Tick& tick : scale.ticks) {
      if (tick.value >= low_ && tick.value <= high_) ticks_.push_back(tick);
    }
    if (!scale.ticks.empty()) return;
    const auto decimals = static_cast<int>(std::max(0.0, -std::floor(std::log10(step) + kSlack)));
    const double first = std::ceil(low_ / step - kSlack);
    for (double n = first; n * step <= high_ + kSlack * step; ++n) {
      ticks_.push_back({n * step, fixed(n == 0 ? 0.0 : n * step, decimals)});
    }
  }
  double pixel(double value) const { return from_ + (value - low_) / (high_ - low_) * (to_ - from_); }
  const std::vector<Plot::Tick>& ticks() const { return ticks_; }

 private:
  static constexpr double kSlack = 1e-9;  // of what rounding may have moved

  static double step_for(double length) {
    constexpr double kTicks = 6;
    const double power = std::pow(10.0, std::floor(std::log10(length / kTicks)));
    double step = 10 * power;
    for (const double factor : {5.0, 2.0, 1.0}) {
      if (length / (factor * power) <= kTicks) step = factor * power;
    }
    return step;
  }

  double from_, to_, low_ = 0, high_ = 1;
  std::vector<Plot::Tick> ticks_;
};

std::string circle(const std::string& kind, double x, double y, const char* radius, const std::string& name = "") {
  const std::string svg =
      "<circle" + attribute("class", kind) + attribute("cx", at(x)) + attribute("cy", at(y)) + attribute("r", radius);
  return name.empty() ? svg + "/>\n" : svg + "><title>" + escaped(name) + "</title></circle>\n";
}

std::string drawn_line(const Plot::Series& series, const Axis& x, const Axis& y) {
  std::string points, dots;
  for (std::size_t i = 0; i < series.points.size(); ++i) {
    const double px = x.pixel(series.points[i].first), py = y.pixel(series.points[i].second);
    if (i != 0) points += ' ';
    points += at(px) + ',' + at(py);
    if (i < series.names.size()) dots += circle("dot", px, py, "2.5", series.names[i]);
  }
  const double end_x = x.pixel(series.points.back().first), end_y = y.pixel(series.points.back().second);
  std::string svg = "<polyline" + attribute("class", "line") + attribute("points", points) + "/>\n" + dots +
                    circle("dot", end_x, end_y, series.highlighted ? "4.5" : "3");
  if (!series.label.empty()) svg += text_at(end_x + 9, end_y + 4, "start", series.label);
  return svg;
}

std::string drawn_dots(const Plot::Series& series, const Axis& x, const Axis& y) {
  const std::string kind = std::string("c").append(std::to_string(series.colour));
  std::string svg;
  for (std::size_t i = 0; i < series.points.size(); ++i) {
    const std::string name = i < series.names.size() ? series.names[i] : "";
    svg += circle(kind, x.pixel(series.points[i].first), y.pixel(series.points[i].second), "2.7", name);
  }
  return svg;
}

std::string drawn_bars(const Plot::Series& series, const Axis& x, const Axis& y) {
  const auto& points = series.points;
  const double step = points.size() < 2 ? 1 : points[1].first - points[0].first;
  const double width = std::max(1.0, 0.9 * (x.pixel(step) - x.pixel(0)));
  std::string svg;
  for (std::size_t i = 0; i < points.size(); ++i) {
    const double top = y.pixel(points[i].second);
    svg += "<rect" + attribute("class", "bar") + attribute("x", at(x.pixel(points[i].first) - width / 2)) +
           attribute("y", at(top)) + attribute("width", at(width)) + attribute("height", at(y.pixel(0) - top)) + '>';
    if (i < series.names.size()) svg += "<title>" + escaped(series.names[i]) + "</title>";
    svg += "</rect>\n";
  }
  return svg;
}

std::string drawn(const Plot::Series& series, const Axis& x, const Axis& y) {
  std::string svg = series.highlighted ? "<g class=\"best\">" : "<g>";
  if (series.names.empty()) svg += "<title>" + escaped(series.name) + "</title>\n";
  switch (series.form) {
    case Plot::Form::line: return svg + drawn_line(series, x, y) + "</g>\n";
    case Plot::Form::dots: return svg + drawn_dots(series, x, y) + "</g>\n";
    case Plot::Form::bars: break;
  }
  return svg + drawn_bars(series, x, y) + "</g>\n";
}

// Where the points are drawn, within the picture.
struct Frame {
  double left, top, right, bottom;
};

std::string drawn_axes(const Plot& plot, const Axis& x, const Axis& y, const Frame& frame) {
  std::string svg;
  for (const Plot::Tick& tick : y.ticks()) {
    svg += line("grid", frame.left, y.pixel(tick.value), frame.right, y.pixel(tick.value));
    svg += text_at(frame.left - 9, y.pixel(tick.value) + 4, "end", tick.label);
  }
  for (const Plot::Tick& tick : x.ticks()) {
    svg += text_at(x.pixel(tick.value), frame.bottom + 20, "middle", tick.label);
  }
  for (const double mark : plot.marks) svg += line("mark", x.pixel(mark), frame.top, x.pixel(mark), frame.bottom);
  svg += text_at((frame.left + frame.right) / 2, plot.height - 16, "middle", plot.x_label);
  const double middle = (frame.top + frame.bottom) / 2;
  return svg + text_at(20, middle, "middle", plot.y_label, attribute("transform", "rotate(-90 20 " + at(middle) + ")"));
}

// All that stands below the title.
std::string drawn_below(const Plot& plot, double top) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  constexpr double kRoom = 20, kRoomForLabels = 100;
  double left = 0, right = -kInfinity, low = kInfinity, high = -kInfinity, room = kRoom;
  for (const Plot::Series& one : plot.series) {
    if (!one.label.empty()) room = kRoomForLabels;
    if (one.form == Plot::Form::bars) low = std::min(low, 0.0);
    for (const auto& [px, py] : one.points) {
      left = std::min(left, px);
      right = std::max(right, px);
      low = std::min(low, py);
      high = std::max(high, py);
    }
  }
  for (const double mark : plot.marks) right = std::max(right, mark);
  const Frame frame{kLeft, top, plot.width - room, plot.height - kBottom};
  const Axis x(plot.x, left, right, frame.left, frame.right);
  const Axis y(plot.y, low, high, frame.bottom, frame.top);
  std::string svg = drawn_axes(plot, x, y, frame);
  for (const bool highlighted : {false, true}) {
    for (const Plot::Series& one : plot.series) {
      if (one.highlighted == highlighted && !one.points.empty()) svg += drawn(one, x, y);
    }
  }
  return svg;
}

std::string opening(const Plot& plot, const std::string& more) {
  return "<svg" + more + attribute("viewBox", "0 0 " + at(plot.width) + ' ' + at(plot.height)) +
         attribute("role", "img") + attribute("aria-label", escaped(plot.title)) + ">\n";
}

}  // namespace

const char* Plot::style() { return kStyle; }

std::string Plot::svg() const {
  std::string svg = opening(*this, " xmlns=\"http://www.w3.org/2000/svg\"") + "<style>\n" + kStyle + "</style>\n" +
                    "<rect class=\"ground\" width=\"100%\" height=\"100%\"/>\n" +
                    text_at(kLeft, 32, "start", title, attribute("class", "title"));
  for (std::size_t i = 0; i < subtitle.size(); ++i) {
    svg += text_at(kLeft, 54 + kLine * static_cast<double>(i), "start", subtitle[i]);
  }
  return svg + drawn_below(*this, 56 + kLine * static_cast<double>(subtitle.size())) + "</svg>\n";
}

std::string Plot::element() const {
  constexpr double kTop = 12;
  return opening(*this, "") + drawn_below(*this, kTop) + "</svg>\n";
}

}  // namespace attune::cli
