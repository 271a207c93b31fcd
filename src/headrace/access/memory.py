"""What was looked up about rights, remembered only while it cannot have changed."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

from headrace.core.ports import Clock, Epoch

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")
_NOTHING: Any = object()
_LONGEST_S = 300.0
"""An edition is the same too after a change that another machine has taken back at once."""


class Fresh(Generic[_Key, _Value]):
    """Answers that are right now: forgotten after ``fresh_s``, and as soon as the epoch advances.

    Args:
        fresh_s: how long a change made on another machine may go unnoticed, in seconds.
        max_kept: how many answers are remembered.
        edition: equal as long as no answer can have changed. It is asked every ``fresh_s``, and while it
            stays, the answers do, for ``_LONGEST_S`` at most. Without it each is looked up again.
        levels: of memories below, one on another, that an answer rests on. Each may notice a change
            ``fresh_s`` later, so what is looked up within that time of one is looked up again.

    Example::

        kept = fresh.now()
        answer = kept.get(question) or kept.setdefault(question, find(question))
    """

    def __init__(
        self,
        epoch: Epoch,
        clock: Clock,
        *,
        fresh_s: float = 0.5,
        max_kept: int = 10_000,
        edition: Callable[[], object] = object,
        levels: int = 0,
    ) -> None:
        self._epoch = epoch
        self._clock = clock
        self._fresh_s = fresh_s
        self._max_kept = max_kept
        self._edition = edition
        self._levels = levels
        self._kept: dict[_Key, _Value] = {}
        self._of: tuple[int, object] = (-1, None)
        self._began_s = self._until_s = 0.0
        self._settled_s: float | None = None

    def now(self) -> dict[_Key, _Value]:
        """What may be trusted at this moment. Take it before looking something up to put into it: a look-up
        that began before a change then writes into a dictionary that nobody asks any more."""
        epoch, now_s = self._epoch.read(), self._clock.monotonic_s()
        if epoch != self._of[0] or now_s >= self._until_s or len(self._kept) >= self._max_kept:
            # Read before anything is looked up: an answer may be newer than the edition, and never older.
            of = (epoch, self._edition())
            if of != self._of:
                self._settled_s = now_s + self._levels * self._fresh_s
            stay = self._settled_s is None and len(self._kept) < self._max_kept
            if not stay or now_s - self._began_s >= _LONGEST_S:
                self._kept, self._of, self._began_s = {}, of, now_s
            if self._settled_s is not None and now_s >= self._settled_s:
                self._settled_s = None  # what is looked up from now on rests on nothing older
            self._until_s = now_s + self._fresh_s
        return self._kept


class Memory(Generic[_Key, _Value]):
    """Answers a repeated question from memory, as long as the answer is :class:`Fresh`.

    Args:
        look_up: finds what is not remembered; its errors are passed on and not remembered.
        fresh_s: how long a change made on another machine may go unnoticed, in seconds.
        max_kept: how many answers are remembered.
        edition: equal as long as no answer can have changed, as :class:`Fresh` says; and so ``levels``.
    """

    def __init__(
        self,
        look_up: Callable[[_Key], _Value],
        epoch: Epoch,
        clock: Clock,
        *,
        fresh_s: float = 0.5,
        max_kept: int = 10_000,
        edition: Callable[[], object] = object,
        levels: int = 0,
    ) -> None:
        self._look_up = look_up
        self._fresh: Fresh[_Key, _Value] = Fresh(
            epoch, clock, fresh_s=fresh_s, max_kept=max_kept, edition=edition, levels=levels
        )

    def get(self, key: _Key) -> _Value:
        """The answer for ``key``."""
        kept = self._fresh.now()
        found: Any = kept.get(key, _NOTHING)
        if found is _NOTHING:
            found = kept[key] = self._look_up(key)
        return found  # type: ignore[no-any-return]

    def forget(self, key: _Key) -> None:
        """Look ``key`` up again: this process has changed what concerns nobody else's rights."""
        self._fresh.now().pop(key, None)
