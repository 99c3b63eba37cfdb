// SPDX-License-Identifier: Apache-2.0
#include "serving/event_stream.hpp"

#include <charconv>
#include <thread>
#include <utility>
#include <vector>

#include "attune/error.hpp"
#include "data/id_table.hpp"
#include "platform/random.hpp"

namespace attune::inline v0_1 {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kEntriesOfAnswer = 1'000;
constexpr const char* kEntriesOfAnswerText = "1000";
constexpr const char* kLifeOfCopy = "60000";  // milliseconds beyond the last change
constexpr int kMostCopies = 100;              // each made because another host wrote the stream anew meanwhile

// All in one step: the entry that tells other hosts, who is to be erased up to it, and who was ever forgotten.
constexpr const char* kForget =
    "local id = redis.call('XADD', KEYS[1], '*', 'host', ARGV[1], 'number', ARGV[2], 'forgotten', ARGV[3]) "
    "redis.call('HSET', KEYS[2], ARGV[3], id) "
    "redis.call('SADD', KEYS[3], ARGV[3]) "
    "redis.call('HDEL', KEYS[4], ARGV[4]) "
    "return id";

// Takes over what came while the copy was made, and puts it in the place of the stream, unless somebody else has put
// another there or the copy is not whole: it may have expired in between.
constexpr const char* kSwap =
    "if (redis.call('GET', KEYS[3]) or '0') ~= ARGV[2] or redis.call('XLEN', KEYS[2]) ~= tonumber(ARGV[3]) then "
    "  redis.call('DEL', KEYS[2]) "
    "  return 0 "
    "end "
    "for _, entry in ipairs(redis.call('XRANGE', KEYS[1], '(' .. ARGV[1], '+')) do "
    "  redis.call('XADD', KEYS[2], entry[1], unpack(entry[2])) "
    "end "
    "if redis.call('EXISTS', KEYS[2]) == 1 then "
    "  local info = redis.call('XINFO', 'STREAM', KEYS[1]) "
    "  for i = 1, #info, 2 do "
    "    if info[i] == 'last-generated-id' then redis.call('XSETID', KEYS[2], info[i + 1]) end "
    "  end "
    "  redis.call('RENAME', KEYS[2], KEYS[1]) "
    "  redis.call('PERSIST', KEYS[1]) "
    "else "  // nobody has any
    "  redis.call('XTRIM', KEYS[1], 'MAXLEN', '0') "
    "end "
    "redis.call('SET', KEYS[5], redis.call('INCR', KEYS[3])) "
    "for i = 4, #ARGV, 2 do "
    "  if redis.call('HGET', KEYS[4], ARGV[i]) == ARGV[i + 1] then redis.call('HDEL', KEYS[4], ARGV[i]) end "
    "end "
    "return 1";

constexpr const char* kDeleteUnchanged = "if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('DEL', KEYS[1]) end";

// The value of a line "name:value"; "" where there is none.
std::string_view value_of(std::string_view info, std::string_view name) {
  for (std::size_t at = info.find(name); at != std::string_view::npos; at = info.find(name, at + 1)) {
    const bool begins = at == 0 || info[at - 1] == '\n';
    const std::size_t colon = at + name.size();
    if (!begins || colon >= info.size() || info[colon] != ':') continue;
    return info.substr(colon + 1, info.find('\r', colon) - colon - 1);
  }
  return {};
}

}  // namespace

StreamKeys::StreamKeys(const std::string& key, const std::string& host) : stream(key) {
  // In braces, so that all keys are in one slot of a cluster.
  const std::string prefix = "{" + key + "}:";
  profiles = prefix + "profiles";
  salt = prefix + "salt";
  forgotten = prefix + "forgotten";
  erasing = prefix + "erasing";
  copies = prefix + "copies";
  rewrite = prefix + "rewrite";
  copy = prefix + "copy:" + host;
}

std::uint64_t ForgottenUsers::hash_of(const Id& user) const noexcept {
  const std::uint64_t salt = salt_;
  return user.is_number() ? detail::hash(user.number(), salt) : detail::hash(user.text(), salt);
}

bool ForgottenUsers::contains(const Id& user) const {
  const std::lock_guard lock(mutex_);
  return !hashes_.empty() && hashes_.contains(hash_of(user));
}

bool ForgottenUsers::add(std::uint64_t hash) {
  const std::lock_guard lock(mutex_);
  return hashes_.insert(hash).second;
}

void ForgottenUsers::set_salt(std::uint64_t salt) {
  const std::lock_guard lock(mutex_);
  if (has_salt_ && salt_ == salt) return;
  hashes_.clear();
  salt_ = salt;
  has_salt_ = true;
}

