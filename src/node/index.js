// SPDX-License-Identifier: Apache-2.0
'use strict';

// Real-time recommendation: train a model, open it, tell it what happens, ask what to show. index.d.ts describes every
// call. What answers at once runs in the thread that calls; what takes longer runs in libuv's pool, and is a promise.

const os = require('node:os');
const { fileURLToPath } = require('node:url');
const native = require('./attune.node');

const OUTCOMES = ['recorded', 'duplicate', 'rejected'];
const NO_TIME = -(2n ** 63n);
const STOP = 1; // what the end of an epoch is answered with
const GIVE_UP = -1;

function refused(kind, code, message) {
  return Object.assign(new kind(message), { code });
}

function refuseUnknown(options, call) {
  for (const name in options) throw refused(TypeError, 'ERR_INVALID_ARG_VALUE', `${call}: no such option: ${name}`);
}

function refuseType(name, expected, value) {
  const found = value === null ? 'null' : typeof value;
  throw refused(TypeError, 'ERR_INVALID_ARG_TYPE', `${name}: expected ${expected}, found ${found}`);
}

function whole(value, name, least = 0) {
  if (typeof value !== 'number') refuseType(name, 'a number', value);
  if (Number.isSafeInteger(value) && value >= least) return value;
  throw refused(RangeError, 'ERR_OUT_OF_RANGE', `${name}: expected an integer, ${least} or more, found ${value}`);
}

function number(value, name) {
  if (typeof value !== 'number') refuseType(name, 'a number', value);
  return value;
}

// A time as a BigInt of 64 bits.
function milliseconds(value, name) {
  if (value === undefined || value === null) return NO_TIME;
  if (typeof value === 'bigint' && BigInt.asIntN(64, value) === value) return value;
  if (typeof value !== 'bigint' && typeof value !== 'number' && !(value instanceof Date)) {
    refuseType(name, 'milliseconds since 1970 or a Date', value);
  }
  if (Number.isSafeInteger(Number(value))) return BigInt(Number(value));
  throw refused(RangeError, 'ERR_OUT_OF_RANGE', `${name}: expected whole milliseconds since 1970, found ${value}`);
}

// Whatever can be iterated, but for a string, which would be taken for its characters.
function list(values, name) {
  if (Array.isArray(values)) return values;
  if (values === null || typeof values !== 'object' || typeof values[Symbol.iterator] !== 'function') {
    refuseType(name, 'a list', values);
  }
  return [...values];
}

function optionalList(values, name) {
  return values === undefined || values === null ? undefined : list(values, name);
}

function times(values, name) {
  if (values === undefined || values === null || values instanceof BigInt64Array) return values;
  return BigInt64Array.from(list(values, name), (value, i) => milliseconds(value, `${name}[${i}]`));
}

function weights(values) {
  if (values === undefined || values === null || values instanceof Float32Array) return values;
  return Float32Array.from(list(values, 'values'), (value, i) => number(value, `values[${i}]`));
}

function path(value) {
  return value instanceof URL ? fileURLToPath(value) : value;
}

// In which numbers that JSON does not have would become null, which stands for the default.
function json(value, name) {
  if (value === undefined || value === null) return undefined;
  if (typeof value !== 'object') refuseType(name, 'an object', value);
  return JSON.stringify(value, (key, part) => {
    if (typeof part !== 'number' || Number.isFinite(part)) return part;
    throw refused(RangeError, 'ERR_OUT_OF_RANGE', `${name}: ${key}: expected a finite number, found ${part}`);
  });
}

// In the order that the addon takes them.
function request({ k = 10, now, keepSeen = false, filter, allow, deny, diversity = 0, ...unknown }, call) {
  refuseUnknown(unknown, call);
  return [whole(k, 'k', 1), milliseconds(now, 'now'), Boolean(keepSeen), filter, optionalList(allow, 'allow'),
    list(deny ?? [], 'deny'), number(diversity, 'diversity')];
}

