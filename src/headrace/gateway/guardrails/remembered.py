"""What was found in texts lately, by their hashes: a call of a conversation repeats what was said before."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from typing import Generic, TypeVar

_Found = TypeVar("_Found")


class Remembered(Generic[_Found]):
    """Looks at each text once. Safe to use from several threads; no text is kept.

    Args:
        look: what is found in a text: the same whenever it is asked.
        most: of how many texts it is remembered; the oldest goes first.

    >>> Remembered(str.split)("Hello again")
    ['Hello', 'again']
    """

    def __init__(self, look: Callable[[str], _Found], most: int = 8192) -> None:
        self._look = look
        self._most = most
        self._found: dict[bytes, _Found] = {}
        self._lock = threading.Lock()

    def __call__(self, text: str) -> _Found:
        """What is found in ``text``."""
        key = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if key not in self._found:
            found = self._look(text)
            with self._lock:
                if len(self._found) >= self._most:
                    del self._found[next(iter(self._found))]
                self._found[key] = found
            return found
        return self._found[key]
