// SPDX-License-Identifier: Apache-2.0

// The recommender behind attune.h.

#include "attune/recommender.hpp"

#include <charconv>
#include <cmath>
#include <future>
#include <limits>
#include <map>
#include <memory>
#include <span>
#include <tuple>
#include <utility>
#include <vector>

#include "attune/serving/policy.hpp"
#include "attune/serving/telemetry.hpp"
#include "c/boundary.hpp"
#include "data/text.hpp"
#if !defined(ATTUNE_WITHOUT_SQLITE)
#include "attune/serving/sqlite_event_store.hpp"
#endif

struct attune_recommender {
  attune_recommender(attune::Recommender opened, bool with_store)
      : facade(std::move(opened)),
        item_ids(facade.info().item_ids),
        user_ids(facade.info().user_ids),
        has_store(with_store) {}

  attune::Recommender facade;
  attune::IdKind item_ids, user_ids;  // never change
  bool has_store;
};

struct attune_policy {
  attune::Policy policy;
};

namespace attune::c {
namespace {

std::shared_ptr<EventStore> open_event_store(const char* path) {
  if (path == nullptr) return nullptr;
#if defined(ATTUNE_WITHOUT_SQLITE)
  throw Error(ErrorCode::unsupported, "event_store: expected NULL, as this attune is built without SQLite");
#else
  return std::make_shared<SqliteEventStore>(path);
#endif
}

std::vector<ItemField> item_fields(const char* text) {
  std::vector<ItemField> fields;
  if (text == nullptr) return fields;
  const Json types = object_of(text, "item_fields");
  for (const auto& [name, type] : types.items()) {
    const std::string kind = type.is_string() ? type.get<std::string>() : "";
    if (kind != "category" && kind != "number") refuse("item_fields: " + name, "\"category\" or \"number\"", type);
    fields.push_back({name, kind == "number" ? FieldType::number : FieldType::category});
  }
  return fields;
}

std::vector<EventKind> event_kinds(const char* text) {
  std::vector<EventKind> kinds;
  if (text == nullptr) return kinds;
  const Json weights = object_of(text, "event_kinds");
  for (const auto& [name, weight] : weights.items()) {
    if (!weight.is_number()) refuse("event_kinds: " + name, "a number", weight);
    kinds.push_back({name, weight.get<float>()});
  }
  return kinds;
}

RecommenderOptions options_of(const attune_open_options& given) {
  RecommenderOptions options;
  options.item_fields = item_fields(given.item_fields);
  options.event_kinds = event_kinds(given.event_kinds);
  if (given.max_items != 0) options.max_items = given.max_items;
  if (given.cache_budget_bytes != 0) options.cache_budget_bytes = given.cache_budget_bytes;
  options.history_budget_bytes = given.history_budget_bytes;
  if (given.history_ttl < 0) {
    throw Error(ErrorCode::invalid_argument,
                "options.history_ttl: expected 0 or more, found " + std::to_string(given.history_ttl));
  }
  options.history_ttl = given.history_ttl;
  if (given.in_memory != 0) options.model_access = ModelAccess::in_memory;
  options.event_store = open_event_store(given.event_store);
  return options;
}

std::vector<Id> ids_of(const char* const* texts, std::size_t count, IdKind kind, const char* name) {
  std::vector<Id> ids;
  if (count == 0) return ids;
  required(texts, name);
  ids.reserve(count);
  for (std::size_t i = 0; i < count; ++i) {
    if (texts[i] == nullptr) {
      throw Error(ErrorCode::invalid_argument,
                  std::string(name) + ": expected a text as entry " + std::to_string(i) + ", found NULL");
    }
    ids.push_back(detail::id_of(texts[i], kind));
  }
  return ids;
}

// A request of the library that borrows from the caller's, and from the ids here.
class BorrowedRequest {
 public:
  BorrowedRequest(const attune_recommender& recommender, const attune_request& given)
      : allow_(ids_of(given.allow, given.num_allow, recommender.item_ids, "request.allow")),
        deny_(ids_of(given.deny, given.num_deny, recommender.item_ids, "request.deny")) {
    if (!(given.diversity >= 0 && given.diversity <= 1)) {
      throw Error(ErrorCode::invalid_argument,
                  "request.diversity: expected 0 to 1, found " + std::to_string(given.diversity));
    }
    if (given.k != 0) request.k = given.k;
    if (given.now != 0) request.now = given.now;
    request.exclude_seen = given.keep_seen == 0;
    if (given.policy != nullptr) request.policy = &given.policy->policy;
    if (given.allow != nullptr) request.allow = allow_;
    request.deny = deny_;
    request.diversity = static_cast<float>(given.diversity);
  }
  BorrowedRequest(const BorrowedRequest&) = delete;

