// SPDX-License-Identifier: Apache-2.0
/// <reference lib="esnext.disposable" />

/**
 * What a user or an item is called. Of a model of texts: strings, and bytes where an id is no UTF-8, which answers have
 * as a Buffer. Of a model of 64-bit integers: numbers, and BigInts beyond Number.MAX_SAFE_INTEGER. Half a surrogate
 * pair, NUL and numbers that are no integers are refused.
 */
export type Id = string | number | bigint | Uint8Array;
/** Milliseconds since 1970-01-01 UTC. */
export type Time = number | bigint | Date;
export type Path = string | Uint8Array | URL;
/** What became of an event: "rejected" is an id, a time or a value that cannot be, or a limit reached. */
export type Outcome = 'recorded' | 'duplicate' | 'rejected';
/** A JSON object of the C interface; docs/c.md lists the keys of each. */
export type Json = { [key: string]: any };

/**
 * Errors of attune are Errors with one of these codes, in the words of the C interface. Arguments that cannot be are
 * TypeErrors and RangeErrors with the codes of Node: ERR_INVALID_ARG_TYPE, ERR_INVALID_ARG_VALUE, ERR_OUT_OF_RANGE.
 */
export type ErrorCode =
  | 'invalid_argument' | 'invalid_config' | 'invalid_data' | 'io_error' | 'corrupt_file' | 'unsupported_version'
  | 'unsupported' | 'non_finite' | 'limit_exceeded' | 'cancelled' | 'out_of_memory' | 'internal_error' | 'closed';

/** Items, best first. Iterating gives pairs of item and score. */
export class Answer implements Iterable<[Id, number]> {
  private constructor();
  readonly items: Id[];
  readonly scores: Float32Array;
  /** That the user's next event is on the item; NaN where the model does not say. */
  readonly probabilities: Float32Array;
  /** Who answers. */
  readonly source: 'model' | 'content' | 'profile' | 'neighbours' | 'counts' | 'popularity';
  readonly scoreKind: 'cosine' | 'dot' | 'blend' | 'count';
  readonly modelVersion: string;
  /** Counts reloads. */
  readonly generation: number;
  /** Why there are fewer than k: items that were seen, filtered, without a usable vector or not available. */
  readonly seen: number;
  readonly filtered: number;
  readonly unavailable: number;
  readonly length: number;
  [Symbol.iterator](): Iterator<[Id, number]>;
}

export interface OpenOptions {
  /** A file that keeps what is observed, for one recommender at a time. */
  eventStore?: Path;
  /** What filters may ask for. */
  itemFields?: { [name: string]: 'category' | 'number' };
  /** What kinds of events weigh. */
  eventKinds?: { [name: string]: number };
  /** 0, of these five: the default of attune.h. */
  maxItems?: number;
  cacheBudgetBytes?: number;
  historyBudgetBytes?: number;
  /** Milliseconds until users are let go. */
  historyTtl?: number;
  /** Files are read and checked as a whole; else mapped. */
  inMemory?: boolean;
  /** A model of integers answers with BigInts alone. */
  bigint?: boolean;
}

export interface SimilarOptions {
  /** Items wanted: 10. */
  k?: number;
  /** When the request happens; at the last event. */
  now?: Time;
  /** An expression over item fields, compiled at its first use; the last hundred are kept. */
  filter?: string;
  /** Nothing but these. */
  allow?: Iterable<Id>;
  /** None of these. */
  deny?: Iterable<Id>;
}

export interface RequestOptions extends SimilarOptions {
  /** Items of the user's history may be answered. */
  keepSeen?: boolean;
  /** From 0, the best as they are, to 1: less like each other. */
  diversity?: number;
}

export interface HistoryOptions extends RequestOptions {
  /** One for each item of the history. */
  times?: BigInt64Array | Iterable<Time>;
}

export interface EventOptions {
  /** At the last event of the user. */
  timestamp?: Time;
  kind?: string;
  /** 1. */
  value?: number;
  /** The same id of a user twice is one event. */
  eventId?: string;
}

