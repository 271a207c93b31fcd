"""What was found in texts lately, by their hashes: a call of a conversation repeats what was said before."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

_Found = TypeVar("_Found")
_MISSING = object()


class Remembered(Generic[_Found]):
    """Looks at each text once. Safe to use from several threads; no text is kept.

    Args:
        look: what is found in each of several texts: the same whenever it is asked.
        most: of how many texts it is remembered; the oldest goes first.

    >>> Remembered(lambda texts: [text.split() for text in texts])("Hello again")
    ['Hello', 'again']
    """

    def __init__(self, look: Callable[[Sequence[str]], Sequence[_Found]], most: int = 8192) -> None:
        self._look = look
        self._most = most
        self._found: dict[bytes, _Found] = {}
        self._lock = threading.Lock()

    def __call__(self, text: str) -> _Found:
        """What is found in ``text``."""
        key = _key(text)
        found = self._found.get(key, _MISSING)
        if found is _MISSING:
            (found,) = self._look((text,))
            self._keep(key, found)
        return found  # type: ignore[return-value]  # anything but what stands for nothing

    def look_at(self, texts: Sequence[str]) -> None:
        """Look at several now, those that are not known in one go."""
        new = {key: text for text in texts if (key := _key(text)) not in self._found}
        if new:
            for key, found in zip(new, self._look(list(new.values())), strict=True):
                self._keep(key, found)

    def _keep(self, key: bytes, found: _Found) -> None:
        with self._lock:
            if len(self._found) >= self._most:
                del self._found[next(iter(self._found))]
            self._found[key] = found


def _key(text: str) -> bytes:
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
