// SPDX-License-Identifier: Apache-2.0
#include "attune/data/split.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <numeric>
#include <span>
#include <utility>

#include "attune/error.hpp"

namespace attune::inline v0_1 {

namespace {

constexpr std::string_view kTemporal = "temporal";
constexpr std::string_view kLeaveOneOut = "leave-one-out";
constexpr std::string_view kNone = "none";

// The part of a user's history that trains; the events behind it validate, those behind them test.
struct Bounds {
  std::size_t train, validation;  // ends
};

// A copy that keeps the events of each user before ends[user]. Where that is all of them, mapped columns are shared.
Histories first_events(const Histories& all, std::span<const std::size_t> ends) {
  if (std::accumulate(ends.begin(), ends.end(), std::size_t{0}) == all.num_events()) return all;
  Histories first;
  first.user_ids = all.user_ids;
  first.item_ids = all.item_ids;
  first.event_kinds = all.event_kinds;
  first.offsets.reserve(all.offsets.size());
  for (const std::size_t end : ends) first.offsets.push_back(first.offsets.back() + end);
  const auto cut = [&](auto& to, const auto& from) {
    if (from.empty()) return;
    to.reserve(first.offsets.back());
    for (std::size_t user = 0; user < all.num_users(); ++user) {
      const auto begin = from.begin() + static_cast<std::ptrdiff_t>(all.offsets[user]);
      to.insert(to.end(), begin, begin + static_cast<std::ptrdiff_t>(ends[user]));
    }
  };
  cut(first.items, all.items);
  cut(first.times, all.times);
  cut(first.kinds, all.kinds);
  cut(first.values, all.values);
  return first;
}

bool same_ids(const IdMap* a, const IdMap* b) {
  if (a == b || a == nullptr || b == nullptr) return a == b;
  if (a->kind() != b->kind() || a->size() != b->size()) return false;
  for (std::uint32_t handle = 0; handle < a->size(); ++handle) {
    if (a->id(handle) != b->id(handle)) return false;
  }
  return true;
}

// One query per event of [begin, end), or per run of equal times.
void add_queries(std::vector<EvaluationQueries::Query>& queries, const Histories& all, std::size_t user,
                 std::size_t begin, std::size_t end, bool baskets) {
  const auto times = all.of(user).times;
  while (begin < end) {
    std::size_t next = begin + 1;
    while (baskets && next < end && times[next] == times[begin]) ++next;
    queries.push_back(
        {static_cast<UserHandle>(user), static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(next - begin)});
    begin = next;
  }
}

std::vector<Bounds> leave_one_out_bounds(const Histories& all) {
  std::vector<Bounds> bounds;
  bounds.reserve(all.num_users());
  for (std::size_t user = 0; user < all.num_users(); ++user) {
    const std::size_t events = all.of(user).size();
    bounds.push_back(events < 3 ? Bounds{events, events} : Bounds{events - 2, events - 1});
  }
  return bounds;
}

// The time that `fraction` of the events in [first, last), which it reorders, are not later than. It is the time of an
// event. kNoTime, before which nothing happens, for no events.
Timestamp time_quantile(std::vector<Timestamp>::iterator first, std::vector<Timestamp>::iterator last,
                        double fraction) {
  if (first == last) return kNoTime;
  const auto events = last - first;
  const auto rank = static_cast<std::ptrdiff_t>(std::llround(fraction * static_cast<double>(events)));
  const auto quantile = first + std::clamp<std::ptrdiff_t>(rank - 1, 0, events - 1);
  std::nth_element(first, quantile, last);
  return *quantile;
}

std::vector<Bounds> temporal_bounds(const Histories& all, double fraction) {
  constexpr double kValidationBegin = 0.9;
  if (all.times.empty() && all.num_events() > 0) {
    throw Error(ErrorCode::invalid_data,
                "split temporal: expected events with times, found only their order; leave-one-out needs no times");
  }
  std::vector<Timestamp> times(all.times.begin(), all.times.end());
  const Timestamp last_before_test = time_quantile(times.begin(), times.end(), fraction);
  const auto test_begin =
      std::partition(times.begin(), times.end(), [&](Timestamp time) { return time <= last_before_test; });
  const Timestamp last_training = time_quantile(times.begin(), test_begin, kValidationBegin);

  std::vector<Bounds> bounds;
  bounds.reserve(all.num_users());
  for (std::size_t user = 0; user < all.num_users(); ++user) {
    const auto own = all.of(user).times;
    const auto not_later = [&](Timestamp time) {
      return static_cast<std::size_t>(std::upper_bound(own.begin(), own.end(), time) - own.begin());
    };
    bounds.push_back({not_later(last_training), not_later(last_before_test)});
  }
  return bounds;
}

std::vector<Bounds> find_bounds(const Histories& all, const SplitOptions& options) {
  if (options.kind == SplitOptions::Kind::leave_one_out) return leave_one_out_bounds(all);
  if (options.kind == SplitOptions::Kind::temporal) return temporal_bounds(all, options.fraction);
  std::vector<Bounds> bounds;
  for (std::size_t user = 0; user < all.num_users(); ++user)
    bounds.push_back({all.of(user).size(), all.of(user).size()});
  return bounds;
}

// Of the training events with a time, the share behind the median test event, in percent; "" where none is known.
std::string share_after_test(const Split& split) {
  std::vector<Timestamp> tests;
  for (const auto& query : split.test.queries) tests.push_back(split.test.time(query));
  std::erase(tests, kNoTime);
  std::size_t known = 0, later = 0;
  const Timestamp median = time_quantile(tests.begin(), tests.end(), 0.5);
  for (const Timestamp time : split.train.times) {
    known += time != kNoTime;
    later += time > median;
  }
  if (tests.empty() || known == 0) return "";
  std::array<char, 32> digits;
  const double percent = 100.0 * static_cast<double>(later) / static_cast<double>(known);
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), percent, std::chars_format::fixed, 1);
  return std::string(digits.data(), end.ptr) + " %";
}

