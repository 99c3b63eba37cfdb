// SPDX-License-Identifier: Apache-2.0

// Two passes: files -> runs sorted by user, runs -> histories. In each, one part is made while the part before is put
// away.

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <limits>
#include <numeric>
#include <utility>

#include "attune/data/prepared.hpp"
#include "attune/error.hpp"
#include "data/byte_source.hpp"
#include "data/event_runs.hpp"
#include "data/prepared_files.hpp"
#include "platform/memory.hpp"

namespace attune::inline v0_1 {
namespace {

using detail::RunEvent;

// Of what a run takes for each event: columns that are read into, columns that are sorted, and the events in order.
constexpr std::size_t kBytesWhileReading = 2 * 21 + sizeof(RunEvent);
// Of what a block of histories takes: one that is read, one that is written, and a column of it.
constexpr std::size_t kBytesWhileGrouping = 2 * sizeof(RunEvent) + sizeof(Timestamp);
constexpr std::size_t kLeastEvents = 64;

struct SourceFile {
  std::string name;  // in messages
  detail::TimeColumn times;
  std::uint64_t end;  // the row behind its last event
};

// The events of one user in the order of the files: with times in milliseconds, by time. Positions order the events of
// a file within the rows that these have.
void order(std::span<RunEvent> events, std::span<const SourceFile> files) {
  const auto earlier = [](const RunEvent& a, const RunEvent& b) { return a.time < b.time; };
  auto file = files.begin();
  for (std::size_t begin = 0, end; begin < events.size(); begin = end) {
    while (events[begin].row >= file->end) ++file;
    for (end = begin; end < events.size() && events[end].row < file->end;) ++end;
    const auto own = events.subspan(begin, end - begin);
    if (file->times.kind() != detail::TimeColumn::Kind::position) {
      for (RunEvent& event : own) file->times.finish(std::span(&event.time, 1), file->name);
      continue;
    }
    std::vector<std::uint64_t> rows;
    for (const RunEvent& event : own) rows.push_back(event.row);
    std::stable_sort(own.begin(), own.end(), earlier);
    for (std::size_t i = 0; i < own.size(); ++i) {
      own[i].row = rows[i];
      own[i].time = kNoTime;
    }
  }
  if (!std::is_sorted(events.begin(), events.end(), earlier)) std::stable_sort(events.begin(), events.end(), earlier);
}

// Moves the first of those that have one time, item and kind to the front; returns how many are left.
std::size_t without_duplicates(std::span<RunEvent> events, std::vector<bool>& repeated,
                               std::vector<std::size_t>& rows) {
  const auto key = [&](std::size_t row) { return std::pair(events[row].item, events[row].kind); };
  repeated.assign(events.size(), false);
  for (std::size_t begin = 0, end; begin < events.size(); begin = end) {
    for (end = begin + 1; end < events.size() && events[end].time == events[begin].time;) ++end;
    if (end == begin + 1 || events[begin].time == kNoTime) continue;
    rows.clear();
    for (std::size_t row = begin; row < end; ++row) rows.push_back(row);
    std::ranges::sort(rows, [&](std::size_t a, std::size_t b) { return std::pair(key(a), a) < std::pair(key(b), b); });
    for (std::size_t i = 1; i < rows.size(); ++i) repeated[rows[i]] = key(rows[i]) == key(rows[i - 1]);
  }
  std::size_t kept = 0;
  for (std::size_t row = 0; row < events.size(); ++row) {
    if (!repeated[row]) events[kept++] = events[row];
  }
  return kept;
}

// The user behind the last one of each shard.
std::vector<UserHandle> ends_of_shards(std::span<const std::uint64_t> per_user, std::size_t events,
                                       std::size_t shards) {
  std::vector<UserHandle> ends;
  std::size_t user = 0, before = 0;
  for (std::size_t shard = 1; shard <= shards; ++shard) {
    const std::size_t last = per_user.size() - (shards - shard);  // the others have a user each
    do {
      before += per_user[user++];
    } while (user < last && (shard == shards || before < events / shards * shard));
    ends.push_back(static_cast<UserHandle>(user));
  }
  return ends;
}

class Preparation {
 public:
  Preparation(const PrepareOptions& options, Executor& executor, const std::filesystem::path& directory)
      : options_(options),
        executor_(executor),
        log_(options.reading.user_ids, options.reading.item_ids),
        runs_(directory / "runs"),
        writer_(directory) {}