void SharedStream::connected(std::string_view persistence) {
  const std::lock_guard lock(mutex_);
  persistence_ = persistence;
  ++connections_;
}

std::string SharedStream::persistence() const {
  const std::lock_guard lock(mutex_);
  return persistence_;
}

std::size_t SharedStream::connections() const {
  const std::lock_guard lock(mutex_);
  return connections_;
}

EventStream::EventStream(SharedStream& shared)
    : shared_(shared), options_(shared.options), keys_(shared.keys), forgotten_(shared.forgotten) {
  connect();
  check_version();
  look_around();
  shared_.connected(persistence());
}

void EventStream::connect() {
  std::string refusals;
  for (const std::string& server : options_.servers) {
    try {
      connection_ = std::make_unique<RedisConnection>(server, RedisConnection::Login{options_.user, options_.password},
                                                      options_.timeout);
      if (options_.servers.size() == 1 || is_master()) return;
      refusals += "redis " + server + ": expected a master, found a replica; ";
    } catch (const Error& error) {
      if (error.code() != ErrorCode::io_error) throw;
      refusals.append(error.what()).append("; ");
    }
  }
  throw Error(ErrorCode::io_error, refusals.substr(0, refusals.size() - 2));
}

bool EventStream::is_master() {
  const RedisReply role = connection_->call({"ROLE"});
  return role.size() > 0 && role[0].text() == "master";
}

void EventStream::check_version() {
  const RedisReply info = connection_->call({"INFO", "server"});
  const std::string_view version = value_of(info.text(), "redis_version");
  int major = 0, minor = 0;
  const char* const end = version.data() + version.size();
  const auto result = std::from_chars(version.data(), end, major);
  if (result.ptr != end) std::from_chars(result.ptr + 1, end, minor);
  if (major > 6 || (major == 6 && minor >= 2)) return;
  throw Error(ErrorCode::unsupported_version,
              "redis " + connection_->server() + ": expected version 6.2 or later, found " + std::string(version));
}

void EventStream::look_around() {
  const RedisReply type = connection_->call({"TYPE", keys_.stream});
  if (type.text() != "none" && type.text() != "stream") {
    throw Error(ErrorCode::invalid_argument, "redis " + connection_->server() + ": key \"" + keys_.stream +
                                                 "\": expected a stream, found a " + std::string(type.text()));
  }
  std::uint64_t salt = 0;
  RedisReply kept = connection_->call({"GET", keys_.salt});
  if (kept.is_nil()) {
    platform::random_bytes(std::as_writable_bytes(std::span(&salt, 1)));
    connection_->call({"SET", keys_.salt, encoded(salt), "NX"});
    kept = connection_->call({"GET", keys_.salt});
  }
  if (!decode(kept.text(), salt)) {
    throw Error(ErrorCode::invalid_argument,
                "redis " + connection_->server() + ": key \"" + keys_.salt + "\": expected a number, found other text");
  }
  forgotten_.set_salt(salt);
}

// What the server says that a confirmation means.
std::string EventStream::persistence() {
  try {
    const RedisReply append_only = connection_->call({"CONFIG", "GET", "appendonly"});
    const RedisReply policy = connection_->call({"CONFIG", "GET", "appendfsync"});
    if (append_only.size() != 2 || policy.size() != 2) return {};
    return append_only[1].text() == "yes" ? std::string(policy[1].text()) : "none";
  } catch (const Error&) {  // an access list does not let everybody ask; what is lost shows at the next command
    return {};
  }
}

EntryId EventStream::write(std::string_view commands, std::size_t count) {
  std::string all;
  all.reserve(commands.size() + 64);
  add_redis_command(all, {"MULTI"});
  all.append(commands);
  add_redis_command(all, {"EXEC"});
  connection_->send(all);
  for (std::size_t i = 0; i <= count; ++i) connection_->require(connection_->receive(), "MULTI");
  const RedisReply done = connection_->receive();
  connection_->require(done, "EXEC");
  if (done.size() != count) {
    throw Error(ErrorCode::io_error, "redis " + connection_->server() + ": EXEC: expected " + std::to_string(count) +
                                         " answers, found " + std::to_string(done.size()));
  }
  EntryId newest;
  for (std::size_t i = 0; i < count; ++i) newest = std::max(newest, entry_id(done[i].text()));
  return newest;
}

bool EventStream::reaches_replicas() {
  if (options_.replicas == 0) return true;
  const std::string within = std::to_string(std::max<std::int64_t>(options_.timeout.count() / 2, 1));
  const RedisReply reached = connection_->call({"WAIT", std::to_string(options_.replicas), within});
  return reached.integer() >= std::int64_t{options_.replicas};
}

