# SPDX-License-Identifier: Apache-2.0
"""The Python package: with NumPy where it is there, without it otherwise."""

import ctypes
import json
import math
import os
import re
import signal
import subprocess
import tempfile
import threading
import unittest
from datetime import datetime, timezone
from pathlib import Path

import attune
import attune._values
from attune._library import OUTCOMES, Events, OpenOptions, RawAnswer, Request

ITEMS, USERS, EVENTS = 40, 60, 24
TINY = {"epochs": 20, "patience": 20, "batch_sequences": 4, "warmup_steps": 10,
        "encoder": {"embedding_dim": 16, "inner_dim": 32, "max_sequence_length": 20}}


def circle(name):
    """Columns of users who all go round the same circle of items, each from a place of his own."""
    columns = {"user": [], "item": [], "timestamp": [], "rating": []}
    for user in range(USERS):
        for event in range(EVENTS):
            columns["user"].append(name(user))
            columns["item"].append(name((user * 7 + event) % ITEMS))
            columns["timestamp"].append(1_700_000_000_000 + event * 100_000 + user * 1000)
            columns["rating"].append(4.5)
    return columns


def documented(heading):
    """The table of docs/c.md under a heading: by key the type and the other cells. Cutoffs are N there."""
    text = Path(__file__).parents[2].joinpath("docs", "c.md").read_text()
    section = re.search(rf"^### {heading}\n(.*?)^##", text, re.MULTILINE | re.DOTALL).group(1)
    rows = [re.split(r" *\| *", line.strip("| ")) for line in section.split("\n") if line.startswith("| `")]
    return {key: cells for names, *cells in rows for key in re.findall("`(.*?)`", names)}


class Frame:
    """What pandas and polars have in common."""

    def __init__(self, columns):
        self.columns = list(columns)
        self._columns = columns

    def __getitem__(self, name):
        return self._columns[name]


