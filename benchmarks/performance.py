#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""How fast is serving, beside what was asked of it and beside its peers? Writes docs/benchmarks/performance.md.

    benchmarks/performance.py <folder of the benchmark programs> [--only ROW,...] [--rounds N] [--list] [--page]

Every row below is measured five times in a round at the best level of this CPU and at avx2, and kept as lines of
docs/benchmarks/performance.jsonl; --page writes the page from those lines alone. A quiet machine matters: others on its
cores and in its caches make each figure longer, so the page shows the best one, and the lines show all. Peers are
measured where they are installed: Debian's python3-faiss and python3-torch for /usr/bin/python3, onnxruntime-node for
node (NODE_PATH), and Debian's valgrind for instruction counts. Reading needs ATTUNE_DATA_DIR. Needs Python 3.9.
"""
import argparse
import datetime
import json
import math
import os
import pathlib
import re
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[1]
LINES = ROOT / "docs/benchmarks/performance.jsonl"
PAGE = ROOT / "docs/benchmarks/performance.md"
PEERS = ROOT / "benchmarks/peers"


class Row:
    """A figure: what a counter of a benchmark says, times a factor."""

    def __init__(self, name, title, asked, aim, unit, program, filter, counter="real_time", factor=1, peer=None,
                 more_is_better=False):
        self.name, self.title, self.asked, self.aim, self.unit = name, title, asked, aim, unit
        self.program, self.filter, self.counter, self.factor = program + "_benchmark", filter, counter, factor
        self.peer, self.more_is_better = peer, more_is_better

    def best(self, values):
        return max(values) if self.more_is_better else min(values)

    def holds(self, value):
        return value >= self.asked if self.more_is_better else value <= self.asked


def scan(storage, items, data=0, eligible=1000):
    return "^%s/items:%d/data:%d/terms:0/eligible_per_mille:%d$" % (storage, items, data, eligible)


LATENCY, SCORER = "recommend_latency", "scorer"
ROWS = [
    Row("warm", "event and ten items, `sasrec-small`, one warm user, p50", 15, 8, "us", LATENCY, "^3706_items/warm",
        "p50_us", peer="ONNX Runtime, full encode"),
    Row("warm-p99", "the same, p99, slides included", 150, None, "us", LATENCY, "^3706_items/warm", "p99_us"),
    Row("resident", "the same, 20,000 users in random order, p50", 25, 15, "us", LATENCY, "^3706_items/resident",
        "p50_us"),
    Row("hstu-warm", "HSTU, 8 blocks of width 50, time of the request, warm, p50", 35, 25, "us", LATENCY,
        "^hstu_50/warm", "p50_us"),
    Row("hstu-resident", "the same, 5,000 users in random order, states in bfloat16", 55, 40, "us", LATENCY,
        "^hstu_50_bfloat16/resident", "p50_us"),
    Row("full", "200 events encoded anew, and ten items", 160, 130, "us", LATENCY, "^3706_items/full", "p50_us",
        peer="ONNX Runtime, full encode"),
    Row("100k", "exact ten best of 100,000", 180, 130, "us", SCORER, scan("int4", 100_000),
        peer="faiss, 100000: exact"),
    Row("1m", "exact ten best of 1,000,000", 1600, 1250, "us", SCORER, scan("int4", 1_000_000),
        peer="faiss, 1000000: exact"),
    Row("10m", "exact ten best of 10,000,000", None, None, "ms", "growth", "^catalogue/10000000", factor=1e-3,
        peer="faiss, 10000000: exact"),
    Row("10m-bytes", "the same, bytes of codes read", None, None, "GB/s", "growth", "^catalogue/10000000", "bytes",
        1e-9, more_is_better=True),
    Row("recall-clustered", "recall 0.99 of 1,000,000, clustered", 60, 30, "us", SCORER,
        scan("lists_99_percent", 1_000_000, 1), peer="faiss, 1000000: 4096 lists, 32 of them"),
    Row("recall-skewed", "the same, skewed", 200, 140, "us", SCORER, scan("lists_99_percent", 1_000_000, 2)),
    Row("proof-clustered", "the same with proof of exactness, clustered", 700, 450, "us", SCORER,
        scan("lists_exact", 1_000_000, 1), peer="faiss, 1000000: exact"),
    Row("proof-skewed", "the same, skewed", 700, 450, "us", SCORER, scan("lists_exact", 1_000_000, 2)),
    Row("batch", "64 queries at once, 1,000,000, exact, of each", 160, 100, "us", SCORER,
        "^batch_int8/items:1000000/data:1/queries:64$", "per_query", 1e6,
        peer="faiss, 1000000: exact, 64 queries at once"),
    Row("filtered", "99.9 % of 1,000,000 filtered out, exact", None, None, "us", SCORER,
        scan("int4", 1_000_000, 0, 1)),
    Row("mixed", "four requests for items to one event, resident users, two threads, per thread", 50_000, 80_000,
        "requests/s", LATENCY, "^3706_items/mixed", "requests_per_thread", more_is_better=True),
    Row("open", "a model of 1,000,000 x 64 opened, and its first answer", 50, 20, "ms", "open",
        "open_and_answer/mapped/items:1000000"),
    Row("read", "MovieLens-1M read with all checks", 500, 1000, "MB/s", "reader", "read_movielens/text_ids",
        "bytes_per_second", 1e-6, more_is_better=True),
    Row("text", "a text of 32 tokens to its vector, MiniLM's shape", 6, None, "ms", "text_encoder", "^text/tokens:32$",
        peer="ONNX Runtime, a text of 32 tokens"),
    Row("titles", "10,000 titles of 8 tokens, by processor time", None, None, "titles/s", "text_encoder",
        "^titles/items:10000$", "items_per_second", more_is_better=True),
]
GROWTH = [("catalogue", "items", "ten best of a catalogue", "us"),
          ("window", "events in the window", "p50 of event and ten items", "us"),
          ("users", "users", "p50 of event and ten items", "us"),
          ("threads", "threads", "requests of all threads", "requests/s")]


def run(command, **environment):
    done = subprocess.run([str(word) for word in command], env={**os.environ, **environment}, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, text=True)
    if done.returncode != 0:
        raise RuntimeError("%s: %s" % (" ".join(map(str, command)), done.stderr.strip()[-300:]))
    return done.stdout


class Campaign:
    def __init__(self, folder):
        self.folder = pathlib.Path(folder)
        models = [line.split(":")[1].strip() for line in open("/proc/cpuinfo") if line.startswith("model name")]
        self.machine = "%d x %s" % (len(models), models[0]) if models else "unknown"
        self.levels = ["", "avx2"]

    def add(self, **line):
        line.update(machine=self.machine, date=datetime.date.today().isoformat())
        with open(LINES, "a") as file:
            file.write(json.dumps(line) + "\n")
        print(json.dumps(line), flush=True)

    def benchmarks(self, program, filter, level, seconds):
        """What the benchmarks that match say, five times each."""
        program = self.folder / program
        if not program.exists():
            raise RuntimeError("%s is missing" % program)
        out = run([program, "--benchmark_filter=" + filter, "--benchmark_min_time=%g" % seconds,
                   "--benchmark_repetitions=5", "--benchmark_format=json"], **({"ATTUNE_SIMD": level} if level else {}))
        found = json.loads(out)["benchmarks"] if out.strip() else []
        return [one for one in found if one["run_type"] == "iteration" and not one.get("error_occurred")]

    def measure_rows(self, rows, level):
        """Of rows that one run of a program says."""
        found = self.benchmarks(rows[0].program, rows[0].filter, level, 0.1)
        if not found:
            raise RuntimeError("%s: nothing measured" % rows[0].name)
        for row in rows:
            values = [one[row.counter] * row.factor for one in found]
            self.add(row=row.name, level=level or "best", value=row.best(values), unit=row.unit, values=values,
                     command="%s --benchmark_filter='%s'" % (row.program, row.filter))

    def measure_kernels(self, level):
        best = {}
        for found in self.benchmarks("kernels_benchmark", ".", level, 0.02):
            kind = "bytes" if "bytes" in found else "operations"
            best[found["name"], kind] = max(best.get((found["name"], kind), 0), found[kind] * 1e-9)
        for (name, kind), value in best.items():
            self.add(kernel=name, level=level or "best", kind=kind, value=value)

    def measure_growth(self, level):
        best = {}
        for found in self.benchmarks("growth_benchmark", ".", level, 0.1):
            what, first = re.match(r"(\w+)/(\d+)?", found["name"]).groups()
            if what == "threads":
                value = (what, found["threads"]), -found["requests_per_thread"] * found["threads"]
            else:
                value = (what, int(first)), found["real_time" if what == "catalogue" else "p50_us"]
            best[value[0]] = min(best.get(value[0], math.inf), value[1])
        for (what, at), value in best.items():
            self.add(growth=what, level=level or "best", at=at, value=abs(value))

    def measure_peers(self):
        said = run(["/usr/bin/python3", PEERS / "faiss_top_k.py", 3706, 100_000, 1_000_000, 10_000_000])
        for line in said.splitlines():
            found = json.loads(line)
            self.add(peer="faiss, %d: %s" % (found["items"], found["index"]), value=found["us"], recall=found["recall"])
        with tempfile.TemporaryDirectory() as folder:
            model = pathlib.Path(folder) / "sasrec.onnx"
            run(["/usr/bin/python3", PEERS / "onnx_encoder.py", model])
            found = json.loads(run(["node", PEERS / "onnx_encoder.js", model]))
            self.add(peer="ONNX Runtime, full encode", value=found["p50_us"])

    def measure_text_peer(self):
        with tempfile.TemporaryDirectory() as folder:
            model = pathlib.Path(folder) / "bert.onnx"
            run(["/usr/bin/python3", PEERS / "onnx_text_encoder.py", model])
            for line in run(["node", PEERS / "onnx_text_encoder.js", model]).splitlines():
                found = json.loads(line)
                self.add(peer="ONNX Runtime, a text of %d tokens" % found["tokens"], value=found["p50_ms"] * 1e3)

    def count_instructions(self):
        """Of one event and one request of a warm user, at avx2: valgrind knows no wider level."""
        with tempfile.TemporaryDirectory() as folder:
            for name in ("3706_items/warm", "hstu_50/warm", "3706_items/full"):
                function = "recommend_history" if name.endswith("full") else "observe_and_recommend"
                out = pathlib.Path(folder) / "callgrind"
                said = run(["valgrind", "--tool=callgrind", "--callgrind-out-file=%s" % out, "--collect-atstart=no",
                            "--toggle-collect=service::Service::%s*" % function,
                            self.folder / "recommend_latency_benchmark", "--benchmark_filter=^%s" % name,
                            "--benchmark_format=json"], ATTUNE_SIMD="avx2",
                           ATTUNE_BENCHMARK_SMOKE="1")
                total = int(re.search(r"^(?:summary|totals): (\d+)", out.read_text(), re.M).group(1))
                self.add(instructions=name, value=total / json.loads(said)["benchmarks"][0]["asked"])


def chart(title, x_label, y_label, series):
    """An SVG of lines over two logarithmic axes."""
    width, height, left, bottom = 560, 320, 70, 50
    points = [point for line in series.values() for point in line]
    low_x, high_x = min(p[0] for p in points), max(p[0] for p in points)
    low_y = 10 ** math.floor(math.log10(min(p[1] for p in points)))
    high_y = 10 ** math.ceil(math.log10(max(p[1] for p in points)))

    def at(x, y):
        return (left + (width - left - 20) * math.log(x / low_x) / max(math.log(high_x / low_x), 1e-9),
                height - bottom - (height - bottom - 40) * math.log(y / low_y) / max(math.log(high_y / low_y), 1e-9))

    out = ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" ' % (width, height) +
           'font-family="sans-serif" font-size="12">',
           '<rect width="100%" height="100%" fill="white"/>',
           '<text x="%d" y="20" font-size="14">%s</text>' % (left, title)]
    decade = low_y
    while decade <= high_y * 1.001:
        y = at(low_x, decade)[1]
        out.append('<path d="M%d %.1fH%d" stroke="#ddd"/><text x="%d" y="%.1f" text-anchor="end">%s</text>' % (
            left, y, width - 20, left - 6, y + 4, "{:,g}".format(decade)))
        decade *= 10
    for x in sorted({p[0] for p in points}):
        out.append('<text x="%.1f" y="%d" text-anchor="middle">%s</text>' % (
            at(x, low_y)[0], height - bottom + 18, short(x)))
    out.append('<text x="%d" y="%d" text-anchor="middle">%s</text>' % ((width + left) / 2, height - 10, x_label))
    out.append('<text transform="translate(14 %d) rotate(-90)" text-anchor="middle">%s</text>' % (height / 2, y_label))
    for (name, line), colour in zip(sorted(series.items()), ("#1f77b4", "#d62728", "#2ca02c")):
        path = "L".join("%.1f %.1f" % at(*point) for point in sorted(line))
        end = at(*max(line))
        out.append('<path d="M%s" fill="none" stroke="%s" stroke-width="2"/>' % (path, colour))
        out.append('<text x="%.1f" y="%.1f" text-anchor="end" fill="%s">%s</text>' % (
            end[0], end[1] + (16 if name == "best" else -8), colour, name))
    return "\n".join(out + ["</svg>\n"])


def short(number):
    for size, letter in ((10 ** 6, "M"), (1000, "k")):
        if number >= size and number % (size // 10) == 0:
            return "%g%s" % (number / size, letter)
    return "%g" % number


def figure(value):
    return "–" if value is None else "{:,.0f}".format(value) if value >= 100 else "%.3g" % value


class Page:
    def __init__(self, lines):
        self.lines = lines

    def values(self, **wanted):
        return [line["value"] for line in self.lines if all(line.get(key) == value for key, value in wanted.items())]

    def rows(self):
        out = ["| work | asked | aim | best level | `avx2` | peer |", "|---|---|---|---|---|---|"]
        for row in ROWS:
            cells = []
            for level in ("best", "avx2"):
                values = self.values(row=row.name, level=level)
                best = row.best(values) if values else None
                text = figure(best)
                cells.append("**%s**" % text if best is not None and row.asked and row.holds(best) else text)
            peer = self.values(peer=row.peer) if row.peer else []
            mine = self.values(row=row.name, level="best")
            beside = ""
            if peer and mine:
                in_unit = min(peer) * (1e-3 if row.unit == "ms" else 1)
                beside = "%s: %s (%.3g times as long)" % (row.peer, figure(in_unit), in_unit / row.best(mine))
            out.append("| %s, %s | %s | %s | %s | %s |" % (row.title, row.unit, figure(row.asked), figure(row.aim),
                                                           " | ".join(cells), beside))
        return out

    def ratios(self):
        read = self.ceiling("read/bytes:%d/" % 2 ** 28, "best")
        ten = self.values(row="10m-bytes", level="best")
        whole, part = self.values(row="1m", level="best"), self.values(row="filtered", level="best")
        if ten and read:
            yield ("10,000,000 rows are scanned at **%.0f %%** of the bandwidth that plain reading reaches (asked: 80 %%)."
                   % (100 * max(ten) / read))
        if whole and part:
            yield "With 99.9 %% filtered out a search takes **%.2f** times as long as without (asked: 1.2)." % (
                min(part) / min(whole))

    def ceiling(self, prefix, level):
        return max((line["value"] for line in self.lines
                    if line.get("kernel", "").startswith(prefix) and line["level"] == level), default=None)

    def roofline(self):
        out = ["| kernel | best level | of the ceiling | `avx2` | of the ceiling |", "|---|---|---|---|---|"]
        names = dict.fromkeys(line["kernel"] for line in self.lines if "kernel" in line)
        for name in names:
            if name.startswith(("peak", "read")):
                continue
            cells, unit = [], ""
            for level in ("best", "avx2"):
                values = self.values(kernel=name, level=level)
                kind = next(line["kind"] for line in self.lines if line.get("kernel") == name)
                unit = "GB/s" if kind == "bytes" else "G operations/s"
                if kind == "bytes":
                    top = self.ceiling("read/" + name.split("/")[1] + "/", level)
                else:
                    peak = "int8" if name.startswith("match") else "bfloat16" if name.startswith("rounded") else "float"
                    top = self.ceiling("peak_" + peak, level)
                    if top is None and peak == "bfloat16":  # a level without it rounds nothing
                        top = self.ceiling("peak_float", level)
                cells.append(figure(max(values)) if values else "–")
                cells.append("%.0f %%" % (100 * max(values) / top) if values and top else "–")
            out.append("| `%s`, %s | %s |" % (name, unit, " | ".join(cells)))
        tops = ", ".join("%s %s" % (name, figure(self.ceiling(prefix, "best"))) for name, prefix in (
            ("reading 512 KB", "read/bytes:%d/" % 2 ** 19), ("reading 256 MB", "read/bytes:%d/" % 2 ** 28),
            ("`float`", "peak_float"), ("bfloat16", "peak_bfloat16"), ("int8", "peak_int8")))
        return ["Ceilings at the best level, GB/s and G operations/s: %s." % tops, ""] + out

    def growth(self):
        out = []
        for what, x_label, y_label, unit in GROWTH:
            series = {}
            for line in self.lines:
                if line.get("growth") == what:
                    best = series.setdefault(line["level"], {})
                    pick = max if what == "threads" else min
                    best[line["at"]] = pick(best.get(line["at"], line["value"]), line["value"])
            if not series:
                continue
            file = PAGE.with_name("performance-%s.svg" % what)
            lines = {name: sorted(best.items()) for name, best in series.items()}
            file.write_text(chart(y_label, x_label, unit, lines))
            out += ["![%s by %s](%s)" % (y_label, x_label, file.name), "",
                    "| %s | %s |" % (x_label, " | ".join(short(at) for at in sorted(series["best"]))),
                    "|---|%s" % ("---|" * len(series["best"]))]
            for name in sorted(series, reverse=True):
                out.append("| %s, %s | %s |" % ("`avx2`" if name == "avx2" else "best level", unit, " | ".join(
                    figure(series[name].get(at)) for at in sorted(series["best"]))))
            out.append("")
        return out

    def peers(self):
        out = ["| peer | us | recall |", "|---|---|---|"]
        for name in dict.fromkeys(line["peer"] for line in self.lines if "peer" in line):
            recall = next((line.get("recall") for line in self.lines if line.get("peer") == name), None)
            out.append("| %s | %s | %s |" % (name, figure(min(self.values(peer=name))),
                                             "" if recall is None else recall))
        return out

    def instructions(self):
        out = ["| request | instructions |", "|---|---|"]
        for name in dict.fromkeys(line["instructions"] for line in self.lines if "instructions" in line):
            out.append("| %s | %s |" % (name, figure(self.values(instructions=name)[-1])))
        return out

    def write(self):
        machines = sorted({line["machine"] for line in self.lines})
        dates = sorted({line["date"] for line in self.lines})
        introduction = """\
