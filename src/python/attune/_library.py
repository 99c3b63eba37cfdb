# SPDX-License-Identifier: Apache-2.0
"""libattune_c as ctypes sees it: what attune.h declares, name for name."""

from __future__ import annotations

import ctypes
import os
import sys
from ctypes import POINTER, c_char_p, c_double, c_float, c_int32, c_int64, c_size_t, c_uint32, c_uint64, c_void_p
from pathlib import Path
from typing import Any

ABI_VERSION = 1
NO_TIME = -(2**63)
OUTCOMES = ("recorded", "duplicate", "rejected")

Texts = POINTER(c_char_p)
Progress = ctypes.CFUNCTYPE(ctypes.c_int, c_char_p, c_void_p)


class Error(Exception):
    """What attune refuses. `code` is the name of the status: "invalid_data", "io_error", ..."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Struct(ctypes.Structure):
    """A struct of attune.h, with its size filled in."""

    def __init__(self, **fields: Any) -> None:
        super().__init__(struct_size=ctypes.sizeof(self), **fields)


class OpenOptions(Struct):
    _fields_ = [
        ("struct_size", c_size_t),
        ("event_store", c_char_p),
        ("item_fields", c_char_p),
        ("event_kinds", c_char_p),
        ("max_items", c_size_t),
        ("cache_budget_bytes", c_size_t),
        ("history_budget_bytes", c_size_t),
        ("history_ttl", c_int64),
        ("in_memory", c_int64),
    ]


class Events(Struct):
    _fields_ = [
        ("struct_size", c_size_t),
        ("count", c_size_t),
        ("users", Texts),
        ("items", Texts),
        ("timestamps", POINTER(c_int64)),
        ("kinds", Texts),
        ("values", POINTER(c_float)),
        ("event_ids", Texts),
        ("durable", c_int64),
    ]


class Request(Struct):
    _fields_ = [
        ("struct_size", c_size_t),
        ("user", c_char_p),
        ("k", c_size_t),
        ("now", c_int64),
        ("keep_seen", c_int64),
        ("policy", c_void_p),
        ("allow", Texts),
        ("num_allow", c_size_t),
        ("deny", Texts),
        ("num_deny", c_size_t),
        ("diversity", c_double),
    ]


class RawAnswer(Struct):
    _fields_ = [
        ("struct_size", c_size_t),
        ("capacity", c_size_t),
        ("items", Texts),
        ("scores", POINTER(c_float)),
        ("probabilities", POINTER(c_float)),
        ("text", c_void_p),
        ("text_capacity", c_size_t),
        ("count", c_size_t),
        ("text_size", c_size_t),
        ("model_version", c_char_p),
        ("source", c_char_p),
        ("score_kind", c_char_p),
        ("generation", c_uint64),
        ("seen", c_size_t),
        ("filtered", c_size_t),
        ("unavailable", c_size_t),
    ]


# Of those that return a status.
_ARGUMENTS: dict[str, list[Any]] = {
    "attune_simd_level": [POINTER(c_char_p)],
    "attune_open": [c_char_p, POINTER(OpenOptions), POINTER(c_void_p)],
    "attune_reload": [c_void_p, c_char_p],
    "attune_observe": [c_void_p, POINTER(Events), POINTER(c_int32)],
    "attune_forget_user": [c_void_p, c_char_p],
    "attune_export_user": [c_void_p, c_char_p, POINTER(c_void_p)],
    "attune_recommend": [c_void_p, POINTER(Request), POINTER(RawAnswer)],
    "attune_recommend_history": [
        c_void_p, Texts, c_size_t, POINTER(c_int64), POINTER(Request), POINTER(RawAnswer)],
    "attune_similar_items": [c_void_p, c_char_p, POINTER(Request), POINTER(RawAnswer)],
    "attune_score": [c_void_p, c_char_p, Texts, c_size_t, c_int64, POINTER(c_float)],
    "attune_upsert_item": [c_void_p, c_char_p, c_char_p],
    "attune_remove_item": [c_void_p, c_char_p],
    "attune_compile": [c_void_p, c_char_p, POINTER(c_void_p)],
    "attune_info": [c_void_p, POINTER(c_void_p)],
    "attune_metrics": [c_void_p, POINTER(c_void_p)],
    "attune_train": [c_char_p, c_char_p, c_char_p, c_char_p, Progress, c_void_p, POINTER(c_void_p)],
    "attune_evaluate": [c_char_p, c_char_p, c_char_p, POINTER(c_void_p)],
}
# (result, arguments) of the others.
_PLAIN: dict[str, tuple[Any, list[Any]]] = {
    "attune_version": (c_char_p, []),
    "attune_abi_version": (c_uint32, []),
    "attune_last_error": (c_char_p, []),
    "attune_status_name": (c_char_p, [ctypes.c_int]),
    "attune_free": (None, [c_void_p]),
    "attune_close": (None, [c_void_p]),
    "attune_free_policy": (None, [c_void_p]),
}


def _name() -> str:
    return {"win32": "attune_c.dll", "darwin": f"libattune_c.{ABI_VERSION}.dylib"}.get(
        sys.platform, f"libattune_c.so.{ABI_VERSION}")


def _file() -> str:
    """ATTUNE_LIBRARY, else the library beside this file, else what the loader finds."""
    if named := os.environ.get("ATTUNE_LIBRARY"):
        return named
    beside = Path(__file__).with_name(_name())
    return str(beside) if beside.exists() else _name()


def _load() -> ctypes.CDLL:
    file = _file()
    try:
        loaded = ctypes.CDLL(file)
        found = loaded.attune_abi_version
    except (OSError, AttributeError) as error:
        raise ImportError(
            f"expected libattune_c by ATTUNE_LIBRARY, as {Path(__file__).with_name(_name())} or on the loader's path, "
            f"tried {file}: {error}"
        ) from error
    found.restype, found.argtypes = _PLAIN["attune_abi_version"]
    if found() != ABI_VERSION:
        raise ImportError(f"{file}: expected version {ABI_VERSION} of the C interface, found {found()}")
    for name, (result, arguments) in _PLAIN.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes = result, arguments
    for name, arguments in _ARGUMENTS.items():
        function = getattr(loaded, name)
        function.restype, function.argtypes, function.errcheck = ctypes.c_int, arguments, _check
    return loaded


def _check(status: int, _function: Any, _arguments: Any) -> None:
    if status != 0:
        # In the thread that made the call, as attune_last_error() wants it.
        raise Error(library.attune_status_name(status).decode(), library.attune_last_error().decode("utf-8", "replace"))


def handed_over(function: Any, *arguments: Any) -> str:
    """What a function gives through its last argument, a char**."""
    text = c_void_p()
    function(*arguments, ctypes.byref(text))
    try:
        return ctypes.string_at(text).decode("utf-8", "surrogateescape")
    finally:
        library.attune_free(text)


library = _load()
