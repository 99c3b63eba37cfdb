// SPDX-License-Identifier: Apache-2.0

// attune.h as functions of JavaScript, for index.js alone, which has checked what it passes but for texts and ids.

#include <algorithm>
#include <exception>
#include <list>
#include <memory>
#include <new>
#include <string>
#include <utility>
#include <vector>

#include "node/values.hpp"
#include "node/work.hpp"

namespace attune::node {
namespace {

constexpr std::size_t kFirstCapacity = 1000;  // of an answer whose size nobody knows yet
constexpr std::size_t kBytesOfAnId = 24;
constexpr std::size_t kFilters = 100;  // compiled ones that are kept

// Owns what attune_open() made. Whoever calls in the pool holds it as well, so that it outlives the call.
class Recommender {
 public:
  Recommender(const std::string& model, const attune_open_options& options) {
    check(attune_open(model.c_str(), &options, &recommender_));
  }
  ~Recommender() {
    filters_.clear();
    attune_close(recommender_);
  }
  Recommender(const Recommender&) = delete;
  Recommender& operator=(const Recommender&) = delete;

  attune_recommender* get() const noexcept { return recommender_; }

  // Compiles what it does not know. In the thread of JavaScript; until the next call.
  const attune_policy* filter(const std::string& text) {
    auto known =
        std::find_if(filters_.begin(), filters_.end(), [&](const auto& filter) { return filter.first == text; });
    if (known == filters_.end()) {
      attune_policy* policy = nullptr;
      check(attune_compile(recommender_, text.c_str(), &policy));
      filters_.emplace_front(text, Policy(policy));
      if (filters_.size() > kFilters) filters_.pop_back();
    } else {
      filters_.splice(filters_.begin(), filters_, known);
    }
    return filters_.front().second.get();
  }

 private:
  struct Free {
    void operator()(attune_policy* policy) const noexcept { attune_free_policy(policy); }
  };
  using Policy = std::unique_ptr<attune_policy, Free>;

