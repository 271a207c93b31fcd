"""Answers that are given again to exactly the same request of the same caller, where a project declares it.

The key is a digest of everything that an answer follows from and of who may have it: the caller with their
roles, the user whom they name, the release, and the request as it goes to the model. So an answer is never
another caller's or another release's. What is kept is the provider's answer as it came: where the caller
wrote something that is masked, it holds the stand-in, and the value is put in its place anew for each answer.
It is kept in this process's memory only, for as long as is declared, and nothing that is from before the last
erasure in its project is given.
"""

from __future__ import annotations

import hashlib
import threading
from collections import Counter, OrderedDict
from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import msgspec

from headrace.core.identity import Principal
from headrace.core.ports import Clock
from headrace.gateway.llm.calls import Call
from headrace.gateway.llm.endpoints import Target
from headrace.gateway.llm.upstream import Reply
from headrace.projects.llm import Cache

MOST_BYTES = 64 << 20
"""Of all answers that a process keeps; the longest unused go first."""
_MOST_OF_ONE = 1 << 20
_encode = msgspec.json.Encoder().encode


class Place(NamedTuple):
    """Where an answer is kept, and by which rules."""

    project: str
    key: bytes
    rules: Cache


class Asking(NamedTuple):
    """Requests that are counted together."""

    project: str
    outcome: Literal["hit", "miss"]


class _Kept(NamedTuple):
    reply: Reply
    at_s: float
    asked_s: float


class AnswerCache:
    """Safe to use from several threads.

    Args:
        erased_s: project to when an erasure last began in it, in seconds since 1970; 0.0 before the first.
    """

    def __init__(self, clock: Clock, erased_s: Callable[[str], float]) -> None:
        self._clock = clock
        self._erased_s = erased_s
        self._lock = threading.Lock()
        self._kept: dict[str, OrderedDict[bytes, _Kept]] = {}
        self._n_bytes = 0
        self._asked: Counter[Asking] = Counter()

    def find(self, place: Place, targets: Sequence[Target]) -> Reply | None:
        """The answer that is kept there, if one of ``targets`` gave it and it is neither too old nor from
        before an erasure; counted as a hit or a miss."""
        with self._lock:
            found = self._of(place.project).get(place.key)
        if found is not None and not self._holds(place, found, targets):
            self._drop(place)
            found = None
        with self._lock:
            kept = self._of(place.project)
            self._asked[Asking(place.project, "miss" if found is None else "hit")] += 1
            if found is not None and place.key in kept:
                kept.move_to_end(place.key)
        return None if found is None else found.reply

    def keep(self, place: Place, reply: Reply, asked_s: float) -> None:
        """Keep an answer, and drop what is too much then; what is very long is not kept.

        Args:
            asked_s: when it was asked, in seconds since 1970.
        """
        if len(reply.body) > _MOST_OF_ONE:
            return
        self._drop(place)
        with self._lock:
            kept = self._of(place.project)
            kept[place.key] = _Kept(reply, self._clock.monotonic_s(), asked_s)
            self._n_bytes += len(reply.body)
            while len(kept) > place.rules.entries:
                self._forget(kept)
            while self._n_bytes > MOST_BYTES:
                self._forget(next(one for one in self._kept.values() if one))

    def counts(self) -> dict[Asking, int]:
        """Hits and misses since the start."""
        with self._lock:
            return dict(self._asked)

    def _holds(self, place: Place, found: _Kept, targets: Sequence[Target]) -> bool:
        young = self._clock.monotonic_s() - found.at_s < place.rules.ttl_s
        return young and found.reply.target in targets and found.asked_s > self._erased_s(place.project)

    def _drop(self, place: Place) -> None:
        with self._lock:
            found = self._of(place.project).pop(place.key, None)
            if found is not None:
                self._n_bytes -= len(found.reply.body)

    def _of(self, project: str) -> OrderedDict[bytes, _Kept]:
        return self._kept.setdefault(project, OrderedDict())

    def _forget(self, kept: OrderedDict[bytes, _Kept]) -> None:
        _, oldest = kept.popitem(last=False)
        self._n_bytes -= len(oldest.reply.body)


def place_of(call: Call, principal: Principal, rules: Cache) -> Place:
    """Where the answer to a call is kept, once its request is as it goes to the model."""
    who = [principal.name, principal.workspace, *sorted(principal.roles), call.asked.user]
    asked = [call.loaded.release_id, call.asked.path, call.filled.fields]
    return Place(call.rules.project.name, hashlib.sha256(_encode([who, asked])).digest(), rules)