void EventStream::trim(const EntryId& newest) {
  if (options_.max_entries != 0) {
    connection_->call({"XTRIM", keys_.stream, "MAXLEN", "~", std::to_string(options_.max_entries)});
  }
  const auto kept = static_cast<std::uint64_t>(options_.retain_for.count());
  if (kept == 0 || newest.time <= kept) return;
  connection_->call({"XTRIM", keys_.stream, "MINID", "~", encoded(newest.time - kept)});
}

EntryId EventStream::last() {
  const RedisReply type = connection_->call({"TYPE", keys_.stream});
  if (type.text() == "none") return {};
  const RedisReply info = connection_->call({"XINFO", "STREAM", keys_.stream});
  for (std::size_t i = 0; i + 1 < info.size(); i += 2) {
    if (info[i].text() == "last-generated-id") return entry_id(info[i + 1].text());
  }
  return {};
}

void EventStream::scan(EntryId after, const EntryId& until, const Visitor& visit) {
  const std::string end = to_text(until);
  for (;;) {
    const RedisReply entries = connection_->call(
        {"XRANGE", keys_.stream, std::string("(").append(to_text(after)), end, "COUNT", kEntriesOfAnswerText});
    for (std::size_t i = 0; i < entries.size(); ++i) {
      const StreamEntry entry = read_entry(entries[i]);
      after = entry.id;
      visit(entry, entries[i]);
    }
    if (entries.size() < kEntriesOfAnswer) return;
  }
}

bool EventStream::read(const EntryId& after, milliseconds within, const Visitor& visit) {
  connection_->wait_longer(within);
  const RedisReply streams =
      connection_->call({"XREAD", "COUNT", kEntriesOfAnswerText, "BLOCK", std::to_string(within.count()), "STREAMS",
                         keys_.stream, to_text(after)});
  if (streams.size() == 0 || streams[0].size() != 2) return false;
  const RedisValue entries = streams[0][1];
  for (std::size_t i = 0; i < entries.size(); ++i) visit(read_entry(entries[i]), entries[i]);
  return entries.size() != 0;
}

void EventStream::visit_profiles(const std::function<void(const Id&, std::string_view)>& visit) {
  std::string cursor = "0";
  do {  // some may come twice
    const RedisReply part = connection_->call({"HSCAN", keys_.profiles, cursor, "COUNT", kEntriesOfAnswerText});
    if (part.size() != 2) return;
    cursor = part[0].text();
    for (std::size_t i = 0; i + 1 < part[1].size(); i += 2) {
      const Id user = decoded(part[1][i].text());
      if (!user.empty()) visit(user, part[1][i + 1].text());
    }
  } while (cursor != "0");
}

std::unordered_set<std::uint64_t> EventStream::load_forgotten() {
  std::unordered_set<std::uint64_t> added;
  std::string cursor = "0";
  do {
    const RedisReply part = connection_->call({"SSCAN", keys_.forgotten, cursor, "COUNT", kEntriesOfAnswerText});
    if (part.size() != 2) break;
    cursor = part[0].text();
    for (std::size_t i = 0; i < part[1].size(); ++i) {
      std::uint64_t hash = 0;
      if (decode(part[1][i].text(), hash) && forgotten_.add(hash)) added.insert(hash);
    }
  } while (cursor != "0");
  return added;
}

EventStream::Erasures EventStream::erasures() {
  Erasures erasures;
  const RedisReply fields = connection_->call({"HGETALL", keys_.erasing});
  for (std::size_t i = 0; i + 1 < fields.size(); i += 2) {
    std::uint64_t hash = 0;
    if (decode(fields[i].text(), hash)) erasures[hash] = entry_id(fields[i + 1].text());
  }
  return erasures;
}

bool EventStream::is_erased(const Erasures& erasures, const StreamEntry& entry) const {
  if (erasures.empty() || entry.event.user.empty()) return false;
  const auto of_user = erasures.find(forgotten_.hash_of(entry.event.user));
  return of_user != erasures.end() && entry.id <= of_user->second;
}

void EventStream::finish_erasures() {
  const std::lock_guard lock(shared_.erasing);
  for (int attempt = 0; attempt < kMostCopies; ++attempt) {
    const Erasures wanted = erasures();
    if (wanted.empty() || copy_without(wanted)) return;
  }
  throw Error(ErrorCode::io_error, "redis " + connection_->server() + ": key \"" + keys_.stream +
                                       "\": expected to be the only one that writes the stream anew for a while");
}