# Performance of serving

Written by `benchmarks/performance.py build/release/bin`; [performance.jsonl](performance.jsonl) has every reading and its
command. Measured on %s, %s; one thread where no other number is named, width 64,
peers in the same minutes. Each figure is the best of its readings: the machine is shared, and what others do makes a
reading longer. Bold is what holds what was asked. [Serving](serving.md) says what the figures mean.
""" % (", ".join(machines), " to ".join(sorted({dates[0], dates[-1]})))
        counting = """
By callgrind at the level `avx2`, a warm user: no noise, so a change can be seen that times hide. Slides of the window and
the first encode of a hundred requests are in it.
"""
        text = [introduction, *self.rows(), "", *self.ratios(), "", "## How times grow", "", *self.growth(),
                "## Kernels beside what one core can do", "", *self.roofline(), "", "## Peers", "", *self.peers(), "",
                "## Instructions of a request", counting, *self.instructions(), ""]
        PAGE.write_text("\n".join(text))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", nargs="?", default="build/release/bin")
    parser.add_argument("--only", help="rows, kernels, growth, peers, text-peer, instructions; separated by commas")
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--list", action="store_true", help="name the rows and stop")
    parser.add_argument("--page", action="store_true", help="write the page alone")
    options = parser.parse_args()
    names = [row.name for row in ROWS] + ["kernels", "growth", "peers", "text-peer", "instructions"]
    if options.list:
        return print("\n".join(names))
    wanted = options.only.split(",") if options.only else names
    unknown = [name for name in wanted if name not in names]
    if unknown:
        parser.error("unknown: %s" % ", ".join(unknown))
    if not options.page:
        campaign = Campaign(options.folder)
        together = {}
        for row in ROWS:
            if row.name in wanted:
                together.setdefault((row.program, row.filter), []).append(row)
        steps = [lambda rows=rows, level=level: campaign.measure_rows(rows, level) for rows in together.values()
                 for level in campaign.levels]
        if "kernels" in wanted:
            steps += [lambda level=level: campaign.measure_kernels(level) for level in campaign.levels]
        if "growth" in wanted:
            steps += [lambda level=level: campaign.measure_growth(level) for level in campaign.levels]
        if "peers" in wanted:
            steps.append(campaign.measure_peers)
        if "text-peer" in wanted:
            steps.append(campaign.measure_text_peer)
        for step in steps * options.rounds + ([campaign.count_instructions] if "instructions" in wanted else []):
            try:
                step()
            except (RuntimeError, FileNotFoundError, json.JSONDecodeError) as error:
                print("left out: %s" % error, file=sys.stderr)
    Page([json.loads(line) for line in open(LINES)]).write()


main()
