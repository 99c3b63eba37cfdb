// SPDX-License-Identifier: Apache-2.0
'use strict';

// The Node package, whose folder ATTUNE_PACKAGE names. Run with --expose-gc.

const assert = require('node:assert/strict');
const { execFile } = require('node:child_process');
const fs = require('node:fs');
const os = require('node:os');
const path = require('node:path');
const { after, before, test } = require('node:test');
const { setImmediate: turn } = require('node:timers/promises');
const { pathToFileURL } = require('node:url');
const { promisify } = require('node:util');
const { Worker } = require('node:worker_threads');

const home = process.env.ATTUNE_PACKAGE;
const attune = require(home);
const { Recommender, evaluate, train } = attune;

const ITEMS = 40, USERS = 60, EVENTS = 24;
const TINY = {
  epochs: 20, patience: 20, batch_sequences: 4, warmup_steps: 10,
  encoder: { embedding_dim: 16, inner_dim: 32, max_sequence_length: 20 },
};
const ENDLESS = { ...TINY, epochs: 10 ** 6, patience: 10 ** 6 };
const FIELDS = { itemFields: { genre: 'category', price: 'number' } };
const FIRST = 2n ** 53n + 1n; // the first integer that a number cannot hold

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'attune-node-'));
const at = (name) => path.join(folder, name);
const file = at('events.csv'), model = at('model'), elsewhere = at('elsewhere');
const epochs = [];
let report;
let withStore = true;

// Users who all go round the same circle of items, each from a place of his own.
function circle(name) {
  const rows = ['user,item,timestamp'];
  for (let user = 0; user < USERS; ++user) {
    for (let event = 0; event < EVENTS; ++event) {
      rows.push(`${name(user)},${name((user * 7 + event) % ITEMS)},${1700000000000 + event * 100000 + user * 1000}`);
    }
  }
  return rows.join('\n');
}

async function trained(name, text, options) {
  fs.writeFileSync(at(`${name}.csv`), text);
  await train(at(`${name}.csv`), at(name), { preset: 'markov', ...options });
  return at(name);
}

// A case with a recommender of its own.
function case_of(name, body) {
  test(name, async () => {
    const recommender = await Recommender.open(model, FIELDS);
    try {
      await body(recommender);
    } finally {
      await recommender.close();
    }
  });
}

// What says `part` and has this code.
function failure(code, part) {
  return (error) => error instanceof Error && error.code === code && error.message.includes(part);
}

async function store_of(name) {
  const store = at(name);
  try {
    return [store, await Recommender.open(model, { eventStore: store })];
  } catch (error) {
    if (error.code !== 'unsupported') throw error;
    withStore = false;
    return [];
  }
}

before(async () => {
  fs.writeFileSync(file, circle((number) => `i${number}`));
  const progress = (epoch) => void epochs.push(epoch);
  report = await train(file, model, { preset: 'sasrec-small', config: TINY, progress });
});
after(() => fs.rmSync(folder, { recursive: true }));

test('training reports epochs and metrics', () => {
  assert.deepEqual(epochs.map((epoch) => epoch.epoch), Array.from({ length: 20 }, (_, i) => i + 1));
  assert.equal(report.load.interactions, USERS * EVENTS);
  assert.ok(report.metrics['hr@10'] > 0);
});

test('a model is measured as it was when it was trained', async () => {
  const measured = await evaluate(pathToFileURL(model), Buffer.from(file), { bootstrap: 10 });
  assert.equal(measured.metrics['ndcg@10'], report.metrics['ndcg@10']);
  const [low, high] = measured.confidence['ndcg@10'];
  assert.ok(low <= high);
});

test('progress may stop, may throw and must answer at once', async () => {
  let told = 0;
  await train(file, elsewhere, { preset: 'sasrec-small', config: TINY, progress: () => ++told < 2 });
  assert.equal(told, 2);
  const version = async () => {
    const recommender = await Recommender.open(elsewhere);
    const found = recommender.info().model_version;
    await recommender.close();
    return found;
  };
  const kept = await version();
  const ask = (progress) => train(file, elsewhere, { preset: 'sasrec-small', config: { ...TINY, seed: 7 }, progress });
  const mine = new Error('mine');
  await assert.rejects(ask(() => { throw mine; }), (error) => error === mine);
  await assert.rejects(ask(async () => {}), failure('ERR_INVALID_ARG_TYPE', 'found a promise'));
  assert.equal(await version(), kept);
});