function columns({ users, items, timestamps, kinds, values, eventIds, ...unknown }, call) {
  refuseUnknown(unknown, call);
  return [list(users, 'users'), list(items, 'items'), times(timestamps, 'timestamps'), optionalList(kinds, 'kinds'),
    weights(values), optionalList(eventIds, 'eventIds')];
}

// Items, best first. Iterating gives pairs of item and score.
class Answer {
  constructor(parts) {
    [this.items, this.scores, this.probabilities, this.source, this.scoreKind, this.modelVersion, this.generation,
      this.seen, this.filtered, this.unavailable] = parts;
  }

  get length() {
    return this.items.length;
  }

  *[Symbol.iterator]() {
    for (let i = 0; i < this.items.length; ++i) yield [this.items[i], this.scores[i]];
  }
}

class Recommender {
  #handle;
  #ids; // what they are in answers: 0 strings, 1 numbers, 2 BigInts
  #running = new Set();
  #closed;

  constructor(handle, bigint) {
    this.#handle = handle;
    this.#ids = this.info().item_ids === 'int64' ? (bigint ? 2 : 1) : 0;
  }

  static async open(model, options = {}) {
    const { eventStore, itemFields, eventKinds, maxItems = 0, cacheBudgetBytes = 0, historyBudgetBytes = 0,
      historyTtl = 0, inMemory = false, bigint = false, ...unknown } = options;
    refuseUnknown(unknown, 'open');
    const handle = await native.open(path(model), path(eventStore), json(itemFields, 'itemFields'),
      json(eventKinds, 'eventKinds'), whole(maxItems, 'maxItems'), whole(cacheBudgetBytes, 'cacheBudgetBytes'),
      whole(historyBudgetBytes, 'historyBudgetBytes'), whole(historyTtl, 'historyTtl'), Boolean(inMemory));
    return new Recommender(handle, bigint);
  }

  close() {
    this.#closed ??= Promise.allSettled(this.#running).then(() => native.close(this.#handle));
    return this.#closed;
  }

