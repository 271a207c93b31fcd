"""Calls that arrive while one is under way share the next one: one write to the disk for many threads."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from headrace.core.errors import HeadraceError, Unavailable

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@dataclass
class _Batch(Generic[_Item, _Result]):
    """Items that go together. Until they are through, they have failed."""

    items: list[_Item] = field(default_factory=list)
    results: Sequence[_Result] = ()
    done: threading.Event = field(default_factory=threading.Event)
    error: HeadraceError | None = field(
        default_factory=lambda: Unavailable("The process was interrupted while it wrote. Try again.")
    )


class Gathering(Generic[_Item, _Result]):
    """Calls ``together`` with one item or many, never twice at once; safe to use from several threads.

    Args:
        together: takes the items in order and gives as many results; an error is everybody's.

    >>> Gathering(lambda items: [item * 2 for item in items]).do(21)
    42
    """

    def __init__(self, together: Callable[[list[_Item]], Sequence[_Result]]) -> None:
        self._together = together
        self._gather = threading.Lock()
        self._turn = threading.Lock()
        self._next: _Batch[_Item, _Result] = _Batch()

    def do(self, item: _Item) -> _Result:
        """The result for ``item``, once the batch that it went with is through."""
        with self._gather:
            batch = self._next
            index = len(batch.items)
            batch.items.append(item)
        if index == 0:
            self._lead(batch)
        else:
            batch.done.wait()
        if batch.error is not None:
            raise type(batch.error)(str(batch.error)) from batch.error
        return batch.results[index]

    def _lead(self, batch: _Batch[_Item, _Result]) -> None:
        """Act for all who joined while the batch before was under way."""
        try:
            with self._turn:
                self._stop_gathering(batch)
                batch.results = self._together(batch.items)
                batch.error = None
        except HeadraceError as error:
            batch.error = error
        finally:
            self._stop_gathering(batch)
            batch.done.set()

    def _stop_gathering(self, batch: _Batch[_Item, _Result]) -> None:
        with self._gather:
            if self._next is batch:
                self._next = _Batch()