  Request request;

 private:
  std::vector<Id> allow_, deny_;
};

// Numbers become digits, in memory that the view shares with `digits`.
std::string_view id_text(const Id& id, char (&digits)[24]) {
  if (!id.is_number()) return id.text();
  return {digits, static_cast<std::size_t>(std::to_chars(digits, digits + sizeof digits, id.number()).ptr - digits)};
}

// Copies texts one behind the other into the memory of a caller.
class TextWriter {
 public:
  explicit TextWriter(char* to) : to_(to) {}
  const char* append(std::string_view text) {
    char* const begin = to_;
    to_ = std::copy(text.begin(), text.end(), to_);
    *to_++ = '\0';
    return begin;
  }

 private:
  char* to_;
};

std::size_t text_size(const Answer& answer) {
  char digits[24];
  std::size_t size = answer.model_version.size() + 1;
  for (const Recommendation& next : answer.items) size += id_text(next.item, digits).size() + 1;
  return size;
}

void write_columns(const Answer& answer, attune_answer& to) {
  char digits[24];
  TextWriter writer(to.text);
  to.model_version = writer.append(answer.model_version);
  for (std::size_t i = 0; i < answer.items.size(); ++i) {
    const Recommendation& next = answer.items[i];
    to.items[i] = writer.append(id_text(next.item, digits));
    if (to.scores != nullptr) to.scores[i] = next.score;
    if (to.probabilities != nullptr) to.probabilities[i] = next.probability;
  }
}

// `given` is what `known` was read from.
void write(const Answer& answer, attune_answer known, attune_answer* given) {
  known.count = answer.items.size();
  known.text_size = text_size(answer);
  const bool fits = known.capacity >= known.count && known.text_capacity >= known.text_size;
  if (fits) {
    write_columns(answer, known);
    known.source = to_string(answer.source).data();  // literals, which end with NUL
    known.score_kind = to_string(answer.score_kind).data();
    known.generation = answer.generation;
    known.seen = answer.shortfall.seen;
    known.filtered = answer.shortfall.filtered;
    known.unavailable = answer.shortfall.unavailable;
  }
  std::memcpy(given, &known, std::min(given->struct_size, sizeof known));
  if (fits) return;
  throw BufferTooSmall{"answer: expected room for " + std::to_string(known.count) + " items and " +
                       std::to_string(known.text_size) + " bytes of text, found " + std::to_string(known.capacity) +
                       " and " + std::to_string(known.text_capacity)};
}

// An answer that is asked for only when there is memory to put it into.
template <class Ask>
void answer_into(attune_answer* given, Ask&& ask) {
  const attune_answer known = read(given, "answer");
  if (known.capacity != 0) required(known.items, "answer.items");
  if (known.text_capacity != 0) required(known.text, "answer.text");
  write(ask(), known, given);
}

std::vector<Interaction> interactions_of(const attune_recommender& recommender, const attune_events& events) {
  const std::vector<Id> users = ids_of(events.users, events.count, recommender.user_ids, "events.users");
  const std::vector<Id> items = ids_of(events.items, events.count, recommender.item_ids, "events.items");
  std::vector<Interaction> interactions(events.count);
  for (std::size_t i = 0; i < events.count; ++i) {
    Interaction& next = interactions[i];
    next.user = users[i];
    next.item = items[i];
    if (events.timestamps != nullptr) next.timestamp = events.timestamps[i];
    if (events.kinds != nullptr && events.kinds[i] != nullptr) next.event = events.kinds[i];
    if (events.values != nullptr) next.value = events.values[i];
    if (events.event_ids != nullptr && events.event_ids[i] != nullptr) next.event_id = events.event_ids[i];
  }
  return interactions;
}

attune_outcome outcome_of(Observed observed) {
  switch (observed) {
    case Observed::recorded: return ATTUNE_RECORDED;
    case Observed::duplicate: return ATTUNE_DUPLICATE;
    case Observed::rejected: break;
  }
  return ATTUNE_REJECTED;
}

void observe(attune_recommender& recommender, const attune_events& events, std::int32_t* outcomes) {
  if (events.durable != 0 && !recommender.has_store) {
    throw Error(ErrorCode::invalid_argument, "events.durable: expected 0, as this recommender has no event store");
  }
  const std::vector<Interaction> interactions = interactions_of(recommender, events);
  std::shared_ptr<std::promise<bool>> acknowledged;
  Completion done;
  if (events.durable != 0) {
    acknowledged = std::make_shared<std::promise<bool>>();
    done = [acknowledged](bool stored) { acknowledged->set_value(stored); };
  }
  const std::vector<Observed> observed = recommender.facade.observe_batch(interactions, done);
  bool to_store = false;
  for (std::size_t i = 0; i < observed.size(); ++i) {
    to_store |= observed[i] != Observed::rejected;
    if (outcomes != nullptr) outcomes[i] = outcome_of(observed[i]);
  }
  if (!acknowledged || !to_store || acknowledged->get_future().get()) return;
  throw Error(ErrorCode::io_error, "answers reflect the events, but the event store failed to keep them");
}

// What is no id of the model's kind has a key of its own, which no answer has.
std::tuple<bool, std::string_view, std::int64_t> key_of(const Id& id) { return {id.empty(), id.text(), id.number()}; }

void score(const attune_recommender& recommender, const char* user, std::span<const Id> items, Timestamp now,
           float* scores) {
  const Answer answer = recommender.facade.rank(detail::id_of(user, recommender.user_ids), items, now);
  std::map<std::tuple<bool, std::string_view, std::int64_t>, float> found;  // the texts are the answer's
  for (const Recommendation& next : answer.items) found.emplace(key_of(next.item), next.score);
  for (std::size_t i = 0; i < items.size(); ++i) {
    const auto it = found.find(key_of(items[i]));
    scores[i] = it == found.end() ? std::numeric_limits<float>::quiet_NaN() : it->second;
  }
}

std::optional<Timestamp> bound_of(const Json& item, const char* field) {
  const auto found = item.find(field);
  if (found == item.end()) return std::nullopt;
  if (found->is_null()) return kNoTime;
  if (!found->is_number_integer() ||
      (found->is_number_unsigned() &&
       found->get<std::uint64_t>() > std::uint64_t{std::numeric_limits<std::int64_t>::max()})) {
    refuse(std::string("item: ") + field, "milliseconds or null", *found);
  }
  return found->get<Timestamp>();
}

void upsert_item(attune_recommender& recommender, const char* id, const char* text) {
  const Json json = object_of(text, "item");
  Item item{.id = detail::id_of(id, recommender.item_ids)};
  item.available_from = bound_of(json, "available_from");
  item.available_until = bound_of(json, "available_until");
  for (const auto& [name, value] : json.items()) {
    if (name == "available_from" || name == "available_until") continue;
    if (name != "fields" || !value.is_object()) {
      refuse("item: " + name, "fields (an object), available_from and available_until", value);
    }
    for (const auto& [field, content] : value.items()) {
      if (content.is_number())
        item.fields.emplace_back(field, content.get<double>());
      else if (content.is_string())
        item.fields.emplace_back(field, content.get_ref<const std::string&>());
      else
        refuse("item: fields: " + field, "a number, or a text of names separated by |", content);
    }
  }
  recommender.facade.upsert_item(item);
}

Json info_json(const RecommenderInfo& info) {
  const auto name = [](IdKind kind) { return kind == IdKind::string ? "string" : "int64"; };
  return {{"model_version", info.model_version},
          {"score_kind", to_string(info.score_kind)},
          {"generation", info.generation},
          {"items", info.items},
          {"users", info.users},
          {"item_ids", name(info.item_ids)},
          {"user_ids", name(info.user_ids)},
          {"cache_bytes", info.cache_bytes},
          {"history_bytes", info.history_bytes},
          {"users_let_go", info.users_let_go},
          {"unstored_events", info.unstored_events},
          {"ranker_failures", info.ranker_failures},
          {"damaged_answers", info.damaged_answers},
          {"damage", info.damage}};
}

}  // namespace
}  // namespace attune::c