  PrepareReport run(std::span<const std::string> files) {
    for (const std::string& file : files) read(file);
    detail::InteractionLoader::swap_events(log_, full_);
    runs_.add(full_, log_.user_ids().size());
    full_ = {};
    runs_.end();
    require_events();
    if (options_.progress) options_.progress("");
    const IdMap items = number_items();
    group([&](std::span<const RunEvent> events, std::span<const std::size_t> sizes) { writer_.add(events, sizes); },
          [&] { writer_.end_shard(); });
    platform::remove_file(runs_.path());
    report_.runs = runs_.num_runs();
    report_.users = log_.user_ids().size();
    report_.items = items.size();
    report_.interactions = writer_.num_events();
    report_.first_time = writer_.first_time();
    report_.last_time = writer_.last_time();
    writer_.finish(log_, items, report_, options_.reading.min_rating);
    return std::move(report_);
  }

 private:
  // Events of users [first, last).
  struct Block {
    UserHandle first = 0, last = 0;
    std::vector<RunEvent> events = {};
    bool ends_shard = false;
  };

  template <class First, class Second>
  void at_once(First first, Second second) {
    executor_.run(2, [&](std::size_t task, std::size_t) { task == 0 ? first() : second(); });
  }

  // Reads on while the run before is sorted. A run may go on into the next file.
  void read(const std::string& file) {
    if (options_.progress) options_.progress(file);
    const auto start = std::chrono::steady_clock::now();
    const std::size_t most = std::max(options_.memory / kBytesWhileReading, kLeastEvents);
    detail::InteractionLoader loader(file, options_.reading, log_);
    std::size_t interactions = 0;
    for (bool more = true; more;) {
      const std::size_t before = log_.size(), users = log_.user_ids().size();
      at_once([&] { more = loader.load_up_to(most); }, [&] { runs_.add(full_, users); });
      full_.clear();
      interactions += log_.size() - before;
      if (more) detail::InteractionLoader::swap_events(log_, full_);
    }
    sources_.push_back({detail::display_name(file), loader.times(), runs_.num_events() + log_.size()});
    LoadReport report = loader.report();
    report.interactions = interactions;
    report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    report_.files.push_back(std::move(report));
  }

  void require_events() const {
    if (runs_.num_runs() != 0) return;
    std::size_t records = 0;
    std::string dropped;
    for (const LoadReport& file : report_.files) {
      records += file.records;
      if (!dropped.empty() || file.dropped.empty()) continue;
      dropped = "; first dropped in line " + std::to_string(file.dropped[0].first_line) +
                (report_.files.size() == 1 ? "" : " of " + file.file) + ": " + file.dropped[0].reason;
    }
    const std::size_t others = report_.files.size() - 1;
    throw Error(ErrorCode::invalid_data,
                report_.files[0].file + (others == 0 ? "" : " and " + std::to_string(others) + " more") +
                    ": expected interactions, found none in " + std::to_string(records) + " records" + dropped);
  }

  // Items in the order of the events. Where positions have changed that, events get their new numbers from then on.
  IdMap number_items() {
    const IdMap& read = log_.item_ids();
    const auto ordered_by_position = [](const SourceFile& file) {
      return file.times.kind() == detail::TimeColumn::Kind::position;
    };
    if (std::ranges::none_of(sources_, ordered_by_position)) return std::move(log_.item_ids());
    std::vector<std::uint64_t> first_row(read.size(), std::numeric_limits<std::uint64_t>::max());
    const auto note = [&](std::span<const RunEvent> events, std::span<const std::size_t>) {
      for (const RunEvent& event : events) first_row[event.item] = std::min(first_row[event.item], event.row);
    };
    group(note, [] {});
    std::vector<ItemHandle> items(read.size());
    std::iota(items.begin(), items.end(), ItemHandle{0});
    std::ranges::sort(items, [&](ItemHandle a, ItemHandle b) { return first_row[a] < first_row[b]; });
    IdMap ids(read.kind());
    item_of_.resize(items.size());
    for (const ItemHandle item : items) item_of_[item] = ids.insert(read.id(item));
    return ids;
  }

