// SPDX-License-Identifier: Apache-2.0
#include "api.hpp"

#include <algorithm>
#include <attune/serving/cursor.hpp>
#include <attune/serving/explanation.hpp>
#include <attune/serving/exploration.hpp>
#include <attune/serving/telemetry.hpp>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <future>
#include <iostream>

#include "input.hpp"

namespace {

constexpr std::size_t kMostPolicies = 64;
constexpr std::size_t kMostCursorBytes = 6000;  // it travels in an address, which may have 8192

Reply json_reply(const json& body, int status = 200, std::chrono::nanoseconds took = {}) {
  return {.status = status, .body = body.dump(-1, ' ', false, json::error_handler_t::replace) + '\n', .took = took};
}

json to_json(const attune::Answer& answer) {
  json items = json::array();
  for (const attune::Recommendation& next : answer.items) {
    items.push_back({{"item", attune::to_string(next.item)}, {"score", next.score}});
    if (!std::isnan(next.probability)) items.back()["probability"] = next.probability;
    if (next.propensity != 1) items.back()["propensity"] = next.propensity;
  }
  return {{"items", std::move(items)},
          {"source", attune::to_string(answer.source)},
          {"score_kind", attune::to_string(answer.score_kind)},
          {"model_version", answer.model_version},
          {"shortfall",
           {{"seen", answer.shortfall.seen},
            {"filtered", answer.shortfall.filtered},
            {"unavailable", answer.shortfall.unavailable}}}};
}

json to_json(const attune::Explanation& why) {
  json contributions = json::array(), features = json::array();
  for (const attune::Contribution& one : why.contributions)
    contributions.push_back({{"item", attune::to_string(one.item)}, {"weight", one.weight}, {"margin", one.margin}});
  for (const attune::FeatureContribution& one : why.features)
    features.push_back({{"feature", one.feature}, {"weight", one.weight}, {"members", one.members}});
  return {{"score", why.score},  // null where there is none
          {"margin", why.margin},
          {"source", attune::to_string(why.source)},
          {"complete", why.complete},
          {"contributions", std::move(contributions)},
          {"features", std::move(features)}};
}

// Adds up how long the calls of the recommender take.
class Stopwatch {
 public:
  template <class F>
  auto operator()(const F& call) {
    const auto begin = std::chrono::steady_clock::now();
    auto result = call();
    took += std::chrono::steady_clock::now() - begin;
    return result;
  }
  std::chrono::nanoseconds took{0};
};

// What both kinds of requests for items have.
attune::Request common_request(const Call& call, const attune::Policy& rules) {
  constexpr attune::Timestamp kLast = std::numeric_limits<attune::Timestamp>::max();
  return {.k = number<std::size_t>(call.parameters, "k", 10, 1, Api::kMostK),
          .now = number<attune::Timestamp>(call.parameters, "now", attune::kNoTime, 0, kLast),
          .policy = &rules};
}

attune::Timestamp clock_now() {
  using namespace std::chrono;
  return duration_cast<milliseconds>(system_clock::now().time_since_epoch()).count();
}

// What the library has to say goes to standard error.
struct Log final : attune::Telemetry {
  void log(attune::LogLevel level, std::string_view message) noexcept override {
    std::cerr << (std::string(attune::to_string(level)).append(": ").append(message) += '\n');
  }
};

}  // namespace

Reply error_reply(int status, const std::string& message) { return json_reply({{"error", message}}, status); }

Api::Api(const Settings& settings)
    : models_(settings.models),
      store_(settings.store.empty() ? nullptr : std::make_shared<attune::SqliteEventStore>(settings.store)),
      recommender_(attune::Recommender::open(settings.model, {.event_store = store_,
                                                              .item_fields = settings.item_fields,
                                                              .event_kinds = {{"shown", 0}, {"dislike", -2}},
                                                              .telemetry = std::make_shared<Log>()})),
      item_ids_(recommender_.info().item_ids),
      user_ids_(recommender_.info().user_ids) {
  if (settings.demo.empty()) return;
  demo_.emplace(attune::TrainedModel::load(settings.model), settings.demo, settings.item_fields);
  recommender_.upsert_items(demo_->items());
}

Reply Api::answer(const Call& call) {
  try {
    return route(call);
  } catch (const Refusal& refusal) {
    return error_reply(refusal.status, refusal.what());
  } catch (const json::exception& error) {
    return error_reply(400, error.what());
  } catch (const attune::Error& error) {
    return error_reply(error.code() == attune::ErrorCode::io_error ? 500 : 400, error.what());
  } catch (const std::exception& error) {
    return error_reply(500, error.what());
  }
}

