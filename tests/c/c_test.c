// SPDX-License-Identifier: Apache-2.0

// attune.h from a program in C99: c_test DIRECTORY. Writes a file of interactions there, trains two models on it, and
// asks whatever a host asks.

#define _POSIX_C_SOURCE 200809L

#include <attune/attune.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { kItems = 40, kUsers = 60, kEvents = 24, kThreads = 4, kRounds = 200, kLongestId = 32 };

static int failures = 0;

#define CHECK(condition)                                                                       \
  do {                                                                                         \
    if (!(condition)) {                                                                        \
      fprintf(stderr, "%s:%d: %s: %s\n", __FILE__, __LINE__, #condition, attune_last_error()); \
      ++failures;                                                                              \
    }                                                                                          \
  } while (0)

#define CHECK_REFUSED(call, status, part)               \
  do {                                                  \
    CHECK((call) == (status));                          \
    CHECK(strstr(attune_last_error(), (part)) != NULL); \
  } while (0)

// An answer with room for all items.
typedef struct room {
  const char* items[kItems];
  float scores[kItems], probabilities[kItems];
  char text[(kItems + 1) * kLongestId];
} room;

static attune_answer answer_in(room* memory) {
  attune_answer answer = {.struct_size = sizeof answer};
  answer.capacity = kItems;
  answer.items = memory->items;
  answer.scores = memory->scores;
  answer.probabilities = memory->probabilities;
  answer.text = memory->text;
  answer.text_capacity = sizeof memory->text;
  return answer;
}

static attune_request request_of(const char* user, size_t k) {
  attune_request request = {.struct_size = sizeof request};
  request.user = user;
  request.k = k;
  return request;
}

static attune_status observe_one(attune_recommender* recommender, const char* user, const char* item,
                                 int32_t* outcome) {
  attune_events events = {.struct_size = sizeof events};
  events.count = 1;
  events.users = &user;
  events.items = &item;
  return attune_observe(recommender, &events, outcome);
}

// Every user goes round the same circle of items, from a place of his own.
static void write_interactions(const char* file, const char* prefix) {
  FILE* const out = fopen(file, "w");
  if (out == NULL) {
    perror(file);
    exit(2);
  }
  fprintf(out, "user,item,timestamp\n");
  for (int user = 0; user < kUsers; ++user) {
    for (int event = 0; event < kEvents; ++event) {
      fprintf(out, "%s%d,%s%d,%d\n", prefix, user, prefix, (user * 7 + event) % kItems,
              1700000000 + event * 100 + user);
    }
  }
  if (atoi(prefix) != 0) fprintf(out, "0,0,1700000000\n");  // an id that is no number must not be taken for this one
  fclose(out);
}

static int count_epochs(const char* epoch, void* context) {
  CHECK(strstr(epoch, "\"loss\":") != NULL);
  ++*(int*)context;
  return 0;
}

// 1 stops, -1 gives up.
static int answer_of(const char* epoch, void* context) {
  (void)epoch;
  return *(const int*)context;
}

// What attune_info() says of a model; free it.
static char* info_of(const char* model) {
  attune_recommender* recommender = NULL;
  char* info = NULL;
  CHECK(attune_open(model, NULL, &recommender) == ATTUNE_OK);
  CHECK(attune_info(recommender, &info) == ATTUNE_OK);
  attune_close(recommender);
  return info;
}

static void it_says_what_it_is(void) {
  const char* level = NULL;
  CHECK(attune_abi_version() == ATTUNE_ABI_VERSION);
  CHECK(strchr(attune_version(), '.') != NULL);
  CHECK(attune_simd_level(&level) == ATTUNE_OK && level != NULL && level[0] != '\0');
  CHECK(strcmp(attune_status_name(ATTUNE_OK), "ok") == 0);
  CHECK(strcmp(attune_status_name(ATTUNE_CORRUPT_FILE), "corrupt_file") == 0);
  CHECK(strcmp(attune_status_name(ATTUNE_CANCELLED), "cancelled") == 0);
  CHECK(strcmp(attune_status_name(ATTUNE_BUFFER_TOO_SMALL), "buffer_too_small") == 0);
  CHECK(strcmp(attune_status_name(99), "unknown") == 0);
}

static void models_are_trained_and_measured(const char* file, const char* numbers, const char* model,
                                            const char* numbered) {
  int epochs = 0;
  char* report = NULL;
  CHECK(attune_train(file, "sasrec-small", model,
                     "{\"config\": {\"epochs\": 20, \"patience\": 20, \"batch_sequences\": 4, \"warmup_steps\": 10, "
                     "\"encoder\": {\"embedding_dim\": 16, \"inner_dim\": 32, "
                     "\"max_sequence_length\": 20}}, \"threads\": 2}",
                     count_epochs, &epochs, &report) == ATTUNE_OK);
  CHECK(epochs == 20);
  CHECK(report != NULL && strstr(report, "\"ndcg@10\":") != NULL && strstr(report, "\"interactions\":1440") != NULL);
  attune_free(report);

  CHECK(attune_train(numbers, "markov", numbered, "{\"user_ids\": \"int64\", \"item_ids\": \"int64\"}", NULL, NULL,
                     NULL) == ATTUNE_OK);
  report = NULL;
  CHECK(attune_evaluate(numbered, numbers, "{\"cutoffs\": [1], \"bootstrap\": 0}", &report) == ATTUNE_OK);
  CHECK(report != NULL && strstr(report, "\"hr@1\":1.0") != NULL);
  attune_free(report);
}

static void training_refuses(const char* file, const char* model, const char* elsewhere) {
  CHECK_REFUSED(attune_train("no such file", NULL, elsewhere, NULL, NULL, NULL, NULL), ATTUNE_IO_ERROR, "no such file");
  CHECK_REFUSED(attune_train(file, "sasrec-smal", elsewhere, NULL, NULL, NULL, NULL), ATTUNE_INVALID_ARGUMENT,
                "sasrec-small");
  CHECK_REFUSED(attune_train(file, NULL, elsewhere, "{\"thread\": 2}", NULL, NULL, NULL), ATTUNE_INVALID_ARGUMENT,
                "options: thread: no such option");
  CHECK_REFUSED(attune_train(file, NULL, elsewhere, "{\"threads\": \"two\"}", NULL, NULL, NULL),
                ATTUNE_INVALID_ARGUMENT, "options: threads: expected a whole number, 0 or more, found '\"two\"'");
  CHECK_REFUSED(attune_train(file, NULL, elsewhere, "{\"config\": {\"epoch\": 2}}", NULL, NULL, NULL),
                ATTUNE_INVALID_CONFIG, "epoch");
  CHECK_REFUSED(attune_train(file, NULL, elsewhere, "[", NULL, NULL, NULL), ATTUNE_INVALID_ARGUMENT, "options");
  CHECK_REFUSED(attune_train(file, NULL, elsewhere, "{\"encoding\": \"utf-7\"}", NULL, NULL, NULL),
                ATTUNE_INVALID_ARGUMENT, "options: encoding: expected \"utf-8\" or \"latin-1\"");
  CHECK_REFUSED(attune_train(NULL, NULL, elsewhere, NULL, NULL, NULL, NULL), ATTUNE_INVALID_ARGUMENT,
                "interactions: expected a pointer, found NULL");
  CHECK_REFUSED(attune_evaluate(model, file, NULL, NULL), ATTUNE_INVALID_ARGUMENT, "report");
}

static void training_stops_or_is_given_up(const char* file, const char* elsewhere) {
  int stop = 1, give_up = -1;
  CHECK(attune_train(file, "markov", elsewhere, NULL, NULL, NULL, NULL) == ATTUNE_OK);
  char* const first = info_of(elsewhere);
  CHECK_REFUSED(attune_train(file, NULL, elsewhere, NULL, answer_of, &give_up, NULL), ATTUNE_CANCELLED, "given up");
  char* const second = info_of(elsewhere);
  CHECK(strcmp(first, second) == 0);
  CHECK(attune_train(file, NULL, elsewhere, NULL, answer_of, &stop, NULL) == ATTUNE_OK);
  char* const third = info_of(elsewhere);
  CHECK(strcmp(first, third) != 0);
  attune_free(first);
  attune_free(second);
  attune_free(third);
}

static void opening_refuses(const char* model) {
  attune_recommender* recommender = NULL;
  attune_open_options options = {.struct_size = sizeof options};
  CHECK_REFUSED(attune_open("no such model", NULL, &recommender), ATTUNE_IO_ERROR, "no such model");
  CHECK_REFUSED(attune_open(NULL, NULL, &recommender), ATTUNE_INVALID_ARGUMENT,
                "model: expected a pointer, found NULL");
  CHECK_REFUSED(attune_open(model, NULL, NULL), ATTUNE_INVALID_ARGUMENT, "recommender");
  options.item_fields = "{\"price\": \"money\"}";
  CHECK_REFUSED(attune_open(model, &options, &recommender), ATTUNE_INVALID_ARGUMENT,
                "item_fields: price: expected \"category\" or \"number\", found '\"money\"'");
  options.item_fields = NULL;
  options.event_kinds = "{\"like\": true}";
  CHECK_REFUSED(attune_open(model, &options, &recommender), ATTUNE_INVALID_ARGUMENT, "event_kinds: like");
  options.event_kinds = NULL;
  options.history_ttl = -1;
  CHECK_REFUSED(attune_open(model, &options, &recommender), ATTUNE_INVALID_ARGUMENT, "options.history_ttl");
  CHECK(recommender == NULL);
  attune_close(recommender);
  attune_free(NULL);
  attune_free_policy(NULL);
}

static void answers_follow_what_is_observed(attune_recommender* recommender) {
  room memory;
  attune_answer answer = answer_in(&memory);
  attune_request request = request_of("somebody", 3);
  int32_t outcome = -1;
  CHECK(attune_recommend(recommender, &request, &answer) == ATTUNE_OK);
  CHECK(answer.count == 3 && strcmp(answer.source, "model") != 0);

  CHECK(observe_one(recommender, "somebody", "i3", &outcome) == ATTUNE_OK && outcome == ATTUNE_RECORDED);
  CHECK(observe_one(recommender, "somebody", "i4", NULL) == ATTUNE_OK);
  CHECK(attune_recommend(recommender, &request, &answer) == ATTUNE_OK);
  CHECK(answer.count == 3 && strcmp(answer.items[0], "i5") == 0);
  CHECK(answer.scores[0] > answer.scores[1] && answer.scores[1] >= answer.scores[2]);
  CHECK(strcmp(answer.source, "model") == 0 && strcmp(answer.score_kind, "blend") == 0);
  CHECK(answer.model_version[0] != '\0' && answer.seen == 2);

  // A bare history has the answer of a stored one, and every score is the one that is asked for alone.
  const char* const history[] = {"i3", "i4"};
  const char* const candidates[] = {"i5", "unknown"};
  room other;
  attune_answer again = answer_in(&other);
  float scores[2] = {0, 0};
  CHECK(attune_recommend_history(recommender, history, 2, NULL, &request, &again) == ATTUNE_OK);
  CHECK(again.count == 3 && strcmp(again.items[2], answer.items[2]) == 0 && again.scores[2] == answer.scores[2]);
  CHECK(attune_score(recommender, "somebody", candidates, 2, 0, scores) == ATTUNE_OK);
  CHECK(scores[0] == answer.scores[0] && isnan(scores[1]));
}

static void requests_are_obeyed(attune_recommender* recommender) {
  const char* const history[] = {"i3", "i4"};
  const char* const five[] = {"i5"};
  room memory;
  attune_answer answer = answer_in(&memory);
  attune_request request = request_of(NULL, kItems);
  request.keep_seen = 1;
  CHECK(attune_recommend_history(recommender, history, 2, NULL, &request, &answer) == ATTUNE_OK &&
        answer.count == kItems);
  request = request_of(NULL, 2);
  request.deny = five;
  request.num_deny = 1;
  CHECK(attune_recommend_history(recommender, history, 2, NULL, &request, &answer) == ATTUNE_OK);
  CHECK(answer.count == 2 && strcmp(answer.items[0], "i5") != 0);
  request = request_of(NULL, 2);
  request.allow = five;
  request.num_allow = 1;
  CHECK(attune_recommend_history(recommender, history, 2, NULL, &request, &answer) == ATTUNE_OK);
  CHECK(answer.count == 1 && strcmp(answer.items[0], "i5") == 0 && answer.filtered == kItems - 3);
  request.num_allow = 0;
  CHECK(attune_recommend_history(recommender, history, 2, NULL, &request, &answer) == ATTUNE_OK && answer.count == 0);
  CHECK(attune_recommend_history(recommender, NULL, 0, NULL, NULL, &answer) == ATTUNE_OK && answer.count == 10);
  CHECK(attune_similar_items(recommender, "i3", NULL, &answer) == ATTUNE_OK && answer.count == 10);
  request = request_of(NULL, 2);
  request.diversity = 2;
  CHECK_REFUSED(attune_recommend_history(recommender, history, 2, NULL, &request, &answer), ATTUNE_INVALID_ARGUMENT,
                "request.diversity: expected 0 to 1");
}

static void items_have_fields_that_filters_ask_for(attune_recommender* recommender) {
  const char* const history[] = {"i3", "i4"};
  room memory;
  attune_answer answer = answer_in(&memory);
  attune_request request = request_of(NULL, 2);
  attune_policy* policy = NULL;
  CHECK(attune_upsert_item(recommender, "i9", "{\"fields\": {\"genre\": \"Drama|War\", \"price\": 9.5}}") == ATTUNE_OK);
  CHECK(attune_compile(recommender, "genre = \"War\" and price < 10", &policy) == ATTUNE_OK);
  request.policy = policy;
  CHECK(attune_recommend_history(recommender, history, 2, NULL, &request, &answer) == ATTUNE_OK);
  CHECK(answer.count == 1 && strcmp(answer.items[0], "i9") == 0);
  CHECK(attune_remove_item(recommender, "i9") == ATTUNE_OK);
  CHECK(attune_recommend_history(recommender, history, 2, NULL, &request, &answer) == ATTUNE_OK && answer.count == 0);
  CHECK(attune_upsert_item(recommender, "i9", "{\"available_from\": 1600000000000, \"available_until\": null}") ==
        ATTUNE_OK);
  request.now = 1700000000000;
  CHECK(attune_recommend_history(recommender, history, 2, NULL, &request, &answer) == ATTUNE_OK && answer.count == 1);
  CHECK_REFUSED(attune_compile(recommender, "colour = 1", &policy), ATTUNE_INVALID_ARGUMENT, "colour");
  CHECK_REFUSED(attune_upsert_item(recommender, "i9", "{\"field\": {}}"), ATTUNE_INVALID_ARGUMENT, "item: field");
  CHECK_REFUSED(attune_upsert_item(recommender, "i9", "{\"fields\": {\"price\": []}}"), ATTUNE_INVALID_ARGUMENT,
                "item: fields: price");
  CHECK_REFUSED(attune_upsert_item(recommender, "i9", "{\"available_from\": 18446744073709551615}"),
                ATTUNE_INVALID_ARGUMENT, "item: available_from: expected milliseconds or null");
  attune_free_policy(policy);
}

static void short_buffers_are_told_what_is_needed(const attune_recommender* recommender) {
  const char* const history[] = {"i3", "i4"};
  room memory;
  attune_answer answer = answer_in(&memory);
  attune_request request = request_of(NULL, 5);
  answer.capacity = 4;
  CHECK_REFUSED(attune_recommend_history(recommender, history, 2, NULL, &request, &answer), ATTUNE_BUFFER_TOO_SMALL,
                "answer: expected room for 5 items");
  CHECK(answer.count == 5 && answer.text_size > 5 * strlen("i5"));
  answer.capacity = answer.count;
  answer.text_capacity = answer.text_size - 1;
  CHECK_REFUSED(attune_recommend_history(recommender, history, 2, NULL, &request, &answer), ATTUNE_BUFFER_TOO_SMALL,
                "");
  answer.text_capacity = answer.text_size;
  answer.scores = NULL;
  answer.probabilities = NULL;
  CHECK(attune_recommend_history(recommender, history, 2, NULL, &request, &answer) == ATTUNE_OK && answer.count == 5);
  answer.items = NULL;
  CHECK_REFUSED(attune_recommend_history(recommender, history, 2, NULL, &request, &answer), ATTUNE_INVALID_ARGUMENT,
                "answer.items");
}

// Structs of callers that are older and newer than the library.
static void structs_have_sizes(const attune_recommender* recommender) {
  struct {
    attune_request request;
    size_t beyond;
  } newer = {request_of("somebody", 2), 0};
  room memory;
  attune_answer answer = answer_in(&memory);
  newer.request.struct_size = sizeof newer;
  CHECK(attune_recommend(recommender, &newer.request, &answer) == ATTUNE_OK && answer.count == 2);
  newer.beyond = 1;
  CHECK_REFUSED(attune_recommend(recommender, &newer.request, &answer), ATTUNE_INVALID_ARGUMENT,
                "request: expected zero beyond");
  newer.request.struct_size = 0;
  CHECK_REFUSED(attune_recommend(recommender, &newer.request, &answer), ATTUNE_INVALID_ARGUMENT,
                "request.struct_size: expected the sizeof of the struct");
  newer.request.struct_size = sizeof newer.request - 1;
  CHECK_REFUSED(attune_recommend(recommender, &newer.request, &answer), ATTUNE_INVALID_ARGUMENT, "struct_size");
  newer.request.keep_seen = 1;
  newer.request.struct_size = offsetof(attune_request, now);
  CHECK(attune_recommend(recommender, &newer.request, &answer) == ATTUNE_OK && answer.seen != 0);

  // Of an answer, what the caller does not know is not written.
  answer.struct_size = offsetof(attune_answer, seen);
  answer.seen = 77;
  CHECK(attune_recommend(recommender, &newer.request, &answer) == ATTUNE_OK && answer.count == 2 && answer.seen == 77);
}

static void null_is_refused(attune_recommender* recommender) {
  room memory;
  attune_answer answer = answer_in(&memory);
  attune_request request = request_of(NULL, 2);
  attune_events events = {.struct_size = sizeof events};
  const char* const nothing[] = {NULL};
  float score = 0;
  CHECK_REFUSED(attune_recommend(NULL, &request, &answer), ATTUNE_INVALID_ARGUMENT, "recommender");
  CHECK_REFUSED(attune_recommend(recommender, NULL, &answer), ATTUNE_INVALID_ARGUMENT, "request");
  CHECK_REFUSED(attune_recommend(recommender, &request, &answer), ATTUNE_INVALID_ARGUMENT, "request.user");
  request.user = "somebody";
  CHECK_REFUSED(attune_recommend(recommender, &request, NULL), ATTUNE_INVALID_ARGUMENT, "answer");
  CHECK_REFUSED(attune_recommend_history(recommender, nothing, 1, NULL, NULL, &answer), ATTUNE_INVALID_ARGUMENT,
                "items: expected a text as entry 0, found NULL");
  CHECK_REFUSED(attune_observe(recommender, NULL, NULL), ATTUNE_INVALID_ARGUMENT, "events");
  CHECK(attune_observe(recommender, &events, NULL) == ATTUNE_OK);
  events.count = 1;
  CHECK_REFUSED(attune_observe(recommender, &events, NULL), ATTUNE_INVALID_ARGUMENT, "events.users");
  CHECK_REFUSED(attune_score(recommender, "somebody", nothing, 1, 0, &score), ATTUNE_INVALID_ARGUMENT, "items");
  CHECK_REFUSED(attune_forget_user(recommender, NULL), ATTUNE_INVALID_ARGUMENT, "user");
  CHECK_REFUSED(attune_info(recommender, NULL), ATTUNE_INVALID_ARGUMENT, "json");
  CHECK_REFUSED(attune_simd_level(NULL), ATTUNE_INVALID_ARGUMENT, "level");
}

static void users_are_exported_and_forgotten(attune_recommender* recommender) {
  const char* users[] = {"leaver", "leaver", "leaver"};
  const char* items[] = {"i1", "i2", ""};
  const int64_t times[] = {1700009000000, ATTUNE_NO_TIME, ATTUNE_NO_TIME};
  const char* kinds[] = {"purchase", NULL, NULL};
  const char* ids[] = {"e1", "e1", NULL};
  const float values[] = {2, 1, 1};
  int32_t outcomes[] = {-1, -1, -1};
  attune_events events = {.struct_size = sizeof events};
  events.count = 3;
  events.users = users;
  events.items = items;
  events.timestamps = times;
  events.kinds = kinds;
  events.values = values;
  events.event_ids = ids;
  events.durable = 1;
  CHECK_REFUSED(attune_observe(recommender, &events, outcomes), ATTUNE_INVALID_ARGUMENT, "events.durable");
  events.durable = 0;
  CHECK(attune_observe(recommender, &events, outcomes) == ATTUNE_OK);
  CHECK(outcomes[0] == ATTUNE_RECORDED && outcomes[1] == ATTUNE_DUPLICATE && outcomes[2] == ATTUNE_REJECTED);
  char* lines = NULL;
  CHECK(attune_export_user(recommender, "leaver", &lines) == ATTUNE_OK);
  CHECK(lines != NULL && strstr(lines, "purchase") != NULL && strstr(lines, "1700009000000") != NULL);
  attune_free(lines);
  CHECK(attune_forget_user(recommender, "leaver") == ATTUNE_OK);
  CHECK(attune_export_user(recommender, "leaver", &lines) == ATTUNE_OK && lines[0] == '\0');
  attune_free(lines);
}

static void it_can_be_watched_and_reloaded(attune_recommender* recommender, const char* model) {
  char* text = NULL;
  CHECK(attune_reload(recommender, model) == ATTUNE_OK);
  CHECK_REFUSED(attune_reload(recommender, "no such model"), ATTUNE_IO_ERROR, "no such model");
  CHECK(attune_info(recommender, &text) == ATTUNE_OK && strstr(text, "\"generation\":2") != NULL);
  CHECK(strstr(text, "\"item_ids\":\"string\"") != NULL);
  attune_free(text);
  CHECK(attune_metrics(recommender, &text) == ATTUNE_OK && strstr(text, "attune_") != NULL);
  attune_free(text);
}

static void numbers_are_ids_too(const char* model) {
  attune_recommender* recommender = NULL;
  const char* const history[] = {"1003"};
  room memory;
  attune_answer answer = answer_in(&memory);
  int32_t outcome = -1;
  CHECK(attune_open(model, NULL, &recommender) == ATTUNE_OK);
  CHECK(attune_recommend_history(recommender, history, 1, NULL, NULL, &answer) == ATTUNE_OK);
  CHECK(answer.count == 10 && strcmp(answer.items[0], "1004") == 0);
  CHECK(observe_one(recommender, "10099", "1004", &outcome) == ATTUNE_OK && outcome == ATTUNE_RECORDED);
  CHECK(observe_one(recommender, "10099", "word", &outcome) == ATTUNE_OK && outcome == ATTUNE_REJECTED);
  const char* const candidates[] = {"0", "word", ""};
  float scores[3] = {1, 1, 1};
  CHECK(attune_score(recommender, "10099", candidates, 3, 0, scores) == ATTUNE_OK);
  CHECK(!isnan(scores[0]) && isnan(scores[1]) && isnan(scores[2]));
  attune_close(recommender);
}

typedef struct worker {
  attune_recommender* recommender;
  int number, bad;
} worker;

// Everybody asks and observes at once, and has errors of his own.
static void* work(void* argument) {
  worker* const self = argument;
  char user[kLongestId], wrong[kLongestId];
  room memory;
  attune_answer answer = answer_in(&memory);
  snprintf(user, sizeof user, "thread%d", self->number);
  snprintf(wrong, sizeof wrong, "missing%d", self->number);
  for (int round = 0; round < kRounds; ++round) {
    char item[kLongestId];
    attune_request request = request_of(user, 5);
    attune_recommender* none = NULL;
    snprintf(item, sizeof item, "i%d", round % kItems);
    self->bad += observe_one(self->recommender, user, item, NULL) != ATTUNE_OK;
    request.keep_seen = 1;
    self->bad += attune_recommend(self->recommender, &request, &answer) != ATTUNE_OK || answer.count != 5;
    if (round % 50 == 0) {
      self->bad += attune_open(wrong, NULL, &none) != ATTUNE_IO_ERROR || strstr(attune_last_error(), wrong) == NULL;
    }
  }
  return NULL;
}

static void threads_share_a_recommender(attune_recommender* recommender, const char* model) {
  pthread_t threads[kThreads];
  worker workers[kThreads];
  for (int i = 0; i < kThreads; ++i) {
    workers[i] = (worker){recommender, i, 0};
    if (pthread_create(&threads[i], NULL, work, &workers[i]) != 0) exit(2);
  }
  for (int i = 0; i < 5; ++i) CHECK(attune_reload(recommender, model) == ATTUNE_OK);
  for (int i = 0; i < kThreads; ++i) {
    pthread_join(threads[i], NULL);
    CHECK(workers[i].bad == 0);
  }
}

static const char* in(const char* directory, const char* name, char* path, size_t size) {
  if (snprintf(path, size, "%s/%s", directory, name) >= (int)size) exit(2);
  return path;
}

int main(int argc, char** argv) {
  char file[512], numbers[512], model[512], numbered[512], elsewhere[512];
  if (argc != 2) {
    fprintf(stderr, "usage: c_test DIRECTORY\n");
    return 2;
  }
  write_interactions(in(argv[1], "interactions.csv", file, sizeof file), "i");
  write_interactions(in(argv[1], "numbers.csv", numbers, sizeof numbers), "100");
  in(argv[1], "model", model, sizeof model);
  in(argv[1], "numbered", numbered, sizeof numbered);
  in(argv[1], "elsewhere", elsewhere, sizeof elsewhere);

  it_says_what_it_is();
  models_are_trained_and_measured(file, numbers, model, numbered);
  training_refuses(file, model, elsewhere);
  training_stops_or_is_given_up(file, elsewhere);
  opening_refuses(model);

  attune_open_options options = {.struct_size = sizeof options};
  attune_recommender* recommender = NULL;
  options.item_fields = "{\"genre\": \"category\", \"price\": \"number\"}";
  options.event_kinds = "{\"purchase\": 3}";
  if (attune_open(model, &options, &recommender) != ATTUNE_OK) {
    fprintf(stderr, "%s\n", attune_last_error());
    return 1;
  }
  answers_follow_what_is_observed(recommender);
  requests_are_obeyed(recommender);
  items_have_fields_that_filters_ask_for(recommender);
  short_buffers_are_told_what_is_needed(recommender);
  structs_have_sizes(recommender);
  null_is_refused(recommender);
  users_are_exported_and_forgotten(recommender);
  it_can_be_watched_and_reloaded(recommender, model);
  numbers_are_ids_too(numbered);
  threads_share_a_recommender(recommender, model);
  attune_close(recommender);
  if (failures == 0) printf("everything holds\n");
  return failures == 0 ? 0 : 1;
}
