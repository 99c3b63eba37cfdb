# SPDX-License-Identifier: Apache-2.0
"""The recommender: answers in microseconds, in this process."""

from __future__ import annotations

import ctypes
import json
import os
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from ctypes import byref, c_char_p, c_float, c_int32, c_int64, c_void_p
from dataclasses import dataclass
from types import TracebackType
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from attune._library import OUTCOMES, Error, Events, OpenOptions, RawAnswer, Request, handed_over, library
from attune._values import (
    Id, Time, as_json, from_bytes, id_array, id_bytes, milliseconds, numbers, optional_array, path, size, text)

if TYPE_CHECKING:
    from attune._values import Numbers

_FIRST_CAPACITY = 1000  # of an answer whose size nobody knows yet
_BYTES_OF_AN_ID = 24
_FILTERS = 100  # compiled ones that are kept


@dataclass(frozen=True, eq=False)
class Answer:
    """Items, best first. `source` says who answers; seen, filtered and unavailable why there are fewer than k."""

    items: list[Id]
    scores: Numbers
    probabilities: Numbers  # that the user's next event is on the item; NaN where the model does not say
    source: str
    score_kind: str
    model_version: str
    generation: int
    seen: int
    filtered: int
    unavailable: int

    def __len__(self) -> int:
        return len(self.items)

    def __iter__(self) -> Iterator[tuple[Id, float]]:
        return iter([(item, float(score)) for item, score in zip(self.items, self.scores)])


class _Filter:
    """A compiled filter. Whoever asks with it holds it."""

    def __init__(self, handle: _Handle, filter: str) -> None:
        self._as_parameter_ = c_void_p()
        library.attune_compile(handle, text(filter), byref(self._as_parameter_))

    def __del__(self) -> None:
        library.attune_free_policy(self)


class _Handle:
    """Owns a recommender. A call that runs is in a `with` statement, and the last to leave after close() frees it."""

    def __init__(self, model: bytes, options: OpenOptions) -> None:
        self._as_parameter_ = c_void_p()
        self._filters: OrderedDict[str, _Filter] = OrderedDict()
        self._lock = threading.Lock()
        self._running = 0
        self._open = False
        library.attune_open(model, byref(options), byref(self._as_parameter_))
        self._open = True

    def __enter__(self) -> _Handle:
        with self._lock:
            if not self._open:
                raise ValueError("this recommender is closed")
            self._running += 1
        return self

    def __exit__(self, *_raised: Any) -> None:
        with self._lock:
            self._running -= 1
            last = not self._open and self._running == 0
        if last:
            self._free()

    def close(self) -> None:
        with self._lock:
            last = self._open and self._running == 0
            self._open = False
        if last:
            self._free()

    def filter(self, filter: str) -> _Filter:
        """Compiles what it does not know, while others go on."""
        with self._lock:
            if known := self._filters.get(filter):
                self._filters.move_to_end(filter)
                return known
        compiled = _Filter(self, filter)
        with self._lock:
            self._filters[filter] = compiled
            while len(self._filters) > _FILTERS:
                self._filters.popitem(last=False)
        return compiled

    def _free(self) -> None:
        self._filters.clear()
        library.attune_close(self)

    def __del__(self) -> None:
        self.close()


