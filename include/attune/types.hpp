// SPDX-License-Identifier: Apache-2.0
#pragma once

// The nouns that every stage of the pipeline shares. Everything here is a value or a view; nothing allocates.

#include <concepts>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "attune/version.hpp"

namespace attune::inline v0_1 {

class FeatureTable;

// Milliseconds since 1970-01-01 UTC. The library never reads the clock.
using Timestamp = std::int64_t;
inline constexpr Timestamp kNoTime = std::numeric_limits<Timestamp>::min();

// Whether an event may have this time: none, or one from 1970 to the year 9999.
constexpr bool is_event_time(Timestamp time) noexcept {
  constexpr Timestamp kEndOf9999 = 253'402'300'800'000;
  return time == kNoTime || (time >= 0 && time < kEndOf9999);
}

// Dense numbers that stand for external ids inside the library. Within one model snapshot an item handle is a row of
// the embedding table; handles never change their meaning while a process runs.
using ItemHandle = std::uint32_t;
using UserHandle = std::uint32_t;
inline constexpr std::uint32_t kNoHandle = std::numeric_limits<std::uint32_t>::max();

enum class IdKind : std::uint8_t { string, int64 };

// An external id: text or a 64-bit integer. A view: the text must outlive it. Literals, strings and integers convert
// implicitly, so that they can be passed wherever an id is wanted. An id of the kind that a model does not use is an
// unknown id, never an error; so is an unsigned integer beyond 2^63 - 1.
class Id {
 public:
  constexpr Id() noexcept = default;
  constexpr Id(std::string_view text) noexcept : text_(text), state_(State::text) {}
  constexpr Id(const char* text) noexcept : Id(std::string_view(text)) {}
  Id(const std::string& text) noexcept : Id(std::string_view(text)) {}
  template <std::integral Integer>
  requires(!std::same_as<Integer, bool> && !std::same_as<Integer, char>) constexpr Id(Integer number) noexcept
      : number_(static_cast<std::int64_t>(number)), state_(in_range(number) ? State::number : State::none) {}

  constexpr bool empty() const noexcept { return state_ == State::none || (state_ == State::text && text_.empty()); }
  constexpr bool is_text() const noexcept { return state_ == State::text; }
  constexpr bool is_number() const noexcept { return state_ == State::number; }
  constexpr std::string_view text() const noexcept { return text_; }  // "" unless is_text()
  constexpr std::int64_t number() const noexcept { return number_; }  // 0 unless is_number()

  friend constexpr bool operator==(const Id& a, const Id& b) noexcept {
    return a.state_ == b.state_ && a.number_ == b.number_ && a.text_ == b.text_;
  }

 private:
  enum class State : std::uint8_t { none, text, number };
  template <class Integer>
  static constexpr bool in_range(Integer number) noexcept {
    if constexpr (std::unsigned_integral<Integer> && sizeof(Integer) >= sizeof(std::int64_t)) {
      return number <= static_cast<Integer>(std::numeric_limits<std::int64_t>::max());
    } else {
      return true;
    }
  }