  attune_recommender* recommender_ = nullptr;
  std::list<std::pair<std::string, Policy>> filters_;  // used last, first
};

// A value of JavaScript's that shares something with whoever uses it in the pool.
template <class Shared>
napi_value handle_of(napi_env env, std::shared_ptr<Shared> shared) {
  auto held = std::make_unique<std::shared_ptr<Shared>>(std::move(shared));
  const auto collected = [](napi_env, void* data, void*) { delete static_cast<std::shared_ptr<Shared>*>(data); };
  napi_value handle = nullptr;
  check(env, napi_create_external(env, held.get(), collected, nullptr, &handle));
  held.release();
  return handle;
}

template <class Shared>
std::shared_ptr<Shared>& shared_of(napi_env env, napi_value handle) {
  void* data = nullptr;
  check(env, napi_get_value_external(env, handle, &data));
  return *static_cast<std::shared_ptr<Shared>*>(data);
}

// What the first argument of a call is; index.js passes none that was closed.
std::shared_ptr<Recommender> recommender_of(napi_env env, const Arguments& given) {
  return shared_of<Recommender>(env, given[0]);
}

napi_value nothing(napi_env env) {
  napi_value value = nullptr;
  check(env, napi_get_undefined(env, &value));
  return value;
}

// What a call hands over through its char**.
template <class Call>
std::string handed_over(Call&& call) {
  char* text = nullptr;
  check(call(&text));
  const std::unique_ptr<char, decltype(&attune_free)> owned(text, attune_free);
  return owned.get();
}

// A text that a call in the pool makes, as a promise.
template <class Call>
napi_value later_text(napi_env env, Call call) {
  const auto made = std::make_shared<std::string>();
  return later(
      env, [made, call] { *made = handed_over(call); }, [made](napi_env then) { return text_value(then, *made); });
}

napi_value number_value(napi_env env, std::size_t number) {
  napi_value value = nullptr;
  check(env, napi_create_double(env, static_cast<double>(number), &value));
  return value;
}

napi_value list_of(napi_env env, std::size_t size) {
  napi_value list = nullptr;
  check(env, napi_create_array_with_length(env, size, &list));
  return list;
}

// Opening.

napi_value open(napi_env env, const Arguments& given) {
  struct Asked {
    std::string model, event_store, item_fields, event_kinds;
    attune_open_options options{};
    std::shared_ptr<Recommender> opened = nullptr;
  };
  const auto asked = std::make_shared<Asked>();
  attune_open_options& options = asked->options;
  const auto optional = [&](std::size_t i, const char* name, std::string& text) {
    if (given.missing(i)) return static_cast<const char*>(nullptr);
    text = given.text(i, name);
    return text.c_str();
  };
  options.struct_size = sizeof options;
  asked->model = given.text(0, "model");
  options.event_store = optional(1, "eventStore", asked->event_store);
  options.item_fields = optional(2, "itemFields", asked->item_fields);
  options.event_kinds = optional(3, "eventKinds", asked->event_kinds);
  options.max_items = given.count(4);
  options.cache_budget_bytes = given.count(5);
  options.history_budget_bytes = given.count(6);
  options.history_ttl = static_cast<std::int64_t>(given.count(7));
  options.in_memory = given.flag(8);
  return later(
      env, [asked] { asked->opened = std::make_shared<Recommender>(asked->model, asked->options); },
      [asked](napi_env then) { return handle_of(then, std::move(asked->opened)); });
}

// Whoever is in a call goes on; the last to leave frees it.
napi_value close(napi_env env, const Arguments& given) {
  const auto held = std::make_shared<std::shared_ptr<Recommender>>(std::move(shared_of<Recommender>(env, given[0])));
  return later(
      env, [held] { held->reset(); }, nothing);
}

napi_value reload(napi_env env, const Arguments& given) {
  return later(
      env,
      [recommender = recommender_of(env, given), model = given.text(1, "model")] {
        check(attune_reload(recommender->get(), model.c_str()));
      },
      nothing);
}

// What happens.

struct Events {
  Texts users, items, kinds, event_ids;
  std::vector<std::int64_t> times;
  std::vector<float> values;
  bool has_times = false, has_kinds = false, has_values = false, has_event_ids = false;
  std::vector<std::int32_t> outcomes = {};

  // From the second argument on. Columns have one length.
  explicit Events(const Arguments& given)
      : users(given.ids(1, "users")),
        items(given.ids(2, "items")),
        has_times(!given.missing(3)),
        has_kinds(!given.missing(4)),
        has_values(!given.missing(5)),
        has_event_ids(!given.missing(6)) {
    if (has_times) times = given.times(3);
    if (has_kinds) kinds = given.texts(4, "kinds");
    if (has_values) values = given.numbers(5);
    if (has_event_ids) event_ids = given.texts(6, "eventIds");
    fits(items.size(), "items");
    if (has_times) fits(times.size(), "timestamps");
    if (has_kinds) fits(kinds.size(), "kinds");
    if (has_values) fits(values.size(), "values");
    if (has_event_ids) fits(event_ids.size(), "eventIds");
  }

  void observe(attune_recommender* recommender, bool durable) {
    attune_events events{};
    events.struct_size = sizeof events;
    events.count = users.size();
    events.users = users.data();
    events.items = items.data();
    events.timestamps = has_times ? times.data() : nullptr;
    events.kinds = has_kinds ? kinds.data() : nullptr;
    events.values = has_values ? values.data() : nullptr;
    events.event_ids = has_event_ids ? event_ids.data() : nullptr;
    events.durable = durable;
    outcomes.resize(users.size());
    check(attune_observe(recommender, &events, outcomes.data()));
  }

  napi_value outcome_list(napi_env env) const {
    const napi_value list = list_of(env, outcomes.size());
    for (std::size_t i = 0; i < outcomes.size(); ++i) {
      check(env, napi_set_element(env, list, static_cast<std::uint32_t>(i),
                                  number_value(env, static_cast<std::size_t>(outcomes[i]))));
    }
    return list;
  }

