// SPDX-License-Identifier: Apache-2.0
// Times what onnx_encoder.py wrote in ONNX Runtime, one thread: a line of JSON with p50 and p99 in microseconds.
//
//     node benchmarks/peers/onnx_encoder.js <file.onnx> [items]
//
// Needs the package onnxruntime-node, found by NODE_PATH or beside this file.
const onnx = require('onnxruntime-node');

async function main(file, items) {
  const session = await onnx.InferenceSession.create(file, {intraOpNumThreads: 1, interOpNumThreads: 1});
  const events = BigInt64Array.from({length: 200}, (_, i) => BigInt((i * 7919) % items));
  const feeds = {events: new onnx.Tensor('int64', events, [1, 200])};
  for (let i = 0; i < 20; ++i) await session.run(feeds);
  const times = [];
  for (let i = 0; i < 300; ++i) {
    const start = process.hrtime.bigint();
    await session.run(feeds);
    times.push(Number(process.hrtime.bigint() - start) / 1e3);
  }
  times.sort((a, b) => a - b);
  console.log(JSON.stringify({items, p50_us: times[150], p99_us: times[297]}));
}

main(process.argv[2], Number(process.argv[3] || 3706));