using attune::c::guarded;
using attune::c::required;

attune_status attune_open(const char* model, const attune_open_options* options, attune_recommender** recommender) {
  return guarded([&] {
    required(model, "model");
    required(recommender, "recommender");
    const auto given = attune::c::read_or_default(options, "options");
    *recommender = new attune_recommender(attune::Recommender::open(model, attune::c::options_of(given)),
                                          given.event_store != nullptr);
  });
}

void attune_close(attune_recommender* recommender) { delete recommender; }

attune_status attune_reload(attune_recommender* recommender, const char* model) {
  return guarded([&] { required(recommender, "recommender")->facade.reload(required(model, "model")); });
}

attune_status attune_observe(attune_recommender* recommender, const attune_events* events, int32_t* outcomes) {
  return guarded([&] {
    required(recommender, "recommender");
    attune::c::observe(*recommender, attune::c::read(events, "events"), outcomes);
  });
}

attune_status attune_forget_user(attune_recommender* recommender, const char* user) {
  return guarded([&] {
    required(recommender, "recommender");
    recommender->facade.forget_user(attune::detail::id_of(required(user, "user"), recommender->user_ids));
  });
}

attune_status attune_export_user(const attune_recommender* recommender, const char* user, char** lines) {
  return guarded([&] {
    required(recommender, "recommender");
    required(lines, "lines");
    const auto id = attune::detail::id_of(required(user, "user"), recommender->user_ids);
    attune::c::hand_over(recommender->facade.export_user(id), lines);
  });
}