case_of('a training is given up by a signal while everything else goes on', async (recommender) => {
  const controller = new AbortController();
  const { signal } = controller;
  const answers = [];
  const progress = () => {
    answers.push(recommender.recommendHistory([`i${answers.length}`], { k: 1 }).items[0]);
    if (answers.length === 3) controller.abort();
  };
  const asked = { preset: 'sasrec-small', config: ENDLESS };
  await assert.rejects(train(file, elsewhere, { ...asked, progress, signal }), { name: 'AbortError' });
  assert.deepEqual(answers, ['i1', 'i2', 'i3']);
  await assert.rejects(train(file, elsewhere, { ...asked, signal }), { name: 'AbortError' });
});

test('what cannot be trained or opened is refused by name', async () => {
  const asked = (options) => train(file, elsewhere, options);
  await assert.rejects(train('no such file', elsewhere), failure('io_error', 'no such file'));
  await assert.rejects(train(file, undefined), failure('ERR_INVALID_ARG_TYPE', 'output'));
  await assert.rejects(asked({ config: { epoch: 2 } }), failure('invalid_config', 'epoch'));
  await assert.rejects(asked({ treads: 2 }), failure('ERR_INVALID_ARG_VALUE', 'train: no such option: treads'));
  await assert.rejects(asked({ minRating: NaN }), failure('ERR_OUT_OF_RANGE', 'min_rating'));
  await assert.rejects(asked({ threads: 'two' }), failure('invalid_argument', 'options: threads'));
  await assert.rejects(asked({ progress: 1 }), failure('ERR_INVALID_ARG_TYPE', 'progress'));
  await assert.rejects(evaluate(model, file, { itemIds: 'int64' }), failure('ERR_INVALID_ARG_VALUE', 'itemIds'));

  const opened = (options) => Recommender.open(model, options);
  await assert.rejects(Recommender.open('no such model'), failure('io_error', 'no such model'));
  await assert.rejects(Recommender.open(`${model}\0junk`), failure('ERR_INVALID_ARG_VALUE', 'model: expected a text'));
  await assert.rejects(opened({ maxItems: -1 }), failure('ERR_OUT_OF_RANGE', 'maxItems'));
  await assert.rejects(opened({ eventKinds: { like: true } }), failure('invalid_argument', 'event_kinds: like'));
});

case_of('answers follow what is observed', (recommender) => {
  assert.equal(recommender.observe('somebody', 'i3'), 'recorded');
  recommender.observe('somebody', 'i4', { timestamp: new Date('2024-01-01') });
  const answer = recommender.recommend('somebody', { k: 3 });
  assert.equal(answer.length, 3);
  assert.equal(answer.items[0], 'i5');
  assert.equal(answer.source, 'model');
  assert.equal(answer.seen, 2);
  assert.ok(answer.scores instanceof Float32Array && answer.probabilities instanceof Float32Array);
  assert.deepEqual([...answer].map(([item]) => item), answer.items);
  const bare = recommender.recommendHistory(['i3', 'i4'], { k: 3 });
  assert.deepEqual([...bare], [...answer]);
  const scores = recommender.score('somebody', new Set(['i5', 'unknown']));
  assert.equal(scores[0], answer.scores[0]);
  assert.ok(Number.isNaN(scores[1]));
});

case_of('requests are obeyed', (recommender) => {
  const ask = (items, options) => recommender.recommendHistory(items, options).items;
  assert.equal(ask(['i3'], { k: 5000, keepSeen: true }).length, ITEMS);
  assert.ok(!ask(['i3'], { deny: ['i4'] }).includes('i4'));
  assert.deepEqual(ask(['i3'], { allow: ['i9'] }), ['i9']);
  assert.deepEqual(ask(['i3'], { allow: [] }), []);
  assert.equal(ask([], { diversity: 0.5 }).length, 10);
  assert.equal(recommender.similar('i3', { k: 4 }).length, 4);
  assert.equal(recommender.score('somebody', []).length, 0);
  assert.throws(() => ask(['i3'], { k: 0 }), failure('ERR_OUT_OF_RANGE', 'k: expected an integer, 1 or more, found 0'));
  assert.throws(() => ask(['i3'], { k: '5' }), failure('ERR_INVALID_ARG_TYPE', 'k'));
  assert.throws(() => ask(['i3'], { times: [1, 2] }), failure('ERR_OUT_OF_RANGE', 'times: expected one for each of 1'));
  assert.throws(() => ask(['i3'], { now: 2 ** 63 }), failure('ERR_OUT_OF_RANGE', 'now'));
  assert.throws(() => ask(['i3'], { now: new Date(NaN) }), failure('ERR_OUT_OF_RANGE', 'now'));
  assert.throws(() => ask(['i3'], { allowed: [] }), failure('ERR_INVALID_ARG_VALUE', 'allowed'));
  assert.throws(() => ask(['i3'], { diversity: 2 }), failure('invalid_argument', 'request.diversity'));
  assert.throws(() => ask('i3'), failure('ERR_INVALID_ARG_TYPE', 'items: expected a list'));
  assert.throws(() => ask(['i3'], { allow: 'i9' }), failure('ERR_INVALID_ARG_TYPE', 'allow'));
  assert.throws(() => recommender.similar('i3', { keepSeen: true }), failure('ERR_INVALID_ARG_VALUE', 'keepSeen'));
});

