// SPDX-License-Identifier: Apache-2.0
#ifndef ATTUNE_ATTUNE_H
#define ATTUNE_ATTUNE_H

// attune for C, and for every language that can call C: train a model, open it, tell it what happens, ask what to show.
// C99. The library is libattune_c (CMake: attune::c, pkg-config: attune_c).
//
//   attune_recommender* recommender;
//   if (attune_open("model", NULL, &recommender) != ATTUNE_OK) return fprintf(stderr, "%s\n", attune_last_error());
//
// What holds for every call (docs/c.md has the reasons):
//
// * Nothing is thrown, printed or ended. A call that can fail returns a status, and attune_last_error() says what was
//   expected and what was found. A call that failed has changed nothing but what its comment says.
// * NULL for a pointer is ATTUNE_INVALID_ARGUMENT, except where NULL has a meaning. What is handed in is read during
//   the call, and not kept.
// * Texts are UTF-8 and end with NUL, which no id of attune contains. Ids have the bytes that they had in the file that
//   a model was trained on. Where ids of a model are 64-bit integers, decimal digits stand for them.
// * Times are milliseconds since 1970-01-01 UTC.
// * A struct begins with struct_size, which the caller sets to the sizeof he was compiled with; zero is the default of
//   everything else. A shorter struct, of a caller older than the library, has the defaults of what it lacks. What a
//   longer one has beyond the library's knowledge must be zero.
// * Threads: any number of them may call anything at once, with the same recommender too. What a call writes into, or a
//   handle that is being freed, is in use by that call alone. No thread may be cancelled (pthread_cancel) in a call.

#include <stddef.h>
#include <stdint.h>

#if defined(_WIN32)
#if defined(ATTUNE_C_BUILDING)
#define ATTUNE_API __declspec(dllexport)
#else
#define ATTUNE_API __declspec(dllimport)
#endif
#elif defined(__GNUC__)
#define ATTUNE_API __attribute__((visibility("default")))
#else
#define ATTUNE_API
#endif

