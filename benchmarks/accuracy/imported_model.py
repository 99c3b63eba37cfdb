#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Is a SASRec of RecBole's as good here as where it was trained, and how much faster? A line of JSON.

    benchmarks/accuracy/imported_model.py <bin> <weights.safetensors> <ids> <interactions.csv>

<bin> is where the tool and the benchmarks were built. The ids are a line each, in order of the rows of the table of
items, the first of them that of row 1; interactions of other items are left out. Measured by leave-one-out over all items, seen
ones filtered, ties against the target. Microseconds are medians on one thread: attune is told an event and answers ten items,
ONNX Runtime (onnxruntime-node, found by NODE_PATH) computes the vector of the user from the exported encoder.
"""
import csv
import json
import lzma
import os
import pathlib
import subprocess
import sys
import tempfile

PEERS = pathlib.Path(__file__).resolve().parents[1] / "peers"


def run(*words, **environment):
    return subprocess.run([str(word) for word in words], check=True, capture_output=True, text=True,
                          env={**os.environ, **environment}).stdout


def keep_items(source, ids, target):
    kept = set(pathlib.Path(ids).read_text().split())
    opened = lzma.open if source.endswith(".xz") else open
    with opened(source, "rt", newline="") as read, open(target, "w", newline="") as write:
        rows, out = csv.DictReader(read), csv.writer(write)
        out.writerow(rows.fieldnames)
        out.writerows(row.values() for row in rows if row["item"] in kept)


def median_of(output, name):
    found = {row["name"].split("/manual_time")[0]: row for row in json.loads(output)["benchmarks"]}
    return round(found[name]["p50_us"], 1)


def main(binaries, weights, ids, interactions):
    binaries = pathlib.Path(binaries)
    with tempfile.TemporaryDirectory(prefix="attune-imported-") as folder:
        model, data = pathlib.Path(folder) / "model", pathlib.Path(folder) / "interactions.csv"
        keep_items(interactions, ids, data)
        run(binaries / "attune", "import", weights, "--item-ids", ids, "--output", model)
        measured = json.loads(run(binaries / "attune", "evaluate", "--model", model, "--interactions", data, "--split",
                                  "leave-one-out", "--json"))
        timed = run(binaries / "recommend_latency_benchmark", "--benchmark_filter=^model(_short)?/warm",
                    "--benchmark_format=json", "--benchmark_min_time=2", ATTUNE_MODEL=str(model))
        peer = json.loads(run("node", PEERS / "onnx_export.js", binaries / "attune", model))
    half, whole = peer["p50_us"].values()
    short, sliding = median_of(timed, "model_short/warm"), median_of(timed, "model/warm")
    print(json.dumps({
        "hr@10": round(measured["metrics"]["hr@10"], 4), "ndcg@10": round(measured["metrics"]["ndcg@10"], 4),
        "queries": measured["protocol"]["queries"], "largest_difference": peer["largest_difference"],
        "short": {"attune_us": short, "onnx_us": round(half, 1), "faster": round(half / short, 1)},
        "window": {"attune_us": sliding, "onnx_us": round(whole, 1), "faster": round(whole / sliding, 1)}}))


main(*sys.argv[1:])