  std::string_view text_;
  std::int64_t number_ = 0;
  State state_ = State::none;
};

// Decimal digits for a number, the text itself otherwise, "" for none.
ATTUNE_EXPORT std::string to_string(const Id& id);

// One event. `event` names its kind ("view", "purchase", ...; "" is the plain one). `event_id` makes delivery
// idempotent: the same event id of a user twice is one event. Without a timestamp the event happens at the user's last
// event.
struct Interaction {
  Id user;
  Id item;
  Timestamp timestamp = kNoTime;
  std::string_view event = {};
  float value = 1.0f;
  std::string_view event_id = {};
};

// What events of a kind mean (RecommenderOptions::event_kinds). A weight above 0: the item belongs to the history, with
// this weight times the event's value. 0: an impression, the item was shown and nothing more. Below 0: negative
// feedback, as strong as the size of weight times value.
struct EventKind {
  std::string name;
  float weight = 1;
};

// What becomes of events of a kind that has no name in RecommenderOptions::event_kinds, other than the plain one: they
// weigh 1, or are rejected.
enum class UnknownEventKinds : std::uint8_t { accept, reject };

// What items and users have besides their ids: a set of names or other text, a number, or numbers. Filters and rules
// take categories and numbers.
enum class FieldType : std::uint8_t { category, number, vector };

struct ItemField {
  std::string name;  // a letter or '_', then letters, digits and '_'
  FieldType type = FieldType::category;
};

// A field and what an item or user has there: names separated by '|' ("Drama|War"; "": none) or the text of a text
// feature, a number (NaN: none), or the numbers of a vector feature (empty: none). A view: text and numbers must
// outlive it.
class FieldValue {
 public:
  constexpr FieldValue(std::string_view field, std::string_view names) noexcept : field_(field), names_(names) {}
  constexpr FieldValue(std::string_view field, std::span<const float> vector) noexcept
      : field_(field), vector_(vector), type_(FieldType::vector) {}
  template <class Number>
  requires((std::integral<Number> || std::floating_point<Number>)&&!std::same_as<Number, bool> &&
           !std::same_as<Number, char>) constexpr FieldValue(std::string_view field, Number number) noexcept
      : field_(field), number_(static_cast<double>(number)), type_(FieldType::number) {}

  constexpr std::string_view field() const noexcept { return field_; }
  constexpr FieldType type() const noexcept { return type_; }
  constexpr std::string_view names() const noexcept { return names_; }          // "" unless of a category
  constexpr double number() const noexcept { return number_; }                  // 0 unless a number
  constexpr std::span<const float> vector() const noexcept { return vector_; }  // empty unless a vector

 private:
  std::string_view field_, names_;
  std::span<const float> vector_;
  double number_ = 0;
  FieldType type_ = FieldType::category;
};

// An item as a host describes it; what is not named here stays as it was. It is available at the times
// [available_from, available_until), from and for ever unless they are set; kNoTime takes a bound away.
struct Item {
  Id id;
  std::vector<FieldValue> fields = {};
  std::optional<Timestamp> available_from = {};
  std::optional<Timestamp> available_until = {};
};

// A user as a host describes him: a profile. What is not named here stays as it was.
struct User {
  Id id;
  std::vector<FieldValue> fields = {};
};

// A user's events, oldest first. `times`, `kinds` and `weights` are either empty or as long as `items`.
struct HistoryView {
  std::span<const ItemHandle> items;
  std::span<const Timestamp> times = {};
  std::span<const std::uint8_t> kinds = {};
  std::span<const float> weights = {};

