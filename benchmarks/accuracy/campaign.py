#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How good are the presets? Trains and measures every row below for its seeds and writes docs/benchmarks/accuracy.md.

    benchmarks/accuracy/campaign.py <attune> [--only ROW,...] [--threads N] [--jobs N] [--list] [--page]

Data sets are read from ATTUNE_DATA_DIR; rows whose data is missing are skipped. Every finished run is a line of
docs/benchmarks/accuracy.jsonl, so that a campaign goes on where it was interrupted; --page writes the page from those
lines alone. To measure a row anew, for a preset that has changed, delete its lines. Needs Python 3.9 and nothing else.
"""
import argparse
import concurrent.futures
import csv
import hashlib
import json
import lzma
import math
import os
import pathlib
import platform
import subprocess
import sys
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
RUNS = ROOT / "docs/benchmarks/accuracy.jsonl"
PAGE = ROOT / "docs/benchmarks/accuracy.md"

LEAVE_ONE_OUT = ["--split", "leave-one-out"]


class Row:
    """One line of the page: a data set under a protocol, trained by a preset (and changes of it, for an ablation)."""

    def __init__(self, name, title, data, preset, arguments=LEAVE_ONE_OUT, seeds=3, changes=None, published=""):
        self.name, self.title, self.data, self.preset = name, title, data, preset
        self.arguments, self.seeds, self.changes, self.published = arguments, seeds, changes, published

    def options(self):
        """All that makes a run what it is, beside its data and seed."""
        return [*self.arguments, "--preset", self.preset] + (["--config", json.dumps(self.changes)] if self.changes
                                                             else [])

    def command(self):
        file, kept = DATA[self.data]
        changes = " --config <(echo '%s')" % json.dumps(self.changes) if self.changes else ""
        return "attune train --interactions %s %s --preset %s%s --seed 1 --output model" % (
            self.data + ".csv" if kept else file, " ".join(self.arguments), self.preset, changes)


# Name: file, and the file of items that are kept, if not all.
DATA = {
    "ml-1m-sasrec": ("ml-1m.interactions.csv.xz", "ml-1m.sasrec_items.csv.xz"),
    "ml-1m": ("ml-1m.interactions.csv.xz", None),
    "ml-100k": ("ml-100k.interactions.csv.xz", None),
    "beauty": ("amazon-beauty.interactions.csv.xz", None),
    "toys": ("amazon-toys.interactions.csv.xz", None),
    "sports": ("amazon-sports.interactions.csv.xz", None),
    "yelp": ("yelp.interactions.csv.xz", None),
    "lastfm": ("lastfm.interactions.csv.xz", None),
    "video-games": ("amazon-video-games.interactions.csv.xz", None),
    "movietweetings": ("movietweetings-100k.interactions.csv.xz", None),
    "online-retail": ("online-retail.interactions.csv.xz", None),
}

TIME = LEAVE_ONE_OUT + ["--request-time", "on"]
BASKETS = ["--split", "temporal:0.9", "--basket", "--seen", "keep"]

ROWS = [
    Row("ml-1m", "MovieLens-1M, SASRec order, order only", "ml-1m-sasrec", "hstu-large",
        published="SASRec, full cross-entropy 0.3159 / 0.1857; LRURec, another order of ties, 0.3264 / 0.1930"),
    Row("ml-1m-sasrec", "the same", "ml-1m-sasrec", "sasrec-small"),
    Row("ml-1m-default", "the same", "ml-1m-sasrec", "default"),
    Row("ml-1m-time", "MovieLens-1M, all 3,706 items, request time given (a fifth of the times are interpolated)", "ml-1m", "hstu-large", TIME,
        published="HSTU 0.3642 / 0.2164, exact times"),
    Row("ml-100k", "MovieLens-100K, order only", "ml-100k", "hstu-small", seeds=5),
    Row("ml-100k-time", "MovieLens-100K, request time given", "ml-100k", "hstu-small", TIME, seeds=5),
    Row("beauty", "Amazon Beauty", "beauty", "default", published="BSARec 0.1008 / 0.0611"),
    Row("toys", "Amazon Toys and Games", "toys", "default"),
    Row("sports", "Amazon Sports and Outdoors", "sports", "default"),
    Row("yelp", "Yelp 2019", "yelp", "default"),
    Row("lastfm", "Last.fm", "lastfm", "default"),
    Row("video-games", "Amazon Video Games", "video-games", "default"),
    Row("movietweetings", "MovieTweetings 100K", "movietweetings", "default"),
    Row("online-retail", "Online Retail, baskets, repeats allowed", "online-retail", "default", BASKETS),
]

# Parts of a preset left out or changed, one at a time; without the refit, which takes as long as the training before it
# and adds the same to each.
ABLATIONS = [
    ("Ablation: MovieLens-1M, order only, `hstu-large` without its refit, with one change", [
        Row("ml-1m-" + name, title, "ml-1m-sasrec", "hstu-large", seeds=1, changes={"refit": False, **changes})
        for name, title, changes in [
            ("no-refit", "none", {}),
            ("no-feed-forward", "without feed-forward layers", {"encoder": {"feed_forward": False}}),
            ("4-blocks", "4 blocks", {"encoder": {"num_blocks": 4}}),
            ("newest", "the newest window of each user alone", {"windows": "newest"}),
            ("not-averaged", "without averaged weights", {"average": 0}),
            ("smoothed", "label smoothing 0.1", {"objective": {"label_smoothing": 0.1}}),
            ("item-dropout", "a tenth of the events hidden", {"item_dropout": 0.1}),
        ]]),
    ("Ablation: Amazon Beauty, `default` without its refit, with one change", [
        Row("beauty-" + name, title, "beauty", "default", seeds=1, changes={"refit": False, **changes})
        for name, title, changes in [("no-refit", "none", {}), ("no-blend", "the encoder alone", {"blend": False})]]),
]


def figures(metrics):
    return {name: metrics[name] for name in ("hr@10", "ndcg@10")}


def fingerprint(config):
    """What a training was told, but for the seed: runs under another configuration are no seeds of the same row."""
    same = {name: value for name, value in config.items() if name != "seed"}
    return hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()[:12]


def processor():
    try:
        lines = pathlib.Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.machine()


class Campaign:
    def __init__(self, options):
        self.attune, self.threads = options.attune, options.threads
        self.data_folder = pathlib.Path(os.environ.get("ATTUNE_DATA_DIR") or ".")
        self.temporary = tempfile.TemporaryDirectory(prefix="attune-campaign-")
        self.folder = pathlib.Path(self.temporary.name)
        self.lock = threading.Lock()
        doctor = json.loads(subprocess.run([self.attune, "doctor", "--json"], check=True, capture_output=True).stdout)
        self.level = doctor["simd"]["active"]

    def file_of(self, data):
        """The interactions of a data set; those of its kept items alone are written once."""
        name, items = DATA[data]
        if not (self.data_folder / name).exists():
            return None
        if items is None:
            return self.data_folder / name
        kept_file = self.folder / (data + ".csv")
        with self.lock:
            if not kept_file.exists():
                with lzma.open(self.data_folder / items, "rt", newline="") as file:
                    kept = {row["item"] for row in csv.DictReader(file)}
                with lzma.open(self.data_folder / name, "rt", newline="") as file, open(kept_file, "w") as out:
                    out.write("user,item\n")
                    out.writelines("%s,%s\n" % (row["user"], row["item"]) for row in csv.DictReader(file)
                                   if row["item"] in kept)
        return kept_file

    def run(self, row, seed):
        file = self.file_of(row.data)
        if file is None:
            print("skipped: %s is not in ATTUNE_DATA_DIR" % DATA[row.data][0], file=sys.stderr)
            return
        model = self.folder / ("%s-%d" % (row.name, seed))
        command = [self.attune, "train", "--interactions", file, *row.arguments, "--preset", row.preset, "--seed",
                   str(seed), "--threads", str(self.threads), "--output", model, "--json", "--quiet"]
        if row.changes:
            changes = self.folder / (row.name + ".json")
            changes.write_text(json.dumps(row.changes))
            command += ["--config", changes]
        started = time.monotonic()
        result = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
        best = next((epoch for epoch in result["epochs"] if epoch["epoch"] == result["best_epoch"]), None)
        line = {
            "row": row.name, "seed": seed, "options": row.options(), "metrics": figures(result["metrics"]),
            "validation": figures(best["validation"]) if best else None,
            "baselines": {name: figures(metrics) for name, metrics in result["baselines"].items()},
            "paired": result.get("paired", {}),
            "blend_weight": result["blend_weight"], "best_epoch": result["best_epoch"],
            "epochs": len(result["epochs"]), "train_seconds": round(result["train_seconds"], 1),
            "wall_seconds": round(time.monotonic() - started, 1), "threads": self.threads, "level": self.level,
            "config": fingerprint(result["config"]), "queries": result["protocol"]["queries"], "items": result["protocol"]["items"],
            "machine": processor(), "date": time.strftime("%Y-%m-%d"),
        }
        with self.lock, open(RUNS, "a+") as out:
            out.seek(max(0, out.tell() - 1))
            whole = out.read() in ("", "\n")
            out.write(("" if whole else "\n") + json.dumps(line) + "\n")
        print("%s, seed %d: %.4f / %.4f in %.0f s" % (row.name, seed, line["metrics"]["hr@10"],
                                                     line["metrics"]["ndcg@10"], line["wall_seconds"]), flush=True)


def all_rows():
    return ROWS + [row for _, group in ABLATIONS for row in group]


def read_runs():
    """By row and seed. Runs of rows that are gone or trained otherwise than the newest do not count, nor do torn lines."""
    options, runs = {row.name: row.options() for row in all_rows()}, {}
    for line in RUNS.read_text().splitlines() if RUNS.exists() else []:
        try:
            run = json.loads(line)
        except ValueError:  # torn by an interruption
            continue
        if options.get(run["row"]) == run.get("options"):
            runs.setdefault(run["row"], []).append(run)
    return {row: {run["seed"]: run for run in of_row if run.get("config") == of_row[-1].get("config")}
            for row, of_row in runs.items()}


def mean(values):
    return sum(values) / len(values)


def spread(values):
    centre = mean(values)
    return math.sqrt(sum((v - centre) ** 2 for v in values) / (len(values) - 1)) if len(values) > 1 else 0.0


def pair(runs, *path):
    """Mean over the runs of HR@10 / NDCG@10, found along a path of keys; with the deviation between seeds."""
    both = []
    for metric in ("hr@10", "ndcg@10"):
        values = []
        for run in runs:
            at = run
            for key in path:
                at = (at or {}).get(key)
            if at:
                values.append(at[metric])
        if not values:
            return "–"
        both.append("%.4f" % mean(values) + (" ± %.4f" % spread(values) if len(values) > 1 else ""))
    return " / ".join(both)


def best_baseline(runs):
    """The built-in baseline with the best mean NDCG@10, and the bootstrap intervals of what the model gains on it."""
    names = {name for run in runs for name in run["baselines"]} - {"encoder", "engine"}  # parts of the model itself
    if not names:
        return "–", "–"
    best = max(names, key=lambda name: mean([run["baselines"][name]["ndcg@10"] for run in runs]))
    intervals = runs[0].get("paired", {}).get(best, {})
    gained = " / ".join("%+.4f [%+.4f, %+.4f]" % (i["difference"], *i["interval"])
                        for i in (intervals.get(metric) for metric in ("hr@10", "ndcg@10")) if i)
    return "%s %s" % (best, pair(runs, "baselines", best).replace(" ± 0.0000", "")), gained or "–"


HEAD = """# Accuracy