 private:
  void fits(std::size_t size, const char* name) const {
    if (size == users.size()) return;
    throw Failure{Failure::Kind::range, "ERR_OUT_OF_RANGE",
                  std::string(name) + ": expected one for each of " + std::to_string(users.size()) + " users, found " +
                      std::to_string(size)};
  }
};

napi_value observe(napi_env env, const Arguments& given) {
  const auto recommender = recommender_of(env, given);
  Events events(given);
  events.observe(recommender->get(), false);
  return events.outcome_list(env);
}

napi_value observe_durably(napi_env env, const Arguments& given) {
  const auto recommender = recommender_of(env, given);
  const auto events = std::make_shared<Events>(given);
  return later(
      env, [recommender, events] { events->observe(recommender->get(), true); },
      [events](napi_env then) { return events->outcome_list(then); });
}

napi_value forget_user(napi_env env, const Arguments& given) {
  return later(
      env,
      [recommender = recommender_of(env, given), user = given.id(1, "user")] {
        check(attune_forget_user(recommender->get(), user.c_str()));
      },
      nothing);
}

napi_value export_user(napi_env env, const Arguments& given) {
  const auto recommender = recommender_of(env, given);
  const std::string user = given.id(1, "user");
  return text_value(
      env, handed_over([&](char** lines) { return attune_export_user(recommender->get(), user.c_str(), lines); }));
}

// What to show.

// k, now, keepSeen, filter, allow, deny and diversity, from the argument `first` on.
struct Request {
  Texts allow, deny;
  attune_request fields{};