Reply Api::route(const Call& call) {
  // Whether this is the call, and all its parameters are known.
  const auto is = [&](std::string_view method, std::string_view path, const std::string& parameters = "") {
    if (call.method != method || call.path != path) return false;
    for (const auto& [name, value] : call.parameters) require_known(name, parameters, "parameters");
    return true;
  };
  // The id that stands between the two in the path; empty where there is none.
  const auto id_in = [&](std::string_view method, std::string_view before, std::string_view behind) -> std::string {
    if (!call.path.starts_with(before) || !call.path.ends_with(behind)) return {};
    if (call.path.size() <= before.size() + behind.size() || !is(method, call.path)) return {};
    return call.path.substr(before.size(), call.path.size() - before.size() - behind.size());
  };
  if (is("GET", "/recommend", "user k now filter diversity explore cursor")) return recommend(call);
  if (is("POST", "/events", "wait")) return observe(call);
  if (is("GET", "/explain", "user item")) return explain(call);
  if (is("GET", "/similar", "item k now filter")) return similar_items(call);
  if (is("POST", "/items")) return upsert_items(call);
  if (is("POST", "/reload")) return reload(call);
  if (is("GET", "/metrics")) return metrics();
  if (is("GET", "/health")) return health();
  if (demo_ && is("GET", "/")) return {.body = std::string(Demo::page()), .type = "text/html; charset=utf-8"};
  if (demo_ && is("GET", "/demo/catalogue")) return json_reply(demo_->catalogue());
  if (demo_ && is("GET", "/demo/user", "user"))
    return json_reply(demo_->user(recommender_.export_user(as_id(required(call.parameters, "user"), user_ids_))));
  if (const std::string item = id_in("DELETE", "/items/", ""); !item.empty()) return remove_item(item);
  if (const std::string user = id_in("DELETE", "/users/", ""); !user.empty()) return forget_user(user);
  if (const std::string user = id_in("GET", "/users/", "/export"); !user.empty()) return export_user(user);
  throw Refusal(404, "no such method and path");
}

Reply Api::observe(const Call& call) {
  const bool wait = !call.parameters.contains("wait");
  if (!wait && required(call.parameters, "wait") != "no") throw Refusal(400, "wait: expected no");
  json body = json::parse(call.body);
  std::vector<attune::Interaction> events;
  for (json& one : one_or_many(body, kMostInBatch)) {
    const Object event(one, "event " + std::to_string(events.size()), "user item timestamp event value event_id");
    events.push_back({.user = as_id(event.id("user"), user_ids_),
                      .item = as_id(event.id("item"), item_ids_),
                      .timestamp = event.time("timestamp", clock_now()),
                      .event = event.text("event"),
                      .value = event.number("value", 1),
                      .event_id = event.text("event_id")});
  }
  const auto acknowledged = std::make_shared<std::promise<bool>>();
  Stopwatch timed;
  const std::vector<attune::Observed> outcomes = timed([&] {
    return recommender_.observe_batch(events, [acknowledged](bool stored) { acknowledged->set_value(stored); });
  });

  json reply;
  for (const attune::Observed outcome : outcomes)
    reply["events"].push_back(outcome == attune::Observed::recorded    ? "recorded"
                              : outcome == attune::Observed::duplicate ? "duplicate"
                                                                       : "rejected");
  if (std::ranges::count(outcomes, attune::Observed::rejected) == std::ssize(outcomes)) {
    reply["error"] = "no event has an id and a time that can be, or a limit is reached";
    return json_reply(reply, 400);
  }
  if (!wait || !store_) return json_reply(reply, 200, timed.took);
  const bool stored = acknowledged->get_future().get();
  reply["stored"] = stored;
  if (!stored) reply["error"] = "answers reflect the events, but the store failed to keep them";
  return json_reply(reply, stored ? 200 : 503, timed.took);
}

attune::Policy Api::policy(const Call& call) {
  const auto filter = call.parameters.find("filter");
  if (filter == call.parameters.end()) return {};
  {
    const std::lock_guard lock(mutex_);
    const auto found = std::ranges::find(policies_, filter->second, &std::pair<std::string, attune::Policy>::first);
    if (found != policies_.end()) {
      policies_.splice(policies_.begin(), policies_, found);
      return found->second;
    }
  }
  attune::Policy compiled = recommender_.compile({.filter = filter->second});  // while nobody waits
  const std::lock_guard lock(mutex_);
  policies_.emplace_front(filter->second, compiled);
  if (policies_.size() > kMostPolicies) policies_.pop_back();
  return compiled;
}

Reply Api::recommend(const Call& call) {
  const attune::Policy rules = policy(call);
  attune::Request request = common_request(call, rules);
  request.user = as_id(required(call.parameters, "user"), user_ids_);
  request.diversity = number<float>(call.parameters, "diversity", 0, 0, 1);
  attune::ExplorationOptions exploration{.share = number<double>(call.parameters, "explore", 0, 0, 1)};
  if (exploration.share > 0) {
    exploration.request = explorations_++;
    request.exploration = &exploration;
  }
  Stopwatch timed;
  const auto answer = [&] { return timed([&] { return recommender_.recommend(request); }); };
  const auto token = call.parameters.find("cursor");
  if (token == call.parameters.end()) return json_reply(to_json(answer()), 200, timed.took);

  attune::Cursor cursor = attune::Cursor::from_token(token->second);
  request.cursor = &cursor;
  json reply = to_json(answer());
  const std::string next = cursor.token();
  reply["cursor"] = cursor.ended() || next.size() > kMostCursorBytes ? json() : json(next);
  return json_reply(reply, 200, timed.took);
}

