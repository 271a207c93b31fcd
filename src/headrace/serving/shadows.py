"""Shadow releases: asked what the live release is asked, after the answer, for the record only."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from math import isclose
from typing import Any, NamedTuple

from headrace.access.privacy.fields import FieldRules
from headrace.core.errors import InvalidInput
from headrace.core.ports import Clock, EventLog
from headrace.core.record import Failure, Prediction
from headrace.serving.inputs import Values, count_rows
from headrace.serving.models import LoadedModels
from headrace.serving.scoring import Scored, score
from headrace.serving.until_erased import Late, append_until_erased
from headrace.store.compressing import compress
from headrace.store.records import encode_failure, encode_prediction

_log = logging.getLogger(__name__)
MAX_WAITING_ROWS = 10_000
_TOGETHER = 64
_MAX_ERROR = 1000


@dataclass(kw_only=True)
class Comparison:
    """What a shadow said beside what callers were answered, since this process started.

    Attributes:
        asked, failed: requests that it was asked, and those of them that it could not answer.
        skipped: requests that it was not asked because it did not keep up, or whose record was refused.
        rows, same: rows that both answered, and those of them that they answered alike.
        difference: sum over rows of the absolute difference; another label counts as 1.
    """

    asked: int = 0
    failed: int = 0
    skipped: int = 0
    rows: int = 0
    same: int = 0
    difference: float = 0.0


class _Copy(NamedTuple):
    """A request to repeat: what was answered to it, and the values as the caller sent them."""

    release_id: str
    answered: Prediction
    values: Values


class Shadows:
    """Asks shadow releases in a thread of their own, and keeps what they say apart from all answers.

    An answer never waits for one: when copies come faster than a shadow answers, the rest is skipped and
    counted. What it says is recorded in the stream ``<project>/shadows`` under the answer's id, and a
    request that it cannot answer in ``<project>/failures``, as evidence about its release.

    Args:
        rules_of: project to what may be written down.
        erased_s: project to when an erasure last began in it, in seconds since 1970: what was asked before is
            not recorded any more, because nobody would look for it there.
        max_waiting_rows: rows that may wait to be asked; a single request may hold more.

    Example::

        shadows.offer("r2", prediction, {"mileage": [15735.0]})  # on the event loop: returns at once
        shadows.comparisons()["r2"].same
    """

    def __init__(
        self,
        models: LoadedModels,
        events: EventLog,
        clock: Clock,
        rules_of: Callable[[str], FieldRules],
        *,
        erased_s: Callable[[str], float] = lambda _project: 0.0,
        max_waiting_rows: int = MAX_WAITING_ROWS,
    ) -> None:
        self._models = models
        self._events = events
        self._clock = clock
        self._rules_of = rules_of
        self._erased_s = erased_s
        self._max_waiting_rows = max_waiting_rows
        self._changed = threading.Condition()
        self._waiting: deque[_Copy] = deque()
        self._n_rows = 0
        self._comparisons: dict[str, Comparison] = {}
        self._thread: threading.Thread | None = None
        self._closing = False

    def offer(self, release_id: str, answered: Prediction, values: Values) -> None:
        """Have a shadow asked what was just answered. Never blocks; once closed, nothing is asked."""
        with self._changed:
            is_full = self._n_rows and self._n_rows + answered.n_rows > self._max_waiting_rows
            if self._closing or is_full:
                self._comparison(release_id).skipped += 1
                return
            self._waiting.append(_Copy(release_id, answered, values))
            self._n_rows += answered.n_rows
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="headrace-shadows", daemon=True)
                self._thread.start()
            self._changed.notify()

    def comparisons(self) -> dict[str, Comparison]:
        """By shadow release, as of now."""
        with self._changed:
            return {name: replace(comparison) for name, comparison in self._comparisons.items()}

    def close(self) -> None:
        """Record what has been asked, then end; what still waits is skipped, because nobody waits for it."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._waiting and not self._closing:
                    self._changed.wait()
                if self._closing:
                    for copy in self._waiting:
                        self._comparison(copy.release_id).skipped += 1
                    self._waiting.clear()
                    return
                batch = [self._waiting.popleft() for _ in range(min(_TOGETHER, len(self._waiting)))]
                self._n_rows -= sum(copy.answered.n_rows for copy in batch)
            self._ask(batch)

    def _ask(self, batch: list[_Copy]) -> None:
        said: dict[str, list[tuple[_Copy, bytes]]] = {}
        for copy in batch:
            try:
                kind, record = self._repeat(copy)
            except Exception:  # noqa: BLE001
                # Boundary: whatever is wrong with one copy, the next ones are asked.
                _log.exception("What shadow %s says could not be recorded", copy.release_id)
                self._skip([copy])
            else:
                said.setdefault(f"{copy.answered.project}/{kind}", []).append((copy, record))
        for stream, records in said.items():
            try:
                self._store(stream, records)
            except Exception:  # noqa: BLE001
                # Boundary: nobody was promised these, and the next answer finds out what the disk says.
                _log.exception("%d records of %s were not stored", len(records), stream)
                self._skip([copy for copy, _ in records])

    def _store(self, stream: str, records: list[tuple[_Copy, bytes]]) -> None:
        before_s = self._erased_s(stream.rpartition("/")[0])
        self._skip([copy for copy, _ in records if _asked_s(copy) <= before_s])
        late = [Late(_asked_s(copy), record) for copy, record in records]
        append_until_erased(self._events, stream, late, self._erased_s)

    def _repeat(self, copy: _Copy) -> tuple[str, bytes]:
        """Ask once; the kind of stream that the record belongs to, and the record."""
        answered = copy.answered
        rules = self._rules_of(answered.project)
        try:
            loaded = self._models.get(copy.release_id)
            scored = score(loaded, copy.values, count_rows(loaded, copy.values), self._clock)
        except Exception as error:  # noqa: BLE001
            # Boundary: a model is user code. The live release took this request, so even a refusal of its
            # input is evidence about the shadow.
            with self._changed:
                comparison = self._comparison(copy.release_id)
                comparison.asked += 1
                comparison.failed += 1
            kind = "input refused" if isinstance(error, InvalidInput) else type(error).__name__
            text = rules.text(f"{kind}: {error}", copy.values, answered.keys)
            return "failures", encode_failure(_failure(copy, text))
        self._compare(copy, scored, labels=loaded.model.classes is not None)
        said = replace(
            answered,
            release_id=copy.release_id,
            arm="shadow",
            columns=scored.columns,
            outputs=scored.outputs,
            prepare_ms=scored.prepare_ms,
            infer_ms=scored.infer_ms,
            unseen=scored.unseen,
        )
        above_bytes = rules.project.serving.compress_above_bytes
        return "shadows", compress(encode_prediction(rules.prediction(said)), above_bytes=above_bytes)

    def _compare(self, copy: _Copy, scored: Scored, *, labels: bool) -> None:
        found = distances(copy.answered.outputs, scored.outputs, labels=labels)
        with self._changed:
            comparison = self._comparison(copy.release_id)
            comparison.asked += 1
            comparison.rows += len(found)
            comparison.same += found.count(0.0)
            comparison.difference += sum(found)

    def _skip(self, copies: Sequence[_Copy]) -> None:
        with self._changed:
            for copy in copies:
                self._comparison(copy.release_id).skipped += 1

    def _comparison(self, release_id: str) -> Comparison:
        return self._comparisons.setdefault(release_id, Comparison())


