// SPDX-License-Identifier: Apache-2.0
#include "cli/data_profile.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <nlohmann/json.hpp>
#include <numeric>
#include <vector>

#include "cli/plot.hpp"
#include "cli/report.hpp"

namespace attune::cli {
namespace {

constexpr double kPlotWidth = 480, kPlotHeight = 320;
constexpr double kSessionPause = 30 * 60;  // seconds without an event that end a session

std::string percent(double share) {
  if (share > 0 && share < 1e-4) return "less than 0.01 %";
  return fixed(100 * share, share == 0 ? 0 : share < 0.01 ? 2 : 1) + " %";
}

double ratio(std::size_t part, std::size_t whole) {
  return whole == 0 ? 0 : static_cast<double>(part) / static_cast<double>(whole);
}

std::string duration(double seconds) {
  if (seconds < 120) return fixed(seconds, 0) + " s";
  if (seconds < 120 * 60) return fixed(seconds / 60, 0) + " min";
  if (seconds < 48 * 3600) return fixed(seconds / 3600, 1) + " h";
  return fixed(seconds / 86400, 1) + " days";
}

template <class Number>
Number median(std::vector<Number> numbers) {
  const auto middle = numbers.begin() + std::ssize(numbers) / 2;
  std::nth_element(numbers.begin(), middle, numbers.end());
  return *middle;
}

Rows reading_rows(const Json& load) {
  const auto number = [&](const char* name) { return grouped(load[name].get<std::size_t>()); };
  if (load["form"] == "prepared") return {{"reading", "", ""}, {"folder", load["file"], "prepared before"}};
  Rows rows{{"reading", "", ""},
            {"file", load["file"], ""},
            {"lines", number("lines"), number("header_lines") + " header, " + number("blank_lines") + " blank"},
            {"records", number("records"), ""}};
  for (const Json& drop : load["dropped"]) {
    const std::string first =
        drop.contains("first_line") ? ", first in line " + grouped(drop["first_line"].get<std::size_t>()) : "";
    rows.push_back({"dropped", grouped(drop["lines"].get<std::size_t>()), drop["reason"].get<std::string>() + first});
  }
  rows.push_back({"kept", number("interactions"), ""});
  return rows;
}

// Pairs of a user and an item, each counted once.
std::size_t distinct_pairs(const Histories& histories) {
  std::vector<std::size_t> last_user(histories.num_items(), 0);
  std::size_t pairs = 0;
  for (std::size_t user = 0; user < histories.num_users(); ++user) {
    for (const ItemHandle item : histories.of(user).items)
      pairs += std::exchange(last_user[item], user + 1) != user + 1;
  }
  return pairs;
}

Rows size_rows(const Json& load, const Histories& histories) {
  const std::size_t events = histories.num_events(), users = histories.num_users(), items = histories.num_items();
  const std::size_t pairs = distinct_pairs(histories);
  Rows rows{{"what is left", "", ""},
            {"users", grouped(users), ""},
            {"items", grouped(items), ""},
            {"events", grouped(events), percent(ratio(events - pairs, events)) + " repeat an item of the user"},
            {"density", percent(ratio(pairs, users) / static_cast<double>(std::max<std::size_t>(1, items))),
             "of all pairs of a user and an item"}};
  if (!load["first_time"].is_null()) {
    const Timestamp first = load["first_time"], last = load["last_time"];
    rows.push_back({"time", date(first) + " to " + date(last), duration(static_cast<double>(last - first) / 1000)});
  }
  std::vector<std::size_t> of_kind(histories.event_kinds.size(), 0);
  for (const std::uint8_t kind : histories.kinds) ++of_kind[kind];
  for (std::size_t kind = 0; kind < of_kind.size(); ++kind) {
    const std::string& name = histories.event_kinds[kind];
    if (of_kind[kind] == 0 || of_kind[kind] == events) continue;
    rows.push_back({"events of a kind", grouped(of_kind[kind]), name.empty() ? "without a name" : name});
  }
  return rows;
}

// Items with the most events first.
std::vector<ItemHandle> by_events(const std::vector<std::size_t>& counts) {
  std::vector<ItemHandle> order(counts.size());
  std::iota(order.begin(), order.end(), ItemHandle{0});
  std::ranges::stable_sort(order, [&](ItemHandle a, ItemHandle b) { return counts[a] > counts[b]; });
  return order;
}

void add_tail(HtmlPage& page, const Histories& histories, const std::function<std::string(ItemHandle)>& title) {
  constexpr std::size_t kPoints = 200, kListed = 10;
  std::vector<std::size_t> counts(histories.num_items(), 0);
  for (const ItemHandle item : histories.items) ++counts[item];
  const std::vector<ItemHandle> order = by_events(counts);
  const std::size_t events = histories.num_events(), items = order.size(),
                    step = std::max<std::size_t>(1, items / kPoints);
  Plot plot{.title = "Share of the events that the most popular items have",
            .x_label = "% of the items, the most popular first",
            .y_label = "% of the events",
            .width = kPlotWidth,
            .height = kPlotHeight};
  Plot::Series series{.name = "events of the most popular items", .points = {{0, 0}}};
  std::size_t sum = 0, half = 0, tenth = 0;
  for (std::size_t i = 0; i < items; ++i) {
    sum += counts[order[i]];
    if (2 * sum < events) half = i + 1;
    if (10 * i < items) tenth = sum;
    if ((i + 1) % step == 0 || i + 1 == items)
      series.points.emplace_back(100 * ratio(i + 1, items), 100 * ratio(sum, events));
  }
  plot.series.push_back(std::move(series));
  page.figure(plot.element(), "The long tail: a tenth of the items have " + percent(ratio(tenth, events)) +
                                  " of the events, and half of the events are on " + plural(half + 1, "item", "items") +
                                  '.');
  Rows rows{{"item", "events", "share"}};
  for (std::size_t i = 0; i < std::min(kListed, items); ++i) {
    const std::size_t count = counts[order[i]];
    rows.push_back({title(order[i]), grouped(count), percent(ratio(count, events))});
  }
  page.table("The most popular items", rows);
}

// Bars on a logarithmic axis.
Plot histogram(const std::string& title, const std::string& x_label, const std::string& y_label) {
  Plot plot{.title = title, .x_label = x_label, .y_label = y_label, .width = kPlotWidth, .height = kPlotHeight};
  plot.series.push_back({.name = title, .form = Plot::Form::bars});
  return plot;
}

// A bar for a bin; none for empty ones in front of the others.
void add_bar(Plot& plot, std::size_t bin, double height, const std::string& name) {
  Plot::Series& bars = plot.series[0];
  if (bars.points.empty() && height == 0) return;
  const auto left = static_cast<double>(bin);
  if (bars.points.empty()) plot.x.range = {left, left};
  (*plot.x.range)[1] = left + 1;
  bars.points.emplace_back(left + 0.5, height);
  bars.names.push_back(name);
}

void add_lengths(HtmlPage& page, const Histories& histories) {
  std::vector<std::size_t> lengths;
  for (std::size_t user = 0; user < histories.num_users(); ++user) lengths.push_back(histories.of(user).size());
  std::vector<std::size_t> bins;  // from 2^i on
  for (const std::size_t length : lengths) {
    const auto bin = static_cast<std::size_t>(std::bit_width(std::max<std::size_t>(1, length))) - 1;
    bins.resize(std::max(bins.size(), bin + 1), 0);
    ++bins[bin];
  }
  Plot plot = histogram("Lengths of the histories", "events of a user", "% of the users");
  for (std::size_t bin = 0; bin < bins.size(); ++bin) {
    const std::size_t from = std::size_t{1} << bin;
    plot.x.ticks.push_back({static_cast<double>(bin), std::to_string(from)});
    add_bar(
        plot, bin, 100 * ratio(bins[bin], lengths.size()),
        grouped(from) + (bin == 0 ? "" : " to " + grouped(2 * from - 1)) + ": " + plural(bins[bin], "user", "users"));
  }
  page.figure(plot.element(), "Lengths of the histories: " + fixed(ratio(histories.num_events(), lengths.size()), 1) +
                                  " events a user in the mean, " + grouped(median(lengths)) + " in the median, " +
                                  grouped(*std::ranges::max_element(lengths)) + " at most.");
}

struct Pauses {
  std::vector<float> seconds;  // between two events of a user, none of them 0
  std::size_t all = 0, sessions = 0, timed = 0;
};

Pauses pauses_of(const Histories& histories) {
  Pauses pauses;
  for (std::size_t user = 0; user < histories.num_users() && !histories.times.empty(); ++user) {
    Timestamp before = kNoTime;
    for (const Timestamp time : histories.of(user).times) {
      if (time == kNoTime) continue;
      ++pauses.timed;
      const double seconds = before == kNoTime ? 0 : static_cast<double>(time - before) / 1000;
      pauses.sessions += before == kNoTime || seconds > kSessionPause;
      pauses.all += before != kNoTime;
      if (seconds > 0) pauses.seconds.push_back(static_cast<float>(seconds));
      before = time;
    }
  }
  return pauses;
}

void add_pauses(HtmlPage& page, const Histories& histories) {
  constexpr int kBinsPerDecade = 4;
  const Pauses pauses = pauses_of(histories);
  if (pauses.seconds.empty()) return;
  std::vector<std::size_t> bins;  // the first: below a second
  const auto seconds_at = [](std::size_t bin) {
    return std::pow(10.0, (static_cast<double>(bin) - 1) / kBinsPerDecade);
  };
  for (const float seconds : pauses.seconds) {
    const double place = std::floor(kBinsPerDecade * std::log10(static_cast<double>(seconds)));
    const auto bin = static_cast<std::size_t>(std::max(-1.0, place) + 1);
    bins.resize(std::max(bins.size(), bin + 1), 0);
    ++bins[bin];
  }
  Plot plot = histogram("Time between two events of a user", "time to the next event", "% of the pauses");
  for (std::size_t bin = 0; bin < bins.size(); ++bin) {
    add_bar(plot, bin, 100 * ratio(bins[bin], pauses.all),
            (bin == 0 ? "" : duration(seconds_at(bin)) + " to ") + duration(seconds_at(bin + 1)) + ": " +
                plural(bins[bin], "pause", "pauses"));
  }
  const std::vector<std::pair<double, const char*>> marks{{1, "1 s"},       {60, "1 min"},        {3600, "1 h"},
                                                          {86400, "1 day"}, {2592000, "30 days"}, {31536000, "1 year"}};
  for (const auto& [seconds, label] : marks) plot.x.ticks.push_back({1 + kBinsPerDecade * std::log10(seconds), label});
  page.figure(plot.element(), "Time between two events of a user, on a logarithmic axis: " +
                                  duration(static_cast<double>(median(pauses.seconds))) + " in the median" +
                                  (pauses.all == pauses.seconds.size()
                                       ? "."
                                       : "; " + percent(ratio(pauses.all - pauses.seconds.size(), pauses.all)) +
                                             " are between events of the same time and not shown."));
  page.paragraph("Where half an hour without an event ends a session there are " +
                 plural(pauses.sessions, "session", "sessions") + ", of " +
                 fixed(ratio(pauses.timed, pauses.sessions), 1) + " events each in the mean.");
}

}  // namespace

void add_data_profile(HtmlPage& page, const Json& load, const Histories& histories,
                      const std::function<std::string(ItemHandle)>& title) {
  page.section("data", "Data");
  page.table("How the file was read", reading_rows(load), 3);
  page.table("What there is to learn from and to measure with", size_rows(load, histories), 3);
  add_tail(page, histories, title);
  add_lengths(page, histories);
  add_pauses(page, histories);
}

}  // namespace attune::cli
