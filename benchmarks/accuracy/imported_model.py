#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Is a SASRec of RecBole's as good here as where it was trained, and how much faster? A line of JSON.

    benchmarks/accuracy/imported_model.py <bin> <weights.safetensors> <ids> <interactions.csv>

<bin> is where the tool and the benchmarks were built. The ids are a line each, in order of the rows of the table of
items, the first of them that of row 1; interactions of other items are left out. Measured by leave-one-out over all items, seen
ones filtered, ties against the target. Microseconds on one thread: attune is told an event and answers ten items, the mean;
ONNX Runtime (onnxruntime-node, found by NODE_PATH) computes the user's vector from the exported encoder, the median.
"short" is histories of 50 to 200 events beside a window of 200, "hop" those that are longer, by how far the window slides.
"""
import csv
import json
import lzma
import os
import pathlib
import subprocess
import sys
import tempfile

HOPS = (1, 20)  # exact, and a window of 200 events that slides by a tenth
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


def evaluate(binaries, model, data):
    measured = json.loads(run(binaries / "attune", "evaluate", "--model", model, "--interactions", data, "--split",
                              "leave-one-out", "--json"))
    return {"queries": measured["protocol"]["queries"],
            **{name: round(measured["metrics"][name], 4) for name in ("hr@10", "ndcg@10")}}


def microseconds(binaries, model, case):
    measured = run(binaries / "recommend_latency_benchmark", "--benchmark_filter=^%s/warm" % case,
                   "--benchmark_format=json", "--benchmark_min_time=2", ATTUNE_MODEL=str(model))
    return round(json.loads(measured)["benchmarks"][0]["real_time"], 1)


def main(binaries, weights, ids, interactions):
    binaries = pathlib.Path(binaries)
    with tempfile.TemporaryDirectory(prefix="attune-imported-") as folder:
        data, models = pathlib.Path(folder) / "interactions.csv", {}
        keep_items(interactions, ids, data)
        for hop in HOPS:
            models[hop] = pathlib.Path(folder) / ("hop-%d" % hop)
            run(binaries / "attune", "import", weights, "--item-ids", ids, "--hop", hop, "--output", models[hop])
        peer = json.loads(run("node", PEERS / "onnx_export.js", binaries / "attune", models[1]))
        half, whole = peer["p50_us"].values()
        short = microseconds(binaries, models[1], "model_short")
        found = {"largest_difference": peer["largest_difference"],
                 "short": {"attune_us": short, "onnx_us": round(half, 1), "faster": round(half / short, 1)}}
        for hop in HOPS:
            spent = microseconds(binaries, models[hop], "model")
            found["hop %d" % hop] = {**evaluate(binaries, models[hop], data), "attune_us": spent,
                                     "onnx_us": round(whole, 1), "faster": round(whole / spent, 1)}
    print(json.dumps(found))


main(*sys.argv[1:])