std::string note_of(const Split& split) {
  if (split.options.kind == SplitOptions::Kind::none) return "no part is held out: nothing can be measured";
  const bool leave_one_out = split.options.kind == SplitOptions::Kind::leave_one_out;
  std::string note;
  if (leave_one_out) {
    note =
        "leave-one-out trains on events that happened after the held-out ones of other users: numbers are higher "
        "than in a live system; a temporal split has no such leak";
  }
  const auto add = [&](const std::string& text) { note += (note.empty() ? "" : "; ") + text; };
  const std::string later = leave_one_out ? share_after_test(split) : "";
  if (!later.empty()) add(later + " of the training events are later than the median test event");
  const char* const reason = leave_one_out ? "no user has three events" : "too few events differ in time";
  if (split.train.num_events() == 0) add("the training part is empty");
  if (split.validation.empty()) add(std::string("the validation part is empty: ") + reason);
  if (split.test.empty()) add(std::string("the test part is empty: ") + reason);
  return note;
}

}  // namespace

SplitOptions SplitOptions::parse(std::string_view text) {
  SplitOptions options;
  if (text == kLeaveOneOut) {
    options.kind = Kind::leave_one_out;
    return options;
  }
  if (text == kNone) {
    options.kind = Kind::none;
    return options;
  }
  if (text == kTemporal) return options;
  if (text.starts_with(kTemporal) && text.substr(kTemporal.size()).starts_with(":")) {
    const std::string_view number = text.substr(kTemporal.size() + 1);
    const char* const end = number.data() + number.size();
    const auto [parsed, error] = std::from_chars(number.data(), end, options.fraction);
    if (error == std::errc() && parsed == end && options.fraction > 0 && options.fraction < 1) return options;
  }
  throw Error(
      ErrorCode::invalid_argument,
      "split: expected leave-one-out, temporal, temporal:F with 0 < F < 1, or none; found '" + std::string(text) + "'");
}

std::string SplitOptions::name() const {
  if (kind == Kind::leave_one_out) return std::string(kLeaveOneOut);
  if (kind == Kind::none) return std::string(kNone);
  std::array<char, 32> digits;
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), fraction);
  return std::string(kTemporal) + ":" + std::string(digits.data(), end);
}

Split split(Histories histories, const SplitOptions& asked) {
  SplitOptions options = asked;
  options.baskets = asked.baskets && asked.kind == SplitOptions::Kind::temporal;
  if (!(options.fraction > 0 && options.fraction < 1)) {
    throw Error(ErrorCode::invalid_argument,
                "split: fraction: expected a number between 0 and 1, found " + std::to_string(options.fraction));
  }
  const auto all = std::make_shared<const Histories>(std::move(histories));
  const std::vector<Bounds> bounds = find_bounds(*all, options);

  std::vector<std::size_t> training_ends;
  training_ends.reserve(bounds.size());
  for (const Bounds& of_user : bounds) training_ends.push_back(of_user.train);
  Split result{options, all, first_events(*all, training_ends), {all, {}}, {all, {}}, {}};
  for (std::size_t user = 0; user < all->num_users(); ++user) {
    const auto [train, validation] = bounds[user];
    add_queries(result.validation.queries, *all, user, train, validation, options.baskets);
    add_queries(result.test.queries, *all, user, validation, all->of(user).size(), options.baskets);
  }
  result.note = note_of(result);
  return result;
}

Histories with_targets(const Histories& train, const EvaluationQueries& queries) {
  if (queries.empty()) return train;
  const Histories& all = *queries.histories;
  const std::size_t users = train.num_users();
  const auto refuse = [](const std::string& expected, const std::string& found) {
    throw Error(ErrorCode::invalid_data, "queries: expected " + expected + ", found " + found);
  };
  if (all.num_users() != users) {
    refuse("the " + std::to_string(users) + " users of the training histories", std::to_string(all.num_users()));
  }
  if (!same_ids(all.item_ids.get(), train.item_ids.get())) refuse("the item ids of the training histories", "others");
  std::vector<std::size_t> ends(users);
  for (std::size_t user = 0; user < users; ++user) {
    const HistoryView first = train.of(user), whole = all.of(user);
    ends[user] = first.size();
    if (first.size() > whole.size() || !std::ranges::equal(first.items, whole.items.first(first.size())) ||
        !std::ranges::equal(first.times, whole.times.first(std::min(first.times.size(), whole.times.size())))) {
      refuse("histories that begin with those of training", "another at user handle " + std::to_string(user));
    }
  }
  for (const EvaluationQueries::Query& query : queries.queries) {
    const std::size_t end = std::size_t{query.history_length} + query.num_targets;
    if (query.user >= users || end > all.of(query.user).size()) {
      refuse("targets within the histories", "some beyond at user handle " + std::to_string(query.user));
    }
    ends[query.user] = std::max(ends[query.user], end);
  }
  Histories learned = first_events(all, ends);
  learned.user_ids = train.user_ids;
  learned.item_ids = train.item_ids;
  return learned;
}

}  // namespace attune::inline v0_1