HR@10 / NDCG@10 on the test part, mean and standard deviation over seeds. The whole catalogue is ranked, items of the history
are filtered (but where repeats are allowed), ties count against the target; epoch and weight of the blend are chosen on
validation NDCG@10. Leave-one-out tests on the last event of each user, validates on the one before. The presets `default` and
`hstu` are then refitted: trained once more on training and validation events, which published figures mostly are not; the
ablations show what that is worth. "Encoder alone" is the same model without its counts. "Best baseline" is the best of
popularity, transition counts, item-kNN and EASE, fitted on the same events; "gained" is the difference to it and its 95 %
interval by resampling users, first seed. Events of one time keep the order of the file; in MovieLens-100K as measured here
that is the order of the item numbers.

`ATTUNE_DATA_DIR=<data> benchmarks/accuracy/campaign.py <attune>` trains all rows and writes this page; the runs behind it
are in [accuracy.jsonl](accuracy.jsonl). A row by hand: the command below the table.

"""


def write_page(runs):
    out = [HEAD, "| data | preset | seeds | HR@10 / NDCG@10 | encoder alone | validation | training, s |\n",
           "|---|---|---|---|---|---|---|\n"]
    measured = [(row, [runs[row.name][seed] for seed in sorted(runs[row.name])]) for row in ROWS if row.name in runs]
    for row, of_row in measured:
        out.append("| %s | `%s` | %d | **%s** | %s | %s | %.0f |\n" % (
            row.title, row.preset, len(of_row), pair(of_row, "metrics"), pair(of_row, "baselines", "encoder"),
            pair(of_row, "validation"), mean([run["train_seconds"] for run in of_row])))
    out += ["\nTraining seconds are those of one run, beside others on the same machine; %s.\n" % threads_of(runs), "\n## Beside baselines\n\n",
            "| data | preset | best baseline | gained | published |\n|---|---|---|---|---|\n"]
    for row, of_row in measured:
        out.append("| %s | `%s` | %s | %s | %s |\n" % (row.title, row.preset, *best_baseline(of_row),
                                                      row.published or "–"))
    for title, of_group in ABLATIONS:
        lines = [(row, list(runs[row.name].values())) for row in of_group if row.name in runs]
        if not lines:
            continue
        out += ["\n## %s\n\n" % title, "| change | validation | test | training, s |\n|---|---|---|---|\n"]
        for row, of_row in lines:
            out.append("| %s | %s | %s | %.0f |\n" % (row.title, pair(of_row, "validation"), pair(of_row, "metrics"),
                                                     mean([run["train_seconds"] for run in of_row])))
    out += ["\n## Commands\n\n```sh\n"] + ["%s\n" % row.command() for row, _ in measured] + ["```\n"]
    out += ["\n`%s.csv` has the columns `user` and `item` of `%s`, for the items in `%s`.\n" % (data, file, kept)
            for data, (file, kept) in DATA.items() if kept]
    PAGE.write_text("".join(out))


def threads_of(runs):
    used = sorted({(run["threads"], run["level"], run["machine"]) for of_row in runs.values() for run in of_row.values()})
    return "; ".join("%d thread%s, level `%s`, %s" % (n, "s" if n > 1 else "", level, machine)
                     for n, level, machine in used)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("attune")
    parser.add_argument("--only", help="rows, separated by commas")
    parser.add_argument("--threads", type=int, default=1, help="of one training")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="trainings at once")
    parser.add_argument("--list", action="store_true", help="name the rows and stop")
    parser.add_argument("--page", action="store_true", help="write the page alone")
    options = parser.parse_args()
    rows = all_rows()
    if options.list:
        for row in rows:
            print("%-20s %s" % (row.name, row.command()))
        return
    if not options.page:
        chosen = set((options.only or ",".join(row.name for row in rows)).split(","))
        unknown = chosen - {row.name for row in rows}
        if unknown:
            sys.exit("--only: no row is named " + ", ".join(sorted(unknown)))
        campaign, done = Campaign(options), read_runs()
        todo = [(row, seed) for row in rows if row.name in chosen for seed in range(1, row.seeds + 1)
                if seed not in done.get(row.name, {})]
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            for finished in [pool.submit(campaign.run, row, seed) for row, seed in todo]:
                finished.result()
    write_page(read_runs())


if __name__ == "__main__":
    main()
