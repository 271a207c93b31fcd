"""Identifiers: UUIDv7, so that they sort by time, and human references ``kind:name@version``."""

from __future__ import annotations

import hashlib
import os
import re
import threading
import uuid
from dataclasses import dataclass
from datetime import datetime

from headrace.core.errors import InvalidInput

NAME_PATTERN = re.compile(r"[a-z][a-z0-9_-]{0,62}")
_REF_PATTERN = re.compile(r"(?P<kind>[a-z_]+):(?P<name>[^@:]+)@(?P<version>[A-Za-z0-9._-]+)")
_VARIANT = {f"{digit:x}": f"{0b1000 | digit & 0b11:x}" for digit in range(16)}
"""The digit that says by its upper two bits which kind of UUID it is, for each random digit."""
_lock = threading.Lock()
_last = 0


def new_id(now: datetime) -> str:
    """A UUIDv7 (RFC 9562): 48 bits of milliseconds, 12 of sequence, 62 random.

    Ids made in one process strictly grow, also within a millisecond and when the clock steps back.
    """
    return new_ids(now, 1)[0]


def new_ids(now: datetime, count: int) -> list[str]:
    """As many ids as :func:`new_id` would give one after the other, for less."""
    global _last  # the process-wide sequence is what makes ids strictly monotonic
    moment = int(now.timestamp() * 1000) << 12
    with _lock:
        first = max(moment, _last + 1)
        _last = first + count - 1
    # Written out here because uuid.UUID takes 2 us, and every answered request needs an id.
    random, found, ms, prefix = os.urandom(8 * count).hex(), [], -1, ""
    for at, place in zip(range(first, first + count), range(0, 16 * count, 16), strict=True):
        if at >> 12 != ms:
            ms = at >> 12
            text = f"{ms:012x}"
            prefix = f"{text[:8]}-{text[8:]}-7"
        variant, rest = _VARIANT[random[place]], random[place + 1 : place + 16]
        found.append(f"{prefix}{at & 0xFFF:03x}-{variant}{rest[:3]}-{rest[3:]}")
    return found


def derived_id(*parts: str) -> str:
    """An id that is the same for the same parts: makes a repeated write the same write.

    >>> derived_id("run", "a") == derived_id("run", "a")
    True
    """
    digest = hashlib.sha256("\x1f".join(parts).encode()).digest()
    value = int.from_bytes(digest[:16])
    value = (value & ~(0xF << 76)) | (0x8 << 76)
    return str(uuid.UUID(int=(value & ~(0b11 << 62)) | (0b10 << 62)))


def check_name(name: str, what: str = "A name") -> str:
    """``name``, if it can be a folder, a URL part and a metric label at once.

    Raises:
        InvalidInput: it cannot.
    """
    if not NAME_PATTERN.fullmatch(name):
        raise InvalidInput(
            f"{what} cannot be {name!r}. Expected a lower-case letter, then up to 62 lower-case "
            "letters, digits, '-' or '_', such as 'flight-delay'."
        )
    return name


@dataclass(frozen=True, kw_only=True)
class Ref:
    """A human reference to one version of one thing, written ``kind:name@version``."""

    kind: str
    name: str
    version: str

    @classmethod
    def parse(cls, text: str) -> Ref:
        """Read ``kind:name@version``.

        >>> Ref.parse("model:cars@3").name
        'cars'

        Raises:
            InvalidInput: the text has another shape.
        """
        match = _REF_PATTERN.fullmatch(text)
        if match is None:
            raise InvalidInput(f"{text!r} is no reference. Expected kind:name@version, such as model:cars@3.")
        return cls(**match.groupdict())

    def __str__(self) -> str:
        return f"{self.kind}:{self.name}@{self.version}"