  Request(Recommender& recommender, const Arguments& given, std::size_t first) {
    fields.struct_size = sizeof fields;
    fields.k = given.count(first);
    fields.now = given.time(first + 1);
    fields.keep_seen = given.flag(first + 2);
    if (!given.missing(first + 3)) fields.policy = recommender.filter(given.text(first + 3, "filter"));
    if (!given.missing(first + 4)) {
      allow = given.ids(first + 4, "allow");
      fields.allow = allow.data();
      fields.num_allow = allow.size();
    }
    deny = given.ids(first + 5, "deny");
    fields.deny = deny.data();
    fields.num_deny = deny.size();
    fields.diversity = given.number(first + 6);
  }
  Request(const Request&) = delete;
  Request& operator=(const Request&) = delete;
};

napi_value answer_list(napi_env env, const attune_answer& answer, napi_value numbers, Ids ids) {
  const napi_value items = list_of(env, answer.count);
  for (std::size_t i = 0; i < answer.count; ++i) {
    check(env, napi_set_element(env, items, static_cast<std::uint32_t>(i), id_value(env, answer.items[i], ids)));
  }
  const napi_value parts[] = {items,
                              floats(env, numbers, 0, answer.count),
                              floats(env, numbers, answer.capacity, answer.count),
                              text_value(env, answer.source),
                              text_value(env, answer.score_kind),
                              text_value(env, answer.model_version),
                              number_value(env, answer.generation),
                              number_value(env, answer.seen),
                              number_value(env, answer.filtered),
                              number_value(env, answer.unavailable)};
  const napi_value list = list_of(env, std::size(parts));
  for (std::uint32_t i = 0; i < std::size(parts); ++i) check(env, napi_set_element(env, list, i, parts[i]));
  return list;
}

// Asks with an answer whose scores and probabilities are memory of JavaScript's, until there is room.
template <class Call>
napi_value answer_of(napi_env env, std::size_t k, Ids ids, Call&& call) {
  std::size_t capacity = std::min(k, kFirstCapacity), text_capacity = (capacity + 1) * kBytesOfAnId;
  std::vector<const char*> items;
  std::vector<char> text;
  while (true) {
    items.resize(capacity);
    text.resize(text_capacity);
    void* memory = nullptr;
    napi_value numbers = nullptr;
    check(env, napi_create_arraybuffer(env, 2 * capacity * sizeof(float), &memory, &numbers));
    attune_answer answer{};
    answer.struct_size = sizeof answer;
    answer.capacity = capacity;
    answer.items = items.data();
    answer.scores = static_cast<float*>(memory);
    answer.probabilities = answer.scores + capacity;
    answer.text = text.data();
    answer.text_capacity = text_capacity;
    const attune_status status = call(&answer);
    if (status != ATTUNE_BUFFER_TOO_SMALL) {
      check(status);
      return answer_list(env, answer, numbers, ids);
    }
    // What is answered may grow meanwhile, so that this may happen again.
    capacity = std::max(capacity, answer.count);
    text_capacity = std::max(text_capacity, answer.text_size);
  }
}

Ids ids_of(const Arguments& given) { return static_cast<Ids>(given.count(1)); }

napi_value recommend(napi_env env, const Arguments& given) {
  const auto recommender = recommender_of(env, given);
  const std::string user = given.id(2, "user");
  Request request(*recommender, given, 3);
  request.fields.user = user.c_str();
  return answer_of(env, request.fields.k, ids_of(given), [&](attune_answer* answer) {
    return attune_recommend(recommender->get(), &request.fields, answer);
  });
}

napi_value recommend_history(napi_env env, const Arguments& given) {
  const auto recommender = recommender_of(env, given);
  Texts items = given.ids(2, "items");
  const bool has_times = !given.missing(3);
  const std::vector<std::int64_t> times = has_times ? given.times(3) : std::vector<std::int64_t>{};
  if (has_times && times.size() != items.size()) {
    throw Failure{Failure::Kind::range, "ERR_OUT_OF_RANGE",
                  "times: expected one for each of " + std::to_string(items.size()) + " items, found " +
                      std::to_string(times.size())};
  }
  const Request request(*recommender, given, 4);
  return answer_of(env, request.fields.k, ids_of(given), [&](attune_answer* answer) {
    return attune_recommend_history(recommender->get(), items.data(), items.size(),
                                    times.empty() ? nullptr : times.data(), &request.fields, answer);
  });
}

napi_value similar(napi_env env, const Arguments& given) {
  const auto recommender = recommender_of(env, given);
  const std::string item = given.id(2, "item");
  const Request request(*recommender, given, 3);
  return answer_of(env, request.fields.k, ids_of(given), [&](attune_answer* answer) {
    return attune_similar_items(recommender->get(), item.c_str(), &request.fields, answer);
  });
}

napi_value score(napi_env env, const Arguments& given) {
  const auto recommender = recommender_of(env, given);
  const std::string user = given.id(1, "user");
  Texts items = given.ids(2, "items");
  void* memory = nullptr;
  napi_value scores = nullptr;
  check(env, napi_create_arraybuffer(env, items.size() * sizeof(float), &memory, &scores));
  check(attune_score(recommender->get(), user.c_str(), items.data(), items.size(), given.time(3),
                     static_cast<float*>(memory)));
  return floats(env, scores, 0, items.size());
}

// Items.

napi_value upsert_item(napi_env env, const Arguments& given) {
  const auto recommender = recommender_of(env, given);
  check(attune_upsert_item(recommender->get(), given.id(1, "item").c_str(), given.text(2, "fields").c_str()));
  return nothing(env);
}

napi_value remove_item(napi_env env, const Arguments& given) {
  check(attune_remove_item(recommender_of(env, given)->get(), given.id(1, "item").c_str()));
  return nothing(env);
}

// Watching it.

napi_value info(napi_env env, const Arguments& given) {
  const auto recommender = recommender_of(env, given);
  return text_value(env, handed_over([&](char** json) { return attune_info(recommender->get(), json); }));
}

napi_value metrics(napi_env env, const Arguments& given) {
  const auto recommender = recommender_of(env, given);
  return text_value(env, handed_over([&](char** text) { return attune_metrics(recommender->get(), text); }));
}

napi_value version(napi_env env, const Arguments&) { return text_value(env, attune_version()); }

napi_value simd_level(napi_env env, const Arguments&) {
  const char* level = nullptr;
  check(attune_simd_level(&level));
  return text_value(env, level);
}

// Training and measuring.

napi_value training(napi_env env, const Arguments&) { return handle_of(env, std::make_shared<Training>()); }

// The training that the first argument is: answers its next epoch, for good.
napi_value decide(napi_env env, const Arguments& given) {
  shared_of<Training>(env, given[0])->decide(static_cast<int>(given.number(1)));
  return nothing(env);
}

int after_epoch(const char* epoch, void* training) { return static_cast<Training*>(training)->after(epoch); }

napi_value train(napi_env env, const Arguments& given) {
  const auto training = shared_of<Training>(env, given[0]);
  const std::string interactions = given.text(1, "interactions"), output = given.text(2, "output");
  const std::string preset = given.text(3, "preset"), options = given.text(4, "options");
  training->tell(env, given[5]);
  return later_text(env, [=](char** report) {
    const attune_status status = attune_train(interactions.c_str(), preset.c_str(), output.c_str(), options.c_str(),
                                              after_epoch, training.get(), report);
    training->finish();
    return status;
  });
}

napi_value evaluate(napi_env env, const Arguments& given) {
  return later_text(env, [model = given.text(0, "model"), interactions = given.text(1, "interactions"),
                          options = given.text(2, "options")](char** report) {
    return attune_evaluate(model.c_str(), interactions.c_str(), options.c_str(), report);
  });
}

// The border.

void throw_failure(napi_env env, const Failure& failure) noexcept {
  try {
    napi_throw(env, error_of(env, failure));
  } catch (...) {  // JavaScript has thrown already
  }
}

template <napi_value (*Body)(napi_env, const Arguments&)>
napi_value guarded(napi_env env, napi_callback_info info) noexcept {
  try {
    return Body(env, Arguments(env, info));
  } catch (const Pending&) {
  } catch (const Failure& failure) {
    throw_failure(env, failure);
  } catch (const std::bad_alloc&) {
    throw_failure(env, {Failure::Kind::error, "out_of_memory", "out of memory"});
  } catch (const std::exception& error) {
    throw_failure(env, {Failure::Kind::error, "internal_error", error.what()});
  }
  return nullptr;
}

template <napi_value (*Body)(napi_env, const Arguments&)>
void define(napi_env env, napi_value exports, const char* name) {
  napi_value function = nullptr;
  check(env, napi_create_function(env, name, NAPI_AUTO_LENGTH, guarded<Body>, nullptr, &function));
  check(env, napi_set_named_property(env, exports, name, function));
}

void define_all(napi_env env, napi_value exports) {
  define<open>(env, exports, "open");
  define<close>(env, exports, "close");
  define<reload>(env, exports, "reload");
  define<observe>(env, exports, "observe");
  define<observe_durably>(env, exports, "observeDurably");
  define<forget_user>(env, exports, "forgetUser");
  define<export_user>(env, exports, "exportUser");
  define<recommend>(env, exports, "recommend");
  define<recommend_history>(env, exports, "recommendHistory");
  define<similar>(env, exports, "similar");
  define<score>(env, exports, "score");
  define<upsert_item>(env, exports, "upsertItem");
  define<remove_item>(env, exports, "removeItem");
  define<info>(env, exports, "info");
  define<metrics>(env, exports, "metrics");
  define<version>(env, exports, "version");
  define<simd_level>(env, exports, "simdLevel");
  define<training>(env, exports, "training");
  define<decide>(env, exports, "decide");
  define<train>(env, exports, "train");
  define<evaluate>(env, exports, "evaluate");
}

}  // namespace
}  // namespace attune::node

NAPI_MODULE_INIT() {
  using namespace attune::node;
  try {
    if (attune_abi_version() != ATTUNE_ABI_VERSION) {
      throw Failure{Failure::Kind::error, "unsupported_version",
                    "libattune_c: expected version " + std::to_string(ATTUNE_ABI_VERSION) +
                        " of the C interface, found " + std::to_string(attune_abi_version())};
    }
    define_all(env, exports);
  } catch (const Failure& failure) {
    throw_failure(env, failure);
  } catch (...) {  // JavaScript has thrown, or memory is out, which require() tells by what is missing
  }
  return exports;
}