case_of('an id of a wrong kind is refused by its place', (recommender) => {
  const refused = (id, kind, code) => {
    const named = (name) => (error) => error instanceof kind && error.code === code && error.message.startsWith(name);
    assert.throws(() => recommender.recommend(id), named('user: '));
    assert.throws(() => recommender.recommendHistory(['i3', id]), named('items[1]: '));
  };
  for (const id of [undefined, null, true, {}, [], Symbol('i3'), () => 'i3', new Int8Array(2)]) {
    refused(id, TypeError, 'ERR_INVALID_ARG_TYPE');
  }
  for (const id of [1.5, NaN, Infinity, 2 ** 53, 2n ** 63n]) refused(id, RangeError, 'ERR_OUT_OF_RANGE');
  for (const id of ['i\0', 'half \ud83d', Buffer.from([0])]) refused(id, TypeError, 'ERR_INVALID_ARG_VALUE');
  assert.equal(recommender.observe('\ufffd', 'i3'), 'recorded');
  assert.equal(recommender.observe('somebody', ''), 'rejected');
});

test('integers stay integers, to the last digit', async () => {
  const integers = { userIds: 'int64', itemIds: 'int64' };
  const numbered = await trained('numbered', circle((number) => number - 20), integers);
  const recommender = await Recommender.open(numbered);
  for (const history of [[3], [3n], ['3'], Int32Array.of(3), BigInt64Array.of(3n)]) {
    assert.equal(recommender.recommendHistory(history).items[0], 4);
  }
  assert.equal(recommender.recommendHistory([-2]).items[0], -1);
  assert.equal(recommender.recommendHistory([-0]).items[0], 1);
  assert.equal(recommender.observe(500, 3), 'recorded');
  assert.equal(recommender.observe(500, 'word'), 'rejected');
  assert.equal(recommender.recommend(500n).items[0], 4);
  await recommender.close();

  const exact = await Recommender.open(await trained('large', circle((number) => FIRST + BigInt(number)), integers));
  assert.equal(exact.recommendHistory([FIRST + 3n]).items[0], FIRST + 4n);
  await exact.close();
  const all = await Recommender.open(numbered, { bigint: true });
  assert.equal(all.recommendHistory([3]).items[0], 4n);
  await all.close();
});

test('texts keep the bytes they had', async () => {
  const text = circle((number) => `i${number}`);
  const latin = await trained('latin', Buffer.from(text.replaceAll('i4,', 'caf\u00e9,'), 'latin1'));
  const recommender = await Recommender.open(latin);
  const [found] = recommender.recommendHistory(['i3'], { k: 1 }).items;
  assert.deepEqual(found, Buffer.from('caf\u00e9', 'latin1'));
  assert.deepEqual(recommender.recommendHistory([found], { k: 1 }).items, ['i5']);
  assert.deepEqual(recommender.recommendHistory([Buffer.from('i5')], { k: 1 }).items, ['i6']);
  await recommender.close();
  const whole = await trained('whole', text.replaceAll('i4,', 'caf\u00e9 \ud83d\ude00 \ufffd,'));
  const other = await Recommender.open(whole);
  assert.deepEqual(other.recommendHistory(['i3'], { k: 1 }).items, ['caf\u00e9 \ud83d\ude00 \ufffd']);
  await other.close();
});

