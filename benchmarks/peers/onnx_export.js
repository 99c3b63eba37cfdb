// SPDX-License-Identifier: Apache-2.0
// Whether ONNX Runtime computes from `attune export --format onnx` what attune answers: scores of all items for
// histories of every length; the largest difference as a line of JSON, with the median microseconds that the user's
// vector takes there on one thread, for half a window and for a whole one.
//
//     node benchmarks/peers/onnx_export.js <attune> <model directory>
//
// Needs the package onnxruntime-node, found by NODE_PATH or beside this file.
const {execFileSync} = require('child_process');
const fs = require('fs');
const os = require('os');
const path = require('path');
const onnx = require('onnxruntime-node');

// The rows of a '<f4' file in C order.
function readNpy(file) {
  const bytes = fs.readFileSync(file);
  const begin = 10 + bytes.readUInt16LE(8);
  const [rows, width] = bytes.toString('latin1', 10, begin).match(/\((\d+), (\d+)\)/).slice(1).map(Number);
  return Array.from({length: rows}, (_, row) =>
    Array.from({length: width}, (_, i) => bytes.readFloatLE(begin + 4 * (row * width + i))));
}

async function median(session, feeds) {
  const times = [];
  for (let i = 0; i < 320; ++i) {
    const start = process.hrtime.bigint();
    await session.run(feeds);
    if (i >= 20) times.push(Number(process.hrtime.bigint() - start) / 1e3);
  }
  return times.sort((a, b) => a - b)[150];
}

async function main(attune, model) {
  const run = (...words) => execFileSync(attune, words, {encoding: 'utf8', maxBuffer: 1 << 28});
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'attune-onnx-'));
  const file = path.join(folder, 'encoder.onnx');
  run('export', model, '--format', 'onnx', '--output', file);
  run('export', model, '--format', 'npy', '--output', folder);
  const ids = fs.readFileSync(path.join(folder, 'items.ids.txt'), 'utf8').split('\n').slice(0, -1);
  const rows = readNpy(path.join(folder, 'items.npy'));
  const encoder = JSON.parse(fs.readFileSync(path.join(model, 'manifest.json'), 'utf8')).encoder;
  const session = await onnx.InferenceSession.create(file, {intraOpNumThreads: 1, interOpNumThreads: 1});
  const window = encoder.max_sequence_length, lengths = [window];
  for (let length = 1; length < window; length += 1 + Math.floor(length / 4)) lengths.push(length);
  const history = length => Array.from({length}, (_, i) => (i * 7919 + length) % ids.length);
  const feeds = events => ({events: new onnx.Tensor('int64', BigInt64Array.from(events.map(BigInt)), [events.length])});
  let worst = 0, histories = 0;
  for (const length of lengths) {
    const events = history(length);
    const user = Array.from((await session.run(feeds(events))).user_vector.data);
    const unit = encoder.score === 'cosine' ? 1 / Math.hypot(...user) : 1;
    const {scores} = JSON.parse(run('score', '--model', model, '--json', '--history', events.map(i => ids[i]).join(',')));
    ids.forEach((id, item) => {
      if (scores[id] === null) return;
      const score = unit * rows[item].reduce((sum, x, d) => sum + x * user[d], 0);
      worst = Math.max(worst, Math.abs(score - scores[id]));
    });
    ++histories;
  }
  fs.rmSync(folder, {recursive: true});
  const microseconds = {};
  for (const length of [window >> 1, window]) microseconds[length] = await median(session, feeds(history(length)));
  console.log(JSON.stringify({histories, items: ids.length, largest_difference: worst, p50_us: microseconds}));
}

main(...process.argv.slice(2));
