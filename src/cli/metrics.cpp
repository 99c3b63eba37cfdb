// SPDX-License-Identifier: Apache-2.0

// attune metrics: the metrics of ready-made lists, so that any recommender can be measured by the same code, and of a
// policy on the decisions that another one logged.

#include <algorithm>
#include <array>
#include <nlohmann/json.hpp>
#include <ostream>
#include <unordered_map>

#include "attune/error.hpp"
#include "attune/training/evaluation.hpp"
#include "attune/training/off_policy.hpp"
#include "cli/input.hpp"
#include "cli/report.hpp"
#include "cli/verbs.hpp"
#include "data/json_object.hpp"

namespace attune::cli {
namespace {

// Checks what it reads and names the place in the file.
class Lists {
 public:
  explicit Lists(const std::string& file)
      : file_(file), document_(detail::parse_object<nlohmann::json>(read_text(file), file, ErrorCode::invalid_data)) {}

  std::vector<std::size_t> cutoffs() const {
    std::vector<std::size_t> cutoffs;
    for (const auto& cutoff : array("cutoffs")) {
      if (!cutoff.is_number_unsigned() || cutoff == 0) fail("whole numbers above 0 in cutoffs", cutoff.dump());
      cutoffs.push_back(cutoff.get<std::size_t>());
    }
    return cutoffs;
  }

  RankedLists lists() {
    RankedLists lists;
    lists.training_counts = counts();
    lists.recommended = id_lists("recommended", true);
    lists.relevant = id_lists("relevant", false);
    if (lists.recommended.size() != lists.relevant.size()) {
      fail("as many lists in relevant as in recommended (" + std::to_string(lists.recommended.size()) + ')',
           std::to_string(lists.relevant.size()));
    }
    if (document_.contains("history")) {
      lists.history = id_lists("history", false);
      if (lists.history.size() != lists.recommended.size()) {
        fail("as many lists in history as in recommended (" + std::to_string(lists.recommended.size()) + ')',
             std::to_string(lists.history.size()));
      }
    }
    if (document_.contains("train_item_users")) lists.training_users = training_users();
    if (document_.contains("categories")) lists.categories = categories();
    return lists;
  }

 private:
  [[noreturn]] void fail(const std::string& expected, const std::string& found) const {
    throw Error(ErrorCode::invalid_data, file_ + ": expected " + expected + ", found " + found);
  }

  const nlohmann::json& array(const char* field) const {
    const auto found = document_.find(field);
    if (found == document_.end() || !found->is_array()) fail(std::string("an array '") + field + '\'', "none");
    return *found;
  }

  // The catalogue: items in the order of their ids, by number where all are numbers.
  std::vector<std::uint64_t> counts() {
    const auto found = document_.find("train_item_count");
    if (found == document_.end() || !found->is_object()) fail("an object 'train_item_count'", "none");
    const auto number = [](const std::string& item) { return id_of(item, IdKind::int64); };
    std::vector<std::pair<std::string, std::uint64_t>> items;
    bool numbers = true;
    for (const auto& [item, count] : found->items()) {
      if (!count.is_number_unsigned()) fail("a count of '" + item + "' in train_item_count", count.dump());
      numbers = numbers && number(item).is_number();
      items.emplace_back(item, count.get<std::uint64_t>());
    }
    std::sort(items.begin(), items.end(), [&](const auto& a, const auto& b) {
      return numbers ? number(a.first).number() < number(b.first).number() : a.first < b.first;
    });
    std::vector<std::uint64_t> counts;
    for (const auto& [item, count] : items) {
      handles_.emplace(item, static_cast<std::uint32_t>(counts.size()));
      counts.push_back(count);
    }
    return counts;
  }

  // By item of the catalogue, null where a field of items lacks it.
  std::vector<const nlohmann::json*> by_item(const char* field) const {
    const nlohmann::json& object = document_.at(field);
    if (!object.is_object()) fail(std::string("an object '") + field + '\'', object.type_name());
    std::vector<const nlohmann::json*> values(document_.at("train_item_count").size(), nullptr);
    for (const auto& [item, value] : object.items()) {
      const auto found = handles_.find(item);
      if (found == handles_.end() || found->second >= values.size()) {
        fail(std::string("items of train_item_count in ") + field, '\'' + item + '\'');
      }
      values[found->second] = &value;
    }
    return values;
  }