test('long ids and long answers get the room they need', async () => {
  const long = 'x'.repeat(500);
  const recommender = await Recommender.open(await trained('long', circle((number) => long + number)));
  assert.equal(recommender.recommendHistory([`${long}3`], { k: 2 }).items[0], `${long}4`);
  await recommender.close();
});

case_of('filters ask for fields of items', (recommender) => {
  recommender.upsertItem('i9', { fields: { genre: 'Drama|War', price: 9.5 } });
  const filter = 'genre = "War" and price < 10';
  const asked = (options) => recommender.recommend('nobody', { filter, ...options }).items;
  assert.deepEqual(asked(), ['i9']);
  recommender.removeItem('i9');
  assert.deepEqual(asked(), []);
  recommender.upsertItem('i9', { availableFrom: new Date('2020-01-01'), availableUntil: null });
  assert.deepEqual(asked({ now: new Date('2024-01-01') }), ['i9']);
  assert.deepEqual(asked({ now: Date.parse('2019-01-01') }), []);
  for (let price = 0; price < 300; ++price) {
    const cheap = { filter: `price < ${price}`, now: new Date('2024-01-01') };
    assert.equal(recommender.recommend('nobody', cheap).length, price > 9 ? 1 : 0);
  }
  assert.throws(() => recommender.recommend('nobody', { filter: 'colour = 1' }), failure('invalid_argument', 'colour'));
  assert.throws(() => recommender.recommend('nobody', { filter: 1 }), failure('ERR_INVALID_ARG_TYPE', 'filter'));
  assert.throws(() => recommender.upsertItem('i9', { field: {} }), failure('ERR_INVALID_ARG_VALUE', 'field'));
  assert.throws(() => recommender.upsertItem('i9', { fields: { price: NaN } }), failure('ERR_OUT_OF_RANGE', 'price'));
});

case_of('columns of events have outcomes', (recommender) => {
  const outcomes = recommender.observeMany({
    users: ['a', 'a', 'b'], items: ['i1', 'i1', ''], timestamps: BigInt64Array.of(1n, 2n, 3n),
    values: Float32Array.of(1, 2, 3), kinds: ['purchase', undefined, null], eventIds: ['e', 'e', null],
  });
  assert.deepEqual(outcomes, ['recorded', 'duplicate', 'rejected']);
  assert.deepEqual(recommender.observeMany({ users: [], items: [] }), []);
  const refused = (columns, code, part) =>
    assert.throws(() => recommender.observeMany({ users: ['a'], items: ['i1'], ...columns }), failure(code, part));
  refused({ items: [] }, 'ERR_OUT_OF_RANGE', 'items: expected one for each of 1 users, found 0');
  refused({ values: [1, 2] }, 'ERR_OUT_OF_RANGE', 'values');
  refused({ values: ['1'] }, 'ERR_INVALID_ARG_TYPE', 'values[0]');
  refused({ timestamps: [true] }, 'ERR_INVALID_ARG_TYPE', 'timestamps[0]');
  refused({ eventIds: [7] }, 'ERR_INVALID_ARG_TYPE', 'eventIds[0]');
  assert.throws(() => recommender.observe('a', 'i1', { when: 7 }), failure('ERR_INVALID_ARG_VALUE', 'when'));
});

case_of('users are exported and forgotten', async (recommender) => {
  recommender.observe('leaver', 'i1', { timestamp: 1_700_000_000_000, kind: 'purchase', value: 2 });
  const [event] = recommender.exportUser('leaver');
  assert.deepEqual([event.item, event.event, event.value], ['i1', 'purchase', 2]);
  await recommender.forgetUser('leaver');
  assert.deepEqual(recommender.exportUser('leaver'), []);
  const durable = recommender.observeDurably({ users: ['leaver'], items: ['i1'] });
  await assert.rejects(durable, failure('invalid_argument', 'events.durable'));
});

case_of('it can be watched, reloaded and closed', async (recommender) => {
  await recommender.reload(model);
  assert.equal(recommender.info().generation, 2);
  assert.match(recommender.metrics(), /attune_/);
  await assert.rejects(recommender.reload('no such model'), failure('io_error', 'no such model'));
  const closed = failure('closed', 'this recommender is closed');
  const closing = recommender.close();
  assert.throws(() => recommender.recommend('nobody'), closed);
  await closing;
  await recommender.close();
  assert.throws(() => recommender.observe('nobody', 'i1'), closed);
  assert.throws(() => recommender.info(), closed);
  await assert.rejects(recommender.reload(model), closed);
});

