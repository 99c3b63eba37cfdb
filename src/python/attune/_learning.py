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

from attune._library import Error, Progress, handed_over, library
from attune._values import as_json, id_text, milliseconds, missing, numpy, path, text

# A file (CSV, TSV, ...; plain, .gz or .xz), or columns by name: a pandas or polars frame, or a mapping.
Interactions = Union[str, "os.PathLike[str]", Mapping[str, Sequence[Any]], Any]
_GIVE_UP = -1  # what a callback answers then
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

    `interactions` has the columns user and item, and optionally timestamp, rating, value, event and event_id. Integer
    ids of a frame stay integers. `config` overrides options of training ({"epochs": 5}). `progress` is called after
    every epoch, in another thread; False stops, and the best epoch so far is the result. An exception in it and Ctrl-C,
    once the epoch is over, end the training, and nothing is written. `options` are split, min_rating, k_core, columns,
    separator, encoding, skip_bad_lines, user_ids and item_ids, as in attune.h. All cores work unless `threads` says
    otherwise."""
    if config is not None:
        options["config"] = dict(config)
    raised: list[BaseException] = []
    stopped = threading.Event()

    def after_epoch(epoch: bytes, _context: Any) -> int:
        try:
            if stopped.is_set():
                return _GIVE_UP
            return int(progress is not None and progress(json.loads(epoch)) is False)
        except BaseException as error:  # raised again outside of the library
            raised.append(error)
            return _GIVE_UP

    # In a thread of its own, so that this one can be interrupted: a signal in a callback would be lost.
    with _file_of(interactions) as (file, found), ThreadPoolExecutor(1) as pool:
        training = pool.submit(handed_over, library.attune_train, path(file), text(preset), path(output),
                               _json({**found, **options}, threads), Progress(after_epoch), None)
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
    """Measures a model directory on the test part of interactions, as it was measured when it was trained; returns
    metrics and their intervals. `options` are split, min_rating, k_core, cutoffs, exclude_seen, bootstrap, columns,
    separator, encoding, skip_bad_lines and user_ids, as in attune.h."""
    with _file_of(interactions) as (file, found):
        found.pop("item_ids", None)  # the model's
        report = handed_over(library.attune_evaluate, path(model), path(file), _json({**found, **options}, threads))
    result: dict[str, Any] = json.loads(report)
    return result


def _json(options: Mapping[str, Any], threads: Optional[int]) -> bytes:
    return as_json({"threads": os.cpu_count() or 1 if threads is None else threads, **options})


@contextmanager
def _file_of(interactions: Interactions) -> Iterator[tuple[Any, dict[str, Any]]]:
    """The file itself, or one with the columns of a frame and the options that it is to be read with."""
    if isinstance(interactions, (str, os.PathLike)):
        yield interactions, {}
        return
    options = {"separator": ","}
    names = [name for name in _COLUMNS if name in getattr(interactions, "columns", interactions)]
    columns = {name: list(interactions[name]) for name in names}
    for name in ("user", "item"):
        if name not in columns:
            raise ValueError(f"interactions: expected the columns user and item, found {', '.join(names) or 'neither'}")
        options[name + "_ids"] = "string" if any(isinstance(id, str) for id in columns[name]) else "int64"
        columns[name] = [_id_of_row(name, row, id) for row, id in enumerate(columns[name])]
    if "timestamp" in columns:
        columns = _with_milliseconds(columns)
    if len({len(column) for column in columns.values()}) > 1:
        raise ValueError("interactions: expected columns of one length, found " +
                         ", ".join(f"{name}: {len(column)}" for name, column in columns.items()))
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "interactions.csv"
        with open(file, "w", encoding="utf-8", errors="surrogateescape", newline="") as out:
            writer = csv.writer(out)
            writer.writerow(columns)
            writer.writerows(["" if missing(value) else value for value in row] for row in zip(*columns.values()))
        try:
            yield file, options
        except Error as error:  # the file is none of the caller's
            raise Error(error.code, str(error).replace(str(file), "interactions")) from None


def _id_of_row(column: str, row: int, id: Any) -> str:
    try:
        return id_text(id)
    except TypeError as error:
        raise TypeError(f"interactions: {column}, row {row}: {error}") from None


def _with_milliseconds(columns: dict[str, list[Any]]) -> dict[str, list[Any]]:
    """Datetimes become milliseconds, and whole floats integers; of other numbers the reader finds out the unit."""
    times = columns["timestamp"]
    of_time = (datetime,) if numpy is None else (datetime, numpy.datetime64)
    if not any(isinstance(time, of_time) for time in times):
        whole = [int(time) if isinstance(time, float) and time.is_integer() else time for time in times]
        return {**columns, "timestamp": whole}
    known = [None if missing(time) else milliseconds(time) for time in times]
    return {"timestamp_ms" if name == "timestamp" else name: known if name == "timestamp" else column
            for name, column in columns.items()}