  // Reads a block of histories while the one before is given to `take`.
  template <class Take, class EndShard>
  void group(Take take, EndShard end_shard) {
    const std::size_t most = std::max(options_.memory / 4 * 3 / kBytesWhileGrouping, kLeastEvents);
    const auto per_user = runs_.events_of_users();
    if (options_.shards > per_user.size()) {
      throw Error(ErrorCode::invalid_argument, "shards: expected at most one for each of the " +
                                                   std::to_string(per_user.size()) + " users, found " +
                                                   std::to_string(options_.shards));
    }
    const std::vector<UserHandle> shards = ends_of_shards(per_user, runs_.num_events(), options_.shards);
    detail::RunReader reader(runs_, options_.memory / 4);
    Block next, ready;
    for (Block* block : {&next, &ready}) {
      block->events.reserve(std::min(most, runs_.num_events()));
      platform::prefer_large_pages(block->events.data(), block->events.capacity() * sizeof(RunEvent));
    }
    const auto finish = [&] {
      const std::vector<std::size_t> sizes = tidy(ready, per_user);
      if (!sizes.empty()) take(std::span<const RunEvent>(ready.events), std::span(sizes));
      if (ready.ends_shard) end_shard();
    };
    report_.duplicates = 0;
    for (std::size_t shard = 0; shard < shards.size();) {
      next.first = next.last = ready.last;
      std::size_t size = 0;
      while (next.last < shards[shard] && (size == 0 || size + per_user[next.last] <= most)) {
        size += per_user[next.last++];
      }
      next.events.resize(size);
      next.ends_shard = next.last == shards[shard];
      at_once([&] { reader.read(next.first, next.last, next.events); }, finish);
      shard += next.ends_shard ? 1 : 0;
      std::swap(next, ready);
    }
    finish();
  }

  // Makes histories of the events of a block; returns how many each user has.
  std::vector<std::size_t> tidy(Block& block, std::span<const std::uint64_t> per_user) {
    std::vector<std::size_t> sizes;
    std::size_t read = 0, kept = 0;
    for (UserHandle user = block.first; user < block.last; read += per_user[user++]) {
      const auto own = std::span(block.events).subspan(read, per_user[user]);
      order(own, sources_);
      sizes.push_back(options_.drop_duplicates ? without_duplicates(own, repeated_, rows_) : own.size());
      report_.duplicates += own.size() - sizes.back();
      std::ranges::copy(own.first(sizes.back()), block.events.begin() + static_cast<std::ptrdiff_t>(kept));
      kept += sizes.back();
    }
    block.events.resize(kept);
    for (RunEvent& event : block.events) {
      if (!item_of_.empty()) event.item = item_of_[event.item];
    }
    return sizes;
  }

  const PrepareOptions& options_;
  Executor& executor_;
  InteractionLog log_;         // of what is read
  detail::EventColumns full_;  // of what is sorted meanwhile
  std::vector<SourceFile> sources_;
  detail::EventRuns runs_;
  detail::PreparedWriter writer_;
  PrepareReport report_;
  std::vector<ItemHandle> item_of_;  // by number in the log; empty: the same
  std::vector<bool> repeated_;
  std::vector<std::size_t> rows_;
};

}  // namespace

PrepareReport prepare_histories(std::span<const std::string> files, const std::string& folder,
                                const PrepareOptions& options, Executor* executor) {
  const auto start = std::chrono::steady_clock::now();
  const auto require = [](bool holds, const std::string& expected, std::size_t found) {
    if (!holds) throw Error(ErrorCode::invalid_argument, expected + ", found " + std::to_string(found));
  };
  require(!files.empty(), "files: expected at least 1", files.size());
  require(options.shards > 0, "shards: expected at least 1", options.shards);
  InlineExecutor calling_thread;
  PrepareReport report;
  platform::replace_directory(
      folder, detail::kPreparedManifest, platform::Access::by_umask, [&](const std::filesystem::path& fresh) {
        report = Preparation(options, executor != nullptr ? *executor : calling_thread, fresh).run(files);
      });
  report.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  return report;
}

}  // namespace attune::inline v0_1