case_of('calls go on while it is reloaded', async (recommender) => {
  let reloading = true;
  const reloaded = Promise.all(Array.from({ length: 12 }, () => recommender.reload(model)));
  reloaded.finally(() => { reloading = false; });
  for (let asked = 0; reloading; ++asked) {
    recommender.observe(`u${asked}`, 'i3');
    assert.equal(recommender.recommend(`u${asked}`, { k: 5 }).length, 5);
    await turn();
  }
  await reloaded;
  assert.equal(recommender.info().generation, 13);
});

test('events survive in a store, which is free again once it is closed', async (t) => {
  const [store, first] = await store_of('events.db');
  if (!withStore) return t.skip('built without SQLite');
  assert.deepEqual(await first.observeDurably({ users: ['keeper'], items: ['i3'] }), ['recorded']);
  await assert.rejects(Recommender.open(model, { eventStore: store }), failure('io_error', 'has it open'));
  await first.close();
  const second = await Recommender.open(model, { eventStore: store });
  assert.equal(second.recommend('keeper').items[0], 'i4');
  const reloaded = second.reload(model);
  await second.close();
  await (await Recommender.open(model, { eventStore: store })).close();
  assert.equal(await reloaded, undefined);
});

test('what nobody holds is freed', async (t) => {
  const [store] = await (async () => {
    const [file, forgotten] = await store_of('collected.db');
    forgotten?.recommend('nobody');
    return [file];
  })();
  if (!withStore) return t.skip('built without SQLite');
  for (let tries = 0; ; ++tries) {
    globalThis.gc();
    await turn();
    try {
      await (await Recommender.open(model, { eventStore: store })).close();
      return;
    } catch (error) {
      if (tries === 100) throw error;
    }
  }
});

case_of('a call in the pool keeps what it works with', async () => {
  const reloaded = (await Recommender.open(model)).reload(model);
  globalThis.gc();
  await turn();
  globalThis.gc();
  await reloaded;
});

test('a worker has recommenders of its own and may be ended in a training', async () => {
  const worker = new Worker(`
    const { parentPort, workerData } = require('node:worker_threads');
    const { Recommender, train } = require(workerData.home);
    const told = { count: 0 };
    Recommender.open(workerData.model).then((recommender) => {
      parentPort.postMessage(recommender.recommendHistory(['i3'], { k: 1 }).items[0]);
      return train(workerData.file, workerData.elsewhere, { preset: 'sasrec-small', config: workerData.config,
        progress: () => { if (++told.count === 2) parentPort.postMessage('training'); } });
    });`, { eval: true, workerData: { home, model, file, elsewhere, config: ENDLESS } });
  const messages = [];
  await new Promise((resolve, reject) => {
    worker.on('error', reject);
    worker.on('message', (message) => { if (messages.push(message) === 2) resolve(); });
  });
  assert.deepEqual(messages, ['i4', 'training']);
  await worker.terminate();
});

test('the process may end in a training', async () => {
  const script = `
    const { train } = require(process.argv[1]);
    train(process.argv[2], process.argv[3], { preset: 'sasrec-small', config: JSON.parse(process.argv[4]),
      progress: ({ epoch }) => { if (epoch === 2) process.exit(7); } });`;
  await assert.rejects(
    promisify(execFile)(process.execPath, ['-e', script, home, file, elsewhere, JSON.stringify(ENDLESS)]), { code: 7 });
});

test('modules of both kinds find what is declared, and nothing else', async () => {
  const module = await import(pathToFileURL(path.join(home, 'index.js')));
  const declared = fs.readFileSync(path.join(home, 'index.d.ts'), 'utf8');
  const names = [...declared.matchAll(/^export (?:class|function|const) (\w+)/gm)].map((match) => match[1]).sort();
  assert.deepEqual(names, Object.keys(attune).sort());
  for (const name of names) assert.equal(module[name], attune[name]);
  const body = declared.slice(declared.indexOf('export class Recommender'));
  const members = [...body.slice(0, body.indexOf('\n}')).matchAll(/^  (\w+)\(/gm)].map((match) => match[1]);
  assert.deepEqual(['constructor', ...members].sort(), Object.getOwnPropertyNames(Recommender.prototype).sort());
  assert.equal(attune.version, require(path.join(home, 'package.json')).version);
  assert.match(attune.simdLevel(), /^\w+$/);
});
