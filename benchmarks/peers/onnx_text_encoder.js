// SPDX-License-Identifier: Apache-2.0
// Times what onnx_text_encoder.py wrote in ONNX Runtime, one thread: lines of JSON with milliseconds by tokens of a text.
//
//     node benchmarks/peers/onnx_text_encoder.js <file.onnx> [texts]
//
// Needs the package onnxruntime-node, found by NODE_PATH or beside this file.
const onnx = require('onnxruntime-node');

async function main(file, texts) {
  const session = await onnx.InferenceSession.create(file, {intraOpNumThreads: 1, interOpNumThreads: 1});
  for (const length of [8, 32, 128]) {
    const tokens = BigInt64Array.from({length: texts * length}, (_, i) => BigInt((i * 7919) % 30000));
    const feeds = {tokens: new onnx.Tensor('int64', tokens, [texts, length])};
    for (let i = 0; i < 10; ++i) await session.run(feeds);
    const times = [];
    for (let i = 0; i < 100; ++i) {
      const start = process.hrtime.bigint();
      await session.run(feeds);
      times.push(Number(process.hrtime.bigint() - start) / 1e6);
    }
    times.sort((a, b) => a - b);
    console.log(JSON.stringify({texts, tokens: length, best_ms: times[0], p50_ms: times[50]}));
  }
}

main(process.argv[2], Number(process.argv[3] || 1));
