# SPDX-License-Identifier: Apache-2.0
"""Python's values as the C interface takes them, and back."""

from __future__ import annotations

import ctypes
import json
import operator
import os
import sys
from collections.abc import Iterable, Sequence
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Optional, Union

from attune._library import NO_TIME

try:
    import numpy
except ImportError:
    numpy = None  # type: ignore[assignment]

if TYPE_CHECKING:
    Numbers = Union["numpy.ndarray[Any, Any]", list[float]]
Id = Union[str, int]
Time = Union[int, datetime]
_BYTES = "surrogateescape"  # ids need not be UTF-8


def id_text(value: Any) -> str:
    """An id as text: itself, or the digits of an integer, NumPy's too."""
    if isinstance(value, str):
        return value
    try:
        return str(operator.index(value))
    except TypeError:
        raise TypeError(f"expected an id, text or an integer, found {value!r}") from None


def text(value: str) -> bytes:
    if "\0" in value:
        raise ValueError("expected a text without NUL")
    return value.encode("utf-8", _BYTES)


def from_bytes(value: bytes) -> str:
    return value.decode("utf-8", _BYTES)


def path(value: Union[str, os.PathLike[str]]) -> bytes:
    encoded = os.fsencode(value)
    if b"\0" in encoded:
        raise ValueError("expected a path without NUL")
    return encoded


def as_json(value: Any) -> bytes:
    """JSON in which NumPy's numbers are numbers."""

    def number(other: Any) -> Union[int, float]:
        try:
            return operator.index(other)
        except TypeError:
            return float(other)

    return json.dumps(value, default=number).encode()


def id_bytes(value: Any) -> bytes:
    return text(id_text(value))


def id_array(values: Iterable[Any]) -> Any:
    if isinstance(values, (str, bytes)):
        raise TypeError(f"expected a list of ids, found {values!r}")
    encoded = [id_bytes(value) for value in values]
    return (ctypes.c_char_p * len(encoded))(*encoded)


def optional_array(kind: Any, values: Optional[Sequence[Any]], count: int, name: str) -> Any:
    """A column of `count` values; NULL for None."""
    if values is None:
        return None
    if len(values) != count:
        raise ValueError(f"{name}: expected one for each of {count}, found {len(values)}")
    return (kind * count)(*values)


def missing(value: Any) -> bool:
    """None, NaN, and the NaT and NA of NumPy and pandas, which equal nothing."""
    try:
        return value is None or bool(value != value)
    except TypeError:  # pandas.NA has no truth value
        return True


def milliseconds(value: Any) -> int:
    if missing(value):
        return NO_TIME
    if isinstance(value, datetime):
        known = value if value.tzinfo is not None else value.replace(tzinfo=timezone.utc)
        return round(known.timestamp() * 1000)
    if numpy is not None and isinstance(value, numpy.datetime64):
        return int(value.astype("datetime64[ms]").astype("int64"))
    return within(value, NO_TIME, -NO_TIME - 1, "time")


def within(value: Any, least: int, most: int, name: str) -> int:
    """An integer that ctypes would not wrap."""
    number = operator.index(value)
    if not least <= number <= most:
        raise ValueError(f"{name}: expected {least} to {most}, found {number}")
    return number


def size(value: Any, name: str, least: int = 0) -> int:
    return within(value, least, sys.maxsize, name)


def numbers(values: Any, count: int) -> Numbers:
    """The first `count` floats of a ctypes array, without a copy where NumPy is there."""
    if numpy is None:
        return list(values[:count])
    return numpy.frombuffer(values, dtype=numpy.float32, count=count) if count else numpy.empty(0, numpy.float32)
