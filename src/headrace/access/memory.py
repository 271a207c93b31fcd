"""What was looked up about rights, remembered only while it cannot have changed."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, Generic, TypeVar

from headrace.core.ports import Clock, Epoch

_Key = TypeVar("_Key", bound=Hashable)
_Value = TypeVar("_Value")
_NOTHING: Any = object()


class Fresh(Generic[_Key, _Value]):
    """Answers that are right now: forgotten after ``fresh_s``, and as soon as the epoch advances.

    Args:
        fresh_s: how long a change made on another machine may go unnoticed, in seconds.
        max_kept: how many answers are remembered.

    Example::

        kept = fresh.now()
        answer = kept.get(question) or kept.setdefault(question, find(question))
    """

    def __init__(self, epoch: Epoch, clock: Clock, *, fresh_s: float = 0.5, max_kept: int = 10_000) -> None:
        self._epoch = epoch
        self._clock = clock
        self._fresh_s = fresh_s
        self._max_kept = max_kept
        self._kept: dict[_Key, _Value] = {}
        self._of_epoch = -1
        self._until_s = 0.0

    def now(self) -> dict[_Key, _Value]:
        """What may be trusted at this moment. Take it before looking something up to put into it: a look-up
        that began before a change then writes into a dictionary that nobody asks any more."""
        epoch, now_s = self._epoch.read(), self._clock.monotonic_s()
        if epoch != self._of_epoch or now_s >= self._until_s or len(self._kept) >= self._max_kept:
            self._kept, self._of_epoch, self._until_s = {}, epoch, now_s + self._fresh_s
        return self._kept


class Memory(Generic[_Key, _Value]):
    """Answers a repeated question from memory, as long as the answer is :class:`Fresh`.

    Args:
        look_up: finds what is not remembered; its errors are passed on and not remembered.
        fresh_s: how long a change made on another machine may go unnoticed, in seconds.
        max_kept: how many answers are remembered.
    """

    def __init__(
        self,
        look_up: Callable[[_Key], _Value],
        epoch: Epoch,
        clock: Clock,
        *,
        fresh_s: float = 0.5,
        max_kept: int = 10_000,
    ) -> None:
        self._look_up = look_up
        self._fresh: Fresh[_Key, _Value] = Fresh(epoch, clock, fresh_s=fresh_s, max_kept=max_kept)

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