Reply Api::explain(const Call& call) {
  // "watched" is the word of one trade only.
  static const attune::Because because({.one = "Because of {item}",
                                        .two = "Because of {item} and {item}",
                                        .many = "Because of {item}, {item} and {more} more"});
  const attune::Id user = as_id(required(call.parameters, "user"), user_ids_);
  required(call.parameters, "item");
  const auto items = call.parameters.equal_range("item");
  if (std::distance(items.first, items.second) > kMostExplained)
    throw Refusal(400, "item: expected at most " + std::to_string(kMostExplained) + " of them");
  json explanations = json::array();
  for (auto item = items.first; item != items.second; ++item) {
    const attune::Explanation why = recommender_.explain(user, as_id(item->second, item_ids_), {.events = 6});
    std::vector<std::string> reasons;
    for (const attune::Id& reason : why.reasons(3)) reasons.push_back(attune::to_string(reason));
    std::vector<std::string_view> titles;
    for (const std::string& reason : reasons) titles.push_back(demo_ ? demo_->title(reason) : reason);
    json one = to_json(why);
    one["item"] = item->second;
    one["because"] = because(titles);
    explanations.push_back(std::move(one));
  }
  return json_reply({{"explanations", std::move(explanations)}});
}

Reply Api::similar_items(const Call& call) {
  const attune::Policy rules = policy(call);
  const attune::Id item = as_id(required(call.parameters, "item"), item_ids_);
  return json_reply(to_json(recommender_.similar_items(item, common_request(call, rules))));
}

Reply Api::upsert_items(const Call& call) {
  json body = json::parse(call.body), no_fields = json::object();
  std::vector<attune::Item> items;
  for (json& one : one_or_many(body, kMostInBatch)) {
    const Object object(one, "item " + std::to_string(items.size()), "id fields available_from available_until");
    attune::Item item{.id = as_id(object.id("id"), item_ids_)};
    if (object.find("available_from")) item.available_from = object.time("available_from", attune::kNoTime);
    if (object.find("available_until")) item.available_until = object.time("available_until", attune::kNoTime);
    json& fields = object.find("fields") ? *object.find("fields") : no_fields;
    object.require(fields.is_object(), "fields", "an object");
    for (const auto& [name, value] : fields.get_ref<const json::object_t&>()) {
      object.require(value.is_number() || value.is_string(), name, "a number, or a text of names separated by |");
      if (value.is_number()) item.fields.emplace_back(name, value.get<double>());
      if (value.is_string()) item.fields.emplace_back(name, value.get_ref<const std::string&>());
    }
    items.push_back(std::move(item));
  }
  recommender_.upsert_items(items);
  return json_reply({{"items", items.size()}});
}

Reply Api::remove_item(const std::string& item) {
  if (!recommender_.remove_item(as_id(item, item_ids_))) throw Refusal(400, "path: expected the id of an item");
  return json_reply({{"removed", item}});
}

Reply Api::export_user(const std::string& user) {
  std::string lines = recommender_.export_user(as_id(user, user_ids_));
  if (lines.empty()) throw Refusal(404, "nothing is known of this user");
  return {.body = std::move(lines), .type = "application/x-ndjson"};
}

Reply Api::forget_user(const std::string& user) {
  recommender_.forget_user(as_id(user, user_ids_));
  return json_reply({{"forgotten", true}});
}

Reply Api::reload(const Call& call) {
  json body = json::parse(call.body);
  const std::string name(Object(body, "body", "model").text("model"));
  if (models_.empty()) throw Refusal(404, "the server was started without --models");
  // A single name leads nowhere but into the folder.
  if (name.empty() || name == "." || name == ".." || name.find_first_of(std::string_view("/\\\0", 3)) != name.npos)
    throw Refusal(400, "model: expected the name of a directory in the folder of models");
  const std::filesystem::path model = std::filesystem::path(models_) / name;
  if (!std::filesystem::is_directory(model)) throw Refusal(404, "model: no such directory in the folder of models");
  recommender_.reload(model.string());
  return health();
}

Reply Api::metrics() {
  return {.body = attune::to_prometheus(recommender_.stats()), .type = "text/plain; version=0.0.4"};
}

Reply Api::health() {
  const attune::RecommenderInfo info = recommender_.info();
  const std::string lost = store_ ? store_->error() : "", failure = lost.empty() ? info.damage : lost;
  return json_reply({{"status", failure.empty() ? "ok" : "degraded"},
                     {"failure", failure},
                     {"model_version", info.model_version},
                     {"generation", info.generation}});
}