class Recommender:
    """Made by Recommender.open(). Close it, or use it in a `with` statement."""

    def __init__(self, handle: _Handle) -> None:
        self._handle = handle
        self._integers: bool = self.info()["item_ids"] == "int64"
        self._capacity = _FIRST_CAPACITY

    @classmethod
    def open(
        cls,
        model: Union[str, os.PathLike[str]],
        *,
        event_store: Union[str, os.PathLike[str], None] = None,
        item_fields: Optional[Mapping[str, str]] = None,
        event_kinds: Optional[Mapping[str, float]] = None,
        max_items: int = 0,
        cache_budget_bytes: int = 0,
        history_budget_bytes: int = 0,
        history_ttl: int = 0,
        in_memory: bool = False,
    ) -> Recommender:
        """Opens a model directory. `event_store` is a file that keeps what is observed; `item_fields` says what filters
        may ask for ({"genre": "category", "price": "number"}), `event_kinds` what kinds of events weigh; the rest is as
        in attune.h, with 0 for the default."""
        options = OpenOptions(
            event_store=None if event_store is None else path(event_store),
            item_fields=None if item_fields is None else as_json(dict(item_fields)),
            event_kinds=None if event_kinds is None else as_json(dict(event_kinds)),
            max_items=size(max_items, "max_items"),
            cache_budget_bytes=size(cache_budget_bytes, "cache_budget_bytes"),
            history_budget_bytes=size(history_budget_bytes, "history_budget_bytes"),
            history_ttl=size(history_ttl, "history_ttl"),
            in_memory=in_memory,
        )
        return cls(_Handle(path(model), options))

    def close(self) -> None:
        """Nothing can be asked any more; calls that run in other threads end first. Twice is fine."""
        self._handle.close()

    def __enter__(self) -> Recommender:
        return self

    def __exit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        self.close()

    def recommend(
        self,
        user: Id,
        k: int = 10,
        *,
        now: Optional[Time] = None,
        keep_seen: bool = False,
        filter: Optional[str] = None,
        allow: Optional[Iterable[Id]] = None,
        deny: Iterable[Id] = (),
        diversity: float = 0.0,
    ) -> Answer:
        """The k best items for a user, known or not. `filter` is an expression over item fields, compiled at its first
        use; the last hundred are kept."""
        with self._handle as handle:
            request = _request(handle, k, now, keep_seen, filter, allow, deny, diversity)
            request.user = id_bytes(user)
            return self._ask(k, lambda answer: library.attune_recommend(handle, byref(request), answer))

    def recommend_history(
        self,
        items: Iterable[Id],
        k: int = 10,
        *,
        times: Optional[Sequence[Time]] = None,
        now: Optional[Time] = None,
        keep_seen: bool = False,
        filter: Optional[str] = None,
        allow: Optional[Iterable[Id]] = None,
        deny: Iterable[Id] = (),
        diversity: float = 0.0,
    ) -> Answer:
        """The same for a bare history, oldest first; nothing is stored."""
        history = id_array(items)
        clock = _times(times, len(history))
        with self._handle as handle:
            request = _request(handle, k, now, keep_seen, filter, allow, deny, diversity)
            return self._ask(
                k,
                lambda answer: library.attune_recommend_history(
                    handle, history, len(history), clock, byref(request), answer),
            )

    def similar(
        self,
        item: Id,
        k: int = 10,
        *,
        now: Optional[Time] = None,
        filter: Optional[str] = None,
        allow: Optional[Iterable[Id]] = None,
        deny: Iterable[Id] = (),
    ) -> Answer:
        """The items that are most like one, by the model's vectors."""
        name = id_bytes(item)
        with self._handle as handle:
            request = _request(handle, k, now, False, filter, allow, deny, 0.0)
            return self._ask(k, lambda answer: library.attune_similar_items(handle, name, byref(request), answer))

    def score(self, user: Id, items: Iterable[Id], *, now: Optional[Time] = None) -> Numbers:
        """The score of each item for a user; NaN for what cannot be scored."""
        candidates = id_array(items)
        count = len(candidates)
        scores = (c_float * count)()
        with self._handle as handle:
            library.attune_score(handle, id_bytes(user), candidates, count, milliseconds(now), scores)
        return numbers(scores, count)

    def observe(
        self,
        user: Id,
        item: Id,
        timestamp: Optional[Time] = None,
        *,
        kind: str = "",
        value: float = 1.0,
        event_id: Optional[str] = None,
        durable: bool = False,
    ) -> str:
        """Records an event: "recorded", "duplicate" (its event_id is known) or "rejected"."""
        return self.observe_many([user], [item], [timestamp], kinds=[kind], values=[value], event_ids=[event_id],
                                 durable=durable)[0]

    def observe_many(
        self,
        users: Iterable[Id],
        items: Iterable[Id],
        timestamps: Optional[Sequence[Optional[Time]]] = None,
        *,
        kinds: Optional[Sequence[Optional[str]]] = None,
        values: Optional[Sequence[float]] = None,
        event_ids: Optional[Sequence[Optional[str]]] = None,
        durable: bool = False,
    ) -> list[str]:
        """Columns of events. With `durable`, it returns once the event store has all of them on the disk."""
        who, what = id_array(users), id_array(items)
        count = len(who)
        if len(what) != count:
            raise ValueError(f"items: expected one for each of {count} users, found {len(what)}")
        outcomes = (c_int32 * count)()
        events = Events(
            count=count,
            users=who,
            items=what,
            timestamps=_times(timestamps, count),
            kinds=_optional_texts(kinds, count, "kinds"),
            values=optional_array(c_float, values, count, "values"),
            event_ids=_optional_texts(event_ids, count, "event_ids"),
            durable=durable,
        )
        with self._handle as handle:
            library.attune_observe(handle, byref(events), outcomes)
        return [OUTCOMES[outcome] for outcome in outcomes]

    def forget_user(self, user: Id) -> None:
        """Forgets a user: here, in the event store and in the model directory."""
        with self._handle as handle:
            library.attune_forget_user(handle, id_bytes(user))

    def export_user(self, user: Id) -> list[dict[str, Any]]:
        """All events of a user, oldest first."""
        with self._handle as handle:
            lines = handed_over(library.attune_export_user, handle, id_bytes(user))
        return [json.loads(line) for line in lines.split("\n") if line]

    def upsert_item(
        self,
        item: Id,
        fields: Optional[Mapping[str, Union[str, float]]] = None,
        **bounds: Optional[Time],
    ) -> None:
        """What an item has: names ("Drama|War") or a number per field. `available_from` and `available_until` are its
        times; None takes a bound away. What is not named stays as it was."""
        unknown = bounds.keys() - {"available_from", "available_until"}
        if unknown:
            raise TypeError(f"upsert_item: unexpected argument {min(unknown)}")
        described: dict[str, Any] = {"fields": dict(fields or {})}
        for name, bound in bounds.items():
            described[name] = None if bound is None else milliseconds(bound)
        with self._handle as handle:
            library.attune_upsert_item(handle, id_bytes(item), as_json(described))

    def remove_item(self, item: Id) -> None:
        """In no answer until it is upserted."""
        with self._handle as handle:
            library.attune_remove_item(handle, id_bytes(item))

    def reload(self, model: Union[str, os.PathLike[str]]) -> None:
        """Swaps the model while requests run. Where that fails, the old one goes on."""
        with self._handle as handle:
            library.attune_reload(handle, path(model))

    def info(self) -> dict[str, Any]:
        """Model version, number of items and users, memory, damage and more."""
        with self._handle as handle:
            info: dict[str, Any] = json.loads(handed_over(library.attune_info, handle))
        return info

    def metrics(self) -> str:
        """Counters and latencies, in the text format of Prometheus."""
        with self._handle as handle:
            return handed_over(library.attune_metrics, handle)

    def _ask(self, k: int, call: Callable[[Any], None]) -> Answer:
        capacity = min(k, self._capacity)
        text_capacity = (capacity + 1) * _BYTES_OF_AN_ID
        while True:
            items, buffer = (c_char_p * capacity)(), ctypes.create_string_buffer(text_capacity)
            scores, probabilities = (c_float * capacity)(), (c_float * capacity)()
            raw = RawAnswer(capacity=capacity, items=items, scores=scores, probabilities=probabilities,
                            text=ctypes.addressof(buffer), text_capacity=text_capacity)
            try:
                call(byref(raw))
                break
            except Error as error:
                if error.code != "buffer_too_small":
                    raise
                # Another thread may change what is answered, so that this may happen again.
                capacity, text_capacity = max(capacity, raw.count), max(text_capacity, raw.text_size)
                self._capacity = max(self._capacity, capacity)
        names = items[: raw.count]
        return Answer(
            items=[int(name) for name in names] if self._integers else [from_bytes(name) for name in names],
            scores=numbers(scores, raw.count),
            probabilities=numbers(probabilities, raw.count),
            source=raw.source.decode(),
            score_kind=raw.score_kind.decode(),
            model_version=raw.model_version.decode(),
            generation=raw.generation,
            seen=raw.seen,
            filtered=raw.filtered,
            unavailable=raw.unavailable,
        )


def _request(
    handle: _Handle,
    k: int,
    now: Optional[Time],
    keep_seen: bool,
    filter: Optional[str],
    allow: Optional[Iterable[Id]],
    deny: Iterable[Id],
    diversity: float,
) -> Request:
    request = Request(k=size(k, "k", least=1), now=milliseconds(now), keep_seen=keep_seen, diversity=diversity)
    if filter is not None:
        request.filter = handle.filter(filter)
        request.policy = request.filter._as_parameter_
    if allow is not None:
        allowed = id_array(allow)
        # An empty list allows nothing, which is said by a pointer that is not NULL.
        request.allow = allowed if len(allowed) else (c_char_p * 1)()
        request.num_allow = len(allowed)
    denied = id_array(deny)
    request.deny, request.num_deny = denied, len(denied)
    return request


def _times(times: Optional[Sequence[Optional[Time]]], count: int) -> Any:
    known = None if times is None else [milliseconds(time) for time in times]
    return optional_array(c_int64, known, count, "times")


def _optional_texts(values: Optional[Sequence[Optional[str]]], count: int, name: str) -> Any:
    known = None if values is None else [None if value is None else text(value) for value in values]
    return optional_array(c_char_p, known, count, name)