// False where somebody else wrote it anew meanwhile, or the copy was not made in time.
bool EventStream::copy_without(const Erasures& erasures) {
  const RedisReply count = connection_->call({"GET", keys_.copies});
  const std::string copies = count.is_nil() ? "0" : std::string(count.text());
  connection_->call({"DEL", keys_.copy});
  const EntryId end = last();
  std::string commands;
  std::size_t waiting = 0, copied = 0;
  const auto send = [&] {
    add_redis_command(commands, {"PEXPIRE", keys_.copy, kLifeOfCopy});
    write(commands, waiting + 1);  // which the server syncs once
    commands.clear();
    copied += waiting;
    waiting = 0;
  };
  std::vector<std::string_view> arguments;
  scan({}, end, [&](const StreamEntry& entry, const RedisValue& element) {
    if (is_erased(erasures, entry)) return;
    arguments = {"XADD", keys_.copy, element[0].text()};
    for (std::size_t i = 0; i < element[1].size(); ++i) arguments.push_back(element[1][i].text());
    add_redis_command(commands, arguments);
    if (++waiting == kEntriesOfAnswer) send();
  });
  send();
  std::vector<std::string> texts = {"EVAL",
                                    kSwap,
                                    "5",
                                    keys_.stream,
                                    keys_.copy,
                                    keys_.copies,
                                    keys_.erasing,
                                    keys_.rewrite,
                                    to_text(end),
                                    copies,
                                    encoded(std::uint64_t{copied})};
  for (const auto& [hash, up_to] : erasures) {
    texts.push_back(encoded(hash));
    texts.push_back(to_text(up_to));
  }
  arguments.assign(texts.begin(), texts.end());
  connection_->wait_longer(options_.rewrite_within);  // it may take over much
  const bool is_swapped = connection_->call(arguments).integer() == 1;
  connection_->wait_longer({});
  return is_swapped;
}

void EventStream::rewrite_files() {
  if (!options_.rewrite_files) return;
  const RedisReply due = connection_->call({"GET", keys_.rewrite});
  if (due.is_nil()) return;
  const auto until = std::chrono::steady_clock::now() + options_.rewrite_within;
  const RedisReply info = connection_->call({"INFO", "persistence"});
  if (value_of(info.text(), "aof_enabled") == "1") {
    rewrite("BGREWRITEAOF", "aof_rewrite_in_progress", "aof_last_bgrewrite_status", until);
  }
  const RedisReply snapshots = connection_->call({"CONFIG", "GET", "save"});
  if (snapshots.size() == 2 && !snapshots[1].text().empty()) {
    rewrite("BGSAVE", "rdb_bgsave_in_progress", "rdb_last_bgsave_status", until);
  }
  connection_->call({"EVAL", kDeleteUnchanged, "1", keys_.rewrite, due.text()});
}

// A whole one, from beginning to end, while nothing else of the kind runs.
void EventStream::rewrite(std::string_view command, std::string_view running, std::string_view status,
                          std::chrono::steady_clock::time_point until) {
  const auto wait = [&] {
    for (milliseconds pause(1);; pause = std::min(2 * pause, milliseconds(50))) {
      const RedisReply info = connection_->call({"INFO", "persistence"});
      const std::string_view text = info.text();
      const bool idle = value_of(text, running) == "0" && value_of(text, "aof_rewrite_scheduled") != "1" &&
                        value_of(text, "rdb_bgsave_in_progress") != "1" &&
                        value_of(text, "aof_rewrite_in_progress") != "1";
      if (idle) return value_of(text, status) == "ok";
      if (std::chrono::steady_clock::now() > until) return false;
      std::this_thread::sleep_for(pause);
    }
  };
  for (bool begun = false; !begun;) {
    wait();
    try {
      connection_->call({command});
      begun = true;
    } catch (const Error& error) {  // somebody else was quicker
      const std::string_view why = error.what();
      const bool is_busy = why.find("progress") != why.npos || why.find("child process") != why.npos;
      if (!is_busy || std::chrono::steady_clock::now() > until) throw;
    }
  }
  if (wait()) return;
  throw Error(ErrorCode::io_error, "redis " + connection_->server() + ": " + std::string(command) +
                                       ": expected it to succeed within " +
                                       std::to_string(options_.rewrite_within.count()) + " ms; it did not");
}

void add_forgetting(std::string& commands, const SharedStream& shared, std::uint64_t number, const Id& user,
                    std::uint64_t hash) {
  const StreamKeys& keys = shared.keys;
  add_redis_command(commands, {"EVAL", kForget, "4", keys.stream, keys.erasing, keys.forgotten, keys.profiles,
                               shared.host, encoded(number), encoded(hash), encoded(user)});
}

}  // namespace attune::inline v0_1