/** Columns of events, of one length. */
export interface Events {
  users: Iterable<Id>;
  items: Iterable<Id>;
  timestamps?: BigInt64Array | Iterable<Time | null | undefined>;
  kinds?: Iterable<string | null | undefined>;
  values?: Float32Array | Iterable<number>;
  eventIds?: Iterable<string | null | undefined>;
}

export interface ItemDescription {
  /** Names ("Drama|War") or a number for each field. What is not named stays as it was. */
  fields?: { [name: string]: string | number };
  /** null takes a bound away. */
  availableFrom?: Time | null;
  availableUntil?: Time | null;
}

/**
 * Belongs to the thread that opened it. Answers come at once, in that thread; promises are of work in libuv's pool,
 * during which everything else may be called.
 */
export class Recommender {
  private constructor();
  static open(model: Path, options?: OpenOptions): Promise<Recommender>;
  /**
   * From now on every call is refused (code "closed"). Fulfilled when what was running has ended and everything is
   * freed and written. Twice is fine. Without it the garbage collector frees, some time.
   */
  close(): Promise<void>;
  [Symbol.asyncDispose](): Promise<void>;

  /** The k best items for a user, known or not. */
  recommend(user: Id, options?: RequestOptions): Answer;
  /** The same for a bare history, oldest first; nothing is stored. */
  recommendHistory(items: Iterable<Id>, options?: HistoryOptions): Answer;
  /** The items that are most like one, by the model's vectors. */
  similar(item: Id, options?: SimilarOptions): Answer;
  /** The score of each item for a user; NaN for what cannot be scored. */
  score(user: Id, items: Iterable<Id>, options?: { now?: Time }): Float32Array;

  /** Records an event, which the next answer reflects. */
  observe(user: Id, item: Id, options?: EventOptions): Outcome;
  observeMany(events: Events): Outcome[];
  /** Fulfilled when the event store has all of them on the disk, and answers reflect them. */
  observeDurably(events: Events): Promise<Outcome[]>;
  /** Forgets a user: here, in the event store and in the model directory. */
  forgetUser(user: Id): Promise<void>;
  /** All events of a user, oldest first; ids are texts there. */
  exportUser(user: Id): Json[];

  /** A removed item is there again. */
  upsertItem(item: Id, description?: ItemDescription): void;
  /** In no answer until it is upserted. */
  removeItem(item: Id): void;

  /** Swaps the model while requests run. Where that fails, the old one goes on. */
  reload(model: Path): Promise<void>;
  /** Model version, number of items and users, memory, damage and more. */
  info(): Json;
  /** Counters and latencies, in the text format of Prometheus. */
  metrics(): string;
}

export interface ReadingOptions {
  /** All cores. */
  threads?: number;
  /** "temporal:0.9", "leave-one-out" or "none". */
  split?: string;
  minRating?: number;
  kCore?: number;
  /** Of a file without a header line. */
  columns?: string[];
  separator?: string;
  encoding?: 'utf-8' | 'latin-1';
  skipBadLines?: boolean;
  userIds?: 'string' | 'int64';
}

export interface TrainOptions extends ReadingOptions {
  preset?: string;
  /** Overrides of the preset: { epochs: 5 }. */
  config?: Json;
  itemIds?: 'string' | 'int64';
  /**
   * Called after every epoch, which waits for its answer. false stops, and the best epoch so far is the result. What it
   * throws rejects the promise, and nothing is written.
   */
  progress?: (epoch: Json) => boolean | void;
  /** Ends the training with the epoch; nothing is written. */
  signal?: AbortSignal;
}

export interface EvaluateOptions extends ReadingOptions {
  cutoffs?: number[];
  excludeSeen?: boolean;
  /** Resamples for intervals, 1000; 0: none. */
  bootstrap?: number;
}

/** A file of interactions in, a model directory out; a report of what was read, epochs and metrics of the test part. */
export function train(interactions: Path, output: Path, options?: TrainOptions): Promise<Json>;
/** Metrics of the test part and their intervals, as the model was measured when it was trained. */
export function evaluate(model: Path, interactions: Path, options?: EvaluateOptions): Promise<Json>;
/** The instruction-set level in use: "avx2", ... */
export function simdLevel(): string;
/** Of the library. */
export const version: string;
