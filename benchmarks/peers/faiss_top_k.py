#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The ten best of clustered vectors by faiss, one thread: what scorer_benchmark is compared with.

    benchmarks/peers/faiss_top_k.py [items ...]

A line of JSON per index: items, index, median microseconds of a query, recall against the exact answer. Vectors are drawn
as scorer_benchmark draws its clustered ones. Needs Debian's python3-faiss.
"""
import json
import statistics
import sys
import time

import faiss
import numpy

DIM, BEST, QUERIES = 64, 10, 64


def microseconds(search, repetitions):
    search(0)
    times = []
    for i in range(repetitions):
        start = time.perf_counter()
        search(i % QUERIES)
        times.append(1e6 * (time.perf_counter() - start))
    return statistics.median(times)


def measure(items):
    random = numpy.random.default_rng(1)
    centres = random.standard_normal((256, DIM), dtype=numpy.float32)

    def draw(count):
        x = 0.7 * centres[random.integers(0, len(centres), count)]
        x += 0.7 * random.standard_normal((count, DIM), dtype=numpy.float32)
        x /= numpy.linalg.norm(x, axis=1, keepdims=True)
        return x

    rows, queries = draw(items), draw(QUERIES)
    repetitions = max(10, min(1000, 20_000_000 // items))
    exact = None

    def report(name, index):
        nonlocal exact
        found = index.search(queries, BEST)[1]
        exact = found if exact is None else exact
        recall = sum(len(set(a) & set(b)) for a, b in zip(found, exact)) / exact.size
        print(json.dumps({"items": items, "index": name, "recall": round(recall, 4), "us": round(
            microseconds(lambda q: index.search(queries[q:q + 1], BEST), repetitions), 1)}), flush=True)

    flat = faiss.IndexFlatIP(DIM)
    flat.add(rows)
    report("exact", flat)
    if items > 1_000_000:
        return
    together = microseconds(lambda _: flat.search(queries, BEST), 5) / QUERIES
    print(json.dumps({"items": items, "index": "exact, 64 queries at once", "recall": 1.0, "us": round(together, 1)}),
          flush=True)
    if items < 100_000:
        return
    lists = 1024 if items < 500_000 else 4096
    inverted = faiss.IndexIVFFlat(faiss.IndexFlatIP(DIM), DIM, lists, faiss.METRIC_INNER_PRODUCT)
    inverted.cp.niter = 5
    inverted.train(rows[:200_000])
    inverted.add(rows)
    for probes in (8, 32):
        inverted.nprobe = probes
        report("%d lists, %d of them" % (lists, probes), inverted)
    if items < 500_000:
        graph = faiss.IndexHNSWFlat(DIM, 16, faiss.METRIC_INNER_PRODUCT)
        graph.add(rows)
        for effort in (64, 256):
            graph.hnsw.efSearch = effort
            report("HNSW16, ef %d" % effort, graph)


faiss.omp_set_num_threads(1)
for argument in sys.argv[1:] or ["3706", "100000", "1000000"]:
    measure(int(argument))