def distances(
    answered: Mapping[str, Sequence[Any]], said: Mapping[str, Sequence[Any]], *, labels: bool
) -> list[float]:
    """How far two models are apart on each row, by the first output that both have; 0.0 is alike.

    Args:
        labels: numbers name classes: another one is at a distance of 1, whichever it is.

    >>> distances({"predict": [1.0, 2.0]}, {"predict": [1.0, 2.5]}, labels=False)
    [0.0, 0.5]
    """
    for name, values in answered.items():
        if name in said:
            return [_distance(a, b, labels=labels) for a, b in zip(values, said[name], strict=True)]
    return []


def _distance(a: Any, b: Any, *, labels: bool) -> float:
    if isinstance(a, list) and isinstance(b, list) and len(a) == len(b):
        return max((_distance(x, y, labels=labels) for x, y in zip(a, b, strict=True)), default=0.0)
    numbers = isinstance(a, int | float) and isinstance(b, int | float)
    if labels or not numbers:
        return 0.0 if a == b else 1.0
    # The same model on another machine differs in the last digits; that is no other answer.
    return 0.0 if isclose(a, b, rel_tol=1e-9, abs_tol=1e-12) else abs(float(a) - float(b))


def _asked_s(copy: _Copy) -> float:
    return copy.answered.at.timestamp()


def _failure(copy: _Copy, text: str) -> Failure:
    answered = copy.answered
    return Failure(
        id=answered.id,
        project=answered.project,
        release_id=copy.release_id,
        arm="shadow",
        principal=answered.principal,
        at=answered.at,
        n_rows=answered.n_rows,
        error=text[:_MAX_ERROR],
        request_id=answered.request_id,
    )