  std::size_t size() const noexcept { return items.size(); }
  bool empty() const noexcept { return items.empty(); }
  HistoryView subview(std::size_t begin, std::size_t count) const noexcept {
    const auto cut = [&](auto column) { return column.empty() ? column : column.subspan(begin, count); };
    return {items.subspan(begin, count), cut(times), cut(kinds), cut(weights)};
  }
  HistoryView first(std::size_t count) const noexcept { return subview(0, count); }
};

// An item of which the last that its user said is negative feedback, and how strong that was: at least 0.
struct Dislike {
  ItemHandle item;
  float weight;
  friend bool operator==(const Dislike&, const Dislike&) = default;
};

// What is known about a request besides the history. Without `now` the request happens at the last event.
struct Context {
  Timestamp now = kNoTime;
  std::span<const float> features = {};
  Id user = {};                            // whose request it is; empty for a bare history
  std::span<const Dislike> disliked = {};  // ascending by item
  const FeatureTable* profile = nullptr;   // row 0: the user's, as the model's UserPrior reads it; null: unknown
};

// What a scorer ranks for: the encoder's output and what it was made from.
struct Query {
  std::span<const float> user_vector;
  HistoryView history = {};
  Context context = {};
};

struct ScoredHandle {
  ItemHandle item;
  float score;
  friend bool operator==(const ScoredHandle&, const ScoredHandle&) = default;
};

// One of the queries that a scorer answers together (CosineScorer::top_k_batch), and its answer.
struct BatchedQuery {
  std::span<const float> user_vector;
  std::span<const ItemHandle> excluded = {};  // ascending
  std::size_t k = 10;
  std::vector<ScoredHandle> best = {};
};

// Order of every answer: larger score first, ties by the lower catalogue handle.
constexpr bool ranks_before(const ScoredHandle& a, const ScoredHandle& b) noexcept {
  return a.score > b.score || (a.score == b.score && a.item < b.item);
}

enum class ScoreKind : std::uint8_t { cosine, dot, blend, count };
ATTUNE_EXPORT std::string_view to_string(ScoreKind kind) noexcept;

// How the rows that a scan reads are stored. Answers are the same, bit for bit. `automatic`: float32 for a few hundred
// items, then int8, from some thirty thousand on int4; float32 on a CPU without vector instructions for bytes.
enum class ScorerStorage : std::uint8_t { automatic, float32, int8, int4 };

// How users' keys and values are stored. float32: answers are those of a full encode, bit for bit. bfloat16: rounded to
// 8 bits, in half the memory; vectors of trained models turn by 1 - cos < 1e-6 (measured: docs/benchmarks/serving.md).
enum class StateStorage : std::uint8_t { float32, bfloat16 };

// How a model directory keeps the encoder's weights. float32: as they are. int8: matrices in 8 bits, with a scale for
// each output channel, in a little more than a quarter of the bytes; an element moves by at most half a scale, once,
// and in memory it is float32 again (accuracy: docs/decisions/0002-model-directory.md).
enum class WeightStorage : std::uint8_t { float32, int8 };
ATTUNE_EXPORT std::string_view to_string(WeightStorage storage) noexcept;

// How the items of a large catalogue are searched. `scan` reads something of every item. `exact` leaves out those that
// a proof says are not among the best, and gives the same answers, bit for bit. `approximate` leaves out more, and may
// miss an item now and then.
enum class SearchKind : std::uint8_t { scan, exact, approximate };

// How a model directory is opened. `in_memory`: read and checked as a whole before anything is answered. `mapped`: item
// vectors stay in the file, each is checked when it is first used, and a million items open in milliseconds. Nobody may
// then change or shorten the files in place while the model or a recommender that ever served it lives (saving over a
// model does not: it puts new files). Directories that lack what this takes are read into memory, and so are weights in
// int8.
enum class ModelAccess : std::uint8_t { in_memory, mapped };

// What is near an item, best first.
struct Neighbours {
  std::span<const ScoredHandle> items;
  ScoreKind kind = ScoreKind::cosine;  // of their scores
};

// What became of an event.
enum class Observed : std::uint8_t {
  recorded,
  duplicate,  // an event id that this user's history already holds
  // An id that IdMap does not accept, a value that is not finite, a time before 1970 or after the year 9999 (one in
  // microseconds is), a kind without a name where those are rejected, or a limit reached.
  rejected,
};

// How a list is kept from repeating itself (Request::diversity). mmr: maximal marginal relevance, away from the chosen
// item that is most alike. dpp: greedy search for the most probable set of a determinantal point process, away from all
// chosen items together.
enum class DiversityMethod : std::uint8_t { mmr, dpp };

// Which part of the system an answer comes from.
enum class Source : std::uint8_t { model, content, profile, neighbours, counts, popularity };
ATTUNE_EXPORT std::string_view to_string(Source source) noexcept;

// What a cold start adds to a model's scores of a user with few events, by handle, and which part then has the largest
// weight. No terms: the model speaks alone.
struct ColdTerms {
  std::span<float> terms = {};
  Source source = Source::model;
};

}  // namespace attune::inline v0_1