class AttuneTest(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls._folder = tempfile.TemporaryDirectory()
        folder = Path(cls._folder.name)
        cls.epochs = []
        cls.file = folder / "events.csv"
        columns = circle(lambda number: f"i{number}")
        rows = zip(*columns.values())
        cls.file.write_text("\n".join([",".join(columns)] + [",".join(map(str, row)) for row in rows]))
        cls.model = folder / "model"
        cls.report = attune.train(cls.file, cls.model, preset="sasrec-small", config=TINY, progress=cls.epochs.append)
        cls.numbered = folder / "numbered"
        attune.train(Frame(circle(lambda number: 100 + number)), cls.numbered, preset="markov")
        cls.elsewhere = folder / "elsewhere"

    @classmethod
    def tearDownClass(cls):
        cls._folder.cleanup()

    def setUp(self):
        self.recommender = attune.Recommender.open(self.model, item_fields={"genre": "category", "price": "number"})
        self.addCleanup(self.recommender.close)

    def refused(self, code, part, call, *arguments, **named):
        with self.assertRaises(attune.Error) as caught:
            call(*arguments, **named)
        self.assertEqual(caught.exception.code, code)
        self.assertIn(part, str(caught.exception))

    def test_training_reports_epochs_and_metrics(self):
        self.assertEqual([epoch["epoch"] for epoch in self.epochs], list(range(1, 21)))
        self.assertEqual(self.report["load"]["interactions"], USERS * EVENTS)
        self.assertGreater(self.report["metrics"]["hr@10"], 0)

    def test_a_model_is_measured_as_it_was_when_it_was_trained(self):
        measured = attune.evaluate(self.model, self.file, bootstrap=10)
        self.assertEqual(measured["metrics"]["ndcg@10"], self.report["metrics"]["ndcg@10"])
        low, high = measured["confidence"]["ndcg@10"]
        self.assertLessEqual(low, high)

    def test_frames_are_measured_like_files(self):
        measured = attune.evaluate(self.model, circle(lambda number: f"i{number}"), bootstrap=0)
        self.assertEqual(measured["metrics"]["ndcg@10"], self.report["metrics"]["ndcg@10"])

    @unittest.skipUnless("ATTUNE_TOOL" in os.environ, "without the tool")
    def test_package_and_tool_measure_each_others_models_alike(self):
        def tool(*arguments):
            command = [os.environ["ATTUNE_TOOL"], *map(str, arguments), "--interactions", str(self.file), "--json"]
            return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)

        asked = {"split": "temporal:0.8", "min_rating": 1, "k_core": 3}
        mine = attune.train(self.file, self.elsewhere, preset="markov", config={"exclude_seen": False}, **asked)
        measured = tool("evaluate", "--model", self.elsewhere)
        self.assertEqual(measured["metrics"]["ndcg@10"], mine["metrics"]["ndcg@10"])
        for name in ("split", "seen", "min_rating", "k_core", "queries"):
            self.assertEqual(measured["protocol"][name], mine["protocol"][name])

        tool("train", "--output", self.elsewhere, "--preset", "markov", "--split", "temporal:0.7", "--seen", "keep",
             "--min-rating", "2", "--k-core", "2", "--basket")
        measured, mine = tool("evaluate", "--model", self.elsewhere), attune.evaluate(self.elsewhere, self.file)
        self.assertEqual(mine["metrics"]["ndcg@10"], measured["metrics"]["ndcg@10"])
        self.assertEqual(mine["confidence"]["ndcg@10"], measured["confidence"]["ndcg@10"])
        for name in ("split", "seen", "min_rating", "k_core", "queries"):
            self.assertEqual(mine["protocol"][name], measured["protocol"][name])

    def test_progress_may_stop_and_may_raise(self):
        seen = []

        def stop(epoch):
            seen.append(epoch)
            return False

        attune.train(self.file, self.elsewhere, preset="sasrec-small", config=TINY, progress=stop)
        self.assertEqual(len(seen), 1)

        def fail(epoch):
            raise KeyError("mine")

        kept = attune.Recommender.open(self.elsewhere).info()["model_version"]
        with self.assertRaises(KeyError):
            attune.train(self.file, self.elsewhere, preset="sasrec-small", config={**TINY, "seed": 7}, progress=fail)
        self.assertEqual(attune.Recommender.open(self.elsewhere).info()["model_version"], kept)

    @unittest.skipUnless(os.name == "posix", "without POSIX signals")
    def test_an_interrupted_training_ends(self):
        seen = []

        def interrupt(epoch):
            if not seen:
                os.kill(os.getpid(), signal.SIGINT)
            seen.append(epoch)

        endless = {**TINY, "epochs": 10**6, "patience": 10**6}
        with self.assertRaises(KeyboardInterrupt):
            attune.train(self.file, self.elsewhere, preset="sasrec-small", config=endless, progress=interrupt)
        self.assertTrue(seen)

    def keys_are_documented(self, heading, *objects):
        """Together they have the keys of the table, with values of its types."""
        known = documented(heading)
        kinds = {"text": str, "integer": int, "number": (int, float), "boolean": bool, "object": dict, "list": list}
        found = {}
        for values in objects:
            for key, value in values.items():
                found[key if key in known else re.sub(r"@\d+$", "@N", key)] = value
        self.assertEqual(set(found), set(known), heading)
        for key, value in found.items():
            named = known[key][0].split(" or ")
            fits = value is None and "null" in named or isinstance(value, kinds[named[0]])
            self.assertTrue(fits and isinstance(value, bool) == (named[0] == "boolean"), f"{heading}: {key}")

    def test_objects_have_the_keys_that_are_documented(self):
        measured = attune.evaluate(self.model, self.file, bootstrap=10)
        self.keys_are_documented("attune_info", self.recommender.info())
        self.keys_are_documented("attune_train", self.report)
        self.keys_are_documented("attune_evaluate", measured)
        self.keys_are_documented("epoch", *self.report["epochs"])
        self.keys_are_documented("epoch", *self.epochs)
        for report in (self.report, measured):
            for part in ("load", "protocol", "metrics"):
                self.keys_are_documented(part, report[part])
        with_interval = {key for key, cells in documented("metrics").items() if cells[1] == "yes"}
        self.assertEqual({re.sub(r"@\d+$", "@N", key) for key in measured["confidence"]}, with_interval)

        file = self.elsewhere.with_name("short.csv")
        file.write_text(self.file.read_text() + "\nshort\ni0,i0,1700000000000,1\ni0,i0,1700000000000,2\n")
        dropped = attune.train(file, self.elsewhere, preset="markov", skip_bad_lines=True)["load"]["dropped"]
        self.assertEqual([list(drop) for drop in dropped], [["reason", "lines", "first_line"], ["reason", "lines"]])

        model, store = self.elsewhere.with_name("kept"), self.elsewhere.with_name("kept.db")
        attune.train(self.file, model, preset="markov")
        try:
            kept = attune.Recommender.open(model, event_store=store)
        except attune.Error as error:
            self.assertEqual(error.code, "unsupported")
            return
        with kept:
            kept.observe("somebody", "i3", 1_700_000_000_000, event_id="e1")
            self.keys_are_documented("attune_export_user", *kept.export_user("somebody"))

    def test_what_cannot_be_trained_is_refused_by_name(self):
        self.refused("io_error", "no such file", attune.train, "no such file", self.elsewhere)
        self.refused("invalid_config", "epoch", attune.train, self.file, self.elsewhere, config={"epoch": 2})
        self.refused("invalid_argument", "options: treads", attune.train, self.file, self.elsewhere, treads=2)
        with self.assertRaisesRegex(ValueError, "expected the columns user and item, found user"):
            attune.train({"user": ["u"]}, self.elsewhere)
        with self.assertRaisesRegex(ValueError, "expected columns of one length"):
            attune.train({"user": ["u"], "item": ["i", "j"]}, self.elsewhere)
        with self.assertRaisesRegex(TypeError, "interactions: item, row 1: expected an id"):
            attune.train({"user": ["u", "v"], "item": ["i", math.nan]}, self.elsewhere)
        with self.assertRaisesRegex(attune.Error, "^interactions:"):
            attune.train({"user": ["u"], "item": ["i"], "timestamp": ["yesterday"]}, self.elsewhere)
        self.refused("invalid_argument", "options: item_ids", attune.evaluate, self.model, self.file, item_ids="int64")
        with self.assertRaisesRegex(ValueError, "path without NUL"):
            attune.Recommender.open(f"{self.model}\0junk")

    def test_missing_values_of_frames_are_no_values(self):
        columns = circle(lambda number: f"i{number}")
        count = len(columns["user"])
        columns["event"] = [math.nan] * count
        columns["event_id"] = [None] * count
        report = attune.train(columns, self.elsewhere, preset="markov", split="leave-one-out")
        self.assertEqual(report["load"]["interactions"], count)
        with attune.Recommender.open(self.elsewhere) as recommender:
            self.assertEqual(recommender.export_user("i7")[0]["event"], "")
        columns["timestamp"] = [None if row == 5 else datetime.fromtimestamp(time / 1000, timezone.utc)
                                for row, time in enumerate(columns["timestamp"])]
        self.refused("invalid_data", "interactions:7: column 'timestamp_ms'", attune.train, columns, self.elsewhere)

    def test_ids_keep_the_bytes_they_had(self):
        file = self.elsewhere.with_name("latin.csv")
        text = self.file.read_text().replace("i4", "caf\u00e9")
        file.write_text(text, encoding="latin-1")
        attune.train(file, self.elsewhere, preset="markov")
        with attune.Recommender.open(self.elsewhere) as recommender:
            (found,) = recommender.recommend_history(["i3"], k=1).items
            self.assertEqual(found.encode("utf-8", "surrogateescape"), b"caf\xe9")
            self.assertEqual(recommender.recommend_history([found], k=1).items, ["i5"])
        attune.train(file, self.elsewhere, preset="markov", encoding="latin-1")
        with attune.Recommender.open(self.elsewhere) as recommender:
            self.assertEqual(recommender.recommend_history(["i3"], k=1).items, ["caf\u00e9"])

    def test_answers_follow_what_is_observed(self):
        self.assertEqual(self.recommender.observe("somebody", "i3"), "recorded")
        self.recommender.observe("somebody", "i4", datetime(2024, 1, 1, tzinfo=timezone.utc))
        answer = self.recommender.recommend("somebody", k=3)
        self.assertEqual(len(answer), 3)
        self.assertEqual(answer.items[0], "i5")
        self.assertEqual((answer.source, answer.seen), ("model", 2))
        self.assertEqual([item for item, _ in answer], answer.items)
        bare = self.recommender.recommend_history(["i3", "i4"], k=3)
        self.assertEqual(list(bare), list(answer))
        scores = self.recommender.score("somebody", ["i5", "unknown"])
        self.assertEqual(scores[0], answer.scores[0])
        self.assertTrue(math.isnan(scores[1]))

    def test_requests_are_obeyed(self):
        ask = self.recommender.recommend_history
        self.assertEqual(len(ask(["i3"], k=5000, keep_seen=True)), ITEMS)
        self.assertNotIn("i4", ask(["i3"], deny=["i4"]).items)
        self.assertEqual(ask(["i3"], allow=["i9"]).items, ["i9"])
        self.assertEqual(ask(["i3"], allow=[]).items, [])
        self.assertEqual(len(self.recommender.similar("i3", 4)), 4)
        with self.assertRaises(ValueError):
            ask(["i3"], k=0)
        with self.assertRaises(ValueError):
            ask(["i3"], times=[1, 2])
        with self.assertRaises(TypeError):
            ask([1.5])
        with self.assertRaises(ValueError):
            ask(["i\0"])
        with self.assertRaises(TypeError):
            ask("i3")
        with self.assertRaises(TypeError):
            ask(["i3"], allow="i9")
        with self.assertRaises(ValueError):
            ask(["i3"], k=2**64 + 1)
        with self.assertRaises(ValueError):
            ask(["i3"], now=2**64)
        with self.assertRaises(ValueError):
            attune.Recommender.open(self.model, max_items=-1)
        self.refused("invalid_argument", "events.durable", self.recommender.observe, "somebody", "i3", durable=True)

    def test_long_ids_get_the_room_they_need(self):
        long = "x" * 500
        self.recommender.observe("somebody", long)
        model = self.elsewhere.with_name("long")
        columns = circle(lambda number: long + str(number))
        attune.train(columns, model, preset="markov")
        with attune.Recommender.open(model) as recommender:
            self.assertEqual(recommender.recommend_history([long + "3"], k=2).items[0], long + "4")

    def test_filters_ask_for_fields_of_items(self):
        self.recommender.upsert_item("i9", {"genre": "Drama|War", "price": 9.5})
        wanted = 'genre = "War" and price < 10'
        self.assertEqual(self.recommender.recommend("nobody", filter=wanted).items, ["i9"])
        self.recommender.remove_item("i9")
        self.assertEqual(self.recommender.recommend("nobody", filter=wanted).items, [])
        self.recommender.upsert_item("i9", available_from=datetime(2020, 1, 1), available_until=None)
        self.assertEqual(self.recommender.recommend("nobody", filter=wanted, now=datetime(2024, 1, 1)).items, ["i9"])
        self.assertEqual(self.recommender.recommend("nobody", filter=wanted, now=datetime(2019, 1, 1)).items, [])
        self.refused("invalid_argument", "colour", self.recommender.recommend, "nobody", filter="colour = 1")

    def test_filters_that_were_not_used_for_long_are_let_go(self):
        self.recommender.upsert_item("i9", {"price": 150.5})
        for price in range(300):
            answer = self.recommender.recommend("nobody", filter=f"price < {price}")
            self.assertEqual(answer.items, ["i9"] if price > 150 else [])
        self.assertLessEqual(len(self.recommender._handle._filters), 100)

    def test_integers_stay_integers(self):
        with attune.Recommender.open(self.numbered) as recommender:
            history = [103]
            if attune._values.numpy is not None:
                history = attune._values.numpy.array(history)
            answer = recommender.recommend_history(history)
            self.assertEqual(answer.items[0], 104)
            self.assertEqual(recommender.observe(500, 103), "recorded")
            self.assertEqual(recommender.recommend(500).items[0], 104)

    def test_numbers_are_arrays_where_numpy_is_there(self):
        answer = self.recommender.recommend("nobody", k=3)
        if attune._values.numpy is None:
            self.assertIsInstance(answer.scores, list)
            self.skipTest("without NumPy: lists alone")
        self.assertNotEqual(answer, self.recommender.recommend("nobody", k=3))
        self.recommender.upsert_item("i9", {"price": attune._values.numpy.float32(3)})
        self.assertEqual(self.recommender.recommend("nobody", filter="price = 3").items, ["i9"])
        self.assertEqual(answer.scores.dtype, "float32")
        self.assertEqual(answer.scores.shape, (3,))

    def test_without_numpy_numbers_are_lists(self):
        numpy, attune._values.numpy = attune._values.numpy, None
        try:
            self.assertIsInstance(self.recommender.recommend("nobody", k=3).scores, list)
        finally:
            attune._values.numpy = numpy

    def test_times_of_frames_may_be_datetimes(self):
        columns = circle(lambda number: f"i{number}")
        columns["timestamp"] = [datetime.fromtimestamp(t / 1000, timezone.utc) for t in columns["timestamp"]]
        measured = attune.evaluate(self.model, columns, bootstrap=0)
        self.assertEqual(measured["load"]["time_unit"], "milliseconds")
        self.assertEqual(measured["metrics"]["ndcg@10"], self.report["metrics"]["ndcg@10"])

    def test_columns_of_events_have_outcomes(self):
        outcomes = self.recommender.observe_many(["a", "a", "b"], ["i1", "i1", ""], event_ids=["e", "e", None])
        self.assertEqual(outcomes, ["recorded", "duplicate", "rejected"])
        with self.assertRaises(ValueError):
            self.recommender.observe_many(["a"], [])

    def test_users_are_exported_and_forgotten(self):
        self.recommender.observe("leaver", "i1", 1_700_000_000_000, kind="purchase", value=2)
        (event,) = self.recommender.export_user("leaver")
        self.assertEqual((event["item"], event["event"]), ("i1", "purchase"))
        self.recommender.forget_user("leaver")
        self.assertEqual(self.recommender.export_user("leaver"), [])

    def test_it_can_be_watched_reloaded_and_closed(self):
        self.recommender.reload(self.model)
        self.assertEqual(self.recommender.info()["generation"], 2)
        self.assertIn("attune_", self.recommender.metrics())
        self.refused("io_error", "no such model", self.recommender.reload, "no such model")
        self.refused("io_error", "no such model", attune.Recommender.open, "no such model")
        self.recommender.close()
        self.recommender.close()
        with self.assertRaises(ValueError):
            self.recommender.recommend("nobody")

    def test_events_survive_in_a_store(self):
        store = self.elsewhere.with_name("events.db")
        try:
            first = attune.Recommender.open(self.model, event_store=store)
        except attune.Error as error:
            self.assertEqual(error.code, "unsupported")
            self.skipTest("built without SQLite")
        first.observe("keeper", "i3", durable=True)
        first.close()
        with attune.Recommender.open(self.model, event_store=store) as second:
            self.assertEqual(second.recommend("keeper").items[0], "i4")
            try:
                second.upsert_item("i3", {"colour": "red"})
            except attune.Error as error:
                kept = error  # whose frames are those of the call
        with attune.Recommender.open(self.model, event_store=store) as third:
            self.assertEqual(third.recommend("keeper").items[0], "i4")
        self.assertIn("colour", str(kept))

    def test_threads_share_a_recommender_that_is_closed_meanwhile(self):
        def work(number, recommender):
            try:
                for round in range(10**6):
                    recommender.observe(f"t{number}", "i3")
                    if len(recommender.recommend(f"t{number}", 5)) != 5:
                        bad.append(number)
                    if round == 0:
                        everybody_was_answered.wait()
            except Exception as error:
                if "closed" not in str(error):
                    bad.append(error)
                    everybody_was_answered.abort()

        bad = []
        everybody_was_answered = threading.Barrier(5)
        threads = [threading.Thread(target=work, args=(n, self.recommender)) for n in range(4)]
        for thread in threads:
            thread.start()
        everybody_was_answered.wait()
        self.recommender.close()
        for thread in threads:
            thread.join()
        self.assertEqual(bad, [])

    @unittest.skipUnless("ATTUNE_CC" in os.environ, "without a compiler of C")
    def test_structs_are_laid_out_as_in_the_header(self):
        structs = {"attune_open_options": OpenOptions, "attune_events": Events, "attune_request": Request,
                   "attune_answer": RawAnswer}
        lines, expected = [], []
        for name, struct in structs.items():
            lines.append(f'printf("%zu\\n", sizeof({name}));')
            expected.append(ctypes.sizeof(struct))
            for field, *_ in struct._fields_:
                member = f"(({name}*)0)->{field}"
                lines.append(f'printf("%zu\\n%zu\\n", offsetof({name}, {field}), sizeof({member}));')
                expected += [getattr(struct, field).offset, getattr(struct, field).size]
        for number, outcome in enumerate(OUTCOMES):
            lines.append(f'printf("%d\\n", ATTUNE_{outcome.upper()});')
            expected.append(number)
        source, program = (self.elsewhere.with_name(name) for name in ("layout.c", "layout"))
        source.write_text("#include <attune/attune.h>\n#include <stdio.h>\nint main(void) {\n" + "\n".join(lines) + "\n}\n")
        subprocess.run([os.environ["ATTUNE_CC"], "-std=c99", "-I", os.environ["ATTUNE_INCLUDE"], source, "-o", program],
                       check=True)
        found = subprocess.run([program], check=True, capture_output=True, text=True).stdout.split()
        self.assertEqual([int(number) for number in found], expected)


if __name__ == "__main__":
    unittest.main()