attune_status attune_recommend(const attune_recommender* recommender, const attune_request* request,
                               attune_answer* answer) {
  return guarded([&] {
    required(recommender, "recommender");
    const auto given = attune::c::read(request, "request");
    attune::c::BorrowedRequest borrowed(*recommender, given);
    borrowed.request.user = attune::detail::id_of(required(given.user, "request.user"), recommender->user_ids);
    attune::c::answer_into(answer, [&] { return recommender->facade.recommend(borrowed.request); });
  });
}

attune_status attune_recommend_history(const attune_recommender* recommender, const char* const* items, size_t count,
                                       const int64_t* times, const attune_request* request, attune_answer* answer) {
  return guarded([&] {
    required(recommender, "recommender");
    const auto given = attune::c::read_or_default(request, "request");
    const attune::c::BorrowedRequest borrowed(*recommender, given);
    const auto history = attune::c::ids_of(items, count, recommender->item_ids, "items");
    const std::span<const attune::Timestamp> known_times(times, times == nullptr ? 0 : count);
    attune::c::answer_into(
        answer, [&] { return recommender->facade.recommend_history(history, borrowed.request, known_times); });
  });
}

attune_status attune_similar_items(const attune_recommender* recommender, const char* item,
                                   const attune_request* request, attune_answer* answer) {
  return guarded([&] {
    required(recommender, "recommender");
    const auto given = attune::c::read_or_default(request, "request");
    const attune::c::BorrowedRequest borrowed(*recommender, given);
    const auto id = attune::detail::id_of(required(item, "item"), recommender->item_ids);
    attune::c::answer_into(answer, [&] { return recommender->facade.similar_items(id, borrowed.request); });
  });
}

attune_status attune_score(const attune_recommender* recommender, const char* user, const char* const* items,
                           size_t count, int64_t now, float* scores) {
  return guarded([&] {
    required(recommender, "recommender");
    required(user, "user");
    if (count == 0) return;
    required(scores, "scores");
    const auto candidates = attune::c::ids_of(items, count, recommender->item_ids, "items");
    attune::c::score(*recommender, user, candidates, now == 0 ? attune::kNoTime : now, scores);
  });
}

attune_status attune_upsert_item(attune_recommender* recommender, const char* item, const char* json) {
  return guarded([&] {
    required(recommender, "recommender");
    attune::c::upsert_item(*recommender, required(item, "item"), required(json, "json"));
  });
}

attune_status attune_remove_item(attune_recommender* recommender, const char* item) {
  return guarded([&] {
    required(recommender, "recommender");
    const auto id = attune::detail::id_of(required(item, "item"), recommender->item_ids);
    if (recommender->facade.remove_item(id)) return;
    throw attune::Error(
        attune::ErrorCode::invalid_argument,
        std::string("item: expected an id that this model accepts, and room for it, found '") + item + '\'');
  });
}

attune_status attune_compile(const attune_recommender* recommender, const char* filter, attune_policy** policy) {
  return guarded([&] {
    required(recommender, "recommender");
    required(policy, "policy");
    *policy = new attune_policy{recommender->facade.compile({.filter = required(filter, "filter")})};
  });
}

void attune_free_policy(attune_policy* policy) { delete policy; }

attune_status attune_info(const attune_recommender* recommender, char** json) {
  return guarded([&] {
    required(recommender, "recommender");
    attune::c::hand_over(attune::c::text_of(attune::c::info_json(recommender->facade.info())), required(json, "json"));
  });
}

attune_status attune_metrics(const attune_recommender* recommender, char** text) {
  return guarded([&] {
    required(recommender, "recommender");
    attune::c::hand_over(attune::to_prometheus(recommender->facade.stats()), required(text, "text"));
  });
}
