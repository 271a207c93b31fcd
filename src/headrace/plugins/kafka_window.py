"""What has become of the messages of one Kafka partition, in few enough letters to be kept with its offset.

Kafka remembers one number for each group and partition: everything before it is done. Messages that are
worked on side by side end in another order, so which of those after it have ended, and how often the others
were given away, is written beside that number, as the metadata that a commit may carry.
"""

from __future__ import annotations

import re
from itertools import groupby

MOST_TEXT = 4000
"""Kafka keeps 4,096 bytes of metadata unless a broker is told otherwise (``offset.metadata.max.bytes``)."""
_ENDED, _NEVER, _MOST = "x", ord("a"), 22
_RUN = re.compile(r"([a-x])(\d*)")


class Window:
    """The messages of one partition from the first that has not ended.

    Args:
        low: the offset of that one.
        text: what :meth:`text` wrote.

    Example::

        window = Window(5)
        window.give(6)  # 1: it was given away once
        window.end(6)
        window.low, window.text()  # (5, "ax")
    """

    def __init__(self, low: int, text: str = "") -> None:
        self.low = low
        self._ended: set[int] = set()
        self._given: dict[int, int] = {}
        at = low
        for letter, count in _RUN.findall(text):
            run = range(at, at + int(count or 1))
            if letter == _ENDED:
                self._ended.update(run)
            elif letter != "a":
                self._given.update(dict.fromkeys(run, ord(letter) - _NEVER))
            at = run.stop
        self._advance()

    @property
    def n_ended(self) -> int:
        """How many after the first that has not ended have."""
        return len(self._ended)

    def has_ended(self, offset: int) -> bool:
        """Whether it never comes again."""
        return offset < self.low or offset in self._ended

    def give(self, offset: int) -> int:
        """Note that it is given away; returns for the how manieth time."""
        self._given[offset] = self._given.get(offset, 0) + 1
        return self._given[offset]

    def take_back(self, offset: int) -> None:
        """It was not given away after all."""
        self._given[offset] -= 1

    def end(self, offset: int) -> None:
        """It never comes again."""
        if offset >= self.low:
            self._ended.add(offset)
            self._given.pop(offset, None)
            self._advance()

    def text(self) -> str:
        """All beyond ``low``: runs of a letter, ``x`` for what has ended, else how often it was given."""
        given = (offset for offset, n_given in self._given.items() if n_given)
        stop = max((*self._ended, *given), default=self.low - 1) + 1
        letters = (
            _ENDED if offset in self._ended else chr(_NEVER + min(self._given.get(offset, 0), _MOST))
            for offset in range(self.low, stop)
        )
        runs = ((letter, len(list(run))) for letter, run in groupby(letters))
        return "".join(letter if n == 1 else f"{letter}{n}" for letter, n in runs)

    def _advance(self) -> None:
        while self.low in self._ended:
            self._ended.remove(self.low)
            self.low += 1
