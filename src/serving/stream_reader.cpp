// SPDX-License-Identifier: Apache-2.0
#include "serving/stream_reader.hpp"

#include <algorithm>
#include <utility>

#include "attune/error.hpp"
#include "platform/process.hpp"
#include "serving/announced_item.hpp"

namespace attune::inline v0_1 {
namespace {

using Kind = StreamEntry::Kind;

constexpr std::size_t kKeptNews = 10'000;
constexpr std::chrono::milliseconds kReadWait{100};  // what stopping waits for
// A server that has become the master may have a clock that is behind by so much, in milliseconds: so much is read
// again after a failure, and what is read twice counts once.
constexpr std::uint64_t kReadAgain = 5'000;

}  // namespace

StreamReader::StreamReader(SharedStream& shared) : shared_(shared), retry_(shared.options.longest_pause) {
  thread_ = std::thread([this] { run(); });
}

StreamReader::~StreamReader() {
  {
    const std::lock_guard lock(mutex_);
    stopping_ = true;
  }
  retry_.stop({});
  wake_.notify_all();
  thread_.join();
}

void StreamReader::run() {
  const platform::BrokenPipesAreErrors no_signal;
  std::unique_ptr<EventStream> stream;
  for (;;) {
    {
      std::unique_lock lock(mutex_);
      wake_.wait(lock, [&] { return stopping_ || follower_ != nullptr; });
      if (stopping_) return;
    }
    try {
      if (!stream) {
        stream = std::make_unique<EventStream>(shared_);
        resume(*stream);
      }
      read(*stream);
      retry_.succeeded();
      note("");
    } catch (const std::exception& error) {
      stream.reset();
      note(error.what());
      retry_.pause();
    }
  }
}

// Where reading goes on: a little before what was read, or at the beginning of a stream that is not what it was.
void StreamReader::resume(EventStream& stream) {
  catch_up(stream);
  const bool is_another = stream.last() < position_;
  position_ = is_another ? EntryId{} : EntryId{position_.time - std::min(position_.time, kReadAgain), 0};
}

void StreamReader::read(EventStream& stream) {
  bool follows = true;
  const std::uint64_t missed_before = missed_;
  stream.read(position_, kReadWait,
              [&](const StreamEntry& entry, const RedisValue&) { follows = follows && take_in(entry); });
  if (missed_ != missed_before) catch_up(stream);
  tell_news();
}

// What is kept beside the stream, and may have been trimmed from it before this host came to it.
void StreamReader::catch_up(EventStream& stream) {
  untold_.merge(stream.load_forgotten());
  const std::lock_guard call(calls_);
  StoreFollower* follower = nullptr;
  {
    const std::lock_guard lock(mutex_);
    follower = follower_;
  }
  if (follower == nullptr) return;
  const auto attempt = [](auto call_it) {
    try {
      call_it();
    } catch (...) {  // what a follower throws is lost
    }
  };
  if (!untold_.empty()) {
    attempt([&] {
      follower->forgotten([&](const Id& user) { return untold_.contains(shared_.forgotten.hash_of(user)); });
    });
    untold_.clear();
  }
  for (std::size_t i = 0; i < again_.size(); ++i) attempt([&] { follower->observed(again_[i]); });
  again_.clear();
  if (!owes_profiles_) return;
  stream.visit_profiles(
      [&](const Id& user, std::string_view profile) { attempt([&] { follower->profile_put(user, profile); }); });
  owes_profiles_ = false;
}

// False where nobody follows any more.
bool StreamReader::take_in(const StreamEntry& entry) {
  const std::lock_guard call(calls_);
  StoreFollower* follower = nullptr;
  {
    const std::lock_guard lock(mutex_);
    follower = follower_;
  }
  if (follower == nullptr) return false;
  if (is_new(entry)) tell(*follower, entry);
  position_ = entry.id;
  newest_ = std::max(newest_, entry.id);
  return true;
}

bool StreamReader::is_new(const StreamEntry& entry) {
  if (entry.host.empty()) return entry.id > newest_;
  std::uint64_t skipped = 0;
  if (!numbers_.take(entry.host, entry.number, skipped)) return false;
  if (entry.host != shared_.host) missed_ += skipped;
  return true;
}

void StreamReader::tell(StoreFollower& follower, const StreamEntry& entry) {
  const bool is_own = entry.host == shared_.host;
  try {
    switch (entry.kind) {
      case Kind::foreign: ++foreign_; return;
      case Kind::event: return is_own ? void() : follower.observed(entry.event);
      case Kind::profile: return is_own ? void() : follower.profile_put(entry.event.user, entry.text);
      case Kind::forgotten:
        if (is_own) return;
        shared_.forgotten.add(entry.forgotten);
        return follower.forgotten([&](const Id& user) { return shared_.forgotten.hash_of(user) == entry.forgotten; });
      default: keep(entry);
    }
  } catch (...) {  // what a follower throws is lost
  }
}

// An announcement, for whoever listens.
void StreamReader::keep(const StreamEntry& entry) {
  News one{entry.kind, {}, std::string(entry.text)};
  if (!entry.event.item.empty()) one.item = encoded(entry.event.item);
  const std::lock_guard lock(mutex_);
  if (one.kind == Kind::model) std::erase_if(news_, [](const News& other) { return other.kind == Kind::model; });
  news_.push_back(std::move(one));
  if (news_.size() > kKeptNews) news_.pop_front();
}

void StreamReader::tell_news() {
  for (;;) {
    const std::lock_guard call(calls_);
    std::function<void(const Announcement&)> hear;
    News one;
    {
      const std::lock_guard lock(mutex_);
      if (follower_ == nullptr || !hear_ || news_.empty()) return;
      hear = hear_;
      one = std::move(news_.front());
      news_.pop_front();
    }
    try {
      const Id item = decoded(one.item);
      switch (one.kind) {
        case Kind::model: hear({.kind = Announcement::Kind::model, .model = one.text}); break;
        case Kind::gone_item: hear({.kind = Announcement::Kind::gone_item, .model = {}, .item = {.id = item}}); break;
        default: hear({.kind = Announcement::Kind::item, .model = {}, .item = AnnouncedItem(item, one.text).item()});
      }
    } catch (...) {  // what a host throws is lost, and so is what no store has written
    }
  }
}

// What stands there once, but not what is to be erased.
void StreamReader::scan(EventStream& stream, const EntryId& until, ReadNumbers& known,
                        const std::function<void(const StreamEntry&)>& visit) {
  const EventStream::Erasures erased = stream.erasures();
  std::uint64_t skipped = 0;
  stream.scan({}, until, [&](const StreamEntry& entry, const RedisValue&) {
    const bool is_first = entry.host.empty() || known.take(entry.host, entry.number, skipped);
    if (is_first && !stream.is_erased(erased, entry)) visit(entry);
  });
}

void StreamReader::replay(EventStream& stream, const std::function<void(const Interaction&)>& visit) {
  std::unordered_set<std::uint64_t> added = stream.load_forgotten();
  if (!followed_ && !added.empty()) {  // a model may be served already, and profiles
    untold_.merge(added);
    owes_profiles_ = true;
  }
  stream.finish_erasures();
  stream.rewrite_files();
  const EntryId end = stream.last();  // of who is forgotten behind it, the follower is told
  ReadNumbers known;
  EntryId read;
  const auto go_on_behind = [&](const EntryId& place) {
    if (followed_) return;
    numbers_ = std::move(known);
    position_ = newest_ = place;
  };
  try {
    scan(stream, end, known, [&](const StreamEntry& entry) {
      read = entry.id;
      if (entry.kind == Kind::event) {
        if (!followed_ && untold_.contains(shared_.forgotten.hash_of(entry.event.user))) again_.push({&entry.event, 1});
        return visit(entry.event);
      }
      if (followed_ || entry.kind == Kind::profile || entry.kind == Kind::forgotten) return;
      entry.kind == Kind::foreign ? static_cast<void>(++foreign_) : keep(entry);
    });
  } catch (...) {
    go_on_behind(read);
    throw;
  }
  go_on_behind(end);
}

std::uint64_t StreamReader::visit(EventStream& stream, const Id& user,
                                  const std::function<void(const Interaction&)>& visit) {
  ReadNumbers known;
  scan(stream, stream.last(), known, [&](const StreamEntry& entry) {
    if (entry.kind == Kind::event && entry.event.user == user) visit(entry.event);
  });
  return known.last(shared_.host);
}

void StreamReader::follow(StoreFollower* follower) {
  {
    const std::lock_guard lock(mutex_);
    if (follower != nullptr && follower_ != nullptr) {
      throw Error(ErrorCode::unsupported,
                  "event store: expected a store that nobody follows, found one of another recommender");
    }
    follower_ = follower;
    followed_ = true;
  }
  wake_.notify_all();
  if (follower == nullptr) wait_for_calls();
}

void StreamReader::listen(std::function<void(const Announcement&)> hear) {
  {
    const std::lock_guard lock(mutex_);
    hear_.swap(hear);
  }
  wait_for_calls();
}

void StreamReader::wait_for_calls() {
  if (std::this_thread::get_id() != thread_.get_id()) const std::lock_guard call(calls_);
}

void StreamReader::note(std::string_view error) {
  const std::lock_guard lock(mutex_);
  if (error_ != error) error_ = error;
}

std::string StreamReader::error() const {
  const std::lock_guard lock(mutex_);
  return error_;
}

}  // namespace attune::inline v0_1