#ifdef __cplusplus
extern "C" {
#endif

// Grows when a caller of older headers could no longer call this library; it is the library's SOVERSION.
#define ATTUNE_ABI_VERSION 1

// A time that is not known.
#define ATTUNE_NO_TIME INT64_MIN

typedef enum attune_status {
  ATTUNE_OK = 0,
  ATTUNE_INVALID_ARGUMENT = 1,     // a value passed by the caller
  ATTUNE_INVALID_CONFIG = 2,       // a hyper-parameter or option of training
  ATTUNE_INVALID_DATA = 3,         // the content of an interaction file
  ATTUNE_IO_ERROR = 4,             // the operating system refused: missing file, permission, disk full
  ATTUNE_CORRUPT_FILE = 5,         // a file of attune's is damaged
  ATTUNE_UNSUPPORTED_VERSION = 6,  // written by a newer attune
  ATTUNE_UNSUPPORTED = 7,          // well-formed, but this build cannot do it
  ATTUNE_NON_FINITE = 8,           // a weight, loss or gradient is NaN or infinite
  ATTUNE_LIMIT_EXCEEDED = 9,       // a documented limit, stated in the message
  ATTUNE_CANCELLED = 10,           // the progress callback gave up, or stopped before anything usable existed
  ATTUNE_BUFFER_TOO_SMALL = 11,    // of the caller; the answer says what it needs
  ATTUNE_OUT_OF_MEMORY = 12,
  ATTUNE_INTERNAL_ERROR = 13  // a defect of attune
} attune_status;

// What became of an event.
typedef enum attune_outcome {
  ATTUNE_RECORDED = 0,
  ATTUNE_DUPLICATE = 1,  // an event id that the user's history already holds
  ATTUNE_REJECTED = 2    // an id, a time or a value that cannot be, or a limit reached
} attune_outcome;

typedef struct attune_recommender attune_recommender;
typedef struct attune_policy attune_policy;  // a compiled filter

// The version of the library, "0.1.0", and its ATTUNE_ABI_VERSION.
ATTUNE_API const char* attune_version(void);
ATTUNE_API uint32_t attune_abi_version(void);

// The instruction-set level in use: "avx2", ... Lives as long as the process. ATTUNE_UNSUPPORTED where ATTUNE_SIMD in
// the environment forces one that this machine lacks.
ATTUNE_API attune_status attune_simd_level(const char** level);

// What the last failed call of the calling thread says; "" before any. Until the next one fails, or the thread ends. At
// most 1,023 bytes. No id of a user is in it.
ATTUNE_API const char* attune_last_error(void);
// "invalid_argument", ...; "unknown" for what is no status.
ATTUNE_API const char* attune_status_name(int status);

// Frees a text that a call has handed over (its char** arguments). NULL is fine.
ATTUNE_API void attune_free(char* text);

// Opening a model.

typedef struct attune_open_options {
  size_t struct_size;
  // File of the event store, for one process at a time; created where it is not there, even if opening fails after
  // that. NULL: events live in memory. ATTUNE_UNSUPPORTED where the library is built without SQLite.
  const char* event_store;
  // What items have besides their ids, as a JSON object: {"genre": "category", "price": "number"}. NULL: nothing.
  const char* item_fields;
  // What kinds of events weigh, as a JSON object: {"purchase": 3, "shown": 0, "dislike": -1}. NULL: all weigh 1.
  const char* event_kinds;
  size_t max_items;             // of the catalogue; 0: 10,000,000
  size_t cache_budget_bytes;    // of users' encoder caches; 0: 1 GiB
  size_t history_budget_bytes;  // of users' histories; 0: no limit
  int64_t history_ttl;          // milliseconds until users are let go; 0: never
  int64_t in_memory;            // not 0: files are read and checked as a whole; 0: mapped
} attune_open_options;

// Opens a model directory, and the histories in it. NULL for the options: all defaults.
ATTUNE_API attune_status attune_open(const char* model, const attune_open_options* options,
                                     attune_recommender** recommender);
// Nobody may use the recommender or its policies any more. NULL is fine. Writes first what waits in the event store.
ATTUNE_API void attune_close(attune_recommender* recommender);

// Swaps the model while requests run. Where it fails, the old one goes on.
ATTUNE_API attune_status attune_reload(attune_recommender* recommender, const char* model);

// What happens.

// Columns of events. `users` and `items` have `count` entries; each other column may be NULL.
typedef struct attune_events {
  size_t struct_size;
  size_t count;
  const char* const* users;
  const char* const* items;
  const int64_t* timestamps;     // NULL or ATTUNE_NO_TIME: at the last event of the user
  const char* const* kinds;      // NULL, also as an entry: the plain kind
  const float* values;           // NULL: 1
  const char* const* event_ids;  // NULL, also as an entry: none. The same id of a user twice is one event
  // Not 0: returns once the events are as durable as the event store promises. ATTUNE_INVALID_ARGUMENT without one.
  int64_t durable;
} attune_events;

// Records events; the next answer to anybody reflects them. Users and items need not be known. `outcomes`, of `count`
// entries, is told what became of each (attune_outcome); NULL: nobody is. ATTUNE_IO_ERROR, with `durable`: answers
// reflect the events, but the store failed to keep them.
ATTUNE_API attune_status attune_observe(attune_recommender* recommender, const attune_events* events,
                                        int32_t* outcomes);

// Forgets a user: here, in the event store and in the model directory. Takes a time that grows with all histories.
// ATTUNE_IO_ERROR: forgotten here, and the call is to be repeated.
ATTUNE_API attune_status attune_forget_user(attune_recommender* recommender, const char* user);
// All events of the user, oldest first, one JSON object a line. "" for somebody unknown. Free `lines` with
// attune_free().
ATTUNE_API attune_status attune_export_user(const attune_recommender* recommender, const char* user, char** lines);

// What to show.

typedef struct attune_request {
  size_t struct_size;
  const char* user;             // of attune_recommend() alone
  size_t k;                     // items wanted; 0: 10
  int64_t now;                  // when the request happens; 0 or ATTUNE_NO_TIME: at the last event
  int64_t keep_seen;            // not 0: items of the user's history may be answered
  const attune_policy* policy;  // compiled for the same recommender; NULL: none
  const char* const* allow;     // nothing but these `num_allow` items; NULL: everything
  size_t num_allow;
  const char* const* deny;  // none of these `num_deny` items
  size_t num_deny;
  double diversity;  // from 0, the best as they are, to 1: less like each other. Not for similar items
} attune_request;

// An answer in memory of the caller, which he may use again for the next one.
typedef struct attune_answer {
  size_t struct_size;
  // His: arrays of `capacity` entries, and `text_capacity` bytes.
  size_t capacity;
  const char** items;    // point into `text`
  float* scores;         // NULL: nobody wants them
  float* probabilities;  // that the user's next event is on the item; NaN where the model does not say. NULL: unwanted
  char* text;
  size_t text_capacity;  // some 20, and for each item its id and NUL
  // The answer's.
  size_t count;               // of items, best first
  size_t text_size;           // bytes of `text`
  const char* model_version;  // points into `text`
  const char* source;         // who answers: "model", "content", "profile", "neighbours", "counts" or "popularity"
  const char* score_kind;     // "cosine", "dot", "blend" or "count"
  uint64_t generation;        // counts reloads
  // Why there are fewer than k: items that were seen, filtered, without a usable vector or not available.
  size_t seen, filtered, unavailable;
} attune_answer;

// The k best items for a user: exactly min(k, eligible), best first. Somebody unknown has an answer too; `source` says
// whose. ATTUNE_BUFFER_TOO_SMALL: only `count` and `text_size` are set, to what is needed.
ATTUNE_API attune_status attune_recommend(const attune_recommender* recommender, const attune_request* request,
                                          attune_answer* answer);
// The same for a bare history of `count` items, oldest first; nothing is stored. `times` is NULL or has `count`
// entries. NULL for the request: all defaults.
ATTUNE_API attune_status attune_recommend_history(const attune_recommender* recommender, const char* const* items,
                                                  size_t count, const int64_t* times, const attune_request* request,
                                                  attune_answer* answer);
// The items that are most like one, by the model's vectors. Obeys k, now, policy, allow and deny. NULL for the request:
// all defaults.
ATTUNE_API attune_status attune_similar_items(const attune_recommender* recommender, const char* item,
                                              const attune_request* request, attune_answer* answer);
// The scores of `count` items for a user, as attune_recommend() has them, in the order of `items`; NaN for what cannot
// be scored, and for what the user dislikes. `now` as in attune_request.
ATTUNE_API attune_status attune_score(const attune_recommender* recommender, const char* user, const char* const* items,
                                      size_t count, int64_t now, float* scores);

// Items, and rules for answers.

// What an item has: {"fields": {"genre": "Drama|War", "price": 9.5}, "available_from": 1700000000000,
// "available_until": null}, each of them optional. What is not named stays as it was; null takes a bound away. A
// removed item is there again.
ATTUNE_API attune_status attune_upsert_item(attune_recommender* recommender, const char* item, const char* json);
// In no answer until it is upserted.
ATTUNE_API attune_status attune_remove_item(attune_recommender* recommender, const char* item);

// A filter over the item fields (docs/policy.md), ready for requests: compile once, ask often.
ATTUNE_API attune_status attune_compile(const attune_recommender* recommender, const char* filter,
                                        attune_policy** policy);
ATTUNE_API void attune_free_policy(attune_policy* policy);  // no request may use it any more. NULL is fine

// Watching it.

// Model version, number of items and users, kinds of ids, memory, damage and more as one JSON object. Free `json` with
// attune_free().
ATTUNE_API attune_status attune_info(const attune_recommender* recommender, char** json);
// Counters and latencies in the text format of Prometheus. Free `text` with attune_free().
ATTUNE_API attune_status attune_metrics(const attune_recommender* recommender, char** text);

// Training and measuring.

// Told after every epoch, in the thread that called attune_train(): {"epoch": 3, "epochs": 100, "loss": 6.1, "hr@10":
// 0.2, "ndcg@10": 0.1, "best": true, "refit": false, "seconds": 1.2}; metrics only where the epoch was validated. 0
// goes on; above 0 stops, and the best epoch so far is the result; below 0 gives up: nothing is written, and the status
// is ATTUNE_CANCELLED.
typedef int (*attune_progress)(const char* epoch, void* context);

// Interactions in, a model directory out, which is replaced as a whole or not at all. `preset`: "default",
// "sasrec-small", ... (NULL: "default"). `options`, a JSON object (NULL: {}), each field optional:
//
//   "config"           an object of training options, as in the tool's --config
//   "split"            "temporal:0.9" (without times in the file: "leave-one-out"), "leave-one-out", "none"
//   "threads"          1: the calling thread alone
//   "user_ids", "item_ids"    "string" or "int64"
//   "columns", "separator", "encoding", "skip_bad_lines", "min_rating", "k_core"   how the file is read, as by the tool
//
// `report` is handed a JSON object with what was read, epochs and metrics of the test part; NULL: nobody wants it. Free
// it with attune_free().
ATTUNE_API attune_status attune_train(const char* interactions, const char* preset, const char* output,
                                      const char* options, attune_progress progress, void* context, char** report);

// Measures a model directory on the test part of a file of interactions, as it was measured when it was trained unless
// `options` say otherwise: those of attune_train() but config and item_ids, and "cutoffs" ([1, 5, 10, 50, 200]),
// "exclude_seen", "bootstrap" (1000 resamples for intervals; 0: none). `report` is as above.
ATTUNE_API attune_status attune_evaluate(const char* model, const char* interactions, const char* options,
                                         char** report);

#ifdef __cplusplus
}
#endif

#endif