  TrainingUsers training_users() const {
    TrainingUsers users;
    std::uint64_t most = 0;
    for (const nlohmann::json* count : by_item("train_item_users")) {
      if (count != nullptr && !count->is_number_unsigned()) fail("counts in train_item_users", count->dump());
      users.of_item.push_back(count == nullptr ? 0 : count->get<std::uint64_t>());
      most = std::max(most, users.of_item.back());
    }
    const auto total = document_.find("train_users");
    const bool number = total != document_.end() && total->is_number_unsigned();
    if (!number || total->get<std::uint64_t>() < most) {
      fail("a number of users 'train_users' that no item of train_item_users has more of",
           total == document_.end() ? "none" : total->dump());
    }
    users.total = total->get<std::uint64_t>();
    return users;
  }

  Categories categories() const {
    Categories categories;
    for (const nlohmann::json* names : by_item("categories")) {
      if (names != nullptr && !names->is_string()) fail("text in categories, as in \"Drama|War\"", names->dump());
      categories.add(names == nullptr ? "" : names->get_ref<const std::string&>());
    }
    return categories;
  }

  // A relevant item outside the catalogue can never be recommended; it gets a handle beyond it.
  std::vector<std::vector<std::uint32_t>> id_lists(const char* field, bool in_catalogue) {
    const std::size_t catalogue = document_["train_item_count"].size();
    std::vector<std::vector<std::uint32_t>> lists;
    for (const auto& list : array(field)) {
      const std::string place = std::string(field) + '[' + std::to_string(lists.size()) + ']';
      if (!list.is_array()) fail("an array at " + place, list.dump());
      std::vector<std::uint32_t>& handles = lists.emplace_back();
      for (const auto& item : list) {
        if (!item.is_string() && !item.is_number_integer()) fail("ids in " + place, item.dump());
        const std::string id = item.is_string() ? item.get<std::string>() : item.dump();
        const auto handle = handles_.emplace(id, static_cast<std::uint32_t>(handles_.size())).first->second;
        if (in_catalogue && handle >= catalogue) fail("items of train_item_count in " + place, item.dump());
        handles.push_back(handle);
      }
    }
    return lists;
  }

  std::string file_;
  nlohmann::json document_;
  std::unordered_map<std::string, std::uint32_t> handles_;
};

void measure_logged(const MetricsOptions& options, Console& console) {
  const auto executor = make_executor(options.common);
  OffPolicyOptions measuring;
  measuring.max_weight = options.clip.value_or(measuring.max_weight);
  measuring.seed = options.common.seed.value_or(measuring.seed);
  measuring.executor = executor.get();
  const std::vector<LoggedDecision> decisions = read_logged_decisions(options.logged);
  OffPolicyReport report;
  try {
    report = off_policy(decisions, measuring);
  } catch (const Error& error) {
    throw Error(error.code(), options.logged + ": " + error.what());
  }
  if (console.json()) {
    return console.object({{"decisions", report.decisions},
                           {"logged", report.logged},
                           {"ips", report.ips},
                           {"snips", report.snips},
                           {"confidence", {{"ips", report.ips_interval}, {"snips", report.snips_interval}}},
                           {"effective_sample_size", report.effective_sample_size},
                           {"mean_weight", report.mean_weight},
                           {"largest_weight", report.largest_weight},
                           {"clipped", report.clipped}});
  }
  std::ostream& out = console.text();
  out << plural(report.decisions, "decision", "decisions") << ", worth " << fixed(report.effective_sample_size, 1)
      << " of the new policy; weights " << fixed(report.mean_weight, 3) << " on average, "
      << fixed(report.largest_weight, 1) << " at most, " << grouped(report.clipped) << " clipped\n";
  const auto row = [](const char* name, double value, const std::array<double, 2>& interval) {
    return std::vector<std::string>{name, fixed(value, 4), fixed(interval[0], 4) + " to " + fixed(interval[1], 4)};
  };
  print_table(out, {{"", "reward", "95 % of resamples"},
                    {"logged", fixed(report.logged, 4)},
                    row("ips", report.ips, report.ips_interval),
                    row("snips", report.snips, report.snips_interval)});
}

}  // namespace

void run(const MetricsOptions& options, Console& console) {
  check_config(options.common);
  if (!options.logged.empty()) return measure_logged(options, console);
  if (options.file.empty()) throw UsageError("metrics: expected a file of lists or --logged, found neither");
  Lists input{options.file};
  const RankedLists lists = input.lists();
  const auto metrics = list_metrics(lists, input.cutoffs());
  if (console.json()) return console.object(metrics_json(metrics));
  std::ostream& out = console.text();
  out << plural(lists.recommended.size(), "list", "lists") << ", "
      << plural(lists.training_counts.size(), "item", "items") << '\n';
  print_metrics(out, metrics);
}

}  // namespace attune::cli
