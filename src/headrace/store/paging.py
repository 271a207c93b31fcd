"""Records of which there may be many: read by the part."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Protocol, TypeVar

from headrace.core.errors import NotFound
from headrace.core.identity import Changing
from headrace.core.ports import RecordStore

_Record = TypeVar("_Record", bound=Changing)
_TOGETHER = 50
"""Records that are read at once."""


class PagedStore(RecordStore[_Record], Protocol[_Record]):
    """A :class:`~headrace.core.ports.RecordStore` that reads no more than is asked for."""

    def count_of(self, subject: str, states: Collection[str]) -> int:
        """How many of ``subject`` are in one of these states."""

    def part(
        self, subject: str, states: Collection[str], *, after: str = "", most: int, newest: bool = False
    ) -> list[_Record]:
        """``most`` of them at most, in the order in which they were added, the newest first if asked.

        Args:
            after: the id of the one that they follow, in whatever state that is; the first ones unless given.
        """


def through(
    store: PagedStore[_Record],
    subject: str,
    states: Collection[str],
    *,
    after: str = "",
    newest: bool = False,
    kind: str = "record",
) -> Iterator[_Record]:
    """One after the other, read from the store only as far as somebody goes.

    Args:
        after: the id of the one that they follow, in whatever state that is; ``kind``: what it is called.

    Raises:
        NotFound: ``subject`` has none with the id ``after``.

    Example::

        first = list(islice(through(store.drafts, "support", ("waiting",)), 100))
        then = list(islice(through(store.drafts, "support", ("waiting",), after=first[-1].id), 100))
    """
    if after:
        last = store.find(after)
        if last is None or last.subject != subject:
            raise NotFound(f"Project {subject!r} has no {kind} {after[:80]!r} to go on after.")
    return _parts(store, subject, states, after, newest=newest)


def _parts(
    store: PagedStore[_Record], subject: str, states: Collection[str], after: str, *, newest: bool
) -> Iterator[_Record]:
    while found := store.part(subject, states, after=after, most=_TOGETHER, newest=newest):
        yield from found
        if len(found) < _TOGETHER:
            return
        after = found[-1].id
