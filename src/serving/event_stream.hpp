// SPDX-License-Identifier: Apache-2.0
#pragma once

// The keys of a RedisEventStore, and what is done to them over one connection (docs/decisions/0016-shared-stream.md
// says why so):
//
//   key               the stream
//   {key}:profiles    hash of users' profiles
//   {key}:salt        of the hashes below
//   {key}:forgotten   set of the hashes of users who were forgotten
//   {key}:erasing     hash: of whom the stream still has entries, and up to which entry those are his
//   {key}:copies      how often the stream was written anew
//   {key}:rewrite     there while the server's files may hold what the stream does not: which copy that was
//   {key}:copy:HOST   the stream while it is written anew; expires
//
// Not synchronised.

#include <atomic>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "attune/serving/redis_event_store.hpp"
#include "serving/redis_connection.hpp"
#include "serving/stream_entry.hpp"

namespace attune::inline v0_1 {

struct StreamKeys {
  StreamKeys(const std::string& key, const std::string& host);
  std::string stream, profiles, salt, forgotten, erasing, copies, rewrite, copy;
};

// Who was forgotten, as far as this host knows. Safe from any number of threads.
class ForgottenUsers {
 public:
  std::uint64_t hash_of(const Id& user) const noexcept;
  bool contains(const Id& user) const;
  bool add(std::uint64_t hash);  // false: known before
  // Hashes with another salt say nothing, and are let go.
  void set_salt(std::uint64_t salt);

 private:
  mutable std::mutex mutex_;
  std::atomic<std::uint64_t> salt_ = 0;
  bool has_salt_ = false;
  std::unordered_set<std::uint64_t> hashes_;
};

// What the connections of one store have in common. Safe from any number of threads.
class SharedStream {
 public:
  SharedStream(RedisEventStoreOptions options_, std::string host_)
      : options(std::move(options_)), host(std::move(host_)), keys(options.key, host) {}

  const RedisEventStoreOptions options;
  const std::string host;  // under which entries are numbered
  const StreamKeys keys;
  ForgottenUsers forgotten;
  std::mutex erasing;  // of who writes the stream anew

  void connected(std::string_view persistence);
  std::string persistence() const;
  std::size_t connections() const;

 private:
  mutable std::mutex mutex_;
  std::string persistence_;
  std::size_t connections_ = 0;
};

class EventStream {
 public:
  // Of users by their hashes: entries up to which are to be erased.
  using Erasures = std::unordered_map<std::uint64_t, EntryId>;
  using Visitor = std::function<void(const StreamEntry&, const RedisValue& element)>;

  // Connects to the first server that is a master, and looks at what is there. Throws Error.
  explicit EventStream(SharedStream& shared);

  // Commands as one transaction. Returns the newest entry that it added; 0-0: none.
  EntryId write(std::string_view commands, std::size_t count);
  // Whether enough replicas have what was written.
  bool reaches_replicas();
  void trim(const EntryId& newest);

  EntryId last();  // that was ever added
  // The entries behind one, up to another.
  void scan(EntryId after, const EntryId& until, const Visitor& visit);
  // Those that are there, or come within a time. Returns whether there were any.
  bool read(const EntryId& after, std::chrono::milliseconds within, const Visitor& visit);
  void visit_profiles(const std::function<void(const Id&, std::string_view)>& visit);
  std::unordered_set<std::uint64_t> load_forgotten();  // returns the hashes that were not known

  Erasures erasures();
  bool is_erased(const Erasures& erasures, const StreamEntry& entry) const;
  // Writes the stream anew without what is to be erased.
  void finish_erasures();
  // So that they hold nothing that the stream does not; where they do, and the options want it.
  void rewrite_files();

 private:
  void connect();
  bool is_master();
  void check_version();
  void look_around();
  std::string persistence();
  void rewrite(std::string_view command, std::string_view running, std::string_view status,
               std::chrono::steady_clock::time_point until);
  bool copy_without(const Erasures& erasures);

  SharedStream& shared_;
  const RedisEventStoreOptions& options_;
  const StreamKeys& keys_;
  ForgottenUsers& forgotten_;
  std::unique_ptr<RedisConnection> connection_;
};

// Adds a command that notes that a user is forgotten, who has this hash, and takes his profile away.
void add_forgetting(std::string& commands, const SharedStream& shared, std::uint64_t number, const Id& user,
                    std::uint64_t hash);

}  // namespace attune::inline v0_1
