#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# What does an update of a model gain over the model of before, and over training anew?
#
#   benchmarks/accuracy/update.sh <attune> <interactions.csv.xz with a column timestamp> [options of train...]
#
# Trains on the first 80 % of the events, updates with the next 10 %, measures on the last 10 %; and trains anew on the
# first 90 %, for as many epochs as the first training took to its best. Needs xz, sort and python3.
set -euo pipefail

attune=$(realpath "$1")
data=$(realpath "$2")
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"

xz -dc "$data" > all.csv
column=$(head -n 1 all.csv | tr ',' '\n' | grep -n '^timestamp$' | cut -d : -f 1)
tail -n +2 all.csv | sort -s -t , -k "$column,${column}n" > sorted.csv
events=$(wc -l < sorted.csv)
part() {  # <name> <first event> <last event>
  { head -n 1 all.csv; sed -n "$2,$3p" sorted.csv; } > "$1"
}
part first80.csv 1 $((events * 8 / 10))
part last20.csv $((events * 8 / 10 + 1)) "$events"
part first90.csv 1 $((events * 9 / 10))

"$attune" train --interactions first80.csv --output model --json --quiet "${@:3}" > train.json
"$attune" update --model model --interactions last20.csv --split temporal:0.5 --output updated --json --quiet > update.json
best=$(python3 -c 'import json; print(json.load(open("train.json"))["best_epoch"])')
"$attune" train --interactions first90.csv --split none --epochs "$best" --output anew --json --quiet "${@:3}" > anew.json
"$attune" evaluate --model anew --interactions all.csv --split temporal:0.9 --json --quiet > anew_measured.json

python3 - <<'END'
import json

def read(name):
    with open(name) as file:
        return json.load(file)

train, update, anew, measured = (read(name + ".json") for name in ("train", "update", "anew", "anew_measured"))
known = update["known_users"]
rows = [("all users", "before", update["baselines"]["before"], train["train_seconds"]),
        ("all users", "updated", update["metrics"], update["train_seconds"]),
        ("all users", "trained anew", measured["metrics"], anew["train_seconds"]),
        ("known users", "before", known["before"], train["train_seconds"]),
        ("known users", "updated", known["metrics"], update["train_seconds"])]
print(update["update"], update["protocol"]["queries"], "queries,", known["queries"], "of known users")
print("| queries | model | HR@10 | NDCG@10 | MRR@10 | training, s |\n|---|---|---|---|---|---|")
for queries, model, metrics, seconds in rows:
    figures = " | ".join("%.4f" % metrics[name] for name in ("hr@10", "ndcg@10", "mrr@10"))
    print("| %s | %s | %s | %.1f |" % (queries, model, figures, seconds))
END
