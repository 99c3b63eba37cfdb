# SPDX-License-Identifier: Apache-2.0
"""Training and measuring, from files or from frames."""

from __future__ import annotations

import csv
import json
import os
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, Callable, Optional, Union

from attune._library import Progress, handed_over, library
from attune._values import id_text, milliseconds, numpy, text

# A file (CSV, TSV, ...; plain, .gz or .xz), or columns by name: a pandas or polars frame, or a mapping.
Interactions = Union[str, "os.PathLike[str]", Mapping[str, Sequence[Any]], Any]
_COLUMNS = ("user", "item", "timestamp", "rating", "value", "event", "event_id")


def train(
    interactions: Interactions,
    output: Union[str, os.PathLike[str]],
    *,
    preset: str = "default",
    config: Optional[Mapping[str, Any]] = None,
    threads: Optional[int] = None,
    progress: Optional[Callable[[dict[str, Any]], Optional[bool]]] = None,
    **options: Any,
) -> dict[str, Any]:
    """Trains a model and writes it to the directory `output`; returns a report with the metrics of the test part.

    `interactions` has the columns user and item, and optionally timestamp, rating, value, event and event_id. Integer ids of
    a frame stay integers. `config` overrides options of training ({"epochs": 5}). `progress` is called after every epoch, in
    another thread; False stops, and the best epoch so far is the result. Ctrl-C stops as well. `options` are split, min_rating, k_core, columns, separator,
    skip_bad_lines, user_ids and item_ids, as in attune.h. All cores work unless `threads` says otherwise."""
    if config is not None:
        options["config"] = dict(config)
    raised: list[BaseException] = []
    stopped = threading.Event()

    def after_epoch(epoch: bytes, _context: Any) -> int:
        try:
            return int(stopped.is_set() or (progress is not None and progress(json.loads(epoch)) is False))
        except BaseException as error:  # raised again outside of the library
            raised.append(error)
            return 1

    # In a thread of its own, so that this one can be interrupted: a signal in a callback would be lost.
    with _file_of(interactions, options) as file, ThreadPoolExecutor(1) as pool:
        training = pool.submit(handed_over, library.attune_train, text(file), text(preset), text(os.fspath(output)),
                               _json(options, threads), Progress(after_epoch), None)
        try:
            report = training.result()
        finally:
            stopped.set()
            if raised:
                raise raised[0]
    result: dict[str, Any] = json.loads(report)
    return result


def evaluate(
    model: Union[str, os.PathLike[str]],
    interactions: Interactions,
    *,
    threads: Optional[int] = None,
    **options: Any,
) -> dict[str, Any]:
    """Measures a model directory on the test part of interactions, as it was measured when it was trained; returns metrics
    and their intervals. `options` are split, min_rating, k_core, cutoffs, exclude_seen, bootstrap, columns, separator and
    skip_bad_lines, as in attune.h."""
    with _file_of(interactions, options) as file:
        options.pop("item_ids", None)  # the model's
        report = handed_over(library.attune_evaluate, text(os.fspath(model)), text(file), _json(options, threads))
    result: dict[str, Any] = json.loads(report)
    return result


def _json(options: Mapping[str, Any], threads: Optional[int]) -> bytes:
    return json.dumps({"threads": threads or os.cpu_count() or 1, **options}).encode()


@contextmanager
def _file_of(interactions: Interactions, options: dict[str, Any]) -> Iterator[str]:
    """The file itself, or one with the columns of a frame; says in the options what kinds of ids it has."""
    if isinstance(interactions, (str, os.PathLike)):
        yield os.fspath(interactions)
        return
    names = [name for name in _COLUMNS if name in getattr(interactions, "columns", interactions)]
    columns = {name: list(interactions[name]) for name in names}
    for name in ("user", "item"):
        if name not in columns:
            raise ValueError(f"interactions: expected the columns user and item, found {', '.join(names) or 'neither'}")
        options.setdefault(name + "_ids", "string" if any(isinstance(id, str) for id in columns[name]) else "int64")
        columns[name] = [id_text(id) for id in columns[name]]
    if "timestamp" in columns:
        columns = _with_milliseconds(columns)
    if len({len(column) for column in columns.values()}) > 1:
        raise ValueError("interactions: expected columns of one length, found " +
                         ", ".join(f"{name}: {len(column)}" for name, column in columns.items()))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "interactions.csv"
        with open(file, "w", encoding="utf-8", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(columns)
            writer.writerows(zip(*columns.values()))
        options.setdefault("separator", ",")
        yield str(file)


def _with_milliseconds(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Datetimes become milliseconds, and whole floats integers; of other numbers the reader finds out the unit."""
    times = columns["timestamp"]
    of_time = (datetime,) if numpy is None else (datetime, numpy.datetime64)
    if not any(isinstance(time, of_time) for time in times):
        whole = [int(time) if isinstance(time, float) and time.is_integer() else time for time in times]
        return {**columns, "timestamp": whole}
    known = [milliseconds(time) for time in times]
    return {"timestamp_ms" if name == "timestamp" else name: known if name == "timestamp" else column
            for name, column in columns.items()}
