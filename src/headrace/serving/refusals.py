"""Requests that are refused because a column has gone, come under another name, or holds something else.

Nothing of them is answered, so they are in no record of answers; and they are how a change on the way to the
model shows first. What is kept is names and kinds, never a value.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

from headrace.checks.spellings import written_as
from headrace.core.ids import new_id
from headrace.core.ports import Clock
from headrace.core.record import Refusal
from headrace.serving.inputs import Values, is_of
from headrace.serving.models import LoadedModel
from headrace.serving.recorder import Recorder
from headrace.store.records import encode_refusal

EVERY_S = 10.0
"""Requests that are refused alike are counted together for so long: a storm of them is a few records."""
_MOST_KINDS = 100
"""Of one sender in one project; what else it sends is counted as one kind, which names no column."""
_MOST_NAMES, _LONGEST = 50, 100
_ROWS = 100


class _Kind(NamedTuple):
    """What is alike in requests that are counted together."""

    project: str
    release_id: str
    principal: str
    missing: tuple[str, ...]
    unknown: tuple[str, ...]
    mistyped: tuple[tuple[str, str], ...]


class _Count:
    """Of one kind: what is not written yet, and when anything was."""

    def __init__(self, at: datetime) -> None:
        self.n = 0
        self.since = self.at = at
        self.written_s: float | None = None


class Refusals:
    """Counts refused requests by what is wrong with their columns, and writes the counts down.

    The first of a kind is written at once. Those of the next ten seconds wait: for :meth:`flush`, which a
    server calls every ten seconds, so that a process that dies loses ten seconds of counts; or for the next
    refusal after them, where nobody calls it. Beyond a hundred kinds of one sender the rest is one kind.

    Example::

        refusals.note("cars", "ann", loaded, {"Mileage": [1.0]})
        refusals.flush()
    """

    def __init__(self, recorder: Recorder, clock: Clock) -> None:
        self._recorder = recorder
        self._clock = clock
        self._lock = threading.Lock()  # requests are noted on the event loop, and flushed from a thread
        self._counts: dict[tuple[str, str], dict[_Kind, _Count]] = {}

    def note(self, project: str, principal: str, loaded: LoadedModel, values: Values) -> None:
        """Count a request, if its columns are not what the model expects. Called on the event loop."""
        missing, unknown, mistyped = unlike(loaded, values)
        if not (missing or unknown or mistyped):
            return
        kind = _Kind(project, loaded.release_id, principal, missing, unknown, mistyped)
        now, now_s = self._clock.now(), self._clock.monotonic_s()
        with self._lock:
            kinds = self._counts.setdefault((project, principal), {})
            self._write_due(kinds, now_s)  # before this one is added: it may be a day later than what waits
            if kind not in kinds and len(kinds) >= _MOST_KINDS:
                kind = _Kind(project, loaded.release_id, principal, (), (), ())
            count = kinds.setdefault(kind, _Count(now))
            if not count.n:
                count.since = now
            count.n, count.at = count.n + 1, now
            if count.written_s is None:
                self._write(kind, count, now_s)

    def flush(self) -> None:
        """Write all that waits. From any thread."""
        with self._lock:
            now_s = self._clock.monotonic_s()
            for sender, kinds in list(self._counts.items()):
                self._write_due(kinds, now_s, least_s=0.0)
                if not kinds:
                    del self._counts[sender]

    def _write_due(self, kinds: dict[_Kind, _Count], now_s: float, *, least_s: float = EVERY_S) -> None:
        """Write what has waited for ``least_s``, and forget what has not come for ten seconds."""
        for kind, count in list(kinds.items()):
            since_s = math.inf if count.written_s is None else now_s - count.written_s
            if count.n and since_s >= least_s:
                self._write(kind, count, now_s)
            elif not count.n and since_s >= EVERY_S:
                del kinds[kind]

    def _write(self, kind: _Kind, count: _Count, now_s: float) -> None:
        refusal = Refusal(
            id=new_id(count.at),
            project=kind.project,
            release_id=kind.release_id,
            principal=kind.principal,
            at=count.at,
            since=count.since,
            n=count.n,
            missing=kind.missing,
            unknown=kind.unknown,
            mistyped=dict(kind.mistyped),
        )
        self._recorder.forward(kind.project, encode_refusal(refusal), "refusals")
        count.n, count.written_s = 0, now_s


def unlike(
    loaded: LoadedModel, values: Values
) -> tuple[tuple[str, ...], tuple[str, ...], tuple[tuple[str, str], ...]]:
    """Inputs that are missing, columns that are unknown, and inputs that hold something else, with what.

    Of the values only the first hundred rows are looked at.
    """
    missing = [item.name for item in loaded.inputs if item.name not in values]
    required = {item.name for item in loaded.inputs if item.required}
    unknown = [name for name in values if name not in loaded.names]
    if not unknown:  # what may be left out is only news where something else has come instead
        missing = [name for name in missing if name in required]
    mistyped = [
        (item.name, words)
        for item in loaded.inputs
        if item.name in values and (words := instead_of(item.kind, values[item.name])) is not None
    ]
    return _few(missing), _few(unknown), tuple(mistyped[:_MOST_NAMES])


def instead_of(kind: str, column: Sequence[Any]) -> str | None:
    """What a column holds that is no ``kind``, in words and without a value; None if it is all right.

    >>> instead_of("number", ["12,5"]), instead_of("time", ["31/01/2024"]), instead_of("text", ["a3"])
    ('numbers with a decimal comma', 'dates written %d/%m/%Y', None)
    """
    odd = [value for value in column[:_ROWS] if not is_of(kind, value)]
    if not odd:
        return None
    first = odd[0]
    if isinstance(first, str):
        written = written_as(dict.fromkeys([value for value in odd if isinstance(value, str)], 1))
        return f"{written} as text" if written == "numbers" else written or "text"
    if isinstance(first, bool):
        return "true and false"
    if isinstance(first, int | float):
        return "numbers" if kind != "number" else "numbers that are not finite"
    return "lists or objects"


def _few(names: Sequence[str]) -> tuple[str, ...]:
    return tuple(name[:_LONGEST] for name in names[:_MOST_NAMES])
