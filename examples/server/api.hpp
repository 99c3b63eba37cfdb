// SPDX-License-Identifier: Apache-2.0
#pragma once

// What the server answers, without a word of how requests arrive. Safe from any number of threads.

#include <atomic>
#include <attune/recommender.hpp>
#include <attune/serving/policy.hpp>
#include <attune/serving/sqlite_event_store.hpp>
#include <chrono>
#include <cstdint>
#include <list>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "demo.hpp"

struct Settings {
  std::string model;        // directory
  std::string store = {};   // file of events; empty: they live in memory
  std::string models = {};  // the folder whose directories POST /reload may name; empty: none
  std::string demo = {};    // file of items whose titles the page at / shows; empty: there is none
  std::vector<attune::ItemField> item_fields = {};
};

struct Call {
  std::string method, path;  // decoded
  std::multimap<std::string, std::string> parameters;
  std::string body;
};

struct Reply {
  int status = 200;
  std::string body;
  std::string type = "application/json";
  std::chrono::nanoseconds took{0};  // inside the recommender, where that is measured
};

// {"error": message}
Reply error_reply(int status, const std::string& message);

class Api {
 public:
  static constexpr std::size_t kMostBodyBytes = 1 << 20, kMostInBatch = 1000, kMostK = 1000;
  static constexpr std::ptrdiff_t kMostExplained = 20;

  // Opens the model, replays the store and reads the titles. Throws attune::Error.
  explicit Api(const Settings& settings);
  // What is wrong with a call is in the reply.
  Reply answer(const Call& call);

 private:
  Reply route(const Call& call);
  Reply observe(const Call& call);
  Reply recommend(const Call& call);
  Reply explain(const Call& call);
  Reply similar_items(const Call& call);
  Reply upsert_items(const Call& call);
  Reply remove_item(const std::string& item);
  Reply export_user(const std::string& user);
  Reply forget_user(const std::string& user);
  Reply reload(const Call& call);
  Reply metrics();
  Reply health();
  // The rules of the parameter `filter`, compiled when it was not among the last.
  attune::Policy policy(const Call& call);

  std::string models_;
  std::shared_ptr<attune::SqliteEventStore> store_;  // null: there is none
  attune::Recommender recommender_;
  std::optional<Demo> demo_;
  attune::IdKind item_ids_, user_ids_;
  std::atomic<std::uint64_t> explorations_ = 0;
  std::mutex mutex_;
  std::list<std::pair<std::string, attune::Policy>> policies_;  // by filter, the latest first
};