  recommend(user, options = {}) {
    return new Answer(native.recommend(this.#open, this.#ids, user, ...request(options, 'recommend')));
  }

  recommendHistory(items, { times: known, ...options } = {}) {
    return new Answer(native.recommendHistory(this.#open, this.#ids, list(items, 'items'), times(known, 'times'),
      ...request(options, 'recommendHistory')));
  }

  similar(item, { k, now, filter, allow, deny, ...unknown } = {}) {
    refuseUnknown(unknown, 'similar');
    return new Answer(
      native.similar(this.#open, this.#ids, item, ...request({ k, now, filter, allow, deny }, 'similar')));
  }

  score(user, items, { now, ...unknown } = {}) {
    refuseUnknown(unknown, 'score');
    return native.score(this.#open, user, list(items, 'items'), milliseconds(now, 'now'));
  }

  observe(user, item, { timestamp, kind, value = 1, eventId, ...unknown } = {}) {
    refuseUnknown(unknown, 'observe');
    const events = { users: [user], items: [item], timestamps: [timestamp], kinds: [kind], values: [value] };
    return this.observeMany({ ...events, eventIds: [eventId] })[0];
  }

  observeMany(events) {
    return native.observe(this.#open, ...columns(events, 'observeMany')).map((outcome) => OUTCOMES[outcome]);
  }

  async observeDurably(events) {
    const outcomes = await this.#later(native.observeDurably(this.#open, ...columns(events, 'observeDurably')));
    return outcomes.map((outcome) => OUTCOMES[outcome]);
  }

  async forgetUser(user) {
    return this.#later(native.forgetUser(this.#open, user));
  }

  exportUser(user) {
    const lines = native.exportUser(this.#open, user).split('\n');
    return lines.filter((line) => line !== '').map((line) => JSON.parse(line));
  }

  upsertItem(item, description = {}) {
    const { fields = {}, ...bounds } = description;
    const described = { fields };
    for (const [name, option] of [['available_from', 'availableFrom'], ['available_until', 'availableUntil']]) {
      const bound = bounds[option];
      if (bound === null) described[name] = null;
      else if (bound !== undefined) {
        described[name] = whole(Number(milliseconds(bound, option)), option, Number.MIN_SAFE_INTEGER);
      }
      delete bounds[option];
    }
    refuseUnknown(bounds, 'upsertItem');
    native.upsertItem(this.#open, item, json(described, 'upsertItem'));
  }

  removeItem(item) {
    native.removeItem(this.#open, item);
  }

  async reload(model) {
    return this.#later(native.reload(this.#open, path(model)));
  }

  info() {
    return JSON.parse(native.info(this.#open));
  }

  metrics() {
    return native.metrics(this.#open);
  }

  get #open() {
    if (this.#closed) throw refused(Error, 'closed', 'this recommender is closed');
    return this.#handle;
  }

  // close() waits for it.
  async #later(promise) {
    this.#running.add(promise);
    try {
      return await promise;
    } finally {
      this.#running.delete(promise);
    }
  }
}

if (Symbol.asyncDispose) {
  Recommender.prototype[Symbol.asyncDispose] = Recommender.prototype.close;
}

// The names of options in the C interface.
const READING = {
  threads: 'threads', split: 'split', minRating: 'min_rating', kCore: 'k_core', columns: 'columns',
  separator: 'separator', encoding: 'encoding', skipBadLines: 'skip_bad_lines', userIds: 'user_ids',
};
const TRAINING = { ...READING, config: 'config', itemIds: 'item_ids' };
const MEASURING = { ...READING, cutoffs: 'cutoffs', excludeSeen: 'exclude_seen', bootstrap: 'bootstrap' };

function inTheWordsOfC(options, names, call) {
  const said = { threads: os.availableParallelism?.() ?? os.cpus().length };
  for (const [name, value] of Object.entries(options)) {
    if (!Object.hasOwn(names, name)) refuseUnknown({ [name]: value }, call);
    if (value !== undefined) said[names[name]] = value;
  }
  return json(said, call);
}

async function train(interactions, output, options = {}) {
  const { preset = 'default', progress, signal, ...others } = options;
  const said = inTheWordsOfC(others, TRAINING, 'train');
  if (progress !== undefined && typeof progress !== 'function') refuseType('progress', 'a function', progress);
  signal?.throwIfAborted();
  const training = native.training();
  const raised = [];
  const afterEpoch = (epoch) => {
    try {
      const wish = progress?.(JSON.parse(epoch));
      if (typeof wish?.then === 'function') {
        throw refused(TypeError, 'ERR_INVALID_ARG_TYPE', 'progress: expected an answer at once, found a promise');
      }
      return wish === false ? STOP : 0;
    } catch (error) {
      raised.push(error);
      return GIVE_UP;
    }
  };
  // The end of the process waits for libuv's pool.
  const giveUp = () => native.decide(training, GIVE_UP);
  process.once('exit', giveUp);
  signal?.addEventListener('abort', giveUp, { once: true });
  try {
    return JSON.parse(await native.train(training, path(interactions), path(output), preset, said, afterEpoch));
  } catch (error) {
    if (raised.length > 0) throw raised[0];
    if (error.code === 'cancelled') signal?.throwIfAborted();
    throw error;
  } finally {
    process.off('exit', giveUp);
    signal?.removeEventListener('abort', giveUp);
  }
}

async function evaluate(model, interactions, options = {}) {
  const said = inTheWordsOfC(options, MEASURING, 'evaluate');
  return JSON.parse(await native.evaluate(path(model), path(interactions), said));
}

const version = native.version();
const simdLevel = native.simdLevel;

module.exports = { Answer, Recommender, evaluate, simdLevel, train, version };
